/*
 * Time: the TSC tells it, the local APIC's timer interrupts at a deadline, the RTC says what day it is.
 *
 * Both are calibrated at once, in CALIBRATE_NS, against the HPET, whose period is fixed; without one against
 * the PIT. On a busy host an emulated CPU may stand still between two readings, so each sample is the
 * tightest of a few, and the TSC's rate is refined twice later on, against the first sample. (Intel SDM vol.
 * 3A, 11.5.4 "APIC Timer"; IA-PC HPET specification 1.0a; 8254.)
 *
 * Deadlines are armed in ticks of the local APIC, 32 bits: a later one is armed again when it is reached.
 */
#include "host/host.h"
#include "kernel/mm/mmio.h"
#include "kernel/task/task.h"
#include "kernel/x86/trap.h"

#define LAPIC_BASE 0xfee00000
#define HPET_BASE 0xfed00000

enum { CALIBRATE_NS = 100000, SAMPLES = 4 };

/* When the rate is refined; the low half of the HPET's counter must not have wrapped by then. */
#define REFINE_FIRST_NS ((uint64_t)1000000000)
#define REFINE_LAST_NS ((uint64_t)8000000000)

/* Registers of the local APIC, in bytes. */
enum {
    LAPIC_TASK_PRIORITY = 0x80,
    LAPIC_END = 0xb0,
    LAPIC_SPURIOUS = 0xf0,
    LAPIC_TIMER = 0x320,
    LAPIC_LINT0 = 0x350,
    LAPIC_INITIAL = 0x380,
    LAPIC_CURRENT = 0x390,
    LAPIC_DIVIDE = 0x3e0
};
enum { LAPIC_ENABLE = 1 << 8, LAPIC_MASKED = 1 << 16, LAPIC_DIVIDE_BY_1 = 0xb };

/* Registers of the HPET. */
enum { HPET_PERIOD = 4, HPET_CONFIG = 0x10, HPET_COUNTER = 0xf0, HPET_ENABLE = 1 };
enum { HPET_PERIOD_MAX_FS = 100000000 };

enum { PIT_CHANNEL_2 = 0x42, PIT_COMMAND = 0x43, PIT_GATE = 0x61, PIT_HZ = 1193182 };
enum { PIC_1_MASK = 0x21, PIC_2_MASK = 0xa1 };
enum { RTC_INDEX = 0x70, RTC_DATA = 0x71 };

uint64_t time_boot_epoch_ns;

static volatile uint32_t *lapic;
static volatile uint32_t *hpet; /* NULL: there is none */
static uint64_t hpet_period_fs;

/* now = base_ns + (tsc - base_tsc) * ns_per_tick >> 32; LAPIC ticks = ns * lapic_per_ns >> 32. */
static uint64_t base_tsc, base_ns;
static uint64_t ns_per_tick = (uint64_t)1 << 32;
static uint64_t lapic_per_ns;
static uint64_t deadline = UINT64_MAX;

/* One moment by all clocks. */
struct sample {
    uint64_t tsc;
    uint32_t hpet;
    uint32_t lapic;
};
static struct sample first_sample;
static uint64_t refine_after_ns = REFINE_FIRST_NS;

void timer_interrupt(void);

static uint64_t multiply_shift_32(uint64_t a, uint64_t b)
{
    return (uint64_t)(((unsigned __int128)a * b) >> 32);
}

uint64_t host_now_ns(void)
{
    return base_ns + multiply_shift_32(rdtsc() - base_tsc, ns_per_tick);
}

/* ------------------------------------------------------------------------------- the local APIC */

static uint32_t lapic_read(unsigned reg)
{
    return lapic[reg / 4];
}

static void lapic_write(unsigned reg, uint32_t value)
{
    lapic[reg / 4] = value;
}

void lapic_end_of_interrupt(void)
{
    lapic_write(LAPIC_END, 0);
}

static void lapic_init(void)
{
    lapic_write(LAPIC_SPURIOUS, LAPIC_ENABLE | VECTOR_SPURIOUS);
    lapic_write(LAPIC_TASK_PRIORITY, 0);
    lapic_write(LAPIC_LINT0, LAPIC_MASKED);
    lapic_write(LAPIC_DIVIDE, LAPIC_DIVIDE_BY_1);
    lapic_write(LAPIC_TIMER, LAPIC_MASKED | VECTOR_TIMER);
}

static void arm(void)
{
    uint64_t now = host_now_ns();
    uint64_t left = deadline > now ? deadline - now : 1;
    uint64_t ticks = multiply_shift_32(left, lapic_per_ns) + 1;

    lapic_write(LAPIC_INITIAL, ticks > UINT32_MAX ? UINT32_MAX : (uint32_t)ticks);
}

void timer_program(uint64_t deadline_ns)
{
    if (deadline_ns == deadline)
        return;
    deadline = deadline_ns;
    if (deadline_ns == UINT64_MAX)
        lapic_write(LAPIC_INITIAL, 0);
    else
        arm();
}

/* ------------------------------------------------------------------------------- calibration */

static struct sample sample_take(void)
{
    struct sample best = {0};
    uint64_t tightest = UINT64_MAX;

    for (int i = 0; i < SAMPLES; i++) {
        uint64_t before = rdtsc();
        uint32_t hpet_now = hpet[HPET_COUNTER / 4];
        uint32_t lapic_now = lapic_read(LAPIC_CURRENT);
        uint64_t took = rdtsc() - before;

        if (took < tightest) {
            tightest = took;
            best = (struct sample){before, hpet_now, lapic_now};
        }
    }
    return best;
}

/* (a << 32) / b, where the result fits; 0 when it does not. */
static uint64_t shift_32_divide(uint64_t a, uint64_t b)
{
    uint64_t result, rest;

    if (a >> 32 >= b)
        return 0;
    __asm__("divq %4" : "=a"(result), "=d"(rest) : "a"(a << 32), "d"(a >> 32), "r"(b) : "cc");
    return result;
}

/* A rate that no clock can have is not taken. */
static void rates_set(uint64_t ns, uint64_t tsc_ticks)
{
    uint64_t rate = shift_32_divide(ns, tsc_ticks);

    if (rate == 0)
        return;
    ns_per_tick = rate;
    cpu_here()->tsc_hz = shift_32_divide(1000000000, rate);
}

/* False when there is no HPET, or it stands still. */
static bool calibrate_by_hpet(void)
{
    hpet = mmio_map(paddr(HPET_BASE), PAGE_SIZE);
    hpet_period_fs = hpet == NULL ? 0 : hpet[HPET_PERIOD / 4];
    if (hpet_period_fs == 0 || hpet_period_fs > HPET_PERIOD_MAX_FS) {
        hpet = NULL;
        return false;
    }
    hpet[HPET_CONFIG / 4] |= HPET_ENABLE;
    lapic_write(LAPIC_INITIAL, UINT32_MAX);

    uint32_t ticks = (uint32_t)(CALIBRATE_NS * (uint64_t)1000000 / hpet_period_fs);
    struct sample last;

    first_sample = sample_take();
    for (uint32_t looks = 0; hpet[HPET_COUNTER / 4] - first_sample.hpet < ticks; looks++) {
        if (looks == CALIBRATE_NS) {
            hpet = NULL;
            return false;
        }
    }
    last = sample_take();
    lapic_write(LAPIC_INITIAL, 0);

    uint64_t ns = (uint64_t)(last.hpet - first_sample.hpet) * hpet_period_fs / 1000000;

    rates_set(ns, last.tsc - first_sample.tsc);
    lapic_per_ns = shift_32_divide(first_sample.lapic - last.lapic, ns);
    return true;
}

/* Channel 2 counts down once; the gate's bit 5 is its output. */
static void calibrate_by_pit(void)
{
    uint32_t count = (uint32_t)((uint64_t)CALIBRATE_NS * PIT_HZ / 1000000000);

    outb(PIT_GATE, (uint8_t)((inb(PIT_GATE) & ~2) | 1));
    outb(PIT_COMMAND, 0xb0);
    outb(PIT_CHANNEL_2, (uint8_t)count);
    outb(PIT_CHANNEL_2, (uint8_t)(count >> 8));
    lapic_write(LAPIC_INITIAL, UINT32_MAX);
    uint64_t start = rdtsc();

    for (int looks = 0; looks < CALIBRATE_NS && (inb(PIT_GATE) & 0x20) == 0; looks++)
        ;
    rates_set(CALIBRATE_NS, rdtsc() - start);
    lapic_per_ns = shift_32_divide(UINT32_MAX - lapic_read(LAPIC_CURRENT), CALIBRATE_NS);
    lapic_write(LAPIC_INITIAL, 0);
}

/* The rate over all the time since the first sample. The clock goes on from where it is. */
static void refine(void)
{
    uint64_t now = host_now_ns();

    if (hpet == NULL || now < refine_after_ns || refine_after_ns > REFINE_LAST_NS)
        return;
    refine_after_ns *= REFINE_LAST_NS / REFINE_FIRST_NS;
    if (now > 3 * REFINE_LAST_NS)
        return;
    struct sample sample = sample_take();

    base_ns = now;
    base_tsc = rdtsc();
    rates_set((uint64_t)(sample.hpet - first_sample.hpet) * hpet_period_fs / 1000000,
              sample.tsc - first_sample.tsc);
}

void timer_interrupt(void)
{
    refine();
    if (deadline != UINT64_MAX && host_now_ns() < deadline) {
        arm();
        return;
    }
    deadline = UINT64_MAX;
    timer_tick();
}

/* ------------------------------------------------------------------------------- the RTC */

struct date {
    unsigned second, minute, hour, day, month, year;
};

static uint8_t rtc_read(uint8_t reg)
{
    outb(RTC_INDEX, reg);
    return inb(RTC_DATA);
}

static unsigned from_bcd(uint8_t value, bool binary)
{
    return binary ? value : (value >> 4) * 10u + (value & 15u);
}

static struct date rtc_date(void)
{
    uint8_t mode = rtc_read(0x0b);
    bool binary = (mode & 4) != 0;
    uint8_t hour = rtc_read(4);
    struct date date = {
        .second = from_bcd(rtc_read(0), binary),
        .minute = from_bcd(rtc_read(2), binary),
        .hour = from_bcd(hour & 0x7f, binary),
        .day = from_bcd(rtc_read(7), binary),
        .month = from_bcd(rtc_read(8), binary),
        .year = 2000 + from_bcd(rtc_read(9), binary),
    };

    if ((mode & 2) == 0) /* 12 hours, the top bit is p.m. */
        date.hour = date.hour % 12 + ((hour & 0x80) != 0 ? 12 : 0);
    return date;
}

/* Days since 1970-01-01; counts years from March on, so that the leap day is the last. */
static uint64_t days_of(const struct date *date)
{
    unsigned year = date->month > 2 ? date->year : date->year - 1;
    unsigned month = date->month > 2 ? date->month - 3 : date->month + 9;

    return (uint64_t)year * 365 + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + date->day - 1 -
           719468;
}

static uint64_t rtc_seconds(void)
{
    struct date date = rtc_date();

    /* A date that was read while the clock changed it is read again. */
    for (int tries = 0; tries < 3; tries++) {
        struct date again = rtc_date();

        if (again.second == date.second && again.minute == date.minute && again.hour == date.hour)
            break;
        date = again;
    }
    return ((days_of(&date) * 24 + date.hour) * 60 + date.minute) * 60 + date.second;
}

void time_init(void)
{
    outb(PIC_1_MASK, 0xff);
    outb(PIC_2_MASK, 0xff);
    lapic = mmio_map(paddr(LAPIC_BASE), PAGE_SIZE);
    if (lapic == NULL)
        host_panic("no memory to map the local APIC");
    lapic_init();
    if (!calibrate_by_hpet())
        calibrate_by_pit();
    base_tsc = rdtsc();
    time_boot_epoch_ns = rtc_seconds() * 1000000000;
    lapic_write(LAPIC_TIMER, VECTOR_TIMER);
}

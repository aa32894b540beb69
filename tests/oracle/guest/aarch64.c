/*
 * AArch64: loading tables, flushing, accesses. Exceptions are those of aarch64.S: an exception ends an
 * access.
 */
#include "guest.h"

enum { CLASS_SVC = 0x15 };
#define SPSR_EL0 0x3c0 /* interrupts masked */
#define SPSR_EL1 0x3c5 /* with SP_EL1 */
#define SCTLR_ON ((uint64_t)1 << 0 | 1 << 2 | 1 << 12)
#define SCTLR_SPAN ((uint64_t)1 << 23) /* an exception leaves PSTATE.PAN alone */

void access_read(uint64_t address, uint64_t value);
void access_write(uint64_t address, uint64_t value);
void access_read_user(uint64_t address, uint64_t value);
void access_write_user(uint64_t address, uint64_t value);
void access_exec(uint64_t address, uint64_t spsr);
_Noreturn void guest_start(void);
_Noreturn void guest_panic(void);
extern uint64_t trap_x0;

static struct scene *const the_scene = (struct scene *)(uintptr_t)(0x40000000 + SCENE_OFFSET);

#define READ(name)                                                                                           \
    ({                                                                                                       \
        uint64_t value_;                                                                                     \
        __asm__ volatile("mrs %0, " #name : "=r"(value_));                                                   \
        value_;                                                                                              \
    })
#define WRITE(name, value) __asm__ volatile("msr " #name ", %0" ::"r"((uint64_t)(value)) : "memory")

_Noreturn void guest_start(void)
{
    guest_main(the_scene);
}

_Noreturn void guest_panic(void)
{
    the_scene->panic[1] = READ(esr_el1);
    the_scene->panic[2] = READ(far_el1);
    the_scene->panic[3] = READ(elr_el1);
    __atomic_store_n(&the_scene->panic[0], (READ(esr_el1) >> 26) + 1, __ATOMIC_RELEASE);
    for (;;)
        guest_pause();
}

void guest_pause(void)
{
    __asm__ volatile("yield");
}

static void flush_all(void)
{
    __asm__ volatile("dsb ishst; tlbi vmalle1; dsb ish; isb" ::: "memory");
}

void guest_load(const struct scene *scene)
{
    uint64_t sctlr = READ(sctlr_el1);

    if (READ(ttbr0_el1) == scene->control[0] && READ(ttbr1_el1) == scene->control[1] && (sctlr & 1))
        return;
    WRITE(mair_el1, scene->control[3]);
    WRITE(tcr_el1, scene->control[2]);
    WRITE(ttbr0_el1, scene->control[0]);
    WRITE(ttbr1_el1, scene->control[1]);
    __asm__ volatile("isb");
    WRITE(sctlr_el1, sctlr | SCTLR_ON | SCTLR_SPAN);
    __asm__ volatile("isb");
    flush_all();
}

/* VAALE1: the last level only; VAAE1: tables, too. */
static void flush_page(uint64_t address, uint64_t kind)
{
    uint64_t number = address >> 12 & (((uint64_t)1 << 44) - 1);

    if (kind == SCENE_FLUSH_PAGES)
        __asm__ volatile("tlbi vaale1, %0" ::"r"(number) : "memory");
    else
        __asm__ volatile("tlbi vaae1, %0" ::"r"(number) : "memory");
}

void guest_flush(const struct scene_flush *flush)
{
    if (flush->kind == SCENE_FLUSH_ALL || flush->pages > SCENE_FLUSH_PAGES_MAX) {
        flush_all();
        return;
    }
    __asm__ volatile("dsb ishst" ::: "memory");
    for (uint64_t i = 0; i < flush->pages && flush->kind != SCENE_FLUSH_NEW; i++)
        flush_page(flush->start + i * 4096, flush->kind);
    __asm__ volatile("dsb ish; isb" ::: "memory");
}

/* What the MMU says of the memory: attributes in bits 63 to 56, shareability in 8 and 7 (Arm ARM, PAR_EL1).
 */
static uint64_t attributes(const struct probe *probe)
{
    if (probe->user)
        __asm__ volatile("at s1e0r, %0; isb" ::"r"(probe->address) : "memory");
    else
        __asm__ volatile("at s1e1r, %0; isb" ::"r"(probe->address) : "memory");
    return READ(par_el1);
}

void guest_probe(struct probe *probe)
{
    uint64_t syndrome;

    if (probe->access == PROBE_EXEC)
        access_exec(probe->address, probe->user ? SPSR_EL0 : SPSR_EL1);
    else if (probe->access == PROBE_READ)
        (probe->user ? access_read_user : access_read)(probe->address, 0);
    else
        (probe->user ? access_write_user : access_write)(probe->address, probe->value);
    syndrome = READ(esr_el1);
    probe->got = trap_x0;
    probe->cause = syndrome >> 26 & 0x3f;
    probe->code = syndrome & 0x1ffffff;
    probe->at = READ(far_el1);
    probe->outcome = probe->cause == CLASS_SVC ? PROBE_DONE : PROBE_FAULT;
    probe->details = probe->outcome == PROBE_DONE && probe->access == PROBE_READ ? attributes(probe) : 0;
}

/*
 * Pressure. See pressure.h.
 *
 * Time is added up whenever it may change who stands still: when a stall begins or ends, and when the CPU
 * goes from one task to another while somebody is stalled. Averages are exponential ones over 10, 60 and 300
 * s in periods of two seconds (as Linux's documentation of PSI says), worked out when a stall ends and when
 * somebody asks.
 */
#include "kernel/task/pressure.h"

#include <limits.h>

#include "kernel/klib.h"
#include "kernel/task/group.h"
#include "kernel/task/task_internal.h"

enum { PRESSURE_BITS = 11, HUNDRED = 100, ENOUGH_PERIODS = 4096, NS_PER_US = 1000 };

static const uint64_t PERIOD_NS = (uint64_t)2 * 1000 * 1000 * 1000;
/* exp(-2/10), exp(-2/60), exp(-2/300), with PRESSURE_BITS behind the point */
static const uint64_t decay[PRESSURE_AVERAGES] = {1677, 1981, 2034};

unsigned pressure_stalled;
static struct pressure all;
static uint64_t accounted_ns;

/* ------------------------------------------------------------------ averages */

static uint64_t averaged(uint64_t average, uint64_t sample, uint64_t factor, uint64_t periods)
{
    for (; periods > 0; periods--)
        average = (average * factor + sample * ((1 << PRESSURE_BITS) - factor)) >> PRESSURE_BITS;
    return average;
}

static void average(struct pressure *pressure, uint64_t now_ns)
{
    uint64_t passed_ns = now_ns - pressure->sampled_ns;
    uint64_t periods = passed_ns / PERIOD_NS;

    if (periods == 0)
        return;
    if (periods > ENOUGH_PERIODS)
        periods = ENOUGH_PERIODS;
    for (unsigned i = 0; i < PRESSURES; i++) {
        uint64_t grown = pressure->total_ns[i] - pressure->sampled[i];
        uint64_t sample = (grown / NS_PER_US * HUNDRED << PRESSURE_BITS) / (passed_ns / NS_PER_US);

        for (unsigned k = 0; k < PRESSURE_AVERAGES; k++)
            pressure->average[i][k] = averaged(pressure->average[i][k], sample, decay[k], periods);
        pressure->sampled[i] = pressure->total_ns[i];
    }
    pressure->sampled_ns = now_ns;
}

/* ------------------------------------------------------------------ time */

static void add(struct pressure *pressure, uint64_t passed_ns, bool works)
{
    if (pressure->stalled == 0)
        return;
    pressure->total_ns[PRESSURE_SOME] += passed_ns;
    if (!works)
        pressure->total_ns[PRESSURE_FULL] += passed_ns;
}

void pressure_account(void)
{
    const struct task *task = task_current();
    uint64_t now_ns = host_now_ns(), passed_ns = now_ns - accounted_ns;
    bool works = task->process && task->stalls == 0;

    accounted_ns = now_ns;
    add(&all, passed_ns, works);
    list_for_each(node, &groups)
    {
        struct group *group = container_of(node, struct group, node);

        add(&group->pressure, passed_ns, works && task->process->group == group);
    }
}

uint64_t pressure_waited_ns(void)
{
    if (pressure_stalled > 0)
        pressure_account();
    return all.total_ns[PRESSURE_FULL];
}

static void stall(struct group *group, unsigned change)
{
    if (group)
        group->pressure.stalled += change;
}

void pressure_begin(void)
{
    struct task *task = task_current();

    if (!task->process || task->stalls++ > 0)
        return;
    if (pressure_stalled > 0)
        pressure_account();
    else
        accounted_ns = host_now_ns();
    pressure_stalled++;
    all.stalled++;
    stall(task->process->group, 1);
}

void pressure_end(void)
{
    struct task *task = task_current();

    if (!task->process || --task->stalls > 0)
        return;
    task->stalls = 1; /* until the time is its own */
    pressure_account();
    task->stalls = 0;
    pressure_stalled--;
    all.stalled--;
    stall(task->process->group, UINT_MAX);
    average(&all, accounted_ns);
    if (task->process->group)
        average(&task->process->group->pressure, accounted_ns);
}

void pressure_move(const struct process *process, struct group *to)
{
    if (pressure_stalled > 0)
        pressure_account();
    list_for_each(node, &process->threads)
    {
        const struct task *task = container_of(node, struct task, thread);

        if (task->stalls > 0) {
            stall(process->group, UINT_MAX);
            stall(to, 1);
        }
    }
}

/* ------------------------------------------------------------------ reading */

void pressure_show(struct text *text, struct pressure *pressure)
{
    static const char *const names[PRESSURES] = {"some", "full"};
    static const int seconds[PRESSURE_AVERAGES] = {10, 60, 300};

    if (!pressure)
        pressure = &all;
    if (pressure_stalled > 0)
        pressure_account();
    average(pressure, host_now_ns());
    for (unsigned i = 0; i < PRESSURES; i++) {
        text_printf(text, "%s", names[i]);
        for (unsigned k = 0; k < PRESSURE_AVERAGES; k++) {
            uint64_t hundredths = pressure->average[i][k] * HUNDRED >> PRESSURE_BITS;

            text_printf(text, " avg%d=%lu.%02lu", seconds[k], hundredths / HUNDRED, hundredths % HUNDRED);
        }
        text_printf(text, " total=%lu\n", pressure->total_ns[i] / NS_PER_US);
    }
}

/*
 * Samples of memory over time.
 *
 * There is room for so many. When it is full every second one goes, and from then on they are taken half as
 * often, so a run of any length has between half of them and all. A process's pages are counted by a walk
 * over its tables, in the timer's interrupt: the kernel is not interrupted, so no table is locked. The next
 * sample is at least 25 times as far away as this one took.
 *
 * Processes beyond the room for them take the place of those that ended and never had much; what they did is
 * kept as that of all others.
 */
#include "kernel/mm/samples.h"

#include "kernel/boot/boot_info.h"
#include "kernel/klib.h"
#include "kernel/mm/report_write.h"
#include "kernel/task/task.h"
#include "quire/frame.h"
#include "quire/reclaim.h"

enum { SAMPLES = 64, PROCESSES = 12, OVERHEAD = 25 };

static const uint64_t FIRST_INTERVAL_NS = 5 * 1000 * 1000;

struct series {
    int pid; /* 0: none */
    bool ended;
    char name[16];
    uint64_t faults_minor, faults_major, peak;
    uint64_t shared; /* files' pages that others mapped, too, when it ended */
    uint32_t frames[SAMPLES];
};

static struct {
    bool running;
    unsigned count;
    uint64_t interval_ns, most_enrolled, enrolled_sum, enrolled_count;
    uint32_t free[SAMPLES], swapped[SAMPLES];
    struct series series[PROCESSES];
    uint64_t others, others_minor, others_major; /* processes for which there was no room */
    uint64_t shared, shared_mappings; /* of the process that shared most pages of files when it ended */
    struct timer timer;
} samples;

static void take(struct timer *timer);

void samples_init(void)
{
    if (boot_option_number("samples", 0) == 0)
        return;
    samples.running = true;
    samples.interval_ns = FIRST_INTERVAL_NS;
    timer_init(&samples.timer, take);
    timer_set(&samples.timer, host_now_ns() + samples.interval_ns);
}

void samples_end(void)
{
    if (samples.running)
        timer_cancel(&samples.timer);
    samples.running = false;
}

/* ---------------------------------------------------------------- processes */

static struct series *series_find(const struct process *process)
{
    for (unsigned i = 0; i < PROCESSES; i++)
        if (samples.series[i].pid == process->pid && !samples.series[i].ended)
            return &samples.series[i];
    return NULL;
}

/* A place: free, or that of the smallest one that ended, if it was smaller than `pages`. */
static struct series *series_place(uint64_t pages)
{
    struct series *best = NULL;

    for (unsigned i = 0; i < PROCESSES; i++) {
        struct series *series = &samples.series[i];

        if (series->pid == 0)
            return series;
        if (series->ended && series->peak < pages && (best == NULL || series->peak < best->peak))
            best = series;
    }
    return best;
}

static void count_as_other(uint64_t faults_minor, uint64_t faults_major)
{
    samples.others++;
    samples.others_minor += faults_minor;
    samples.others_major += faults_major;
}

static struct series *series_of(const struct process *process, uint64_t pages)
{
    struct series *series = series_find(process);

    if (series != NULL)
        return series;
    series = series_place(pages);
    if (series == NULL)
        return NULL;
    if (series->pid != 0)
        count_as_other(series->faults_minor, series->faults_major);
    memset(series, 0, sizeof(*series));
    series->pid = process->pid;
    return series;
}

static void note(struct series *series, const struct process *process, uint64_t pages)
{
    if (process->leader != NULL)
        strlcpy(series->name, process->leader->name, sizeof(series->name));
    series->faults_minor = process->faults_minor;
    series->faults_major = process->faults_major;
    if (pages > series->peak)
        series->peak = pages;
}

static void sample_process(struct process *process, void *context)
{
    struct space_counts counts;
    struct series *series;

    if (process->zombie || process->space == NULL)
        return;
    space_count(process->space, &counts);
    series = series_of(process, counts.resident_pages);
    if (series == NULL)
        return;
    note(series, process, counts.resident_pages);
    series->frames[samples.count] = (uint32_t)counts.resident_pages;
    samples.swapped[samples.count] += (uint32_t)counts.swap_pages;
}

/* How many pages of files the process has that others map, too. */
static uint64_t measure_sharing(const struct process *process)
{
    struct space_usage usage = {0};

    if (process->space != NULL)
        space_measure(process->space, vaddr(SPACE_START), vaddr(SPACE_END), &usage);
    if (usage.shared_file_pages > samples.shared) {
        samples.shared = usage.shared_file_pages;
        samples.shared_mappings = usage.shared_file_mappings;
    }
    return usage.shared_file_pages;
}

void samples_process_ends(const struct process *process)
{
    struct series *series;
    uint64_t shared;

    if (!samples.running)
        return;
    shared = measure_sharing(process);
    series = series_find(process);
    if (series == NULL) { /* it lived between two samples */
        series = series_of(process, 0);
        if (series == NULL) {
            count_as_other(process->faults_minor, process->faults_major);
            return;
        }
    }
    note(series, process, 0);
    series->shared = shared;
    series->ended = true;
}

/* ---------------------------------------------------------------- samples */

static void keep_half(uint32_t *figures)
{
    unsigned kept = (samples.count + 1) / 2;

    for (unsigned i = 0; i < kept; i++)
        figures[i] = figures[2 * i];
    memset(figures + kept, 0, (SAMPLES - kept) * sizeof(*figures));
}

static void thin_out(void)
{
    keep_half(samples.free);
    keep_half(samples.swapped);
    for (unsigned i = 0; i < PROCESSES; i++)
        keep_half(samples.series[i].frames);
    samples.count = (samples.count + 1) / 2;
    samples.interval_ns *= 2;
}

/* How many pages policies had while memory was short. */
static void note_enrolled(void)
{
    struct reclaim_report look;

    reclaim_look(&look);
    if (!look.watched || look.evicted == 0)
        return;
    samples.enrolled_sum += look.enrolled;
    samples.enrolled_count++;
    if (look.enrolled > samples.most_enrolled)
        samples.most_enrolled = look.enrolled;
}

static void take(struct timer *timer)
{
    uint64_t before_ns = host_now_ns(), took_ns;

    if (samples.count == SAMPLES)
        thin_out();
    samples.free[samples.count] = (uint32_t)frames_free();
    process_for_each(sample_process, NULL);
    samples.count++;
    note_enrolled();
    took_ns = host_now_ns() - before_ns;
    while (samples.interval_ns < took_ns * OVERHEAD)
        thin_out();
    sched_not_worked(took_ns);
    timer_set(timer, host_now_ns() + samples.interval_ns);
}

/* ---------------------------------------------------------------- the report */

static void put_figures(struct report *w, const char *name, const uint32_t *figures)
{
    report_begin_list(w, name);
    for (unsigned i = 0; i < samples.count; i++)
        report_put(w, "%s%u", i > 0 ? "," : "", figures[i]);
    report_end_list(w);
}

static void put_series(struct report *w, const struct series *series)
{
    report_item(w);
    report_number(w, "pid", (uint64_t)series->pid);
    report_text(w, "name", series->name);
    report_number(w, "faults_minor", series->faults_minor);
    report_number(w, "faults_major", series->faults_major);
    report_number(w, "frames_peak", series->peak);
    report_number(w, "shared_pages", series->shared);
    put_figures(w, "frames", series->frames);
    report_end(w);
}

static void put_sharing(struct report *w)
{
    report_begin(w, "sharing");
    report_number(w, "pages", samples.shared);
    report_number(w, "mappings", samples.shared_mappings);
    report_number(w, "unmapped_pages", vm_stats.shared_unmaps);
    report_number(w, "unmapped_entries", vm_stats.shared_unmap_entries);
    report_end(w);
}

void report_samples(struct report *w)
{
    if (samples.interval_ns == 0)
        return;
    put_sharing(w);
    report_begin(w, "over_time");
    report_number(w, "interval_ns", samples.interval_ns);
    report_number(w, "samples", samples.count);
    report_number(w, "enrolled_mean",
                  samples.enrolled_count != 0 ? samples.enrolled_sum / samples.enrolled_count : 0);
    report_number(w, "enrolled_most", samples.most_enrolled);
    report_number(w, "other_processes", samples.others);
    report_number(w, "other_faults_minor", samples.others_minor);
    report_number(w, "other_faults_major", samples.others_major);
    put_figures(w, "free", samples.free);
    put_figures(w, "swapped", samples.swapped);
    report_begin_list(w, "processes");
    for (unsigned i = 0; i < PROCESSES; i++)
        if (samples.series[i].pid != 0)
            put_series(w, &samples.series[i]);
    report_end_list(w);
    report_end(w);
}

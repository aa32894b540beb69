/*
 * The most pages that a process had in memory: getrusage's ru_maxrss, VmHWM.
 *
 * A space does not count its pages, because tables go and are shared as a whole; to know how many there are
 * it is walked. That is done when somebody asks, and where the number is about to fall if it could be the
 * highest so far: what faults have brought since the last walk is known, and is an upper bound but for pages
 * that were mapped around others. Small processes, which end soon, are not walked at their end.
 */
#include "kernel/task/task.h"

enum {
    SHRINK_BYTES = 256 << 10, /* smaller ranges are not looked at when they go */
    FAULTS_FEW = 64,          /* a process with fewer is not walked at its end */
    TOLERANCE = 16            /* a part of the peak that need not be noticed: 1/16 */
};

static uint64_t faults_of(const struct process *process)
{
    return process->faults_minor + process->faults_major;
}

static uint64_t estimate(const struct process *process)
{
    return process->resident_base + (faults_of(process) - process->resident_mark);
}

static void note(struct process *process, uint64_t pages)
{
    process->resident_base = pages;
    process->resident_mark = faults_of(process);
    if (pages > process->resident_peak)
        process->resident_peak = pages;
}

static void measure(struct process *process)
{
    struct space_counts counts;

    if (!process->space)
        return;
    space_count(process->space, &counts);
    note(process, counts.resident_pages);
}

uint64_t resident_peak(struct process *process)
{
    measure(process);
    return process->resident_peak;
}

void resident_shrinks(struct process *process, uint64_t bytes)
{
    uint64_t pages = bytes >> PAGE_SHIFT, guess = estimate(process), came;

    if (bytes < SHRINK_BYTES)
        return;
    came = guess - process->resident_base;
    if (guess > process->resident_peak + process->resident_peak / TOLERANCE) {
        measure(process);
        came = guess = process->resident_base;
    }
    /* What goes came since the last look, as far as one knows. */
    process->resident_base = guess - (pages < came ? pages : came);
    process->resident_mark = faults_of(process);
}

void resident_leaves(struct process *process)
{
    if (faults_of(process) - process->resident_mark < FAULTS_FEW)
        note(process, estimate(process));
    else
        measure(process);
}

void resident_begins(struct process *process)
{
    process->resident_base = 0;
    process->resident_mark = faults_of(process);
}

void resident_inherit(struct process *child, const struct process *parent)
{
    child->resident_base = child->resident_peak = estimate(parent);
    child->resident_mark = faults_of(child);
}

/*
 * The time of programs: what the machine works outside of page faults. It is what policies go by when they
 * ask how long ago a page was used, and what the references of a recording are stamped with, so both mean
 * the same by a microsecond, however long a fault takes.
 *
 *     worked   ---program---|  fault  |---program---|  fault  |---
 *     counted     +++++++++                +++++++++
 *
 * A fault that waits lets others run. Their work counts up to the last fault that began: only who began last
 * leaves out what has passed since (`last`). Locking: the caller's.
 */
#ifndef QUIRE_WORK_H
#define QUIRE_WORK_H

#include "quire/types.h"

/* What a fault takes before it is said to begin and after it is said to end, in instructions of the kernel (1
 * ns each when a machine counts them). A recording has many times as many faults. */
enum { WORK_EDGE_NS = 125 };

struct work_clock {
    uint64_t counted_ns; /* up to the mark */
    uint64_t mark_ns;    /* of host_worked_ns() */
    const void *last;    /* whose fault began last and has not ended; NULL: nobody's */
};

/* Never less than before; it stands still during a fault. */
static inline uint64_t work_now(const struct work_clock *clock, uint64_t worked_ns)
{
    if (clock->last != NULL || worked_ns <= clock->mark_ns)
        return clock->counted_ns;
    return clock->counted_ns + (worked_ns - clock->mark_ns);
}

static inline void work_fault_begins(struct work_clock *clock, uint64_t worked_ns, const void *whose)
{
    clock->counted_ns += worked_ns > clock->mark_ns ? worked_ns - clock->mark_ns : 0;
    clock->mark_ns = worked_ns;
    clock->last = whose;
}

static inline void work_fault_ends(struct work_clock *clock, uint64_t worked_ns, const void *whose)
{
    if (clock->last != whose || whose == NULL)
        return;
    clock->mark_ns = worked_ns + WORK_EDGE_NS;
    clock->last = NULL;
}

#endif

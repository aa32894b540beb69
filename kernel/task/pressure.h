/*
 * Pressure: how long tasks stand still because memory is short, as Linux's /proc/pressure/memory says it. A
 * task is stalled while a fault of its waits for a page that must be read, or evicts pages to get a frame.
 *
 * *Some* is the time in which at least one task was stalled; *full* the time in which one was, and no other
 * one of the same group had the CPU. (Linux: and none of the group wanted it. With one CPU the time for which
 * somebody only waits for his turn counts as full here.)
 *
 * Locking: the kernel lock.
 */
#ifndef KERNEL_PRESSURE_H
#define KERNEL_PRESSURE_H

#include "kernel/fs/text.h"
#include "quire/types.h"

struct process;

enum { PRESSURE_SOME, PRESSURE_FULL, PRESSURES, PRESSURE_AVERAGES = 3 };

/* Of a group, or of all. Zeroed at the beginning. */
struct pressure {
    unsigned stalled; /* tasks */
    uint64_t total_ns[PRESSURES];
    uint64_t sampled_ns, sampled[PRESSURES]; /* when averages were last worked out, and total_ns then */
    uint64_t average[PRESSURES][PRESSURE_AVERAGES]; /* percent, with PRESSURE_BITS behind the point */
};

extern unsigned pressure_stalled; /* tasks */

/* The current task stalls, stalls no more. Pairs may be nested. */
void pressure_begin(void);
void pressure_end(void);
/* Somebody is stalled, and the current task is about to give the CPU away. */
void pressure_account(void);
/* In all: somebody was stalled, and no other had the CPU. */
uint64_t pressure_waited_ns(void);
/* The process is about to be another group's; NULL: in none. */
struct group;
void pressure_move(const struct process *process, struct group *to);

/* The two lines; NULL: of all. */
void pressure_show(struct text *text, struct pressure *pressure);

#endif

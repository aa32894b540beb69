/*
 * Events of paging for the host (include/quire/event.h), and recorded references: both go through one buffer.
 *
 * "events=1" on the command line asks for events, "record=N" for references with a window of N pages. Without
 * either host_watched is false, and its test is all that anybody pays.
 */
#ifndef KERNEL_MM_EVENTS_H
#define KERNEL_MM_EVENTS_H

#include "quire/event.h"
#include "quire/space.h"

struct process;

/* After the link has been started, before there is a process. */
void events_init(void);
/* Sends what is left, and no more from now on. Sleeps. */
void events_end(void);

/* Notes an event of this process. Does not sleep; the host is told how many found no room. */
void events_note(enum event_kind kind, const struct process *process, uint64_t page, uint64_t value,
                 unsigned detail);
/* Sleeps while the buffer is more than half full, so that what user mode does is never lost. */
void events_throttle(void);
/* space_fault() while host_watched is set: notes how it ended, records, throttles. */
MUST_USE enum status events_fault(struct process *process, uint64_t address, enum access access);

/* What happens to a process. The calls are for when host_watched is set. */
void events_start(const struct process *process, const char *name);

/* ---- record.c: all for when host_watched is set */

/* The window's size, 0: references are not recorded. */
void record_init(unsigned window);
unsigned record_window(void);
/* The access has become possible, or will be: records it unless the page is in the window. False: the page is
 * not there, and space_fault() must be called first. */
bool record_reference(struct process *process, uint64_t address, enum access access);
/* The kernel is about to copy from or to the current process's memory. */
void record_copy(uint64_t address, uint64_t bytes, enum access access);
/* A fault was served, which may have mapped neighbours. */
void record_faulted(struct space *space, uint64_t address);
/* This process leaves the space, which may go with it: none of its pages are in the window any more. */
void record_forget(const struct space *space);
/* A system call uses the page of an object. */
void record_object(uint64_t page, bool writes);
/* Recorded pages exist no more. True: the event before says so, too, or will. */
bool record_gone(struct event *before, uint64_t page);
/* A fault of the process begins, and ends: the time between is not the program's. */
void record_fault_begins(const struct process *process);
void record_fault_ends(const struct process *process);
/* The time of programs. */
uint64_t record_time_ns(void);

#endif

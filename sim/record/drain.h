/*
 * quire's side of a recording: the memory that is shared with the recorder, and the trace that becomes of it.
 */
#ifndef QUIRE_SIM_RECORD_DRAIN_H
#define QUIRE_SIM_RECORD_DRAIN_H

#include "sim/trace.h"
#include "sim/trace_writer.h"

struct drain;

/* What was recorded. */
struct drain_totals {
    uint64_t references, unfiltered;
    uint32_t pages;
    uint32_t lost; /* threads that there was no room for */
    bool began;    /* the recorder was there at all */
    bool in_exec;  /* the program has replaced itself by another one, which nobody recorded */
};

/* The trace goes to `path`; `page_bytes` a power of two. NULL with *error. */
struct drain *drain_create(const char *path, uint64_t page_bytes, uint32_t filter, struct trace_error *error);
/* The memory's descriptor, for the recorder ("fd=N"); it is closed on exec() unless the caller says
 * otherwise. */
int drain_fd(const struct drain *drain);
/* Takes what has queued up, and waits for more, but not longer than a moment. False: the trace cannot be
 * written; nothing more is recorded then, and further calls do nothing. */
bool drain_some(struct drain *drain, struct trace_error *error);
/* The program has ended: takes what threads have left, writes the trace's end, and frees the drain. False:
 * there is no trace. `totals` is filled in anyway. */
bool drain_finish(struct drain *drain, struct drain_totals *totals, struct trace_error *error);
/* Frees it without a trace. */
void drain_abandon(struct drain *drain);

#endif

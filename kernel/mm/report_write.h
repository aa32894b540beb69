/*
 * Writing the report's JSON: members with their commas, cut where the buffer ends.
 */
#ifndef KERNEL_MM_REPORT_WRITE_H
#define KERNEL_MM_REPORT_WRITE_H

#include "quire/types.h"

struct report {
    char *to;
    size_t size;
    size_t length;
    bool comma; /* the next member needs one before it */
};

void report_put(struct report *w, const char *format, ...) __attribute__((format(printf, 2, 3)));
void report_name(struct report *w, const char *name);
void report_number(struct report *w, const char *name, uint64_t value);
void report_text(struct report *w, const char *name, const char *value);
/* An object as a member; report_item(): as an element of a list. Both end by report_end(). */
void report_begin(struct report *w, const char *name);
void report_item(struct report *w);
void report_end(struct report *w);
void report_begin_list(struct report *w, const char *name);
void report_end_list(struct report *w);

/* ---- report_paging.c, samples.c: sections of the report */
void report_swap(struct report *w);
void report_reclaim(struct report *w);
void report_samples(struct report *w);

#endif

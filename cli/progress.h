/*
 * A progress bar with the time that is left, on standard error and only if that is a terminal.
 */
#ifndef CLI_PROGRESS_H
#define CLI_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

struct progress {
    bool shown; /* a terminal is there */
    bool drawn; /* a bar is on it */
    int64_t began_ms, last_ms;
};

void progress_begin(struct progress *progress);
/* What part is done, 0 … 1. Cheap: draws a few times a second. One thread at a time. */
void progress_show(struct progress *progress, double part);
/* Takes the bar away. */
void progress_end(struct progress *progress);

#endif

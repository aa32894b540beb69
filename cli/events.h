/*
 * What the kernel tells while the machine runs (quire/event.h): as JSON, a line an event (--events), and as a
 * recording of references (--record).
 */
#ifndef CLI_EVENTS_H
#define CLI_EVENTS_H

#include <stdio.h>

#include "cli/boot.h"

struct events {
    FILE *lines, *recording; /* NULL: not wanted */
    const char *lines_path, *recording_path;
    uint64_t lost; /* that the kernel had no room for */
    bool failed;   /* a file could not be written: said, and why */
};

/* Opens the files that the options name. False when a message has been printed. */
bool events_open(struct events *events, const struct boot_options *options);
/* A frame of the link: `count` bytes of events. */
void events_take(struct events *events, const char *bytes, size_t count);
/* All is in the files. 0, or an exit status when a message has been printed. */
int events_close(struct events *events);

#endif

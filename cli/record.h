/*
 * quire trace record, and what it shares with its neighbours.
 */
#ifndef CLI_RECORD_H
#define CLI_RECORD_H

#include "cli/cli.h"

int record(int argc, char **argv);
/* The options, for the help. */
void record_help(void);

/* 0, or a power of two from 1K to 1G. */
bool trace_page_size_fits(uint64_t size);

#endif

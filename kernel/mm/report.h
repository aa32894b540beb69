/*
 * The paging report: what the memory was used for and what paging did, as one JSON object.
 */
#ifndef KERNEL_MM_REPORT_H
#define KERNEL_MM_REPORT_H

#include <stddef.h>

/* Writes at most `size` bytes, NUL included; returns the length. */
size_t report_write(char *to, size_t size);

/* The first instruction of user code is about to run: note the time. Only the first call counts. */
void report_first_user(void);

/* The first process is ending: from now on the report's frames are those of this moment, with the memory that
 * the program still has. */
void report_note_end(void);

#endif

/*
 * The paging report that the kernel sends at its end.
 */
#ifndef CLI_REPORT_H
#define CLI_REPORT_H

#include <jansson.h>
#include <stdio.h>

#include "cli/boot.h"

/* Will it be shown: asked for, or is somebody looking? */
bool report_wanted(const struct boot_options *options);
/* Prints `text` (JSON, may be NULL: there was none) where and how the options say. 0, or an exit status when
 * a message has been printed. */
int report_print(const char *text, size_t length, const struct boot_options *options);
/* What a figure means, in a few words, or "". */
const char *report_words(const char *section, const char *name);
/* Whose frames there were, over time, in characters: of the report's member over_time. */
void report_chart(FILE *out, json_t *over_time);

#endif

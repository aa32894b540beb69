/*
 * The paging report that the kernel sends at its end.
 */
#ifndef CLI_REPORT_H
#define CLI_REPORT_H

#include "cli/boot.h"

/* Prints `text` (JSON, may be NULL: there was none) where and how the options say. 0, or an exit status when
 * a message has been printed. */
int report_print(const char *text, size_t length, const struct boot_options *options);
/* What a figure means, in a few words, or "". */
const char *report_words(const char *section, const char *name);

#endif

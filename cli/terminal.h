/*
 * The terminal of the host: raw while a machine uses it, and as it was afterwards, however quire ends.
 */
#ifndef CLI_TERMINAL_H
#define CLI_TERMINAL_H

#include <stdbool.h>
#include <stddef.h>

struct winsize;

/* Raw mode, when standard input is a terminal and we are in its foreground. May be called again (SIGCONT).
 * False: standard input must not be read now. */
bool terminal_take(void);
void terminal_give_back(void);
bool terminal_size(struct winsize *size);
/* Ctrl-] three times within a second: the user wants the machine to end. */
bool terminal_escape(const char *typed, size_t count);

#endif

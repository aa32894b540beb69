/*
 * Running machines on this host. Each has a Unix socket NAME in a folder of the user's, on which it answers
 * requests of one line ("dump kernel") with text and then closes.
 */
#ifndef CLI_MACHINE_H
#define CLI_MACHINE_H

#include "cli/cli.h"

struct machine {
    char *path; /* of the socket */
    int listen; /* -1: none */
};

/* Makes the socket of a new machine. False when that cannot be done; `*why` says it (static or errno text).
 */
bool machine_open(struct machine *machine, const char *name, const char **why);
void machine_close(struct machine *machine);

/* The names of the machines that answer. */
void machine_list(struct strings *names);
/* A connection to the machine, -1: there is none. */
int machine_connect(const char *name);

#endif

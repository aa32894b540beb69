/*
 * Servers that the tests of stores need: nbdkit and Redis, each on a socket in a folder of the test's, killed
 * when the test ends, however it ends.
 */
#ifndef TESTS_SERVERS_H
#define TESTS_SERVERS_H

#include <stdbool.h>
#include <sys/types.h>

struct server {
    pid_t pid; /* 0: none */
    char socket[96];
};

/* nbdkit with these arguments, NULL at the end, listening when it returns. False: it is not installed, or
 * does not begin. */
bool server_nbdkit(struct server *server, const char *folder, const char *const *arguments);
/* Redis with its files in the folder, and "appendonly yes, appendfsync always" when it is to last. */
bool server_redis(struct server *server, const char *folder, bool lasts);
/* By this signal; returns when it has ended. The socket goes too. */
void server_kill(struct server *server, int signal);

#endif

#include "servers.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MOST_ARGUMENTS = 32, TRIES = 1000, TRY_MICROSECONDS = 10000 };

static bool listens(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool connected;

    snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
    connected = connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0;
    close(fd);
    return connected;
}

static _Noreturn void become(const char *const *arguments)
{
    int nowhere = open("/dev/null", O_RDWR);
    sigset_t none;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    dup2(nowhere, STDIN_FILENO);
    dup2(nowhere, STDOUT_FILENO);
    dup2(nowhere, STDERR_FILENO);
    execvp(arguments[0], (char *const *)(void *)arguments);
    _exit(127);
}

static bool start(struct server *server, const char *const *arguments)
{
    server->pid = fork();
    if (server->pid == 0)
        become(arguments);
    for (unsigned i = 0; i < TRIES; i++) {
        if (listens(server->socket))
            return true;
        if (waitpid(server->pid, NULL, WNOHANG) != 0)
            break;
        usleep(TRY_MICROSECONDS);
    }
    server_kill(server, SIGKILL);
    return false;
}

bool server_nbdkit(struct server *server, const char *folder, const char *const *given)
{
    const char *arguments[MOST_ARGUMENTS] = {"nbdkit", "-f", "--exit-with-parent", "-U", server->socket};
    unsigned count = 5;

    snprintf(server->socket, sizeof(server->socket), "%s/nbd", folder);
    unlink(server->socket);
    for (unsigned i = 0; given[i] && count + 1 < MOST_ARGUMENTS; i++)
        arguments[count++] = given[i];
    return start(server, arguments);
}

bool server_redis(struct server *server, const char *folder, bool lasts)
{
    const char *arguments[] = {
        "redis-server", "--port", "0", "--unixsocket", server->socket,       "--dir",
        folder,         "--save", "",  "--appendonly", lasts ? "yes" : "no", "--appendfsync",
        "always",       NULL};

    snprintf(server->socket, sizeof(server->socket), "%s/redis", folder);
    unlink(server->socket);
    return start(server, arguments);
}

void server_kill(struct server *server, int signal)
{
    if (server->pid <= 0)
        return;
    kill(server->pid, signal);
    waitpid(server->pid, NULL, 0);
    server->pid = 0;
    unlink(server->socket);
}

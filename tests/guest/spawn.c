/* vfork and posix_spawn. */
#include "guest.h"
#include <spawn.h>

static char self[300];

int main(int count, char **arguments)
{
    static volatile int shared;
    int status;
    pid_t child;
    char *none[] = {NULL};

    if (count > 1) {
        if (strcmp(arguments[1], "exit") == 0)
            return 31;
        if (strcmp(arguments[1], "copy") == 0) {
            char line[32];
            ssize_t got = read(0, line, sizeof line);
            return got > 0 && write(1, line, (size_t)got) == got ? 32 : 1;
        }
        return 1;
    }
    must(readlink("/proc/self/exe", self, sizeof self - 1) > 0, "/proc/self/exe");
    part("vfork");
    child = vfork();
    if (child == 0) {
        shared = 7;
        _exit(30);
    }
    show("the child's write is seen", shared);
    waitpid(child, &status, 0);
    show_status("status", status);
    child = vfork();
    if (child == 0) {
        execl(self, "spawn", "exit", (char *)NULL);
        _exit(1);
    }
    waitpid(child, &status, 0);
    show_status("vfork and exec", status);
    child = vfork();
    if (child == 0) {
        execl("/no/such/program", "x", (char *)NULL);
        shared = errno;
        _exit(33);
    }
    waitpid(child, &status, 0);
    show_status("vfork and a failed exec", status);
    printf("%s\n", error_name(shared));

    part("posix_spawn");
    char *exits[] = {"spawn", "exit", NULL};
    int error = posix_spawn(&child, self, NULL, NULL, exits, none);
    printf("error %d\n", error);
    waitpid(child, &status, 0);
    show_status("status", status);
    error = posix_spawn(&child, "/no/such/program", NULL, NULL, exits, none);
    printf("missing program: %s\n", error_name(error));
    int in[2], out[2];
    must(pipe(in) == 0 && pipe(out) == 0, "pipe");
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, in[0], 0);
    posix_spawn_file_actions_adddup2(&actions, out[1], 1);
    posix_spawn_file_actions_addclose(&actions, in[1]);
    char *copies[] = {"spawn", "copy", NULL};
    error = posix_spawn(&child, self, &actions, NULL, copies, none);
    printf("error %d\n", error);
    must(write(in[1], "through\n", 8) == 8, "write");
    char line[32];
    ssize_t got = read(out[0], line, sizeof line);
    printf("%zd %.8s", got, line);
    waitpid(child, &status, 0);
    show_status("status", status);
    show_status("system", system("exit 5"));
    FILE *pipe_out = popen("echo from the shell; exit 3", "r");
    must(pipe_out != NULL && fgets(line, sizeof line, pipe_out) != NULL, "popen");
    printf("popen: %s", line);
    show_status("pclose", pclose(pipe_out));
    part("100 vforks");
    volatile unsigned sum = 0;
    for (volatile int i = 0; i < 100; i++) {
        child = vfork();
        if (child == 0)
            _exit(i);
        waitpid(child, &status, 0);
        sum += (unsigned)WEXITSTATUS(status);
    }
    printf("sum %u\n", sum);
    return 0;
}

/* Terminal calls on what is no terminal. */
#include "guest.h"
#include <sys/ioctl.h>
#include <termios.h>

static void show_all(const char *what, int file)
{
    struct termios state;
    struct winsize size;
    int number;

    printf("%s\n", what);
    show("  isatty", isatty(file) ? 1 : -1);
    show("  tcgetattr", tcgetattr(file, &state));
    show("  TIOCGWINSZ", ioctl(file, TIOCGWINSZ, &size));
    show("  TIOCGPGRP", ioctl(file, TIOCGPGRP, &number));
    show("  unknown request", ioctl(file, 0x12345678, &number));
}

int main(void)
{
    int ends[2];

    must(pipe(ends) == 0, "pipe");
    show_all("pipe", ends[0]);
    show_all("file", scratch_file(10));
    show_all("/dev/null", open("/dev/null", O_RDWR));
    show_all("directory", open("/", O_RDONLY));
    show_all("bad descriptor", 999);
    int number = 1;
    show("FIONBIO on a pipe", ioctl(ends[0], FIONBIO, &number));
    char byte;
    show("read is non-blocking now", read(ends[0], &byte, 1));
    show("FIOCLEX", ioctl(ends[0], FIOCLEX));
    show("F_GETFD", fcntl(ends[0], F_GETFD));
    show("setsid, then /dev/tty", ({
             int status;
             fflush(stdout);
             pid_t child = fork();
             if (child == 0) {
                 setsid();
                 _exit(open("/dev/tty", O_RDWR) == -1 && errno == ENXIO ? 0 : 1);
             }
             waitpid(child, &status, 0);
             WEXITSTATUS(status);
         }));
    return 0;
}

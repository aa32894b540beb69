/*
 * The terminal: termios(3). The kernel in the machine does the line discipline (echo, Ctrl-C), so the host's
 * terminal passes every byte on.
 */
#include <stdlib.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/terminal.h"

enum { ESCAPE = 0x1d, ESCAPE_TIMES = 3, ESCAPE_MS = 1000 };

static struct termios before;
static bool taken;

static bool in_foreground(void)
{
    pid_t group = tcgetpgrp(STDIN_FILENO);

    return group < 0 || group == getpgrp();
}

bool terminal_take(void)
{
    struct termios raw;

    if (!isatty(STDIN_FILENO)) {
        return true;
    }
    if (!in_foreground()) {
        return false;
    }
    if (!taken && tcgetattr(STDIN_FILENO, &before) < 0) {
        return true;
    }
    raw = before;
    cfmakeraw(&raw);
    if (!isatty(STDOUT_FILENO)) {
        raw.c_oflag = before.c_oflag; /* what our output goes to may use the terminal as it is used to */
    }
    if (tcsetattr(STDIN_FILENO, TCSADRAIN, &raw) == 0) {
        if (!taken) {
            atexit(terminal_give_back);
        }
        taken = true;
        say_raw_lines(true);
    }
    return true;
}

void terminal_give_back(void)
{
    if (taken && in_foreground()) {
        tcsetattr(STDIN_FILENO, TCSADRAIN, &before);
    }
    taken = false;
    say_raw_lines(false);
}

bool terminal_size(struct winsize *size)
{
    return (ioctl(STDIN_FILENO, TIOCGWINSZ, size) == 0 || ioctl(STDOUT_FILENO, TIOCGWINSZ, size) == 0) &&
           size->ws_row > 0 && size->ws_col > 0;
}

bool terminal_escape(const char *typed, size_t count)
{
    static unsigned times;
    static int64_t first_ms;

    for (size_t i = 0; i < count; i++) {
        if (typed[i] != ESCAPE) {
            times = 0;
            continue;
        }
        if (times == 0 || now_ms() - first_ms > ESCAPE_MS) {
            times = 0;
            first_ms = now_ms();
        }
        if (++times == ESCAPE_TIMES) {
            return true;
        }
    }
    return false;
}

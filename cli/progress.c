/*
 * The progress bar: cli/progress.h.
 */
#include "cli/progress.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"

/* Work that ends within half a second shows no bar. */
enum { FIRST_MS = 500, EVERY_MS = 200, WIDTH = 40 };

void progress_begin(struct progress *progress)
{
    const char *term = getenv("TERM");

    *progress = (struct progress){.shown = isatty(STDERR_FILENO) && !(term && strcmp(term, "dumb") == 0)};
    progress->began_ms = progress->last_ms = now_ms();
}

static void draw(double part, int64_t passed_ms)
{
    char bar[WIDTH + 1], left[32] = "";
    int filled = (int)(part * WIDTH);

    for (int i = 0; i < WIDTH; i++)
        bar[i] = i < filled ? '#' : '.';
    bar[WIDTH] = '\0';
    if (part > 0.01) {
        long seconds = (long)((double)passed_ms * (1 - part) / part / 1000 + 0.5);

        snprintf(left, sizeof(left), ", %ld:%02ld left", seconds / 60, seconds % 60);
    }
    fprintf(stderr, "\r[%s] %3d %%%s\033[K", bar, (int)(part * 100), left);
    fflush(stderr);
}

void progress_show(struct progress *progress, double part)
{
    int64_t now;

    if (!progress->shown)
        return;
    now = now_ms();
    if (now - progress->began_ms < FIRST_MS || now - progress->last_ms < EVERY_MS)
        return;
    progress->last_ms = now;
    progress->drawn = true;
    draw(part < 0 ? 0 : part > 1 ? 1 : part, now - progress->began_ms);
}

void progress_end(struct progress *progress)
{
    if (progress->drawn)
        fprintf(stderr, "\r\033[K");
    progress->drawn = false;
}

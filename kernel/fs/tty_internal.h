/*
 * The terminal's state: shared by tty.c (the program's side) and tty_input.c (the keyboard's side).
 *
 * Input lies in a ring with free-running counters, head <= ready <= tail <= head + TTY_RING_BYTES:
 *
 *     head .. ready   may be read (canonical mode: whole lines)
 *     ready .. tail   the line that is being edited (canonical mode only)
 *
 * A bit of `line_ends` says that the byte ends a line: a newline, an end-of-line character, or the
 * end-of-file character, which is kept as byte 0 and is not given to the reader.
 */
#ifndef KERNEL_FS_TTY_INTERNAL_H
#define KERNEL_FS_TTY_INTERNAL_H

#include <asm/termios.h>

#include "kernel/fs/vfs.h"

enum { TTY_RING_BYTES = 4096, TTY_ECHO_BYTES = 256 };

struct tty {
    struct termios termios;
    struct winsize size;
    int session, pgrp;  /* 0: none */
    struct waitq queue; /* readers, and writers while output is stopped */
    unsigned head, ready, tail;
    uint8_t ring[TTY_RING_BYTES];
    uint64_t line_ends[TTY_RING_BYTES / 64];
    unsigned column;      /* of the cursor */
    unsigned line_column; /* where the line that is being edited begins */
    unsigned granted;     /* bytes that the host may still send */
    bool grants;          /* the host's input comes here */
    bool literal_next;    /* after ^V */
    bool stopped;         /* after ^S */
    bool ended;           /* the host's input has ended */
    unsigned echo_count;  /* echo that is not yet sent */
    char echo[TTY_ECHO_BYTES];
};
extern struct tty tty;

static inline bool tty_local(unsigned flag)
{
    return (tty.termios.c_lflag & flag) != 0;
}

static inline bool tty_line_ends(unsigned at)
{
    return (tty.line_ends[at % TTY_RING_BYTES / 64] >> (at % 64) & 1) != 0;
}

/* One character to the screen, by the output modes, into `to` (TTY_EXPANSION bytes); how many it became.
 * Keeps the cursor's column. */
enum { TTY_EXPANSION = 8 };
size_t tty_expand(char c, char *to);
/* Lets the host send as much as there is room for. */
void tty_grant(void);
/* Forgets input. */
void tty_flush_input(void);
/* Output was allowed again. */
void tty_start_output(void);

#endif

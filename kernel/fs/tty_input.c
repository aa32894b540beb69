/*
 * The line discipline: what happens to a byte from the keyboard. (termios(3), POSIX chapter 11.)
 *
 * Runs inside of interrupts too: never sleeps. Echo is gathered and sent at the end of each piece of input;
 * what the link cannot take then is lost, as on a line that is too slow.
 */
#include <asm/termbits.h>

#include "kernel/dev/hostlink.h"
#include "kernel/fs/internal.h"
#include "kernel/fs/tty_internal.h"
#include "kernel/klib.h"

enum { CONTROL_MASK = 0x1f, DELETE = 0x7f, CARET_FLIP = 0x40, GRANT_STEP = 512, GRANT_LEAST = 256 };

/* ---------------------------------------------------------------- echo */

static void echo_send(void)
{
    if (tty.echo_count != 0)
        (void)hostlink_write(1, tty.echo, tty.echo_count);
    tty.echo_count = 0;
}

static void echo_raw(char c)
{
    char expanded[TTY_EXPANSION];
    size_t count = tty_expand(c, expanded);

    if (tty.echo_count + count > sizeof tty.echo)
        echo_send();
    memcpy(tty.echo + tty.echo_count, expanded, count);
    tty.echo_count += (unsigned)count;
}

static bool is_control(uint8_t c)
{
    return (c <= CONTROL_MASK && c != '\t' && c != '\n') || c == DELETE;
}

static bool is_continuation(uint8_t c)
{
    return (tty.termios.c_iflag & IUTF8) != 0 && (c & 0xc0) == 0x80;
}

/* As it shows on the screen: ^X for control characters. */
static void echo_char(uint8_t c)
{
    if (is_control(c) && tty_local(ECHOCTL)) {
        echo_raw('^');
        echo_raw((char)(c ^ CARET_FLIP));
    } else {
        echo_raw((char)c);
    }
}

static void echo_input(uint8_t c)
{
    if (tty_local(ECHO) || (c == '\n' && tty_local(ECHONL) && tty_local(ICANON)))
        echo_char(c);
}

/* ---------------------------------------------------------------- the ring */

static void ring_put(uint8_t c, bool ends_line)
{
    uint64_t *word = &tty.line_ends[tty.tail % TTY_RING_BYTES / 64];
    uint64_t bit = (uint64_t)1 << (tty.tail % 64);

    tty.ring[tty.tail % TTY_RING_BYTES] = c;
    *word = ends_line ? *word | bit : *word & ~bit;
    tty.tail++;
}

static void line_ready(void)
{
    tty.ready = tty.tail;
    waitq_wake(&tty.queue);
}

/* One place is kept for the end of the line. */
static bool ring_has_room(bool ends_line)
{
    unsigned kept = ends_line || !tty_local(ICANON) ? 0 : 1;

    return tty.tail - tty.head + kept < TTY_RING_BYTES;
}

static void insert(uint8_t c, bool ends_line)
{
    if (!ring_has_room(ends_line)) {
        if ((tty.termios.c_iflag & IMAXBEL) != 0)
            echo_raw('\a');
        return;
    }
    if (tty.tail == tty.ready)
        tty.line_column = tty.column;
    echo_input(c);
    ring_put(c, ends_line);
    if (ends_line || !tty_local(ICANON))
        line_ready();
}

/* ---------------------------------------------------------------- editing the line */

static uint8_t line_last(void)
{
    return tty.ring[(tty.tail - 1) % TTY_RING_BYTES];
}

/* The column behind the line's bytes up to `end`. */
static unsigned line_width(unsigned end)
{
    unsigned column = tty.line_column;

    for (unsigned at = tty.ready; at != end; at++) {
        uint8_t c = tty.ring[at % TTY_RING_BYTES];

        if (c == '\t')
            column = (column | 7) + 1;
        else if (is_control(c))
            column += tty_local(ECHOCTL) ? 2 : 0;
        else if (!is_continuation(c))
            column++;
    }
    return column;
}

/* Takes the last character, all bytes of it, off the line and off the screen. */
static void erase_char(void)
{
    unsigned old_width = line_width(tty.tail), width;

    do
        tty.tail--;
    while (tty.tail != tty.ready && is_continuation(tty.ring[tty.tail % TTY_RING_BYTES]));
    if (!tty_local(ECHO))
        return;
    if (!tty_local(ECHOE)) {
        echo_char(tty.termios.c_cc[VERASE]);
        return;
    }
    width = line_width(tty.tail);
    if (tty.ring[tty.tail % TTY_RING_BYTES] == '\t') {
        for (; old_width > width; old_width--)
            echo_raw('\b');
        return;
    }
    for (; old_width > width; old_width--) {
        echo_raw('\b');
        echo_raw(' ');
        echo_raw('\b');
    }
}

static bool is_word(uint8_t c)
{
    return c >= 0x80 || (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
           c == '_';
}

static void erase_word(void)
{
    while (tty.tail != tty.ready && !is_word(line_last()))
        erase_char();
    while (tty.tail != tty.ready && is_word(line_last()))
        erase_char();
}

static void kill_line(void)
{
    if (tty_local(ECHO) && !(tty_local(ECHOK) && tty_local(ECHOKE) && tty_local(ECHOE))) {
        tty.tail = tty.ready;
        echo_char(tty.termios.c_cc[VKILL]);
        if (tty_local(ECHOK))
            echo_raw('\n');
        return;
    }
    while (tty.tail != tty.ready)
        erase_char();
}

static void reprint_line(void)
{
    if (!tty_local(ECHO))
        return;
    echo_char(tty.termios.c_cc[VREPRINT]);
    echo_raw('\n');
    tty.line_column = tty.column;
    for (unsigned at = tty.ready; at != tty.tail; at++)
        echo_char(tty.ring[at % TTY_RING_BYTES]);
}

/* ---------------------------------------------------------------- one byte */

static bool is_special(uint8_t c, unsigned which)
{
    return c == tty.termios.c_cc[which] && c != 0; /* 0: _POSIX_VDISABLE */
}

/* ^C, ^\ and ^Z. */
static bool input_signal(uint8_t c)
{
    int signo = is_special(c, VINTR)   ? SIGINT
                : is_special(c, VQUIT) ? SIGQUIT
                : is_special(c, VSUSP) ? SIGTSTP
                                       : 0;

    if (signo == 0 || !tty_local(ISIG))
        return false;
    if (!tty_local(NOFLSH))
        tty_flush_input();
    tty_start_output();
    if (tty_local(ECHO))
        echo_char(c);
    if (tty.pgrp != 0)
        (void)signal_send_group(tty.pgrp, signo, NULL);
    return true;
}

/* ^S and ^Q. */
static bool input_flow(uint8_t c)
{
    if ((tty.termios.c_iflag & IXON) == 0)
        return false;
    if (is_special(c, VSTART)) {
        tty_start_output();
        return true;
    }
    if (is_special(c, VSTOP)) {
        tty.stopped = true;
        return true;
    }
    if (tty.stopped && (tty.termios.c_iflag & IXANY) != 0)
        tty_start_output();
    return false;
}

static bool input_canonical(uint8_t c)
{
    bool extended = tty_local(IEXTEN);

    if (is_special(c, VERASE)) {
        if (tty.tail != tty.ready)
            erase_char();
    } else if (is_special(c, VKILL)) {
        kill_line();
    } else if (extended && is_special(c, VWERASE)) {
        erase_word();
    } else if (extended && is_special(c, VREPRINT)) {
        reprint_line();
    } else if (is_special(c, VEOF)) {
        if (ring_has_room(true)) {
            ring_put(0, true);
            line_ready();
        }
    } else if (c == '\n' || is_special(c, VEOL) || (extended && is_special(c, VEOL2))) {
        insert(c, true);
    } else {
        return false;
    }
    return true;
}

static void input_byte(uint8_t c)
{
    unsigned modes = tty.termios.c_iflag;

    if (tty.literal_next) {
        tty.literal_next = false;
        insert(c, false);
        return;
    }
    if ((modes & ISTRIP) != 0)
        c &= 0x7f;
    if (c == '\r') {
        if ((modes & IGNCR) != 0)
            return;
        if ((modes & ICRNL) != 0)
            c = '\n';
    } else if (c == '\n' && (modes & INLCR) != 0) {
        c = '\r';
    }
    if (input_flow(c) || input_signal(c))
        return;
    if (tty_local(ICANON) && tty_local(IEXTEN) && is_special(c, VLNEXT)) {
        tty.literal_next = true;
        if (tty_local(ECHO) && tty_local(ECHOCTL)) {
            echo_raw('^');
            echo_raw('\b');
        }
        return;
    }
    if (tty_local(ICANON) && input_canonical(c))
        return;
    insert(c, false);
}

/* ---------------------------------------------------------------- from the link */

void tty_grant(void)
{
    unsigned room = TTY_RING_BYTES - (tty.tail - tty.head);

    if (!tty.grants)
        return;
    /* A line that is too long is cut, but its end must be able to come, and so must ^C. */
    if (room < GRANT_LEAST && tty_local(ICANON) && tty.ready == tty.head)
        room = GRANT_LEAST;
    if (room < tty.granted + GRANT_STEP && tty.granted >= GRANT_LEAST)
        return;
    if (room <= tty.granted)
        return;
    hostlink_grant(room - tty.granted);
    tty.granted = room;
}

void tty_grant_first(void)
{
    tty.grants = true;
    tty_grant();
}

void tty_input(const void *bytes, size_t count)
{
    const uint8_t *input = bytes;

    tty.granted = count < tty.granted ? tty.granted - (unsigned)count : 0;
    for (size_t i = 0; i < count; i++)
        input_byte(input[i]);
    echo_send();
    tty_grant();
}

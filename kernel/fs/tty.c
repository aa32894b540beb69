/*
 * The terminal: the host's, reached over the link. The program's side: reading, writing, settings, job
 * control.
 */
#include <asm/ioctls.h>
#include <asm/poll.h>
#include <asm/termbits.h>
#include <linux/errno.h>

#include "kernel/boot/boot_info.h"
#include "kernel/dev/hostlink.h"
#include "kernel/fs/internal.h"
#include "kernel/fs/tty_internal.h"
#include "kernel/klib.h"

enum {
    READ_PIECE_BYTES = 128,
    WRITE_PIECE_BYTES = 1024, /* expanded in the rest of a page */
    ROWS_DEFAULT = 24,
    COLUMNS_DEFAULT = 80,
    TAB_WIDTH = 8,
};
static const uint64_t TENTH_NS = 100000000; /* the unit of VTIME */

struct tty tty = {.queue = WAITQ_INIT(tty.queue)};

/* A new terminal's settings, as Linux has them (termios(3)). */
static const struct termios settings_default = {
    .c_iflag = ICRNL | IXON | IUTF8,
    .c_oflag = OPOST | ONLCR,
    .c_cflag = B38400 | CS8 | CREAD | HUPCL,
    .c_lflag = ISIG | ICANON | ECHO | ECHOE | ECHOK | ECHOCTL | ECHOKE | IEXTEN,
    .c_cc = {[VINTR] = 'C' & 0x1f,
             [VQUIT] = '\\' & 0x1f,
             [VERASE] = 0x7f,
             [VKILL] = 'U' & 0x1f,
             [VEOF] = 'D' & 0x1f,
             [VMIN] = 1,
             [VSTART] = 'Q' & 0x1f,
             [VSTOP] = 'S' & 0x1f,
             [VSUSP] = 'Z' & 0x1f,
             [VREPRINT] = 'R' & 0x1f,
             [VDISCARD] = 'O' & 0x1f,
             [VWERASE] = 'W' & 0x1f,
             [VLNEXT] = 'V' & 0x1f},
};

void tty_init(void)
{
    tty.termios = settings_default;
    tty.size.ws_row = (unsigned short)boot_option_number("rows", ROWS_DEFAULT);
    tty.size.ws_col = (unsigned short)boot_option_number("columns", COLUMNS_DEFAULT);
}

/* ---------------------------------------------------------------- job control */

struct orphan_search {
    int pgid, sid;
    bool has_parent; /* somebody in the session, outside of the group, looks after it */
};

static void orphan_visit(struct process *process, void *context)
{
    struct orphan_search *search = context;
    struct process *parent = process->parent;

    if (process->pgid == search->pgid && !process->zombie && parent != NULL && parent->sid == search->sid &&
        parent->pgid != search->pgid)
        search->has_parent = true;
}

static bool group_is_orphaned(const struct process *process)
{
    struct orphan_search search = {.pgid = process->pgid, .sid = process->sid};

    process_for_each(orphan_visit, &search);
    return !search.has_parent;
}

/* May the current process use the terminal as only the foreground may? Otherwise its group is told (SIGTTIN
 * or SIGTTOU), and -EINTR or -EIO. */
static int foreground_check(int signo)
{
    struct process *process = process_current();

    if (process->tty != &tty || tty.pgrp == 0 || process->pgid == tty.pgrp)
        return 0;
    if (signal_is_blocked_or_ignored(signo))
        return signo == SIGTTIN ? -EIO : 0;
    if (group_is_orphaned(process))
        return -EIO;
    (void)signal_send_group(process->pgid, signo, NULL);
    return -EINTR;
}

void tty_adopt(struct process *process)
{
    process->tty = &tty;
    tty.session = process->sid;
    tty.pgrp = process->pgid;
}

int tty_foreground(void)
{
    return tty.pgrp;
}

struct session_end {
    int sid;
};

static void session_end_visit(struct process *process, void *context)
{
    struct session_end *end = context;

    if (process->sid == end->sid)
        process->tty = NULL;
}

void tty_session_end(struct process *process)
{
    struct session_end end = {.sid = process->sid};

    if (process->tty != &tty || tty.session != process->sid)
        return;
    if (tty.pgrp != 0) {
        (void)signal_send_group(tty.pgrp, SIGHUP, NULL);
        (void)signal_send_group(tty.pgrp, SIGCONT, NULL);
    }
    tty.session = tty.pgrp = 0;
    process_for_each(session_end_visit, &end);
}

/* A session leader without a terminal that opens one gets it. */
void tty_opened(unsigned flags)
{
    struct process *process = process_current();

    if (process != NULL && (flags & O_NOCTTY) == 0 && process->tty == NULL && process->sid == process->pid &&
        tty.session == 0)
        tty_adopt(process);
}

/* ---------------------------------------------------------------- reading */

void tty_flush_input(void)
{
    tty.head = tty.ready = tty.tail;
    tty.literal_next = false;
}

/* Is there something that a read may take? */
static bool input_there(void)
{
    return tty.ready != tty.head || tty.ended;
}

/* Waits for input. 0, -EAGAIN, -EINTR, -EIO, or -ETIMEDOUT. */
static int input_wait(const struct file *file, uint64_t deadline_ns)
{
    while (!input_there()) {
        int error;

        if ((file->flags & O_NONBLOCK) != 0)
            return -EAGAIN;
        error = waitq_sleep(&tty.queue, deadline_ns, true);
        if (error == 0)
            error = foreground_check(SIGTTIN);
        if (error != 0)
            return error;
    }
    return 0;
}

/* Takes up to `room` bytes off the ring; in canonical mode no more than one line. *line_over: its end, which
 * may be the end of file, has been taken. */
static size_t ring_take(char *to, size_t room, bool *line_over)
{
    bool canonical = tty_local(ICANON);
    size_t count = 0;

    while (tty.head != tty.ready) {
        unsigned at = tty.head;
        uint8_t c = tty.ring[at % TTY_RING_BYTES];
        bool ends = canonical && tty_line_ends(at);

        if (ends && c == 0) { /* end of file */
            tty.head++;
            *line_over = true;
            break;
        }
        if (count == room)
            break;
        to[count++] = (char)c;
        tty.head++;
        if (ends) {
            *line_over = true;
            break;
        }
    }
    return count;
}

/* Moves what is there to the uio. */
static long input_take(struct uio *uio)
{
    bool line_over = false;
    long done = 0;

    while (uio->left != 0 && tty.head != tty.ready && !line_over) {
        char piece[READ_PIECE_BYTES];
        size_t count = ring_take(piece, uio->left < sizeof piece ? uio->left : sizeof piece, &line_over);
        size_t put = uio_put(uio, piece, count);

        done += (long)put;
        if (put < count)
            return done != 0 ? done : -EFAULT;
    }
    tty_grant();
    return done;
}

/* Raw mode: as many bytes as VMIN says, or until VTIME is over. */
static long raw_read(struct file *file, struct uio *uio)
{
    size_t least = tty.termios.c_cc[VMIN];
    uint64_t time_ns = tty.termios.c_cc[VTIME] * TENTH_NS;
    long done = 0;

    if (least > uio->left)
        least = uio->left;
    for (;;) {
        uint64_t deadline = time_ns != 0 && (done != 0 || least == 0) ? host_now_ns() + time_ns : UINT64_MAX;
        long got;
        int error;

        if (least == 0 && time_ns == 0 && !input_there())
            return 0;
        error = input_wait(file, deadline);
        if (error != 0)
            return done != 0 || error == -ETIMEDOUT ? done : error;
        got = input_take(uio);
        if (got < 0)
            return done != 0 ? done : got;
        done += got;
        if ((size_t)done >= least || got == 0 || tty_local(ICANON))
            return done;
    }
}

static long tty_read(struct file *file, struct uio *uio, uint64_t offset)
{
    int error = foreground_check(SIGTTIN);

    if (error != 0)
        return error;
    if (uio->left == 0)
        return 0;
    if (!tty_local(ICANON))
        return raw_read(file, uio);
    error = input_wait(file, UINT64_MAX);
    return error != 0 ? error : input_take(uio);
}

void tty_end(void)
{
    tty.ended = true;
    tty.ready = tty.tail;
    waitq_wake(&tty.queue);
}

/* ---------------------------------------------------------------- writing */

size_t tty_expand(char c, char *to)
{
    unsigned modes = tty.termios.c_oflag;
    size_t count = 0;

    if ((modes & OPOST) == 0) {
        to[0] = c;
        return 1;
    }
    switch (c) {
    case '\n':
        if ((modes & ONLCR) != 0)
            to[count++] = '\r';
        if ((modes & (ONLCR | ONLRET)) != 0)
            tty.column = 0;
        break;
    case '\r':
        if ((modes & ONOCR) != 0 && tty.column == 0)
            return 0;
        if ((modes & OCRNL) != 0) {
            c = '\n';
            break;
        }
        tty.column = 0;
        break;
    case '\b':
        if (tty.column != 0)
            tty.column--;
        break;
    case '\t':
        if ((modes & TABDLY) == XTABS) {
            do
                to[count++] = ' ';
            while (++tty.column % TAB_WIDTH != 0);
            return count;
        }
        tty.column = (tty.column | (TAB_WIDTH - 1)) + 1;
        break;
    default:
        if ((uint8_t)c >= ' ' && c != 0x7f && ((uint8_t)c & 0xc0) != 0x80)
            tty.column++;
    }
    to[count++] = c;
    return count;
}

void tty_start_output(void)
{
    if (!tty.stopped)
        return;
    tty.stopped = false;
    waitq_wake(&tty.queue);
}

static int output_wait(const struct file *file)
{
    while (tty.stopped) {
        int error = (file->flags & O_NONBLOCK) != 0 ? -EAGAIN : waitq_sleep(&tty.queue, UINT64_MAX, true);

        if (error != 0)
            return error;
    }
    return 0;
}

/* One piece of output: taken from the uio, expanded, sent. Bytes taken, or an error when nothing was. `page`
 * is a page of room. */
static long write_piece(struct uio *uio, char *page)
{
    size_t wanted = uio->left < WRITE_PIECE_BYTES ? uio->left : WRITE_PIECE_BYTES;
    size_t got = uio_get(uio, page, wanted), count = 0;
    char *expanded = page + WRITE_PIECE_BYTES;
    long sent = 0;

    if (got == 0)
        return -EFAULT;
    for (size_t i = 0; i < got && sent >= 0; i++) {
        count += tty_expand(page[i], expanded + count);
        if (count > PAGE_SIZE - WRITE_PIECE_BYTES - TTY_EXPANSION) {
            sent = hostlink_write(1, expanded, count);
            count = 0;
        }
    }
    if (count != 0 && sent >= 0)
        sent = hostlink_write(1, expanded, count);
    return sent < 0 ? sent : (long)got;
}

static long tty_write(struct file *file, struct uio *uio, uint64_t offset)
{
    char *page;
    long done = 0, error = 0;

    if (tty_local(TOSTOP)) {
        error = foreground_check(SIGTTOU);
        if (error != 0)
            return error;
    }
    page = path_buffer();
    if (page == NULL)
        return -ENOMEM;
    while (uio->left != 0 && error == 0) {
        long got;

        error = output_wait(file);
        if (error != 0)
            break;
        got = write_piece(uio, page);
        if (got < 0)
            error = got;
        else
            done += got;
    }
    path_buffer_free(page);
    return done != 0 ? done : error;
}

static unsigned tty_poll(struct file *file, struct waitq_entry *entry)
{
    unsigned events = tty.stopped ? 0 : POLLOUT | POLLWRNORM;

    if (entry != NULL)
        waitq_add(&tty.queue, entry);
    if (input_there())
        events |= POLLIN | POLLRDNORM;
    return events;
}

static int64_t tty_seek(struct file *file, int64_t offset, int whence)
{
    return -ESPIPE;
}

/* ---------------------------------------------------------------- settings */

/* What was typed ahead as a line becomes readable when the lines go away, and nothing then ends a line. */
static void settings_apply(const struct termios *wanted)
{
    bool was_canonical = tty_local(ICANON);

    tty.termios = *wanted;
    if (was_canonical == tty_local(ICANON))
        return;
    memset(tty.line_ends, 0, sizeof tty.line_ends);
    tty.ready = tty.tail;
    tty.literal_next = false;
    waitq_wake(&tty.queue);
}

static long settings_set(unsigned request, uint64_t argument)
{
    bool wide = request == TCSETS2 || request == TCSETSW2 || request == TCSETSF2;
    struct termios wanted = tty.termios;
    int error = foreground_check(SIGTTOU);

    if (error != 0)
        return error;
    error = user_read(&wanted, argument, sizeof wanted); /* struct termios2 begins with it */
    if (error != 0)
        return error;
    (void)wide; /* its speeds mean nothing here */
    if (request == TCSETSF || request == TCSETSF2) {
        tty_flush_input();
        tty_grant();
    }
    settings_apply(&wanted);
    return 0;
}

static long settings_get(unsigned request, uint64_t argument)
{
    struct termios2 wide = {.c_ispeed = 38400, .c_ospeed = 38400};

    if (request == TCGETS)
        return user_write(argument, &tty.termios, sizeof tty.termios);
    memcpy(&wide, &tty.termios, sizeof tty.termios);
    return user_write(argument, &wide, sizeof wide);
}

void tty_resize(unsigned rows, unsigned columns)
{
    if (rows == tty.size.ws_row && columns == tty.size.ws_col)
        return;
    tty.size.ws_row = (unsigned short)rows;
    tty.size.ws_col = (unsigned short)columns;
    if (tty.pgrp != 0)
        (void)signal_send_group(tty.pgrp, SIGWINCH, NULL);
}

static long size_set(uint64_t argument)
{
    struct winsize size;
    int error = user_read(&size, argument, sizeof size);

    if (error != 0)
        return error;
    tty.size.ws_xpixel = size.ws_xpixel;
    tty.size.ws_ypixel = size.ws_ypixel;
    tty_resize(size.ws_row, size.ws_col);
    return 0;
}

/* ---------------------------------------------------------------- who is in front */

struct group_search {
    int pgid, sid;
    bool found;
};

static void group_visit(struct process *process, void *context)
{
    struct group_search *search = context;

    if (process->pgid == search->pgid && process->sid == search->sid)
        search->found = true;
}

static long group_set(uint64_t argument)
{
    struct process *process = process_current();
    struct group_search search = {.sid = process->sid};
    int error = foreground_check(SIGTTOU);

    if (error == -EIO)
        return -ENOTTY;
    if (error != 0)
        return error;
    if (process->tty != &tty || tty.session != process->sid)
        return -ENOTTY;
    error = user_read(&search.pgid, argument, sizeof search.pgid);
    if (error != 0)
        return error;
    if (search.pgid <= 0)
        return -EINVAL;
    process_for_each(group_visit, &search);
    if (!search.found)
        return -EPERM;
    tty.pgrp = search.pgid;
    return 0;
}

static long number_get(uint64_t argument, int number)
{
    return user_write(argument, &number, sizeof number);
}

static long controlling_get(uint64_t argument, int number)
{
    return process_current()->tty != &tty ? -ENOTTY : number_get(argument, number);
}

static long controlling_take(uint64_t force)
{
    struct process *process = process_current();

    if (process->tty == &tty && tty.session == process->sid)
        return 0;
    if (process->sid != process->pid || process->tty != NULL)
        return -EPERM;
    if (tty.session != 0) {
        struct session_end end = {.sid = tty.session};

        if (force != 1)
            return -EPERM;
        process_for_each(session_end_visit, &end);
    }
    tty_adopt(process);
    return 0;
}

static long controlling_leave(void)
{
    struct process *process = process_current();

    if (process->tty != &tty)
        return -ENOTTY;
    if (process->sid == process->pid)
        tty_session_end(process);
    process->tty = NULL;
    return 0;
}

/* ---------------------------------------------------------------- ioctl */

static long input_flush(uint64_t which)
{
    if (which > TCIOFLUSH)
        return -EINVAL;
    if (which != TCOFLUSH) {
        tty_flush_input();
        tty_grant();
    }
    return 0;
}

static long output_flow(uint64_t action)
{
    switch (action) {
    case TCOOFF:
        tty.stopped = true;
        return 0;
    case TCOON:
        tty_start_output();
        return 0;
    case TCIOFF:
    case TCION:
        return 0;
    default:
        return -EINVAL;
    }
}

static long tty_ioctl(struct file *file, unsigned request, uint64_t argument)
{
    switch (request) {
    case TCGETS:
    case TCGETS2:
        return settings_get(request, argument);
    case TCSETS:
    case TCSETSW:
    case TCSETSF:
    case TCSETS2:
    case TCSETSW2:
    case TCSETSF2:
        return settings_set(request, argument);
    case TCFLSH:
        return input_flush(argument);
    case TCXONC:
        return output_flow(argument);
    case TCSBRK:
    case TCSBRKP:
        return foreground_check(SIGTTOU);
    case TIOCGWINSZ:
        return user_write(argument, &tty.size, sizeof tty.size);
    case TIOCSWINSZ:
        return size_set(argument);
    case TIOCGPGRP:
        return controlling_get(argument, tty.pgrp);
    case TIOCSPGRP:
        return group_set(argument);
    case TIOCGSID:
        return controlling_get(argument, tty.session);
    case TIOCSCTTY:
        return controlling_take(argument);
    case TIOCNOTTY:
        return controlling_leave();
    case FIONREAD:
        return number_get(argument, (int)(tty.ready - tty.head));
    case TIOCOUTQ:
    case TIOCGETD:
    case TIOCGSOFTCAR:
        return number_get(argument, 0);
    case TIOCEXCL:
    case TIOCNXCL:
        return 0;
    default:
        return -ENOTTY;
    }
}

const struct file_ops tty_file_ops = {
    .read = tty_read,
    .write = tty_write,
    .poll = tty_poll,
    .ioctl = tty_ioctl,
    .seek = tty_seek,
};

bool file_is_tty(const struct file *file)
{
    return file->ops == &tty_file_ops;
}

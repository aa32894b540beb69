/*
 * A running machine, from the start of QEMU to its end: one loop over poll().
 *
 *   terminal, files, pipes <-> streams <-\
 *   quire dump              <-> control <-+-> link <-> kernel
 *   signals, --timeout      --------------/
 *   the kernel's log (COM1)  -> kept, shown after a panic or with --verbose
 *
 * How it ends: the kernel sends the exit status, then ends the machine; or QEMU ends without one (a panic, a
 * failure); or we kill QEMU (timeout, signals). After that everything that is under way is still delivered.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/boot.h"
#include "cli/control.h"
#include "cli/events.h"
#include "cli/machine.h"
#include "cli/report.h"
#include "cli/streams.h"
#include "cli/terminal.h"

enum {
    LOG_KEPT = 64 << 10,    /* of the kernel's log, for a panic */
    SIGNAL_GRACE_MS = 3000, /* from passing SIGTERM on to killing */
    EXIT_GRACE_MS = 5000    /* from the exit status to the end of QEMU */
};

enum {
    FD_LINK,
    FD_LOG,
    FD_ERRORS,
    FD_SIGNALS,
    FD_STREAMS,
    FD_CONTROL = FD_STREAMS + STREAM_FDS,
    FD_COUNT = FD_CONTROL + CONTROL_FDS
};

struct session {
    const struct boot_options *options;
    struct qemu *qemu;
    struct link link;
    struct streams streams;
    struct control control;
    struct machine machine;
    struct events events;
    struct queue log;    /* the last LOG_KEPT bytes */
    struct queue errors; /* what QEMU said */
    int log_file;        /* --log; -1: none */
    int signals;         /* signalfd */

    bool spoken;  /* the kernel has sent a frame */
    bool exited;  /* it has sent the exit status */
    bool reaped;  /* QEMU has ended */
    bool broken;  /* the link carries nonsense */
    bool abandon; /* a second signal: do not even deliver what is left */
    bool timed_out;
    int killed_by; /* the signal that ended us, 0: none */
    uint32_t exit_status;
    int wait_status;   /* QEMU's */
    int64_t deadline;  /* --timeout; 0: none */
    int64_t kill_time; /* when QEMU is killed if it is still there; 0: not planned */
    char *report;
    size_t report_length;
    size_t screenshot_seen; /* of the marker, matched so far */
    bool screenshot_failed;
};

static int session_open(struct session *session);
static void session_step(struct session *session);
static bool session_over(const struct session *session);
static int session_close(struct session *session);

int session_run(struct qemu *qemu, const struct boot_options *options)
{
    struct session session = {.options = options, .qemu = qemu, .log_file = -1};
    int status = session_open(&session);

    if (status) {
        kill(qemu->pid, SIGKILL);
        waitpid(qemu->pid, NULL, 0);
        return status;
    }
    while (!session_over(&session)) {
        session_step(&session);
    }
    return session_close(&session);
}

/* ------------------------------------------------------------------ opening */

static void reap(struct session *session)
{
    if (!session->reaped && waitpid(session->qemu->pid, &session->wait_status, WNOHANG) > 0) {
        session->reaped = true;
    }
}

/* A signal that we were started to ignore (nohup, a shell's background) stays ignored. */
static int open_signals(void)
{
    static const int wanted[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGCHLD, SIGWINCH, SIGCONT};
    sigset_t set;

    sigemptyset(&set);
    signal(SIGCHLD, SIG_DFL); /* ignored, nobody could be waited for */
    for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++) {
        struct sigaction action;

        if (sigaction(wanted[i], NULL, &action) == 0 && action.sa_handler != SIG_IGN) {
            sigaddset(&set, wanted[i]);
        }
    }
    sigprocmask(SIG_BLOCK, &set, NULL);
    return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

static bool open_log(struct session *session)
{
    const char *path = session->options->log;

    if (session->options->demo && !path) {
        path = "-";
    }
    if (!path) {
        return true;
    }
    session->log_file = strcmp(path, "-") == 0 ? fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3)
                                               : open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (session->log_file < 0) {
        say("boot: --log: %s: %s", path, strerror(errno));
    }
    return session->log_file >= 0;
}

static bool open_machine(struct session *session)
{
    char number[16];
    const char *why = NULL;
    const char *name = session->options->name;

    snprintf(number, sizeof(number), "%d", (int)getpid());
    if (machine_open(&session->machine, name ? name : number, &why) || !name) {
        return true; /* without a wish for a name it is only that quire dump does not find us */
    }
    say("boot: --name: %s: %s", name, why);
    return false;
}

static int session_open(struct session *session)
{
    session->link.fd = session->qemu->link;
    session->signals = open_signals();
    reap(session); /* it may have ended before its signal was blocked */
    if (session->options->timeout_ms > 0) {
        session->deadline = now_ms() + session->options->timeout_ms;
    }
    streams_init(&session->streams);
    if (!open_log(session) || !events_open(&session->events, session->options) || !open_machine(session)) {
        return EXIT_USAGE;
    }
    control_init(&session->control, session->machine.listen);
    if (!session->options->demo) {
        session->streams.input_usable = terminal_take();
    }
    return 0;
}

/* ------------------------------------------------------------------ what comes from the machine */

static void handle_frame(struct session *session, const struct link_header *header, const char *bytes)
{
    uint32_t number = 0;

    if (header->length >= sizeof(number)) {
        memcpy(&number, bytes, sizeof(number));
    }
    session->spoken = true;
    switch (header->kind) {
    case LINK_OUTPUT:
        streams_put(&session->streams, header->stream, bytes, header->length);
        break;
    case LINK_GRANT:
        session->streams.window += number;
        break;
    case LINK_DUMP:
        control_answer(&session->control, header->stream, bytes, header->length);
        break;
    case LINK_REPORT:
        free(session->report);
        session->report = memcpy(must_alloc(header->length + 1), bytes, header->length);
        session->report_length = header->length;
        break;
    case LINK_EXIT:
        session->exited = true;
        session->exit_status = number;
        session->kill_time = now_ms() + EXIT_GRACE_MS;
        break;
    case LINK_EVENTS:
        events_take(&session->events, bytes, header->length);
        break;
    case LINK_LOG: /* COM1 brings the same line */
    default:       /* of a newer kernel */
        break;
    }
}

static void handle_frames(struct session *session)
{
    struct link_header header;
    const char *bytes;

    while (!streams_full(&session->streams) &&
           link_frame(&session->link, &header, &bytes, &session->broken)) {
        handle_frame(session, &header, bytes);
        link_drop(&session->link, &header);
    }
    if (session->broken && !session->kill_time) {
        say("boot: the link to the kernel carries no frames of the protocol; ending the machine");
        session->kill_time = now_ms();
    }
}

/* The demo says when its picture is on the screen, and goes on when it gets a byte. */
static void look_for_screenshot(struct session *session, const char *bytes, size_t count)
{
    static const char marker[] = "screenshot now";

    for (size_t i = 0; i < count && session->options->screenshot; i++) {
        if (bytes[i] == marker[session->screenshot_seen]) {
            session->screenshot_seen++;
        } else {
            session->screenshot_seen = bytes[i] == marker[0];
        }
        if (marker[session->screenshot_seen] == '\0') {
            session->screenshot_seen = 0;
            session->screenshot_failed = !qemu_screenshot(session->qemu, session->options->screenshot);
            if (write(session->qemu->log, "\n", 1) < 0) {
                session->screenshot_failed = true;
            }
        }
    }
}

static void write_all(int fd, const char *bytes, size_t count)
{
    while (count > 0) {
        ssize_t done = write(fd, bytes, count);

        if (done < 0 && errno != EINTR) {
            return;
        }
        bytes += done > 0 ? done : 0;
        count -= done > 0 ? (size_t)done : 0;
    }
}

static bool handle_log(struct session *session)
{
    char block[4096];
    ssize_t got = read(session->qemu->log, block, sizeof(block));

    if (got <= 0) {
        return got < 0 && (errno == EAGAIN || errno == EINTR);
    }
    queue_put(&session->log, block, (size_t)got);
    if (queue_length(&session->log) > LOG_KEPT) {
        queue_drop(&session->log, queue_length(&session->log) - LOG_KEPT);
    }
    if (session->log_file >= 0) {
        write_all(session->log_file, block, (size_t)got);
    }
    if (session->options->verbose) {
        write_all(STDERR_FILENO, block, (size_t)got);
    }
    look_for_screenshot(session, block, (size_t)got);
    return true;
}

static bool handle_errors(struct session *session)
{
    char block[4096];
    ssize_t got = read(session->qemu->errors, block, sizeof(block));

    if (got > 0 && queue_length(&session->errors) < LOG_KEPT) {
        queue_put(&session->errors, block, (size_t)got);
    }
    return got > 0 || (got < 0 && (errno == EAGAIN || errno == EINTR));
}

/* ------------------------------------------------------------------ signals and time */

static void send_window_size(struct session *session)
{
    struct winsize size;

    if (terminal_size(&size)) {
        uint16_t cells[2] = {size.ws_row, size.ws_col};

        link_send(&session->link, LINK_WINSIZE, 0, cells, sizeof(cells));
    }
}

/* The first signal goes to the program, which gets a little time; the second ends the machine. Before the
 * kernel runs, and after the program's end, there is nobody to pass it to. */
static void end_by_signal(struct session *session, int signal)
{
    uint32_t number = (uint32_t)signal;

    if (session->killed_by || session->exited || !session->spoken) {
        session->kill_time = now_ms();
        session->abandon = session->exited || session->killed_by != 0;
        session->killed_by = signal;
        return;
    }
    session->killed_by = signal;
    session->kill_time = now_ms() + SIGNAL_GRACE_MS;
    link_send(&session->link, LINK_SIGNAL, 0, &number, sizeof(number));
}

static void handle_signals(struct session *session)
{
    struct signalfd_siginfo info;

    while (read(session->signals, &info, sizeof(info)) == sizeof(info)) {
        switch (info.ssi_signo) {
        case SIGCHLD:
            reap(session);
            break;
        case SIGWINCH:
            send_window_size(session);
            break;
        case SIGCONT:
            if (!session->options->demo) {
                session->streams.input_usable = terminal_take();
                send_window_size(session);
            }
            break;
        default:
            end_by_signal(session, (int)info.ssi_signo);
            break;
        }
    }
}

static int wait_ms(const struct session *session)
{
    int64_t first = session->deadline;

    if (session->kill_time && (!first || session->kill_time < first)) {
        first = session->kill_time;
    }
    if (!first || session->reaped) {
        return -1;
    }
    int64_t left = first - now_ms();

    return left < 0 ? 0 : left > 60000 ? 60000 : (int)left;
}

static void handle_time(struct session *session)
{
    int64_t now = now_ms();

    if (session->reaped) {
        return;
    }
    if (session->deadline && now >= session->deadline && !session->exited) {
        session->timed_out = true;
        session->kill_time = now;
        session->deadline = 0;
    }
    if (session->streams.escaped) {
        session->streams.escaped = false;
        session->killed_by = SIGTERM;
        session->kill_time = now;
    }
    if (session->kill_time && now >= session->kill_time) {
        kill(session->qemu->pid, SIGKILL);
        session->kill_time = now + EXIT_GRACE_MS;
    }
}

/* ------------------------------------------------------------------ the loop */

static void prepare(const struct session *session, struct pollfd *fds)
{
    short link_events = queue_length(&session->link.out) ? POLLOUT : 0;
    bool link_open = !session->link.ended;

    if (!streams_full(&session->streams)) {
        link_events |= POLLIN;
    }
    fds[FD_LINK] =
        (struct pollfd){.fd = link_open && link_events ? session->link.fd : -1, .events = link_events};
    fds[FD_LOG] = (struct pollfd){.fd = session->qemu->log, .events = POLLIN};
    fds[FD_ERRORS] = (struct pollfd){.fd = session->qemu->errors, .events = POLLIN};
    fds[FD_SIGNALS] = (struct pollfd){.fd = session->signals, .events = POLLIN};
    streams_prepare(&session->streams, fds + FD_STREAMS, &session->link, link_open && !session->exited);
    control_prepare(&session->control, fds + FD_CONTROL);
}

static void close_fd(int *fd)
{
    close(*fd);
    *fd = -1;
}

static void session_step(struct session *session)
{
    struct pollfd fds[FD_COUNT];

    prepare(session, fds);
    if (poll(fds, FD_COUNT, wait_ms(session)) < 0) {
        memset(fds, 0, sizeof(fds));
    }
    if (fds[FD_SIGNALS].revents) {
        handle_signals(session);
    }
    if (fds[FD_LOG].revents && !handle_log(session)) {
        close_fd(&session->qemu->log);
    }
    if (fds[FD_ERRORS].revents && !handle_errors(session)) {
        close_fd(&session->qemu->errors);
    }
    if (fds[FD_LINK].revents & POLLOUT) {
        link_flush(&session->link);
    }
    if (fds[FD_LINK].revents & (POLLIN | POLLHUP | POLLERR)) {
        link_receive(&session->link);
    }
    streams_serve(&session->streams, fds + FD_STREAMS, &session->link);
    handle_frames(session);
    control_serve(&session->control, fds + FD_CONTROL, &session->link);
    handle_time(session);
}

/* QEMU is gone and all that it sent has been delivered. */
static bool session_over(const struct session *session)
{
    if (!session->reaped) {
        return false;
    }
    return session->abandon || (session->link.ended && session->qemu->log < 0 && session->qemu->errors < 0 &&
                                streams_empty(&session->streams));
}

/* ------------------------------------------------------------------ closing */

static void show(const char *title, const struct queue *text)
{
    say("%s", title);
    fwrite(queue_front(text), 1, queue_length(text), stderr);
    if (queue_length(text) > 0 && queue_front(text)[queue_length(text) - 1] != '\n') {
        fputc('\n', stderr);
    }
}

/* Why there is no exit status of a program, and what quire's is then. */
static int explain_end(struct session *session)
{
    int code = WIFEXITED(session->wait_status) ? WEXITSTATUS(session->wait_status) : -1;
    bool log_shown = session->options->verbose || session->log_file >= 0;

    if (session->timed_out) {
        say("boot: --timeout: the machine did not end within %g seconds; it was stopped",
            (double)session->options->timeout_ms / 1000);
        return EXIT_TIMEOUT;
    }
    if (session->killed_by) {
        return EXIT_SIGNAL + session->killed_by;
    }
    if (code == QEMU_DONE || code == QEMU_FAILED) {
        return code == QEMU_FAILED;
    }
    if (queue_length(&session->errors) > 0) {
        show("boot: QEMU:", &session->errors);
    }
    if (code < 0) {
        say("boot: QEMU was ended by signal %d", WTERMSIG(session->wait_status));
    } else if (code == 0) {
        say("boot: the machine reset itself");
    } else if (code == QEMU_PANIC) {
        say("boot: the kernel panicked");
    } else if (code == QEMU_CANNOT_BOOT) {
        say("boot: the kernel does not start");
    } else {
        say("boot: QEMU ended with status %d", code);
    }
    if (!log_shown && queue_length(&session->log) > 0) {
        show("boot: the kernel's log:", &session->log);
    }
    return EXIT_MACHINE;
}

static int session_close(struct session *session)
{
    int status;

    terminal_give_back();
    status = session->exited ? (int)(session->exit_status & 255) : explain_end(session);
    int report_status = session->timed_out || session->abandon || session->options->demo
                            ? 0
                            : report_print(session->report, session->report_length, session->options);

    if (status == 0) {
        status = report_status;
    }
    int events_status = events_close(&session->events);

    if (status == 0) {
        status = events_status;
    }
    if (session->screenshot_failed) {
        say("boot: --screenshot: %s: no picture was taken", session->options->screenshot);
        status = status ? status : EXIT_MACHINE;
    }
    if (status == 0 && session->streams.outputs[0].failed) {
        status = 1;
    }
    machine_close(&session->machine);
    control_close(&session->control);
    streams_free(&session->streams);
    link_free(&session->link);
    queue_free(&session->log);
    queue_free(&session->errors);
    free(session->report);
    return status;
}

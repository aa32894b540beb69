/*
 * Starts QEMU with the machine that the kernel expects (docs/ARCHITECTURE.md): q35, one CPU, PVH boot,
 * virtio-serial for the link, COM1 for the log, virtio-9p for the share.
 *
 * QEMU gets its ends of socket pairs as inherited descriptors and the initramfs as /dev/fd/N, so that no file
 * is left behind however this ends. It is in a session of its own (Ctrl-C of the terminal does not reach it)
 * and gets SIGKILL when quire dies.
 */
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <linux/io_uring.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "cli/boot.h"
#include "cli/report.h"

enum { SCREENSHOT_MS = 10000 };

/* A firmware that does little: it starts the kernel with 2 % of SeaBIOS's instructions. Without it QEMU's own
 * choice does. */
static const char quick_firmware[] = "/usr/share/qemu/qboot.rom";

/* A pair of connected descriptors: ours is closed in QEMU, the other is inherited by it. */
struct channel {
    int ours, theirs;
};

struct channels {
    struct channel link, log, qmp, errors;
};

static bool channels_open(struct channels *channels, bool with_qmp);
static void channels_close_theirs(struct channels *channels);
static void machine_arguments(struct strings *line, const struct boot_options *options);
/*
 * ioeventfd=off: a device's queue is looked at by the CPU's own thread when the kernel rings, not by another
 * that must be woken first, and that polls a descriptor for each queue there could be each time. Paging to
 * the swap disk takes a third of the time, with io_uring below (docs/decisions/0024).
 */
static void device_arguments(struct strings *line, const struct boot_options *options,
                             const struct channels *channels);
static void swap_arguments(struct strings *line, int fd);
static char *kernel_command_line(const struct boot_options *options);
static _Noreturn void qemu_become(const char *program, char **line, const struct channels *channels,
                                  const struct qemu_files *files, pid_t parent);

static void add(struct strings *line, const char *word)
{
    strings_add(line, must_copy(word));
}

bool qemu_start(struct qemu *qemu, const struct boot_options *options, const char *program,
                const struct qemu_files *files)
{
    struct channels channels;
    struct strings line = {0};
    pid_t parent = getpid();

    if (!channels_open(&channels, options->screenshot != NULL)) {
        say("boot: cannot make sockets: %s", strerror(errno));
        return false;
    }
    add(&line, program);
    machine_arguments(&line, options);
    add(&line, "-kernel");
    add(&line, files->kernel);
    add(&line, "-initrd");
    strings_add(&line, must_format("/dev/fd/%d", files->initramfs));
    add(&line, "-append");
    strings_add(&line, kernel_command_line(options));
    device_arguments(&line, options, &channels);
    if (files->swap >= 0) {
        swap_arguments(&line, files->swap);
    }
    if (options->verbose) {
        for (size_t i = 0; i < line.count; i++) {
            fprintf(stderr, "%s%s", line.items[i], i + 1 < line.count ? " " : "\n");
        }
    }
    qemu->pid = fork();
    if (qemu->pid == 0) {
        qemu_become(program, line.items, &channels, files, parent);
    }
    strings_free(&line);
    channels_close_theirs(&channels);
    qemu->link = channels.link.ours;
    qemu->log = channels.log.ours;
    qemu->qmp = channels.qmp.ours;
    qemu->errors = channels.errors.ours;
    if (qemu->pid < 0) {
        say("boot: cannot start QEMU: %s", strerror(errno));
        return false;
    }
    return true;
}

static bool socket_channel(struct channel *channel)
{
    int ends[2];

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0) {
        return false;
    }
    *channel = (struct channel){ends[0], ends[1]};
    return fcntl(ends[0], F_SETFL, O_NONBLOCK) == 0;
}

static bool channels_open(struct channels *channels, bool with_qmp)
{
    int ends[2];

    channels->qmp = (struct channel){-1, -1};
    if (!socket_channel(&channels->link) || !socket_channel(&channels->log) ||
        (with_qmp && !socket_channel(&channels->qmp)) || pipe2(ends, O_CLOEXEC) < 0) {
        return false;
    }
    channels->errors = (struct channel){ends[0], ends[1]};
    return fcntl(ends[0], F_SETFL, O_NONBLOCK) == 0;
}

static void channels_close_theirs(struct channels *channels)
{
    close(channels->link.theirs);
    close(channels->log.theirs);
    close(channels->errors.theirs);
    if (channels->qmp.theirs >= 0) {
        close(channels->qmp.theirs);
    }
}

static void machine_arguments(struct strings *line, const struct boot_options *options)
{
    static const char *const fixed[] = {"-accel",    "tcg",      "-M",   "q35",         "-smp",
                                        "1",         "-display", "none", "-nodefaults", "-no-user-config",
                                        "-no-reboot"};

    for (size_t i = 0; i < sizeof(fixed) / sizeof(fixed[0]); i++) {
        add(line, fixed[i]);
    }
    add(line, "-m");
    strings_add(line, must_format("%lluK", (unsigned long long)(options->memory_bytes >> 10)));
    add(line, "-cpu");
    if (options->icount) {
        add(line, options->cpu ? options->cpu : "max,-erms");
        add(line, "-icount");
        add(line, "shift=0,sleep=off");
        add(line, "-rtc"); /* the same date and the same random numbers each time, for the same figures */
        add(line, "base=2026-01-01T00:00:00,clock=vm");
        add(line, "-seed");
        add(line, "1");
    } else {
        add(line, options->cpu ? options->cpu : "max");
    }
}

/* QEMU takes a comma for the end of a value: two mean one. */
static char *double_commas(const char *text)
{
    char *out = must_alloc(strlen(text) * 2 + 1);
    char *at = out;

    for (; *text; text++) {
        *at++ = *text;
        if (*text == ',') {
            *at++ = ',';
        }
    }
    *at = '\0';
    return out;
}

/* A folder of the host, for virtio-9p. */
static void add_folder(struct strings *line, const char *tag, const char *folder, const char *more)
{
    char *path = double_commas(folder);

    add(line, "-fsdev");
    strings_add(line,
                must_format("local,id=%s,path=%s,security_model=none,multidevs=remap%s", tag, path, more));
    add(line, "-device");
    strings_add(line, must_format("virtio-9p-pci,fsdev=%s,mount_tag=%s", tag, tag));
    free(path);
}

static void device_arguments(struct strings *line, const struct boot_options *options,
                             const struct channels *channels)
{
    static const char *const fixed[] = {"-device", "isa-debug-exit,iobase=0xf4,iosize=0x04",
                                        "-serial", "chardev:log",
                                        "-device", "virtio-serial-pci,max_ports=2,ioeventfd=off",
                                        "-device", "virtserialport,chardev=link,name=quire.link"};

    add(line, "-chardev");
    strings_add(line, must_format("socket,id=log,fd=%d", channels->log.theirs));
    add(line, "-chardev");
    strings_add(line, must_format("socket,id=link,fd=%d", channels->link.theirs));
    for (size_t i = 0; i < sizeof(fixed) / sizeof(fixed[0]); i++) {
        add(line, fixed[i]);
    }
    if (options->root) {
        add_folder(line, "root", options->root, ",readonly=on");
    }
    if (options->share) {
        add_folder(line, "share", options->share, "");
    }
    if (options->demo) { /* SeaBIOS runs the VGA's BIOS, which sets the text mode */
        add(line, "-vga");
        add(line, "std");
    } else if (access(quick_firmware, R_OK) == 0) {
        add(line, "-bios");
        add(line, quick_firmware);
    }
    if (options->screenshot) {
        add(line, "-chardev");
        strings_add(line, must_format("socket,id=qmp,fd=%d", channels->qmp.theirs));
        add(line, "-mon");
        add(line, "chardev=qmp,mode=control");
    }
}

/* Whether this host lets us use io_uring. QEMU does not start when it is told to and may not. */
static bool io_uring_allowed(void)
{
    struct io_uring_params parameters = {0};
    long ring = syscall(SYS_io_uring_setup, 1, &parameters);

    if (ring < 0) {
        return false;
    }
    close((int)ring);
    return true;
}

/*
 * The swap disk. What is on it need not outlive the machine, so QEMU never flushes it, and the host's page
 * cache may keep it (cache.direct=off): small files are never written to the host's disk at all. What goes
 * wrong is told to the kernel; QEMU's own way is to stop the machine when the host's disk is full.
 */
static void swap_arguments(struct strings *line, int fd)
{
    add(line, "-blockdev");
    strings_add(line, must_format("driver=file,node-name=swap-file,filename=/dev/fd/%d,cache.direct=off,"
                                  "cache.no-flush=on,discard=unmap,aio=%s",
                                  fd, io_uring_allowed() ? "io_uring" : "threads"));
    add(line, "-blockdev");
    add(line, "driver=raw,node-name=swap,file=swap-file,cache.direct=off,cache.no-flush=on,discard=unmap");
    add(line, "-device");
    add(line, "virtio-blk-pci,ioeventfd=off,drive=swap,serial=swap,rerror=report,werror=report");
}

static const char *stream_kind(int fd)
{
    return isatty(fd) ? "tty" : "pipe";
}

/* For the kernel: sizes in bytes. */
static char *swap_words(const struct swap_options *swap)
{
    char *disk = swap->bytes ? must_format(" swap=%llu", (unsigned long long)swap->bytes) : must_copy("");
    char *ram =
        swap->ram_bytes ? must_format(" swap-ram=%llu", (unsigned long long)swap->ram_bytes) : must_copy("");
    char *words = swap->compress_bytes
                      ? must_format("%s swap-compress=%llu", disk, (unsigned long long)swap->compress_bytes)
                      : must_format("%s%s", disk, ram);

    free(disk);
    free(ram);
    return words;
}

static char *kernel_command_line(const struct boot_options *options)
{
    struct winsize size = {0};

    if (ioctl(STDIN_FILENO, TIOCGWINSZ, &size) < 0) {
        ioctl(STDOUT_FILENO, TIOCGWINSZ, &size);
    }
    char *window = size.ws_row && size.ws_col ? must_format(" rows=%u columns=%u", size.ws_row, size.ws_col)
                                              : must_copy("");
    char *swap = swap_words(&options->swap);
    char *paging = paging_words(&options->paging);
    char *record = options->record ? must_format(" record=%llu", (unsigned long long)options->record_window)
                                   : must_copy("");
    char *line = must_format(
        "stdio=%s,%s,%s report=1%s%s%s%s%s%s%s%s%s%s%s%s%s%s%s%s", stream_kind(0), stream_kind(1),
        stream_kind(2), window, report_wanted(options) ? " samples=1" : "", swap, paging,
        options->root ? " root=1" : "", options->share ? " share=1" : "", options->no_aslr ? " noaslr" : "",
        options->icount ? " icount=1" : "", options->demo ? " demo=" : "", options->demo ? options->demo : "",
        options->screenshot ? " pause=1" : "", options->events ? " events=1" : "",
        options->check ? " check=1" : "", record, options->append ? " " : "",
        options->append ? options->append : "");

    free(window);
    free(swap);
    free(paging);
    free(record);
    return line;
}

static bool keep_open(int fd)
{
    return fd < 0 || fcntl(fd, F_SETFD, 0) == 0;
}

static _Noreturn void qemu_become(const char *program, char **line, const struct channels *channels,
                                  const struct qemu_files *files, pid_t parent)
{
    sigset_t none;
    int null = open("/dev/null", O_RDWR);

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) {
        _exit(EXIT_MACHINE);
    }
    setsid();
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    signal(SIGPIPE, SIG_DFL);
    dup2(null, STDIN_FILENO);
    dup2(channels->errors.theirs, STDOUT_FILENO);
    dup2(channels->errors.theirs, STDERR_FILENO);
    if (keep_open(channels->link.theirs) && keep_open(channels->log.theirs) &&
        keep_open(channels->qmp.theirs) && keep_open(files->initramfs) && keep_open(files->swap)) {
        execv(program, line);
    }
    dprintf(STDERR_FILENO, "%s: %s\n", program, strerror(errno));
    _exit(EXIT_MACHINE);
}

/* The next line of QMP that answers a command; false when none comes until the deadline. */
static bool qmp_answer(struct qemu *qemu, int64_t deadline)
{
    char text[8192];
    size_t length = 0;

    while (now_ms() < deadline && length < sizeof(text) - 1) {
        struct pollfd wait = {.fd = qemu->qmp, .events = POLLIN};

        if (poll(&wait, 1, (int)(deadline - now_ms())) <= 0 || read(qemu->qmp, text + length, 1) <= 0) {
            return false;
        }
        if (text[length++] != '\n') {
            continue;
        }
        json_t *answer = json_loadb(text, length, 0, NULL);
        const char *error = json_string_value(json_object_get(json_object_get(answer, "error"), "desc"));
        bool done = json_object_get(answer, "return") != NULL;

        if (error) {
            say("boot: --screenshot: QEMU: %s", error);
        }
        bool failed = error != NULL;

        json_decref(answer);
        if (done || failed) {
            return done;
        }
        length = 0; /* the greeting, or an event */
    }
    return false;
}

static bool qmp_command(struct qemu *qemu, json_t *command, int64_t deadline)
{
    char *text = json_dumps(command, JSON_COMPACT);
    bool sent =
        write(qemu->qmp, text, strlen(text)) == (ssize_t)strlen(text) && write(qemu->qmp, "\n", 1) == 1;

    free(text);
    json_decref(command);
    return sent && qmp_answer(qemu, deadline);
}

bool qemu_screenshot(struct qemu *qemu, const char *file)
{
    int64_t deadline = now_ms() + SCREENSHOT_MS;
    json_t *arguments = json_pack("{s:s}", "filename", file);

    return qmp_command(qemu, json_pack("{s:s}", "execute", "qmp_capabilities"), deadline) &&
           qmp_command(qemu, json_pack("{s:s,s:o}", "execute", "screendump", "arguments", arguments),
                       deadline);
}

/*
 * Finds the parts of a machine on the host: the kernel image, QEMU, programs.
 */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/boot.h"

static bool is_file(const char *path)
{
    struct stat info;

    return stat(path, &info) == 0 && S_ISREG(info.st_mode);
}

/* The first of these places, seen from the folder of this command, where there is a file; NULL: none. */
static char *find_part(const char *const *places)
{
    char self[PATH_MAX];
    ssize_t length = readlink("/proc/self/exe", self, sizeof(self) - 1);

    self[length > 0 ? length : 0] = '\0';
    char *slash = strrchr(self, '/');

    if (slash) {
        *slash = '\0';
    }
    for (; *places; places++) {
        char *path = must_format("%s/%s", self, *places);

        if (is_file(path)) {
            return path;
        }
        free(path);
    }
    return NULL;
}

char *locate_kernel(const char *wanted)
{
    const char *from_environment = getenv("QUIRE_KERNEL");

    if (wanted || (from_environment && *from_environment)) {
        const char *path = wanted ? wanted : from_environment;

        if (access(path, R_OK) == 0 && is_file(path)) {
            return must_copy(path);
        }
        say("boot: %s: %s: expected a kernel image: %s", wanted ? "--kernel" : "$QUIRE_KERNEL", path,
            errno ? strerror(errno) : "not a file");
        return NULL;
    }
    static const char *const places[] = {"kernel/quire-kernel", "../lib/quire/quire-kernel", NULL};
    char *path = find_part(places);

    if (!path) {
        say("boot: the kernel image is missing: expected %s beside this command; run `make`, or name one "
            "with "
            "--kernel",
            places[0]);
    }
    return path;
}

char *locate_recorder(void)
{
    static const char *const places[] = {"sim/quire-recorder.so", "../lib/quire/quire-recorder.so", NULL};
    char *path = find_part(places);

    if (!path) {
        say("trace record: the recorder is missing: expected %s beside this command; run `make`", places[0]);
    }
    return path;
}

/* $VARIABLE or `name`, from PATH; NULL when a message has been printed. */
static char *find_qemu(const char *verb, const char *variable, const char *name, const char *package)
{
    const char *wanted = getenv(variable);
    char *path;

    if (wanted && *wanted) {
        name = wanted;
    }
    path = strchr(name, '/') ? must_copy(name) : locate_in_path(name);
    if (path && access(path, X_OK) == 0) {
        return path;
    }
    free(path);
    say("%s: %s: not found: install Debian's %s, or name QEMU in $%s", verb, name, package, variable);
    return NULL;
}

char *locate_qemu(void)
{
    return find_qemu("boot", "QUIRE_QEMU", "qemu-system-x86_64", "qemu-system-x86");
}

char *locate_qemu_user(void)
{
    return find_qemu("trace record", "QUIRE_QEMU_USER", "qemu-x86_64", "qemu-user");
}

/* A part of the runtime; a message when there is none. */
static char *find_runtime(const char *const *places)
{
    char *path = find_part(places);

    if (!path) {
        say("run: %s is missing: expected it beside this command, or where it is installed; run `make`",
            strrchr(places[0], '/') + 1);
    }
    return path;
}

char *locate_preload(void)
{
    static const char *const places[] = {"runtime/quire-preload.so", "../lib/quire/quire-preload.so", NULL};

    return find_runtime(places);
}

char *locate_library(void)
{
    static const char *const places[] = {"runtime/libquire.so.0", "../" QUIRE_LIBDIR "/libquire.so.0",
                                         "../lib/libquire.so.0", NULL};

    return find_runtime(places);
}

char *locate_in_path(const char *name)
{
    const char *at = getenv("PATH");

    if (!at || !*at) {
        at = "/usr/local/bin:/usr/bin:/bin";
    }
    while (true) {
        size_t length = strcspn(at, ":");
        char *path = must_format("%.*s/%s", length ? (int)length : 1, length ? at : ".", name);

        if (access(path, X_OK) == 0 && is_file(path)) {
            return path;
        }
        free(path);
        if (at[length] == '\0') {
            return NULL;
        }
        at += length + 1;
    }
}

char *locate_interpreter(const char *program)
{
    enum { HEADERS_MOST = 64 };
    Elf64_Ehdr head;
    Elf64_Phdr segments[HEADERS_MOST];
    char name[PATH_MAX];
    ssize_t length = 0;
    int fd = open(program, O_RDONLY | O_CLOEXEC);

    if (fd < 0 || pread(fd, &head, sizeof(head), 0) != sizeof(head) ||
        memcmp(head.e_ident, ELFMAG, SELFMAG) != 0 || head.e_phentsize != sizeof(segments[0])) {
        head.e_phnum = 0; /* the kernel says what is wrong with it */
    }
    size_t count = head.e_phnum < HEADERS_MOST ? head.e_phnum : HEADERS_MOST;
    ssize_t got = pread(fd, segments, count * sizeof(segments[0]), (off_t)head.e_phoff);

    for (size_t i = 0; got == (ssize_t)(count * sizeof(segments[0])) && i < count; i++) {
        if (segments[i].p_type == PT_INTERP && segments[i].p_filesz < sizeof(name)) {
            length = pread(fd, name, segments[i].p_filesz, (off_t)segments[i].p_offset);
        }
    }
    if (fd >= 0) {
        close(fd);
    }
    name[length > 0 ? length : 0] = '\0';
    return length > 0 ? must_copy(name) : NULL;
}

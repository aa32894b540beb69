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

char *locate_kernel(const char *wanted)
{
    char self[PATH_MAX];
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
    ssize_t length = readlink("/proc/self/exe", self, sizeof(self) - 1);

    self[length > 0 ? length : 0] = '\0';
    char *slash = strrchr(self, '/');

    if (slash) {
        *slash = '\0';
    }
    static const char *const places[] = {"kernel/quire-kernel", "../lib/quire/quire-kernel"};

    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        char *path = must_format("%s/%s", self, places[i]);

        if (is_file(path)) {
            return path;
        }
        free(path);
    }
    say("boot: the kernel image is missing: expected %s/%s; run `make`, or name one with --kernel", self,
        places[0]);
    return NULL;
}

char *locate_qemu(void)
{
    const char *name = getenv("QUIRE_QEMU");
    char *path;

    if (!name || !*name) {
        name = "qemu-system-x86_64";
    }
    path = strchr(name, '/') ? must_copy(name) : locate_in_path(name);
    if (path && access(path, X_OK) == 0) {
        return path;
    }
    free(path);
    say("boot: %s: not found: install Debian's qemu-system-x86, or name QEMU in $QUIRE_QEMU", name);
    return NULL;
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

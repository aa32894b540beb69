/*
 * The files that the guest starts with: busybox with a link for each applet, bash, the program that was asked
 * for, a few files of /etc, and /.quire/init, which tells the kernel what to run.
 *
 *   /bin/busybox  /bin/ls -> busybox ...  /bin/bash  /bin/PROGRAM
 *   /sbin /usr/bin /usr/sbin -> /bin       so every usual path finds them
 *   /etc/passwd /etc/group /etc/hosts /root /tmp /dev /proc /share
 *
 * With --root there is only /.quire/init: the rest is the host's.
 *
 * /.quire/init is a list of NUL-terminated strings: the number of arguments, the number of variables, the
 * arguments (the first is the program's path in the guest), the variables.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/boot.h"
#include "cli/initramfs.h"
#include "cli/queue.h"

/* Below this much memory bash (2.3 MB) is only there when it is the program. */
#define MEMORY_FOR_BASH ((uint64_t)32 << 20)

struct guest {
    const struct boot_options *options;
    char *busybox; /* paths on the host; NULL: none */
    char *bash;
    struct strings applets;
    char *program_host;  /* to be copied to the guest, NULL: it is there already */
    char *program_guest; /* its path there */
};

static void find_tools(struct guest *guest);
static int find_program(struct guest *guest);
static int write_archive(const struct guest *guest, uint64_t *bytes);
static void guest_free(struct guest *guest);

int guest_files_build(const struct boot_options *options, uint64_t *bytes)
{
    struct guest guest = {.options = options};

    find_tools(&guest);
    int status = find_program(&guest);
    int fd = status ? -1 - status : write_archive(&guest, bytes);

    guest_free(&guest);
    return fd;
}

/* The words that `command` prints, one on each line. */
static void read_lines(const char *command, struct strings *lines)
{
    char line[256];
    FILE *in = popen(command, "re");

    while (in && fgets(line, sizeof(line), in)) {
        line[strcspn(line, "\n")] = '\0';
        strings_add(lines, must_copy(line));
    }
    if (in) {
        pclose(in);
    }
}

static void find_tools(struct guest *guest)
{
    guest->busybox = locate_in_path("busybox");
    guest->bash = locate_in_path("bash-static");
    if (guest->busybox) {
        char *command = must_format("'%s' --list", guest->busybox);

        read_lines(command, &guest->applets);
        free(command);
    }
}

static bool is_applet(const struct guest *guest, const char *name)
{
    for (size_t i = 0; i < guest->applets.count; i++) {
        if (strcmp(guest->applets.items[i], name) == 0) {
            return true;
        }
    }
    return false;
}

/* The programs that the guest has by itself; true also gives the path there. */
static bool is_in_guest(struct guest *guest, const char *name)
{
    static const char *const folders[] = {"/bin/", "/sbin/", "/usr/bin/", "/usr/sbin/"};
    const char *base = strrchr(name, '/');

    if (strncmp(name, "/share/", 7) == 0 && guest->options->share) {
        guest->program_guest = must_copy(name);
        return true;
    }
    if (base) {
        size_t folder_length = (size_t)(++base - name);
        bool known = false;

        for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]); i++) {
            known = known ||
                    (strlen(folders[i]) == folder_length && memcmp(folders[i], name, folder_length) == 0);
        }
        if (!known) {
            return false;
        }
    } else {
        base = name;
    }
    if ((strcmp(base, "busybox") == 0 && guest->busybox) || (strcmp(base, "bash") == 0 && guest->bash) ||
        is_applet(guest, base)) {
        guest->program_guest = must_format("/bin/%s", base);
        return true;
    }
    return false;
}

/* Is the path there in the folder that becomes the root? Its links are for the guest to follow. */
static bool is_in_root(const struct guest *guest, const char *path)
{
    char *host = must_format("%s/%s", guest->options->root, path);
    struct stat info;
    bool there = lstat(host, &info) == 0 && !S_ISDIR(info.st_mode);

    free(host);
    return there;
}

/* With --root every program is one of the root's; without a name it is a shell. */
static int find_in_root(struct guest *guest, const char *name)
{
    static const char *const folders[] = {"/usr/local/bin",  "/usr/bin",  "/bin",
                                          "/usr/local/sbin", "/usr/sbin", "/sbin"};
    const char *wanted = name ? name : "sh";

    if (strchr(wanted, '/')) {
        guest->program_guest = must_copy(wanted);
        if (strncmp(wanted, "/share/", 7) == 0 || is_in_root(guest, wanted)) {
            return 0;
        }
    }
    for (size_t i = 0; !strchr(wanted, '/') && i < sizeof(folders) / sizeof(folders[0]); i++) {
        guest->program_guest = must_format("%s/%s", folders[i], wanted);
        if (is_in_root(guest, guest->program_guest)) {
            return 0;
        }
        free(guest->program_guest);
        guest->program_guest = NULL;
    }
    say("boot: %s: no such program: expected one in %s", wanted, guest->options->root);
    return EXIT_NOT_FOUND;
}

static int find_program(struct guest *guest)
{
    const char *name = guest->options->program[0];
    struct stat info;

    if (guest->options->demo) {
        return 0;
    }
    if (guest->options->root) {
        return find_in_root(guest, name);
    }
    if (!name) {
        name = "busybox";
    }
    if (is_in_guest(guest, name)) {
        return 0;
    }
    guest->program_host = strchr(name, '/') ? must_copy(name) : locate_in_path(name);
    if (!guest->program_host || stat(guest->program_host, &info) < 0) {
        bool tool = strcmp(name, "busybox") == 0 || strcmp(name, "bash") == 0;

        say("boot: %s: no such program: expected %s%s%s", name,
            tool ? "Debian's " : "a path, an applet of busybox, or a program in PATH", tool ? name : "",
            tool ? "-static to be installed" : "");
        return EXIT_NOT_FOUND;
    }
    if (!S_ISREG(info.st_mode) || access(guest->program_host, R_OK) < 0) {
        say("boot: %s: cannot be run: %s", guest->program_host,
            S_ISREG(info.st_mode) ? strerror(errno) : "not a file");
        return EXIT_NOT_RUNNABLE;
    }
    char *interpreter = locate_interpreter(guest->program_host);

    if (interpreter) {
        say("boot: %s: cannot be run: expected a static program, or --root /: this one needs %s",
            guest->program_host, interpreter);
        free(interpreter);
        return EXIT_NOT_RUNNABLE;
    }
    const char *slash = strrchr(name, '/');

    guest->program_guest = must_format("/bin/%s", slash ? slash + 1 : name);
    return 0;
}

static void put_environment(struct strings *list, const struct boot_options *options)
{
    static const char *const defaults[] = {"PATH=/bin:/sbin:/usr/bin:/usr/sbin", "HOME=/root", "USER=root",
                                           "LOGNAME=root", "SHELL=/bin/sh"};
    const char *term = getenv("TERM");

    for (size_t i = 0; i < sizeof(defaults) / sizeof(defaults[0]); i++) {
        strings_add(list, must_copy(defaults[i]));
    }
    strings_add(list, must_format("TERM=%s", term && *term ? term : "linux"));
    if (!options->program[0]) {
        strings_add(list, must_copy("PS1=quire:\\w\\$ "));
    }
    for (size_t i = 0; i < options->environment.count; i++) {
        char *wanted = options->environment.items[i];
        size_t name_length = strcspn(wanted, "=") + 1;
        size_t at = 0;

        while (at < list->count && strncmp(list->items[at], wanted, name_length) != 0) {
            at++;
        }
        if (at == list->count) {
            strings_add(list, must_copy(wanted));
        } else {
            free(list->items[at]);
            list->items[at] = must_copy(wanted);
        }
    }
}

static void write_init(struct initramfs *archive, const struct guest *guest)
{
    static char *const applet[] = {"busybox", "sh", NULL};
    static char *const shell[] = {"sh", NULL};
    char *const *standard = guest->options->root ? shell : applet;
    char *const *program = guest->options->program[0] ? guest->options->program : standard;
    struct strings environment = {0};
    struct queue text = {0};
    char counts[32];
    size_t arguments = 0;

    while (program[arguments]) {
        arguments++;
    }
    put_environment(&environment, guest->options);
    queue_put(&text, counts, (size_t)snprintf(counts, sizeof(counts), "%zu", arguments) + 1);
    queue_put(&text, counts, (size_t)snprintf(counts, sizeof(counts), "%zu", environment.count) + 1);
    queue_put(&text, guest->program_guest, strlen(guest->program_guest) + 1);
    for (size_t i = 1; i < arguments; i++) {
        queue_put(&text, program[i], strlen(program[i]) + 1);
    }
    for (size_t i = 0; i < environment.count; i++) {
        queue_put(&text, environment.items[i], strlen(environment.items[i]) + 1);
    }
    initramfs_directory(archive, ".quire", 0700);
    initramfs_bytes(archive, ".quire/init", 0600, queue_front(&text), queue_length(&text));
    queue_free(&text);
    strings_free(&environment);
}

static void write_text(struct initramfs *archive, const char *path, const char *text)
{
    initramfs_bytes(archive, path, 0644, text, strlen(text));
}

static void write_tree(struct initramfs *archive)
{
    static const struct {
        const char *path;
        unsigned mode;
    } directories[] = {{"bin", 0755},  {"usr", 0755}, {"etc", 0755},  {"root", 0700}, {"var", 0755},
                       {"tmp", 01777}, {"dev", 0755}, {"proc", 0555}, {"share", 0755}};

    for (size_t i = 0; i < sizeof(directories) / sizeof(directories[0]); i++) {
        initramfs_directory(archive, directories[i].path, directories[i].mode);
    }
    initramfs_symlink(archive, "sbin", "/bin");
    initramfs_symlink(archive, "usr/bin", "/bin");
    initramfs_symlink(archive, "usr/sbin", "/bin");
    initramfs_symlink(archive, "var/tmp", "/tmp");
    write_text(archive, "etc/passwd",
               "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n");
    write_text(archive, "etc/group", "root:x:0:\nnogroup:x:65534:\n");
}

static bool bash_wanted(const struct guest *guest)
{
    return guest->bash && (guest->options->memory_bytes >= MEMORY_FOR_BASH ||
                           (guest->program_guest && strcmp(guest->program_guest, "/bin/bash") == 0));
}

/* False when the program takes the place of a tool of that name. */
static bool place_is_free(const struct guest *guest, const char *name)
{
    return !guest->program_host || strcmp(guest->program_guest + strlen("/bin/"), name) != 0;
}

/* False when a message has been printed. */
static bool write_program(struct initramfs *archive, const char *path, const char *host_path)
{
    if (initramfs_copy(archive, path, 0755, host_path)) {
        return true;
    }
    say("boot: %s: cannot be read: %s", host_path, strerror(errno));
    return false;
}

static bool write_programs(struct initramfs *archive, const struct guest *guest)
{
    if (guest->busybox && place_is_free(guest, "busybox") &&
        !write_program(archive, "bin/busybox", guest->busybox)) {
        return false;
    }
    for (size_t i = 0; i < guest->applets.count; i++) {
        const char *name = guest->applets.items[i];

        if (strcmp(name, "busybox") != 0 && place_is_free(guest, name)) {
            char *path = must_format("bin/%s", name);

            initramfs_symlink(archive, path, "busybox");
            free(path);
        }
    }
    if (bash_wanted(guest) && place_is_free(guest, "bash") &&
        !write_program(archive, "bin/bash", guest->bash)) {
        return false;
    }
    return !guest->program_host || write_program(archive, guest->program_guest + 1, guest->program_host);
}

static int write_archive(const struct guest *guest, uint64_t *bytes)
{
    struct initramfs *archive = initramfs_create();

    if (!archive) {
        say("boot: cannot make the initial files: %s", strerror(errno));
        return -1 - EXIT_MACHINE;
    }
    if (!guest->options->root) {
        write_tree(archive);
    }
    if (guest->program_guest) {
        write_init(archive, guest);
    }
    bool written = guest->options->root || write_programs(archive, guest);
    int fd = initramfs_finish(archive, bytes);

    if (written && fd >= 0) {
        return fd;
    }
    if (fd < 0) {
        say("boot: cannot write the initial files: %s", strerror(errno));
        return -1 - EXIT_MACHINE;
    }
    close(fd);
    return -1 - EXIT_NOT_RUNNABLE;
}

static void guest_free(struct guest *guest)
{
    free(guest->busybox);
    free(guest->bash);
    free(guest->program_host);
    free(guest->program_guest);
    strings_free(&guest->applets);
}

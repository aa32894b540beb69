/*
 * The sockets of running machines: $XDG_RUNTIME_DIR/quire/NAME or /tmp/quire-UID/NAME.
 *
 * A machine that was killed leaves its socket: nobody answers there, and whoever meets it removes it. The
 * folder is used only if it is ours and closed to others.
 */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "cli/machine.h"

static char *runtime_folder(void)
{
    const char *base = getenv("XDG_RUNTIME_DIR");

    if (base && *base == '/') {
        return must_format("%s/quire", base);
    }
    return must_format("/tmp/quire-%u", (unsigned)getuid());
}

static bool folder_is_ours(const char *folder)
{
    struct stat info;

    return lstat(folder, &info) == 0 && S_ISDIR(info.st_mode) && info.st_uid == getuid() &&
           (info.st_mode & 077) == 0;
}

static bool name_is_good(const char *name)
{
    return *name && *name != '.' && !strchr(name, '/');
}

/* False: the path does not fit into a socket's address. */
static bool address_of(struct sockaddr_un *address, const char *path)
{
    *address = (struct sockaddr_un){.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof(address->sun_path)) {
        return false;
    }
    memcpy(address->sun_path, path, strlen(path) + 1);
    return true;
}

static int connect_path(const char *path)
{
    struct sockaddr_un address;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd >= 0 && (!address_of(&address, path) ||
                    connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0)) {
        close(fd);
        return -1;
    }
    return fd;
}

static int listen_path(const char *path, const char **why)
{
    struct sockaddr_un address;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (!address_of(&address, path)) {
        *why = "the path of its socket is too long";
    } else if (fd < 0 || bind(fd, (const struct sockaddr *)&address, sizeof(address)) < 0 ||
               listen(fd, 4) < 0) {
        *why = strerror(errno);
    } else {
        return fd;
    }
    if (fd >= 0) {
        close(fd);
    }
    return -1;
}

bool machine_open(struct machine *machine, const char *name, const char **why)
{
    char *folder = runtime_folder();

    *machine = (struct machine){.path = must_format("%s/%s", folder, name), .listen = -1};
    mkdir(folder, 0700);
    if (!name_is_good(name)) {
        *why = "a name has no '/' and does not begin with '.'";
    } else if (!folder_is_ours(folder)) {
        *why = "the folder of the machines' sockets is not ours alone";
    } else {
        int other = connect_path(machine->path);

        if (other >= 0) {
            close(other);
            *why = "a machine of that name is running";
        } else {
            unlink(machine->path);
            machine->listen = listen_path(machine->path, why);
        }
    }
    free(folder);
    if (machine->listen < 0) {
        free(machine->path);
        machine->path = NULL;
    }
    return machine->listen >= 0;
}

void machine_close(struct machine *machine)
{
    if (machine->listen < 0) {
        return;
    }
    char *folder = runtime_folder();

    close(machine->listen);
    unlink(machine->path);
    rmdir(folder); /* fails while others are in it */
    free(machine->path);
    free(folder);
    *machine = (struct machine){.listen = -1};
}

void machine_list(struct strings *names)
{
    char *folder = runtime_folder();
    DIR *dir = folder_is_ours(folder) ? opendir(folder) : NULL;
    struct dirent *entry;

    while (dir && (entry = readdir(dir))) {
        if (entry->d_name[0] == '.') {
            continue;
        }
        char *path = must_format("%s/%s", folder, entry->d_name);
        int fd = connect_path(path);

        if (fd >= 0) {
            strings_add(names, must_copy(entry->d_name));
            close(fd);
        } else if (errno == ECONNREFUSED) {
            unlink(path);
        }
        free(path);
    }
    if (dir) {
        closedir(dir);
    }
    free(folder);
}

int machine_connect(const char *name)
{
    char *folder = runtime_folder();
    char *path = must_format("%s/%s", folder, name);
    int fd = name_is_good(name) && folder_is_ours(folder) ? connect_path(path) : -1;

    free(folder);
    free(path);
    return fd;
}

/* Directories: making, listing, removing, the current one. */
#include "guest.h"
#include <dirent.h>

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Sorted, as the order is the file system's own affair. */
static void list(const char *what, const char *path)
{
    char *names[200];
    size_t count = 0;
    DIR *directory = opendir(path);
    struct dirent *entry;

    if (!directory) {
        show(what, -1);
        return;
    }
    while ((entry = readdir(directory)) != NULL && count < 200) {
        static const char *const kinds[] = {[DT_DIR] = "/", [DT_LNK] = "@", [DT_FIFO] = "|", [DT_REG] = ""};
        char name[300];
        snprintf(name, sizeof name, "%s%s", entry->d_name,
                 entry->d_type < sizeof kinds / sizeof kinds[0] && kinds[entry->d_type] ? kinds[entry->d_type]
                                                                                        : "?");
        names[count++] = strdup(name);
    }
    closedir(directory);
    qsort(names, count, sizeof names[0], by_name);
    printf("%s:", what);
    for (size_t i = 0; i < count; i++) {
        printf(" %s", names[i]);
        free(names[i]);
    }
    printf("\n");
}

static void make_and_remove(void)
{
    struct stat info;

    part("mkdir and rmdir");
    show("mkdir", mkdir("d", 0777));
    stat("d", &info);
    printf("directory %d, mode %o\n", S_ISDIR(info.st_mode), info.st_mode & 07777);
    show("again", mkdir("d", 0700));
    show("trailing slash", mkdir("e/", 0700));
    show("below a missing one", mkdir("x/y", 0700));
    show("below a file", ({
             close(open("f", O_CREAT | O_WRONLY, 0600));
             mkdir("f/y", 0700);
         }));
    show("dot", mkdir(".", 0700));
    show("root", mkdir("/", 0700));
    show("rmdir", rmdir("e"));
    show("rmdir of what is not there", rmdir("e"));
    show("rmdir of dot", rmdir("d/."));
    show("rmdir of dot dot", rmdir("d/.."));
    must(mkdir("d/sub", 0700) == 0, "mkdir");
    show("rmdir of a full one", rmdir("d"));
    show("rmdir of the root", rmdir("/") == -1);
    list("list", ".");
    must(symlink("f", "l") == 0 && mkfifo("p", 0600) == 0, "links");
    list("kinds", ".");
    list("not a directory", "f");
    list("not there", "none");
}

static void large(void)
{
    enum { FILES = 150 };
    char name[32];
    unsigned seen[FILES] = {0}, wrong = 0;

    part("150 entries, read in small pieces");
    must(mkdir("many", 0700) == 0, "mkdir");
    for (unsigned i = 0; i < FILES; i++) {
        snprintf(name, sizeof name, "many/file-number-%u", i);
        close(open(name, O_CREAT | O_WRONLY, 0600));
    }
    int directory = open("many", O_RDONLY | O_DIRECTORY);
    char buffer[200];
    ssize_t got;
    unsigned reads = 0;
    while ((got = syscall(SYS_getdents64, directory, buffer, sizeof buffer)) > 0) {
        reads++;
        for (ssize_t at = 0; at < got;) {
            struct dirent64 *entry = (struct dirent64 *)(buffer + at);
            unsigned number;
            if (sscanf(entry->d_name, "file-number-%u", &number) == 1 && number < FILES)
                seen[number]++;
            at += entry->d_reclen;
        }
    }
    show("at the end", got);
    for (unsigned i = 0; i < FILES; i++)
        wrong += seen[i] != 1;
    printf("wrong %u, several reads %d\n", wrong, reads > 5);
    show("rewind", lseek(directory, 0, SEEK_SET));
    show_yes("again", syscall(SYS_getdents64, directory, buffer, sizeof buffer) > 0);
    show("buffer too small", syscall(SYS_getdents64, directory, buffer, 10));
    show("read(2) of a directory", read(directory, buffer, 10));
    close(directory);
    show("getdents64 of a file", ({
             int file = open("f", O_RDONLY);
             syscall(SYS_getdents64, file, buffer, sizeof buffer);
         }));
    /* Removing while reading misses nothing. */
    DIR *open_one = opendir("many");
    struct dirent *entry;
    unsigned removed = 0;
    while ((entry = readdir(open_one)) != NULL)
        if (entry->d_name[0] == 'f')
            removed += unlinkat(dirfd(open_one), entry->d_name, 0) == 0;
    closedir(open_one);
    printf("removed %u\n", removed);
    show("rmdir", rmdir("many"));
}

static void current(void)
{
    char path[300], before[300], small[2];

    part("the current directory");
    must(getcwd(before, sizeof before) != NULL, "getcwd");
    show("chdir", chdir("d/sub"));
    must(getcwd(path, sizeof path) != NULL, "getcwd");
    show_yes("getcwd",
             strncmp(path, before, strlen(before)) == 0 && strcmp(path + strlen(before), "/d/sub") == 0);
    show("up", chdir(".."));
    list("list", ".");
    show("to a file", chdir("../f"));
    show("to nowhere", chdir("none"));
    show("getcwd, buffer too small", (long)syscall(SYS_getcwd, small, sizeof small));
    int directory = open("sub", O_RDONLY | O_DIRECTORY);
    show("fchdir", fchdir(directory));
    show("fchdir to a bad descriptor", fchdir(999));
    show("dot dot above the root", chdir("/../../.."));
    must(getcwd(path, sizeof path) != NULL, "getcwd");
    printf("%s\n", path);
    show("back", chdir(before));
    show("many slashes", access("d///sub//.//../sub", F_OK));
    show("remove it while open", rmdir("d/sub"));
    show("openat in a removed one", openat(directory, "x", O_CREAT | O_WRONLY, 0600));
    show("chdir to it", fchdir(directory));
    show("getcwd there", (long)syscall(SYS_getcwd, path, sizeof path));
    show("back", chdir(before));
    close(directory);
}

static void rights(void)
{
    int status;

    part("another user");
    must(chmod(".", 0755) == 0, "chmod");
    close(open("secret", O_CREAT | O_WRONLY, 0600));
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        if (setgid(1234) != 0 || setuid(1234) != 0)
            _exit(1);
        show("open of another's file", open("secret", O_RDONLY));
        show("create in another's directory", open("new", O_CREAT | O_WRONLY, 0600));
        show("kill of another's process", kill(getppid(), SIGTERM));
        show("back to root", setuid(0));
        _exit(0);
    }
    waitpid(child, &status, 0);
    show_status("child", status);
}

int main(void)
{
    scratch_enter();
    make_and_remove();
    large();
    current();
    if (getuid() == 0)
        rights();
    scratch_leave();
    return 0;
}

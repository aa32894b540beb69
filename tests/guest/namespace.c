/*
 * Thousands of random operations on a few names and files: what each gives, and what is there afterwards,
 * must be what Linux gives. The numbers come from a generator of our own, so every run is the same.
 *
 * usage: guest-namespace [SEED [COUNT]]
 */
#include <dirent.h>

#include "guest.h"

enum { FILES = 6, BUFFER = 9000, PATH = 64 };

static uint64_t state = 1;
static int files[FILES];
static char buffer[BUFFER], other[BUFFER];

/* Knuth's linear congruential generator (MMIX); the upper bits are the good ones. */
static unsigned below(unsigned limit)
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)(state >> 33) % limit;
}

static const char *name(void)
{
    static const char *const names[] = {"a",      "b",    "c",     "d",   "a/",   "b/",  "a/x", "b/x",
                                        "a/y",    "c/x",  "a/b/c", "b/a", "d/x/", "./a", ".",   "",
                                        "nope/x", "a//x", "l",     "l/x", "l/",   "a/.", "d/x"};

    return names[below(sizeof names / sizeof names[0])];
}

static void result(const char *what, long value)
{
    show(what, value);
}

/* ---------------------------------------------------------------- operations on names */

static void do_make(void)
{
    const char *path = name();

    switch (below(5)) {
    case 0:
    case 1:
        result("mkdir", mkdir(path, 0700 | below(0100)));
        break;
    case 2:
        result("mknod", mknod(path, S_IFREG | 0640, 0));
        break;
    case 3: {
        static const char *const targets[] = {"a", "b", "a/x", "l", "nope", "./c", ""};

        result("symlink", symlink(targets[below(sizeof targets / sizeof targets[0])], path));
        break;
    }
    default: {
        const char *to = name();

        result("link", link(path, to));
    }
    }
}

static void do_remove(void)
{
    const char *path = name();

    switch (below(3)) {
    case 0:
        result("rmdir", rmdir(path));
        break;
    case 1:
        result("unlink", unlink(path));
        break;
    default:
        result("unlinkat", unlinkat(AT_FDCWD, path, AT_REMOVEDIR));
    }
}

static void do_rename(void)
{
    const char *from = name(), *to = name();

    if (below(2) != 0)
        result("rename", rename(from, to));
    else
        result("renameat2", syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, below(4)));
}

static void do_look(void)
{
    const char *path = name();
    struct stat stat_buffer;
    long length;
    int done;

    switch (below(4)) {
    case 0:
    case 1:
        done = below(2) != 0 ? stat(path, &stat_buffer) : lstat(path, &stat_buffer);
        result("stat", done);
        if (done == 0)
            printf("  mode %o links %ld size %ld\n", stat_buffer.st_mode, (long)stat_buffer.st_nlink,
                   S_ISDIR(stat_buffer.st_mode) ? 0 : (long)stat_buffer.st_size);
        break;
    case 2:
        length = readlink(path, other, below(3) != 0 ? 100 : 3);
        result("readlink", length);
        if (length >= 0)
            printf("  %.*s\n", (int)length, other);
        break;
    default:
        result("access", access(path, (int)below(8)));
    }
}

static void do_list(void)
{
    struct dirent **entries;
    int count = scandir(name(), &entries, NULL, alphasort);

    result("list", count);
    for (int i = 0; i < count; i++) {
        printf("  %s %d\n", entries[i]->d_name, entries[i]->d_type);
        free(entries[i]);
    }
    if (count >= 0)
        free(entries);
}

static void do_change(void)
{
    const char *path = name();

    if (below(2) != 0)
        result("chmod", chmod(path, below(010000)));
    else
        result("truncate", truncate(path, (long)below(20000) - 200));
}

/* ---------------------------------------------------------------- operations on open files */

static void do_open(int *file)
{
    static const int flags[] = {O_RDONLY,
                                O_WRONLY,
                                O_RDWR,
                                O_RDWR | O_CREAT,
                                O_RDWR | O_CREAT | O_EXCL,
                                O_WRONLY | O_CREAT | O_TRUNC,
                                O_WRONLY | O_APPEND | O_CREAT,
                                O_RDONLY | O_DIRECTORY,
                                O_RDONLY | O_NOFOLLOW,
                                O_PATH,
                                O_PATH | O_NOFOLLOW,
                                O_RDWR | O_TRUNC,
                                O_RDONLY | O_CREAT,
                                O_RDWR | O_CREAT | O_NOFOLLOW};
    int chosen = flags[below(sizeof flags / sizeof flags[0])];

    if (*file >= 0)
        close(*file);
    *file = open(name(), chosen, 0644);
    show_ok("open", *file);
}

static void show_bytes(const char *what, long count)
{
    unsigned hash = 0;

    result(what, count);
    for (long i = 0; i < count; i++)
        hash = hash * 31 + (unsigned char)other[i];
    if (count > 0)
        printf("  %x\n", hash);
}

static void do_transfer(int file)
{
    size_t bytes = below(3) != 0 ? below(100) : below(BUFFER - 30);
    long offset = (long)below(10000);

    switch (below(4)) {
    case 0:
        result("write", write(file, buffer + below(20), bytes));
        break;
    case 1:
        show_bytes("read", read(file, other, bytes));
        break;
    case 2:
        result("pwrite", pwrite(file, buffer, bytes, offset));
        break;
    default:
        show_bytes("pread", pread(file, other, bytes, offset));
    }
}

static void do_file(int file)
{
    static const int whences[] = {SEEK_SET, SEEK_CUR, SEEK_END, 7};
    struct stat stat_buffer;
    long offset = (long)below(20000) - 1000;

    switch (below(3)) {
    case 0:
        if (file < 0 || fstat(file, &stat_buffer) != 0 || S_ISDIR(stat_buffer.st_mode))
            break; /* a directory's offset is its file system's affair */
        result("lseek", lseek(file, offset, whences[below(4)]));
        break;
    case 1:
        result("ftruncate", ftruncate(file, offset));
        break;
    default:
        if (file < 0 || fstat(file, &stat_buffer) != 0)
            break;
        printf("fstat: mode %o links %ld\n", stat_buffer.st_mode, (long)stat_buffer.st_nlink);
        printf("  flags %x\n", (unsigned)fcntl(file, F_GETFL));
    }
}

static void step(void)
{
    int *file = &files[below(FILES)];

    switch (below(12)) {
    case 0:
    case 1:
        do_make();
        break;
    case 2:
        do_remove();
        break;
    case 3:
    case 4:
        do_rename();
        break;
    case 5:
        do_look();
        break;
    case 6:
        do_list();
        break;
    case 7:
        do_change();
        break;
    case 8:
    case 9:
        do_open(file);
        break;
    case 10:
        do_transfer(*file);
        break;
    default:
        do_file(*file);
    }
}

/* Everything below the current directory goes. */
static void clear(const char *path)
{
    DIR *dir;
    const struct dirent *entry;
    char inside[PATH * 8];

    chmod(path, 0700);
    dir = opendir(path);
    while (dir != NULL && (entry = readdir(dir)) != NULL) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        snprintf(inside, sizeof inside, "%s/%s", path, entry->d_name);
        if (unlink(inside) != 0) {
            clear(inside);
            rmdir(inside);
        }
    }
    if (dir != NULL)
        closedir(dir);
}

int main(int argc, char **argv)
{
    unsigned long count = argc > 2 ? strtoul(argv[2], NULL, 0) : 4000;

    if (argc > 1)
        state = strtoul(argv[1], NULL, 0);
    umask(022);
    scratch_enter();
    for (int i = 0; i < FILES; i++)
        files[i] = -1;
    for (int i = 0; i < BUFFER; i++)
        buffer[i] = (char)('a' + i % 23);
    for (unsigned long i = 0; i < count; i++) {
        printf("%lu ", i);
        step();
    }
    clear(".");
    scratch_leave();
    return 0;
}

/* Files: flags of open, append, holes, rename, unlink, links, times, sizes. */
#include "guest.h"
#include <sys/statvfs.h>
#include <sys/uio.h>
#include <time.h>

static void show_content(const char *name)
{
    char buffer[200];
    int file = open(name, O_RDONLY);
    ssize_t got = file < 0 ? -1 : read(file, buffer, sizeof buffer);

    if (got < 0) {
        show(name, -1);
    } else {
        printf("%s: %zd bytes \"", name, got);
        for (ssize_t i = 0; i < got; i++)
            printf(buffer[i] >= ' ' ? "%c" : "\\%d", buffer[i]);
        printf("\"\n");
    }
    if (file >= 0)
        close(file);
}

static void opening(void)
{
    int file;

    part("open");
    show("not there", open("a", O_RDWR));
    file = open("a", O_RDWR | O_CREAT, 0640);
    show_yes("O_CREAT", file >= 0);
    show("write", write(file, "hello world", 11));
    close(file);
    show("O_EXCL on what is there", open("a", O_RDWR | O_CREAT | O_EXCL, 0600));
    show_content("a");
    file = open("a", O_RDONLY);
    show("write to a read-only one", write(file, "x", 1));
    show("ftruncate of a read-only one", ftruncate(file, 0));
    close(file);
    file = open("a", O_WRONLY);
    char byte;
    show("read of a write-only one", read(file, &byte, 1));
    close(file);
    file = open("a", O_WRONLY | O_TRUNC);
    show_content("a");
    close(file);
    show("a file as a directory", open("a/b", O_RDONLY));
    show("O_DIRECTORY on a file", open("a", O_RDONLY | O_DIRECTORY));
    show("a directory for writing", open(".", O_WRONLY));
    show("O_CREAT on a directory", open(".", O_RDWR | O_CREAT, 0600));
    show("trailing slash on a file", open("a/", O_RDONLY));
    show("create with a trailing slash", open("new/", O_RDWR | O_CREAT, 0600));
    show("empty path", open("", O_RDONLY));
    char name[300];
    memset(name, 'n', sizeof name);
    name[256] = '\0';
    show("name of 256 bytes", open(name, O_RDWR | O_CREAT, 0600));
    name[255] = '\0';
    file = open(name, O_RDWR | O_CREAT, 0600);
    show_yes("name of 255 bytes", file >= 0);
    close(file);
    unlink(name);
    static char path[5000];
    memset(path, '/', sizeof path - 1);
    show("path of 4999 bytes", open(path, O_RDONLY));
    show("missing directory", open("no/where", O_RDWR | O_CREAT, 0600));
    show("openat, bad descriptor", openat(999, "a", O_RDONLY));
    int here = open(".", O_RDONLY | O_DIRECTORY);
    file = openat(here, "a", O_RDONLY);
    show_yes("openat", file >= 0);
    close(file);
    file = openat(999, "/", O_RDONLY);
    show_yes("openat, absolute path", file >= 0);
    close(file);
    file = open("a", O_RDONLY);
    show("openat, a file as the directory", openat(file, "b", O_RDONLY));
    close(file);
    close(here);
    file = open("mode", O_RDWR | O_CREAT, 0777);
    struct stat info;
    fstat(file, &info);
    printf("mode %o under umask 022\n", info.st_mode & 07777);
    show("fchmod", fchmod(file, 04711));
    fstat(file, &info);
    printf("mode %o\n", info.st_mode & 07777);
    show_yes("regular", S_ISREG(info.st_mode));
    printf("links %ld size %ld\n", (long)info.st_nlink, (long)info.st_size);
    close(file);
    unlink("mode");
}

static void reading_and_writing(void)
{
    int file = open("w", O_RDWR | O_CREAT | O_TRUNC, 0600);
    char buffer[32] = "";

    part("positions");
    show("write", write(file, "0123456789", 10));
    show("lseek set", lseek(file, 3, SEEK_SET));
    show("read", read(file, buffer, 4));
    printf("  %.4s\n", buffer);
    show("lseek current", lseek(file, -2, SEEK_CUR));
    show("lseek end", lseek(file, 5, SEEK_END));
    show("read behind the end", read(file, buffer, 4));
    show("lseek before the start", lseek(file, -1, SEEK_SET));
    show("lseek, bad whence", lseek(file, 0, 99));
    show("write behind the end", ({
             lseek(file, 15, SEEK_SET);
             write(file, "end", 3);
         }));
    show_content("w");
    show("pread", pread(file, buffer, 3, 2));
    printf("  %.3s\n", buffer);
    show("pwrite", pwrite(file, "PW", 2, 4));
    show("position is unchanged", lseek(file, 0, SEEK_CUR));
    show("pread, negative offset", pread(file, buffer, 3, -1));
    show_content("w");
    show("truncate", truncate("w", 7));
    show_content("w");
    show("ftruncate larger", ftruncate(file, 9));
    show_content("w");
    show("ftruncate negative", ftruncate(file, -1));
    close(file);

    part("append");
    file = open("w", O_WRONLY | O_APPEND);
    show("write", write(file, "A", 1));
    lseek(file, 0, SEEK_SET);
    show("write after lseek", write(file, "B", 1));
    show("position", lseek(file, 0, SEEK_CUR));
    int other = open("w", O_WRONLY | O_APPEND);
    show("write by another", write(other, "C", 1));
    show("write by the first", write(file, "D", 1));
    show_content("w");
    close(file);
    close(other);

    part("holes");
    file = open("sparse", O_RDWR | O_CREAT, 0600);
    show("write at 1 GiB", pwrite(file, "x", 1, (off_t)GIB));
    struct stat info;
    fstat(file, &info);
    printf("size %ld\n", (long)info.st_size);
    show_yes("few blocks", info.st_blocks < 2048);
    char zeros[64];
    memset(zeros, 1, sizeof zeros);
    show("read in the hole", pread(file, zeros, 64, 12345678));
    unsigned sum = 0;
    for (size_t i = 0; i < 64; i++)
        sum += (unsigned)zeros[i];
    printf("sum %u\n", sum);
    close(file);
    unlink("sparse");

    part("vectors");
    file = open("v", O_RDWR | O_CREAT, 0600);
    struct iovec out[2] = {{"one ", 4}, {"two", 3}};
    show("writev", writev(file, out, 2));
    struct iovec in[2] = {{buffer, 3}, {buffer + 10, 10}};
    show("preadv", preadv(file, in, 2, 1));
    printf("  %.3s|%.3s\n", buffer, buffer + 10);
    show_content("v");
    close(file);
    unlink("v");
    unlink("w");
}

static void names(void)
{
    struct stat info, other;
    int file = open("r1", O_RDWR | O_CREAT, 0600);

    part("rename");
    must(write(file, "first", 5) == 5, "write");
    close(file);
    file = open("r2", O_RDWR | O_CREAT, 0600);
    must(write(file, "second", 6) == 6, "write");
    show("over another", rename("r1", "r2"));
    show_content("r1");
    show_content("r2");
    char buffer[10];
    show("the one replaced is still open", pread(file, buffer, 10, 0));
    close(file);
    show("what is not there", rename("none", "x"));
    show("onto itself", rename("r2", "r2"));
    must(mkdir("d1", 0700) == 0 && mkdir("d2", 0700) == 0 && mkdir("d2/sub", 0700) == 0, "mkdir");
    show("file over directory", rename("r2", "d1"));
    show("directory over file", rename("d1", "r2"));
    show("directory over a full one", rename("d1", "d2"));
    show("directory into itself", rename("d2", "d2/sub/x"));
    show("directory over an empty one", rename("d2/sub", "d1"));
    show("d2 is empty now", rmdir("d2"));
    show("d1", rmdir("d1"));
    show("renameat2 NOREPLACE", ({
             close(open("r3", O_CREAT | O_WRONLY, 0600));
             (int)syscall(SYS_renameat2, AT_FDCWD, "r2", AT_FDCWD, "r3", 1);
         }));
    unlink("r3");

    part("unlink");
    file = open("r2", O_RDWR);
    show("while open", unlink("r2"));
    show_content("r2");
    fstat(file, &info);
    printf("links %ld\n", (long)info.st_nlink);
    show("still readable", pread(file, buffer, 5, 0));
    show("still writable", pwrite(file, "more", 4, 0));
    close(file);
    show("again", unlink("r2"));
    show("a directory", ({
             must(mkdir("dd", 0700) == 0, "mkdir");
             unlink("dd");
         }));
    show("rmdir of a file", ({
             close(open("ff", O_CREAT | O_WRONLY, 0600));
             rmdir("ff");
         }));
    show("unlinkat AT_REMOVEDIR", unlinkat(AT_FDCWD, "dd", AT_REMOVEDIR));

    part("hard links");
    show("link", link("ff", "gg"));
    stat("ff", &info);
    stat("gg", &other);
    show_yes("the same file", info.st_ino == other.st_ino && info.st_dev == other.st_dev);
    printf("links %ld\n", (long)info.st_nlink);
    show("link onto what is there", link("ff", "gg"));
    show("unlink one", unlink("ff"));
    stat("gg", &info);
    printf("links %ld\n", (long)info.st_nlink);
    show("link of a directory", link(".", "dot"));
    show("link of what is not there", link("none", "x"));

    part("symbolic links");
    show("symlink", symlink("gg", "s"));
    memset(buffer, '.', sizeof buffer);
    show("readlink", readlink("s", buffer, sizeof buffer));
    printf("  %.10s\n", buffer);
    show("readlink is cut", readlink("s", buffer, 1));
    show("readlink of a file", readlink("gg", buffer, 10));
    lstat("s", &info);
    printf("lstat: link %d, size %ld\n", S_ISLNK(info.st_mode), (long)info.st_size);
    stat("s", &info);
    printf("stat: link %d\n", S_ISLNK(info.st_mode));
    show("O_NOFOLLOW", open("s", O_RDONLY | O_NOFOLLOW));
    show("symlink onto what is there", symlink("x", "s"));
    show("dangling", symlink("nowhere", "t"));
    show("open of it", open("t", O_RDONLY));
    file = open("t", O_RDWR | O_CREAT, 0600);
    show_yes("O_CREAT makes its target", file >= 0 && access("nowhere", F_OK) == 0);
    close(file);
    show("O_CREAT|O_EXCL does not", open("t", O_RDWR | O_CREAT | O_EXCL, 0600));
    show("loop", symlink("loop", "loop"));
    show("open of it", open("loop", O_RDONLY));
    show("unlink of it", unlink("loop"));
    show("empty target", symlink("", "e"));
    must(mkdir("dir", 0700) == 0, "mkdir");
    close(open("dir/inside", O_CREAT | O_WRONLY, 0600));
    show("to a directory", symlink("dir", "to-dir"));
    show("through it", access("to-dir/inside", F_OK));
    show("and up again", access("to-dir/../dir/inside", F_OK));
    show("lstat with a slash follows", ({
             int got = lstat("to-dir/", &info);
             got == 0 ? S_ISDIR(info.st_mode) : -1;
         }));
    unlink("dir/inside");
    show("rmdir through a link", rmdir("to-dir"));
    show("chain of 40", ({
             char from[8], to[8];
             strcpy(to, "gg");
             for (int i = 0; i < 40; i++) {
                 snprintf(from, sizeof from, "c%d", i);
                 must(symlink(to, from) == 0, "symlink");
                 strcpy(to, from);
             }
             access("c39", F_OK);
         }));
    show("chain of 41", ({
             must(symlink("c39", "c40") == 0, "symlink");
             access("c40", F_OK);
         }));
}

static void attributes(void)
{
    struct stat info;
    struct timespec times[2] = {{1000, 5}, {2000, 7}};

    part("attributes");
    show("utimensat", utimensat(AT_FDCWD, "gg", times, 0));
    stat("gg", &info);
    printf("atime %ld mtime %ld.%09ld\n", (long)info.st_atime, (long)info.st_mtime, info.st_mtim.tv_nsec);
    times[0].tv_nsec = UTIME_OMIT;
    times[1].tv_nsec = 2000000000;
    show("bad nanoseconds", utimensat(AT_FDCWD, "gg", times, 0));
    show("chmod", chmod("gg", 0123));
    stat("gg", &info);
    printf("mode %o\n", info.st_mode & 07777);
    show("access", access("gg", F_OK));
    show("access, bad mode", access("gg", 99));
    show("chown to itself", chown("gg", getuid(), getgid()));
    int file = open("gg", O_WRONLY);
    show_yes("mtime moves on a write", ({
                 must(write(file, "x", 1) == 1, "write");
                 fstat(file, &info);
                 info.st_mtime > 100000;
             }));
    close(file);
    struct statvfs about;
    show("statvfs", statvfs(".", &about));
    printf("longest name %lu\n", about.f_namemax);
    show("fallocate", ({
             int got, other = open("fa", O_RDWR | O_CREAT, 0600);
             got = fallocate(other, 0, 0, 10000);
             fstat(other, &info);
             printf("size %ld\n", (long)info.st_size);
             close(other);
             got;
         }));
}

int main(void)
{
    scratch_enter();
    opening();
    reading_and_writing();
    names();
    attributes();
    scratch_leave();
    return 0;
}

/* memfd_create: what each seal forbids, and when it cannot be added. */
#include "guest.h"

#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 16
#endif
enum { RW = PROT_READ | PROT_WRITE, SEAL_EXEC = 32, NOEXEC_SEAL = 8, EXEC = 16 };

static int made(unsigned flags, size_t bytes)
{
    int file = memfd_create("quire", flags);

    must(file >= 0 && ftruncate(file, (off_t)bytes) == 0, "memfd_create");
    return file;
}

static void plain(void)
{
    char text[] = "0123456789", target[64] = "", link[64];
    int file = memfd_create("a name", 0);
    char *area;

    part("memfd_create");
    show_ok("create", file);
    show("unknown flag", memfd_create("x", 0x40000000));
    show("both kinds of execution", memfd_create("x", NOEXEC_SEAL | EXEC));
    show("name too long", memfd_create(memset(alloca(300), 'a', 299), 0));
    show("bad name", (long)syscall(SYS_memfd_create, (char *)8, 0));
    show("write", write(file, text, 10));
    show("size", lseek(file, 0, SEEK_END));
    show("seals", fcntl(file, F_GET_SEALS));
    show("add a seal", fcntl(file, F_ADD_SEALS, F_SEAL_WRITE));
    show("grow", ftruncate(file, 3 * PAGE));
    area = mmap(NULL, 3 * PAGE, RW, MAP_SHARED, file, 0);
    printf("reads %.10s\n", area);
    area[2 * PAGE] = 'z';
    show("pread", pread(file, text, 1, 2 * PAGE));
    printf("reads %c\n", text[0]);
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    must(readlink(link, target, sizeof target - 1) > 0, "readlink");
    printf("is %s\n", target);
    show("CLOEXEC", fcntl(memfd_create("x", MFD_CLOEXEC), F_GETFD));
    show("a pipe has no seals", fcntl(0, F_GET_SEALS) >= 0);
    close(file);
    printf("reads %.3s\n", area);
    munmap(area, 3 * PAGE);
}

static void length(void)
{
    char block[3 * PAGE];
    int file = made(MFD_ALLOW_SEALING, 2 * PAGE);

    part("SHRINK and GROW");
    memset(block, 1, sizeof block);
    show("seals", fcntl(file, F_GET_SEALS));
    show("unknown seal", fcntl(file, F_ADD_SEALS, 0x1000));
    show("SHRINK", fcntl(file, F_ADD_SEALS, F_SEAL_SHRINK));
    show("shrink", ftruncate(file, PAGE));
    show("same", ftruncate(file, 2 * PAGE));
    show("grow", ftruncate(file, 2 * PAGE + 100));
    show("GROW", fcntl(file, F_ADD_SEALS, F_SEAL_GROW));
    show("grow", ftruncate(file, 3 * PAGE));
    show("fallocate", fallocate(file, 0, 0, 3 * PAGE));
    show("fallocate inside", fallocate(file, 0, 0, PAGE));
    show("punch a hole", fallocate(file, 3, 0, PAGE));
    show("write inside", pwrite(file, block, 100, 0));
    show("write to the end", pwrite(file, block, 2 * PAGE + 100, 0));
    show("write over the end", pwrite(file, block, 3 * PAGE, 0));
    show("write over the end in its page", pwrite(file, block, 200, 2 * PAGE));
    show("write behind the end", pwrite(file, block, 10, 3 * PAGE));
    show("size", lseek(file, 0, SEEK_END));
    show("append", write(file, block, 1));
    show("seals", fcntl(file, F_GET_SEALS));
    show("SEAL", fcntl(file, F_ADD_SEALS, F_SEAL_SEAL));
    show("WRITE", fcntl(file, F_ADD_SEALS, F_SEAL_WRITE));
    show("seals", fcntl(file, F_GET_SEALS));
    close(file);
}

static void writing(void)
{
    int file = made(MFD_ALLOW_SEALING, 2 * PAGE), again;
    char *area = mmap(NULL, 2 * PAGE, RW, MAP_SHARED, file, 0), *private, path[64];

    part("WRITE");
    area[0] = 5;
    show("while it is mapped", fcntl(file, F_ADD_SEALS, F_SEAL_WRITE));
    mprotect(area, 2 * PAGE, PROT_READ);
    show("while it can be made writable", fcntl(file, F_ADD_SEALS, F_SEAL_WRITE));
    munmap(area, PAGE);
    show("while a part is mapped", fcntl(file, F_ADD_SEALS, F_SEAL_WRITE));
    munmap(area, 2 * PAGE);
    private = mmap(NULL, 2 * PAGE, RW, MAP_PRIVATE, file, 0);
    show("with a private mapping", fcntl(file, F_ADD_SEALS, F_SEAL_WRITE));
    show("write", pwrite(file, "x", 1, 0));
    show("punch a hole", fallocate(file, 3, 0, PAGE));
    show("grow", ftruncate(file, 3 * PAGE));
    show_map("map for writing", mmap(NULL, PAGE, RW, MAP_SHARED, file, 0));
    private[0] = 6;
    printf("private writes are one's own: %d\n", private[0]);
    munmap(private, 2 * PAGE);
    show("again", fcntl(file, F_ADD_SEALS, F_SEAL_WRITE));
    close(file);

    part("FUTURE_WRITE");
    file = made(MFD_ALLOW_SEALING, 2 * PAGE);
    area = mmap(NULL, 2 * PAGE, RW, MAP_SHARED, file, 0);
    show("while it is mapped", fcntl(file, F_ADD_SEALS, F_SEAL_FUTURE_WRITE));
    area[0] = 7;
    show("write", pwrite(file, "x", 1, 0));
    show_map("map for writing", mmap(NULL, PAGE, RW, MAP_SHARED, file, 0));
    private = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, file, 0);
    show_map("map for reading", private);
    printf("reads %d\n", private[0]);
    show("and make it writable", mprotect(private, PAGE, RW));
    munmap(private, PAGE);
    munmap(area, 2 * PAGE);
    snprintf(path, sizeof path, "/proc/self/fd/%d", file);
    again = open(path, O_RDONLY);
    show_ok("open for reading", again);
    show("add a seal there", fcntl(again, F_ADD_SEALS, F_SEAL_GROW));
    show("seals there", fcntl(again, F_GET_SEALS));
    close(again);
    close(file);
}

static void execution(void)
{
    int file = made(NOEXEC_SEAL, PAGE);
    struct stat info;

    part("execution");
    must(fstat(file, &info) == 0, "fstat");
    printf("mode %o, seals %x\n", info.st_mode & 0777, (unsigned)fcntl(file, F_GET_SEALS));
    show("make it executable", fchmod(file, 0755));
    show("other rights", fchmod(file, 0600));
    show("WRITE can be added", fcntl(file, F_ADD_SEALS, F_SEAL_WRITE));
    close(file);
    file = made(MFD_ALLOW_SEALING | EXEC, PAGE);
    must(fstat(file, &info) == 0, "fstat");
    printf("mode %o, seals %x\n", info.st_mode & 0777, (unsigned)fcntl(file, F_GET_SEALS));
    show("EXEC", fcntl(file, F_ADD_SEALS, SEAL_EXEC));
    printf("seals %x\n", (unsigned)fcntl(file, F_GET_SEALS));
    show("write", pwrite(file, "x", 1, 0));
    show("not executable", fchmod(file, 0600));
    close(file);
}

int main(void)
{
    plain();
    length();
    writing();
    execution();
    return 0;
}

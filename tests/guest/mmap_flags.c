/* mmap: every combination of kind and flag, and every error. */
#include "guest.h"
#include <sys/resource.h>

enum { RW = PROT_READ | PROT_WRITE };

static void kinds(void)
{
    int file = scratch_file(3 * PAGE);
    char *memory;

    part("kinds");
    memory = mmap(NULL, PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    show_map("anonymous private", memory);
    try_read("  is zero", memory, memory);
    try_write("  can be written", memory, memory);
    memory = mmap(NULL, PAGE, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    show_map("anonymous shared", memory);
    try_read("  is zero", memory + 4095, memory);
    memory = mmap(NULL, 2 * PAGE, RW, MAP_PRIVATE, file, (off_t)PAGE);
    show_map("file private, second page", memory);
    try_read("  first byte", memory, memory);
    try_read("  next page", memory + PAGE, memory);
    memory = mmap(NULL, 3 * PAGE, RW, MAP_SHARED, file, 0);
    show_map("file shared", memory);
    memory[5] = 'x';
    char byte = 0;
    show("pread of what was written", pread(file, &byte, 1, 5));
    show("  byte", byte);
    show("pwrite into it", pwrite(file, "y", 1, 6));
    try_read("  is seen", memory + 6, memory);
    show("munmap", munmap(memory, 3 * PAGE));
    show("length is rounded up: munmap of 1 byte", munmap(map_anon_rw(PAGE), 1));
    memory = mmap(NULL, 3 * PAGE, PROT_READ, MAP_SHARED_VALIDATE, file, 0);
    show_map("shared, validated", memory);
    show_map("  unknown flag", mmap(NULL, PAGE, RW, MAP_SHARED_VALIDATE | 0x200000, file, 0));
    show_map("  MAP_SYNC on an ordinary file", mmap(NULL, PAGE, RW, MAP_SHARED_VALIDATE | MAP_SYNC, file, 0));
    memory = mmap(NULL, PAGE, RW, MAP_PRIVATE, file, 0);
    close(file);
    try_read("mapping outlives the descriptor", memory, memory);
}

static void protections(void)
{
    static const int protections[] = {PROT_NONE,     PROT_READ, PROT_WRITE, RW, PROT_READ | PROT_EXEC,
                                      RW | PROT_EXEC};
    static const char *const names[] = {"none", "read", "write", "read+write", "read+exec", "all"};
    char label[64];

    part("protections");
    for (size_t i = 0; i < sizeof protections / sizeof protections[0]; i++) {
        char *memory = map_anon(PAGE, protections[i], MAP_PRIVATE);

        snprintf(label, sizeof label, "%s: read", names[i]);
        try_read(label, memory, memory);
        snprintf(label, sizeof label, "%s: write", names[i]);
        try_write(label, memory, memory);
        munmap(memory, PAGE);
    }
    char *memory = map_anon_rw(PAGE);
    memory[0] = (char)0xc3;
    try_call("call into read+write", memory, memory);
    show("mprotect read+exec", mprotect(memory, PAGE, PROT_READ | PROT_EXEC));
    try_call("call into read+exec", memory, memory);
    show_map("unknown protection bits are ignored",
             mmap(NULL, PAGE, RW | 0x40, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
}

static void fixed(void)
{
    char *area = map_anon(16 * PAGE, PROT_NONE, MAP_PRIVATE);
    char *memory;
    int file = scratch_file(2 * PAGE);

    part("fixed");
    memory = mmap(area + 4 * PAGE, 2 * PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    show_yes("in the middle of a mapping", memory == area + 4 * PAGE);
    try_write("  new page", memory, area);
    try_read("  page before", area + 3 * PAGE, area);
    try_read("  page after", area + 6 * PAGE, area);
    memory[0] = 'a';
    memory = mmap(area + 4 * PAGE, PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    try_read("  replaced: zero again", memory, area);
    memory = mmap(area + 4 * PAGE, PAGE, PROT_READ, MAP_SHARED | MAP_FIXED, file, (off_t)PAGE);
    try_read("  replaced by a file", memory, area);
    show_map("misaligned address", mmap(area + 1, PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0));
    memory = mmap(area + 123, PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    show_yes("misaligned hint gives an aligned address",
             memory != MAP_FAILED && ((uintptr_t)memory & 4095) == 0);
    memory = mmap(area + 5 * PAGE, PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    show_yes("a hint that is taken is not used",
             memory != MAP_FAILED && (memory < area || memory >= area + 16 * PAGE));
    munmap(area + 8 * PAGE, PAGE);
    memory = mmap(area + 8 * PAGE, PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    show_yes("a hint that is free is used", memory == area + 8 * PAGE);
    show_map("fixed at the end of user space",
             mmap((void *)0x7ffffffff000, PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0));
    show_map("fixed in kernel space",
             mmap((void *)0xffff800000000000, PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0));
    show_map("fixed at a non-canonical address",
             mmap((void *)0x800000000000, PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0));
    show_map("fixed, range wraps", mmap((void *)0x7fffffffe000, (size_t)-1 & ~(size_t)4095, RW,
                                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0));
    memory = mmap((void *)0x7fffffffffff, PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    show_map("hint out of range is only a hint", memory);

    part("fixed, no replace");
    int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE;
    show_map("taken", mmap(area, PAGE, RW, flags, -1, 0));
    show_map("taken in part", mmap(area + 15 * PAGE, 4 * PAGE, RW, flags, -1, 0));
    munmap(area + 10 * PAGE, 2 * PAGE);
    memory = mmap(area + 10 * PAGE, 2 * PAGE, RW, flags, -1, 0);
    show_yes("free", memory == area + 10 * PAGE);
    show_map("misaligned", mmap(area + 1, PAGE, RW, flags, -1, 0));
    close(file);
}

static void other_flags(void)
{
    char *memory;
    unsigned char resident[4];

    part("other flags");
    memory = mmap(NULL, 4 * PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    show_map("populate", memory);
    show("  mincore", mincore(memory, 4 * PAGE, resident));
    printf("  resident: %d %d %d %d\n", resident[0] & 1, resident[1] & 1, resident[2] & 1, resident[3] & 1);
    memory = mmap(NULL, 4 * PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    show("without populate: mincore", mincore(memory, 4 * PAGE, resident));
    printf("  resident: %d %d %d %d\n", resident[0] & 1, resident[1] & 1, resident[2] & 1, resident[3] & 1);
    memory = mmap(NULL, 4 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    show_map("populate without rights", memory);
    memory = mmap(NULL, 4 * PAGE, RW, MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    show("populate, shared: mincore", mincore(memory, 4 * PAGE, resident));
    printf("  resident: %d %d %d %d\n", resident[0] & 1, resident[1] & 1, resident[2] & 1, resident[3] & 1);
    memory = mmap(NULL, 4 * PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    show_map("no reserve", memory);
    memory = mmap(NULL, 4 * PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
    show_map("stack", memory);
    try_write("  writable", memory, memory);
    memory = mmap(NULL, PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
    show_map("32-bit", memory);
    show_yes("  lies below 2 GiB", (uintptr_t)memory < 0x80000000u);
    try_write("  writable", memory, memory);
    memory = mmap(NULL, PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_DENYWRITE | MAP_EXECUTABLE, -1, 0);
    show_map("old flags are ignored", memory);
    memory = mmap(NULL, PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NONBLOCK | MAP_POPULATE, -1, 0);
    show_map("populate, non-blocking", memory);
    memory = mmap(NULL, 4 * PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_GROWSDOWN, -1, 0);
    show_map("grows down", memory);
    try_write("  writable", memory, memory);
    show_map("grows down, shared anonymous",
             mmap(NULL, PAGE, RW, MAP_SHARED | MAP_ANONYMOUS | MAP_GROWSDOWN, -1, 0));
    show_map("anonymous ignores the descriptor", mmap(NULL, PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS, 12345, 0));
    show_map("anonymous with an offset", mmap(NULL, PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, (off_t)PAGE));
}

static void errors(void)
{
    int file = scratch_file(PAGE);
    char name[64];
    int pipes[2];
    int read_only, write_only;

    must(pipe(pipes) == 0, "pipe");
    snprintf(name, sizeof name, "/proc/self/fd/%d", file);
    scratch_enter();
    int named = open("f", O_RDWR | O_CREAT, 0644);
    must(named >= 0 && ftruncate(named, (off_t)PAGE) == 0, "file");
    read_only = open("f", O_RDONLY);
    write_only = open("f", O_WRONLY);

    part("errors");
    show_map("length 0", mmap(NULL, 0, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    show_map("neither private nor shared", mmap(NULL, PAGE, RW, MAP_ANONYMOUS, -1, 0));
    show_map("length 0 and no kind", mmap(NULL, 0, RW, MAP_ANONYMOUS, -1, 0));
    show_map("length of all", mmap(NULL, (size_t)-1, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    show_map("length that rounds to 0", mmap(NULL, (size_t)-4095, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    show_map("length of user space",
             mmap(NULL, (size_t)1 << 47, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
    show_map("length beyond user space",
             mmap(NULL, (size_t)1 << 60, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
    show_map("bad descriptor", mmap(NULL, PAGE, RW, MAP_PRIVATE, -1, 0));
    show_map("closed descriptor", mmap(NULL, PAGE, RW, MAP_SHARED, 777, 0));
    show_map("misaligned offset", (void *)syscall(SYS_mmap, NULL, PAGE, RW, MAP_PRIVATE, file, 100L));
    show_map("misaligned offset, anonymous",
             (void *)syscall(SYS_mmap, NULL, PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 100L));
    show_map("offset overflows",
             (void *)syscall(SYS_mmap, NULL, 2 * PAGE, PROT_READ, MAP_SHARED, file, (long)~4095UL));
    show_map("offset behind the end is fine", mmap(NULL, PAGE, RW, MAP_SHARED, file, (off_t)(64 * PAGE)));
    show_map("read-only file, private write", mmap(NULL, PAGE, RW, MAP_PRIVATE, read_only, 0));
    show_map("read-only file, shared read", mmap(NULL, PAGE, PROT_READ, MAP_SHARED, read_only, 0));
    show_map("read-only file, shared write", mmap(NULL, PAGE, RW, MAP_SHARED, read_only, 0));
    show_map("write-only file, shared write", mmap(NULL, PAGE, PROT_WRITE, MAP_SHARED, write_only, 0));
    show_map("write-only file, private read", mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, write_only, 0));
    show_map("pipe", mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, pipes[0], 0));
    int directory = open(".", O_RDONLY | O_DIRECTORY);
    show_map("directory", mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, directory, 0));
    int null = open("/dev/null", O_RDWR);
    show_map("/dev/null", mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, null, 0));
    int zero = open("/dev/zero", O_RDWR);
    char *memory = mmap(NULL, PAGE, RW, MAP_PRIVATE, zero, 0);
    show_map("/dev/zero", memory);
    if (memory != MAP_FAILED) {
        try_read("  read", memory, memory);
        try_write("  write", memory, memory);
    }
    int path = open("f", O_PATH);
    show_map("O_PATH descriptor", mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, path, 0));
    memory = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, read_only, 0);
    show("read-only file: mprotect to write", mprotect(memory, PAGE, RW));
    try_write("  write", memory, memory);
    close(named);
    scratch_leave();
}

static void address_limit(void)
{
    struct rlimit limit = {.rlim_cur = 64 * MIB, .rlim_max = RLIM_INFINITY};

    part("RLIMIT_AS");
    show("setrlimit", setrlimit(RLIMIT_AS, &limit));
    show_map("beyond", mmap(NULL, 80 * MIB, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    void *memory = mmap(NULL, 16 * MIB, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    show_map("within", memory);
    show_map("beyond together", mmap(NULL, 56 * MIB, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    munmap(memory, 16 * MIB);
    limit.rlim_cur = RLIM_INFINITY;
    show("setrlimit back", setrlimit(RLIMIT_AS, &limit));
    show_map("again", mmap(NULL, 80 * MIB, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
}

int main(void)
{
    kinds();
    protections();
    fixed();
    other_flags();
    errors();
    address_limit();
    return 0;
}

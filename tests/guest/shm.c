/* System V shared memory, POSIX shared memory: contents, rights, limits, attachments over fork and exec. */
#include <sys/ipc.h>
#include <sys/resource.h>
#include <sys/shm.h>

#include "guest.h"

enum { NOBODY = 65534, DEST = 01000, LOCKED = 02000 };

static void describe(const char *what, int id)
{
    struct shmid_ds info;

    if (shmctl(id, IPC_STAT, &info) != 0) {
        printf("%s: %s\n", what, error_name(errno));
        return;
    }
    printf("%s: %zu bytes, mode %o, attached %lu, times %d %d %d, mine %d\n", what, info.shm_segsz,
           info.shm_perm.mode, (unsigned long)info.shm_nattch, info.shm_atime != 0, info.shm_dtime != 0,
           info.shm_ctime != 0, info.shm_cpid == getpid());
}

static int made(size_t bytes, int flags)
{
    int id = shmget(IPC_PRIVATE, bytes, flags);

    must(id >= 0, "shmget");
    return id;
}

/* A key that nobody has. */
static key_t free_key(void)
{
    key_t key = 0x51550000 + getpid();

    while (shmget(key, 0, 0) >= 0)
        key++;
    return key;
}

static void get(void)
{
    key_t key = free_key();
    int id, same;

    part("shmget");
    show("no such key", shmget(key, PAGE, 0600));
    show("length 0", shmget(IPC_PRIVATE, 0, 0600));
    show("too long", shmget(IPC_PRIVATE, (size_t)-1, 0600));
    id = shmget(key, 3 * PAGE + 100, IPC_CREAT | IPC_EXCL | 0640);
    show_ok("create", id);
    describe("it", id);
    same = shmget(key, 0, 0);
    show_yes("the same again", same == id);
    show_yes("with IPC_CREAT", shmget(key, PAGE, IPC_CREAT | 0600) == id);
    show("exclusive", shmget(key, PAGE, IPC_CREAT | IPC_EXCL | 0600));
    show("longer than it is", shmget(key, 4 * PAGE, 0600));
    show("remove", shmctl(id, IPC_RMID, NULL));
    show("and again", shmctl(id, IPC_RMID, NULL));
    show("its key is free", shmget(key, PAGE, 0600));
    describe("it", id);
    show("negative id", shmctl(-1, IPC_STAT, NULL));
    show("unknown command", shmctl(id, 99, NULL));
}

static void attach(void)
{
    int id = made(3 * PAGE + 100, 0600);
    char *first, *second, *third;

    part("shmat");
    first = shmat(id, NULL, 0);
    show_map("attach", first);
    describe("once", id);
    printf("zeroes: %d %d\n", first[0], first[3 * PAGE + 200]);
    first[0] = 5;
    first[3 * PAGE + 200] = 6;
    second = shmat(id, NULL, SHM_RDONLY);
    show_map("attach again, read-only", second);
    describe("twice", id);
    printf("reads %d %d\n", second[0], second[3 * PAGE + 200]);
    try_write("write", second, second);
    show("allow writing", mprotect(second, PAGE, PROT_READ | PROT_WRITE));
    first[1] = 7;
    printf("sees %d\n", second[1]);
    show("detach", shmdt(second));
    describe("once", id);
    show("detach again", shmdt(second));
    show("detach in the middle", shmdt(first + PAGE));
    show("detach at an odd address", shmdt(first + 1));
    show("detach nothing", shmdt(NULL));

    part("shmat at an address");
    show_map("where something is", shmat(id, first, 0));
    show_yes("with SHM_REMAP", shmat(id, first, SHM_REMAP) == first);
    describe("once", id);
    printf("reads %d\n", first[0]);
    show_map("odd", shmat(id, first + 1, 0));
    show_map("SHM_REMAP without address", shmat(id, NULL, SHM_REMAP));
    third = first + 64 * PAGE;
    third = mmap(third, 8 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    munmap(third, 8 * PAGE);
    show_yes("rounded", shmat(id, third + 100, SHM_RND) == third);
    describe("twice", id);
    show_map("no such id", shmat(id + 7, NULL, 0));
    show_map("negative id", shmat(-1, NULL, 0));

    part("parts");
    show("unmap the middle", munmap(third + PAGE, PAGE));
    describe("thrice", id);
    show("map over the first page",
         mmap(third, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == third);
    describe("twice", id);
    printf("rest reads %d\n", third[3 * PAGE + 200]);
    show("detach the rest", shmdt(third));
    describe("once", id);
    printf("what was mapped over stays: %d\n", can_read(third));
    show("rest is gone", can_read(third + 2 * PAGE));
    munmap(third, PAGE);
    second = mremap(first, 4 * PAGE, 2 * PAGE, 0);
    show_map("shrink", second);
    describe("once", id);
    second = mremap(first, 2 * PAGE, 2 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, third);
    show_map("move", second);
    describe("once", id);
    show("detach where it was", shmdt(first));
    show("detach where it is", shmdt(third));
    describe("not attached", id);
    shmctl(id, IPC_RMID, NULL);
}

static void removal(void)
{
    int id = made(2 * PAGE, 0600), status;
    char *area = shmat(id, NULL, 0), *again;

    part("IPC_RMID while attached");
    area[0] = 1;
    show("remove", shmctl(id, IPC_RMID, NULL));
    describe("still there", id);
    area[1] = 2;
    printf("reads %d %d\n", area[0], area[1]);
    again = shmat(id, NULL, 0);
    show_map("attach a removed one", again);
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        describe("in the child", id);
        area[2] = 3;
        show("detach", shmdt(area));
        describe("in the child", id);
        fflush(stdout);
        _exit(0);
    }
    waitpid(child, &status, 0);
    show_status("child", status);
    describe("after the child", id);
    printf("reads %d\n", area[2]);
    shmdt(again);
    show("the last detach", shmdt(area));
    describe("it is gone", id);
}

static void over_exec(void)
{
    int id = made(PAGE, 0600), status;
    char *area = shmat(id, NULL, 0);

    part("fork, exec, exit");
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        char text[32];

        area[0] = 9;
        snprintf(text, sizeof text, "%d", id);
        execl("/proc/self/exe", "shm", text, (char *)NULL);
        _exit(1);
    }
    waitpid(child, &status, 0);
    show_status("child", status);
    describe("after it", id);
    printf("reads %d\n", area[0]);
    child = fork();
    if (child == 0)
        abort();
    waitpid(child, &status, 0);
    show_status("a child that dies", status);
    describe("after it", id);
    child = fork();
    if (child == 0) {
        madvise(area, PAGE, MADV_DONTFORK);
        pid_t grandchild = fork();
        if (grandchild == 0)
            _exit(can_read(area));
        waitpid(grandchild, &status, 0);
        show_status("DONTFORK", status);
        describe("after it", id);
        fflush(stdout);
        _exit(0);
    }
    waitpid(child, &status, 0);
    describe("after it", id);
    shmdt(area);
    shmctl(id, IPC_RMID, NULL);
}

static void rights(void)
{
    int id = made(PAGE, 0640), public = made(PAGE, 0604), status;
    struct shmid_ds info;

    part("rights");
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        must(setresgid(NOBODY, NOBODY, NOBODY) == 0 && setresuid(NOBODY, NOBODY, NOBODY) == 0, "setresuid");
        show_map("attach", shmat(id, NULL, 0));
        show_map("attach read-only", shmat(id, NULL, SHM_RDONLY));
        show("IPC_STAT", shmctl(id, IPC_STAT, &info));
        show("IPC_RMID", shmctl(id, IPC_RMID, NULL));
        show_map("public: attach", shmat(public, NULL, 0));
        show_map("public: attach read-only", shmat(public, NULL, SHM_RDONLY));
        show("public: IPC_STAT", shmctl(public, IPC_STAT, &info));
        show("public: IPC_SET", shmctl(public, IPC_SET, &info));
        show("public: SHM_LOCK", shmctl(public, SHM_LOCK, NULL));
        fflush(stdout);
        _exit(0);
    }
    waitpid(child, &status, 0);
    show_status("child", status);
    shmctl(id, IPC_STAT, &info);
    info.shm_perm.uid = info.shm_perm.gid = NOBODY;
    info.shm_perm.mode = 01777;
    show("IPC_SET", shmctl(id, IPC_SET, &info));
    describe("now", id);
    shmctl(id, IPC_STAT, &info);
    printf("owner %d %d, creator %d %d\n", (int)info.shm_perm.uid, (int)info.shm_perm.gid,
           (int)info.shm_perm.cuid, (int)info.shm_perm.cgid);
    show("SHM_LOCK", shmctl(id, SHM_LOCK, NULL));
    describe("locked", id);
    show("SHM_UNLOCK", shmctl(id, SHM_UNLOCK, NULL));
    describe("unlocked", id);
    show("IPC_STAT to nowhere", syscall(SYS_shmctl, id, IPC_STAT, NULL));
    shmctl(id, IPC_RMID, NULL);
    shmctl(public, IPC_RMID, NULL);
}

static void limits(void)
{
    struct shminfo info;
    struct shm_info used;
    struct shmid_ds segment;
    int id = made(5 * PAGE, 0600), highest, found = 0;
    char *area = shmat(id, NULL, 0), line[512], name[32];
    FILE *file;

    part("limits");
    show_ok("IPC_INFO", shmctl(0, IPC_INFO, (struct shmid_ds *)&info));
    printf("%lx %lu %lu %lu %lx\n", info.shmmax, info.shmmin, info.shmmni, info.shmseg, info.shmall);
    memset(area, 1, 3 * PAGE);
    highest = shmctl(0, SHM_INFO, (struct shmid_ds *)&used);
    show_yes("SHM_INFO", highest >= 0 && used.used_ids >= 1 && used.shm_tot >= 5 && used.shm_rss >= 3);
    for (int i = 0; i <= highest; i++)
        if (shmctl(i, SHM_STAT, &segment) == id)
            found += segment.shm_segsz == 5 * PAGE;
    printf("found %d by index\n", found);
    snprintf(name, sizeof name, " %d ", id);
    file = fopen("/proc/sysvipc/shm", "r");
    for (found = 0; file && fgets(line, sizeof line, file);)
        if (strstr(line, name)) {
            unsigned mode;
            unsigned long bytes, attached, resident;

            found += sscanf(line, "%*d %*d %o %lu %*d %*d %lu %*d %*d %*d %*d %*d %*d %*d %lu", &mode, &bytes,
                            &attached, &resident);
            printf("mode %o, %lu bytes, attached %lu, resident %lu\n", mode, bytes, attached, resident);
        }
    printf("found %d in /proc/sysvipc/shm\n", found);
    file = fopen("/proc/self/maps", "r");
    for (found = 0; file && fgets(line, sizeof line, file);)
        found += strstr(line, "/SYSV00000000 (deleted)") != NULL && strstr(line, " rw-s 00000000 ") != NULL;
    printf("found %d in maps\n", found);
    shmdt(area);
    shmctl(id, IPC_RMID, NULL);
}

static void posix(void)
{
    char name[64], *area, *other;
    int file, again, status;

    part("shm_open");
    snprintf(name, sizeof name, "/quire-%d", (int)getpid());
    file = shm_open(name, O_RDWR | O_CREAT | O_EXCL, 0600);
    show_ok("create", file);
    show("exclusive", shm_open(name, O_RDWR | O_CREAT | O_EXCL, 0600));
    show("size", ftruncate(file, 3 * PAGE));
    area = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    show_map("map", area);
    area[0] = 3;
    area[2 * PAGE] = 4;
    try_read("behind the end", area + 3 * PAGE, area);
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        again = shm_open(name, O_RDONLY, 0);
        other = mmap(NULL, 3 * PAGE, PROT_READ, MAP_SHARED, again, 0);
        area[1] = 5;
        _exit(other[0] * 16 + other[2 * PAGE] + other[1]);
    }
    waitpid(child, &status, 0);
    show_status("child reads", status);
    printf("reads %d\n", area[1]);
    show("unlink", shm_unlink(name));
    show("unlink again", shm_unlink(name));
    show("open", shm_open(name, O_RDWR, 0));
    printf("reads %d\n", area[2 * PAGE]);
    show("close", close(file));
    printf("reads %d\n", area[2 * PAGE]);
    munmap(area, 4 * PAGE);
}

int main(int argc, char **argv)
{
    if (argc > 1) {
        describe("after exec", atoi(argv[1]));
        return 0;
    }
    get();
    attach();
    removal();
    over_exec();
    rights();
    limits();
    posix();
    return 0;
}

/*
 * Stores by their names, under the runtime: contents come back from each kind; what a server does wrong
 * (errors, delays, an end in the middle, a new beginning without what it had) is SIGBUS or an error of
 * quire_sync(), and never other contents; two of one store are refused.
 */
#include "runtime_support.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "servers.h"

#define LENGTH (4 * MIB)
#define BUDGET (512 * KIB)

static char folder[] = "/tmp/quire-stores-XXXXXX";
static char trigger[64], image[64];
static struct server server;

static const char *text(const char *format, ...) __attribute__((format(printf, 1, 2)));
static const char *text(const char *format, ...)
{
    static char texts[8][256];
    static unsigned next;
    va_list arguments;

    next = (next + 1) % 8;
    va_start(arguments, format);
    vsnprintf(texts[next], sizeof(texts[next]), format, arguments);
    va_end(arguments);
    return texts[next];
}

static int make_folder(void **state)
{
    if (!mkdtemp(folder))
        return -1;
    snprintf(trigger, sizeof(trigger), "%s/fail", folder);
    snprintf(image, sizeof(image), "%s/image", folder);
    return 0;
}

static int remove_folder(void **state)
{
    char command[96];

    server_kill(&server, SIGKILL);
    umount2(text("%s/small", folder), MNT_DETACH);
    snprintf(command, sizeof(command), "rm -rf '%s'", folder);
    return system(command);
}

static int kill_server(void **state)
{
    server_kill(&server, SIGKILL);
    unlink(trigger);
    unlink(image);
    return 0;
}

/* A second beginning is given the same socket. */
static void start_nbdkit(const char *const *arguments)
{
    if (!server_nbdkit(&server, folder, arguments))
        skip();
}

static void start_memory_server(void)
{
    start_nbdkit((const char *const[]){"memory", "4M", NULL});
}

static void start_file_server(void)
{
    if (access(image, F_OK) != 0) {
        int fd = open(image, O_CREAT | O_RDWR, 0600);

        assert_int_equal(ftruncate(fd, LENGTH), 0);
        close(fd);
    }
    start_nbdkit((const char *const[]){"file", image, NULL});
}

static const char *nbd_name(const char *options)
{
    return text("nbd+unix:///?socket=%s%s", server.socket, options);
}

static const char *redis_name(const char *options)
{
    return text("redis+unix://%s?name=test%s", server.socket, options);
}

static void start_redis(bool lasts)
{
    if (!server_redis(&server, folder, lasts))
        skip();
}

static uint64_t milliseconds(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* ------------------------------------------------------------------ contents */

static void work_with(struct store *store, uint64_t length, unsigned flags)
{
    struct quire_pager *pager = open_pager(BUDGET, "clock");
    uint64_t *memory = map(pager, store, length, flags), *shadow = calloc(1, length);

    work_on(memory, shadow, length, 4, 4000, 3);
    free(shadow);
    assert_ok(flags & QUIRE_FRESH ? quire_discard(memory) : quire_unmap(memory));
    close_all(pager, store);
}

static void test_names(void **state)
{
    struct store *store;

    work_with(open_store(text("file:%s", image), LENGTH), LENGTH, 0);
    store = open_store(text("file:%s?read-only", image), 0);
    assert_int_equal(store->pages, LENGTH / PAGE_SIZE);
    store_close(store);
    work_with(open_store(text("swap:%s", folder), LENGTH), LENGTH, QUIRE_FRESH);
    work_with(open_store("lz4:8M", LENGTH), LENGTH, QUIRE_FRESH);
    work_with(open_store(text("lz4:300K+swap:%s", folder), LENGTH), LENGTH, QUIRE_FRESH);
    work_with(open_store(text("lz4:300K+lz4:300K+file:%s/new?create", folder), LENGTH), LENGTH, QUIRE_FRESH);
}

static void test_zstd(void **state)
{
    work_with(open_store("zstd:8M", LENGTH), LENGTH, QUIRE_FRESH);
    work_with(open_store(text("zstd:200K+swap:%s", folder), LENGTH), LENGTH, QUIRE_FRESH);
}

static void test_bad_names(void **state)
{
    static const struct {
        const char *name;
        uint64_t bytes;
        enum status status;
        const char *says;
    } bad[] = {
        {"", 0, ST_INVALID, "expected KIND:"},
        {"file", 0, ST_INVALID, "expected KIND:"},
        {"File:/x", 0, ST_INVALID, "expected KIND:"},
        {"file:", 0, ST_INVALID, "expected file:PATH"},
        {"file:/nowhere/at/all", 0, ST_IO_ERROR, "/nowhere/at/all"},
        {"swap:/tmp", 0, ST_INVALID, "expected a length"},
        {"lz4:256M", 0, ST_INVALID, "and a length"},
        {"lz4:", MIB, ST_INVALID, "expected lz4:MEMORY"},
        {"lz4:-1", MIB, ST_INVALID, "expected lz4:MEMORY"},
        {"lz4:1X", MIB, ST_INVALID, "expected lz4:MEMORY"},
        {"lz4:99999999999999G", MIB, ST_INVALID, "expected lz4:MEMORY"},
        {"lz4:1M+nothing", MIB, ST_INVALID, "expected KIND:"},
        {"lz4:1M+lz4:1M+lz4:1M+lz4:1M+lz4:1M+swap:/tmp", MIB, ST_INVALID, "expected KIND:"},
        {"nosuch:x", MIB, ST_UNSUPPORTED, "no kind of stores 'nosuch'"},
        {"module:/nowhere.so", MIB, ST_INVALID, "module:PATH:REST"},
        {"module:/nowhere.so:", MIB, ST_UNSUPPORTED, "/nowhere.so"},
        {"module:/lib/x86_64-linux-gnu/libm.so.6:", MIB, ST_UNSUPPORTED, "it is no store"},
        {"nbd+unix:///?socket=/nowhere&quire-deadline=x", MIB, ST_INVALID, "quire-deadline"},
        {"nbd+unix:///?socket=/nowhere", MIB, ST_IO_ERROR, "/nowhere"},
        {"redis://localhost", MIB, ST_INVALID, "expected redis://"},
        {"redis://localhost/a b", MIB, ST_INVALID, "expected redis://"},
        {"redis://:secret@127.0.0.1:1/x", MIB, ST_IO_ERROR, "refused"},
    };

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct quire_error error = {""};
        struct store *store;
        enum status status = quire_store_open(bad[i].name, bad[i].bytes, &store, &error);

        if (status == ST_UNSUPPORTED && bad[i].status != status)
            continue; /* a module that is not built */
        if (status != bad[i].status || !strstr(error.text, bad[i].says))
            fail_msg("'%s': %s: %s", bad[i].name, status_name(status), error.text);
    }
}

/* A store by its name, mapped with a pager of its own. */
struct paged {
    struct quire_pager *pager;
    struct store *store;
    uint8_t *memory;
};

static struct paged page_named(const char *name, const char *policy, unsigned flags)
{
    struct paged paged = {.pager = open_pager(BUDGET, policy)};

    paged.store = open_store(name, LENGTH);
    paged.memory = map(paged.pager, paged.store, LENGTH, flags);
    return paged;
}

static void close_paged(const struct paged *paged)
{
    close_all(paged->pager, paged->store);
}

/* ------------------------------------------------------------------ NBD */

static void test_nbd(void **state)
{
    struct quire_error error;
    struct store *store, *second;

    start_memory_server();
    store = open_store(nbd_name(""), 0);
    assert_int_equal(store->pages, LENGTH / PAGE_SIZE);
    assert_status(quire_store_open(nbd_name(""), 0, &second, &error), ST_DENIED);
    assert_non_null(strstr(error.text, "another process"));
    work_with(store, LENGTH, 0);
    assert_status(quire_store_open(nbd_name(""), LENGTH + 1, &second, &error), ST_BEYOND_END);
    work_with(open_store(text("lz4:300K+%s", nbd_name("")), LENGTH), LENGTH, QUIRE_FRESH);
}

/* Two processes, of which the other one holds it. */
static void test_lock_of_a_process(void **state)
{
    int pipes[2];
    char byte;
    pid_t child;
    struct store *store;

    start_memory_server();
    assert_int_equal(pipe(pipes), 0);
    child = fork();
    if (child == 0) {
        byte = (char)quire_store_open(nbd_name(""), 0, &store, NULL);
        (void)!write(pipes[1], &byte, 1);
        pause();
        _exit(0);
    }
    assert_int_equal(read(pipes[0], &byte, 1), 1);
    if (byte == ST_OK)
        assert_status(quire_store_open(nbd_name(""), 0, &store, NULL), ST_DENIED);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    store_close(open_store(nbd_name(""), 0));
    close(pipes[0]);
    close(pipes[1]);
}

static void touch_file(const char *name)
{
    close(open(name, O_CREAT | O_RDWR, 0600));
}

static void test_nbd_errors(void **state)
{
    struct paged paged;

    start_nbdkit((const char *const[]){"--filter=error", "memory", "4M", "error=EIO", "error-rate=100%",
                                       text("error-file=%s", trigger), NULL});
    paged = page_named(nbd_name(""), "clock", 0);
    paged.memory[0] = 1;
    touch_file(trigger);
    assert_true(read_is_sigbus(paged.memory + MIB));
    assert_status(quire_pin(paged.memory + MIB, 1, ACCESS_READ), ST_IO_ERROR);
    assert_status(quire_sync(paged.memory, LENGTH), ST_IO_ERROR);
    unlink(trigger);
    assert_false(read_is_sigbus(paged.memory + MIB));
    (void)!quire_sync(paged.memory, LENGTH); /* what was noted before */
    assert_ok(quire_sync(paged.memory, LENGTH));
    assert_ok(quire_advise(paged.memory, LENGTH, QUIRE_DONE_WITH));
    assert_int_equal(paged.memory[0], 1);
    close_paged(&paged);
}

static void test_nbd_no_space(void **state)
{
    struct paged paged;

    start_nbdkit((const char *const[]){"--filter=error", "memory", "4M", "error=ENOSPC",
                                       "error-pwrite-rate=100%", text("error-file=%s", trigger), NULL});
    paged = page_named(nbd_name(""), "clock", 0);
    paged.memory[0] = 1;
    touch_file(trigger);
    assert_status(quire_sync(paged.memory, LENGTH), ST_NO_SPACE);
    unlink(trigger);
    (void)!quire_sync(paged.memory, LENGTH);
    assert_ok(quire_sync(paged.memory, LENGTH));
    close_paged(&paged);
}

/* A server that takes too long: the access ends at the store's deadline, nothing stays behind. */
static void test_nbd_deadline(void **state)
{
    struct quire_pager *pager = open_pager(BUDGET, "clock");
    struct store *store;
    uint64_t began;
    uint8_t *memory;

    start_nbdkit((const char *const[]){"--filter=delay", "memory", "4M", "rdelay=5", NULL});
    store = open_store(nbd_name("&quire-deadline=1"), 0);
    memory = map(pager, store, LENGTH, 0);
    began = milliseconds();
    assert_true(read_is_sigbus(memory));
    assert_in_range(milliseconds() - began, 900, 3500);
    close_all(pager, store);
}

/* The server ends, and comes back with what it had: the program notices nothing, and a sync means what it
 * says. */
static void test_nbd_comes_back(void **state)
{
    uint64_t *shadow = calloc(1, LENGTH);
    struct paged paged;

    start_file_server();
    paged = page_named(nbd_name(""), "clock", 0);
    for (unsigned round = 0; round < 3; round++) {
        work_on(paged.memory, shadow, LENGTH, 4, 1000, round + 1);
        server_kill(&server, SIGKILL);
        start_file_server();
    }
    work_on(paged.memory, shadow, LENGTH, 2, 1000, 9);
    server_kill(&server, SIGKILL);
    start_file_server();
    assert_ok(quire_sync(paged.memory, LENGTH)); /* which reads what was in doubt */
    free(shadow);
    close_paged(&paged);
}

/* It is gone for longer than the deadline. */
static void test_nbd_gone(void **state)
{
    struct paged paged;

    start_file_server();
    paged = page_named(nbd_name("&quire-deadline=1"), "clock", 0);
    paged.memory[0] = 1;
    server_kill(&server, SIGKILL);
    assert_true(read_is_sigbus(paged.memory + MIB));
    assert_status(quire_sync(paged.memory, LENGTH), ST_IO_ERROR);
    assert_int_equal(paged.memory[0], 1);
    start_file_server();
    assert_false(read_is_sigbus(paged.memory + MIB));
    (void)!quire_sync(paged.memory, LENGTH);
    assert_ok(quire_sync(paged.memory, LENGTH));
    close_paged(&paged);
}

/* It comes back without what was written: no zeroes are read, and no sync says that all is well. */
static void test_nbd_forgets(void **state)
{
    struct paged paged;

    start_memory_server();
    paged = page_named(nbd_name(""), "fifo", 0);
    for (uint64_t page = 0; page < LENGTH / PAGE_SIZE; page++)
        paged.memory[page * PAGE_SIZE] = 1;
    server_kill(&server, SIGKILL);
    start_memory_server();
    assert_true(read_is_sigbus(paged.memory));
    assert_status(quire_sync(paged.memory, LENGTH), ST_IO_ERROR);
    assert_status(quire_sync(paged.memory, LENGTH), ST_IO_ERROR);
    assert_ok(quire_discard(paged.memory));
    close_paged(&paged);
}

/* One that comes back smaller is given up. */
static void test_nbd_shrinks(void **state)
{
    struct paged paged;

    start_memory_server();
    paged = page_named(nbd_name(""), "fifo", 0);
    server_kill(&server, SIGKILL);
    start_nbdkit((const char *const[]){"memory", "2M", NULL});
    assert_true(read_is_sigbus(paged.memory));
    assert_ok(quire_discard(paged.memory));
    close_paged(&paged);
}

static void test_nbd_short_read(void **state)
{
    struct paged paged;

    start_nbdkit((const char *const[]){"eval", "get_size=echo 4194304", "pread=printf short", NULL});
    paged = page_named(nbd_name(""), "fifo", QUIRE_READ_ONLY);
    assert_true(read_is_sigbus(paged.memory));
    close_paged(&paged);
}

static void test_nbd_read_only(void **state)
{
    struct paged paged;

    start_nbdkit((const char *const[]){"-r", "pattern", "4M", NULL});
    paged = page_named(nbd_name(""), "fifo", QUIRE_READ_ONLY);
    for (uint64_t at = 0; at < LENGTH; at += PAGE_SIZE)
        assert_int_equal(be64toh(*(uint64_t *)(void *)(paged.memory + at)), at);
    close_paged(&paged);
}

/* ------------------------------------------------------------------ Redis */

static void test_redis(void **state)
{
    struct quire_pager *pager = open_pager(BUDGET, "clock");
    struct store *store, *second;
    struct quire_error error;
    uint8_t *memory;

    start_redis(true);
    assert_true(quire_store_open(redis_name(""), 0, &store, &error) != ST_OK);
    store = open_store(redis_name(""), LENGTH);
    assert_status(quire_store_open(redis_name(""), LENGTH, &second, &error), ST_DENIED);
    work_with(store, LENGTH, 0);
    store = open_store(redis_name(""), 0); /* it remembers its length, and what was synchronised */
    assert_int_equal(store->pages, LENGTH / PAGE_SIZE);
    memory = map(pager, store, LENGTH, 0);
    memset(memory, 7, LENGTH);
    assert_ok(quire_unmap(memory));
    store_close(store);
    server_kill(&server, SIGKILL);
    start_redis(true);
    store = open_store(redis_name(""), 0);
    memory = map(pager, store, LENGTH, 0);
    for (uint64_t at = 0; at < LENGTH; at += PAGE_SIZE)
        assert_int_equal(memory[at], 7);
    close_all(pager, store);
}

static void test_redis_killed(void **state)
{
    uint64_t *shadow = calloc(1, LENGTH);
    struct paged paged;

    start_redis(false);
    paged = page_named(redis_name("&quire-deadline=1"), "fifo", 0);
    work_on(paged.memory, shadow, LENGTH, 4, 1000, 1);
    assert_status(quire_sync(paged.memory, LENGTH), ST_UNSUPPORTED); /* it does not last there */
    memset(paged.memory, 7, LENGTH);
    server_kill(&server, SIGKILL);
    assert_true(read_is_sigbus(paged.memory));
    start_redis(false); /* without any of it */
    assert_true(read_is_sigbus(paged.memory));
    assert_true(quire_sync(paged.memory, LENGTH) == ST_IO_ERROR);
    assert_ok(quire_discard(paged.memory));
    free(shadow);
    close_paged(&paged);
}

/* Somebody cuts a page off, or takes it away. */
static void test_redis_damage(void **state)
{
    struct paged paged;

    start_redis(false);
    paged = page_named(redis_name(""), "fifo", 0);
    memset(paged.memory, 7, LENGTH);
    assert_status(quire_sync(paged.memory, LENGTH), ST_UNSUPPORTED);
    assert_ok(quire_advise(paged.memory, LENGTH, QUIRE_RANDOM));
    assert_ok(quire_advise(paged.memory, LENGTH, QUIRE_DONE_WITH));
    assert_int_equal(system(text("redis-cli -s %s set quire:test:0 short >/dev/null", server.socket)), 0);
    assert_int_equal(system(text("redis-cli -s %s del quire:test:1 >/dev/null", server.socket)), 0);
    assert_true(read_is_sigbus(paged.memory));
    assert_true(read_is_sigbus(paged.memory + PAGE_SIZE));
    assert_false(read_is_sigbus(paged.memory + 2 * PAGE_SIZE));
    assert_ok(quire_discard(paged.memory));
    close_paged(&paged);
}

static void test_redis_evicts(void **state)
{
    struct quire_error error;
    struct store *store;

    start_redis(false);
    assert_int_equal(
        system(text("redis-cli -s %s config set maxmemory-policy allkeys-lru >/dev/null", server.socket)), 0);
    assert_status(quire_store_open(redis_name(""), LENGTH, &store, &error), ST_INVALID);
    assert_non_null(strstr(error.text, "noeviction"));
}

/* The server has no room: an error of the sync, and of nothing else once there is room again. */
static void test_redis_full(void **state)
{
    struct quire_pager *pager = open_pager(8 * MIB, "fifo");
    struct store *store;
    uint8_t *memory;

    start_redis(true);
    store = open_store(redis_name(""), LENGTH);
    memory = map(pager, store, LENGTH, 0);
    memset(memory, 7, LENGTH);
    assert_int_equal(system(text("redis-cli -s %s config set maxmemory 2mb >/dev/null", server.socket)), 0);
    assert_status(quire_sync(memory, LENGTH), ST_NO_SPACE);
    assert_int_equal(system(text("redis-cli -s %s config set maxmemory 0 >/dev/null", server.socket)), 0);
    (void)!quire_sync(memory, LENGTH);
    assert_ok(quire_sync(memory, LENGTH));
    close_all(pager, store);
}

/* ------------------------------------------------------------------ a user's own */

#define MIRROR (getenv("QUIRE_EXAMPLE_STORE") ? getenv("QUIRE_EXAMPLE_STORE") : "./quire-store-mirror.so")

/* examples/store/mirror.c: contents, and one of its files damaged while it is in use. */
static void test_users_own(void **state)
{
    const char *name = text("module:%s:%s/a,%s/b", MIRROR, folder, folder);
    struct quire_pager *pager = open_pager(BUDGET, "fifo");
    struct store *store, *second;
    struct quire_error error;
    uint8_t *memory;

    work_with(open_store(name, LENGTH), LENGTH, QUIRE_FRESH);
    store = open_store(name, LENGTH);
    assert_status(quire_store_open(name, LENGTH, &second, &error), ST_DENIED);
    memory = map(pager, store, LENGTH, 0);
    memset(memory, 7, LENGTH);
    assert_ok(quire_sync(memory, LENGTH));
    assert_ok(quire_advise(memory, LENGTH, QUIRE_DONE_WITH));
    assert_int_equal(truncate(text("%s/a", folder), 0), 0);
    assert_int_equal(memory[MIB], 7);
    assert_int_equal(truncate(text("%s/b", folder), 0), 0);
    assert_true(read_is_sigbus(memory + 2 * MIB));
    assert_ok(quire_discard(memory));
    close_all(pager, store);
    assert_status(quire_store_open(text("module:%s:onlyone", MIRROR), LENGTH, &store, &error), ST_INVALID);
}

/* ------------------------------------------------------------------ disks */

/*
 * The linker gives us the file store's own system calls (--wrap=syscall): transfers that move less than they
 * were asked for, or are interrupted, as Linux may do at any time.
 */
static _Atomic unsigned short_transfers; /* every so many is one; 0: none */
long __real_syscall(long number, long a, long b, long c, long d, long e, long f);
long __wrap_syscall(long number, long a, long b, long c, long d, long e, long f);
long __wrap_syscall(long number, long a, long b, long c, long d, long e, long f)
{
    static _Atomic unsigned count;
    unsigned each = atomic_load(&short_transfers), turn;

    if (each != 0 && (number == SYS_pread64 || number == SYS_pwrite64)) {
        turn = atomic_fetch_add(&count, 1);
        if (turn % each == 0 && c > 512)
            c = 512 * (1 + turn / each % 7);
        if (turn % each == 1) {
            errno = EINTR;
            return -1;
        }
    }
    return __real_syscall(number, a, b, c, d, e, f);
}

static void test_short_transfers(void **state)
{
    atomic_store(&short_transfers, 3);
    work_with(open_store(text("file:%s", image), LENGTH), LENGTH, 0);
    work_with(open_store(text("lz4:100K+swap:%s", folder), LENGTH), LENGTH, QUIRE_FRESH);
    atomic_store(&short_transfers, 0);
}

/* A file system of 2 MiB, really full: what cannot be written stays, and is written when there is room again.
 */
static void test_no_space(void **state)
{
    const char *place = text("%s/small", folder), *ballast = text("%s/small/ballast", folder);
    struct paged paged;
    uint64_t page = 0;

    mkdir(place, 0700);
    if (mount("quire", place, "tmpfs", 0, "size=3m") != 0) {
        print_message("# mounting a tmpfs: %s\n", strerror(errno));
        skip();
    }
    assert_int_equal(system(text("head -c 2M /dev/zero > %s", ballast)), 0);
    paged = page_named(text("file:%s/small/data", folder), "fifo", 0); /* sparse: longer than there is room */
    while (page < LENGTH / PAGE_SIZE && !write_is_sigbus(paged.memory + page * PAGE_SIZE))
        page++;
    assert_in_range(page, 256,
                    LENGTH / PAGE_SIZE - 1); /* what went into the file, and what is in paged.memory */
    assert_status(quire_sync(paged.memory, LENGTH), ST_NO_SPACE);
    unlink(ballast);
    (void)!quire_sync(paged.memory, LENGTH);
    assert_ok(quire_sync(paged.memory, LENGTH));
    for (uint64_t i = 0; i < page; i++)
        assert_int_equal(paged.memory[i * PAGE_SIZE], 1);
    assert_ok(quire_discard(paged.memory));
    close_paged(&paged);
    assert_int_equal(umount(place), 0);
}

#define CASE(name) cmocka_unit_test_teardown(name, kill_server)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        CASE(test_names),
        CASE(test_zstd),
        CASE(test_bad_names),
        CASE(test_nbd),
        CASE(test_lock_of_a_process),
        CASE(test_nbd_errors),
        CASE(test_nbd_no_space),
        CASE(test_nbd_deadline),
        CASE(test_nbd_comes_back),
        CASE(test_nbd_gone),
        CASE(test_nbd_forgets),
        CASE(test_nbd_shrinks),
        CASE(test_nbd_short_read),
        CASE(test_nbd_read_only),
        CASE(test_redis),
        CASE(test_redis_killed),
        CASE(test_redis_damage),
        CASE(test_redis_evicts),
        CASE(test_redis_full),
        CASE(test_users_own),
        CASE(test_no_space),
        CASE(test_short_transfers),
    };

    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}

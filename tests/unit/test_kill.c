/*
 * kill -9 at random moments: what quire_sync() said is synchronised is there afterwards, whole, in a file and
 * behind an NBD server; and the store can be opened again at once.
 *
 * QUIRE_KILLS: how often, with each (10 by default).
 */
#include "runtime_support.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "servers.h"

#define BUDGET (512 * KIB)
enum { KILLED_PAGES = 512, ROUNDS_A_SYNC = 16, STRIDE = 173, STANDARD_KILLS = 10 };

static char folder[] = "/tmp/quire-kill-XXXXXX";
static char path[64];
static struct server server;

static int make_folder(void **state)
{
    if (!mkdtemp(folder))
        return -1;
    snprintf(path, sizeof(path), "%s/data", folder);
    return 0;
}

static int remove_folder(void **state)
{
    server_kill(&server, SIGKILL);
    unlink(path);
    return rmdir(folder);
}

/* The page that a round fills with the round's number. */
static uint64_t page_of_round(uint64_t round)
{
    return round * STRIDE % KILLED_PAGES;
}

/* ------------------------------------------------------------------ who is killed */

/* Says on standard output up to which round all is synchronised. Never ends by itself. */
static int write_until_killed(const char *name)
{
    struct quire_pager *pager;
    struct store *store;
    uint64_t *memory;

    if (quire_open(&(struct quire_options){.memory_bytes = BUDGET}, &pager, NULL) != ST_OK)
        return 77;
    if (quire_store_open(name, 0, &store, NULL) != ST_OK ||
        quire_map(pager, &(struct quire_mapping){.store = store, .length = KILLED_PAGES * PAGE_SIZE},
                  (void **)&memory, NULL) != ST_OK)
        return 1;
    for (uint64_t round = 1;; round++) {
        for (unsigned word = 0; word < PAGE_SIZE / 8; word++)
            memory[page_of_round(round) * (PAGE_SIZE / 8) + word] = round;
        if (round % ROUNDS_A_SYNC == 0) {
            if (quire_sync(memory, KILLED_PAGES * PAGE_SIZE) != ST_OK)
                return 2;
            if (write(STDOUT_FILENO, &round, sizeof(round)) != sizeof(round))
                return 3;
        }
    }
}

/* ------------------------------------------------------------------ who looks */

/* The last round up to `until` that wrote the page; 0: none. */
static uint64_t last_round_of(uint64_t page, uint64_t until)
{
    while (until > 0 && page_of_round(until) != page)
        until--;
    return until;
}

/* Words of a page that is just being written may be of two rounds; none may be older than what was
 * synchronised. */
static void check_after_kill(uint64_t synced)
{
    uint64_t contents[PAGE_SIZE / 8];
    int fd = open(path, O_RDONLY);

    for (uint64_t page = 0; page < KILLED_PAGES; page++) {
        uint64_t least = last_round_of(page, synced);

        assert_int_equal(read(fd, contents, PAGE_SIZE), PAGE_SIZE);
        for (unsigned word = 0; word < PAGE_SIZE / 8; word++)
            if (contents[word] < least || (contents[word] != 0 && page_of_round(contents[word]) != page))
                fail_msg("page %llu has %llu, and round %llu was synchronised", (unsigned long long)page,
                         (unsigned long long)contents[word], (unsigned long long)least);
    }
    close(fd);
}

static void make_file(void)
{
    int fd = open(path, O_CREAT | O_TRUNC | O_RDWR, 0600);

    assert_int_equal(ftruncate(fd, KILLED_PAGES * PAGE_SIZE), 0);
    close(fd);
}

static void kill_one(const char *name, useconds_t after)
{
    int pipes[2], status;
    uint64_t synced = 0, seen;
    pid_t child;

    make_file();
    assert_int_equal(pipe(pipes), 0);
    child = fork();
    if (child == 0) {
        dup2(pipes[1], STDOUT_FILENO);
        close(pipes[0]);
        execl("/proc/self/exe", "test-kill", "--write", name, NULL);
        _exit(9);
    }
    close(pipes[1]);
    (void)!read(pipes[0], &synced, sizeof(synced)); /* it is at work */
    usleep(after);
    kill(child, SIGKILL);
    while (read(pipes[0], &seen, sizeof(seen)) == sizeof(seen))
        synced = seen;
    close(pipes[0]);
    assert_int_equal(waitpid(child, &status, 0), child);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
        skip();
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL && synced > 0);
    check_after_kill(synced);
}

static void kill_often(const char *name)
{
    const char *kills = getenv("QUIRE_KILLS");
    struct random random = {(uint64_t)getpid() | 1};

    for (int i = kills ? atoi(kills) : STANDARD_KILLS; i > 0; i--)
        kill_one(name, (useconds_t)random_below(&random, 60000));
}

static void test_file(void **state)
{
    char name[96];

    snprintf(name, sizeof(name), "file:%s", path);
    kill_often(name);
}

static void test_nbd(void **state)
{
    char name[160];
    struct quire_error error;
    struct store *store;

    make_file();
    if (!server_nbdkit(&server, folder, (const char *const[]){"file", path, NULL}))
        skip();
    snprintf(name, sizeof(name), "nbd+unix:///?socket=%s", server.socket);
    if (quire_store_open(name, 0, &store, &error) == ST_UNSUPPORTED) {
        print_message("# %s\n", error.text);
        skip();
    }
    store_close(store);
    kill_often(name);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_file), cmocka_unit_test(test_nbd)};

    if (argc > 2 && strcmp(argv[1], "--write") == 0)
        return write_until_killed(argv[2]);
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}

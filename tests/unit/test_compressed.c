/*
 * The compressed store, alone and in front of a disk that is an array and fails when told to. Every step is
 * followed by a walk over all its invariants.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/lz4.h"
#include "tests/case.h"
#include "tests/store_memory.h"

enum { PAGES = 512, DISK_LATER = 64 };

/* ------------------------------------------------------------------ memory */

static struct test_memory memory;

/* ------------------------------------------------------------------ the disk behind */

static struct {
    struct store store;
    uint8_t pages[PAGES][PAGE_SIZE];
    struct store_request *later[DISK_LATER]; /* those that end in poll() */
    unsigned later_count;
    bool at_once;           /* end within submit */
    uint64_t bad;           /* a page that cannot be read or written; UINT64_MAX: none */
    uint64_t reads, writes; /* pages */
    uint64_t requests;
} disk;

static void disk_do(struct store_request *request)
{
    for (uint32_t i = 0; i < request->count; i++) {
        uint8_t *at = disk.pages[request->first + i];

        if (request->first + i == disk.bad) {
            request->done(request, ST_IO_ERROR);
            return;
        }
        if (request->op == STORE_READ)
            memcpy(request->pages[i], at, PAGE_SIZE);
        else
            memcpy(at, request->pages[i], PAGE_SIZE);
        disk.reads += request->op == STORE_READ;
        disk.writes += request->op == STORE_WRITE;
    }
    request->done(request, ST_OK);
}

static void disk_submit(struct store *store, struct store_request *request)
{
    assert_true(store_request_fits(store, request));
    assert_true(request->op == STORE_READ || request->op == STORE_WRITE);
    disk.requests++;
    if (disk.at_once) {
        disk_do(request);
    } else {
        assert_true(disk.later_count < DISK_LATER);
        disk.later[disk.later_count++] = request;
    }
}

/* Ends the one that came last: any order is allowed. */
static unsigned disk_poll(struct store *store, uint64_t wait_ns)
{
    (void)store;
    (void)wait_ns;
    if (disk.later_count == 0)
        return 0;
    disk_do(disk.later[--disk.later_count]);
    return 1;
}

static const struct store_type disk_type = {.name = "array", .submit = disk_submit, .poll = disk_poll};

/* ------------------------------------------------------------------ helpers */

static struct store *store;

static struct compressed_config config_for(bool with_disk, uint64_t memory_pages)
{
    memory.pages = memory.areas = 0;
    memory.page_limit = 1 << 20;
    memory.areas_left = -1;
    memset(&disk, 0, sizeof(disk));
    disk.store = (struct store){&disk_type, PAGES};
    disk.bad = UINT64_MAX;
    disk.at_once = true;
    return (struct compressed_config){.pages = PAGES,
                                      .memory_pages = memory_pages,
                                      .behind = with_disk ? &disk.store : NULL,
                                      .packer = &store_lz4,
                                      .memory = test_memory_of(&memory)};
}

static void begin(bool with_disk, uint64_t memory_pages)
{
    struct compressed_config config = config_for(with_disk, memory_pages);

    assert_int_equal(compressed_create(&config, &store), ST_OK);
}

static void check(void)
{
    const char *wrong = compressed_check(store);

    if (wrong)
        fail_msg("%s", wrong);
}

static void end(void)
{
    check();
    store_close(store);
    assert_int_equal(memory.pages, 0);
    assert_int_equal(memory.areas, 0);
}

static struct compressed_counts counts(void)
{
    struct compressed_counts c;

    compressed_count(store, &c);
    return c;
}

struct attempt {
    struct store_request request;
    void *pages[PAGES];
    enum status status;
    unsigned ended;
};

static void ended(struct store_request *request, enum status status)
{
    struct attempt *attempt = (struct attempt *)request->context;

    attempt->status = status;
    attempt->ended++;
}

static void submit(struct attempt *attempt, enum store_op op, uint64_t first, uint32_t count, uint8_t *at)
{
    *attempt = (struct attempt){.request = {.op = op,
                                            .count = count,
                                            .first = first,
                                            .pages = attempt->pages,
                                            .done = ended,
                                            .context = attempt}};
    for (uint32_t i = 0; i < count; i++)
        attempt->pages[i] = at + i * PAGE_SIZE;
    store_submit(store, &attempt->request);
}

static enum status run(enum store_op op, uint64_t first, uint32_t count, uint8_t *at)
{
    static struct attempt attempt;

    submit(&attempt, op, first, count, at);
    while (attempt.ended == 0)
        assert_int_not_equal(store_poll(store, 1000), 0);
    assert_int_equal(attempt.ended, 1);
    check();
    return attempt.status;
}

static uint64_t random_state = 1;

static uint64_t next_random(void)
{
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return random_state >> 33;
}

/* A page that LZ4 makes about `percent` of itself. */
static void make_page(uint8_t *page, unsigned percent)
{
    for (unsigned i = 0; i < PAGE_SIZE; i += 16) {
        if (next_random() % 100 >= percent)
            memset(page + i, 'x', 16);
        else
            for (unsigned j = 0; j < 16; j++)
                page[i + j] = (uint8_t)next_random();
    }
}

static uint8_t *area(unsigned pages)
{
    uint8_t *at = aligned_alloc(PAGE_SIZE, pages * PAGE_SIZE);

    assert_non_null(at);
    memset(at, 0, pages * PAGE_SIZE);
    return at;
}

/* ------------------------------------------------------------------ the cases */

static void contents_come_back(void **state)
{
    uint8_t *out = area(64), *in = area(64);

    (void)state;
    begin(false, 1000);
    for (unsigned i = 0; i < 64; i++)
        make_page(out + i * PAGE_SIZE, i);
    assert_int_equal(run(STORE_WRITE, 100, 64, out), ST_OK);
    assert_int_equal(run(STORE_READ, 100, 64, in), ST_OK);
    assert_memory_equal(in, out, 64 * PAGE_SIZE);
    assert_int_equal(run(STORE_READ, 130, 1, in), ST_OK); /* once more, and one alone */
    assert_memory_equal(in, out + 30 * PAGE_SIZE, PAGE_SIZE);
    assert_true(counts().packed == 64 && counts().zero == 0);
    end();
    free(out);
    free(in);
}

static void zeroes_cost_nothing(void **state)
{
    uint8_t *out = area(20), *in = area(20);

    (void)state;
    begin(true, 0);
    memset(in, 1, 20 * PAGE_SIZE);
    assert_int_equal(run(STORE_WRITE, 0, 20, out), ST_OK);
    assert_int_equal(counts().zero, 20);
    assert_int_equal(memory.pages, 0);
    assert_int_equal(disk.requests, 0);
    assert_int_equal(run(STORE_READ, 0, 20, in), ST_OK);
    assert_memory_equal(in, out, 20 * PAGE_SIZE);
    out[4095] = 1; /* a single byte, the last */
    assert_int_equal(run(STORE_WRITE, 3, 1, out), ST_OK);
    assert_int_equal(counts().zero, 19);
    assert_int_equal(run(STORE_READ, 3, 1, in), ST_OK);
    assert_memory_equal(in, out, PAGE_SIZE);
    end();
    free(out);
    free(in);
}

static void memory_is_given_back(void **state)
{
    uint8_t *out = area(PAGES);
    long most;

    (void)state;
    begin(false, 1000);
    for (unsigned i = 0; i < PAGES; i++)
        make_page(out + i * PAGE_SIZE, 20 + i % 30);
    assert_int_equal(run(STORE_WRITE, 0, PAGES, out), ST_OK);
    most = memory.pages;
    assert_true((uint64_t)most == counts().memory_pages && most > PAGES / 8 && most < PAGES * 2 / 3);
    assert_true(counts().packed_bytes > (uint64_t)most * PAGE_SIZE * 3 / 4); /* little is wasted */
    for (unsigned i = 0; i < PAGES; i += 2)
        assert_int_equal(run(STORE_DISCARD, i, 1, out), ST_OK);
    assert_int_equal(counts().packed, PAGES / 2);
    assert_int_equal(run(STORE_DISCARD, 0, PAGES, out), ST_OK);
    assert_int_equal(counts().packed, 0);
    assert_true(memory.pages <= 16); /* what describes spans */
    assert_int_equal(run(STORE_READ, 1, 1, out), ST_IO_ERROR);
    end();
    free(out);
}

static void incompressible_pages_go_behind(void **state)
{
    uint8_t *out = area(9), *in = area(9);

    (void)state;
    begin(true, 1000);
    for (unsigned i = 0; i < 9; i++)
        make_page(out + i * PAGE_SIZE, i == 2 || i == 3 || i == 4 || i == 8 ? 100 : 30);
    assert_int_equal(run(STORE_WRITE, 10, 9, out), ST_OK);
    assert_int_equal(disk.writes, 4);
    assert_int_equal(disk.requests, 2); /* neighbours in one */
    assert_int_equal(counts().large, 4);
    assert_int_equal(run(STORE_READ, 10, 9, in), ST_OK);
    assert_memory_equal(in, out, 9 * PAGE_SIZE);
    /* What was compressible and is so no more, and the other way round. */
    make_page(out, 100);
    make_page(out + 2 * PAGE_SIZE, 10);
    assert_int_equal(run(STORE_WRITE, 10, 9, out), ST_OK);
    assert_int_equal(run(STORE_READ, 10, 9, in), ST_OK);
    assert_memory_equal(in, out, 9 * PAGE_SIZE);
    end();
    free(out);
    free(in);
}

static void incompressible_pages_alone(void **state)
{
    uint8_t *out = area(4), *in = area(4);

    (void)state;
    begin(false, 1000);
    for (unsigned i = 0; i < 4; i++)
        make_page(out + i * PAGE_SIZE, i == 2 ? 100 : 30);
    assert_int_equal(run(STORE_WRITE, 0, 4, out), ST_NO_SPACE);
    assert_int_equal(run(STORE_READ, 2, 1, in), ST_IO_ERROR); /* never something else */
    assert_int_equal(run(STORE_WRITE, 2, 1, out), ST_OK);
    assert_int_equal(run(STORE_READ, 2, 1, in), ST_OK);
    assert_memory_equal(in, out, PAGE_SIZE);
    end();
    free(out);
    free(in);
}

static void full_memory(void **state)
{
    uint8_t *out = area(PAGES), *in = area(PAGES);

    (void)state;
    for (unsigned i = 0; i < PAGES; i++)
        make_page(out + i * PAGE_SIZE, 40);
    begin(true, 50); /* a limit */
    assert_int_equal(run(STORE_WRITE, 0, PAGES, out), ST_OK);
    assert_true(memory.pages <= 50 && counts().no_room > 0);
    assert_int_equal(disk.writes, counts().no_room);
    assert_int_equal(run(STORE_READ, 0, PAGES, in), ST_OK);
    assert_memory_equal(in, out, PAGES * PAGE_SIZE);
    end();
    begin(true, 1000); /* no memory to be had */
    memory.page_limit = 20;
    assert_int_equal(run(STORE_WRITE, 0, PAGES, out), ST_OK);
    assert_true(memory.pages <= 20 && counts().no_room > 0);
    memset(in, 0, PAGES * PAGE_SIZE);
    assert_int_equal(run(STORE_READ, 0, PAGES, in), ST_OK);
    assert_memory_equal(in, out, PAGES * PAGE_SIZE);
    end();
    begin(false, 50);
    assert_int_equal(run(STORE_WRITE, 0, PAGES, out), ST_NO_SPACE);
    assert_int_equal(run(STORE_DISCARD, 0, PAGES, out), ST_OK);
    assert_int_equal(run(STORE_WRITE, 0, 40, out), ST_OK); /* there is room again */
    end();
    free(out);
    free(in);
}

static void errors_behind(void **state)
{
    uint8_t *out = area(8), *in = area(8);

    (void)state;
    begin(true, 1000);
    for (unsigned i = 0; i < 8; i++)
        make_page(out + i * PAGE_SIZE, i % 2 ? 100 : 30);
    disk.bad = 105;
    assert_int_equal(run(STORE_WRITE, 100, 8, out), ST_IO_ERROR);
    disk.bad = UINT64_MAX;
    assert_int_equal(run(STORE_WRITE, 100, 8, out), ST_OK);
    disk.bad = 103;
    assert_int_equal(run(STORE_READ, 100, 8, in), ST_IO_ERROR);
    assert_int_equal(run(STORE_READ, 100, 3, in), ST_OK);
    assert_memory_equal(in, out, 3 * PAGE_SIZE);
    assert_int_equal(run(STORE_READ, 104, 4, in), ST_OK);
    assert_memory_equal(in, out + 4 * PAGE_SIZE, 4 * PAGE_SIZE);
    end();
    free(out);
    free(in);
}

/* More than it has jobs for, ended in any order by the disk. */
static void many_at_once(void **state)
{
    static struct attempt attempts[40];
    uint8_t *out = area(40 * 6), *in = area(40 * 6);

    (void)state;
    begin(true, 1000);
    for (unsigned op = 0; op < 2; op++) {
        disk.at_once = false;
        for (unsigned i = 0; i < 40; i++) {
            for (unsigned j = 0; j < 6 && op == 0; j++)
                make_page(out + (i * 6 + j) * PAGE_SIZE, next_random() % 2 ? 100 : 30);
            submit(&attempts[i], op == 0 ? STORE_WRITE : STORE_READ, i * 6, 6,
                   (op == 0 ? out : in) + i * 6 * PAGE_SIZE);
        }
        assert_true(disk.later_count > 8 && disk.later_count <= 16);
        check();
        while (store_poll(store, 0) != 0)
            disk.at_once = next_random() % 4 == 0;
        for (unsigned i = 0; i < 40; i++)
            assert_true(attempts[i].ended == 1 && attempts[i].status == ST_OK);
        check();
    }
    assert_memory_equal(in, out, 40 * 6 * PAGE_SIZE);
    end();
    free(out);
    free(in);
}

static void wrong_requests(void **state)
{
    struct compressed_config config = config_for(true, 10);
    uint8_t *at = area(1);

    (void)state;
    begin(true, 10);
    assert_int_equal(run(STORE_READ, PAGES, 1, at), ST_INVALID);
    assert_int_equal(run(STORE_WRITE, PAGES - 1, 2, at), ST_INVALID);
    assert_int_equal(run(STORE_DISCARD, 0, 0, at), ST_INVALID);
    assert_int_equal(run(STORE_FLUSH, 0, 0, at), ST_UNSUPPORTED);
    end();
    config.pages = PAGES + 1;
    assert_int_equal(compressed_create(&config, &store), ST_INVALID);
    config.pages = 0;
    assert_int_equal(compressed_create(&config, &store), ST_INVALID);
    free(at);
}

static void creation_without_memory(void **state)
{
    struct compressed_config config = config_for(true, 100);
    long n = 0;

    (void)state;
    for (;; n++) {
        memory.areas_left = n;
        if (compressed_create(&config, &store) == ST_OK)
            break;
        assert_int_equal(memory.areas, 0);
    }
    assert_int_equal(n, 5);
    end();
}

/* A packer whose bytes do not come back is an error, not wrong bytes. */
static bool never_unpacks(void *state, const void *from, size_t bytes, void *page)
{
    (void)from;
    (void)bytes;
    (void)page;
    return false;
}

static void broken_contents(void **state)
{
    struct store_packer packer = store_lz4;
    struct compressed_config config = config_for(true, 100);
    uint8_t *at = area(3);

    (void)state;
    packer.unpack = never_unpacks;
    config.packer = &packer;
    assert_int_equal(compressed_create(&config, &store), ST_OK);
    make_page(at, 100);
    make_page(at + PAGE_SIZE, 30);
    make_page(at + 2 * PAGE_SIZE, 100);
    assert_int_equal(run(STORE_WRITE, 0, 3, at), ST_OK);
    assert_int_equal(run(STORE_READ, 1, 1, at), ST_IO_ERROR);
    assert_int_equal(run(STORE_READ, 0, 3, at), ST_IO_ERROR);
    end();
    free(at);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(contents_come_back),
        cmocka_unit_test(zeroes_cost_nothing),
        cmocka_unit_test(memory_is_given_back),
        cmocka_unit_test(incompressible_pages_go_behind),
        cmocka_unit_test(incompressible_pages_alone),
        cmocka_unit_test(full_memory),
        cmocka_unit_test(errors_behind),
        cmocka_unit_test(many_at_once),
        cmocka_unit_test(wrong_requests),
        cmocka_unit_test(creation_without_memory),
        cmocka_unit_test(broken_contents),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

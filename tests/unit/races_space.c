/*
 * One space, several CPUs, under TSan: faults, mappings and unmappings on disjoint and on overlapping ranges,
 * fork while others write, files that are dropped and written back meanwhile, truncation against faults.
 *
 * A program's own accesses are atomic and TSan orders them by the TLB's locks: a page that is copied, freed
 * or zeroed before the flush has reached every CPU is reported as a race of the kernel with the program.
 */
#include "races_support.h"

/* ------------------------------------------------------------------ disjoint ranges */

static void disjoint_body(struct worker *worker)
{
    uint64_t base = 0x100000000 + worker->cpu * 3 * MIB; /* neighbours share tables */

    for (uint64_t round = 1; round <= 60; round++) {
        uint64_t pages = 1 + random_below(&worker->random, 600), word = 0;

        WRONG(try_map(world.space, NULL, 0, base, pages, RW, SPACE_FIXED, NULL) != ST_OK);
        for (uint64_t i = 0; i < pages; i += 1 + i / 4)
            WRONG(try_put(world.space, base + i * PAGE_SIZE, round * 1000 + i) != ST_OK);
        WRONG(space_protect(world.space, vaddr(base), PAGE_SIZE, ACCESS_READ) != ST_OK);
        WRONG(try_put(world.space, base, 1) != ST_DENIED);
        for (uint64_t i = 0; i < pages; i += 1 + i / 4)
            WRONG(!read_word(world.space, base + i * PAGE_SIZE, &word) || word != round * 1000 + i);
        WRONG(space_unmap(world.space, vaddr(base), pages * PAGE_SIZE) != ST_OK);
        WRONG(try_get(world.space, base) != ST_NOT_MAPPED);
    }
}

static void disjoint_ranges(void **state)
{
    world.space = new_space();
    run(disjoint_body);
    check_all(world.space);
    space_unref(world.space);
}

static void anywhere_body(struct worker *worker)
{
    for (uint64_t round = 1; round <= 300; round++) {
        uint64_t at, word = 0, pages = 1 + random_below(&worker->random, 9);

        WRONG(try_map(world.space, NULL, 0, 0, pages, RW, 0, &at) != ST_OK);
        WRONG(try_put(world.space, at, worker->cpu * 1000000 + round) != ST_OK);
        WRONG(!read_word(world.space, at, &word) || word != worker->cpu * 1000000 + round);
        if (round % 4 != 0)
            WRONG(space_unmap(world.space, vaddr(at), pages * PAGE_SIZE) != ST_OK);
    }
}

static void places_are_given_once(void **state)
{
    world.space = new_space();
    run(anywhere_body);
    check_all(world.space);
    space_unref(world.space);
}

/* ------------------------------------------------------------------ overlapping ranges */

static bool acceptable(enum status status)
{
    return status == ST_OK || status == ST_NOT_MAPPED || status == ST_DENIED || status == ST_MAPPED;
}

static void overlapping_body(struct worker *worker)
{
    for (int round = 0; round < 1500; round++) {
        uint64_t at = world.at + random_below(&worker->random, world.pages) * PAGE_SIZE;
        uint64_t bytes = (1 + random_below(&worker->random, 30)) * PAGE_SIZE;

        switch (random_below(&worker->random, 10)) {
        case 0:
            WRONG(space_unmap(world.space, vaddr(at), bytes) != ST_OK);
            break;
        case 1:
        case 2:
            WRONG(!acceptable(try_map(world.space, NULL, 0, at, bytes >> PAGE_SHIFT, RW, SPACE_FIXED, NULL)));
            break;
        case 3:
            WRONG(!acceptable(
                space_protect(world.space, vaddr(at), bytes, random_below(&worker->random, 2) ? RW : 1)));
            break;
        case 4:
            WRONG(!acceptable(space_advise(world.space, vaddr(at), bytes, ADVICE_DONT_NEED)));
            break;
        case 5: {
            struct space_region region;

            (void)space_next_region(world.space, vaddr(at), &region);
            break;
        }
        default:
            WRONG(!acceptable(try_put(world.space, at, worker->cpu)));
            WRONG(!acceptable(try_get(world.space, at)));
        }
    }
}

static void overlapping_ranges(void **state)
{
    world.space = new_space();
    world.pages = 1200;
    world.at = map_at(world.space, 0x40000000 - 100 * PAGE_SIZE, world.pages, RW, 0);
    run(overlapping_body);
    check_all(world.space);
    space_unref(world.space);
}

/* ------------------------------------------------------------------ fork */

/* Each CPU counts in a page of its own; children must see a count that does not change. */
static void fork_body(struct worker *worker)
{
    uint64_t mine = world.at + worker->cpu * PAGE_SIZE, word = 0;

    for (uint64_t round = 1; round <= 120; round++) {
        struct space *child;
        uint64_t before = 0, after = 0, other = world.at + (worker->cpu % CPUS + 1) * PAGE_SIZE;

        WRONG(try_put(world.space, mine, round) != ST_OK);
        WRONG(space_fork(world.space, &child) != ST_OK);
        WRONG(try_put(world.space, mine, round + 1000) != ST_OK);
        WRONG(!read_word(child, mine, &word) || word != round);
        WRONG(!read_word(child, other, &before));
        WRONG(try_put(child, mine, 5) != ST_OK);
        WRONG(!read_word(child, other, &after) || before != after);
        space_unref(child);
        WRONG(!read_word(world.space, mine, &word) || word != round + 1000);
    }
}

static void fork_while_others_write(void **state)
{
    world.space = new_space();
    world.at = map_anon(world.space, 20, RW);
    run(fork_body);
    check_all(world.space);
    space_unref(world.space);
}

/* ------------------------------------------------------------------ files under pressure */

/* Every CPU has a word of its own in each page, and remembers what it wrote there. */
static void file_body(struct worker *worker)
{
    static uint64_t written[CPUS + 1][4000];

    memset(written[worker->cpu], 0, sizeof(written[0]));
    for (uint64_t round = 1; round <= 2500; round++) {
        uint64_t page = random_below(&worker->random, world.pages), word = 0;
        uint64_t at = world.at + page * PAGE_SIZE + 64 * worker->cpu;

        if (round % 3 == 0) {
            WRONG(try_put(world.space, at, round) != ST_OK);
            written[worker->cpu][page] = round;
        } else {
            WRONG(!read_word(world.space, at, &word));
            WRONG(written[worker->cpu][page] != 0 && word != written[worker->cpu][page]);
        }
        if (round % 500 == worker->cpu)
            WRONG(object_sync(world.object, 0, UINT64_MAX) != ST_OK);
        if (round % 100 == worker->cpu)
            reclaim(20);
    }
    for (uint64_t page = 0; page < world.pages; page++) {
        uint64_t word = 0;

        WRONG(!read_word(world.space, world.at + page * PAGE_SIZE + 64 * worker->cpu, &word));
        WRONG(written[worker->cpu][page] != 0 && word != written[worker->cpu][page]);
    }
}

static void files_dropped_and_written_back(void **state)
{
    struct store *store = store_create(3000 * PAGE_SIZE); /* 12 MiB in a machine of 8 */

    world.space = new_space();
    world.object = store_object(store);
    world.pages = 3000;
    store->slow_us = 20;
    world.at = map_object(world.space, world.object, 0, world.pages, RW, SPACE_SHARED);
    run(file_body);
    check_all(world.space);
    space_unref(world.space);
    object_unref(world.object);
    store_end(store);
}

/* ------------------------------------------------------------------ programs */

/* Lives of programs, one after the other on each CPU, all from one file, in too little memory. */
static void life_body(struct worker *worker)
{
    for (uint64_t life = 1; life <= 40; life++) {
        struct space *space, *child;
        uint64_t code, data, shared, anon, word = 0;

        WRONG(space_create(&space) != ST_OK);
        space_set_layout(space, vaddr(0x7ffff7000000), vaddr(0x7ffffffde000), vaddr(0x7ffffffff000), 8 * MIB);
        WRONG(try_map(space, world.object, 0, 0, world.pages, RX, 0, &code) != ST_OK);
        WRONG(try_map(space, world.object, 100, 0, 50, RW, 0, &data) != ST_OK);
        WRONG(try_map(space, world.object, 0, 0, world.pages, RW, SPACE_SHARED, &shared) != ST_OK);
        WRONG(try_map(space, NULL, 0, 0, 100, RW, 0, &anon) != ST_OK);
        for (uint64_t i = 0; i < 60; i++) {
            uint64_t page = random_below(&worker->random, world.pages);

            WRONG(!read_word(space, code + page * PAGE_SIZE, &word) || word != page + 1);
            WRONG(try_put(space, data + i % 50 * PAGE_SIZE + 8, life) != ST_OK);
            WRONG(try_put(space, shared + page * PAGE_SIZE + 64 * worker->cpu, life) != ST_OK);
            WRONG(try_put(space, anon + i * PAGE_SIZE, life) != ST_OK);
        }
        WRONG(space_fork(space, &child) != ST_OK);
        for (uint64_t i = 0; i < 50; i += 3) {
            WRONG(try_put(child, data + i * PAGE_SIZE + 8, life + 1000) != ST_OK);
            WRONG(try_put(space, anon + i * PAGE_SIZE, life + 2000) != ST_OK);
            WRONG(!read_word(child, anon + i * PAGE_SIZE, &word) || word != life);
            WRONG(!read_word(space, data + i * PAGE_SIZE + 8, &word) || word != life);
            WRONG(!read_word(child, data + i * PAGE_SIZE, &word) || word != 101 + i);
        }
        if (life % 2 != 0)
            space_unref(space);
        for (uint64_t i = 0; i < 50; i++)
            WRONG(!read_word(child, data + i * PAGE_SIZE + 8, &word) ||
                  word != (i % 3 == 0 ? life + 1000 : life));
        space_unref(child);
        if (life % 2 == 0)
            space_unref(space);
    }
}

static void lives_of_programs(void **state)
{
    struct store *store = store_create(2500 * PAGE_SIZE);

    world.object = store_object(store);
    world.pages = 2500;
    run(life_body);
    check_all(NULL);
    object_unref(world.object);
    store_end(store);
}

/* ------------------------------------------------------------------ truncation */

static void truncate_body(struct worker *worker)
{
    for (int round = 0; round < 400; round++) {
        uint64_t page = random_below(&worker->random, world.pages);
        enum status status;

        if (worker->cpu == 1) {
            WRONG(object_resize(world.object, page * PAGE_SIZE) != ST_OK);
            WRONG(object_resize(world.object, world.pages * PAGE_SIZE) != ST_OK);
            continue;
        }
        status = round % 2 != 0 ? try_put(world.space, world.at + page * PAGE_SIZE, page)
                                : try_get(world.space, world.at + page * PAGE_SIZE);
        WRONG(status != ST_OK && status != ST_BEYOND_END);
    }
}

static void truncation_against_faults(void **state)
{
    struct store *store = store_create(100 * PAGE_SIZE);

    world.space = new_space();
    world.object = store_object(store);
    world.pages = 100;
    world.at = map_object(world.space, world.object, 0, world.pages, RW, SPACE_SHARED);
    run(truncate_body);
    check_all(world.space);
    space_unref(world.space);
    object_unref(world.object);
    store_end(store);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, boot_vm_8m, end_vm)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(disjoint_ranges, boot_vm_64m, end_vm),
        CASE(places_are_given_once),
        CASE(overlapping_ranges),
        CASE(fork_while_others_write),
        CASE(files_dropped_and_written_back),
        CASE(lives_of_programs),
        CASE(truncation_against_faults),
    };

    return cmocka_run_group_tests_name("spaces on several CPUs", tests, NULL, NULL);
}

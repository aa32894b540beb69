/*
 * Swap on several CPUs, under TSan: threads that evict, fault, fork, unmap, protect, give up and truncate the
 * same pages, over a store that takes its time, and one that fails now and then.
 *
 * A page is evicted as reclaim does it; its first reference comes from a pin, which takes the table's lock.
 */
#include "races_support.h"
#include "swap_support.h"

enum { PAGES = 300 };

/* Every CPU has a word of its own in each page, and remembers what it wrote there. */
static uint64_t written[CPUS + 1][PAGES];

static uint64_t word_at(const struct worker *worker, uint64_t page)
{
    return world.at + page * PAGE_SIZE + 64 * worker->cpu;
}

static void page_out_some(struct worker *worker)
{
    uint64_t first = random_below(&worker->random, world.pages);
    uint64_t count = 1 + random_below(&worker->random, 60);

    (void)page_out(world.space, world.at + first * PAGE_SIZE,
                   count < world.pages - first ? count : world.pages - first);
}

static void use_body(struct worker *worker)
{
    memset(written[worker->cpu], 0, sizeof(written[0]));
    for (uint64_t round = 1; round <= 1500; round++) {
        uint64_t page = random_below(&worker->random, world.pages), word = 0;

        if (round % 3 == 0) {
            WRONG(try_put(world.space, word_at(worker, page), round) != ST_OK);
            written[worker->cpu][page] = round;
        } else {
            WRONG(!read_word(world.space, word_at(worker, page), &word) ||
                  word != written[worker->cpu][page]);
        }
        if (round % 25 == worker->cpu)
            page_out_some(worker);
    }
    for (uint64_t page = 0; page < world.pages; page++) {
        uint64_t word = 0;

        WRONG(!read_word(world.space, word_at(worker, page), &word) || word != written[worker->cpu][page]);
    }
}

static void small_pages(void)
{
    for (uint64_t i = 0; i < world.pages; i++)
        put(world.space, world.at + i * PAGE_SIZE, 0);
}

static void begin(void)
{
    world.space = new_space();
    world.pages = PAGES;
    swap_test.slow_us = 50;
}

static void end(void)
{
    check_swap(world.space);
    space_unref(world.space);
}

static void private_pages(void **state)
{
    begin();
    world.at = map_anon(world.space, world.pages, RW);
    small_pages();
    run(use_body);
    assert_true(swap_now().page_ins > 0 && swap_now().page_outs > 0);
    end();
}

static void pages_of_an_object(void **state)
{
    begin();
    world.object = object_create(NULL, NULL, world.pages * PAGE_SIZE);
    world.at = map_object(world.space, world.object, 0, world.pages, RW, SPACE_SHARED);
    run(use_body);
    assert_true(swap_now().page_ins > 0 && swap_now().page_outs > 0);
    object_unref(world.object);
    end();
}

/* ------------------------------------------------------------------ fork */

/* Children must see what was there when they were made. */
static void fork_body(struct worker *worker)
{
    uint64_t mine = world.at + worker->cpu * 7 * PAGE_SIZE, word = 0;

    for (uint64_t round = 1; round <= 60; round++) {
        struct space *child;

        for (uint64_t i = 0; i < 7; i++)
            WRONG(try_put(world.space, mine + i * PAGE_SIZE, round * 10 + i) != ST_OK);
        page_out_some(worker);
        WRONG(space_fork(world.space, &child) != ST_OK);
        WRONG(try_put(world.space, mine, round + 1000) != ST_OK);
        for (uint64_t i = 0; i < 7; i++)
            WRONG(!read_word(child, mine + i * PAGE_SIZE, &word) || word != round * 10 + i);
        (void)page_out(child, world.at, 40);
        WRONG(try_put(child, mine + PAGE_SIZE, 5) != ST_OK);
        for (uint64_t i = 2; i < 7; i++)
            WRONG(!read_word(child, mine + i * PAGE_SIZE, &word) || word != round * 10 + i);
        WRONG(!read_word(world.space, mine + PAGE_SIZE, &word) || word != round * 10 + 1);
        space_unref(child);
        WRONG(!read_word(world.space, mine, &word) || word != round + 1000);
    }
}

static void forks_of_swapped_pages(void **state)
{
    begin();
    world.at = map_anon(world.space, world.pages, RW);
    small_pages();
    run(fork_body);
    end();
}

/* ------------------------------------------------------------------ memory that is given up */

/* Every CPU has pages of its own here; the others evict them. */
static void give_up_body(struct worker *worker)
{
    enum { OWN = PAGES / CPUS };
    uint64_t mine = world.at + (worker->cpu - 1) * OWN * PAGE_SIZE;
    bool given_up[OWN] = {false};

    memset(written[worker->cpu], 0, sizeof(written[0]));
    for (uint64_t round = 1; round <= 3000; round++) {
        uint64_t page = random_below(&worker->random, OWN), word = 0;
        uint64_t at = mine + page * PAGE_SIZE, other = random_below(&worker->random, world.pages - 32);

        switch (random_below(&worker->random, 8)) {
        case 0:
        case 1:
            WRONG(space_advise(world.space, vaddr(at), PAGE_SIZE, ADVICE_FREE) != ST_OK);
            given_up[page] = true;
            break;
        case 2:
            space_page_out(world.space, vaddr(world.at + other * PAGE_SIZE), 32 * PAGE_SIZE);
            break;
        case 3:
        case 4:
            WRONG(!read_word(world.space, at, &word) ||
                  (word != written[worker->cpu][page] && !(given_up[page] && word == 0)));
            break;
        default:
            WRONG(try_put(world.space, at, round) != ST_OK);
            written[worker->cpu][page] = round;
            given_up[page] = false;
        }
        if (round % 500 == 0 && worker->cpu == 1) {
            struct space *child;

            WRONG(space_fork(world.space, &child) != ST_OK);
            (void)page_out(child, world.at, 40);
            WRONG(space_advise(child, vaddr(world.at), world.pages * PAGE_SIZE, ADVICE_FREE) != ST_OK);
            space_unref(child);
        }
    }
}

static void memory_given_up(void **state)
{
    begin();
    world.at = map_anon(world.space, world.pages, RW);
    small_pages();
    run(give_up_body);
    assert_true(vm_stats.lazy_freed > 50 && swap_now().page_outs > 50);
    end();
}

/* ------------------------------------------------------------------ everything at once */

static bool acceptable(enum status status)
{
    return status == ST_OK || status == ST_NOT_MAPPED || status == ST_DENIED || status == ST_MAPPED ||
           status == ST_BEYOND_END || status == ST_IO_ERROR;
}

static void chaos_body(struct worker *worker)
{
    for (int round = 0; round < 900; round++) {
        uint64_t page = random_below(&worker->random, world.pages);
        uint64_t at = world.at + page * PAGE_SIZE;
        uint64_t bytes = (1 + random_below(&worker->random, 20)) * PAGE_SIZE;

        switch (random_below(&worker->random, 14)) {
        case 0:
            WRONG(space_unmap(world.space, vaddr(at), bytes) != ST_OK);
            break;
        case 1:
        case 2:
            WRONG(!acceptable(try_map(world.space, random_below(&worker->random, 2) ? world.object : NULL,
                                      page, at, bytes >> PAGE_SHIFT, RW,
                                      SPACE_FIXED | (random_below(&worker->random, 2) ? SPACE_SHARED : 0),
                                      NULL)));
            break;
        case 3:
            WRONG(!acceptable(space_protect(world.space, vaddr(at), bytes,
                                            (unsigned)random_below(&worker->random, 2) * RW)));
            break;
        case 4:
            WRONG(!acceptable(space_advise(world.space, vaddr(at), bytes,
                                           round % 3 == 0 ? ADVICE_DONT_NEED : ADVICE_FREE)));
            break;
        case 5: {
            struct vaddr out;

            WRONG(!acceptable(
                      space_move(world.space, vaddr(at), bytes, bytes, SPACE_MAY_MOVE, vaddr(0), &out)) &&
                  round < 0);
            break;
        }
        case 6:
            WRONG(object_resize(world.object, page * PAGE_SIZE + 5) == ST_NO_MEMORY);
            WRONG(object_resize(world.object, (world.pages + 20) * PAGE_SIZE) != ST_OK);
            break;
        case 7: {
            struct space *child;

            WRONG(space_fork(world.space, &child) != ST_OK);
            (void)!try_put(child, at, 1);
            (void)page_out(child, at, 20);
            (void)!try_get(child, at);
            space_unref(child);
            break;
        }
        case 8:
            page_out_some(worker);
            break;
        case 9:
            space_page_out(world.space, vaddr(at), bytes);
            break;
        default:
            WRONG(!acceptable(try_put(world.space, at, worker->cpu)));
            WRONG(!acceptable(try_get(world.space, at)));
        }
    }
}

static void everything_at_once(void **state)
{
    begin();
    world.object = object_create(NULL, NULL, (world.pages + 20) * PAGE_SIZE);
    world.at = map_at(world.space, 0x40000000 - 100 * PAGE_SIZE, world.pages, RW, 0);
    run(chaos_body);
    check_swap(world.space);
    swap_test.fail_read = 20;
    swap_test.fail_write = 33;
    run(chaos_body);
    object_unref(world.object);
    end();
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, boot_swap_64m, end_swap)
    const struct CMUnitTest tests[] = {
        CASE(private_pages),   CASE(pages_of_an_object), CASE(forks_of_swapped_pages),
        CASE(memory_given_up), CASE(everything_at_once),
    };

    return cmocka_run_group_tests_name("swap on several CPUs", tests, NULL, NULL);
}

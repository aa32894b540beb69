/*
 * The shape of the software MMU's translation caches: what hits, what is walked for, and how many entries of
 * tables a walk reads, in cases that can be worked out by hand. The tables are written by hand as well: 8 MiB
 * of 4 KiB pages at HERE (four level-1 tables), all of the same frame, and 8 MiB of 2 MiB pages at LARGE.
 */
#include "support.h"

#include "pt/fmt/x86_64.h"

#define HERE ((uint64_t)0x123440000000)
#define LARGE (HERE + GIANT_SIZE)
#define FAR (HERE + ((uint64_t)1 << 39)) /* another level-3 table, the same level-2 table */

enum { TABLES = 4, ALL = PT_PRESENT | PT_WRITE | PT_USER };

static struct host_mmu mmu;
static struct paddr root;
static struct sim_mmu_counts before;

static struct pt_entry *table(void)
{
    return frame_data(frame_alloc(0, FRAME_TABLE, FRAME_ZERO));
}

static uint64_t entry_to(const void *at)
{
    return host_paddr(at).v | ALL;
}

static void fill(struct pt_entry *level_2, struct pt_entry *page)
{
    for (unsigned t = 0; t < TABLES; t++) {
        struct pt_entry *level_1 = table();

        level_2[t] = pt_entry(entry_to(level_1));
        for (unsigned i = 0; i < PT_ENTRIES; i++)
            level_1[i] = pt_entry(entry_to(page));
    }
}

static int build(void **state)
{
    struct pt_entry *level_4, *level_3, *other_3, *level_2, *large;

    sim_boot(16 * MIB);
    level_4 = table();
    level_3 = table();
    other_3 = table();
    level_2 = table();
    large = table();
    fill(level_2, table());
    for (unsigned i = 0; i < TABLES; i++)
        large[i] = pt_entry(i * HUGE_SIZE | ALL | PT_HUGE);
    level_3[pt_index(vaddr(HERE), 3)] = pt_entry(entry_to(level_2));
    level_3[pt_index(vaddr(LARGE), 3)] = pt_entry(entry_to(large));
    other_3[pt_index(vaddr(FAR), 3)] = pt_entry(entry_to(level_2));
    level_4[pt_index(vaddr(HERE), 4)] = pt_entry(entry_to(level_3));
    level_4[pt_index(vaddr(FAR), 4)] = pt_entry(entry_to(other_3));
    root = host_paddr(level_4);
    host_mmu_init(&mmu, root);
    return 0;
}

static int destroy(void **state)
{
    host_mmu_destroy(&mmu);
    sim_shutdown();
    return 0;
}

static void configure(struct sim_tlb_config config)
{
    assert_true(sim_tlb_possible(&config));
    sim_tlb_configure(&config);
    sim_mmu_count(&before);
    assert_int_equal(before.hits + before.walks, 0);
}

static void touch_in(struct host_mmu *which, uint64_t address)
{
    struct paddr out;

    assert_true(mmu_access(which, vaddr(address), ACCESS_READ, &out, NULL));
}

static void touch(uint64_t address)
{
    touch_in(&mmu, address);
}

/* Pages of `size` at `start`, one access each. */
static void sweep(uint64_t start, unsigned pages, uint64_t size)
{
    for (unsigned i = 0; i < pages; i++)
        touch(start + i * size);
}

/* What has happened since this was called last. */
static void expect(uint64_t hits, uint64_t walks, uint64_t reads)
{
    struct sim_mmu_counts now;

    sim_mmu_count(&now);
    assert_int_equal(now.hits - before.hits, hits);
    assert_int_equal(now.walks - before.walks, walks);
    assert_int_equal(now.walk_reads - before.walk_reads, reads);
    before = now;
}

static void expect_in_second(uint64_t hits)
{
    struct sim_mmu_counts now;

    sim_mmu_count(&now);
    assert_int_equal(now.second_hits, hits);
}

/* ------------------------------------------------------------------ cases */

static void as_many_pages_as_entries_stay(void **state)
{
    configure((struct sim_tlb_config){.small = {8, 8}, .huge = {4, 4}});
    sweep(HERE, 8, PAGE_SIZE);
    expect(0, 8, 32); /* four levels each */
    sweep(HERE, 8, PAGE_SIZE);
    expect(8, 0, 0);
    sweep(HERE, 9, PAGE_SIZE); /* the ninth sends the least recently used away, which is the first */
    expect(8, 1, 4);
    sweep(HERE, 9, PAGE_SIZE); /* and so on: LRU's worst case */
    expect(0, 9, 36);
}

static void a_set_holds_its_ways(void **state)
{
    configure((struct sim_tlb_config){.small = {8, 2}, .huge = {4, 4}}); /* four sets */
    touch(HERE);
    touch(HERE + 4 * PAGE_SIZE);
    expect(0, 2, 8);
    touch(HERE);
    touch(HERE + 4 * PAGE_SIZE);
    expect(2, 0, 0);
    touch(HERE + 8 * PAGE_SIZE); /* the third page of set 0 takes the place of page 0 */
    touch(HERE + 4 * PAGE_SIZE);
    expect(1, 1, 4);
    touch(HERE);
    touch(HERE + PAGE_SIZE); /* another set */
    expect(0, 2, 8);
    touch(HERE + 4 * PAGE_SIZE);
    expect(1, 0, 0);
}

static void the_second_level(void **state)
{
    configure((struct sim_tlb_config){.small = {4, 4}, .huge = {4, 4}, .second = {16, 16}});
    sweep(HERE, 16, PAGE_SIZE);
    expect(0, 16, 64);
    sweep(HERE, 16, PAGE_SIZE);
    expect(16, 0, 0);
    expect_in_second(16);
    sweep(HERE + 12 * PAGE_SIZE, 4, PAGE_SIZE); /* the last four are in the first level */
    expect(4, 0, 0);
    expect_in_second(16);
    sweep(LARGE, 1, HUGE_SIZE); /* large pages take room there: page 0 goes from the second level */
    sweep(HERE, 1, PAGE_SIZE);
    expect(0, 2, 3 + 4);
}

static void large_pages(void **state)
{
    configure((struct sim_tlb_config){.small = {4, 4}, .huge = {2, 2}});
    sweep(LARGE, 1024, PAGE_SIZE); /* 4 MiB: two entries of three levels' walk */
    expect(1022, 2, 6);
    sweep(LARGE, 3, HUGE_SIZE);
    sweep(LARGE, 1, HUGE_SIZE);
    expect(2, 2, 6);
    sweep(HERE, 4, PAGE_SIZE); /* they take no room from each other */
    sweep(LARGE, 1, HUGE_SIZE);
    expect(1, 4, 16);
}

/* A walk begins below the lowest entry that is cached. */
static void walk_caches(void **state)
{
    configure((struct sim_tlb_config){.small = {1, 1}, .huge = {1, 1}, .walk = {[2] = 2, [3] = 1, [4] = 1}});
    touch(HERE);
    expect(0, 1, 4);
    touch(HERE + PAGE_SIZE); /* the same level-1 table */
    expect(0, 1, 1);
    touch(HERE + HUGE_SIZE); /* another one of the same level-2 table */
    expect(0, 1, 2);
    touch(HERE);
    touch(HERE + HUGE_SIZE + PAGE_SIZE); /* there is room for two */
    expect(0, 2, 2);
    touch(LARGE); /* below the level-4 entry: levels 3 and 2 */
    expect(0, 1, 2);
    touch(FAR); /* nothing of it is cached */
    expect(0, 1, 4);
    touch(HERE + HUGE_SIZE); /* levels 4 and 3 have been replaced, of level 2 the older one */
    expect(0, 1, 1);
    touch(HERE);
    expect(0, 1, 4);
}

static void walk_caches_keep_what_was_used(void **state)
{
    configure((struct sim_tlb_config){.small = {1, 1}, .huge = {1, 1}, .walk = {[2] = 2}});
    touch(HERE);
    touch(HERE + HUGE_SIZE);
    touch(HERE);
    touch(HERE + 2 * HUGE_SIZE); /* takes the place of the second, which was used before the first */
    expect(0, 4, 4 + 4 + 1 + 4);
    touch(HERE);
    expect(0, 1, 1);
    touch(HERE + HUGE_SIZE);
    expect(0, 1, 4);
}

static void a_flush_reaches_everything(void **state)
{
    configure((struct sim_tlb_config){
        .small = {4, 4}, .huge = {4, 4}, .second = {16, 4}, .walk = {[2] = 2, [4] = 2}});
    sweep(HERE, 8, PAGE_SIZE);
    touch(LARGE);
    expect(0, 9, 4 + 7 + 2);
    host_flush_page(&mmu, vaddr(HERE)); /* in the second level only, by now */
    touch(HERE);
    expect(0, 1, 4); /* and the walk caches are empty */
    host_flush_range(&mmu, vaddr(HERE), 8);
    sweep(HERE, 8, PAGE_SIZE);
    expect(0, 8, 4 + 7);
    touch(LARGE);
    expect(1, 0, 0);
    host_flush_space(&mmu);
    touch(LARGE);
    touch(HERE);
    expect(0, 2, 3 + 3);
}

/* Two spaces with the same tables take turns. */
static void turns(struct host_mmu *second, unsigned times)
{
    for (unsigned i = 0; i < times; i++) {
        touch_in(&mmu, HERE);
        touch_in(second, HERE);
    }
}

static void asids(void **state)
{
    struct host_mmu second, third;
    struct sim_mmu_counts now;

    host_mmu_init(&second, root);
    host_mmu_init(&third, root);
    configure((struct sim_tlb_config){.small = {4, 4}, .huge = {4, 4}, .asids = 1});
    turns(&second, 3);
    expect(0, 6, 24); /* each switch empties it */
    sim_mmu_count(&now);
    assert_int_equal(now.switches, 5);
    assert_int_equal(now.lost_spaces, 5);
    configure((struct sim_tlb_config){.small = {4, 4}, .huge = {4, 4}, .asids = 2});
    turns(&second, 3);
    expect(4, 2, 8);        /* a translation is its space's alone */
    touch_in(&third, HERE); /* takes the ASID of the one that ran least recently: the first space's */
    touch_in(&second, HERE);
    expect(1, 1, 4);
    touch_in(&mmu, HERE);
    expect(0, 1, 4);
    touch_in(&second, HERE);
    expect(1, 0, 0);
    host_mmu_destroy(&third);
    host_mmu_destroy(&second);
}

/* A page that was read, and is written now: its dirty bit is to be set, which takes one walk more. */
static void the_first_write_walks(void **state)
{
    struct paddr out;

    configure((struct sim_tlb_config){.small = {4, 4}, .huge = {4, 4}, .second = {4, 4}});
    touch(HERE);
    for (unsigned i = 0; i < 3; i++)
        assert_true(mmu_access(&mmu, vaddr(HERE), ACCESS_WRITE, &out, NULL));
    expect(2, 2, 8);
    touch(HERE);
    expect(1, 0, 0);
}

static void shapes_that_cannot_be(void **state)
{
    const struct sim_tlb_config wrong[] = {
        {.small = {0, 0}, .huge = {4, 4}},
        {.small = {4, 4}, .huge = {0, 0}},
        {.small = {10, 4}, .huge = {4, 4}},
        {.small = {12, 4}, .huge = {4, 4}}, /* three sets */
        {.small = {8, 0}, .huge = {4, 4}},
        {.small = {4, 4}, .huge = {4, 4}, .second = {6, 4}},
        {.small = {SIM_TLB_MOST * 2, 4}, .huge = {4, 4}},
        {.small = {4, 4}, .huge = {4, 4}, .walk = {[3] = SIM_TLB_MOST + 1}},
    };

    for (unsigned i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        assert_false(sim_tlb_possible(&wrong[i]));
    assert_true(sim_tlb_possible(&(struct sim_tlb_config){.small = {12, 3}, .huge = {4, 4}}));
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, build, destroy)
    const struct CMUnitTest tests[] = {
        CASE(as_many_pages_as_entries_stay),
        CASE(a_set_holds_its_ways),
        CASE(the_second_level),
        CASE(large_pages),
        CASE(walk_caches),
        CASE(walk_caches_keep_what_was_used),
        CASE(a_flush_reaches_everything),
        CASE(asids),
        CASE(the_first_write_walks),
        CASE(shapes_that_cannot_be),
    };

    return cmocka_run_group_tests_name("translation caches", tests, NULL, NULL);
}

/*
 * The software MMU itself: that it translates, refuses, marks and caches as the hardware does. The tables are
 * written by hand.
 */
#include "support.h"

#include "pt/fmt/x86_64.h"

static struct host_mmu mmu;
static struct pt_entry *tables[PT_LEVELS + 1]; /* by level */
static struct frame *pages[2];

#define HERE ((uint64_t)0x123456789000)

static struct pt_entry *slot(unsigned level)
{
    return &tables[level][pt_index(vaddr(HERE), level)];
}

static void point(unsigned level, uint64_t flags)
{
    *slot(level) = pt_entry(host_paddr(tables[level - 1]).v | flags);
}

static int build(void **state)
{
    const uint64_t all = PT_PRESENT | PT_WRITE | PT_USER;

    sim_boot(16 * MIB);
    for (unsigned level = 1; level <= PT_LEVELS; level++)
        tables[level] = frame_data(frame_alloc(0, FRAME_TABLE, FRAME_ZERO));
    for (unsigned level = PT_LEVELS; level > 1; level--)
        point(level, all);
    for (unsigned i = 0; i < 2; i++)
        pages[i] = frame_alloc(0, FRAME_ANON, FRAME_ZERO);
    *slot(1) = pt_entry(frame_paddr(pages[0]).v | all);
    host_mmu_init(&mmu, host_paddr(tables[PT_LEVELS]));
    return 0;
}

static int destroy(void **state)
{
    host_mmu_destroy(&mmu);
    sim_shutdown();
    return 0;
}

static void reaches(uint64_t address, enum access access, uint64_t expected)
{
    struct paddr out;

    assert_true(mmu_access(&mmu, vaddr(address), access, &out, NULL));
    assert_int_equal(out.v, expected);
}

static void refuses(uint64_t address, enum access access, unsigned expected)
{
    struct paddr out;
    unsigned error = 0;

    assert_false(mmu_access(&mmu, vaddr(address), access, &out, &error));
    assert_int_equal(error, expected);
}

static void translates(void **state)
{
    reaches(HERE + 0x123, ACCESS_READ, frame_paddr(pages[0]).v + 0x123);
    reaches(HERE + 0xfff, ACCESS_WRITE, frame_paddr(pages[0]).v + 0xfff);
    reaches(HERE, ACCESS_EXEC, frame_paddr(pages[0]).v);
}

static void faults_say_why(void **state)
{
    refuses(HERE + PAGE_SIZE, ACCESS_READ, MMU_USER);
    refuses(HERE + PAGE_SIZE, ACCESS_WRITE, MMU_USER | MMU_WRITE);
    refuses(HERE + GIANT_SIZE, ACCESS_EXEC, MMU_USER | MMU_FETCH);
    refuses((uint64_t)1 << 47, ACCESS_READ, MMU_USER);
    slot(1)->bits &= ~PT_PRESENT; /* the other bits do not count then */
    refuses(HERE, ACCESS_READ, MMU_USER);
}

static void rights_are_anded_over_the_levels(void **state)
{
    for (unsigned level = 1; level <= PT_LEVELS; level++) {
        slot(level)->bits &= ~PT_WRITE;
        host_flush_space(&mmu);
        reaches(HERE, ACCESS_READ, frame_paddr(pages[0]).v);
        refuses(HERE, ACCESS_WRITE, MMU_PRESENT | MMU_WRITE | MMU_USER);
        slot(level)->bits = (slot(level)->bits | PT_WRITE) & ~PT_USER;
        host_flush_space(&mmu);
        refuses(HERE, ACCESS_READ, MMU_PRESENT | MMU_USER);
        assert_true(mmu_access_kernel(&mmu, vaddr(HERE), ACCESS_WRITE, &(struct paddr){0}, NULL));
        slot(level)->bits |= PT_USER | PT_NO_EXEC;
        host_flush_space(&mmu);
        refuses(HERE, ACCESS_EXEC, MMU_PRESENT | MMU_USER | MMU_FETCH);
        reaches(HERE, ACCESS_WRITE, frame_paddr(pages[0]).v);
        slot(level)->bits &= ~PT_NO_EXEC;
        host_flush_space(&mmu);
    }
}

static void accessed_and_dirty_are_set(void **state)
{
    reaches(HERE, ACCESS_READ, frame_paddr(pages[0]).v);
    for (unsigned level = 1; level <= PT_LEVELS; level++) {
        assert_true((slot(level)->bits & PT_ACCESSED) != 0);
        assert_true((slot(level)->bits & PT_DIRTY) == 0);
    }
    reaches(HERE, ACCESS_WRITE, frame_paddr(pages[0]).v); /* also when the translation is cached */
    assert_true((slot(1)->bits & PT_DIRTY) != 0);
    slot(1)->bits &= ~PT_DIRTY; /* cleared without a flush: the cached one is believed to be dirty */
    reaches(HERE, ACCESS_WRITE, frame_paddr(pages[0]).v);
    assert_true((slot(1)->bits & PT_DIRTY) == 0);
    host_flush_page(&mmu, vaddr(HERE));
    reaches(HERE, ACCESS_WRITE, frame_paddr(pages[0]).v);
    assert_true((slot(1)->bits & PT_DIRTY) != 0);
}

static void a_missing_flush_is_seen(void **state)
{
    reaches(HERE, ACCESS_READ, frame_paddr(pages[0]).v);
    *slot(1) = pt_entry(frame_paddr(pages[1]).v | PT_PRESENT | PT_WRITE | PT_USER);
    reaches(HERE, ACCESS_READ, frame_paddr(pages[0]).v);
    host_flush_page(&mmu, vaddr(HERE));
    reaches(HERE, ACCESS_READ, frame_paddr(pages[1]).v);
    slot(1)->bits = 0;
    reaches(HERE, ACCESS_READ, frame_paddr(pages[1]).v);
    host_flush_range(&mmu, vaddr(HERE - PAGE_SIZE), 3);
    refuses(HERE, ACCESS_READ, MMU_USER);
}

static void a_stale_table_is_seen(void **state)
{
    struct pt_entry *other = frame_data(frame_alloc(0, FRAME_TABLE, FRAME_ZERO));

    *slot(1) = pt_entry(frame_paddr(pages[0]).v | PT_PRESENT | PT_USER);
    reaches(HERE, ACCESS_READ, frame_paddr(pages[0]).v);
    *slot(2) = pt_entry(host_paddr(other).v | PT_PRESENT | PT_WRITE | PT_USER);
    /* An address nearby, not used before: the old level-1 table is still remembered. */
    slot(1)[1] = pt_entry(frame_paddr(pages[1]).v | PT_PRESENT | PT_USER);
    reaches(HERE + PAGE_SIZE, ACCESS_READ, frame_paddr(pages[1]).v);
    host_flush_page(&mmu, vaddr(HERE)); /* any page: it drops the tables that are remembered */
    refuses(HERE, ACCESS_READ, MMU_USER);
}

static void not_present_is_not_cached(void **state)
{
    slot(1)->bits = 0;
    refuses(HERE, ACCESS_READ, MMU_USER);
    *slot(1) = pt_entry(frame_paddr(pages[1]).v | PT_PRESENT | PT_USER);
    reaches(HERE, ACCESS_READ, frame_paddr(pages[1]).v);
    refuses(HERE, ACCESS_WRITE, MMU_PRESENT | MMU_USER | MMU_WRITE);
    slot(1)->bits |= PT_WRITE; /* more rights need no flush: the fault has dropped the translation */
    reaches(HERE, ACCESS_WRITE, frame_paddr(pages[1]).v);
}

static void huge_pages(void **state)
{
    *slot(2) = pt_entry(0x400000 | PT_PRESENT | PT_WRITE | PT_USER | PT_HUGE);
    reaches(HERE, ACCESS_WRITE, 0x400000 + (HERE & (HUGE_SIZE - 1)));
    reaches(align_down(HERE, HUGE_SIZE) + 77, ACCESS_READ, 0x400000 + 77);
    host_flush_page(&mmu, vaddr(HERE)); /* any page of it */
    *slot(2) =
        pt_entry(0x401000 * 2 | PT_PRESENT | PT_WRITE | PT_USER | PT_HUGE); /* a frame that is not aligned */
    refuses(HERE, ACCESS_READ, MMU_PRESENT | MMU_USER | MMU_RESERVED);
    *slot(3) = pt_entry(PT_PRESENT | PT_WRITE | PT_USER | PT_HUGE);
    reaches(HERE, ACCESS_READ, HERE & (GIANT_SIZE - 1));
    slot(4)->bits |= PT_HUGE;
    host_flush_space(&mmu);
    refuses(HERE, ACCESS_READ, MMU_PRESENT | MMU_USER | MMU_RESERVED);
}

static void flush_all_reaches_every_cpu_and_space(void **state)
{
    struct host_mmu second;

    host_mmu_init(&second, mmu.root);
    for (unsigned cpu = 0; cpu < 2; cpu++) {
        sim_become_cpu(cpu);
        reaches(HERE, ACCESS_READ, frame_paddr(pages[0]).v);
        assert_true(mmu_access(&second, vaddr(HERE), ACCESS_READ, &(struct paddr){0}, NULL));
    }
    slot(1)->bits = 0;
    host_flush_all();
    for (unsigned cpu = 0; cpu < 2; cpu++) {
        sim_become_cpu(cpu);
        refuses(HERE, ACCESS_READ, MMU_USER);
        assert_false(mmu_access(&second, vaddr(HERE), ACCESS_READ, &(struct paddr){0}, NULL));
    }
    host_mmu_destroy(&second);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, build, destroy)
    const struct CMUnitTest tests[] = {
        CASE(translates),
        CASE(faults_say_why),
        CASE(rights_are_anded_over_the_levels),
        CASE(accessed_and_dirty_are_set),
        CASE(a_missing_flush_is_seen),
        CASE(a_stale_table_is_seen),
        CASE(not_present_is_not_cached),
        CASE(huge_pages),
        CASE(flush_all_reaches_every_cpu_and_space),
    };

    return cmocka_run_group_tests_name("software mmu", tests, NULL, NULL);
}

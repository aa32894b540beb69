/*
 * Reclaim as a whole (src/vm/{reclaim,evict,pages,pool,members,givers,sweep}.c): more memory than there is,
 * by every policy that works on reference bits, under both scopes; classes, bounds, load control; and the end
 * of all frames.
 */
#include "swap_support.h"

#include "quire/policy.h"
#include "vm/evict.h"

enum { PAGES = 3000 }; /* 12 MiB in a machine of 8 */

static struct member_report look(uint32_t member)
{
    struct member_report report = {0};

    assert_true(member_look(member, &report));
    return report;
}

static struct reclaim_report look_at_all(void)
{
    struct reclaim_report report;

    reclaim_look(&report);
    return report;
}

/* A space that is charged to a member of its own, which ends with it. */
static struct space *member_space(uint32_t *member)
{
    struct space *space = new_space();

    *member = member_create();
    assert_int_not_equal(*member, MEMBER_NOBODY);
    space_set_member(space, *member);
    member_unref(*member);
    return space;
}

static void fill(struct space *space, uint64_t at, uint64_t pages, uint64_t seed)
{
    for (uint64_t i = 0; i < pages; i++)
        put(space, at + i * PAGE_SIZE, seed + i);
}

static void verify(struct space *space, uint64_t at, uint64_t pages, uint64_t seed)
{
    for (uint64_t i = 0; i < pages; i++)
        assert_int_equal(get(space, at + i * PAGE_SIZE), seed + i);
}

/* ------------------------------------------------------------------ every policy */

static void use_policy(const struct policy_type *type, const struct scope_config *scope)
{
    struct policy_config config = {.seed = 7};

    policy_standard(type, &config);
    assert_ok(reclaim_configure(type, &config, scope));
}

/* Two programs and a file, all larger together than memory, in rows and at random. */
static void run_programs(void)
{
    uint32_t one, other;
    struct space *first = member_space(&one), *second = member_space(&other);
    struct store *store = store_create(800 * PAGE_SIZE);
    struct object *object = store_object(store);
    uint64_t a = map_anon(first, PAGES, RW), b = map_anon(second, 900, RW);
    uint64_t file = map_object(second, object, 0, 800, RW, SPACE_SHARED);
    struct random random = {11};

    fill(first, a, PAGES, 1000);
    fill(second, b, 900, 5000);
    for (unsigned i = 0; i < 4000; i++) {
        uint64_t page = random_below(&random, PAGES), near = random_below(&random, 100);

        put(first, a + page * PAGE_SIZE, 1000 + page);
        assert_int_equal(get(second, b + near * PAGE_SIZE), 5000 + near);
        assert_int_equal(get(second, file + page % 800 * PAGE_SIZE), page % 800 + 1);
    }
    verify(first, a, PAGES, 1000);
    verify(second, b, 900, 5000);
    assert_true(look(one).frames > 0 && look(one).evicted > 0);
    check_swap(first);
    check_swap(second);
    space_unref(first);
    space_unref(second);
    object_unref(object);
    store_end(store);
    assert_int_equal(look_at_all().enrolled, 0);
}

static void each_policy(const struct scope_config *scope)
{
    for (const struct policy_type *const *type = policy_types; *type; type++) {
        struct reclaim_report report;

        if ((*type)->needs != POLICY_BITS)
            continue;
        boot_swap(NULL);
        use_policy(*type, scope);
        run_programs();
        report = look_at_all();
        assert_string_equal(report.policy, (*type)->name);
        assert_true(report.evicted > PAGES && report.dirty > 0 && report.refaults > 1000);
        assert_int_equal(end_swap(NULL), 0);
    }
}

static void every_policy_global(void **state)
{
    each_policy(&(struct scope_config){.kind = SCOPE_GLOBAL});
}

static void every_policy_local(void **state)
{
    each_policy(&(struct scope_config){.kind = SCOPE_LOCAL, .rule = SCOPE_EQUAL});
}

static void policies_that_need_every_reference(void **state)
{
    boot_swap(NULL);
    assert_status(reclaim_configure(policy_find("lru", 3), NULL, NULL), ST_UNSUPPORTED);
    assert_int_equal(end_swap(NULL), 0);
}

/* An ordinary program that eats all memory costs a vvip nothing, nor a vip anything below its minimum. */
static void classes_keep_their_pages(void **state)
{
    uint32_t first, second, hog;
    struct space *vvip, *vip, *ordinary;
    uint64_t a, b, c;

    boot_swap(NULL);
    vvip = member_space(&first);
    vip = member_space(&second);
    ordinary = member_space(&hog);
    assert_ok(member_set_class(first, CLASS_VVIP, 300));
    assert_ok(member_set_class(second, CLASS_VIP, 300));
    assert_status(member_set_class(hog, CLASS_VVIP, 100000), ST_LIMIT);
    a = map_anon(vvip, 250, RW);
    b = map_anon(vip, 250, RW);
    c = map_anon(ordinary, PAGES, RW);
    fill(vvip, a, 250, 1);
    fill(vip, b, 250, 2);
    for (unsigned round = 0; round < 3; round++)
        fill(ordinary, c, PAGES, round);
    assert_int_equal(look(first).evicted, 0);
    assert_int_equal(look(second).evicted, 0);
    assert_true(look(hog).evicted > PAGES);
    verify(vvip, a, 250, 1);
    verify(vip, b, 250, 2);
    verify(ordinary, c, PAGES, 2);
    space_unref(vvip);
    space_unref(vip);
    space_unref(ordinary);
    assert_int_equal(end_swap(NULL), 0);
}

static void a_maximum_is_kept(void **state)
{
    uint32_t member;
    struct space *space;
    uint64_t at;

    boot_swap(NULL);
    assert_true(reclaim_watch());
    space = member_space(&member);
    member_set_bounds(member, UINT64_MAX, 100);
    at = map_anon(space, 500, RW);
    fill(space, at, 500, 9);
    assert_true(look(member).frames <= 101 && look(member).frames_peak <= 132);
    verify(space, at, 500, 9);
    space_unref(space);
    assert_int_equal(end_swap(NULL), 0);
}

/* A program may end, and its pool with it, while its last pages are on their way out: they are looked for by
 * name in a pool that is no more. Car has ghosts, which are what is looked for. */
static void a_pool_ends_while_its_last_pages_leave(void **state)
{
    struct victim victims[EVICT_BATCH];
    struct frame *frames[EVICT_BATCH];
    uint32_t member;
    unsigned count;
    struct space *space;
    uint64_t at;

    boot_swap(NULL);
    use_policy(policy_find("car", 3), &(struct scope_config){.kind = SCOPE_LOCAL, .rule = SCOPE_EQUAL});
    assert_true(reclaim_watch());
    space = member_space(&member);
    at = map_anon(space, 100, RW);
    fill(space, at, 100, 3);
    assert_int_equal(look_at_all().pools, 2);
    while (look(member).frames > EVICT_BATCH)
        assert_true(member_shrink(member, look(member).frames - EVICT_BATCH) > 0);
    count = pages_choose(victims, EVICT_BATCH, &(struct search){SEARCH_OWN, member});
    assert_int_equal(look(member).frames, 0);
    space_set_member(space, MEMBER_NOBODY);
    assert_int_equal(look_at_all().pools, 1);
    for (unsigned i = 0; i < count; i++)
        frames[i] = victims[i].frame;
    assert_int_equal(swap_prepare(frames, count), count);
    pages_rename(frames, count);
    for (unsigned i = 0; i < count; i++)
        (void)!swap_unmap(frames[i]);
    host_flush_all();
    assert_ok(swap_write(frames, count));
    for (unsigned i = 0; i < count; i++)
        assert_true(swap_release(frames[i]));
    pages_settled(count);
    verify(space, at, 100, 3);
    check_swap(space);
    space_unref(space);
    assert_int_equal(end_swap(NULL), 0);
}

/* ------------------------------------------------------------------ load control */

enum { TURN = 1000000000, HALF = 1200 };

/* Two that do not fit together, by turns, until one has to go. */
static uint32_t crowd(struct space *const *spaces, const uint64_t *at)
{
    uint32_t out = MEMBER_NOBODY;

    for (unsigned round = 0; round < 100; round++) {
        for (unsigned i = 0; i < 2; i++)
            fill(spaces[i], at[i], HALF, i);
        if (reclaim_balance(0, &out) == SWAP_OUT)
            break;
    }
    assert_int_not_equal(out, MEMBER_NOBODY);
    assert_false(member_is_out(out));
    reclaim_swap_out(out);
    assert_true(member_is_out(out));
    assert_int_equal(look(out).frames, 0);
    return out;
}

/* `back_ns`: the time of programs goes back by so much when memory has just become short, for a while.
 * `other_works`: only its turn brings the one that is out in. */
static void comes_in(uint64_t back_ns, bool other_works)
{
    struct space *spaces[2];
    uint32_t members[2], out, other;
    uint64_t at[2];

    boot_swap(NULL);
    use_policy(policy_find("clock", 5), &(struct scope_config){.kind = SCOPE_GLOBAL, .turn = TURN});
    reclaim_control_load();
    for (unsigned i = 0; i < 2; i++) {
        spaces[i] = member_space(&members[i]);
        at[i] = map_anon(spaces[i], HALF, RW);
    }
    assert_true(reclaim_watch());
    sim_not_worked_ns = back_ns;
    put(spaces[0], at[0], 1);
    sim_not_worked_ns = 0;
    out = crowd(spaces, at);
    assert_int_equal(reclaim_balance(0, &other), SWAP_NOTHING);
    for (unsigned i = 0; i < 20 && member_is_out(out); i++) {
        enum scope_swap what;

        if (other_works)
            fill(spaces[out == members[0]], at[out == members[0]], HALF, out == members[0]);
        what = reclaim_balance(TURN / 8, &other);
        if (what == SWAP_OUT)
            reclaim_swap_out(other);
        else if (what == SWAP_IN)
            reclaim_swap_in(other);
    }
    assert_false(member_is_out(out));
    for (unsigned i = 0; i < 2; i++) {
        verify(spaces[i], at[i], HALF, i);
        check_swap(spaces[i]);
        space_unref(spaces[i]);
    }
    assert_int_equal(end_swap(NULL), 0);
}

/* Nobody works: the one that is in waits for the other, say. Time of programs stands still. */
static void who_is_out_comes_in_though_nobody_works(void **state)
{
    comes_in(0, false);
}

/* What an interrupt took is known, and taken off, when it is over: the time of programs goes back. */
static void who_is_out_has_his_turn_though_time_went_back(void **state)
{
    comes_in(0, true);
    comes_in((uint64_t)1000000000, true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_policy_global),
        cmocka_unit_test(every_policy_local),
        cmocka_unit_test(policies_that_need_every_reference),
        cmocka_unit_test(classes_keep_their_pages),
        cmocka_unit_test(a_maximum_is_kept),
        cmocka_unit_test(a_pool_ends_while_its_last_pages_leave),
        cmocka_unit_test(who_is_out_comes_in_though_nobody_works),
        cmocka_unit_test(who_is_out_has_his_turn_though_time_went_back),
    };

    return cmocka_run_group_tests_name("reclaim", tests, NULL, NULL);
}

/*
 * Reclaim as a whole (src/vm/{reclaim,evict,pages,pool,members,givers,sweep}.c): more memory than there is,
 * by every policy that works on reference bits, under both scopes; classes, bounds, load control; and the end
 * of all frames.
 */
#include "swap_support.h"

#include "quire/policy.h"

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_policy_global),
        cmocka_unit_test(every_policy_local),
        cmocka_unit_test(policies_that_need_every_reference),
    };

    return cmocka_run_group_tests_name("reclaim", tests, NULL, NULL);
}

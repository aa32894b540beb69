/*
 * Names of pages against a list, and a host that numbers pages with them.
 */
#include <stdlib.h>

#include "lockstep.h"
#include "policy/names.h"

static struct policy_names *make(uint32_t capacity)
{
    struct policy_names *names = malloc(sizeof(*names));

    names_init(names, capacity, calloc(1, names_bytes(capacity)));
    return names;
}

static void end(struct policy_names *names)
{
    assert_null(names_check(names));
    free(names->name); /* the beginning of the memory */
    free(names);
}

static void numbers_are_dense_and_come_back(void **state)
{
    struct policy_names *names = make(5);

    for (uint32_t i = 0; i < 5; i++)
        assert_int_equal(names_add(names, UINT64_MAX - i), i);
    assert_int_equal(names_add(names, 7), POLICY_NO_PAGE);
    assert_null(names_check(names));
    names_forget(names, 3);
    names_forget(names, 1);
    assert_int_equal(names_find(names, UINT64_MAX - 3), POLICY_NO_PAGE);
    assert_int_equal(names_find(names, UINT64_MAX - 4), 4);
    assert_int_equal(names_add(names, 7), 1);
    assert_int_equal(names_add(names, 0), 3);
    assert_int_equal(names_name(names, 3), 0);
    assert_int_equal(names_find(names, 0), 3);
    assert_int_equal(names->count, 5);
    end(names);
}

static void one_number_is_enough(void **state)
{
    struct policy_names *names = make(1);

    for (uint64_t name = 0; name < 100; name++) {
        assert_int_equal(names_find(names, name), POLICY_NO_PAGE);
        assert_int_equal(names_add(names, name), 0);
        assert_int_equal(names_find(names, name), 0);
        assert_int_equal(names_add(names, name + 1), POLICY_NO_PAGE);
        names_forget(names, 0);
    }
    end(names);
}

/* Names that are close together, far apart, and differ in few bits. */
static uint64_t name_of(uint32_t i)
{
    return i % 3 == 0 ? i : i % 3 == 1 ? (uint64_t)i << 40 : UINT64_MAX - (uint64_t)i * PAGE_SIZE;
}

static void agrees_with_a_list(void **state)
{
    enum { NAMES = 300, CAPACITY = 200, STEPS = 60000 };
    static uint32_t number_of[NAMES];
    struct policy_names *names = make(CAPACITY);
    struct random random = {31};
    uint32_t count = 0;

    memset(number_of, 0xff, sizeof(number_of));
    for (int step = 0; step < STEPS; step++) {
        uint32_t i = (uint32_t)random_below(&random, NAMES);

        assert_int_equal(names_find(names, name_of(i)), number_of[i]);
        if (number_of[i] != POLICY_NO_PAGE) {
            names_forget(names, number_of[i]);
            number_of[i] = POLICY_NO_PAGE;
            count--;
        } else {
            number_of[i] = names_add(names, name_of(i));
            assert_int_equal(number_of[i] == POLICY_NO_PAGE, count == CAPACITY);
            count += number_of[i] != POLICY_NO_PAGE;
        }
        assert_int_equal(names->count, count);
        if (step % 100 == 0)
            assert_null(names_check(names));
    }
    end(names);
}

static void notices_what_is_wrong(void **state)
{
    struct policy_names *names = make(10);
    uint32_t slot = 0;

    for (uint64_t name = 0; name < 6; name++)
        (void)!names_add(names, name * 77);
    while (names->slots[slot] == 0)
        slot++;
    names->slots[slot] += 100;
    assert_non_null(names_check(names));
    names->slots[slot] -= 100;
    names->name[2]++;
    assert_non_null(names_check(names));
    names->name[2]--;
    names->count++;
    assert_non_null(names_check(names));
    names->count--;
    names_forget(names, 4);
    names->name[4] = 4;
    assert_non_null(names_check(names));
    names->name[4] = POLICY_NO_PAGE;
    end(names);
}

/* ------------------------------------------------------------------ a host, as the kernel will be one */

struct host {
    struct policy_names *names;
    bool forgotten[1000]; /* by number: to be given back once policy_victim() has returned */
};

static void on_forget(void *context, struct policy *policy, uint32_t page)
{
    struct host *host = context;

    host->forgotten[page] = true;
}

/* But for the page that has just come: what was forgotten was its ghost. */
static void give_back(struct host *host, uint32_t came)
{
    host->forgotten[came] = false;
    for (uint32_t number = 0; number < host->names->used; number++)
        if (host->forgotten[number]) {
            host->forgotten[number] = false;
            names_forget(host->names, number);
        }
}

/* A program whose pages are far more than there are numbers. */
static void every_policy_gives_numbers_back(void **state)
{
    enum { FRAMES = 20, NAMES = 5000, REFERENCES = 30000 };

    for (const struct policy_type *const *type = policy_types; *type; type++) {
        struct host host = {NULL, {false}};
        struct policy_host calls = {.forget = on_forget, .context = &host};
        struct policy_config config = {
            .pages = names_capacity(*type, FRAMES), .frames = FRAMES, .most_frames = FRAMES, .host = &calls};
        struct random random = {5};
        struct policy *policy;

        if ((*type)->needs == POLICY_FUTURE || config.pages == POLICY_MAX_PAGES)
            continue; /* no host outside of the simulator can run it */
        assert_true(config.pages <= sizeof(host.forgotten));
        host.names = make(config.pages);
        policy_standard(*type, &config);
        policy = lockstep_create(*type, &config);
        for (int i = 0; i < REFERENCES; i++) {
            uint64_t name = random_below(&random, 1 + random_below(&random, NAMES)) << 12;
            uint32_t page = names_find(host.names, name);

            if (page != POLICY_NO_PAGE && (policy->state[page] & POLICY_RESIDENT)) {
                policy_touch(policy, page);
                continue;
            }
            if (page == POLICY_NO_PAGE)
                page = names_add(host.names, name);
            assert_int_not_equal(page, POLICY_NO_PAGE);
            if (policy->resident == FRAMES)
                assert_int_not_equal(policy_victim(policy, page), POLICY_NO_PAGE);
            policy_insert(policy, page);
            give_back(&host, page);
            if (i % 1000 == 0) {
                policy_tick(policy);
                assert_null(policy_check(policy));
                assert_null(names_check(host.names));
            }
        }
        assert_true(host.names->count <= FRAMES * (1 + (*type)->ghosts));
        lockstep_destroy(policy);
        end(host.names);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_are_dense_and_come_back),
        cmocka_unit_test(one_number_is_enough),
        cmocka_unit_test(agrees_with_a_list),
        cmocka_unit_test(notices_what_is_wrong),
        cmocka_unit_test(every_policy_gives_numbers_back),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

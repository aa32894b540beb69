/*
 * Allocation, classes and load control (src/policy/scope.c): textbook figures, cases worked by hand, and what
 * must hold whatever happens.
 */
#include "support.h"

#include "quire/scope.h"

enum { MOST = 8 };

static struct scope_member members[MOST];
static struct scope scope;

static void holds(void)
{
    const char *wrong = scope_check(&scope);

    if (wrong != NULL)
        fail_msg("%s", wrong);
}

static void start(struct scope_config config, uint32_t count)
{
    assert_ok(scope_init(&scope, &config, members, count));
    holds();
}

static void targets(const uint32_t *expected)
{
    for (uint32_t i = 0; i < scope.count; i++)
        assert_int_equal(members[i].target, expected[i]);
}
#define TARGETS(...) targets((const uint32_t[]){__VA_ARGS__})

static int clear(void **state)
{
    memset(members, 0, sizeof(members));
    return 0;
}

/* ------------------------------------------------------------------ lending */

/* Three members with a target of 30 each: one has 40, one that has not run for long 20, of which its class
 * protects 5, and one 10. */
static void the_idle_give_below_their_targets(void **state)
{
    members[1].class = CLASS_VIP;
    members[1].minimum = 5;
    start((struct scope_config){.kind = SCOPE_LOCAL, .rule = SCOPE_EQUAL, .frames = 90, .idle = 100}, 3);
    TARGETS(30, 30, 30);
    members[0].frames = 40;
    members[1].frames = 20;
    members[2].frames = 10;
    scope.now = 1000;
    members[0].ran = members[2].ran = 1000;
    members[1].ran = 901;
    assert_false(scope_is_idle(&scope, 1));
    assert_int_equal(scope_excess(&scope, 0), 10);
    assert_int_equal(scope_excess(&scope, 1), 0);
    members[1].ran = 900;
    assert_true(scope_is_idle(&scope, 1) && !scope_is_idle(&scope, 0));
    assert_int_equal(scope_excess(&scope, 1), 15);
    assert_int_equal(scope_excess(&scope, 2), 0);
    members[1].ran = 1001; /* it has had a CPU since the time was looked at */
    assert_false(scope_is_idle(&scope, 1));
    scope.config.idle = 0;
    members[1].ran = 0;
    assert_false(scope_is_idle(&scope, 1));
}

/* ------------------------------------------------------------------ equal and proportional allocation */

/* Silberschatz, Galvin, Gagne, Operating System Concepts, "Allocation Algorithms": 93 frames and five
 * processes: 18 frames each, and three are left over. */
static void equal_as_in_the_textbook(void **state)
{
    start((struct scope_config){.kind = SCOPE_LOCAL, .rule = SCOPE_EQUAL, .frames = 93}, 5);
    TARGETS(18, 18, 18, 18, 18);
}

/* There too: 62 frames, processes of 10 and 127 pages: 4 and 57. */
static void proportional_as_in_the_textbook(void **state)
{
    members[0].pages = 10;
    members[1].pages = 127;
    start((struct scope_config){.kind = SCOPE_LOCAL, .rule = SCOPE_PROPORTIONAL, .frames = 62}, 2);
    TARGETS(4, 57);
}

static void classes_put_a_floor_under_it(void **state)
{
    members[1] = (struct scope_member){.class = CLASS_VVIP, .minimum = 50};
    start((struct scope_config){.kind = SCOPE_LOCAL, .rule = SCOPE_EQUAL, .frames = 60}, 3);
    TARGETS(5, 50, 5);
    members[1].minimum = 10; /* its share is more */
    start((struct scope_config){.kind = SCOPE_LOCAL, .rule = SCOPE_EQUAL, .frames = 60}, 3);
    TARGETS(20, 20, 20);
}

static void a_vip_gets_what_is_left_of_its_floor(void **state)
{
    members[0] = (struct scope_member){.class = CLASS_VIP, .minimum = 50};
    members[1] = (struct scope_member){.class = CLASS_VVIP, .minimum = 20};
    start((struct scope_config){.kind = SCOPE_LOCAL, .rule = SCOPE_EQUAL, .frames = 60}, 3);
    TARGETS(39, 20, 1);
}

/* A floor takes so much that another one's share sinks below its own floor, which it was not before. */
static void floors_that_pull_others_down(void **state)
{
    members[0] = (struct scope_member){.class = CLASS_VVIP, .minimum = 70};
    members[1] = (struct scope_member){.class = CLASS_VVIP, .minimum = 15};
    start((struct scope_config){.kind = SCOPE_LOCAL, .rule = SCOPE_EQUAL, .frames = 100}, 4);
    TARGETS(70, 15, 7, 7);
}

static void what_is_guaranteed_must_fit(void **state)
{
    struct scope_config config = {.kind = SCOPE_GLOBAL, .frames = 16};

    members[0] = (struct scope_member){.class = CLASS_VVIP, .minimum = 16};
    assert_int_equal(scope_init(&scope, &config, members, 2), ST_LIMIT);
    assert_int_equal(scope_init(&scope, &config, members, 1), ST_OK);
    members[0].minimum = 15;
    assert_int_equal(scope_init(&scope, &config, members, 2), ST_OK);
    config.frames = 0;
    assert_int_equal(scope_init(&scope, &config, members, 2), ST_INVALID);
    config = (struct scope_config){.frames = 16, .pff_low = 2, .pff_high = 1};
    assert_int_equal(scope_init(&scope, &config, members, 2), ST_INVALID);
}

static void who_leaves_makes_room(void **state)
{
    start((struct scope_config){.kind = SCOPE_LOCAL, .rule = SCOPE_EQUAL, .frames = 30}, 3);
    TARGETS(10, 10, 10);
    scope_leave(&scope, 1);
    holds();
    TARGETS(15, 0, 15);
}

/* ------------------------------------------------------------------ global scope */

static void who_gives_first(void **state)
{
    members[0] = (struct scope_member){.class = CLASS_VVIP, .minimum = 4, .frames = 4};
    members[1] = (struct scope_member){.class = CLASS_VIP, .minimum = 4, .frames = 4};
    members[2] = (struct scope_member){.frames = 2};
    start((struct scope_config){.kind = SCOPE_GLOBAL, .frames = 10}, 3);
    for (uint32_t taker = 0; taker < 3; taker++) {
        assert_true(scope_spares(&scope, 0, taker, 0));
        assert_true(scope_spares(&scope, 1, taker, 0));
        assert_false(scope_spares(&scope, 2, taker, 0));
        assert_true(scope_spares(&scope, 0, taker, 1));
        assert_false(scope_spares(&scope, 1, taker, 1));
    }
    assert_false(scope_spares(&scope, 0, 0, 2)); /* only for itself */
    assert_true(scope_spares(&scope, 0, 1, 2));
    members[0].frames = 5; /* what is beyond the minimum is like anybody's */
    members[1].frames = 5;
    assert_false(scope_spares(&scope, 0, 2, 0));
    assert_false(scope_spares(&scope, 1, 2, 0));
}

/* ------------------------------------------------------------------ page-fault frequency */

static const struct scope_config pff = {.kind = SCOPE_LOCAL,
                                        .rule = SCOPE_PFF,
                                        .frames = 100,
                                        .pff_low = 1000,
                                        .pff_high = 10000,
                                        .pff_window = 1000};

/* One window of a member's time, with so many faults. */
static bool window(uint32_t member, uint64_t faults)
{
    bool changed;

    members[member].time += 1000;
    members[member].faults += faults;
    changed = scope_measure(&scope, member);
    holds();
    return changed;
}

static void pff_moves_frames_between_its_bounds(void **state)
{
    for (unsigned i = 0; i < 2; i++)
        members[i].pages = 1000;
    start(pff, 2);
    TARGETS(50, 50);
    assert_false(window(0, 5));  /* 5000 in a million: between the bounds */
    assert_false(window(1, 20)); /* too many, but nobody gives */
    assert_int_equal(scope.starved, 1);
    assert_true(window(0, 0)); /* too few: an eighth goes */
    TARGETS(44, 50);
    assert_true(window(1, 11)); /* 11000: an eighth of 50 is taken from what is free */
    TARGETS(44, 56);
    assert_true(
        window(1, 11)); /* and an eighth of 56, in steps of 5 and 2, from the one that faults seldom */
    TARGETS(37, 63);
    assert_int_equal(scope.moved, 7);
    assert_false(window(0, 10)); /* exactly at the bounds nothing happens */
    assert_false(window(0, 1));
    TARGETS(37, 63);
}

/* What is in use is not given, but to a higher class. */
static void pff_leaves_what_is_in_use(void **state)
{
    for (unsigned i = 0; i < 2; i++)
        members[i].pages = 1000;
    members[0].working_set = 47;
    start(pff, 2);
    assert_true(window(0, 0));
    TARGETS(47, 50);
    assert_false(window(0, 0));
    assert_true(window(1, 100));
    assert_false(window(1, 100));
    TARGETS(47, 53);
    members[1].class = CLASS_VIP;
    assert_true(window(1, 100));
    TARGETS(41, 59);
}

static void pff_waits_for_a_window(void **state)
{
    start(pff, 2);
    members[0].time = 999;
    assert_false(scope_measure(&scope, 0));
    members[0].time = 1000;
    assert_true(scope_measure(&scope, 0));
}

static void pff_gives_no_more_than_a_process_can_use(void **state)
{
    members[0].pages = 51;
    members[1].pages = 1000;
    start(pff, 2);
    assert_true(window(1, 0));
    assert_true(window(0, 100));
    TARGETS(51, 44);
    assert_false(window(0, 100));
}

static void pff_keeps_to_the_classes(void **state)
{
    members[0] = (struct scope_member){.class = CLASS_VVIP, .minimum = 45, .pages = 1000};
    members[1] = (struct scope_member){.class = CLASS_VIP, .minimum = 45, .pages = 1000};
    start(pff, 2);
    TARGETS(50, 50);
    for (unsigned i = 0; i < 5; i++) {
        window(0, 0);
        window(1, 0);
    }
    TARGETS(45, 45);
    for (unsigned i = 0; i < 9; i++) /* above its minimum a vvip does not get at a vip's */
        window(0, 100);
    TARGETS(55, 45);
    for (unsigned i = 0; i < 9; i++)
        window(1, 100);
    TARGETS(55, 45);
    for (unsigned i = 0; i < 5; i++)
        window(0, 0);
    TARGETS(45, 45);
}

/* A vvip takes from an ordinary one although that one needs its frames. */
static void pff_serves_the_higher_class(void **state)
{
    members[0] = (struct scope_member){.class = CLASS_VVIP, .minimum = 10, .pages = 1000};
    members[1].pages = 1000;
    start(pff, 2);
    window(1, 100);
    assert_true(window(0, 100));
    TARGETS(56, 44);
    assert_false(window(1, 100));
}

/* ------------------------------------------------------------------ load control */

static void start_load(uint32_t frames, uint64_t turn, uint32_t count)
{
    start((struct scope_config){.kind = SCOPE_GLOBAL, .frames = frames, .turn = turn}, count);
}

static void expect(enum scope_swap how, uint32_t who)
{
    uint32_t member;

    assert_int_equal(scope_balance(&scope, &member), how);
    if (how == SWAP_NOTHING)
        return;
    assert_int_equal(member, who);
    scope_swapped(&scope, member, how);
    holds();
}

static void working_sets(uint32_t a, uint32_t b, uint32_t c)
{
    members[0].working_set = a;
    members[1].working_set = b;
    members[2].working_set = c;
}

static void working_sets_that_fit_stay(void **state)
{
    start_load(100, 1000, 3);
    working_sets(40, 40, 20);
    assert_int_equal(scope_demand(&scope), 100);
    expect(SWAP_NOTHING, 0);
}

static void too_much_goes_and_comes_back(void **state)
{
    start_load(100, 1000, 3);
    working_sets(40, 40, 30);
    expect(SWAP_OUT, 2); /* all came at once: the last */
    expect(SWAP_NOTHING, 0);
    scope.now = 500;
    working_sets(40, 31, 30);
    expect(SWAP_NOTHING, 0);
    working_sets(40, 30, 30);
    expect(SWAP_IN, 2);
    expect(SWAP_NOTHING, 0);
    scope.now = 700;
    working_sets(40, 40, 40);
    expect(SWAP_OUT, 1); /* in since 0; 2 only since 500 */
    scope_leave(&scope, 0);
    expect(SWAP_IN, 1);
}

static void turns(void **state)
{
    start_load(100, 1000, 3);
    working_sets(60, 30, 50);
    expect(SWAP_OUT, 2);
    expect(SWAP_NOTHING, 0);
    scope.now = 999;
    expect(SWAP_NOTHING, 0);
    scope.now = 1000;
    expect(SWAP_OUT, 1);
    expect(SWAP_OUT, 0); /* 50 and 60 still do not fit; the one that has waited is alone for the moment */
    expect(SWAP_IN, 2);
    expect(SWAP_IN, 1); /* of those that went at the same time, the first that fits */
    expect(SWAP_NOTHING, 0);
}

static void one_always_runs(void **state)
{
    start_load(100, 1000, 3);
    working_sets(300, 300, 300);
    expect(SWAP_OUT, 2);
    expect(SWAP_OUT, 1);
    expect(SWAP_NOTHING, 0);
    scope.now = 1000;
    expect(SWAP_OUT, 0);
    expect(SWAP_IN, 1); /* both have waited as long */
    expect(SWAP_NOTHING, 0);
}

static void classes_in_load_control(void **state)
{
    members[0] = (struct scope_member){.class = CLASS_VVIP};
    members[1] = (struct scope_member){.class = CLASS_VIP};
    start_load(100, 1000, 3);
    working_sets(60, 30, 30);
    expect(SWAP_OUT, 2);
    expect(SWAP_NOTHING, 0);
    scope.now = 5000; /* an ordinary one does not send a vip out, however long it has waited */
    expect(SWAP_NOTHING, 0);
    working_sets(200, 30, 30);
    expect(SWAP_NOTHING, 0); /* the vvip never goes, and one other always runs */
    scope_leave(&scope, 1);
    expect(SWAP_IN, 2);
}

/* One who uses nothing neither goes nor keeps another from coming: it may be that one whom it waits for. */
static void who_sleeps_is_in_nobodys_way(void **state)
{
    members[0] = (struct scope_member){.class = CLASS_VVIP};
    start_load(100, 1000, 3);
    working_sets(30, 60, 90);
    expect(SWAP_OUT, 2);
    expect(SWAP_NOTHING, 0);
    scope.now = 10;
    working_sets(30, 0, 90);
    expect(SWAP_IN, 2); /* it does not fit beside the vvip, but who else should run? */
    expect(SWAP_NOTHING, 0);
    working_sets(30, 10, 90);
    expect(SWAP_OUT, 1); /* awake again, and in since 0 */
    expect(SWAP_NOTHING, 0);
}

/* Local scope: targets follow who is in memory. */
static void targets_follow_swapping(void **state)
{
    start((struct scope_config){.kind = SCOPE_LOCAL, .rule = SCOPE_EQUAL, .frames = 90, .turn = 1000}, 3);
    working_sets(40, 40, 40);
    expect(SWAP_OUT, 2);
    TARGETS(45, 45, 0);
    scope_leave(&scope, 0);
    expect(SWAP_IN, 2);
    TARGETS(0, 45, 45);
}

/* ------------------------------------------------------------------ whatever happens */

static struct random random_state = {20261122};

static uint32_t roll(uint32_t below)
{
    return (uint32_t)random_below(&random_state, below);
}

/* Nothing but what division leaves over is wasted, and those above their floor have the same. */
static void equal_is_equal(void)
{
    uint32_t in = 0, most = 0;
    uint64_t sum = 0;

    for (uint32_t i = 0; i < scope.count; i++) {
        in += members[i].place == MEMBER_IN;
        sum += members[i].target;
        most = members[i].class == CLASS_ORDINARY && members[i].target > most ? members[i].target : most;
    }
    if (in > 0)
        assert_true(sum + in > scope.config.frames);
    for (uint32_t i = 0; i < scope.count; i++)
        if (members[i].place == MEMBER_IN && members[i].class == CLASS_ORDINARY)
            assert_int_equal(members[i].target, most);
        else if (members[i].place == MEMBER_IN && members[i].class == CLASS_VVIP)
            assert_true(members[i].target == most || members[i].target == members[i].minimum || most == 0);
}

/* What fails has changed nothing. */
static void come_and_go(void)
{
    uint32_t member = roll(MOST);
    struct scope_member before;

    if (roll(30) == 0)
        scope_resize(&scope, 1 + roll(300));
    before = members[member];
    if (member >= scope.count || members[member].place == MEMBER_GONE) {
        members[member].minimum = members[member].class == CLASS_ORDINARY ? 0 : roll(80);
        (void)!scope_join(&scope, member);
    } else if (roll(30) == 0 && scope_reclass(&scope, member, CLASS_VVIP, roll(80)) != ST_OK) {
        assert_memory_equal(&before, &members[member], sizeof(before));
    }
    holds();
}

static void one_event(void)
{
    uint32_t member = roll(scope.count), steps = 0, who;
    enum scope_swap how;

    scope.now += roll(2000);
    members[member].working_set = roll(200);
    if (members[member].place == MEMBER_IN && roll(40) == 0)
        scope_leave(&scope, member);
    else if (members[member].place == MEMBER_IN)
        window(member, roll(3) == 0 ? 100 : roll(15));
    come_and_go();
    while ((how = scope_balance(&scope, &who)) != SWAP_NOTHING) {
        assert_true(how == SWAP_IN || members[who].class != CLASS_VVIP);
        scope_swapped(&scope, who, how);
        holds();
        assert_true(++steps <= 2 * scope.count + 2);
    }
    if (scope.config.rule == SCOPE_EQUAL)
        equal_is_equal();
}

static void nothing_breaks_it(void **state)
{
    for (unsigned round = 0; round < 3000; round++) {
        struct scope_config config = pff;
        uint32_t count = 1 + roll(MOST);

        memset(members, 0, sizeof(members));
        config.frames = 1 + roll(300);
        config.rule = (enum scope_rule)roll(3);
        config.turn = roll(5000);
        for (uint32_t i = 0; i < count; i++) {
            members[i] = (struct scope_member){.class = (enum scope_class)roll(3), .pages = roll(400)};
            if (members[i].class != CLASS_ORDINARY)
                members[i].minimum = roll(80);
        }
        if (scope_init(&scope, &config, members, count) != ST_OK)
            continue;
        holds();
        for (unsigned event = 0; event < 60; event++)
            one_event();
    }
}

/* ------------------------------------------------------------------ members that come and go */

static void one_that_joins_gets_its_share(void **state)
{
    start((struct scope_config){.kind = SCOPE_LOCAL, .rule = SCOPE_EQUAL, .frames = 90}, 2);
    TARGETS(45, 45);
    members[4] = (struct scope_member){.class = CLASS_VVIP, .minimum = 40};
    assert_ok(scope_join(&scope, 4));
    TARGETS(25, 25, 0, 0, 40);
    holds();
    assert_ok(scope_join(&scope, 2));
    TARGETS(16, 16, 16, 0, 40);
    scope_leave(&scope, 4);
    TARGETS(30, 30, 30, 0, 0);
    holds();
}

static void what_cannot_be_guaranteed_is_not_promised(void **state)
{
    start((struct scope_config){.kind = SCOPE_LOCAL, .rule = SCOPE_EQUAL, .frames = 60}, 2);
    members[2] = (struct scope_member){.class = CLASS_VVIP, .minimum = 59};
    assert_status(scope_join(&scope, 2), ST_LIMIT);
    TARGETS(30, 30);
    members[2].minimum = 58;
    assert_ok(scope_join(&scope, 2));
    TARGETS(1, 1, 58);
    assert_status(scope_reclass(&scope, 0, CLASS_VVIP, 2), ST_LIMIT);
    assert_int_equal(members[0].class, CLASS_ORDINARY);
    assert_ok(scope_reclass(&scope, 2, CLASS_VIP, 30));
    assert_ok(scope_reclass(&scope, 0, CLASS_VVIP, 29));
    TARGETS(29, 1, 30);
    holds();
}

static void memory_that_shrinks_and_grows(void **state)
{
    const struct scope_config config = {.kind = SCOPE_LOCAL,
                                        .rule = SCOPE_PFF,
                                        .frames = 100,
                                        .pff_low = 10,
                                        .pff_high = 20,
                                        .pff_window = 10};

    members[0] = (struct scope_member){.class = CLASS_VVIP, .minimum = 40};
    start(config, 3);
    TARGETS(40, 33, 27);
    scope_resize(&scope, 70);
    TARGETS(40, 16, 13);
    holds();
    scope_resize(&scope, 10); /* no fewer than is guaranteed */
    TARGETS(40, 1, 1);
    holds();
    scope_resize(&scope, 1000); /* what nobody needs stays free */
    TARGETS(40, 1, 1);
    members[3].pages = 10;
    assert_ok(scope_join(&scope, 3));
    TARGETS(40, 1, 1, 250);
    holds();
}

/* One that was alone may have everything: who comes gets what it has not taken, and later what it does not
 * use. */
static void one_that_comes_and_one_that_idles(void **state)
{
    const struct scope_config config = {.kind = SCOPE_LOCAL,
                                        .rule = SCOPE_PFF,
                                        .frames = 100,
                                        .pff_low = 10,
                                        .pff_high = 20,
                                        .pff_window = 10};

    start(config, 1);
    TARGETS(100);
    members[0].frames = 70;
    members[1] = members[2] = (struct scope_member){0};
    assert_ok(scope_join(&scope, 1));
    TARGETS(70, 30);
    members[0].frames = 10;
    assert_ok(scope_join(&scope, 2));
    TARGETS(37, 30, 33);
    holds();
    members[1].time = members[1].faults = 10;
    scope.now = 10;
    assert_false(scope_measure(&scope, 1)); /* it faults, and nobody is known not to */
    members[1].time = members[1].faults = 20;
    scope.now = 240;
    assert_true(scope_measure(&scope, 1)); /* the others have hardly run */
    TARGETS(34, 33, 33);
    holds();
}

static bool is_class(const char *text, size_t name_length, enum scope_class class, uint64_t bytes)
{
    struct scope_class_word word = {.name_length = 99};

    return scope_parse_class(text, &word) == ST_OK && word.name_length == name_length &&
           word.class == class && word.bytes == bytes;
}

static void classes_in_words(void **state)
{
    static const char *const bad[] = {"",
                                      "=",
                                      "x",
                                      "x=",
                                      "=vip:1M",
                                      "x=vip",
                                      "x=vip:",
                                      "x=vip:0",
                                      "x=vip:0M",
                                      "x=vip:M",
                                      "x=vip:1T",
                                      "x=vip:-1",
                                      "x=vip:1 M",
                                      "x=ordinary:1M",
                                      "x=great:1M",
                                      "x=vi:1M",
                                      "x=vipp:1M",
                                      "x=vip:1MM",
                                      "x=vip:99999999999999999999",
                                      "x=vip:18014398509481985K"};
    struct scope_class_word word;

    assert_true(is_class("sh=vvip:16M", 2, CLASS_VVIP, 16 << 20));
    assert_true(is_class("a=b=vip:4096", 3, CLASS_VIP, 4096)); /* a name may have '=' */
    assert_true(is_class("x=vip:3k", 1, CLASS_VIP, 3072) && is_class("x=vip:1G", 1, CLASS_VIP, 1 << 30));
    assert_true(is_class("python3=ordinary", 7, CLASS_ORDINARY, 0));
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(scope_parse_class(bad[i], &word), ST_INVALID);
}

static bool is_wrong(const char *text, const char *part)
{
    struct scope_config config = {.rule = SCOPE_PROPORTIONAL, .pff_low = 7};
    struct scope_error error;

    return scope_parse_rule(text, &config, &error) == ST_INVALID && error.expected != NULL &&
           error.length == strlen(part) && memcmp(text + error.at, part, error.length) == 0 &&
           config.rule == SCOPE_PROPORTIONAL && config.pff_low == 7;
}

static void rules_in_words(void **state)
{
    struct scope_config config = {.frames = 5};
    struct scope_error error;
    enum scope_kind kind = SCOPE_GLOBAL;

    assert_ok(scope_parse_kind("local", &kind, &error));
    assert_int_equal(kind, SCOPE_LOCAL);
    assert_int_equal(scope_parse_kind("locals", &kind, &error), ST_INVALID);
    assert_int_equal(scope_parse_kind("", &kind, &error), ST_INVALID);
    assert_ok(scope_parse_rule("proportional", &config, &error));
    assert_int_equal(config.rule, SCOPE_PROPORTIONAL);
    assert_ok(scope_parse_rule("pff", &config, &error));
    assert_true(config.rule == SCOPE_PFF && config.pff_low < config.pff_high && config.pff_window > 0);
    assert_ok(scope_parse_rule("pff:high=1000000,low=3", &config, &error));
    assert_true(config.pff_low == 3 && config.pff_high == 1000000 && config.frames == 5);
    assert_false(config.strict);
    assert_ok(scope_parse_rule("equal:strict", &config, &error));
    assert_true(config.rule == SCOPE_EQUAL && config.strict);
    assert_ok(scope_parse_rule("pff:strict,low=3", &config, &error));
    assert_true(config.rule == SCOPE_PFF && config.strict && config.pff_low == 3);
    assert_ok(scope_parse_rule("proportional", &config, &error));
    assert_false(config.strict);
    assert_true(is_wrong("equal:stricter", "equal:stricter") && is_wrong("equal:", "equal:") &&
                is_wrong("global:strict", "global:strict"));
    assert_true(is_wrong("fair", "fair") && is_wrong("equal:low=3", "equal:low=3"));
    assert_true(is_wrong("pff:low=1,speed=2", "speed=2") && is_wrong("pff:", "") &&
                is_wrong("pff:low=", "low="));
    assert_true(is_wrong("pff:high=1000001", "high=1000001") && is_wrong("pff:low=1,,high=5", ""));
    assert_true(is_wrong("pff:low=9,high=3", "pff:low=9,high=3") && is_wrong("pff:window=0", "pff:window=0"));
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup(name, clear)
    const struct CMUnitTest tests[] = {
        CASE(the_idle_give_below_their_targets),
        CASE(equal_as_in_the_textbook),
        CASE(proportional_as_in_the_textbook),
        CASE(classes_put_a_floor_under_it),
        CASE(a_vip_gets_what_is_left_of_its_floor),
        CASE(floors_that_pull_others_down),
        CASE(what_is_guaranteed_must_fit),
        CASE(who_leaves_makes_room),
        CASE(who_gives_first),
        CASE(pff_moves_frames_between_its_bounds),
        CASE(pff_leaves_what_is_in_use),
        CASE(pff_waits_for_a_window),
        CASE(pff_gives_no_more_than_a_process_can_use),
        CASE(pff_keeps_to_the_classes),
        CASE(pff_serves_the_higher_class),
        CASE(working_sets_that_fit_stay),
        CASE(too_much_goes_and_comes_back),
        CASE(turns),
        CASE(one_always_runs),
        CASE(classes_in_load_control),
        CASE(who_sleeps_is_in_nobodys_way),
        CASE(targets_follow_swapping),
        CASE(nothing_breaks_it),
        CASE(one_that_joins_gets_its_share),
        CASE(what_cannot_be_guaranteed_is_not_promised),
        CASE(memory_that_shrinks_and_grows),
        CASE(one_that_comes_and_one_that_idles),
        CASE(classes_in_words),
        CASE(rules_in_words),
    };

    return cmocka_run_group_tests_name("scope", tests, NULL, NULL);
}

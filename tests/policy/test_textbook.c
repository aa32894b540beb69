/*
 * The worked examples of textbooks and papers, to the digit.
 *
 *   [Belady]        L. A. Belady, R. A. Nelson, G. S. Shedler, "An Anomaly in Space-Time Characteristics of
 *                   Certain Programs Running in a Paging Machine", CACM 12(6), 1969
 *   [Silberschatz]  A. Silberschatz, P. B. Galvin, G. Gagne, Operating System Concepts, "Page Replacement"
 *   [Stallings]     W. Stallings, Operating Systems: Internals and Design Principles, "Replacement Policy",
 *                   the figure of four algorithms; it counts from when memory is full
 *   [Tanenbaum]     A. S. Tanenbaum, H. Bos, Modern Operating Systems, 4th edition, chapter 3
 */
#include <stdlib.h>

#include "lockstep.h"

struct example {
    const char *string; /* a digit a reference */
    uint32_t frames;
    const char *policy; /* with options */
    uint64_t faults;
};

static const char belady[] = "123412512345", silberschatz[] = "70120304230321201701",
                  stallings[] = "232152453252";

static struct policy *make(const char *text, uint32_t pages, uint32_t frames)
{
    struct policy_config config = {.pages = pages, .frames = frames, .most_frames = frames};
    const struct policy_type *type;
    struct policy_error error;

    assert_ok(policy_parse(text, &type, &config, &error));
    return lockstep_create(type, &config);
}

static uint64_t faults_of(const char *text, uint32_t frames, const char *string)
{
    struct policy *policy = make(text, 10, frames);
    size_t count = strlen(string);
    struct op ops[32];
    struct policy_tally tally = {0};
    uint32_t *distances;

    for (size_t i = 0; i < count; i++)
        ops[i] = (struct op){OP_READ, (uint32_t)(string[i] - '0')};
    distances = ops_distances(ops, count, 10);
    for (size_t i = 0; i < count; i++)
        policy_reference(policy, ops[i].page, false, distances[i], &tally);
    free(distances);
    lockstep_destroy(policy);
    return tally.faults;
}

static void fault_counts(void **state)
{
    static const struct example examples[] = {
        /* [Belady]: more memory, more faults */
        {belady, 3, "fifo", 9},
        {belady, 4, "fifo", 10},
        {belady, 3, "lru", 10},
        {belady, 4, "lru", 8},
        {belady, 3, "opt", 7},
        {belady, 4, "opt", 6},
        /* [Silberschatz] */
        {silberschatz, 3, "fifo", 15},
        {silberschatz, 3, "opt", 9},
        {silberschatz, 3, "lru", 12},
        /* [Stallings]: 3 to fill memory, and then 3, 4, 6, 5 */
        {stallings, 3, "opt", 3 + 3},
        {stallings, 3, "lru", 3 + 4},
        {stallings, 3, "fifo", 3 + 6},
        {stallings, 3, "clock:load=set", 3 + 5},
    };

    for (size_t i = 0; i < sizeof(examples) / sizeof(examples[0]); i++) {
        const struct example *one = &examples[i];

        if (faults_of(one->policy, one->frames, one->string) != one->faults)
            fail_msg("%s on %s: %d faults, expected %d", one->policy, one->string,
                     (int)faults_of(one->policy, one->frames, one->string), (int)one->faults);
    }
}

/* Clock is second chance in another form, says [Tanenbaum]. */
static void clock_is_second_chance(void **state)
{
    for (uint32_t frames = 1; frames <= 5; frames++) {
        assert_int_equal(faults_of("clock", frames, silberschatz),
                         faults_of("second-chance", frames, silberschatz));
        assert_int_equal(faults_of("clock:load=clear", frames, belady),
                         faults_of("second-chance:load=clear", frames, belady));
    }
}

/* ------------------------------------------------------------------ examples with bits and times */

/* The page came at that time, and has these bits now. */
struct page_example {
    uint64_t loaded;
    bool referenced, dirty;
};

/* Pages 0, 1, … come in the order of their times. */
static void load(struct policy *policy, const struct page_example *pages, uint32_t count)
{
    uint64_t last = 0;

    for (uint32_t loaded = 0; loaded < count; loaded++) {
        uint32_t next = POLICY_NO_PAGE;

        for (uint32_t page = 0; page < count; page++)
            if (!(policy->state[page] & POLICY_RESIDENT) &&
                (next == POLICY_NO_PAGE || pages[page].loaded < pages[next].loaded))
                next = page;
        assert_true(pages[next].loaded >= last);
        policy->now = last = pages[next].loaded;
        policy_insert(policy, next);
    }
    for (uint32_t page = 0; page < count; page++) {
        policy->state[page] &= (uint8_t) ~(POLICY_REFERENCED | POLICY_DIRTY);
        policy->state[page] |= pages[page].referenced ? POLICY_REFERENCED : 0;
        policy->state[page] |= pages[page].dirty ? POLICY_DIRTY : 0;
    }
}

static void expect_victims(struct policy *policy, const char *digits)
{
    for (; *digits; digits++) {
        assert_int_equal(policy_victim(policy, POLICY_NO_PAGE), (uint32_t)(*digits - '0'));
        assert_null(policy_check(policy));
    }
    lockstep_destroy(policy);
}

/* [Tanenbaum], problems: four frames; "which page will NRU, FIFO, LRU and second chance replace?" 2, 3, 1, 2.
 */
static void four_frames_four_algorithms(void **state)
{
    static const struct page_example pages[4] = {
        {126, true, false}, {230, false, true}, {140, false, false}, {110, true, true}};
    static const struct {
        const char *policy, *victim;
    } answers[] = {{"nru", "2"}, {"fifo", "3"}, {"second-chance", "2"}};
    /* last used at 280, 265, 270, 285 */
    static const uint32_t uses[] = {1, 2, 0, 3};
    struct policy *lru = make("lru", 4, 4);

    for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
        struct policy *policy = make(answers[i].policy, 4, 4);

        load(policy, pages, 4);
        expect_victims(policy, answers[i].victim);
    }
    load(lru, pages, 4);
    for (size_t i = 0; i < 4; i++)
        policy_touch(lru, uses[i]);
    expect_victims(lru, "1");
}

/* [Tanenbaum], figure of second chance: A to H came at these times. At 20 there is a fault. A was referenced:
 * it is put behind H as if it had come now, and B is looked at. */
static void second_chance_spares_the_oldest(void **state)
{
    static const struct page_example pages[8] = {{0, true, false},   {3, false, false},  {7, false, false},
                                                 {8, false, false},  {12, false, false}, {14, false, false},
                                                 {15, false, false}, {18, false, false}};
    struct policy *policy = make("second-chance", 8, 8);

    load(policy, pages, 8);
    expect_victims(policy, "12345670");
    policy = make("clock", 8, 8);
    load(policy, pages, 8);
    expect_victims(policy, "12345670");
}

/* Bits of all pages at each tick, page 0 first. */
static struct policy *tick_with(const char *text, const char *const *ticks, size_t count, uint32_t pages)
{
    static const struct page_example blank[8];
    struct policy *policy = make(text, pages, pages);

    load(policy, blank, pages);
    for (size_t tick = 0; tick < count; tick++) {
        for (uint32_t page = 0; page < pages; page++)
            policy->state[page] |= ticks[tick][page] == '1' ? POLICY_REFERENCED : 0;
        policy_tick(policy);
        assert_null(policy_check(policy));
    }
    return policy;
}

/* [Tanenbaum], figure of aging: six pages, five ticks. The counters are 01111000, 10110000, 10001000,
 * 00100000, 01011000, 00101000. */
static void aging_of_six_pages(void **state)
{
    static const char *const ticks[] = {"101011", "110010", "110101", "100010", "011000"};

    expect_victims(tick_with("aging", ticks, 5, 6), "354021");
    /* and after fewer ticks: 11110000, 01100000, 00010000, 01000000, 10110000, 01010000 */
    expect_victims(tick_with("aging", ticks, 4, 6), "235140");
    /* 11100000, 11000000, 00100000, 10000000, 01100000, 10100000 */
    expect_victims(tick_with("aging", ticks, 3, 6), "243510");
    /* NFU counts: 4, 3, 2, 1, 3, 2; of the same count the one that was not referenced last */
    expect_victims(tick_with("nfu", ticks, 5, 6), "352410");
}

/* [Tanenbaum], problems: a computer on a smart card with four frames. The counters at the end: 01101110,
 * 01001001, 00110111, 10001011. */
static void aging_on_a_smart_card(void **state)
{
    static const char *const ticks[] = {"0111", "1011", "1010", "0101", "1010", "0010", "1100", "0001"};

    expect_victims(tick_with("aging", ticks, 8, 4), "2103");
}

/* The pages of [Tanenbaum]'s figures of the working set and of WSClock; now is 2204. */
static const struct page_example working_set[8] = {
    {1620, false, false}, {2084, true, false}, {2032, true, false}, {2003, true, false},
    {2020, true, false},  {1980, true, false}, {2014, true, false}, {1213, false, false}};

static struct policy *at_2204(const char *text)
{
    struct policy *policy = make(text, 9, 8);

    load(policy, working_set, 8);
    policy->now = 2204;
    return policy;
}

static uint64_t counter_of(const struct policy *policy, const char *name)
{
    struct policy_counter counters[8];
    size_t count = policy_counters(policy, counters, 8);

    for (size_t i = 0; i < count; i++)
        if (strcmp(counters[i].name, name) == 0)
            return counters[i].value;
    fail_msg("no counter %s", name);
    return 0;
}

/* The page of 1213 is 991 old, that of 1620 584: with a window between, only the first is outside. With a
 * longer one none is, and the page with the smallest time goes all the same. */
static void working_set_at_2204(void **state)
{
    struct policy *policy = at_2204("working-set:tau=600");

    assert_int_equal(policy_victim(policy, 8), 7);
    assert_int_equal(counter_of(policy, "victims_outside"), 1);
    policy_insert(policy, 8);
    assert_int_equal(policy_victim(policy, POLICY_NO_PAGE), 0);
    assert_int_equal(counter_of(policy, "victims_inside"), 1);
    lockstep_destroy(policy);
    policy = at_2204("working-set:tau=1000");
    assert_int_equal(policy_victim(policy, 8), 7);
    assert_int_equal(counter_of(policy, "victims_inside"), 1);
    policy_tick(policy); /* the six that were referenced, and 1620 */
    assert_int_equal(counter_of(policy, "working_set"), 7);
    lockstep_destroy(policy);
}

/* A problem about that figure: "the hand points to a page with R = 0. If tau is 400, will it be removed? And
 * if it is 1000?" It is 991 old: yes; no. */
static void wsclock_at_2204(void **state)
{
    struct policy *policy = at_2204("wsclock:tau=600");

    /* 1213 came first, so the hand is there. It is clean and goes; the new page takes its place. */
    assert_int_equal(policy_victim(policy, 8), 7);
    assert_int_equal(counter_of(policy, "victims_outside"), 1);
    policy_insert(policy, 8);
    policy->state[8] &= (uint8_t)~POLICY_REFERENCED;
    /* 1620 is inside; the others lose their bits and are used now. Nobody is outside: memory is too small,
     * and a clean page goes. */
    assert_int_equal(policy_victim(policy, POLICY_NO_PAGE), 0);
    assert_int_equal(counter_of(policy, "rounds"), 1);
    for (uint32_t page = 1; page < 7; page++)
        assert_false(policy->state[page] & POLICY_REFERENCED);
    lockstep_destroy(policy);
    policy = at_2204("wsclock:tau=1000");
    assert_int_equal(policy_victim(policy, 8), 7); /* not outside, but clean and idle when all are inside */
    assert_int_equal(counter_of(policy, "victims_inside"), 1);
    lockstep_destroy(policy);
}

static uint32_t written;

static void note_clean(void *context, struct policy *policy, uint32_t page)
{
    written = written * 10 + page;
}

/* Old and dirty: its writing is begun, and the hand goes on to an old clean one. */
static void wsclock_writes_old_dirty_pages(void **state)
{
    static const struct policy_host host = {.clean = note_clean};
    struct policy *policy = at_2204("wsclock:tau=500");

    policy->host = &host;
    written = 0;
    policy->state[7] |= POLICY_DIRTY;
    assert_int_equal(policy_victim(policy, 8), 0); /* 1620, behind it in the ring */
    assert_int_equal(written, 7);
    policy->state[7] &= (uint8_t)~POLICY_DIRTY; /* it is written */
    policy_insert(policy, 8);
    assert_int_equal(policy_victim(policy, POLICY_NO_PAGE), 7);
    assert_int_equal(written, 7);
    lockstep_destroy(policy);
}

/* Two hands, half a ring apart: pages 0 and 1 are looked at before the front hand has come to them; what it
 * clears, and is not referenced again, goes when the back hand comes. */
static void two_hands_half_a_ring_apart(void **state)
{
    static const struct page_example pages[4] = {
        {0, true, false}, {1, true, false}, {2, true, false}, {3, true, false}};
    struct policy *policy = make("two-handed-clock:spread=50", 4, 4);

    load(policy, pages, 4);
    /* back 0, front 2: clears 2; back 1, front 3: clears 3; back 2: goes, and the front has cleared 0 */
    assert_int_equal(policy_victim(policy, POLICY_NO_PAGE), 2);
    policy->state[3] |= POLICY_REFERENCED; /* between the hands: it has proved that it is used */
    assert_int_equal(policy_victim(policy, POLICY_NO_PAGE), 0);
    expect_victims(policy, "13");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fault_counts),
        cmocka_unit_test(clock_is_second_chance),
        cmocka_unit_test(four_frames_four_algorithms),
        cmocka_unit_test(second_chance_spares_the_oldest),
        cmocka_unit_test(aging_of_six_pages),
        cmocka_unit_test(aging_on_a_smart_card),
        cmocka_unit_test(working_set_at_2204),
        cmocka_unit_test(wsclock_at_2204),
        cmocka_unit_test(wsclock_writes_old_dirty_pages),
        cmocka_unit_test(two_hands_half_a_ring_apart),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

/*
 * Curves in one pass, against simulating every size.
 */
#include <stdlib.h>

#include "sim/curve.h"
#include "sim/stack.h"
#include "support.h"

enum { MOST = 40000 };

/* A trace in memory, with when each page comes again. */
struct stream {
    uint32_t references[MOST], distances[MOST], depths[MOST];
    size_t count;
    uint32_t pages;
};

static struct stream stream;

static void stream_add(uint32_t page, bool write)
{
    stream.references[stream.count++] = page << 1 | write;
    if (page >= stream.pages)
        stream.pages = page + 1;
}

static void stream_look_ahead(void)
{
    for (size_t i = 0; i < stream.count; i++) {
        stream.distances[i] = UINT32_MAX;
        for (size_t next = i + 1; next < stream.count; next++)
            if (stream.references[next] >> 1 == stream.references[i] >> 1) {
                stream.distances[i] = (uint32_t)(next - i);
                break;
            }
    }
}

static void stream_clear(void)
{
    stream.count = stream.pages = 0;
}

static void stream_of(const uint32_t *pages, size_t count)
{
    stream_clear();
    for (size_t i = 0; i < count; i++)
        stream_add(pages[i], false);
    stream_look_ahead();
}

/* Hot pages, a scan now and then, and the rest at random; numbers in the order of their first coming. */
static void stream_random(uint64_t seed, size_t count, uint32_t pages)
{
    struct random random = {seed};
    uint32_t *number = calloc(pages, sizeof(*number)), known = 0;

    stream_clear();
    while (stream.count < count) {
        uint64_t kind = random_below(&random, 10);
        uint32_t page = (uint32_t)(kind < 6   ? random_below(&random, pages / 8 + 1)
                                   : kind < 8 ? stream.count % pages
                                              : random_below(&random, pages));

        if (!number[page])
            number[page] = ++known;
        stream_add(number[page] - 1, random_below(&random, 4) == 0);
    }
    free(number);
    stream_look_ahead();
}

/* Blocks of odd lengths. `pages` grows as they come. */
static struct curve stream_curve_lru(void)
{
    struct stack_lru *stack = stack_lru_create();
    struct curve curve = {0};
    uint32_t pages = 0;

    for (size_t at = 0; at < stream.count;) {
        size_t count = at % 1000 + 1 < stream.count - at ? at % 1000 + 1 : stream.count - at;
        struct policy_block block = {.references = stream.references + at, .count = count};

        for (size_t i = at; i < at + count; i++)
            if (stream.references[i] >> 1 >= pages)
                pages = (stream.references[i] >> 1) + 1;
        assert_true(stack_lru_block(stack, &block, pages, stream.depths + at));
        assert_true(curve_block(&curve, &block, pages, stream.depths + at));
        assert_null(stack_lru_check(stack));
        at += count;
    }
    for (uint32_t page = 0; page < pages; page++)
        curve_leave(&curve, page, stack_lru_depth(stack, page));
    curve_finish(&curve);
    stack_lru_destroy(stack);
    return curve;
}

static struct curve stream_curve_opt(void)
{
    struct stack_opt *stack = stack_opt_create();
    struct curve curve = {0};

    for (size_t at = 0; at < stream.count;) {
        size_t count = at % 700 + 1 < stream.count - at ? at % 700 + 1 : stream.count - at;
        struct policy_block block = {
            .references = stream.references + at, .distances = stream.distances + at, .count = count};

        assert_true(stack_opt_block(stack, &block, stream.pages, stream.depths + at));
        assert_true(curve_block(&curve, &block, stream.pages, stream.depths + at));
        assert_null(stack_opt_check(stack));
        at += count;
    }
    curve_finish(&curve);
    stack_opt_destroy(stack);
    return curve;
}

/* Memory of so many frames, as a list that is searched from its beginning: slow, and plain to see. */
struct memory {
    struct {
        uint32_t page;
        uint64_t key; /* the least goes */
        bool dirty;
    } frame[2048];
    uint32_t used, frames;
    uint64_t faults, write_backs;
};

static uint32_t memory_place(struct memory *memory, uint32_t page)
{
    uint32_t place = 0, worst = 0;

    while (place < memory->used && memory->frame[place].page != page)
        place++;
    if (place < memory->used)
        return place;
    memory->faults++;
    if (memory->used < memory->frames) {
        worst = memory->used++;
    } else {
        for (uint32_t i = 1; i < memory->used; i++)
            if (memory->frame[i].key < memory->frame[worst].key)
                worst = i;
        memory->write_backs += memory->frame[worst].dirty;
    }
    memory->frame[worst].page = page;
    memory->frame[worst].dirty = false;
    return worst;
}

enum order { LEAST_RECENT, LATEST };

static void memory_run(struct memory *memory, uint32_t frames, enum order order)
{
    *memory = (struct memory){.frames = frames};
    for (size_t i = 0; i < stream.count; i++) {
        uint32_t place = memory_place(memory, stream.references[i] >> 1);

        memory->frame[place].key = order == LEAST_RECENT               ? i
                                   : stream.distances[i] == UINT32_MAX ? 0
                                                                       : UINT64_MAX - i - stream.distances[i];
        memory->frame[place].dirty |= stream.references[i] & 1;
    }
}

static struct memory memory;

static void expect_lru(void)
{
    struct curve curve = stream_curve_lru();

    assert_int_equal(curve.references, stream.count);
    assert_int_equal(curve.pages, stream.pages);
    for (uint32_t frames = 1; frames <= curve.pages; frames += 1 + frames / 8) {
        memory_run(&memory, frames, LEAST_RECENT);
        assert_int_equal(curve.faults[frames], memory.faults);
        assert_int_equal(curve.write_backs[frames], memory.write_backs);
    }
    assert_int_equal(curve.faults[curve.pages], curve.pages);
    assert_int_equal(curve.faults[0], curve.references);
    curve_destroy(&curve);
}

static void expect_opt(void)
{
    struct curve curve = stream_curve_opt();

    for (uint32_t frames = 1; frames <= curve.pages; frames += 1 + frames / 8) {
        memory_run(&memory, frames, LATEST);
        assert_int_equal(curve.faults[frames], memory.faults);
    }
    assert_int_equal(curve.faults[curve.pages], curve.pages);
    curve_destroy(&curve);
}

/* A. Silberschatz, P. B. Galvin, G. Gagne, Operating System Concepts, "Page Replacement": 12 and 9 at 3. */
static void textbook(void **state)
{
    static const uint32_t pages[] = {7, 0, 1, 2, 0, 3, 0, 4, 2, 3, 0, 3, 2, 1, 2, 0, 1, 7, 0, 1};
    struct curve lru, opt;

    stream_of(pages, sizeof(pages) / sizeof(pages[0]));
    lru = stream_curve_lru();
    opt = stream_curve_opt();
    assert_int_equal(lru.faults[3], 12);
    assert_int_equal(opt.faults[3], 9);
    assert_int_equal(lru.pages, 6);
    curve_destroy(&lru);
    curve_destroy(&opt);
}

static void one_page(void **state)
{
    static const uint32_t pages[] = {0, 0, 0};

    stream_of(pages, 3);
    expect_lru();
    expect_opt();
}

static void nothing(void **state)
{
    struct curve curve;

    stream_clear();
    curve = stream_curve_lru();
    assert_int_equal(curve.references + curve.pages, 0);
    assert_int_equal(curve_frames_for(&curve, 0), 0);
    curve_destroy(&curve);
}

static void random_traces(void **state)
{
    for (uint64_t seed = 1; seed <= 12; seed++) {
        stream_random(seed, 300 * (size_t)seed, (uint32_t)(3 * seed * seed));
        expect_lru();
        expect_opt();
    }
}

/* More references than the LRU stack has slots at first, and more places than OPT's has. */
static void numbered_anew(void **state)
{
    struct stack_lru *stack = stack_lru_create();
    struct policy_block block = {.references = stream.references};
    struct random random = {5};
    static uint32_t last[64];

    for (uint32_t round = 0; round < 300; round++) {
        stream_clear();
        for (uint32_t i = 0; i < 1000; i++)
            stream_add((uint32_t)random_below(&random, 64), false);
        block.count = stream.count;
        assert_true(stack_lru_block(stack, &block, 64, stream.depths));
        assert_null(stack_lru_check(stack));
    }
    for (uint32_t i = 0; i < stream.count; i++)
        last[stream.references[i] >> 1] = i;
    for (uint32_t page = 0; page < 64; page++) {
        uint32_t later = 1;

        for (uint32_t other = 0; other < 64; other++)
            later += last[other] > last[page];
        assert_int_equal(stack_lru_depth(stack, page), later);
    }
    stack_lru_destroy(stack);
}

/* A cycle of many pages: the depth is all of them, over every level of sums and maxima. */
static void deep(void **state)
{
    const uint32_t pages = 300000;
    uint32_t *references = calloc(pages, sizeof(*references)), *depths = calloc(pages, sizeof(*depths));
    uint32_t *distances = calloc(pages, sizeof(*distances));
    struct policy_block block = {.references = references, .distances = distances, .count = pages};
    struct stack_lru *lru = stack_lru_create();
    struct stack_opt *opt = stack_opt_create();

    for (uint32_t i = 0; i < pages; i++) {
        references[i] = i << 1;
        distances[i] = pages;
    }
    for (unsigned round = 0; round < 5; round++) {
        assert_true(stack_lru_block(lru, &block, pages, depths));
        for (uint32_t i = 0; i < pages; i++)
            assert_int_equal(depths[i], round ? pages : STACK_COLD);
        assert_true(stack_opt_block(opt, &block, pages, depths));
        /* c frames keep the first c - 1 pages, and the last one, since it comes again first. */
        for (uint32_t i = 0; round == 1 && i < pages; i++)
            assert_int_equal(depths[i], i == pages - 1 ? 2 : i + 2);
    }
    assert_null(stack_lru_check(lru));
    assert_null(stack_opt_check(opt));
    stack_lru_destroy(lru);
    stack_opt_destroy(opt);
    free(references);
    free(depths);
    free(distances);
}

static void frames_for(void **state)
{
    struct curve curve;

    stream_random(3, 5000, 200);
    curve = stream_curve_lru();
    for (uint64_t faults = 0; faults <= curve.references; faults += 37) {
        uint32_t frames = curve_frames_for(&curve, faults);

        if (frames == 0) {
            assert_true(curve.faults[curve.pages] > faults);
        } else {
            assert_true(curve.faults[frames] <= faults);
            assert_true(curve.faults[frames - 1] > faults || frames == 1);
        }
    }
    curve_destroy(&curve);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(textbook),      cmocka_unit_test(one_page),      cmocka_unit_test(nothing),
        cmocka_unit_test(random_traces), cmocka_unit_test(numbered_anew), cmocka_unit_test(deep),
        cmocka_unit_test(frames_for),
    };

    return cmocka_run_group_tests_name("stack", tests, NULL, NULL);
}

/*
 * Fuzzer: several spaces and objects against a flat array of pages.
 *
 * The input is a program for a tiny machine: each operation takes a few bytes. The model has one record a
 * page of a window of each space: what is mapped there, its protection, and the one word that was last
 * written. The window lies across a 1 GiB boundary and several leaf tables. After each operation the regions
 * that the space reports must be those of the model; now and then everything is checked by its own walker.
 * Allocations are made to fail at chosen moments: the operation must then say ST_NO_MEMORY and have changed
 * nothing.
 *
 * Runs under libFuzzer (clang -fsanitize=fuzzer, without driver.c) and with tests/fuzz/driver.c.
 */
#include <stdlib.h>

#include "base/check.h"
#include "quire/slab.h"
#include "swap_support.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

enum {
    SPACES = 4,
    OBJECTS = 4,
    PAGES = 2048,
    OBJECT_PAGES = 700,
    STORED = 2 /* objects 0 and 1 have a store */
};

#define WINDOW ((uint64_t)0x40000000 - HUGE_SIZE)
#define PAGE_AT(page) (WINDOW + (uint64_t)(page)*PAGE_SIZE)
#define EXPECT(condition)                                                                                    \
    do {                                                                                                     \
        if (!(condition))                                                                                    \
            host_panic("%s:%d: operation %u: %s", __FILE__, __LINE__, operations, #condition);               \
    } while (0)

/* The status must be the expected one. */
#define EXPECT_STATUS(got, wanted)                                                                           \
    do {                                                                                                     \
        enum status got_status = (got), wanted_status = (wanted);                                            \
        if (got_status != wanted_status)                                                                     \
            host_panic("%s:%d: operation %u: %s, expected %s", __FILE__, __LINE__, operations,               \
                       status_name(got_status), status_name(wanted_status));                                 \
    } while (0)

/* With QUIRE_FUZZ_TRACE in the environment each operation is told. */
#define TRACE(...)                                                                                           \
    do {                                                                                                     \
        if (tracing)                                                                                         \
            host_log(__VA_ARGS__);                                                                           \
    } while (0)

/* ------------------------------------------------------------------ the model */

enum kind { NOTHING, ANON, PRIVATE, SHARED };

struct page {
    uint8_t kind;
    uint8_t access;
    uint8_t object;
    bool own; /* PRIVATE: has a copy of its own */
    bool locked;
    bool lazy;       /* ANON: given up, so all of it may be zeroes */
    uint32_t index;  /* of the object */
    uint64_t word;   /* ANON and own: what was written */
    uint64_t ground; /* own: the last word of the page */
};

struct model_object {
    struct object *object;
    uint64_t pages;
    uint64_t word[OBJECT_PAGES];
    uint64_t ground[OBJECT_PAGES];
    unsigned char *store;
};

static struct page model[SPACES][PAGES];
static struct space *spaces[SPACES];
static struct model_object objects[OBJECTS];
static unsigned operations;
static bool tracing;
static uint64_t next_word;

/* ------------------------------------------------------------------ input */

struct input {
    const unsigned char *data;
    size_t left;
};

static unsigned take(struct input *input)
{
    if (input->left == 0)
        return 0;
    input->left--;
    return *input->data++;
}

static unsigned take16(struct input *input)
{
    unsigned low = take(input);

    return low | take(input) << 8;
}

/* A range of pages: often short, often with edges at table boundaries. */
static void take_range(struct input *input, unsigned *first, unsigned *count)
{
    static const unsigned lengths[] = {1, 1, 2, 3, 5, 8, 16, 40, 64, 150, 511, 512, 513, 700, 1024, 1500};
    unsigned how = take(input);

    *first = take16(input) % PAGES;
    if (how & 0x80)
        *first = *first / 512 * 512;
    else if (how & 0x40)
        *first = (*first + 500) / 512 * 512 % PAGES + take(input) % 5;
    *count = lengths[how & 15];
    if (*first >= PAGES)
        *first = PAGES - 1;
    if (*first + *count > PAGES)
        *count = PAGES - *first;
}

static unsigned take_access(struct input *input)
{
    static const unsigned accesses[] = {RW,          RW,           RW,          ACCESS_READ,
                                        ACCESS_NONE, ACCESS_WRITE, ACCESS_EXEC, RW | ACCESS_EXEC};

    return accesses[take(input) & 7];
}

/* What the machine makes of a protection: everything but none can be read. */
static uint8_t effective(unsigned access)
{
    return (uint8_t)(access != 0 ? access | ACCESS_READ : 0);
}

/* A space that lives; there is always one. */
static unsigned take_space(struct input *input)
{
    unsigned at = take(input) % SPACES;

    while (spaces[at] == NULL)
        at = (at + 1) % SPACES;
    return at;
}

/* ------------------------------------------------------------------ the store */

static enum status store_read(struct object *object, uint64_t first, struct frame *const *frames,
                              unsigned count)
{
    const struct model_object *m = object_data(object);

    for (unsigned i = 0; i < count; i++)
        memcpy(frame_data(frames[i]), m->store + (first + i) * PAGE_SIZE, PAGE_SIZE);
    return ST_OK;
}

static enum status store_write(struct object *object, uint64_t first, struct frame *const *frames,
                               unsigned count, uint64_t bytes)
{
    struct model_object *m = object_data(object);

    EXPECT(bytes == count * PAGE_SIZE && first + count <= OBJECT_PAGES);
    for (unsigned i = 0; i < count; i++)
        memcpy(m->store + (first + i) * PAGE_SIZE, frame_data(frames[i]), PAGE_SIZE);
    return ST_OK;
}

static const struct pager_ops store_ops = {store_read, store_write, NULL};

static void make_object(unsigned at)
{
    struct model_object *m = &objects[at];
    bool stored = at < STORED;

    memset(m, 0, sizeof(*m));
    m->pages = OBJECT_PAGES / 2;
    if (stored) {
        m->store = calloc(OBJECT_PAGES, PAGE_SIZE);
        EXPECT(m->store != NULL);
        for (uint64_t i = 0; i < m->pages; i++) {
            m->word[i] = 1000000 * (at + 1) + i;
            m->ground[i] = i + 1;
            memcpy(m->store + i * PAGE_SIZE, &m->word[i], 8);
            memcpy(m->store + (i + 1) * PAGE_SIZE - 8, &m->ground[i], 8);
        }
    }
    m->object = object_create(stored ? &store_ops : NULL, m, m->pages * PAGE_SIZE);
    EXPECT(m->object != NULL);
}

/* ------------------------------------------------------------------ comparing */

static void compare_regions(unsigned at)
{
    const struct page *pages = model[at];
    struct space_counts counts;
    struct space_region region = {0};
    uint64_t mapped = 0, locked = 0;
    unsigned page = 0;

    for (uint64_t from = 0; space_next_region(spaces[at], vaddr(from), &region); from = region.end.v) {
        unsigned first, last;

        EXPECT(region.start.v >= WINDOW && region.end.v <= PAGE_AT(PAGES) && region.start.v < region.end.v);
        first = (unsigned)((region.start.v - WINDOW) >> PAGE_SHIFT);
        last = (unsigned)((region.end.v - WINDOW) >> PAGE_SHIFT);
        for (; page < first; page++)
            EXPECT(pages[page].kind == NOTHING);
        for (; page < last; page++) {
            EXPECT(pages[page].kind != NOTHING);
            EXPECT(pages[page].access == region.access);
            EXPECT((pages[page].kind == SHARED) == ((region.flags & SPACE_SHARED) != 0));
            EXPECT((pages[page].kind == ANON) == (region.object == NULL));
            EXPECT(pages[page].locked == ((region.flags & SPACE_LOCKED) != 0));
            locked += pages[page].locked;
            if (region.object != NULL) {
                EXPECT(region.object == objects[pages[page].object].object);
                EXPECT(pages[page].index == region.first_page + page - first);
            }
        }
    }
    for (; page < PAGES; page++)
        EXPECT(pages[page].kind == NOTHING);
    for (page = 0; page < PAGES; page++)
        mapped += pages[page].kind != NOTHING;
    space_count(spaces[at], &counts);
    EXPECT(counts.mapped_bytes == mapped * PAGE_SIZE);
    EXPECT(counts.locked_pages == locked);
    EXPECT(space_locked_pages(spaces[at], vaddr(0), SPACE_END) == locked);
}

static void check_everything(void)
{
    for (unsigned i = 0; i < SPACES; i++)
        if (spaces[i] != NULL) {
            space_check(spaces[i]);
            compare_regions(i);
        }
    for (unsigned i = 0; i < OBJECTS; i++)
        object_check(objects[i].object);
    slab_check();
    frames_check();
    swap_check();
    swap_check_marks();
}

static bool resident_beyond_end(const struct page *page)
{
    return (page->kind == SHARED || (page->kind == PRIVATE && !page->own)) &&
           page->index >= objects[page->object].pages;
}

static enum status expected_status(const struct page *page, unsigned access)
{
    if (page->kind == NOTHING)
        return ST_NOT_MAPPED;
    if ((effective(page->access) & access) == 0)
        return ST_DENIED;
    return resident_beyond_end(page) ? ST_BEYOND_END : ST_OK;
}

static uint64_t expected_word(const struct page *page)
{
    if (page->kind == ANON || page->own)
        return page->word;
    return objects[page->object].word[page->index];
}

static uint64_t expected_ground(const struct page *page)
{
    if (page->kind == ANON || page->own)
        return page->ground;
    return objects[page->object].ground[page->index];
}

static void get_and_compare(unsigned at, unsigned page)
{
    const struct page *p = &model[at][page];
    enum status expected = expected_status(p, ACCESS_READ);
    uint64_t word = 0, ground;
    enum status status = sim_read(spaces[at], PAGE_AT(page), &word, 8, NULL);

    if (status == ST_NO_MEMORY) /* even an access that is refused may need tables of its own first */
        return;
    EXPECT_STATUS(status, expected);
    if (status != ST_OK)
        return;
    if (sim_read(spaces[at], PAGE_AT(page + 1) - 8, &ground, 8, NULL) != ST_OK)
        ground = expected_ground(p);
    EXPECT((word == expected_word(p) && ground == expected_ground(p)) ||
           (p->lazy && word == 0 && ground == 0));
}

/* ------------------------------------------------------------------ operations */

static bool any_mapped(const struct page *pages, unsigned first, unsigned count)
{
    for (unsigned i = first; i < first + count; i++)
        if (pages[i].kind != NOTHING)
            return true;
    return false;
}

static bool all_mapped(const struct page *pages, unsigned first, unsigned count)
{
    for (unsigned i = first; i < first + count; i++)
        if (pages[i].kind == NOTHING)
            return false;
    return true;
}

/* Has the page been written to that was given up? Then its other words stay what they turn out to be. */
static void settle_lazy(unsigned at, unsigned page)
{
    struct page *p = &model[at][page];
    uint64_t ground = 0;
    enum status status;

    if (!p->lazy)
        return;
    frames_fail_after(0);
    status = sim_read(spaces[at], PAGE_AT(page + 1) - 8, &ground, 8, NULL);
    EXPECT_STATUS(status, ST_OK);
    EXPECT(ground == p->ground || ground == 0);
    p->ground = ground;
    p->lazy = false;
}

static void model_put(struct page *p, uint64_t word)
{
    if (p->kind == SHARED) {
        objects[p->object].word[p->index] = word;
        return;
    }
    if (p->kind == PRIVATE && !p->own) {
        p->ground = objects[p->object].ground[p->index];
        p->own = true;
    }
    p->word = word;
}

/* The three ways in which a word gets into a page: a program's store, a copy by the kernel, a pinned frame.
 */
static enum status write_word(struct space *space, unsigned page, uint64_t word, unsigned how)
{
    struct frame *frame;
    size_t done;
    enum status status;

    if (how == 0)
        return space_write(space, vaddr(PAGE_AT(page)), &word, 8, &done);
    if (how > 1)
        return sim_write(space, PAGE_AT(page), &word, 8, NULL);
    status = space_pin(space, vaddr(PAGE_AT(page)), ACCESS_WRITE, &frame);
    if (status == ST_OK) {
        memcpy(frame_data(frame), &word, 8);
        frame_unref(frame);
    }
    return status;
}

static void op_put(struct input *input, unsigned at)
{
    unsigned page = take16(input) % PAGES, how = take(input) % 5;
    struct page *p = &model[at][page];
    uint64_t word = ++next_word;
    enum status expected = expected_status(p, ACCESS_WRITE);
    enum status status = write_word(spaces[at], page, word, how);

    TRACE("%u: space %u: put page %u in way %u: %s", operations, at, page, how, status_name(status));
    if (status == ST_NO_MEMORY) /* even an access that is refused may need tables of its own first */
        return;
    EXPECT_STATUS(status, expected);
    if (status != ST_OK)
        return;
    model_put(p, word);
    settle_lazy(at, page);
}

static void op_incore(struct input *input, unsigned at)
{
    static uint8_t resident[PAGES];
    unsigned first, count;
    enum status status;

    take_range(input, &first, &count);
    status = space_incore(spaces[at], vaddr(PAGE_AT(first)), (uint64_t)count * PAGE_SIZE, resident);
    EXPECT_STATUS(status, all_mapped(model[at], first, count) ? ST_OK : ST_NOT_MAPPED);
    if (status != ST_OK)
        return;
    for (unsigned i = 0; i < count && swap_test.slots == 0; i++) /* without swap what was written is there */
        EXPECT((resident[i] & 1) != 0 ||
               (!model[at][first + i].own && (model[at][first + i].kind != ANON ||
                                              model[at][first + i].lazy || model[at][first + i].word == 0)));
}

/* Several pages in a row, as programs do. */
static void op_put_run(struct input *input, unsigned at)
{
    unsigned page = take16(input) % PAGES, count = take(input) % 40;

    TRACE("%u: space %u: put %u pages at %u", operations, at, count, page);

    for (; count > 0 && page < PAGES; count--, page++) {
        struct page *p = &model[at][page];
        uint64_t word = ++next_word;

        if (expected_status(p, ACCESS_WRITE) != ST_OK ||
            sim_write(spaces[at], PAGE_AT(page), &word, 8, NULL) != ST_OK)
            return;
        model_put(p, word);
        settle_lazy(at, page);
    }
}

static void op_get(struct input *input, unsigned at)
{
    unsigned page = take16(input) % PAGES, count = 1 + take(input) % 20;

    TRACE("%u: space %u: get %u pages at %u", operations, at, count, page);

    for (; count > 0 && page < PAGES; count--)
        get_and_compare(at, page++);
}

static void model_map(struct page *p, enum kind kind, unsigned access, unsigned object, uint32_t index)
{
    *p = (struct page){
        .kind = (uint8_t)kind, .access = (uint8_t)access, .object = (uint8_t)object, .index = index};
}

/* Populating writable private pages, or mapping them ahead, may copy them now, or leave them to the first
 * write. Write them. */
static void settle_copies(unsigned at, unsigned first, unsigned count)
{
    enum status status = ST_OK;

    frames_fail_after(0);
    for (unsigned i = 0; i < count && status == ST_OK; i++) {
        struct page *p = &model[at][first + i];

        if (p->index >= objects[p->object].pages)
            continue;
        p->own = true;
        p->word = objects[p->object].word[p->index];
        p->ground = objects[p->object].ground[p->index];
        status = sim_write(spaces[at], PAGE_AT(first + i), &p->word, 8, NULL);
    }
    if (status == ST_OK)
        return;
    status = space_unmap(spaces[at], vaddr(PAGE_AT(first)), (uint64_t)count * PAGE_SIZE);
    EXPECT_STATUS(status, ST_OK);
    memset(&model[at][first], 0, count * sizeof(model[at][0]));
}

static void op_map(struct input *input, unsigned at, enum kind kind)
{
    unsigned first, count, access, object = take(input) % OBJECTS, flags = take(input);
    uint32_t index = take16(input) % OBJECT_PAGES;
    bool careful = flags % 4 == 0;
    struct space_map request;
    struct vaddr out;
    enum status status;

    take_range(input, &first, &count);
    access = take_access(input);
    request = (struct space_map){
        .hint = vaddr(PAGE_AT(first)),
        .length_bytes = (uint64_t)count * PAGE_SIZE,
        .access = access,
        .flags = (careful ? SPACE_NO_REPLACE : SPACE_FIXED) | (kind == SHARED ? SPACE_SHARED : 0u) |
                 (flags % 8 == 5 && count < 100 ? SPACE_POPULATE : 0u) |
                 (flags % 8 == 6 && count < 100 ? SPACE_AHEAD : 0u) |
                 (flags % 8 == 7 && count < 100 ? SPACE_AHEAD_LAST : 0u),
        .object = kind == ANON ? NULL : objects[object].object,
        .first_page = kind == ANON ? 0 : index,
        .pages_read = index % 8,
    };
    status = space_map(spaces[at], &request, &out);
    TRACE("%u: space %u: map %u pages at %u, kind %d object %u index %u access %u flags %u: %s", operations,
          at, count, first, kind, object, index, access, request.flags, status_name(status));
    if (status == ST_NO_MEMORY)
        return;
    if (careful && any_mapped(model[at], first, count)) {
        EXPECT_STATUS(status, ST_MAPPED);
        return;
    }
    EXPECT(status == ST_OK && out.v == PAGE_AT(first));
    for (unsigned i = 0; i < count; i++)
        model_map(&model[at][first + i], kind, access, object, kind == ANON ? 0 : index + i);
    if ((request.flags & (SPACE_POPULATE | SPACE_AHEAD | SPACE_AHEAD_LAST)) == 0 || kind != PRIVATE ||
        (access & ACCESS_WRITE) == 0)
        return;
    settle_copies(at, first, count);
}

static void op_unmap(struct input *input, unsigned at)
{
    unsigned first, count;
    enum status status;

    take_range(input, &first, &count);
    status = space_unmap(spaces[at], vaddr(PAGE_AT(first)), (uint64_t)count * PAGE_SIZE);
    TRACE("%u: space %u: unmap %u pages at %u: %s", operations, at, count, first, status_name(status));
    if (status == ST_NO_MEMORY)
        return;
    EXPECT_STATUS(status, ST_OK);
    memset(&model[at][first], 0, count * sizeof(model[at][0]));
}

static void op_protect(struct input *input, unsigned at)
{
    unsigned first, count, access;
    enum status status;

    take_range(input, &first, &count);
    access = take_access(input);
    status = space_protect(spaces[at], vaddr(PAGE_AT(first)), (uint64_t)count * PAGE_SIZE, access);
    TRACE("%u: space %u: protect %u pages at %u, access %u: %s", operations, at, count, first, access,
          status_name(status));
    if (status == ST_NO_MEMORY)
        return;
    EXPECT_STATUS(status, (all_mapped(model[at], first, count) ? ST_OK : ST_NOT_MAPPED));
    for (unsigned i = first; i < first + count && model[at][i].kind != NOTHING; i++)
        model[at][i].access = (uint8_t)access;
}

static void op_advise(struct input *input, unsigned at)
{
    unsigned first, count;
    enum space_advice advice = (enum space_advice)(take(input) % (ADVICE_FREE + 1));
    enum status status;

    take_range(input, &first, &count);
    if (take(input) % 2 != 0)
        advice = next_word % 2 != 0 ? ADVICE_DONT_NEED : ADVICE_FREE;
    status = space_advise(spaces[at], vaddr(PAGE_AT(first)), (uint64_t)count * PAGE_SIZE, advice);
    TRACE("%u: space %u: advise %u pages at %u, advice %d: %s", operations, at, count, first, advice,
          status_name(status));
    if (status == ST_NO_MEMORY)
        return;
    EXPECT_STATUS(status, (all_mapped(model[at], first, count) ? ST_OK : ST_NOT_MAPPED));
    for (unsigned i = first; i < first + count; i++) {
        struct page *p = &model[at][i];

        p->lazy |= advice == ADVICE_FREE && p->kind == ANON;
        if (advice != ADVICE_DONT_NEED)
            continue;
        p->own = p->lazy = false;
        p->word = 0;
        p->ground = 0;
    }
}

static void op_move(struct input *input, unsigned at)
{
    struct page moved[PAGES] = {0};
    struct page last;
    unsigned first, count, to, new_count;
    struct vaddr out;
    enum status status;

    take_range(input, &first, &count);
    take_range(input, &to, &new_count);
    switch (take(input) % 4) {
    case 0: /* whole leaf tables may move */
        to = (first + 512 * (1 + to % 3)) % PAGES;
        new_count = count < PAGES - to ? count : PAGES - to;
        break;
    case 1: /* a region that is there, as it is */
        while (first > 0 && model[at][first].kind != NOTHING &&
               model[at][first - 1].kind == model[at][first].kind)
            first--;
        for (count = 1; first + count < PAGES && model[at][first + count].kind == model[at][first].kind;
             count++)
            ;
        to = (first + 512 * (1 + to % 3)) % PAGES;
        new_count = count < PAGES - to ? count : PAGES - to;
        break;
    default:
        break;
    }
    status = space_move(spaces[at], vaddr(PAGE_AT(first)), (uint64_t)count * PAGE_SIZE,
                        (uint64_t)new_count * PAGE_SIZE, SPACE_MAY_MOVE | SPACE_MOVE_FIXED,
                        vaddr(PAGE_AT(to)), &out);
    TRACE("%u: space %u: move %u pages at %u to %u pages at %u: %s", operations, at, count, first, new_count,
          to, status_name(status));
    if (to < first + count && first < to + new_count)
        EXPECT(status != ST_OK);
    if (status != ST_OK) {
        /* As mremap(2), it may have cleared the new place before it failed. */
        struct space_region region;

        if (status != ST_NO_MEMORY || !any_mapped(model[at], to, new_count))
            return;
        if (!space_next_region(spaces[at], vaddr(PAGE_AT(to)), &region) ||
            region.start.v >= PAGE_AT(to + new_count))
            memset(&model[at][to], 0, new_count * sizeof(moved[0]));
        return;
    }
    EXPECT(all_mapped(model[at], first, count) && out.v == PAGE_AT(to));
    memcpy(moved, &model[at][first], count * sizeof(moved[0]));
    last = moved[count - 1];
    memset(&model[at][first], 0, count * sizeof(moved[0]));
    for (unsigned i = count; i < new_count; i++) {
        model_map(&moved[i], (enum kind)last.kind, last.access, last.object,
                  last.kind == ANON ? 0 : last.index + i - (count - 1));
        moved[i].locked = last.locked;
    }
    memcpy(&model[at][to], moved, new_count * sizeof(moved[0]));
    if (new_count > count && last.locked && last.kind == PRIVATE && last.access & ACCESS_WRITE)
        settle_copies(at, to + count, new_count - count);
}

static void op_lock(struct input *input, unsigned at)
{
    unsigned first, count, how = take(input);
    bool lock = how % 4 != 0;
    enum status status;

    take_range(input, &first, &count);
    status = space_lock(spaces[at], vaddr(PAGE_AT(first)), (uint64_t)count * PAGE_SIZE, lock);
    TRACE("%u: space %u: %s %u pages at %u: %s", operations, at, lock ? "lock" : "unlock", count, first,
          status_name(status));
    if (status == ST_NO_MEMORY)
        return;
    EXPECT_STATUS(status, (all_mapped(model[at], first, count) ? ST_OK : ST_NOT_MAPPED));
    for (unsigned i = first; i < first + count && model[at][i].kind != NOTHING; i++)
        model[at][i].locked = lock;
}

static void op_fork(struct input *input, unsigned at)
{
    unsigned child = take(input) % SPACES;

    if (spaces[child] != NULL || space_fork(spaces[at], &spaces[child]) != ST_OK) {
        EXPECT(spaces[child] == NULL || child == at || spaces[child] != spaces[at]);
        return;
    }
    TRACE("%u: space %u: fork to %u", operations, at, child);
    memcpy(model[child], model[at], sizeof(model[at]));
    for (unsigned i = 0; i < PAGES; i++)
        model[child][i].locked = false;
}

static void op_end(struct input *input, unsigned at)
{
    unsigned living = 0;

    for (unsigned i = 0; i < SPACES; i++)
        living += spaces[i] != NULL;
    if (living < 2)
        return;
    TRACE("%u: space %u: end", operations, at);
    space_unref(spaces[at]);
    spaces[at] = NULL;
    memset(model[at], 0, sizeof(model[at]));
    (void)input;
}

static void op_resize(struct input *input, unsigned at)
{
    struct model_object *m = &objects[take(input) % OBJECTS];
    uint64_t pages = take16(input) % (OBJECT_PAGES + 1);
    enum status status = object_resize(m->object, pages * PAGE_SIZE);

    (void)at;
    TRACE("%u: object %td: resize to %llu pages: %s", operations, m - objects, (unsigned long long)pages,
          status_name(status));
    EXPECT_STATUS(status, ST_OK);
    for (uint64_t i = pages; i < m->pages; i++) {
        m->word[i] = 0;
        m->ground[i] = 0;
        if (m->store != NULL)
            memset(m->store + i * PAGE_SIZE, 0, PAGE_SIZE);
    }
    for (unsigned space = 0; pages < m->pages && space < SPACES; space++)
        for (unsigned i = 0; i < PAGES; i++) /* private copies go too */
            if (model[space][i].own && &objects[model[space][i].object] == m &&
                model[space][i].index >= pages)
                model[space][i].own = false;
    m->pages = pages;
}

static void op_object_io(struct input *input, unsigned at)
{
    struct model_object *m = &objects[take(input) % OBJECTS];
    uint64_t index = take16(input) % OBJECT_PAGES, word = ++next_word, back = 0;
    size_t done = 0;
    enum status status;

    (void)at;
    if (take(input) % 2 != 0) {
        status = object_write(m->object, index * PAGE_SIZE, &word, 8, &done);
        EXPECT(status == (index < m->pages ? ST_OK : ST_BEYOND_END) || status == ST_NO_MEMORY);
        if (status == ST_OK)
            m->word[index] = word;
    } else {
        status = object_read(m->object, index * PAGE_SIZE, &back, 8, &done);
        EXPECT(status == ST_OK || status == ST_NO_MEMORY);
        if (status == ST_OK && index < m->pages)
            EXPECT(done == 8 && back == m->word[index]);
    }
}

static void op_sync(struct input *input, unsigned at)
{
    struct model_object *m = &objects[take(input) % STORED];
    enum status status = object_sync(m->object, 0, UINT64_MAX);

    (void)at;
    EXPECT(status == ST_OK || status == ST_NO_MEMORY);
    if (status != ST_OK)
        return;
    for (uint64_t i = 0; i < m->pages; i++)
        EXPECT(memcmp(m->store + i * PAGE_SIZE, &m->word[i], 8) == 0);
}

static void op_reclaim(struct input *input, unsigned at)
{
    (void)at;
    TRACE("%u: reclaim, drop or prefetch", operations);
    switch (take(input) % 4) {
    case 0:
        object_drop(objects[take(input) % OBJECTS].object, take16(input), 100);
        break;
    case 1:
        object_prefetch(objects[take(input) % OBJECTS].object, take16(input) % OBJECT_PAGES, 50);
        break;
    default:
        reclaim(1 + take(input));
    }
}

/* Private pages, and those of objects without a store, leave memory. */
static void op_page_out(struct input *input, unsigned at)
{
    unsigned first, count, out;

    take_range(input, &first, &count);
    if (take(input) % 2 != 0) {
        space_page_out(spaces[at], vaddr(PAGE_AT(first)), (uint64_t)count * PAGE_SIZE);
        out = 0;
    } else {
        out = swap_test.slots != 0 ? page_out(spaces[at], PAGE_AT(first), count) : 0;
    }
    TRACE("%u: space %u: page out %u pages at %u: %u left", operations, at, count, first, out);
    (void)out;
}

static void one_operation(struct input *input)
{
    unsigned what = take(input), at = take_space(input);

    if (take(input) % 6 == 0) {
        unsigned n = 1 + take(input) % 12;

        TRACE("%u: allocation %u fails", operations, n);
        frames_fail_after(n);
    }
    sim_become_cpu(what / 22 % 3);
    switch (what % 22) {
    case 0:
        op_map(input, at, ANON);
        break;
    case 1:
        op_map(input, at, PRIVATE);
        break;
    case 2:
        op_map(input, at, SHARED);
        break;
    case 3:
        op_unmap(input, at);
        break;
    case 4:
        op_incore(input, at);
        break;
    case 5:
        op_protect(input, at);
        break;
    case 6:
        op_advise(input, at);
        break;
    case 7:
        op_move(input, at);
        break;
    case 8:
        op_fork(input, at);
        break;
    case 9:
        op_lock(input, at);
        break;
    case 10:
        op_end(input, at);
        break;
    case 11:
        op_resize(input, at);
        break;
    case 12:
        op_object_io(input, at);
        break;
    case 13:
        op_sync(input, at);
        break;
    case 14:
        op_reclaim(input, at);
        break;
    case 15:
    case 16:
        op_get(input, at);
        break;
    case 17:
        op_put_run(input, at);
        break;
    case 18:
    case 19:
        op_page_out(input, at);
        break;
    default:
        op_put(input, at);
    }
    frames_fail_after(0);
}

/* ------------------------------------------------------------------ one input */

static uint64_t slab_before;

static void begin(uint64_t bytes, uint32_t slots)
{
    enum status status;

    sim_boot(bytes);
    status = vm_init(sim_kernel_root());
    EXPECT_STATUS(status, ST_OK);
    object_unref(object_create(NULL, NULL, 0)); /* the table of numbers stays */
    if (slots != 0)
        swap_test_begin(slots);
    slab_before = slab_live();
    slab_trim();
    memset(model, 0, sizeof(model));
    memset(spaces, 0, sizeof(spaces));
    operations = 0;
    next_word = 0;
}

static void end(uint64_t free_before)
{
    for (unsigned at = 0; at < SPACES; at++) {
        for (unsigned page = 0; spaces[at] != NULL && page < PAGES; page += 1 + page % 3)
            get_and_compare(at, page);
    }
    check_everything();
    for (unsigned at = 0; at < SPACES; at++)
        if (spaces[at] != NULL)
            space_unref(spaces[at]);
    for (unsigned i = 0; i < OBJECTS; i++) {
        EXPECT(object_mapped(objects[i].object) == 0);
        object_unref(objects[i].object);
        for (uint64_t page = 0; objects[i].store != NULL && page < objects[i].pages; page++)
            EXPECT(memcmp(objects[i].store + page * PAGE_SIZE, &objects[i].word[page], 8) == 0);
        free(objects[i].store);
    }
    EXPECT(slab_live() == slab_before);
    slab_trim();
    EXPECT(frames_free() == free_before);
    frames_check();
    swap_test_end();
    sim_shutdown();
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    struct input input = {data, size};
    uint64_t free_before;
    enum status status;

    tracing = getenv("QUIRE_FUZZ_TRACE") != NULL;
    begin((uint64_t[]){8, 12, 20, 32}[take(&input) % 4] * MIB,
          (uint32_t[]){0, 50, 300, 4000}[take(&input) % 4]);
    free_before = frames_free();
    for (unsigned i = 0; i < OBJECTS; i++)
        make_object(i);
    status = space_create(&spaces[0]);
    EXPECT_STATUS(status, ST_OK);
    while (input.left > 0) {
        one_operation(&input);
        operations++;
        for (unsigned at = 0; at < SPACES; at++)
            if (spaces[at] != NULL)
                compare_regions(at);
        if (operations % 16 == 0)
            check_everything();
    }
    end(free_before);
    return 0;
}

/*
 * Operations of the page-table library beyond mapping and unmapping, case by case, in every way of reaching
 * tables; and the promise to flush.
 */
#include "pt_fixture.h"

#include "quire/pt_cursor.h"
#include "quire/pt_tlb.h"

#include <stdlib.h>
#include <string.h>

/* Where the half of the root's entries with the greater numbers begins. */
#define UPPER_HALF ((PT_ROOT_HALVES == 2 ? ~(uint64_t)0 : (uint64_t)1) << (pt_level_shift(PT_LEVELS + 1) - 1))
/* The last address of all, the last below that half, and one that no root translates. */
#define LAST_ADDRESS (PT_ROOT_HALVES == 2 ? ~(uint64_t)0 : 2 * UPPER_HALF - 1)
#define LAST_LOWER (((uint64_t)1 << (pt_level_shift(PT_LEVELS + 1) - 1)) - 1)
#define NOWHERE ((uint64_t)1 << 62)

static enum status protect(struct fixture *f, uint64_t start, uint64_t bytes, uint32_t set, uint32_t clear)
{
    return pt_flush_ignore(
        pt_protect(&f->pt, vaddr(start), bytes, pt_flags(set), pt_flags(clear), PT_SPLIT_HUGE));
}

/* Every frame that is taken, to see that a failed call changes none. */
struct snapshot {
    unsigned char state[MACHINE_FRAMES];
    unsigned char *memory;
};

static struct snapshot snapshot_take(const struct fixture *f)
{
    struct snapshot snapshot = {.memory = malloc(MACHINE_FRAMES * PAGE_SIZE)};

    memcpy(snapshot.state, f->machine->state, sizeof snapshot.state);
    for (size_t i = 0; i < MACHINE_FRAMES; i++)
        if (snapshot.state[i])
            memcpy(snapshot.memory + i * PAGE_SIZE, f->machine->memory + i * PAGE_SIZE, PAGE_SIZE);
    return snapshot;
}

static void snapshot_check(const struct fixture *f, struct snapshot snapshot)
{
    assert_memory_equal(snapshot.state, f->machine->state, sizeof snapshot.state);
    for (size_t i = 0; i < MACHINE_FRAMES; i++)
        if (snapshot.state[i])
            assert_memory_equal(snapshot.memory + i * PAGE_SIZE, f->machine->memory + i * PAGE_SIZE,
                                PAGE_SIZE);
    free(snapshot.memory);
}

/* Runs the call with an allocator that fails at the first frame, the second, ...: each time nothing may have
 * changed, until it needs no more. Gives the status then; `*frames` (may be NULL) is how many it took. */
static enum status fail_each(struct fixture *f, enum status (*call)(struct fixture *, void *), void *argument,
                             uint64_t *frames)
{
    for (uint64_t n = 0;; n++) {
        struct snapshot before = snapshot_take(f);
        enum status status;

        f->machine->takes = 0;
        f->machine->fail_after = n;
        status = call(f, argument);
        f->machine->fail_after = ~(uint64_t)0;
        if (status == ST_OK) {
            free(before.memory);
            if (frames)
                *frames = n;
            return status;
        }
        snapshot_check(f, before);
        if (status != ST_NO_MEMORY)
            return status;
    }
}

/* ------------------------------------------------------------------ batches */

struct flushes {
    unsigned count;
    uint64_t pages;
    struct {
        uint64_t start, pages;
    } seen[64];
};

static void note_flush(void *context, struct vaddr start, uint64_t pages, enum pt_flush_kind kind)
{
    struct flushes *flushes = context;

    if (flushes->count < 64) {
        flushes->seen[flushes->count].start = start.v;
        flushes->seen[flushes->count].pages = pages;
    }
    flushes->count++;
    flushes->pages += pages;
}

/* Unmaps `count` pages, one call each, `distance` pages apart, in a batch. */
static struct flushes flushes_of(struct fixture *f, unsigned count, uint64_t distance)
{
    struct flushes flushes = {0};
    struct pt_flusher flusher = {.flush = note_flush, .context = &flushes};
    struct pt_batch batch;

    pt_batch_init(&batch, &f->alloc, &flusher, NULL, 0);
    for (unsigned i = 0; i < count; i++) {
        uint64_t at = FOUR_GIB + i * distance * PAGE_SIZE;

        assert_ok(map(f, at, 0, PAGE_SIZE, PT_SIZE_4K));
        assert_ok(pt_batch_add(&batch, pt_unmap(&f->pt, vaddr(at), PAGE_SIZE, PT_STRICT)));
    }
    pt_batch_finish(&batch);
    return flushes;
}

static void a_batch_flushes_32_pages_one_by_one_then_all(void **state)
{
    struct fixture fixture, *f = &fixture;
    struct flushes flushes;

    fixture_open(f, WAY_OFFSET);
    flushes = flushes_of(f, 3, 100000); /* far apart: nothing between them is flushed */
    assert_int_equal(flushes.count, 3);
    assert_int_equal(flushes.pages, 3);
    assert_int_equal(flushes.seen[2].start, FOUR_GIB + 200000 * PAGE_SIZE);
    flushes = flushes_of(f, PT_FLUSH_PAGES_MAX, 7);
    assert_int_equal(flushes.count, PT_FLUSH_PAGES_MAX);
    flushes = flushes_of(f, PT_FLUSH_PAGES_MAX + 1, 7);
    assert_int_equal(flushes.count, 1);
    assert_int_equal(flushes.seen[0].start, FOUR_GIB);
    assert_int_equal(flushes.pages, PT_FLUSH_PAGES_MAX * 7 + 1);
    flushes = flushes_of(f, 20, 1); /* neighbours are one range */
    assert_int_equal(flushes.count, 1);
    assert_int_equal(flushes.pages, 20);
    flushes = flushes_of(f, 40, 1);
    assert_int_equal(flushes.count, 1);
    assert_int_equal(flushes.pages, 40);
    fixture_close(f);
}

/* A range of more pages than can be flushed singly, then a page; and a batch that is used again. */
static void a_batch_covers_what_it_cannot_list(void **state)
{
    struct fixture fixture, *f = &fixture;
    struct flushes flushes = {0};
    struct pt_flusher flusher = {.flush = note_flush, .context = &flushes};
    struct pt_batch batch;

    fixture_open(f, WAY_OFFSET);
    assert_ok(map(f, FOUR_GIB, 0, HUGE_SIZE, PT_SIZE_4K));
    assert_ok(map(f, 2 * FOUR_GIB, 0, HUGE_SIZE, PT_SIZE_4K));
    pt_batch_init(&batch, &f->alloc, &flusher, NULL, 0);
    assert_ok(pt_batch_add(&batch, pt_unmap(&f->pt, vaddr(2 * FOUR_GIB), PAGE_SIZE, PT_STRICT)));
    assert_ok(pt_batch_add(&batch, pt_unmap(&f->pt, vaddr(FOUR_GIB), 33 * PAGE_SIZE, PT_STRICT)));
    pt_batch_finish(&batch);
    assert_int_equal(flushes.count, 1);
    assert_int_equal(flushes.seen[0].start, FOUR_GIB);
    assert_int_equal(flushes.pages, FOUR_GIB / PAGE_SIZE + 1);
    assert_ok(pt_batch_add(&batch,
                           pt_unmap(&f->pt, vaddr(2 * FOUR_GIB + 5 * PAGE_SIZE), 2 * PAGE_SIZE, PT_STRICT)));
    pt_batch_finish(&batch);
    assert_int_equal(flushes.count, 2);
    assert_int_equal(flushes.seen[1].pages, 2);
    pt_batch_finish(&batch); /* nothing was added */
    assert_int_equal(flushes.count, 2);
    fixture_close(f);
}

/* What give_pages() was given, and what came singly. */
struct returned {
    unsigned many, pages, single;
    uint64_t sum;
};

static void note_pages(void *context, const struct paddr *pages, unsigned count)
{
    struct returned *returned = context;

    returned->many++;
    returned->pages += count;
    for (unsigned i = 0; i < count; i++)
        returned->sum += pages[i].v;
}

static void note_one_page(void *context, struct paddr page, unsigned level)
{
    struct returned *returned = context;

    assert_int_equal(level, 2);
    assert_int_equal(page.v, FOUR_GIB);
    returned->single++;
}

static void note_table(void *context, struct paddr frame)
{
}

static void pages_come_back_many_at_a_time(void **state)
{
    struct fixture fixture, *f = &fixture;
    struct returned returned = {0};
    struct pt_alloc alloc = {
        .give = note_table, .give_page = note_one_page, .give_pages = note_pages, .context = &returned};
    uint64_t storage[32], sum = 0;
    struct pt_batch batch;

    fixture_open(f, WAY_OFFSET);
    assert_ok(map(f, FOUR_GIB - 100 * PAGE_SIZE, 0x1000000, 100 * PAGE_SIZE, PT_SIZE_4K));
    assert_ok(map(f, FOUR_GIB, FOUR_GIB, HUGE_SIZE, PT_SIZE_2M));
    for (uint64_t i = 0; i < 100; i++)
        sum += 0x1000000 + i * PAGE_SIZE;
    pt_batch_init(&batch, &alloc, NULL, storage, 32);
    assert_ok(pt_unmap_give(&f->pt, vaddr(FOUR_GIB - 100 * PAGE_SIZE), 100 * PAGE_SIZE + HUGE_SIZE, PT_STRICT,
                            &batch));
    pt_batch_finish(&batch);
    assert_int_equal(returned.pages, 100);
    assert_int_equal(returned.sum, sum);
    assert_true(returned.many < 100);
    assert_int_equal(returned.single, 1);
    fixture_close(f);
}

/* ------------------------------------------------------------------ spaces with numbers, and several CPUs */

enum { CPUS = 3, SPACES = 4, CPU_PAGES = 64 };

/* What each CPU holds of each space: the pages from FOUR_GIB on. */
struct cpus {
    bool holds[CPUS][SPACES][CPU_PAGES];
    unsigned now; /* the one that runs */
    unsigned told, singly, whole;
    const struct pt_tlb *tlb;
};

static void forget_page(void *context, unsigned space, struct vaddr page, enum pt_flush_kind kind)
{
    struct cpus *cpus = context;

    cpus->holds[cpus->now][space][(page.v - FOUR_GIB) / PAGE_SIZE] = false;
    cpus->singly++;
}

static void forget_space(void *context, unsigned space, enum pt_flush_kind kind)
{
    struct cpus *cpus = context;

    memset(cpus->holds[cpus->now][space], 0, sizeof cpus->holds[cpus->now][space]);
    cpus->whole++;
}

static void tell_others(void *context, const struct pt_tlb_order *order)
{
    struct cpus *cpus = context;
    unsigned self = cpus->now;

    for (cpus->now = 0; cpus->now < CPUS; cpus->now++)
        if (cpus->now != self)
            pt_tlb_obey(cpus->tlb, order);
    cpus->now = self;
    cpus->told++;
}

static unsigned held(const struct cpus *cpus, unsigned space)
{
    unsigned count = 0;

    for (unsigned cpu = 0; cpu < CPUS; cpu++)
        for (unsigned i = 0; i < CPU_PAGES; i++)
            count += cpus->holds[cpu][space][i];
    return count;
}

static void every_cpu_forgets_the_space_it_is_told(void **state)
{
    struct fixture fixture, *f = &fixture;
    struct cpus cpus = {.now = 1};
    struct pt_tlb tlb = {.space = 2,
                         .forget_page = forget_page,
                         .forget_space = forget_space,
                         .tell_others = tell_others,
                         .context = &cpus};
    struct pt_flusher flusher = pt_tlb_flusher(&tlb);

    cpus.tlb = &tlb;
    memset(cpus.holds, 1, sizeof cpus.holds);
    fixture_open(f, WAY_OFFSET);
    assert_ok(map(f, FOUR_GIB, 0, CPU_PAGES * PAGE_SIZE, PT_SIZE_4K));
    assert_ok(pt_flush_now(pt_unmap(&f->pt, vaddr(FOUR_GIB), 5 * PAGE_SIZE, PT_STRICT), &flusher));
    assert_int_equal(held(&cpus, 2), CPUS * (CPU_PAGES - 5));
    assert_int_equal(cpus.told, 1);
    assert_int_equal(cpus.singly, CPUS * 5);
    assert_int_equal(cpus.whole, 0);
    assert_ok(
        pt_flush_now(pt_unmap(&f->pt, vaddr(FOUR_GIB + 5 * PAGE_SIZE), 32 * PAGE_SIZE, PT_STRICT), &flusher));
    assert_int_equal(cpus.whole, 0);
    assert_int_equal(held(&cpus, 2), CPUS * (CPU_PAGES - 37));
    /* more than 32: everything of the space, and nothing of others */
    assert_ok(pt_flush_now(pt_protect(&f->pt, vaddr(FOUR_GIB + 37 * PAGE_SIZE), PAGE_SIZE, pt_flags(0),
                                      pt_flags(PT_FLAG_WRITE), PT_STRICT),
                           &flusher));
    assert_int_equal(cpus.whole, 0);
    assert_ok(map(f, FOUR_GIB, 0, 37 * PAGE_SIZE, PT_SIZE_4K));
    assert_ok(pt_flush_now(pt_unmap(&f->pt, vaddr(FOUR_GIB), 33 * PAGE_SIZE, PT_STRICT), &flusher));
    assert_int_equal(cpus.whole, CPUS);
    assert_int_equal(held(&cpus, 2), 0);
    for (unsigned space = 0; space < SPACES; space++)
        assert_int_equal(held(&cpus, space), space == 2 ? 0 : CPUS * CPU_PAGES);
    /* alone, and through a batch */
    struct pt_batch batch;

    tlb.tell_others = NULL;
    tlb.space = 1;
    pt_batch_init(&batch, &f->alloc, &flusher, NULL, 0);
    assert_ok(pt_batch_add(&batch, pt_unmap(&f->pt, vaddr(FOUR_GIB + 40 * PAGE_SIZE), PAGE_SIZE, PT_STRICT)));
    assert_ok(pt_batch_add(&batch, pt_unmap(&f->pt, vaddr(FOUR_GIB + 50 * PAGE_SIZE), PAGE_SIZE, PT_STRICT)));
    pt_batch_finish(&batch);
    assert_int_equal(held(&cpus, 1), CPUS * CPU_PAGES - 2);
    fixture_close(f);
}

/* ------------------------------------------------------------------ a caller's functions */

/* What is shown is hidden, and never more of it than was said (pt_machine.c looks on), in walks of whole
 * trees too. */
IN_EVERY_WAY(whole_trees_are_walked)
{
    struct pt_counts counts;

    for (uint64_t half = 0; half < 2; half++)
        for (unsigned i = 0; i < 20; i++)
            assert_ok(map(f, half * UPPER_HALF + i * 0x123450000, 0, 3 * PAGE_SIZE, PT_SIZE_4K));
    assert_ok(pt_check(&f->pt, NULL, &counts));
    assert_true(counts.pages[1] >= 120);
}

/* ------------------------------------------------------------------ lists */

static enum status call_map_list(struct fixture *f, void *argument)
{
    return pt_flush_ignore(pt_map_list(&f->pt, argument));
}

IN_EVERY_WAY(a_list_maps_each_of_its_frames)
{
    struct paddr frames[700];
    struct pt_map_list request = {.start = vaddr(FOUR_GIB - 300 * PAGE_SIZE),
                                  .frames = frames,
                                  .count = 700,
                                  .flags = pt_flags(PT_FLAG_WRITE | PT_FLAG_USER)};
    unsigned before = f->machine->taken;
    uint64_t took;

    for (uint64_t i = 0; i < 700; i++)
        frames[i] = paddr((i * 7919 % 4099) * PAGE_SIZE);
    assert_ok(fail_each(f, call_map_list, &request, &took));
    assert_int_equal(f->machine->taken - before, took);
    assert_int_equal(took, pt_tables_needed(request.start, paddr(0), 700 * PAGE_SIZE, PT_SIZE_4K));
    for (uint64_t i = 0; i < 700; i++) {
        struct pt_translation page = translate(f, request.start.v + i * PAGE_SIZE + 5, ST_OK);

        assert_int_equal(page.paddr.v, frames[i].v + 5);
        assert_int_equal(page.flags.bits, PT_FLAG_WRITE | PT_FLAG_USER);
    }
    translate(f, request.start.v - 1, ST_NOT_MAPPED);
    translate(f, request.start.v + 700 * PAGE_SIZE, ST_NOT_MAPPED);
}

IN_EVERY_WAY(a_list_says_what_is_in_the_way)
{
    struct paddr frames[] = {{0x5000}, {0x1000}, {0x9000}};
    struct pt_map_list request = {.start = vaddr(FOUR_GIB), .frames = frames, .count = 3};
    struct snapshot before;

    assert_ok(map(f, FOUR_GIB + 2 * PAGE_SIZE, 0x77000, PAGE_SIZE, PT_SIZE_4K));
    before = snapshot_take(f);
    assert_status(call_map_list(f, &request), ST_MAPPED);
    assert_int_equal(request.at.v, FOUR_GIB + 2 * PAGE_SIZE);
    assert_int_equal(request.found_level, 1);
    assert_int_equal(pt_entry_paddr(request.found).v, 0x77000);
    snapshot_check(f, before);
    assert_ok(mark(f, 2 * FOUR_GIB, PAGE_SIZE, 5));
    request.start = vaddr(2 * FOUR_GIB - 2 * PAGE_SIZE); /* its tables are missing in part */
    before = snapshot_take(f);
    assert_status(call_map_list(f, &request), ST_MAPPED);
    assert_int_equal(request.at.v, 2 * FOUR_GIB);
    assert_int_equal(pt_entry_mark(request.found).value, 5);
    snapshot_check(f, before);
    assert_ok(map(f, 3 * FOUR_GIB, 0, HUGE_SIZE, PT_SIZE_2M));
    request.start = vaddr(3 * FOUR_GIB + PAGE_SIZE);
    assert_status(call_map_list(f, &request), ST_HUGE_PAGE);
    assert_int_equal(request.at.v, 3 * FOUR_GIB);
    assert_int_equal(request.found_level, 2);
    request.start = vaddr(5 * FOUR_GIB);
    frames[1] = paddr(0x1800);
    assert_status(call_map_list(f, &request), ST_NOT_ALIGNED);
    assert_int_equal(request.at.v, 5 * FOUR_GIB + PAGE_SIZE);
    frames[1] = paddr((uint64_t)1 << 60);
    assert_status(call_map_list(f, &request), ST_INVALID);
    frames[1] = paddr(0x1000);
    request.count = 0;
    assert_status(call_map_list(f, &request), ST_INVALID);
    request.count = ~(uint64_t)0;
    assert_status(call_map_list(f, &request), ST_NOT_CANONICAL);
}

IN_EVERY_WAY(a_list_of_huge_frames)
{
    struct paddr frames[] = {{5 * HUGE_SIZE}, {HUGE_SIZE}, {0}};
    struct pt_map_list request = {
        .start = vaddr(FOUR_GIB - HUGE_SIZE), .frames = frames, .count = 3, .size = PT_SIZE_2M};

    assert_ok(fail_each(f, call_map_list, &request, NULL));
    for (uint64_t i = 0; i < 3; i++) {
        struct pt_translation page = translate(f, request.start.v + i * HUGE_SIZE + 0x12345, ST_OK);

        assert_int_equal(page.level, 2);
        assert_int_equal(page.paddr.v, frames[i].v + 0x12345);
    }
    frames[2] = paddr(PAGE_SIZE);
    request.start = vaddr(2 * FOUR_GIB);
    assert_status(call_map_list(f, &request), ST_NOT_ALIGNED);
}

IN_EVERY_WAY(identity)
{
    struct pt_map request = {.to = paddr(FOUR_GIB), .length_bytes = 2 * HUGE_SIZE};

    assert_ok(pt_flush_ignore(pt_map_identity(&f->pt, &request)));
    assert_int_equal(translate(f, FOUR_GIB + 0x234567, ST_OK).paddr.v, FOUR_GIB + 0x234567);
    request.to = paddr(FOUR_GIB + HUGE_SIZE);
    assert_status(pt_flush_ignore(pt_map_identity(&f->pt, &request)), ST_MAPPED);
    assert_int_equal(request.at.v, FOUR_GIB + HUGE_SIZE);
}

/* ------------------------------------------------------------------ flags of one level */

static enum status protect_level(struct fixture *f, uint64_t start, uint64_t bytes, unsigned level,
                                 uint32_t set, uint32_t clear, unsigned options)
{
    return pt_flush_ignore(
        pt_protect_level(&f->pt, vaddr(start), bytes, level, pt_flags(set), pt_flags(clear), options));
}

/* Do the format's tables take rights from what is below them? */
static bool tables_withhold(uint32_t flags)
{
    struct pt_masks masks;

    return pt_table_masks(pt_flags(0), pt_flags(flags), &masks);
}

/* Where an entry that points to a table is one without rights, a right would make it a page. */
static void a_table_without_rights_stays_one(struct fixture *f)
{
    struct snapshot before;

    assert_ok(map(f, FOUR_GIB, 0x1000, PAGE_SIZE, PT_SIZE_4K));
    before = snapshot_take(f);
    assert_status(protect_level(f, FOUR_GIB, HUGE_SIZE, 2, PT_FLAG_EXEC, 0, PT_STRICT), ST_UNSUPPORTED);
    assert_status(protect_level(f, FOUR_GIB, HUGE_SIZE, 2, PT_FLAG_WRITE, 0, PT_STRICT), ST_UNSUPPORTED);
    snapshot_check(f, before);
    assert_ok(protect_level(f, FOUR_GIB, HUGE_SIZE, 2, PT_FLAG_SOFT_0, 0, PT_STRICT));
    assert_int_equal(translate(f, FOUR_GIB, ST_OK).paddr.v, 0x1000);
}

/* "Changing the flags of a 2 MiB page that is a table turns it into a page": it must not. */
IN_EVERY_WAY(flags_of_a_table_leave_it_a_table)
{
    struct pt_counts before, after;

    if (!tables_withhold(PT_FLAG_EXEC)) {
        a_table_without_rights_stays_one(f);
        return;
    }
    assert_ok(map(f, FOUR_GIB, 0x1000, 3 * PAGE_SIZE, PT_SIZE_4K));
    assert_ok(protect(f, FOUR_GIB, 3 * PAGE_SIZE, PT_FLAG_USER | PT_FLAG_EXEC, 0));
    assert_ok(pt_check(&f->pt, NULL, &before));
    assert_ok(protect_level(f, FOUR_GIB, HUGE_SIZE, 2, 0, PT_FLAG_EXEC, PT_STRICT));
    assert_ok(pt_check(&f->pt, NULL, &after)); /* live counts, too */
    assert_memory_equal(&before, &after, sizeof before);
    for (uint64_t i = 0; i < 3; i++) {
        struct pt_translation page = translate(f, FOUR_GIB + i * PAGE_SIZE, ST_OK);

        assert_int_equal(page.level, 1);
        assert_int_equal(page.paddr.v, 0x1000 + i * PAGE_SIZE);
        assert_int_equal(page.flags.bits, PT_FLAG_WRITE | PT_FLAG_USER); /* the table withholds it */
    }
    assert_ok(protect_level(f, FOUR_GIB, HUGE_SIZE, 2, PT_FLAG_EXEC, 0, PT_STRICT));
    assert_int_equal(translate(f, FOUR_GIB, ST_OK).flags.bits, PT_FLAG_WRITE | PT_FLAG_USER | PT_FLAG_EXEC);
    /* at every level above */
    for (unsigned level = 3; level <= PT_LEVELS; level++) {
        uint64_t span = pt_level_span(level);

        assert_ok(protect_level(f, align_down(FOUR_GIB, span), span, level, 0, PT_FLAG_EXEC, PT_STRICT));
        assert_int_equal(translate(f, FOUR_GIB, ST_OK).flags.bits, PT_FLAG_WRITE | PT_FLAG_USER);
        assert_ok(protect_level(f, align_down(FOUR_GIB, span), span, level, PT_FLAG_EXEC, 0, PT_STRICT));
    }
    assert_int_equal(translate(f, FOUR_GIB, ST_OK).flags.bits, PT_FLAG_WRITE | PT_FLAG_USER | PT_FLAG_EXEC);
}

IN_EVERY_WAY(flags_of_pages_and_tables_side_by_side)
{
    if (!tables_withhold(PT_FLAG_EXEC))
        return;
    assert_ok(map(f, FOUR_GIB, 0, HUGE_SIZE, PT_SIZE_2M));
    assert_ok(map(f, FOUR_GIB + HUGE_SIZE, 0x1000, PAGE_SIZE, PT_SIZE_4K));
    assert_ok(protect(f, FOUR_GIB, HUGE_SIZE + PAGE_SIZE, PT_FLAG_EXEC, 0));
    assert_ok(protect_level(f, FOUR_GIB, 2 * HUGE_SIZE, 2, 0, PT_FLAG_EXEC, PT_STRICT));
    assert_int_equal(translate(f, FOUR_GIB, ST_OK).level, 2);
    assert_int_equal(translate(f, FOUR_GIB, ST_OK).flags.bits, PT_FLAG_WRITE);
    assert_int_equal(translate(f, FOUR_GIB + HUGE_SIZE, ST_OK).level, 1);
    assert_int_equal(translate(f, FOUR_GIB + HUGE_SIZE, ST_OK).flags.bits, PT_FLAG_WRITE);
}

IN_EVERY_WAY(flags_of_a_level_are_refused)
{
    struct snapshot before;

    assert_ok(map(f, FOUR_GIB, 0, HUGE_SIZE, PT_SIZE_2M));
    assert_ok(map(f, 2 * FOUR_GIB, 0, GIANT_SIZE, PT_SIZE_1G));
    assert_ok(map(f, FOUR_GIB + 2 * HUGE_SIZE, 0x1000, PAGE_SIZE, PT_SIZE_4K));
    before = snapshot_take(f);
    assert_status(protect_level(f, FOUR_GIB, 3 * HUGE_SIZE, 2, 0, PT_FLAG_USER, PT_STRICT), ST_NOT_MAPPED);
    assert_status(protect_level(f, FOUR_GIB, HUGE_SIZE, 1, 0, PT_FLAG_USER, PT_STRICT), ST_HUGE_PAGE);
    assert_status(protect_level(f, 2 * FOUR_GIB, HUGE_SIZE, 2, 0, PT_FLAG_USER, PT_STRICT), ST_HUGE_PAGE);
    assert_status(protect_level(f, FOUR_GIB + 2 * HUGE_SIZE, HUGE_SIZE, 2, 0, PT_FLAG_DIRTY, PT_STRICT),
                  ST_UNSUPPORTED);
    assert_status(protect_level(f, FOUR_GIB + PAGE_SIZE, HUGE_SIZE, 2, 0, 0, PT_STRICT), ST_NOT_ALIGNED);
    assert_status(protect_level(f, FOUR_GIB, PAGE_SIZE, 2, 0, 0, PT_STRICT), ST_NOT_ALIGNED);
    assert_status(protect_level(f, FOUR_GIB, PAGE_SIZE, 0, 0, 0, PT_STRICT), ST_INVALID);
    assert_status(protect_level(f, 0, pt_level_span(PT_LEVELS), PT_LEVELS + 1, 0, 0, PT_STRICT), ST_INVALID);
    if (f->way == WAY_RECURSIVE)
        assert_status(protect_level(f, FOUR_GIB + 2 * HUGE_SIZE, HUGE_SIZE, 2, 0, PT_FLAG_WRITE, PT_STRICT),
                      ST_UNSUPPORTED);
    snapshot_check(f, before);
    assert_ok(protect_level(f, FOUR_GIB, 2 * HUGE_SIZE, 2, PT_FLAG_USER, 0, PT_SKIP_HOLES));
    assert_int_equal(translate(f, FOUR_GIB, ST_OK).flags.bits, PT_FLAG_WRITE | PT_FLAG_USER);
}

/* ------------------------------------------------------------------ harvest */

struct reaped {
    unsigned count, limit;
    struct pt_visit visits[16];
};

static bool note_page(void *context, const struct pt_visit *visit)
{
    struct reaped *reaped = context;

    if (reaped->count < 16)
        reaped->visits[reaped->count] = *visit;
    return ++reaped->count != reaped->limit;
}

static enum status call_harvest(struct fixture *f, void *argument)
{
    return pt_flush_ignore(pt_harvest(&f->pt, argument));
}

IN_EVERY_WAY(harvest_tests_and_clears)
{
    uint64_t accessed[20] = {0}, dirty[20] = {0}, wanted_accessed[20] = {0}, wanted_dirty[20] = {0};
    struct pt_harvest harvest = {.start = vaddr(FOUR_GIB + HUGE_SIZE - 100 * PAGE_SIZE),
                                 .length_bytes = 1200 * PAGE_SIZE,
                                 .clear = pt_flags(PT_FLAG_DIRTY),
                                 .accessed = accessed,
                                 .dirty = dirty};
    unsigned counts[2] = {0, 0};

    for (unsigned live = 0; live < 2; live++) {
        f->pt.live = live;
        memset(accessed, 0, sizeof accessed);
        memset(dirty, 0, sizeof dirty);
        memset(wanted_accessed, 0, sizeof accessed);
        memset(wanted_dirty, 0, sizeof dirty);
        counts[0] = counts[1] = 0;
        if (!live) /* 700 small pages and the first 500 of them again after a hole; then a huge page */
            assert_ok(map(f, harvest.start.v, 0x100000, 700 * PAGE_SIZE, PT_SIZE_4K));
        for (unsigned i = 0; i < 700; i++) {
            uint64_t at = harvest.start.v + i * PAGE_SIZE;
            uint32_t set = (i % 3 == 0 ? PT_FLAG_ACCESSED : 0) | (i % 7 == 0 ? PT_FLAG_DIRTY : 0);

            assert_ok(protect(f, at, PAGE_SIZE, set, PT_FLAG_ACCESSED | PT_FLAG_DIRTY));
            assert_ok(protect(f, at, PAGE_SIZE, set, 0));
            wanted_accessed[i / 64] |= (uint64_t)(i % 3 == 0) << i % 64;
            wanted_dirty[i / 64] |= (uint64_t)(i % 7 == 0) << i % 64;
            counts[0] += i % 3 == 0;
            counts[1] += i % 7 == 0;
        }
        assert_ok(call_harvest(f, &harvest));
        assert_memory_equal(accessed, wanted_accessed, sizeof accessed);
        assert_memory_equal(dirty, wanted_dirty, sizeof dirty);
        assert_int_equal(harvest.accessed_pages, counts[0]);
        assert_int_equal(harvest.dirty_pages, counts[1]);
        assert_int_equal(harvest.next.v, harvest.start.v + harvest.length_bytes);
        for (unsigned i = 0; i < 700; i++) /* dirty is cleared, accessed is not */
            assert_int_equal(translate(f, harvest.start.v + i * PAGE_SIZE, ST_OK).flags.bits,
                             PT_FLAG_WRITE | (i % 3 == 0 ? PT_FLAG_ACCESSED : 0));
    }
}

IN_EVERY_WAY(harvest_of_larger_pages_and_marks)
{
    uint64_t accessed[20] = {0}, dirty[20] = {0};
    struct reaped reaped = {0};
    struct pt_harvest harvest = {.start = vaddr(FOUR_GIB),
                                 .length_bytes = 2 * HUGE_SIZE,
                                 .clear = pt_flags(PT_FLAG_ACCESSED | PT_FLAG_DIRTY),
                                 .accessed = accessed,
                                 .dirty = dirty,
                                 .visitor = note_page,
                                 .context = &reaped};

    assert_ok(mark(f, FOUR_GIB, HUGE_SIZE, 0x3ffffffff));
    assert_ok(map(f, FOUR_GIB + HUGE_SIZE, 0, HUGE_SIZE, PT_SIZE_2M));
    assert_ok(protect(f, FOUR_GIB + HUGE_SIZE, HUGE_SIZE, PT_FLAG_ACCESSED | PT_FLAG_DIRTY, 0));
    assert_ok(call_harvest(f, &harvest));
    assert_int_equal(harvest.accessed_pages, 512);
    assert_int_equal(harvest.dirty_pages, 512);
    for (unsigned i = 0; i < 20; i++) {
        assert_int_equal(accessed[i], i >= 8 && i < 16 ? ~(uint64_t)0 : 0);
        assert_int_equal(dirty[i], accessed[i]);
    }
    assert_int_equal(reaped.count, 1);
    assert_int_equal(reaped.visits[0].start.v, FOUR_GIB + HUGE_SIZE);
    assert_int_equal(reaped.visits[0].level, 2);
    assert_int_equal(pt_entry_flags(reaped.visits[0].entry, reaped.visits[0].level).bits,
                     PT_FLAG_WRITE | PT_FLAG_ACCESSED | PT_FLAG_DIRTY);
    assert_int_equal(translate(f, FOUR_GIB + HUGE_SIZE, ST_OK).flags.bits, PT_FLAG_WRITE);
    assert_ok(call_harvest(f, &harvest)); /* nothing is left */
    assert_int_equal(harvest.accessed_pages + harvest.dirty_pages, 0);
}

IN_EVERY_WAY(harvest_splits_at_its_edges)
{
    struct pt_harvest harvest = {.start = vaddr(FOUR_GIB + GIANT_SIZE - PAGE_SIZE),
                                 .length_bytes = 2 * PAGE_SIZE,
                                 .clear = pt_flags(PT_FLAG_DIRTY)};
    uint64_t took;

    assert_ok(map(f, FOUR_GIB, 0, GIANT_SIZE, PT_SIZE_1G));
    assert_ok(map(f, FOUR_GIB + GIANT_SIZE, 0, HUGE_SIZE, PT_SIZE_2M));
    assert_ok(protect(f, FOUR_GIB, GIANT_SIZE + HUGE_SIZE, PT_FLAG_DIRTY, 0));
    assert_status(fail_each(f, call_harvest, &harvest, NULL), ST_HUGE_PAGE);
    harvest.options = PT_SPLIT_HUGE;
    assert_ok(fail_each(f, call_harvest, &harvest, &took));
    assert_int_equal(took, 3);
    assert_int_equal(harvest.dirty_pages, 2);
    assert_int_equal(translate(f, harvest.start.v, ST_OK).flags.bits, PT_FLAG_WRITE);
    assert_int_equal(translate(f, harvest.start.v + PAGE_SIZE, ST_OK).flags.bits, PT_FLAG_WRITE);
    assert_int_equal(translate(f, harvest.start.v - 1, ST_OK).flags.bits, PT_FLAG_WRITE | PT_FLAG_DIRTY);
    assert_int_equal(translate(f, harvest.start.v + 2 * PAGE_SIZE, ST_OK).flags.bits,
                     PT_FLAG_WRITE | PT_FLAG_DIRTY);
}

/* The visitor ends it, and it goes on from there: the hand of a clock. The promise covers what was cleared
 * only. */
static void harvest_goes_on_where_it_ended(void **state)
{
    struct reaped reaped = {.limit = 3};
    struct flushes flushes = {0};
    struct pt_flusher flusher = {.flush = note_flush, .context = &flushes};
    struct pt_harvest harvest = {.start = vaddr(FOUR_GIB),
                                 .length_bytes = 8 * PAGE_SIZE,
                                 .clear = pt_flags(PT_FLAG_ACCESSED),
                                 .visitor = note_page,
                                 .context = &reaped};
    struct fixture fixture, *f = &fixture;

    fixture_open(f, WAY_OFFSET);
    assert_ok(map(f, FOUR_GIB, 0, 8 * PAGE_SIZE, PT_SIZE_4K));
    assert_ok(protect(f, FOUR_GIB + PAGE_SIZE, 7 * PAGE_SIZE, PT_FLAG_ACCESSED, 0));
    assert_ok(pt_flush_now(pt_harvest(&f->pt, &harvest), &flusher));
    assert_int_equal(harvest.next.v, FOUR_GIB + 4 * PAGE_SIZE);
    assert_int_equal(reaped.count, 3);
    assert_int_equal(flushes.count, 1);
    assert_int_equal(flushes.seen[0].start, FOUR_GIB + PAGE_SIZE);
    assert_int_equal(flushes.seen[0].pages, 3);
    harvest.length_bytes -= harvest.next.v - harvest.start.v;
    harvest.start = harvest.next;
    assert_ok(pt_flush_now(pt_harvest(&f->pt, &harvest), &flusher));
    assert_int_equal(reaped.count, 7);
    assert_int_equal(harvest.next.v, FOUR_GIB + 8 * PAGE_SIZE);
    assert_ok(pt_flush_now(pt_harvest(&f->pt, &harvest), &flusher)); /* nothing to flush */
    assert_int_equal(flushes.count, 2);
    harvest.clear = pt_flags(PT_FLAG_WRITE);
    assert_status(pt_flush_ignore(pt_harvest(&f->pt, &harvest)), ST_INVALID);
    fixture_close(f);
}

/* ------------------------------------------------------------------ merge */

static enum status merge(struct fixture *f, uint64_t start, uint64_t bytes, enum pt_size size,
                         unsigned options)
{
    uint64_t storage[2];
    struct pt_batch batch;
    enum status status;

    pt_batch_init(&batch, &f->alloc, NULL, storage, 2);
    status = pt_merge(&f->pt, vaddr(start), bytes, size, options, &batch);
    if (status != ST_OK)
        assert_int_equal(batch.count + batch.kind, 0);
    pt_batch_finish(&batch);
    return status;
}

IN_EVERY_WAY(merge_undoes_split)
{
    struct pt_counts counts;
    unsigned taken;

    assert_ok(map(f, FOUR_GIB, FOUR_GIB, GIANT_SIZE, PT_SIZE_1G));
    taken = f->machine->taken;
    assert_ok(pt_flush_ignore(pt_split(&f->pt, vaddr(FOUR_GIB), PT_SIZE_4K)));
    assert_int_equal(f->machine->taken, taken + 2);
    assert_status(merge(f, FOUR_GIB, GIANT_SIZE, PT_SIZE_1G, PT_STRICT),
                  ST_DIFFERENT); /* a table is among them */
    assert_ok(merge(f, FOUR_GIB, GIANT_SIZE, PT_SIZE_2M, PT_STRICT));
    assert_int_equal(f->machine->taken, taken + 1);
    assert_int_equal(translate(f, FOUR_GIB + 0x123456, ST_OK).level, 2);
    assert_ok(merge(f, FOUR_GIB, GIANT_SIZE, PT_SIZE_1G, PT_STRICT));
    assert_int_equal(f->machine->taken, taken);
    assert_int_equal(translate(f, FOUR_GIB + 0x12345678, ST_OK).paddr.v, FOUR_GIB + 0x12345678);
    assert_int_equal(translate(f, FOUR_GIB + 0x12345678, ST_OK).level, 3);
    assert_ok(merge(f, FOUR_GIB, GIANT_SIZE, PT_SIZE_1G, PT_STRICT)); /* is one already */
    assert_status(merge(f, FOUR_GIB, HUGE_SIZE, PT_SIZE_2M, PT_STRICT), ST_HUGE_PAGE);
    assert_ok(pt_check(&f->pt, NULL, &counts));
    assert_int_equal(counts.pages[3], 1);
}

IN_EVERY_WAY(merge_takes_only_what_agrees)
{
    enum { CASES = 8 };
    struct snapshot before;

    for (uint64_t i = 0; i < CASES; i++)
        assert_ok(map(f, FOUR_GIB + i * HUGE_SIZE, i * HUGE_SIZE, HUGE_SIZE, PT_SIZE_4K));
    assert_ok(pt_flush_ignore(pt_unmap(&f->pt, vaddr(FOUR_GIB + 511 * PAGE_SIZE), PAGE_SIZE, PT_STRICT)));
    assert_ok(protect(f, FOUR_GIB + HUGE_SIZE + 77 * PAGE_SIZE, PAGE_SIZE, PT_FLAG_USER, 0));
    assert_ok(pt_flush_ignore(pt_unmap(&f->pt, vaddr(FOUR_GIB + 2 * HUGE_SIZE), 2 * PAGE_SIZE, PT_STRICT)));
    assert_ok(
        map(f, FOUR_GIB + 2 * HUGE_SIZE, 2 * HUGE_SIZE + PAGE_SIZE, PAGE_SIZE, PT_SIZE_4K)); /* swapped */
    assert_ok(map(f, FOUR_GIB + 2 * HUGE_SIZE + PAGE_SIZE, 2 * HUGE_SIZE, PAGE_SIZE, PT_SIZE_4K));
    assert_ok(pt_flush_ignore(pt_unmap(&f->pt, vaddr(FOUR_GIB + 3 * HUGE_SIZE), HUGE_SIZE, PT_STRICT)));
    assert_ok(
        map(f, FOUR_GIB + 3 * HUGE_SIZE, 3 * HUGE_SIZE + PAGE_SIZE, HUGE_SIZE, PT_SIZE_4K)); /* not aligned */
    assert_ok(pt_flush_ignore(pt_unmap(&f->pt, vaddr(FOUR_GIB + 4 * HUGE_SIZE), PAGE_SIZE, PT_STRICT)));
    assert_ok(mark(f, FOUR_GIB + 4 * HUGE_SIZE, PAGE_SIZE, 9));

    static const enum status wanted[CASES] = {ST_NOT_MAPPED, ST_DIFFERENT, ST_DIFFERENT, ST_NOT_ALIGNED,
                                              ST_DIFFERENT,  ST_OK,        ST_OK,        ST_OK};
    before = snapshot_take(f);
    for (uint64_t i = 0; i < 5; i++)
        assert_status(merge(f, FOUR_GIB + i * HUGE_SIZE, HUGE_SIZE, PT_SIZE_2M, PT_STRICT), wanted[i]);
    assert_status(merge(f, FOUR_GIB + 4 * HUGE_SIZE, 2 * HUGE_SIZE, PT_SIZE_2M, PT_STRICT), ST_DIFFERENT);
    assert_status(merge(f, FOUR_GIB + CASES * HUGE_SIZE, HUGE_SIZE, PT_SIZE_2M, PT_STRICT), ST_NOT_MAPPED);
    assert_status(merge(f, FOUR_GIB + PAGE_SIZE, HUGE_SIZE, PT_SIZE_2M, PT_STRICT), ST_NOT_ALIGNED);
    assert_status(merge(f, FOUR_GIB, HUGE_SIZE, PT_SIZE_4K, PT_STRICT), ST_INVALID);
    f->pt.keep_level = 1;
    assert_status(merge(f, FOUR_GIB + 5 * HUGE_SIZE, HUGE_SIZE, PT_SIZE_2M, PT_STRICT), ST_DENIED);
    f->pt.keep_level = PT_LEVELS;
    snapshot_check(f, before);
    assert_ok(merge(f, FOUR_GIB, CASES * HUGE_SIZE, PT_SIZE_2M, PT_SKIP_HOLES));
    for (uint64_t i = 0; i < CASES; i++)
        assert_int_equal(translate(f, FOUR_GIB + i * HUGE_SIZE + 3 * PAGE_SIZE, ST_OK).level,
                         wanted[i] == ST_OK ? 2 : 1);
}

static void forget_nothing(void *context, struct vaddr start, uint64_t pages, enum pt_flush_kind kind)
{
}

IN_EVERY_WAY(merge_keeps_what_the_mmu_has_marked)
{
    struct pt_flusher nobody = {.flush = forget_nothing};

    assert_ok(map(f, FOUR_GIB, 0, 4 * HUGE_SIZE, PT_SIZE_4K));
    assert_ok(protect(f, FOUR_GIB + 300 * PAGE_SIZE, PAGE_SIZE, PT_FLAG_ACCESSED, 0));
    assert_ok(protect(f, FOUR_GIB + 301 * PAGE_SIZE, PAGE_SIZE, PT_FLAG_DIRTY, 0));
    assert_ok(merge(f, FOUR_GIB, 2 * HUGE_SIZE, PT_SIZE_2M, PT_STRICT));
    assert_int_equal(translate(f, FOUR_GIB, ST_OK).flags.bits,
                     PT_FLAG_WRITE | PT_FLAG_ACCESSED | PT_FLAG_DIRTY);
    assert_int_equal(translate(f, FOUR_GIB + HUGE_SIZE, ST_OK).flags.bits, PT_FLAG_WRITE);
    /* An MMU that is at work may mark an old entry until the flush: ahead of it. */
    assert_ok(protect(f, FOUR_GIB + 3 * HUGE_SIZE, HUGE_SIZE, 0, PT_FLAG_WRITE));
    f->pt.live = true;
    f->pt.flusher = &nobody; /* who is told before a break, where there is one */
    assert_ok(merge(f, FOUR_GIB + 2 * HUGE_SIZE, 2 * HUGE_SIZE, PT_SIZE_2M, PT_STRICT));
    assert_int_equal(translate(f, FOUR_GIB + 2 * HUGE_SIZE, ST_OK).flags.bits,
                     PT_FLAG_WRITE | PT_FLAG_ACCESSED | PT_FLAG_DIRTY);
    assert_int_equal(translate(f, FOUR_GIB + 3 * HUGE_SIZE, ST_OK).flags.bits, PT_FLAG_ACCESSED);
}

IN_EVERY_WAY(merge_of_marks)
{
    struct pt_mark value;
    unsigned level;

    assert_ok(mark(f, FOUR_GIB + PAGE_SIZE, HUGE_SIZE - PAGE_SIZE, 0x1234));
    assert_ok(mark(f, FOUR_GIB, PAGE_SIZE, 0x1234));
    assert_ok(merge(f, FOUR_GIB, HUGE_SIZE, PT_SIZE_2M, PT_STRICT));
    assert_ok(pt_get_mark(&f->pt, vaddr(FOUR_GIB + 0x12345), &value, &level));
    assert_int_equal(value.value, 0x1234);
    assert_int_equal(level, 2);
}

/* ------------------------------------------------------------------ marks */

struct put_mark {
    uint64_t start, bytes, value;
    unsigned options;
    pt_replaced *replaced;
    void *context;
};

static enum status call_put_mark(struct fixture *f, void *argument)
{
    const struct put_mark *put = argument;

    return pt_flush_ignore(pt_put_mark(&f->pt, vaddr(put->start), put->bytes, (struct pt_mark){put->value},
                                       put->options, put->replaced, put->context));
}

static void note_replaced(void *context, const struct pt_visit *was)
{
    (void)note_page(context, was);
}

/* A page goes to the swap area: its place holds 62 bits, which no walk takes for a page. */
IN_EVERY_WAY(marks_replace_pages_and_say_what_was_there)
{
    const uint64_t largest = (NOWHERE)-1;
    struct reaped was = {0};
    struct put_mark put = {.start = FOUR_GIB + PAGE_SIZE,
                           .bytes = 2 * PAGE_SIZE,
                           .value = largest,
                           .replaced = note_replaced,
                           .context = &was};
    struct pt_mark value = {0};
    unsigned level = 0;

    f->pt.live = true;
    assert_ok(map(f, FOUR_GIB, 0x1000, 3 * PAGE_SIZE, PT_SIZE_4K));
    assert_ok(protect(f, FOUR_GIB + PAGE_SIZE, PAGE_SIZE, PT_FLAG_DIRTY, 0));
    assert_ok(call_put_mark(f, &put));
    assert_int_equal(was.count, 2);
    assert_int_equal(was.visits[0].start.v, FOUR_GIB + PAGE_SIZE);
    assert_int_equal(pt_entry_paddr(was.visits[0].entry).v, 0x2000);
    assert_int_equal(pt_entry_flags(was.visits[0].entry, 1).bits, PT_FLAG_WRITE | PT_FLAG_DIRTY);
    assert_int_equal(pt_entry_flags(was.visits[1].entry, 1).bits, PT_FLAG_WRITE);
    for (uint64_t i = 1; i < 3; i++) {
        struct pt_translation found = translate(f, FOUR_GIB + i * PAGE_SIZE, ST_NOT_MAPPED);

        assert_true(pt_entry_is_mark(found.entry));
        assert_ok(pt_get_mark(&f->pt, vaddr(FOUR_GIB + i * PAGE_SIZE + 7), &value, &level));
        assert_int_equal(value.value, largest);
        assert_int_equal(level, 1);
    }
    assert_status(pt_get_mark(&f->pt, vaddr(FOUR_GIB), &value, &level), ST_MAPPED);
    assert_status(pt_get_mark(&f->pt, vaddr(FOUR_GIB + 3 * PAGE_SIZE), &value, &level), ST_NOT_MAPPED);
    assert_status(pt_get_mark(&f->pt, vaddr(NOWHERE), &value, &level), ST_NOT_CANONICAL);
    put.start = FOUR_GIB; /* over a page and a mark */
    put.value = 77;
    put.replaced = NULL;
    assert_ok(call_put_mark(f, &put));
    assert_ok(pt_get_mark(&f->pt, vaddr(FOUR_GIB + PAGE_SIZE), &value, NULL));
    assert_int_equal(value.value, 77);
    put.start = FOUR_GIB + 2 * PAGE_SIZE; /* a mark and a hole */
    assert_status(call_put_mark(f, &put), ST_NOT_MAPPED);
    put.options = PT_SKIP_HOLES;
    assert_ok(call_put_mark(f, &put));
    translate(f, FOUR_GIB + 3 * PAGE_SIZE, ST_NOT_MAPPED);
    assert_status(pt_get_mark(&f->pt, vaddr(FOUR_GIB + 3 * PAGE_SIZE), &value, NULL), ST_NOT_MAPPED);
    put.value = ~(uint64_t)0; /* more than fits */
    assert_status(call_put_mark(f, &put), ST_INVALID);
}

IN_EVERY_WAY(marks_split_what_they_cut)
{
    struct put_mark put = {.start = FOUR_GIB + 5 * PAGE_SIZE, .bytes = PAGE_SIZE, .value = 3};
    struct pt_mark value = {0};
    uint64_t took;

    assert_ok(map(f, FOUR_GIB, FOUR_GIB, GIANT_SIZE, PT_SIZE_1G));
    assert_status(fail_each(f, call_put_mark, &put, NULL), ST_HUGE_PAGE);
    put.options = PT_SPLIT_HUGE;
    assert_ok(fail_each(f, call_put_mark, &put, &took));
    assert_int_equal(took, 2);
    assert_int_equal(translate(f, FOUR_GIB + 4 * PAGE_SIZE, ST_OK).paddr.v, FOUR_GIB + 4 * PAGE_SIZE);
    assert_int_equal(translate(f, FOUR_GIB + 6 * PAGE_SIZE, ST_OK).paddr.v, FOUR_GIB + 6 * PAGE_SIZE);
    assert_ok(pt_get_mark(&f->pt, vaddr(put.start), &value, NULL));
    assert_int_equal(value.value, 3);
}

struct fill_mark {
    uint64_t page, value, to;
    struct pt_entry found;
};

static enum status call_fill_mark(struct fixture *f, void *argument)
{
    struct fill_mark *fill = argument;

    return pt_flush_ignore(pt_fill_mark(&f->pt, vaddr(fill->page), (struct pt_mark){fill->value},
                                        paddr(fill->to), pt_flags(PT_FLAG_WRITE), &fill->found));
}

/* A page comes back, also into a mark that stands for much more. */
IN_EVERY_WAY(marks_become_pages)
{
    struct fill_mark fill = {.page = FOUR_GIB + 3 * PAGE_SIZE, .value = 0x42, .to = 0x9000};
    struct pt_mark value = {0};
    uint64_t took;
    unsigned level;

    assert_status(fail_each(f, call_fill_mark, &fill, NULL), ST_NOT_MAPPED);
    assert_ok(mark(f, FOUR_GIB, GIANT_SIZE, 0x42));
    fill.value = 0x43;
    assert_status(fail_each(f, call_fill_mark, &fill, NULL), ST_RETRY);
    assert_int_equal(pt_entry_mark(fill.found).value, 0x42);
    fill.value = 0x42;
    assert_ok(fail_each(f, call_fill_mark, &fill, &took));
    assert_int_equal(took, 2);
    assert_int_equal(translate(f, fill.page + 5, ST_OK).paddr.v, 0x9005);
    assert_ok(pt_get_mark(&f->pt, vaddr(fill.page - 1), &value, &level));
    assert_int_equal(level, 1);
    assert_ok(pt_get_mark(&f->pt, vaddr(FOUR_GIB + HUGE_SIZE), &value, &level));
    assert_int_equal(value.value, 0x42);
    assert_int_equal(level, 2);
    assert_status(call_fill_mark(f, &fill), ST_MAPPED); /* somebody was quicker */
    assert_int_equal(pt_entry_paddr(fill.found).v, 0x9000);
    fill.to = 0x9001;
    assert_status(call_fill_mark(f, &fill), ST_NOT_ALIGNED);
    fill.to = (uint64_t)1 << 60;
    assert_status(call_fill_mark(f, &fill), ST_INVALID);
}

/* ------------------------------------------------------------------ iterating */

/* The iterator gives what the visitor gives, in its order. */
struct visited {
    unsigned count;
    struct pt_visit visits[256];
};

static bool keep_visit(void *context, const struct pt_visit *visit)
{
    struct visited *visited = context;

    visited->visits[visited->count++] = *visit;
    return visited->count < 256;
}

static unsigned compare_iterator(struct fixture *f, uint64_t start, uint64_t last, unsigned levels)
{
    struct visited visited = {.count = 0};
    struct pt_iterator iterator;
    struct pt_visit next;

    assert_ok(pt_visit_range(&f->pt, vaddr(start), vaddr(last), levels, keep_visit, &visited));
    assert_true(visited.count < 256);
    assert_ok(pt_iterate(&iterator, &f->pt, vaddr(start), vaddr(last), levels));
    for (unsigned i = 0; i < visited.count; i++) {
        assert_true(pt_next(&iterator, &next));
        assert_int_equal(next.start.v, visited.visits[i].start.v);
        assert_int_equal(next.entry.bits, visited.visits[i].entry.bits);
        assert_int_equal(next.level, visited.visits[i].level);
        assert_int_equal(next.index, visited.visits[i].index);
    }
    assert_false(pt_next(&iterator, &next));
    assert_false(pt_next(&iterator, &next));
    return visited.count;
}

IN_EVERY_WAY(the_iterator_sees_what_the_visitor_sees)
{
    struct pt_iterator iterator;

    if (f->way == WAY_SLOTS_SAME_ROOT) /* sees its own slots */
        return;
    compare_iterator(f, 0, LAST_ADDRESS, PT_LEVELS_ALL);
    assert_ok(map(f, FOUR_GIB - 3 * PAGE_SIZE, 0x1000, 5 * PAGE_SIZE, PT_SIZE_4K));
    assert_ok(map(f, FOUR_GIB + HUGE_SIZE, 0, HUGE_SIZE, PT_SIZE_2M));
    assert_ok(mark(f, FOUR_GIB + 2 * HUGE_SIZE, 3 * HUGE_SIZE + 2 * PAGE_SIZE, 7));
    assert_ok(map(f, UPPER_HALF, GIANT_SIZE, GIANT_SIZE, PT_SIZE_1G));
    assert_ok(pt_make_tables(&f->pt, vaddr(LAST_LOWER - PAGE_SIZE + 1), PAGE_SIZE, 1));
    assert_true(compare_iterator(f, 0, LAST_ADDRESS, PT_LEVELS_ALL) > 15);
    for (unsigned levels = 0; levels < 1u << (PT_LEVELS + 1); levels += 2) {
        compare_iterator(f, 0, LAST_ADDRESS, levels);
        compare_iterator(f, FOUR_GIB - PAGE_SIZE, FOUR_GIB + HUGE_SIZE, levels);
        compare_iterator(f, FOUR_GIB + HUGE_SIZE + 0x5123, FOUR_GIB + 6 * HUGE_SIZE, levels);
        compare_iterator(f, LAST_LOWER - HUGE_SIZE, UPPER_HALF, levels);
    }
    assert_int_equal(compare_iterator(f, FOUR_GIB, FOUR_GIB, PT_LEVEL(1)), 1);
    assert_status(pt_iterate(&iterator, &f->pt, vaddr(5), vaddr(4), PT_LEVELS_ALL), ST_INVALID);
    assert_status(pt_iterate(&iterator, &f->pt, vaddr(NOWHERE), vaddr(LAST_ADDRESS), PT_LEVELS_ALL),
                  ST_NOT_CANONICAL);
}

/* What a visitor may not do: every page is taken out as it is given, and its tables with it. */
IN_EVERY_WAY(the_tables_may_change_under_an_iterator)
{
    struct pt_iterator iterator;
    struct pt_visit visit;
    uint64_t storage[8], next = 0;
    struct pt_batch batch;
    unsigned before = f->machine->taken, count = 0;

    if (f->way == WAY_SLOTS_SAME_ROOT || f->way == WAY_RECURSIVE)
        return;
    assert_ok(map(f, FOUR_GIB - 3 * PAGE_SIZE, 0x1000, 1000 * PAGE_SIZE, PT_SIZE_4K));
    assert_ok(map(f, 3 * FOUR_GIB, 0, HUGE_SIZE, PT_SIZE_2M));
    assert_ok(map(f, UPPER_HALF + 5 * pt_level_span(PT_LEVELS), 0, PAGE_SIZE, PT_SIZE_4K));
    pt_batch_init(&batch, &f->alloc, NULL, storage, 8);
    assert_ok(pt_iterate(&iterator, &f->pt, vaddr(0), vaddr(LAST_ADDRESS), PT_LEVEL(1) | PT_LEVEL(2)));
    while (pt_next(&iterator, &visit)) {
        if (!pt_entry_is_page(visit.entry, visit.level))
            continue;
        assert_true(visit.start.v >= next);
        next = visit.start.v + pt_level_span(visit.level);
        assert_ok(pt_unmap_give(&f->pt, visit.start, pt_level_span(visit.level), PT_STRICT, &batch));
        count++;
    }
    pt_batch_finish(&batch);
    assert_int_equal(count, 1002);
    assert_int_equal(f->machine->taken, before);
}

/* ------------------------------------------------------------------ halves */

static enum status call_clone(struct fixture *f, void *argument)
{
    return pt_clone_half(argument, &f->pt, PT_HALF_UPPER);
}

IN_EVERY_WAY(a_clone_shares_the_half)
{
    struct pt clone;
    struct pt_translation found;
    uint64_t took, kernel = UPPER_HALF + 5 * pt_level_span(PT_LEVELS), physical, entry;
    unsigned level;

    if (PT_ROOT_HALVES == 1) {
        assert_status(pt_clone_half(&clone, &f->pt, PT_HALF_UPPER), ST_UNSUPPORTED);
        return;
    }
    assert_ok(map(f, kernel, 0x1000, 3 * PAGE_SIZE, PT_SIZE_4K));
    assert_ok(map(f, FOUR_GIB, 0x5000, PAGE_SIZE, PT_SIZE_4K));
    assert_ok(fail_each(f, call_clone, &clone, &took));
    assert_int_equal(took, 1);
    assert_ok(pt_check(&f->pt, NULL, NULL));
    for (unsigned i = 0; i < 3; i++)
        assert_true(
            machine_walk(f->machine, clone.root.v, kernel + i * PAGE_SIZE, &physical, &entry, &level) &&
            physical == 0x1000 + i * PAGE_SIZE);
    assert_false(machine_walk(f->machine, clone.root.v, FOUR_GIB, &physical, &entry, &level));
    /* what is done through one is seen through the other, and the counts are right in both */
    assert_ok(map(f, kernel + 3 * PAGE_SIZE, 0x8000, PAGE_SIZE, PT_SIZE_4K));
    assert_true(machine_walk(f->machine, clone.root.v, kernel + 3 * PAGE_SIZE, &physical, &entry, &level));
    if (f->way == WAY_RECURSIVE) { /* the clone shows itself once it is loaded */
        f->machine->cr3 = clone.root.v;
        f->machine->cached = 0;
    }
    assert_ok(pt_check(&clone, NULL, NULL));
    assert_ok(pt_translate(&clone, vaddr(kernel), &found));
    uint64_t storage[8];
    struct pt_batch batch;
    unsigned taken = f->machine->taken;

    pt_batch_init(&batch, &f->alloc, NULL, storage, 8);
    assert_ok(pt_unmap_give(&clone, vaddr(kernel), 4 * PAGE_SIZE, PT_STRICT, &batch));
    pt_batch_finish(&batch);
    assert_int_equal(f->machine->taken,
                     taken - (PT_LEVELS - 2)); /* the shared table of the level below the root stays */
    if (f->way == WAY_RECURSIVE) {
        f->machine->cr3 = f->pt.root.v;
        f->machine->cached = 0;
        f->alloc.give(f->alloc.context, clone.root);
    } else {
        pt_forget_half(&clone, PT_HALF_UPPER);
        pt_destroy(&clone);
    }
    assert_int_equal(f->machine->taken, taken - (PT_LEVELS - 1));
    translate(f, kernel, ST_NOT_MAPPED);
    translate(f, FOUR_GIB, ST_OK);
    assert_ok(pt_check(&f->pt, NULL, NULL));
}

/* A recursive entry shows its own root, with the rights that it had: a user must not see the tables. */
static void a_clone_has_a_recursive_entry_of_its_own(void **state)
{
    struct fixture fixture, *f = &fixture;
    struct pt clone;

    if (!PT_HAS_RECURSIVE)
        return;
    fixture_open(f, WAY_RECURSIVE);
    const uint64_t *root = machine_at(f->machine, f->pt.root.v);
    assert_ok(pt_clone_half(&clone, &f->pt, PT_HALF_LOWER));
    const uint64_t *copy = machine_at(f->machine, clone.root.v);

    for (unsigned i = MACHINE_RECURSIVE_INDEX; i < MACHINE_RECURSIVE_INDEX + (PT_RECURSIVE_WINDOWS ? 2 : 1);
         i++) {
        assert_int_equal(pt_entry_paddr(pt_entry(copy[i])).v, clone.root.v);
        assert_int_equal(copy[i] ^ pt_entry_table(clone.root).bits,
                         root[i] ^ pt_entry_table(f->pt.root).bits);
    }
    for (unsigned i = MACHINE_RECURSIVE_INDEX + (PT_RECURSIVE_WINDOWS ? 2 : 1); i < PT_ENTRIES; i++)
        assert_int_equal(copy[i], 0);
    f->alloc.give(f->alloc.context, clone.root);
    fixture_close(f);
}

/* ------------------------------------------------------------------ the recursive entry */

/* It is written once, where there is room, and where the format has such a way. */
static void a_recursive_entry_is_made_where_nothing_is(void **state)
{
    struct fixture fixture, *f = &fixture;
    enum { LAST = PT_ENTRIES - (PT_RECURSIVE_WINDOWS ? 2 + PT_OPEN_TABLES : 1) };
    uint64_t *root;

    fixture_open(f, WAY_OFFSET);
    root = machine_at(f->machine, f->pt.root.v);
    if (!PT_HAS_RECURSIVE) {
        assert_status(pt_make_recursive(&f->pt, LAST), ST_UNSUPPORTED);
        fixture_close(f);
        return;
    }
    assert_status(pt_make_recursive(&f->pt, LAST + 1), ST_INVALID);
    assert_status(pt_make_recursive(&f->pt, PT_ENTRIES), ST_INVALID);
    root[PT_ENTRIES - 1] = 2; /* a mark */
    assert_status(pt_make_recursive(&f->pt, LAST), ST_MAPPED);
    for (unsigned i = 0; i < PT_ENTRIES - 1; i++)
        assert_int_equal(root[i], 0);
    root[PT_ENTRIES - 1] = 0;
    assert_ok(pt_make_recursive(&f->pt, LAST));
    assert_status(pt_make_recursive(&f->pt, LAST), ST_MAPPED);
    assert_int_equal(mmu_read(root[LAST], PT_LEVELS).kind, MMU_TABLE);
    assert_int_equal(mmu_read(root[LAST], PT_LEVELS).physical, f->pt.root.v);
    if (PT_RECURSIVE_WINDOWS) {
        assert_int_equal(mmu_read(root[LAST + 1], 1).kind, MMU_PAGE);
        assert_int_equal(mmu_read(root[LAST + 1], 1).physical, f->pt.root.v);
        assert_int_equal(mmu_read(root[LAST + 1], 1).flags & (PT_FLAG_USER | PT_FLAG_EXEC), 0);
        root[LAST + 1] = 0; /* as a page of the root's level it is not aligned */
    }
    fixture_close(f);
}

/* With windows: what is behind them is refused, they are seen by nobody, and their number is what is needed.
 */
static void windows_are_no_memory(void **state)
{
    struct fixture fixture, *f = &fixture;
    uint64_t span = pt_level_span(PT_LEVELS), base = 0 - span * PT_ENTRIES + MACHINE_RECURSIVE_INDEX * span;
    uint64_t *root, *window;
    struct snapshot before;

    if (!PT_RECURSIVE_WINDOWS)
        return;
    fixture_open(f, WAY_RECURSIVE);
    root = machine_at(f->machine, f->pt.root.v);
    before = snapshot_take(f);
    for (unsigned i = 0; i < 2 + PT_OPEN_TABLES; i++) {
        uint64_t at = base + i * span;

        assert_status(map(f, at, 0, PAGE_SIZE, PT_SIZE_4K), ST_INVALID);
        assert_status(map(f, at, 0, span, PT_SIZE_LARGEST), ST_INVALID);
        assert_status(mark(f, at, span, 7), ST_INVALID);
        assert_status(protect(f, at, PAGE_SIZE, 0, PT_FLAG_WRITE), ST_INVALID);
        assert_status(pt_flush_ignore(pt_unmap(&f->pt, vaddr(at), span, PT_SKIP_HOLES)), ST_INVALID);
        assert_status(pt_flush_ignore(pt_unmap_page(&f->pt, vaddr(at))), ST_INVALID);
        assert_status(protect_level(f, at, span, PT_LEVELS, 0, 0, PT_SKIP_HOLES), ST_INVALID);
    }
    assert_status(mark(f, base - span, (3 + PT_OPEN_TABLES) * span, 7), ST_INVALID); /* over all of them */
    snapshot_check(f, before);
    window = &root[MACHINE_RECURSIVE_INDEX + 3];
    *window = 2;
    assert_status(map(f, FOUR_GIB, 0, PAGE_SIZE, PT_SIZE_4K), ST_NO_SPACE);
    *window = 0;
    assert_ok(map(f, FOUR_GIB, 0, PAGE_SIZE, PT_SIZE_4K));
    for (unsigned i = 0; i < PT_OPEN_TABLES; i++)
        assert_int_equal(root[MACHINE_RECURSIVE_INDEX + 2 + i], 0);
    fixture_close(f);
}

/* ------------------------------------------------------------------ dump */

static void append(void *context, const char *line)
{
    strcat(context, line);
    strcat(context, "\n");
}

/* Objects of the level-1 table, which look the same in every format. */
static void dump_as_json(void **state)
{
    struct fixture fixture, *f = &fixture;
    static char text[8192];
    char *from;

    text[0] = '\0';
    fixture_open(f, WAY_OFFSET);
    assert_ok(pt_dump_json(&f->pt, append, text));
    assert_string_equal(text, "[\n]\n");
    assert_ok(map(f, FOUR_GIB, 0x1000, 5 * PAGE_SIZE, PT_SIZE_4K));
    assert_ok(mark(f, FOUR_GIB + 6 * PAGE_SIZE, 3 * PAGE_SIZE, 0xabc));
    assert_ok(protect(f, FOUR_GIB + 3 * PAGE_SIZE, 2 * PAGE_SIZE,
                      PT_FLAG_SOFT_1 | PT_FLAG_EXEC | PT_FLAG_NO_CACHE, PT_FLAG_WRITE | PT_MEMORY_MASK));
    text[0] = '\0';
    assert_ok(pt_dump_json(&f->pt, append, text));
    from = strstr(text, ",{\"start\":\"0x100000000\",\"last\":\"0x100002fff\"");
    assert_non_null(from);
    assert_string_equal(
        from,
        ",{\"start\":\"0x100000000\",\"last\":\"0x100002fff\",\"level\":1,\"index\":0,\"kind\":\"page\","
        "\"count\":3,\"bytes\":4096,\"to\":\"0x1000\",\"flags\":[\"write\"],\"memory\":0}\n"
        ",{\"start\":\"0x100003000\",\"last\":\"0x100004fff\",\"level\":1,\"index\":3,\"kind\":\"page\","
        "\"count\":2,\"bytes\":4096,\"to\":\"0x4000\",\"flags\":[\"exec\",\"soft1\"],\"memory\":2}\n"
        ",{\"start\":\"0x100006000\",\"last\":\"0x100008fff\",\"level\":1,\"index\":6,\"kind\":\"mark\","
        "\"count\":3,\"bytes\":4096,\"value\":\"0xabc\"}\n]\n");
    assert_int_equal(strncmp(text, "[\n{\"start\":\"0x", 14), 0);
    assert_non_null(strstr(text, "\"kind\":\"table\",\"to\":\"0x"));
    fixture_close(f);
}

/* ------------------------------------------------------------------ single pages */

/* Calls for one page are the calls for ranges, said shorter: whatever is there. */
IN_EVERY_WAY(single_pages_are_ranges_of_one)
{
    struct pt_flags read = pt_flags(0), write = pt_flags(PT_FLAG_WRITE);
    unsigned before = f->machine->taken;

    assert_status(pt_flush_ignore(pt_unmap_page(&f->pt, vaddr(FOUR_GIB))), ST_NOT_MAPPED);
    assert_status(pt_flush_ignore(pt_protect_page(&f->pt, vaddr(FOUR_GIB), write, read)), ST_NOT_MAPPED);
    assert_ok(pt_flush_ignore(pt_map_page(&f->pt, vaddr(FOUR_GIB), paddr(0x5000), write)));
    assert_int_equal(f->machine->taken - before,
                     pt_tables_needed(vaddr(FOUR_GIB), paddr(0), PAGE_SIZE, PT_SIZE_4K));
    assert_ok(pt_flush_ignore(pt_map_page(&f->pt, vaddr(FOUR_GIB + PAGE_SIZE), paddr(0x7000), write)));
    assert_int_equal(translate(f, FOUR_GIB + PAGE_SIZE, ST_OK).paddr.v, 0x7000);
    assert_status(pt_flush_ignore(pt_map_page(&f->pt, vaddr(FOUR_GIB), paddr(0x5000), write)), ST_MAPPED);
    assert_status(pt_flush_ignore(pt_map_page(&f->pt, vaddr(FOUR_GIB + 1), paddr(0x5000), write)),
                  ST_NOT_ALIGNED);
    assert_status(pt_flush_ignore(pt_map_page(&f->pt, vaddr(FOUR_GIB + 2 * PAGE_SIZE), paddr(0x5001), write)),
                  ST_NOT_ALIGNED);
    assert_status(
        pt_flush_ignore(pt_map_page(&f->pt, vaddr(FOUR_GIB + 2 * PAGE_SIZE), paddr(NOWHERE), write)),
        ST_INVALID);
    assert_status(pt_flush_ignore(pt_map_page(&f->pt, vaddr(NOWHERE), paddr(0), write)), ST_NOT_CANONICAL);
    assert_status(pt_flush_ignore(pt_unmap_page(&f->pt, vaddr(NOWHERE))), ST_NOT_CANONICAL);
    assert_ok(pt_flush_ignore(pt_protect_page(&f->pt, vaddr(FOUR_GIB), read, write)));
    assert_int_equal(translate(f, FOUR_GIB, ST_OK).flags.bits, 0);
    f->pt.live = true; /* the MMU may mark it meanwhile */
    assert_ok(pt_flush_ignore(pt_protect_page(&f->pt, vaddr(FOUR_GIB + PAGE_SIZE), read, write)));
    assert_int_equal(translate(f, FOUR_GIB + PAGE_SIZE, ST_OK).flags.bits, 0);
    f->pt.live = false;
    assert_ok(map(f, FOUR_GIB + HUGE_SIZE, 0, HUGE_SIZE, PT_SIZE_2M));
    assert_status(pt_flush_ignore(pt_unmap_page(&f->pt, vaddr(FOUR_GIB + HUGE_SIZE))), ST_HUGE_PAGE);
    assert_status(pt_flush_ignore(pt_map_page(&f->pt, vaddr(FOUR_GIB + HUGE_SIZE), paddr(0), read)),
                  ST_HUGE_PAGE);
    assert_ok(pt_flush_ignore(pt_unmap_page(&f->pt, vaddr(FOUR_GIB))));
    translate(f, FOUR_GIB, ST_NOT_MAPPED);
    assert_ok(pt_flush_ignore(pt_map_page(&f->pt, vaddr(FOUR_GIB), paddr(0x9000), write)));
    assert_int_equal(translate(f, FOUR_GIB, ST_OK).paddr.v, 0x9000);
}

/* ------------------------------------------------------------------ faults of others
 *
 * What the best-known library of this kind (the x86_64 crate, 0.15) does wrong; that flags turn a table into
 * a page is above.
 */

/* Its translate() takes any entry with an address for a page. */
IN_EVERY_WAY(an_entry_that_is_not_present_is_no_page)
{
    struct pt_translation found;

    assert_ok(mark(f, FOUR_GIB, PAGE_SIZE, 0x123456789 << 1));
    assert_ok(mark(f, FOUR_GIB + HUGE_SIZE, HUGE_SIZE, 0x80)); /* where PS would be, and an address */
    for (unsigned i = 0; i < 2; i++) {
        found = translate(f, FOUR_GIB + i * HUGE_SIZE, ST_NOT_MAPPED);
        assert_true(pt_entry_is_mark(found.entry));
        assert_false(pt_entry_is_page(found.entry, found.level));
    }
}

/* It reads bit 7 of a 4 KiB page, which is PAT there, as the bit of a huge page, and will not unmap it. */
IN_EVERY_WAY(a_page_of_any_memory_type_can_be_changed_and_unmapped)
{
    uint64_t at = FOUR_GIB;

    for (uint32_t type = 0; type <= PT_MEMORY_7; type += PT_MEMORY_WRITE_THROUGH) {
        struct pt_flags flags = pt_flags((type & PT_MEMORY_MASK) | PT_FLAG_WRITE);

        if ((type & ~(uint32_t)PT_MEMORY_MASK) != 0 || !pt_flags_fit(flags))
            continue;
        for (unsigned level = 1; level <= 2; level++, at += HUGE_SIZE) {
            struct pt_map request = {.start = vaddr(at),
                                     .to = paddr(0),
                                     .length_bytes = pt_level_span(level),
                                     .flags = flags,
                                     .size = (enum pt_size)level};

            assert_ok(pt_flush_ignore(pt_map(&f->pt, &request)));
            assert_int_equal(translate(f, at, ST_OK).flags.bits, flags.bits);
            assert_int_equal(translate(f, at, ST_OK).level, level);
            assert_int_equal(translate(f, at + 0xfff, ST_OK).paddr.v, 0xfff);
            assert_ok(protect(f, at, pt_level_span(level), PT_FLAG_USER, 0));
            assert_int_equal(translate(f, at, ST_OK).flags.bits, flags.bits | PT_FLAG_USER);
            assert_ok(pt_flush_ignore(pt_unmap(&f->pt, vaddr(at), pt_level_span(level), PT_STRICT)));
            translate(f, at, ST_NOT_MAPPED);
        }
    }
}

/* When it runs out of frames midway it keeps the tables that it has made, and says neither that nor where. */
static enum status call_map(struct fixture *f, void *argument)
{
    return pt_flush_ignore(pt_map(&f->pt, argument));
}

IN_EVERY_WAY(no_table_is_kept_when_frames_run_out)
{
    struct pt_map request = {
        .start = vaddr(FOUR_GIB - HUGE_SIZE), .length_bytes = 3 * HUGE_SIZE, .size = PT_SIZE_4K};
    uint64_t took;

    assert_ok(fail_each(f, call_map, &request, &took)); /* compares every byte of every frame */
    assert_int_equal(took, pt_tables_needed(request.start, paddr(0), request.length_bytes, PT_SIZE_4K));
}

/* Its "already mapped" says what is mapped only for some sizes. */
IN_EVERY_WAY(already_mapped_says_what_is)
{
    for (unsigned level = 1; level <= PT_PAGE_LEVELS && level <= 3; level++) {
        uint64_t at = level * 4 * GIANT_SIZE, span = pt_level_span(level);
        struct pt_map request = {
            .start = vaddr(at), .to = paddr(7 * span), .length_bytes = span, .size = (enum pt_size)level};

        assert_ok(map(f, at, 5 * span, span, (enum pt_size)level));
        assert_status(pt_flush_ignore(pt_map(&f->pt, &request)), ST_MAPPED);
        assert_int_equal(request.at.v, at);
        assert_int_equal(request.found_level, level);
        assert_true(pt_entry_is_page(request.found, level));
        assert_int_equal(pt_entry_page_paddr(request.found, level).v, 5 * span);
    }
}

/* ------------------------------------------------------------------ every allocation that can fail
 *
 * Of the calls that can take frames, those that no case above tries so. Each is to take some.
 */

enum taker {
    TAKE_MAP_LARGEST,
    TAKE_MAP_IDENTITY,
    TAKE_MAP_PAGE,
    TAKE_CURSOR_MAP,
    TAKE_MARK,
    TAKE_TABLES,
    TAKE_UNMAP,
    TAKE_UNMAP_GIVE,
    TAKE_PROTECT,
    TAKE_SPLIT,
    TAKE_CREATE,
    TAKERS
};

/* A giant page is at 4 GiB, and nothing from 5 GiB on. */
static enum status call_taker(struct fixture *f, void *argument)
{
    const enum taker *taker = argument;
    const uint64_t nothing = FOUR_GIB + 4 * GIANT_SIZE, inside = FOUR_GIB + 5 * HUGE_SIZE + 7 * PAGE_SIZE;
    struct pt_cursor cursor = pt_cursor(&f->pt);
    struct pt_map identity = {.to = paddr(nothing), .length_bytes = 3 * PAGE_SIZE};
    uint64_t storage[8];
    struct pt_batch batch;
    struct pt other;
    enum status status;

    switch (*taker) {
    case TAKE_MAP_LARGEST:
        return map(f, nothing - PAGE_SIZE, GIANT_SIZE - PAGE_SIZE, GIANT_SIZE + HUGE_SIZE + 2 * PAGE_SIZE,
                   PT_SIZE_LARGEST);
    case TAKE_MAP_IDENTITY:
        return pt_flush_ignore(pt_map_identity(&f->pt, &identity));
    case TAKE_MAP_PAGE:
        return pt_flush_ignore(pt_map_page(&f->pt, vaddr(nothing), paddr(0x1000), pt_flags(0)));
    case TAKE_CURSOR_MAP:
        return pt_flush_ignore(pt_cursor_map(&cursor, vaddr(nothing), paddr(0x1000), pt_flags(0)));
    case TAKE_MARK:
        return mark(f, nothing + PAGE_SIZE, GIANT_SIZE, 77);
    case TAKE_TABLES:
        return pt_make_tables(&f->pt, vaddr(nothing), 3 * HUGE_SIZE, 1);
    case TAKE_UNMAP:
        return pt_flush_ignore(pt_unmap(&f->pt, vaddr(inside), 3 * HUGE_SIZE, PT_SPLIT_HUGE));
    case TAKE_UNMAP_GIVE:
        pt_batch_init(&batch, &f->alloc, NULL, storage, 8);
        status = pt_unmap_give(&f->pt, vaddr(inside), 3 * HUGE_SIZE, PT_SPLIT_HUGE, &batch);
        assert_true(status == ST_OK || batch.count == 0);
        pt_batch_finish(&batch);
        return status;
    case TAKE_PROTECT:
        return pt_flush_ignore(pt_protect(&f->pt, vaddr(inside), 3 * HUGE_SIZE, pt_flags(0),
                                          pt_flags(PT_FLAG_WRITE), PT_SPLIT_HUGE));
    case TAKE_SPLIT:
        return pt_flush_ignore(pt_split(&f->pt, vaddr(inside), PT_SIZE_4K));
    default:
        status = pt_create(&other, f->pt.reach, &f->alloc);
        if (status == ST_OK)
            pt_destroy(&other);
        return status;
    }
}

static void whichever_frame_is_missing_nothing_changes(void **state)
{
    for (unsigned i = 0; i < WAY_COUNT * TAKERS; i++) {
        enum taker taker = (enum taker)(i % TAKERS);
        struct fixture fixture, *f = &fixture;
        uint64_t took = 0;

        if (i / TAKERS == WAY_RECURSIVE && (!PT_HAS_RECURSIVE || taker == TAKE_CREATE))
            continue;
        fixture_open(f, (enum machine_way)(i / TAKERS));
        assert_ok(map(f, FOUR_GIB, FOUR_GIB, GIANT_SIZE, PT_SIZE_1G));
        assert_ok(fail_each(f, call_taker, &taker, &took));
        assert_true(took > 0);
        fixture_close(f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_batch_flushes_32_pages_one_by_one_then_all),
        cmocka_unit_test(a_batch_covers_what_it_cannot_list),
        cmocka_unit_test(pages_come_back_many_at_a_time),
        cmocka_unit_test(every_cpu_forgets_the_space_it_is_told),
        cmocka_unit_test(whole_trees_are_walked),
        cmocka_unit_test(a_list_maps_each_of_its_frames),
        cmocka_unit_test(a_list_says_what_is_in_the_way),
        cmocka_unit_test(a_list_of_huge_frames),
        cmocka_unit_test(identity),
        cmocka_unit_test(flags_of_a_table_leave_it_a_table),
        cmocka_unit_test(flags_of_pages_and_tables_side_by_side),
        cmocka_unit_test(flags_of_a_level_are_refused),
        cmocka_unit_test(harvest_tests_and_clears),
        cmocka_unit_test(harvest_of_larger_pages_and_marks),
        cmocka_unit_test(harvest_splits_at_its_edges),
        cmocka_unit_test(harvest_goes_on_where_it_ended),
        cmocka_unit_test(merge_undoes_split),
        cmocka_unit_test(merge_takes_only_what_agrees),
        cmocka_unit_test(merge_keeps_what_the_mmu_has_marked),
        cmocka_unit_test(merge_of_marks),
        cmocka_unit_test(marks_replace_pages_and_say_what_was_there),
        cmocka_unit_test(marks_split_what_they_cut),
        cmocka_unit_test(marks_become_pages),
        cmocka_unit_test(the_iterator_sees_what_the_visitor_sees),
        cmocka_unit_test(the_tables_may_change_under_an_iterator),
        cmocka_unit_test(a_clone_shares_the_half),
        cmocka_unit_test(a_clone_has_a_recursive_entry_of_its_own),
        cmocka_unit_test(a_recursive_entry_is_made_where_nothing_is),
        cmocka_unit_test(windows_are_no_memory),
        cmocka_unit_test(dump_as_json),
        cmocka_unit_test(single_pages_are_ranges_of_one),
        cmocka_unit_test(an_entry_that_is_not_present_is_no_page),
        cmocka_unit_test(a_page_of_any_memory_type_can_be_changed_and_unmapped),
        cmocka_unit_test(no_table_is_kept_when_frames_run_out),
        cmocka_unit_test(already_mapped_says_what_is),
        cmocka_unit_test(whichever_frame_is_missing_nothing_changes),
    };

    return cmocka_run_group_tests_name("pt_ops", tests, NULL, NULL);
}

/*
 * The flat map of pt_model.h, and the steps that change it and the page table alike.
 */
#include "pt_model.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum cell_kind { CELL_EMPTY, CELL_PAGE, CELL_MARK };

struct cell {
    uint64_t value; /* physical address, or mark */
    uint32_t flags;
    uint32_t kind;
};

/* Around a boundary of 1 GiB, of 512 GiB, in the upper half, and room for pages of 1 GiB. */
static const struct window {
    uint64_t start, pages;
} windows[] = {{0x40000000 - 0x400000, 2048},
               {(PT_LEVELS == 3 ? 0x2000000000 : 0x8000000000) - 0x400000, 2048},
               {PT_LEVELS == 3 ? 0xffffffd000000000 : 0xffff900000000000, 2048},
               {0x80000000, 2 * 262144 + 2048}};
enum { WINDOWS = 4 };

struct model {
    struct machine *machine;
    struct pt pt;
    struct pt_alloc alloc;
    struct pt_flusher flusher;
    struct cell *cells[WINDOWS];
    /* What a CPU may hold: translations of pages used before the step, and tables that were linked. */
    struct held {
        uint64_t page, physical;
    } held[64];
    unsigned held_count;
    /* How a live MMU that wants breaks before makes knows the pages that have not been broken yet. */
    struct known {
        uint64_t page, physical, group;
        uint32_t flags;
        unsigned level;
    } known[64];
    unsigned known_count;
    bool tables_held;
    unsigned char was_linked[MACHINE_FRAMES];
    uint64_t given_sum, given_pages; /* by give_page() */
    const unsigned char *data;
    size_t size;
    unsigned steps;
    char step_text[256];
};

static _Noreturn void differ(const struct model *model, const char *what, uint64_t address)
{
    fprintf(stderr, "step %u (%s): %s at %#" PRIx64 "\n", model->steps, model->step_text, what, address);
    abort();
}

#define AGREE(model, condition, address)                                                                     \
    do {                                                                                                     \
        if (!(condition))                                                                                    \
            differ(model, #condition, address);                                                              \
    } while (0)

/* ------------------------------------------------------------------ choices from the input */

static unsigned byte(struct model *model)
{
    if (model->size == 0)
        return 0;
    model->size--;
    return *model->data++;
}

static uint64_t number(struct model *model)
{
    uint64_t n = byte(model);
    n = n << 8 | byte(model);
    return n << 8 | byte(model);
}

/* A range inside one window: where, and its first cell. */
struct span {
    unsigned window;
    uint64_t first, count; /* pages */
    struct vaddr start;
};

static struct span choose_span(struct model *model)
{
    struct span span;
    unsigned shape = byte(model);
    uint64_t a = number(model), b = number(model), unit = 1;
    const struct window *window;

    span.window = (shape & 7) < 6 ? (shape & 7) / 2 : 3;
    window = &windows[span.window];
    if (shape & 8) /* whole huge pages */
        unit = 512;
    if (span.window == 3 && shape & 16)
        unit = 262144;
    span.first = a % window->pages / unit * unit;
    span.count = 1 + b % (shape & 32 ? 8 : shape & 64 ? 40 : 700);
    if (unit > 1)
        span.count = unit * (1 + b % 3);
    if (shape & 128 && unit > 1 && span.count > 3) { /* not quite */
        span.first += 1;
        span.count -= 2;
    }
    if (span.count > window->pages - span.first)
        span.count = window->pages - span.first;
    span.start = vaddr(window->start + span.first * PAGE_SIZE);
    return span;
}

static struct cell *cell_at(struct model *model, const struct span *span, uint64_t i)
{
    return &model->cells[span->window][span->first + i];
}

static uint64_t address_of(const struct span *span, uint64_t i)
{
    return span->start.v + i * PAGE_SIZE;
}

/* ------------------------------------------------------------------ what CPUs hold */

/* What is held for a page that is not mapped, by CPUs that keep invalid entries. */
#define NO_PAGE (~(uint64_t)0)

static bool walk(const struct model *model, uint64_t address, struct known *out)
{
    uint64_t entry;

    out->page = address;
    if (!machine_walk(model->machine, model->pt.root.v, address, &out->physical, &entry, &out->level))
        return false;
    out->flags = mmu_read(entry, out->level).flags;
    out->group = mmu_read(entry, out->level).group;
    return true;
}

static void hold_page(struct model *model, uint64_t address)
{
    struct known *known = &model->known[model->known_count];
    struct held *held = &model->held[model->held_count];
    bool mapped = walk(model, address, known);

    held->page = address;
    held->physical = mapped ? known->physical : NO_PAGE;
    model->held_count += mapped || mmu_keeps_empty;
    model->known_count += mapped;
}

/* Of the range, and its neighbours. */
static void hold_some(struct model *model, const struct span *span)
{
    uint64_t step = span->count / 32 + 1;

    model->held_count = model->known_count = 0;
    for (uint64_t i = 0; i < span->count; i += step)
        hold_page(model, address_of(span, i));
    hold_page(model, address_of(span, 0) - PAGE_SIZE);
    hold_page(model, address_of(span, span->count));
    model->tables_held = true;
    memcpy(model->was_linked, model->machine->state, sizeof model->was_linked);
}

static void flush(void *context, struct vaddr start, uint64_t pages, enum pt_flush_kind kind)
{
    struct model *model = context;

    for (unsigned i = 0; i < model->held_count; i++)
        if (model->held[i].page - start.v < pages * PAGE_SIZE &&
            (kind != PT_FLUSH_NEW || model->held[i].physical == NO_PAGE))
            model->held[i--] = model->held[--model->held_count];
    for (unsigned i = 0; i < model->known_count; i++) {
        struct known now;

        if (model->known[i].page - start.v < pages * PAGE_SIZE && !walk(model, model->known[i].page, &now))
            model->known[i--] = model->known[--model->known_count]; /* broken */
    }
    if (kind == PT_FLUSH_TABLES)
        model->tables_held = false;
}

/* What is held now must be true. */
static void check_held(const struct model *model)
{
    for (unsigned i = 0; i < model->held_count; i++) {
        struct known now;
        bool mapped = walk(model, model->held[i].page, &now);

        AGREE(model, (mapped ? now.physical : NO_PAGE) == model->held[i].physical, model->held[i].page);
    }
    for (unsigned i = 0; PT_BREAK_BEFORE_MAKE && model->pt.live && i < model->known_count; i++) {
        const uint32_t breaking = PT_MEMORY_MASK | PT_FLAG_GLOBAL;
        const struct known *known = &model->known[i];
        struct known now;

        AGREE(model,
              !walk(model, known->page, &now) ||
                  (now.physical == known->physical && now.level == known->level &&
                   now.group == known->group && ((now.flags ^ known->flags) & breaking) == 0),
              known->page);
    }
}

static void give_table(void *context, struct paddr frame)
{
    struct model *model = context;
    struct pt_alloc plain = machine_alloc(model->machine);

    AGREE(model, !(model->tables_held && model->was_linked[(frame.v - MACHINE_BASE) / PAGE_SIZE]), frame.v);
    plain.give(plain.context, frame);
}

static bool take_table(void *context, struct paddr *out)
{
    struct model *model = context;
    struct pt_alloc plain = machine_alloc(model->machine);
    bool got = plain.take(plain.context, out);

    if (got)
        model->was_linked[(out->v - MACHINE_BASE) / PAGE_SIZE] = 0;
    return got;
}

static void give_page(void *context, struct paddr page, unsigned level)
{
    struct model *model = context;
    uint64_t pages = pt_level_span(level) / PAGE_SIZE;

    for (unsigned i = 0; i < model->held_count; i++)
        AGREE(model, model->held[i].physical - page.v >= pt_level_span(level), page.v);
    model->given_pages += pages;
    model->given_sum += pages * (page.v / PAGE_SIZE) + pages * (pages - 1) / 2;
}

/* ------------------------------------------------------------------ agreement */

static void check_cell(const struct model *model, unsigned window, uint64_t i)
{
    const struct cell *cell = &model->cells[window][i];
    uint64_t address = windows[window].start + i * PAGE_SIZE, physical = 0, entry;
    unsigned level;
    bool mapped = machine_walk(model->machine, model->pt.root.v, address, &physical, &entry, &level);

    AGREE(model, mapped == (cell->kind == CELL_PAGE), address);
    if (mapped) {
        AGREE(model, physical == cell->value, address);
        AGREE(model, mmu_read(entry, level).flags == cell->flags, address);
    } else {
        AGREE(model, (entry != 0) == (cell->kind == CELL_MARK), address);
        AGREE(model, cell->kind != CELL_MARK || pt_entry_mark(pt_entry(entry)).value == cell->value, address);
    }

    struct pt_translation translation;
    enum status status = pt_translate(&model->pt, vaddr(address), &translation);

    AGREE(model, status == (mapped ? ST_OK : ST_NOT_MAPPED), address);
    AGREE(model, translation.level == level && translation.entry.bits == entry, address);
    AGREE(model,
          !mapped || (translation.paddr.v == physical &&
                      (translation.flags.bits & ~(uint32_t)PT_FLAG_GROUP) == cell->flags),
          address);
}

static void check_all(const struct model *model, const struct span *span)
{
    struct pt_broken broken = {.what = ""};
    struct pt_counts counts;
    uint64_t tables = 0, step = span->count / 64 + 1;

    if (pt_check(&model->pt, &broken, &counts) != ST_OK)
        differ(model, broken.what, broken.at.v);
    for (unsigned level = 1; level <= PT_LEVELS; level++)
        tables += counts.tables[level];
    /* No frame leaks; the slots' own root is not part of the table under test. */
    if (model->pt.reach.way != PT_WAY_SLOTS)
        AGREE(model, tables == model->machine->taken, tables);
    for (uint64_t i = 0; i < span->count; i += step)
        check_cell(model, span->window, span->first + i);
    check_cell(model, span->window, span->first + span->count - 1);
    if (span->first > 0)
        check_cell(model, span->window, span->first - 1);
    if (span->first + span->count < windows[span->window].pages)
        check_cell(model, span->window, span->first + span->count);
    for (unsigned i = 0; i < 16; i++)
        check_cell(model, i % 4, (i * 7919u + model->steps * 104729u) % windows[i % 4].pages);
}

/* Every taken frame, to see that a failed call changed none. */
struct snapshot {
    unsigned count;
    struct {
        unsigned frame;
        unsigned char *bytes;
    } frames[MACHINE_FRAMES];
};

static struct snapshot *snapshot_take(const struct machine *machine)
{
    struct snapshot *snapshot = malloc(sizeof *snapshot);

    snapshot->count = 0;
    for (unsigned i = 0; i < MACHINE_FRAMES; i++) {
        if (machine->state[i]) {
            unsigned char *bytes = malloc(PAGE_SIZE);

            memcpy(bytes, machine->memory + i * PAGE_SIZE, PAGE_SIZE);
            snapshot->frames[snapshot->count].frame = i;
            snapshot->frames[snapshot->count++].bytes = bytes;
        }
    }
    return snapshot;
}

static void snapshot_check(const struct model *model, const struct snapshot *snapshot)
{
    AGREE(model, model->machine->taken == snapshot->count, snapshot->count);
    for (unsigned i = 0; i < snapshot->count; i++) {
        unsigned frame = snapshot->frames[i].frame;

        AGREE(model, model->machine->state[frame], frame);
        AGREE(model,
              memcmp(snapshot->frames[i].bytes, model->machine->memory + frame * PAGE_SIZE, PAGE_SIZE) == 0,
              frame);
    }
}

static void snapshot_free(struct snapshot *snapshot)
{
    for (unsigned i = 0; i < snapshot->count; i++)
        free(snapshot->frames[i].bytes);
    free(snapshot);
}

/* ------------------------------------------------------------------ steps */

/* One operation, chosen from the input, that can be tried again and again. */
struct step {
    struct span span;
    unsigned kind;
    struct pt_map map;
    unsigned options;
    struct pt_flags set, clear;
    enum pt_size size;
};
enum {
    STEP_MAP,
    STEP_MARK,
    STEP_UNMAP,
    STEP_UNMAP_GIVE,
    STEP_PROTECT,
    STEP_SPLIT,
    STEP_CLEAN,
    STEP_TABLES,
    STEPS
};

/* Some that no format has, or not together. */
static const uint32_t usual_flags[] = {
    PT_FLAG_WRITE,
    PT_FLAG_EXEC,
    PT_FLAG_USER | PT_FLAG_WRITE,
    PT_FLAG_GLOBAL | PT_MEMORY_UNCACHED,
    0,
    PT_FLAG_DIRTY | PT_FLAG_WRITE | PT_FLAG_ACCESSED,
    PT_FLAG_SOFT_0,
    PT_FLAG_EXEC | PT_FLAG_USER,
    PT_MEMORY_WRITE_THROUGH | PT_FLAG_EXEC | PT_FLAG_USER,
    PT_FLAG_NO_READ | PT_FLAG_EXEC,
    PT_MEMORY_5 | PT_FLAG_USER,
    5 << PT_FLAG_KEY_SHIFT | PT_FLAG_SOFT_9,
    PT_MEMORY_DEVICE | PT_FLAG_GLOBAL,
    PT_FLAG_SOFT_1 | PT_FLAG_ACCESSED | PT_FLAG_EXEC,
    PT_FLAG_DIRTY,
    PT_FLAG_NO_READ,
};

static enum status attempt(struct model *model, struct step *step)
{
    uint64_t bytes = step->span.count * PAGE_SIZE;
    uint64_t storage[5]; /* so few that flushes come early */
    struct pt_batch batch;
    enum status status = ST_OK;

    pt_batch_init(&batch, &model->alloc, &model->flusher, storage, 5);
    switch (step->kind) {
    case STEP_MAP:
    case STEP_MARK:
        return pt_flush_now(pt_map(&model->pt, &step->map), &model->flusher);
    case STEP_UNMAP:
        return pt_flush_now(pt_unmap(&model->pt, step->span.start, bytes, step->options), &model->flusher);
    case STEP_UNMAP_GIVE:
        status = pt_unmap_give(&model->pt, step->span.start, bytes, step->options, &batch);
        break;
    case STEP_PROTECT:
        status = pt_batch_add(
            &batch, pt_protect(&model->pt, step->span.start, bytes, step->set, step->clear, step->options));
        break;
    case STEP_SPLIT:
        return pt_flush_now(pt_split(&model->pt, step->span.start, step->size), &model->flusher);
    case STEP_CLEAN:
        status = pt_clean(&model->pt, step->span.start, bytes, &batch);
        break;
    default:
        return pt_make_tables(&model->pt, step->span.start, bytes, (unsigned)step->size);
    }
    if (status != ST_OK)
        AGREE(model, batch.count == 0 && batch.kind == PT_FLUSH_NONE, step->span.start.v);
    pt_batch_finish(&batch);
    return status;
}

/* Is a page (or mark, if those count) of a higher level covered in part by the edge at page `i`? */
static bool edge_is_partial(struct model *model, const struct step *step, uint64_t i, bool tail)
{
    uint64_t address = address_of(&step->span, i);
    const struct cell *cell = cell_at(model, &step->span, i);
    uint64_t physical, entry, bytes, base, end;
    unsigned level;

    if (machine_walk(model->machine, model->pt.root.v, address, &physical, &entry, &level))
        bytes = mmu_read(entry, level).group;
    else
        bytes = (uint64_t)1 << (12 + 9 * (level - 1));
    base = align_down(address, bytes);
    end = base + bytes;

    if (cell->kind == CELL_EMPTY || (cell->kind == CELL_MARK && !(step->options & PT_CLEAR_MARKS)))
        return false;
    return tail ? end > step->span.start.v + step->span.count * PAGE_SIZE : base < step->span.start.v;
}

/* Where a live group is cut that an MMU may be marking anywhere, its pages are marked ahead. */
static void follow_marks(struct model *model, const struct span *span)
{
    const uint32_t marks = PT_FLAG_ACCESSED | PT_FLAG_DIRTY;
    uint64_t first = align_down(span->first, 16), end = align_up(span->first + span->count, 16);

    if (!model->pt.live || PT_BREAK_BEFORE_MAKE || !mmu_has_groups)
        return;
    for (uint64_t i = first; i < end; i = i == first + 15 && end - i > 16 ? end - 16 : i + 1) {
        struct cell *cell = &model->cells[span->window][i];
        struct known now;

        if (cell->kind == CELL_PAGE && walk(model, windows[span->window].start + i * PAGE_SIZE, &now) &&
            ((now.flags ^ cell->flags) & ~marks) == 0)
            cell->flags |= now.flags;
    }
}

/* What stands in the way of the step, found before it is tried. */
struct obstacles {
    bool unaligned, conflict, hole, huge, mapped, unsupported;
};

static struct obstacles foresee(struct model *model, const struct step *step)
{
    const struct span *span = &step->span;
    uint64_t unit = pt_level_span(step->map.size == PT_SIZE_LARGEST ? 1 : (unsigned)step->map.size);
    struct obstacles found = {
        .unaligned = !is_aligned(
            step->map.start.v | step->map.length_bytes | (step->kind == STEP_MAP ? step->map.to.v : 0), unit),
        .mapped = cell_at(model, span, 0)->kind == CELL_PAGE,
    };

    if (step->kind == STEP_MAP)
        found.unsupported = !mmu_can(step->map.flags.bits & ~(uint32_t)PT_FLAG_GROUP) ||
                            (step->map.flags.bits & PT_FLAG_GROUP && !mmu_has_groups);
    for (uint64_t i = 0; i < span->count; i++) {
        const struct cell *cell = cell_at(model, span, i);

        if (step->kind == STEP_PROTECT && cell->kind == CELL_PAGE)
            found.unsupported |= !mmu_can((cell->flags & ~step->clear.bits) | step->set.bits);
        found.conflict |= cell->kind != CELL_EMPTY;
        found.hole |=
            cell->kind == CELL_EMPTY || (cell->kind == CELL_MARK && !(step->options & PT_CLEAR_MARKS));
    }
    found.hole &= !(step->options & PT_SKIP_HOLES);
    for (unsigned edge = 0; edge < 4; edge++)
        found.huge |= edge_is_partial(model, step, edge & 1 ? span->count - 1 : 0, edge & 2);
    found.huge &= !(step->options & PT_SPLIT_HUGE);
    return found;
}

/* Is there a page that could have the flags that are set? If not, none has to be there for the refusal. */
static bool some_page_can(const struct step *step)
{
    uint32_t set = step->set.bits;

    if (set & PT_FLAG_NO_READ)
        set |= PT_FLAG_EXEC & ~step->clear.bits;
    return mmu_can(set);
}

/* Is this the right answer when memory suffices? Two may be right when two things are wrong. */
static bool expected(const struct step *step, const struct obstacles *found, enum status status)
{
    switch (step->kind) {
    case STEP_MAP:
    case STEP_MARK:
        if (found->unaligned)
            return status == ST_NOT_ALIGNED;
        if (found->unsupported)
            return status == ST_UNSUPPORTED;
        if (found->conflict)
            return status == ST_MAPPED || status == ST_HUGE_PAGE;
        /* A table without entries is in the way of a page as large as its span only. */
        return status == ST_OK || (status == ST_MAPPED && step->map.size > PT_SIZE_4K &&
                                   pt_entry_is_table(step->map.found, step->map.found_level));
    case STEP_UNMAP:
    case STEP_UNMAP_GIVE:
    case STEP_PROTECT:
        if (status == ST_UNSUPPORTED)
            return found->unsupported || !some_page_can(step);
        if (found->hole || found->huge)
            return (found->hole && status == ST_NOT_MAPPED) || (found->huge && status == ST_HUGE_PAGE);
        return status == ST_OK && !found->unsupported;
    case STEP_SPLIT:
        return status == (found->mapped ? ST_OK : ST_NOT_MAPPED);
    case STEP_TABLES:
        return status == ST_OK || (found->conflict && (status == ST_HUGE_PAGE || status == ST_MAPPED));
    default:
        return status == ST_OK;
    }
}

/* The same in the flat map. */
static void apply(struct model *model, const struct step *step)
{
    uint64_t sum = 0, pages = 0;

    for (uint64_t i = 0; i < step->span.count; i++) {
        struct cell *cell = cell_at(model, &step->span, i);

        switch (step->kind) {
        case STEP_MAP:
            *cell = (struct cell){step->map.to.v + i * PAGE_SIZE,
                                  step->map.flags.bits & ~(uint32_t)PT_FLAG_GROUP, CELL_PAGE};
            break;
        case STEP_MARK:
            *cell = (struct cell){step->map.mark.value, 0, CELL_MARK};
            break;
        case STEP_UNMAP:
        case STEP_UNMAP_GIVE:
            if (cell->kind == CELL_PAGE) {
                pages++;
                sum += cell->value / PAGE_SIZE;
            }
            if (cell->kind == CELL_PAGE || step->options & PT_CLEAR_MARKS)
                *cell = (struct cell){0, 0, CELL_EMPTY};
            break;
        case STEP_PROTECT:
            if (cell->kind == CELL_PAGE)
                cell->flags = (cell->flags & ~step->clear.bits) | step->set.bits;
            break;
        default:
            return;
        }
    }
    if (step->kind == STEP_UNMAP_GIVE)
        AGREE(model, pages == model->given_pages && sum == model->given_sum, step->span.start.v);
}

static void choose_step(struct model *model, struct step *step)
{
    static const unsigned char kinds[16] = {STEP_MAP,     STEP_MAP,        STEP_MAP,        STEP_MAP,
                                            STEP_MAP,     STEP_MARK,       STEP_UNMAP,      STEP_UNMAP,
                                            STEP_UNMAP,   STEP_UNMAP_GIVE, STEP_UNMAP_GIVE, STEP_PROTECT,
                                            STEP_PROTECT, STEP_SPLIT,      STEP_CLEAN,      STEP_TABLES};
    static const char *const names[STEPS] = {"map",     "mark",  "unmap", "unmap, give",
                                             "protect", "split", "clean", "make tables"};
    unsigned choice = byte(model), more = byte(model), flags = byte(model);
    uint64_t to = number(model) * PAGE_SIZE;

    *step =
        (struct step){.kind = kinds[choice & 15], .options = (choice >> 4) & 7, .span = choose_span(model)};
    step->size = (enum pt_size)(more & 3);
    if (more & 4) /* congruent, so that huge pages fit */
        to = align_down(to, HUGE_SIZE) + (step->span.start.v & (HUGE_SIZE - 1));
    if (more & 8)
        to = align_down(to, GIANT_SIZE) + (step->span.start.v & (GIANT_SIZE - 1));
    step->set = pt_flags(usual_flags[flags & 15]);
    step->clear = pt_flags(usual_flags[flags >> 4]);
    /* What is changed as a whole. */
    if ((step->set.bits | step->clear.bits) & PT_MEMORY_MASK)
        step->clear.bits |= PT_MEMORY_MASK;
    if (step->set.bits & PT_FLAG_NO_READ)
        step->clear.bits |= PT_FLAG_WRITE;
    if (step->clear.bits & PT_FLAG_KEY)
        step->clear.bits |= PT_FLAG_KEY;
    step->map = (struct pt_map){.start = step->span.start,
                                .to = paddr(to),
                                .length_bytes = step->span.count * PAGE_SIZE,
                                .flags = step->set,
                                .size = more & 16 ? PT_SIZE_LARGEST : step->size};
    if (step->span.first % 3 != 0 && (mmu_has_groups || step->span.first % 16 == 1))
        step->map.flags.bits |= PT_FLAG_GROUP;
    if (step->kind == STEP_MARK)
        step->map.mark.value = 1 + number(model);
    if (step->kind == STEP_PROTECT)
        step->options &= ~(unsigned)PT_CLEAR_MARKS;
    if (step->kind == STEP_SPLIT || step->kind == STEP_TABLES)
        step->size = (enum pt_size)(1 + more % (PT_LEVELS > 3 ? 3 : 2));
    model->pt.live = more & 128;
    snprintf(model->step_text, sizeof model->step_text,
             "%s %#" PRIx64 " + %" PRIu64 " pages, to %#" PRIx64
             " flags %#x (clear %#x) size %d options %u%s",
             names[step->kind], step->span.start.v, step->span.count, to,
             step->kind == STEP_MAP ? step->map.flags.bits : step->set.bits, step->clear.bits,
             (int)step->map.size, step->options, model->pt.live ? ", live" : "");
}

static void run_step(struct model *model)
{
    struct step step;
    struct obstacles found;
    struct snapshot *before;
    enum status status;
    uint64_t fail = 0;

    model->steps++;
    choose_step(model, &step);
    found = foresee(model, &step);
    before = snapshot_take(model->machine);
    do { /* fail at the first frame, the second, ... until it needs no more */
        hold_some(model, &step.span);
        model->given_pages = model->given_sum = 0;
        model->machine->takes = 0;
        model->machine->fail_after = fail < 40 ? fail : ~(uint64_t)0;
        fail++;
        status = attempt(model, &step);
        model->machine->fail_after = ~(uint64_t)0;
        if (status != ST_OK)
            snapshot_check(model, before);
    } while (status == ST_NO_MEMORY && fail <= 41);
    snapshot_free(before);

    if (!expected(&step, &found, status))
        differ(model, status_name(status), step.map.at.v);
    if (status == ST_OK) {
        apply(model, &step);
        follow_marks(model, &step.span);
    }
    check_held(model);
    check_all(model, &step.span);
}

static bool count_visit(void *context, const struct pt_visit *visit)
{
    struct pt_counts *counts = context;

    if (pt_entry_is_page(visit->entry, visit->level))
        counts->pages[visit->level]++;
    else if (pt_entry_is_mark(visit->entry))
        counts->marks++;
    return true;
}

/* Everything out again: nothing but the root remains. */
static void end_run(struct model *model, enum machine_way way, unsigned roots)
{
    struct pt_counts seen = {0}, counts;
    struct pt_broken broken;
    uint64_t storage[64];
    struct pt_batch batch;

    AGREE(model, pt_check(&model->pt, &broken, &counts) == ST_OK, 0);
    AGREE(model, pt_visit_all(&model->pt, PT_LEVELS_ALL, count_visit, &seen) == ST_OK, 0);
    if (way != WAY_SLOTS_SAME_ROOT && way != WAY_RECURSIVE)
        AGREE(model, memcmp(seen.pages, counts.pages, sizeof seen.pages) == 0 && seen.marks == counts.marks,
              0);
    snprintf(model->step_text, sizeof model->step_text, "the end");
    for (unsigned w = 0; w < WINDOWS; w++)
        for (uint64_t i = 0; i < windows[w].pages; i += w == 3 ? 61 : 1)
            check_cell(model, w, i);
    pt_batch_init(&batch, &model->alloc, &model->flusher, storage, 64);
    for (unsigned w = 0; w < WINDOWS; w++) {
        model->tables_held = false;
        model->held_count = 0;
        AGREE(model,
              pt_unmap_give(&model->pt, vaddr(windows[w].start), windows[w].pages * PAGE_SIZE,
                            PT_SKIP_HOLES | PT_SPLIT_HUGE | PT_CLEAR_MARKS, &batch) == ST_OK,
              windows[w].start);
        AGREE(model,
              pt_clean(&model->pt, vaddr(windows[w].start), windows[w].pages * PAGE_SIZE, &batch) == ST_OK,
              windows[w].start);
    }
    pt_batch_finish(&batch);
    AGREE(model, model->machine->taken == roots, model->machine->taken);
}

void pt_model_run(enum machine_way way, const unsigned char *data, size_t size)
{
    struct model *model = calloc(1, sizeof *model);
    struct pt_alloc plain;
    unsigned roots;

    model->machine = machine_create();
    model->data = data;
    model->size = size;
    for (unsigned w = 0; w < WINDOWS; w++)
        model->cells[w] = calloc(windows[w].pages, sizeof *model->cells[w]);
    plain = machine_alloc(model->machine);
    if (way == WAY_RECURSIVE && !PT_HAS_RECURSIVE)
        way = WAY_OFFSET;
    model->pt = machine_table(model->machine, way, &plain);
    roots = model->machine->taken;
    model->alloc =
        (struct pt_alloc){.take = take_table, .give = give_table, .give_page = give_page, .context = model};
    model->flusher = (struct pt_flusher){.flush = flush, .context = model};
    model->pt.alloc = &model->alloc;
    model->pt.flusher = &model->flusher;
    while (model->size > 0)
        run_step(model);
    end_run(model, way, roots);
    for (unsigned w = 0; w < WINDOWS; w++)
        free(model->cells[w]);
    machine_destroy(model->machine);
    free(model);
}

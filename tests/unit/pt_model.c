/*
 * The flat map of pt_model.h: what CPUs hold, agreement, and the sequence of steps (pt_model_steps.c).
 */
#include "pt_model_internal.h"

_Noreturn void model_differ(const struct model *model, const char *what, uint64_t address)
{
    fprintf(stderr, "step %u (%s): %s at %#" PRIx64 "\n", model->steps, model->step_text, what, address);
    abort();
}

/* ------------------------------------------------------------------ what CPUs hold */

/* What is held for a page that is not mapped, by CPUs that keep invalid entries. */
#define NO_PAGE (~(uint64_t)0)

bool model_walk(const struct model *model, uint64_t address, struct known *out)
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
    bool mapped = model_walk(model, address, known);

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

        if (model->known[i].page - start.v < pages * PAGE_SIZE &&
            !model_walk(model, model->known[i].page, &now))
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
        bool mapped = model_walk(model, model->held[i].page, &now);

        AGREE(model, (mapped ? now.physical : NO_PAGE) == model->held[i].physical, model->held[i].page);
    }
    for (unsigned i = 0; PT_BREAK_BEFORE_MAKE && model->pt.live && i < model->known_count; i++) {
        const uint32_t breaking = PT_MEMORY_MASK | PT_FLAG_GLOBAL;
        const struct known *known = &model->known[i];
        struct known now;

        AGREE(model,
              !model_walk(model, known->page, &now) ||
                  (now.physical == known->physical && now.level == known->level &&
                   now.group == known->group && ((now.flags ^ known->flags) & breaking) == 0),
              known->page);
    }
}

static void forget_page(void *context, unsigned space, struct vaddr page, enum pt_flush_kind kind)
{
    flush(context, page, 1, kind);
}

static void forget_space(void *context, unsigned space, enum pt_flush_kind kind)
{
    flush(context, vaddr(0), ~(uint64_t)0 >> PAGE_SHIFT, kind); /* but for the last page of all */
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
        model_differ(model, broken.what, broken.at.v);
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

static void run_step(struct model *model)
{
    struct step step;
    struct obstacles found;
    struct snapshot *before;
    enum status status;
    uint64_t fail = 0;

    model->steps++;
    step_choose(model, &step);
    found = step_foresee(model, &step);
    before = snapshot_take(model->machine);
    do { /* fail at the first frame, the second, ... until it needs no more */
        hold_some(model, &step.span);
        model->given_pages = model->given_sum = 0;
        model->machine->takes = 0;
        model->machine->fail_after = fail < 40 ? fail : ~(uint64_t)0;
        fail++;
        status = step_attempt(model, &step);
        model->machine->fail_after = ~(uint64_t)0;
        if (status != ST_OK)
            snapshot_check(model, before);
    } while (status == ST_NO_MEMORY && fail <= 41);
    snapshot_free(before);

    if (!step_expected(model, &step, &found, status))
        model_differ(model, status_name(status), step.map.at.v);
    if (status == ST_OK) {
        step_apply(model, &step);
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
    model->accessed = calloc(windows[3].pages / 64 + 1, sizeof *model->accessed);
    model->dirty = calloc(windows[3].pages / 64 + 1, sizeof *model->dirty);
    plain = machine_alloc(model->machine);
    if (way == WAY_RECURSIVE && !PT_HAS_RECURSIVE)
        way = WAY_OFFSET;
    model->pt = machine_table(model->machine, way, &plain);
    roots = model->machine->taken;
    model->alloc =
        (struct pt_alloc){.take = take_table, .give = give_table, .give_page = give_page, .context = model};
    model->flusher = (struct pt_flusher){.flush = flush, .context = model};
    model->tlb = (struct pt_tlb){.forget_page = forget_page, .forget_space = forget_space, .context = model};
    if (size % 2) /* through a flusher for spaces with numbers */
        model->flusher = pt_tlb_flusher(&model->tlb);
    model->pt.alloc = &model->alloc;
    model->pt.flusher = &model->flusher;
    while (model->size > 0)
        run_step(model);
    end_run(model, way, roots);
    for (unsigned w = 0; w < WINDOWS; w++)
        free(model->cells[w]);
    free(model->accessed);
    free(model->dirty);
    machine_destroy(model->machine);
    free(model);
}

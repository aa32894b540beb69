/*
 * The steps of pt_model.h: chosen from the input, tried with the library, foreseen and followed by the flat
 * map.
 */
#include "pt_model_internal.h"

#include "quire/pt_cursor.h"

enum { MARKS = PT_FLAG_ACCESSED | PT_FLAG_DIRTY };

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

/* ------------------------------------------------------------------ doing it */

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

/* The calls for one page, and those with a cursor that has been there before. */
static struct pt_flush attempt_page(struct model *model, struct step *step)
{
    struct pt_cursor cursor = pt_cursor(&model->pt);
    struct vaddr page = step->span.start;
    struct pt_translation found;

    if (step->by == CURSOR)
        (void)!pt_cursor_translate(&cursor, page, &found);
    if (step->kind == STEP_MAP)
        return step->by == CURSOR ? pt_cursor_map(&cursor, page, step->map.to, step->map.flags)
                                  : pt_map_page(&model->pt, page, step->map.to, step->map.flags);
    if (step->kind == STEP_UNMAP)
        return step->by == CURSOR ? pt_cursor_unmap(&cursor, page) : pt_unmap_page(&model->pt, page);
    return pt_protect_page(&model->pt, page, step->set, step->clear);
}

static enum status attempt_list(struct model *model, const struct step *step)
{
    struct pt_map_list list = {
        .start = step->span.start, .frames = model->frames, .count = step->span.count, .flags = step->set};

    return pt_flush_now(pt_map_list(&model->pt, &list), &model->flusher);
}

static void note_replaced(void *context, const struct pt_visit *was)
{
    struct model *model = context;

    model->given_pages += pt_level_span(was->level) / PAGE_SIZE;
}

static enum status attempt_harvest(struct model *model, const struct step *step)
{
    size_t map_bytes = step->span.count / 8 + sizeof(uint64_t);

    memset(model->accessed, 0, map_bytes);
    memset(model->dirty, 0, map_bytes);
    model->harvest = (struct pt_harvest){.start = step->span.start,
                                         .length_bytes = step->span.count * PAGE_SIZE,
                                         .clear = pt_flags(step->clear.bits & MARKS),
                                         .options = step->options & PT_SPLIT_HUGE,
                                         .accessed = model->accessed,
                                         .dirty = model->dirty};
    return pt_flush_now(pt_harvest(&model->pt, &model->harvest), &model->flusher);
}

/* A number for a sequence of entries. */
static void mix(uint64_t *sum, const struct pt_visit *visit)
{
    const uint64_t parts[] = {visit->start.v, visit->entry.bits, visit->level, visit->index};

    for (unsigned i = 0; i < 4; i++)
        *sum = (*sum ^ parts[i]) * 0x100000001b3; /* FNV */
}

static bool mix_visit(void *context, const struct pt_visit *visit)
{
    mix(context, visit);
    return true;
}

/* The iterator gives what the visitor sees. */
static enum status compare_iterator(struct model *model, const struct step *step)
{
    struct vaddr last =
        vaddr(step->span.start.v + (step->span.count < 3000 ? step->span.count : 3000) * PAGE_SIZE - 1);
    unsigned levels = step->size == 0 ? PT_LEVELS_ALL : PT_LEVEL((unsigned)step->size);
    uint64_t visited = 1, iterated = 1;
    struct pt_iterator iterator;
    struct pt_visit visit;

    AGREE(model, pt_visit_range(&model->pt, step->span.start, last, levels, mix_visit, &visited) == ST_OK,
          last.v);
    AGREE(model, pt_iterate(&iterator, &model->pt, step->span.start, last, levels) == ST_OK, last.v);
    while (pt_next(&iterator, &visit))
        mix(&iterated, &visit);
    AGREE(model, visited == iterated, step->span.start.v);
    return ST_OK;
}

/* The half that it shares, and nothing else, is in the clone; which goes again. */
static enum status clone_and_compare(struct model *model, enum pt_half half)
{
    unsigned keep_level = model->pt.keep_level;
    struct pt clone;
    enum status status = pt_clone_half(&clone, &model->pt, half);

    if (status != ST_OK)
        return status;
    for (unsigned w = 0; w < WINDOWS; w++) {
        for (uint64_t i = 0; i < windows[w].pages; i += 31) {
            uint64_t address = windows[w].start + i * PAGE_SIZE, physical = 0, entry;
            bool shared = ((int64_t)address < 0) == (half == PT_HALF_UPPER), mapped;
            unsigned level;

            mapped = machine_walk(model->machine, clone.root.v, address, &physical, &entry, &level);
            AGREE(model, mapped == (shared && model->cells[w][i].kind == CELL_PAGE), address);
            AGREE(model, !mapped || physical == model->cells[w][i].value, address);
        }
    }
    if (model->pt.reach.way == PT_WAY_RECURSIVE) {
        model->alloc.give(model->alloc.context, clone.root);
    } else {
        pt_forget_half(&clone, half);
        pt_destroy(&clone);
    }
    model->pt.keep_level = keep_level;
    return ST_OK;
}

enum status step_attempt(struct model *model, struct step *step)
{
    uint64_t bytes = step->span.count * PAGE_SIZE;
    uint64_t storage[5]; /* so few that flushes come early */
    struct pt_batch batch;
    enum status status = ST_OK;

    if (step->by != RANGE)
        return pt_flush_now(attempt_page(model, step), &model->flusher);
    pt_batch_init(&batch, &model->alloc, &model->flusher, storage, 5);
    switch (step->kind) {
    case STEP_LIST:
        return attempt_list(model, step);
    case STEP_PUT_MARK:
        return pt_flush_now(pt_put_mark(&model->pt, step->span.start, bytes, step->map.mark,
                                        step->options & (PT_SKIP_HOLES | PT_SPLIT_HUGE), note_replaced,
                                        model),
                            &model->flusher);
    case STEP_FILL_MARK:
        return pt_flush_now(
            pt_fill_mark(&model->pt, step->span.start, step->map.mark, step->map.to, step->set, NULL),
            &model->flusher);
    case STEP_HARVEST:
        return attempt_harvest(model, step);
    case STEP_MERGE:
        status =
            pt_merge(&model->pt, step->span.start, bytes, step->size, step->options & PT_SKIP_HOLES, &batch);
        break;
    case STEP_ITERATE:
        return compare_iterator(model, step);
    case STEP_CLONE:
        return clone_and_compare(model, step->size & 1 ? PT_HALF_UPPER : PT_HALF_LOWER);
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
    const uint32_t marks = MARKS;
    uint64_t first = align_down(span->first, 16), end = align_up(span->first + span->count, 16);

    if (!model->pt.live || PT_BREAK_BEFORE_MAKE || !mmu_has_groups)
        return;
    for (uint64_t i = first; i < end; i = i == first + 15 && end - i > 16 ? end - 16 : i + 1) {
        struct cell *cell = &model->cells[span->window][i];
        struct known now;

        if (cell->kind == CELL_PAGE && model_walk(model, windows[span->window].start + i * PAGE_SIZE, &now) &&
            ((now.flags ^ cell->flags) & ~marks) == 0)
            cell->flags |= now.flags;
    }
}

/* Is each of its 2 MiB the pages of one larger page? */
static bool is_uniform(struct model *model, const struct span *span)
{
    for (uint64_t i = 0; i < span->count; i++) {
        const struct cell *cell = cell_at(model, span, i), *head = cell_at(model, span, i - i % PT_ENTRIES);

        if (cell->kind != CELL_PAGE || head->value % HUGE_SIZE != 0 ||
            cell->value != head->value + i % PT_ENTRIES * PAGE_SIZE ||
            ((cell->flags ^ head->flags) & ~(uint32_t)MARKS))
            return false;
    }
    return true;
}

struct obstacles step_foresee(struct model *model, const struct step *step)
{
    const struct span *span = &step->span;
    uint64_t unit = pt_level_span(step->map.size == PT_SIZE_LARGEST ? 1 : (unsigned)step->map.size);
    struct obstacles found = {
        .unaligned = !is_aligned(
            step->map.start.v | step->map.length_bytes | (step->kind == STEP_MAP ? step->map.to.v : 0), unit),
        .mapped = cell_at(model, span, 0)->kind == CELL_PAGE,
    };

    found.first = *cell_at(model, span, 0);
    if (step->kind == STEP_MERGE)
        found.unaligned =
            !is_aligned(span->start.v | span->count * PAGE_SIZE, pt_level_span((unsigned)step->size));
    found.uniform = step->kind == STEP_MERGE && !found.unaligned && is_uniform(model, span);
    if (step->kind == STEP_LIST || step->kind == STEP_FILL_MARK)
        found.unsupported = !mmu_can(step->set.bits);
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

bool step_expected(const struct model *model, const struct step *step, const struct obstacles *found,
                   enum status status)
{
    switch (step->kind) {
    case STEP_FILL_MARK:
        if (found->unsupported)
            return status == ST_UNSUPPORTED;
        if (found->first.kind != CELL_MARK)
            return status == (found->first.kind == CELL_PAGE ? ST_MAPPED : ST_NOT_MAPPED);
        return status == (found->first.value == step->map.mark.value ? ST_OK : ST_RETRY);
    case STEP_HARVEST:
        return status == (found->huge ? ST_HUGE_PAGE : ST_OK);
    case STEP_MERGE:
        if (found->unaligned)
            return status == ST_NOT_ALIGNED;
        if (step->options & PT_SKIP_HOLES)
            return status == ST_OK;
        if (found->uniform && step->size == PT_SIZE_2M && !mmu_has_groups)
            return status == ST_OK || status == ST_HUGE_PAGE;
        return status == ST_OK || status == ST_NOT_MAPPED || status == ST_DIFFERENT ||
               status == ST_NOT_ALIGNED || status == ST_HUGE_PAGE;
    case STEP_CLONE:
        return status == (PT_ROOT_HALVES == 2 ? ST_OK : ST_UNSUPPORTED);
    case STEP_LIST:
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
    case STEP_PUT_MARK:
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

/* The answer for a page. A group that is cut while it is live may have been marked ahead. */
static void check_harvested(const struct model *model, const struct cell *cell, uint64_t i)
{
    uint32_t flags = cell->kind == CELL_PAGE ? cell->flags : 0, seen = 0;
    bool ahead = model->pt.live && mmu_has_groups && cell->kind == CELL_PAGE;

    seen |= model->accessed[i / 64] >> i % 64 & 1 ? PT_FLAG_ACCESSED : 0;
    seen |= model->dirty[i / 64] >> i % 64 & 1 ? PT_FLAG_DIRTY : 0;
    AGREE(model, seen == (flags & MARKS) || (ahead && (seen & flags & MARKS) == (flags & MARKS)), i);
}

/* Marks of one part are those of the whole; on a live table ahead of the MMU. */
static void follow_merge(struct model *model, const struct step *step)
{
    for (uint64_t i = 0; i < step->span.count; i++) {
        struct cell *cell = cell_at(model, &step->span, i);
        uint64_t address = address_of(&step->span, i);
        struct known now;

        if (cell->kind != CELL_PAGE || !model_walk(model, address, &now))
            continue;
        AGREE(model, ((now.flags ^ cell->flags) & ~(uint32_t)MARKS) == 0 && (cell->flags & ~now.flags) == 0,
              address);
        cell->flags = now.flags;
    }
}

void step_apply(struct model *model, const struct step *step)
{
    uint64_t sum = 0, pages = 0;

    for (uint64_t i = 0; i < step->span.count; i++) {
        struct cell *cell = cell_at(model, &step->span, i);

        switch (step->kind) {
        case STEP_LIST:
            *cell = (struct cell){model->frames[i].v, step->set.bits, CELL_PAGE};
            break;
        case STEP_PUT_MARK:
            if (cell->kind != CELL_EMPTY) {
                pages++;
                *cell = (struct cell){step->map.mark.value, 0, CELL_MARK};
            }
            break;
        case STEP_FILL_MARK:
            *cell = (struct cell){step->map.to.v, step->set.bits, CELL_PAGE};
            break;
        case STEP_HARVEST:
            check_harvested(model, cell, i);
            if (cell->kind == CELL_PAGE)
                cell->flags &= ~model->harvest.clear.bits;
            break;
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
            i = step->span.count;
        }
    }
    if (step->kind == STEP_MERGE)
        follow_merge(model, step);
    follow_marks(model, &step->span);
    if (step->kind == STEP_PUT_MARK)
        AGREE(model, pages == model->given_pages, step->span.start.v);
    if (step->kind == STEP_UNMAP_GIVE)
        AGREE(model, pages == model->given_pages && sum == model->given_sum, step->span.start.v);
}

/* Some steps are for one page, or for so many. */
static void choose_amount(struct step *step, unsigned more)
{
    bool either = step->kind == STEP_MAP || step->kind == STEP_UNMAP || step->kind == STEP_PROTECT;

    if (either && (more & 0x60) == 0x20)
        step->by = PAGE;
    if (either && (more & 0x60) == 0x40 && step->kind != STEP_PROTECT)
        step->by = CURSOR;
    if (step->by != RANGE)
        step->options = PT_STRICT;
    if (step->by != RANGE || step->kind == STEP_FILL_MARK)
        step->span.count = 1;
    if (step->kind == STEP_LIST && step->span.count > MODEL_LISTED)
        step->span.count = MODEL_LISTED;
}

void step_choose(struct model *model, struct step *step)
{
    static const unsigned char kinds[32] = {
        STEP_MAP,      STEP_MAP,      STEP_MAP,       STEP_MAP,        STEP_MAP,        STEP_MARK,
        STEP_UNMAP,    STEP_UNMAP,    STEP_UNMAP,     STEP_UNMAP_GIVE, STEP_UNMAP_GIVE, STEP_PROTECT,
        STEP_PROTECT,  STEP_SPLIT,    STEP_CLEAN,     STEP_TABLES,     STEP_LIST,       STEP_LIST,
        STEP_PUT_MARK, STEP_PUT_MARK, STEP_FILL_MARK, STEP_FILL_MARK,  STEP_HARVEST,    STEP_HARVEST,
        STEP_HARVEST,  STEP_MERGE,    STEP_MERGE,     STEP_MERGE,      STEP_ITERATE,    STEP_CLONE,
        STEP_MAP,      STEP_PROTECT};
    static const char *const names[STEPS] = {"map",        "mark",       "unmap",       "unmap, give",
                                             "protect",    "split",      "clean",       "make tables",
                                             "map a list", "put a mark", "fill a mark", "harvest",
                                             "merge",      "iterate",    "clone a half"};
    unsigned choice = byte(model), more = byte(model), flags = byte(model);
    uint64_t to = number(model) * PAGE_SIZE;

    *step =
        (struct step){.kind = kinds[choice & 31], .options = (choice >> 5) & 7, .span = choose_span(model)};
    step->size = (enum pt_size)(more & 3);
    choose_amount(step, more);
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
    if (step->by != RANGE || step->kind == STEP_LIST)
        step->map.size = PT_SIZE_4K;
    if (step->kind == STEP_MARK || step->kind == STEP_PUT_MARK || step->kind == STEP_FILL_MARK)
        step->map.mark.value = 1 + number(model);
    if (step->kind == STEP_FILL_MARK && more & 1 && cell_at(model, &step->span, 0)->kind == CELL_MARK)
        step->map.mark.value = cell_at(model, &step->span, 0)->value;
    for (uint64_t i = 0; step->kind == STEP_LIST && i < step->span.count; i++)
        model->frames[i] = paddr(to + i * 7919 % 4099 * PAGE_SIZE);
    /* What the call says of itself. */
    if (step->kind == STEP_PUT_MARK) /* a mark is no hole */
        step->options |= PT_CLEAR_MARKS;
    if (step->kind == STEP_HARVEST)
        step->options = (step->options | PT_SKIP_HOLES) & ~(unsigned)PT_CLEAR_MARKS;
    if (step->kind == STEP_MERGE)
        step->size = more & 1 ? PT_SIZE_1G : PT_SIZE_2M;
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

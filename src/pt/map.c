/*
 * Mapping a range, and making tables.
 *
 * The range is cut into chunks: what one table of the leaves' level holds of it. For each chunk a walk goes
 * down from the root once, and then the whole run of entries is looked at or written.
 *
 *   prepare   every entry of the range must be empty; counts the tables that are missing, and takes their
 * frames commit    fills the runs. Where tables are missing, the new ones are built from the leaf upwards
 * while no MMU sees them, and one store links them all
 *
 * Which level a page gets is decided by its place alone (and by tables that are there), so that both passes
 * decide the same.
 */
#include "pt/pt_internal.h"

/* One request, made ready. */
struct job {
    uint64_t start, last; /* the range, inclusive */
    uint64_t to_minus_start;
    unsigned leaf; /* the largest level of a page */
    bool exact;    /* all pages are of that level */
    bool tables_only;
    bool group; /* make neighbours one translation */
    /* Where all leaves are of level 1: the first, and the distance between two. */
    struct pt_entry first;
    uint64_t step;
    struct pt_map *request;
    uint64_t frames_needed;
};

/* The part of a job that one table holds. */
struct chunk {
    struct vaddr at;
    unsigned level; /* of the leaves */
    unsigned count; /* of entries; of the bytes, when a walk stopped above */
    struct pt_path path;
};

/* The largest level that both addresses allow, whatever their place in the range. */
static unsigned congruent_level(uint64_t to_minus_start)
{
    unsigned level = PT_PAGE_LEVELS;

    while (level > 1 && !is_aligned(to_minus_start, pt_level_span(level)))
        level--;
    return level;
}

/* The level of the leaf at `at`: the largest whose span begins here and ends in the range. */
PT_INLINE unsigned level_at(const struct job *job, uint64_t at)
{
    unsigned level = job->leaf;

    if (job->exact)
        return level;
    while (level > 1 && !(is_aligned(at, pt_level_span(level)) && job->last - at >= pt_level_span(level) - 1))
        level--;
    return level;
}

PT_INLINE struct pt_entry leaf_at(const struct job *job, uint64_t at, unsigned level)
{
    const struct pt_map *request = job->request;

    if (request->mark.value != 0)
        return pt_entry_from_mark(request->mark);
    return pt_entry_page(paddr(at + job->to_minus_start), request->flags, level);
}

PT_INLINE uint64_t leaf_step(const struct job *job, unsigned level)
{
    return job->request->mark.value != 0 ? 0 : pt_entry_step(level);
}

static void report_conflict(const struct job *job, uint64_t at, unsigned level, struct pt_entry found)
{
    job->request->at = vaddr(align_down(at, pt_level_span(level)));
    job->request->found = found;
    job->request->found_level = level;
}

/* Out of line, where a run is long and registers are short. */
static __attribute__((noinline)) void fill(struct pt_entry *run, unsigned count, struct pt_entry first,
                                           uint64_t step)
{
    run_fill(run, count, first, step);
}

/* Writes the leaves of the chunk from `run` on, whose first entry is number `index`. */
PT_INLINE void fill_leaves(const struct job *job, struct pt_entry *run, unsigned index,
                           const struct chunk *chunk)
{
    struct pt_entry first;
    uint64_t step;

    if (job->leaf == 1) {
        step = job->step;
        first = pt_entry(job->first.bits + ((chunk->at.v - job->start) >> PAGE_SHIFT) * step);
    } else {
        step = leaf_step(job, chunk->level);
        first = leaf_at(job, chunk->at.v, chunk->level);
    }
    if (PT_GROUP_ENTRIES > 1 && job->group && chunk->level <= PT_GROUP_LEVELS &&
        is_aligned(job->to_minus_start, PT_GROUP_ENTRIES * pt_level_span(chunk->level)))
        run_fill_groups(run, index, chunk->count, first, step);
    else
        fill(run, chunk->count, first, step);
}

/* Walk to the chunk at `at`. Tables that are there push the leaves to a lower level, unless the level is
 * exact. */
PT_INLINE enum status chunk_find(enum pt_way way, const struct pt *pt, const struct job *job, uint64_t at,
                                 struct chunk *chunk)
{
    chunk->at = vaddr(at);
    chunk->level = level_at(job, at);
    for (;; chunk->level--) {
        enum status status = path_walk(way, pt, chunk->at, chunk->level, &chunk->path);

        if (status != ST_OK)
            return status;
        if (chunk->path.level > chunk->level || chunk->level == 1 || job->exact ||
            !pt_entry_is_table(pt_entry_load(&chunk->path.table[chunk->path.index]), chunk->level))
            break;
        table_close(way, pt, chunk->path.table);
    }

    uint64_t left = ((job->last - at) >> pt_level_shift(chunk->level)) + 1;

    if (chunk->level > 1 && !job->exact) /* the last one may be there in part only */
        left = (job->last - at + 1) >> pt_level_shift(chunk->level);
    chunk->count = PT_ENTRIES - pt_index(chunk->at, chunk->level);
    if (left < chunk->count)
        chunk->count = (unsigned)left;
    return ST_OK;
}

/* ------------------------------------------------------------------ prepare */

/* The walk stopped above the leaves' level. */
static enum status prepare_missing(struct job *job, const struct chunk *chunk)
{
    const struct pt_path *path = &chunk->path;
    uint64_t entry_last = path_next(chunk->at, path->level) - 1;

    if (!pt_entry_empty(path->entry)) {
        if (!pt_entry_valid(path->entry, path->level))
            return ST_INVALID;
        report_conflict(job, chunk->at.v, path->level, path->entry);
        return pt_entry_present(path->entry) ? ST_HUGE_PAGE : ST_MAPPED;
    }
    job->frames_needed +=
        tables_below(chunk->at.v, entry_last < job->last ? entry_last : job->last, path->level,
                     job->leaf < path->level ? job->leaf : path->level, job->exact);
    return ST_OK;
}

/* The first entry of the run that is not empty; `count` when all are. */
static unsigned first_used(const struct pt_entry *run, unsigned count)
{
    unsigned i = 0;

    while (i < count && pt_entry_empty(pt_entry_load(&run[i])))
        i++;
    return i;
}

/* The run of the chunk must be empty. It is cut short before a table that the leaves can go into. */
PT_INLINE enum status prepare_run(const struct job *job, struct chunk *chunk)
{
    const struct pt_entry *run = &chunk->path.table[chunk->path.index];

    if (__builtin_expect(run_or(run, chunk->count) == 0, 1))
        return ST_OK;

    unsigned i = first_used(run, chunk->count);
    struct pt_entry found = pt_entry_load(&run[i]);

    if (i > 0 && !job->exact && pt_entry_is_table(found, chunk->level)) {
        chunk->count = i;
        return ST_OK;
    }
    report_conflict(job, chunk->at.v + ((uint64_t)i << pt_level_shift(chunk->level)), chunk->level, found);
    return pt_entry_valid(found, chunk->level) ? ST_MAPPED : ST_INVALID;
}

/* One chunk. `*next` is where the following one begins, 0 at the end of memory. Leaves the table open. */
PT_INLINE enum status prepare_chunk(enum pt_way way, const struct pt *pt, struct job *job, uint64_t at,
                                    struct chunk *chunk, uint64_t *next)
{
    enum status status = chunk_find(way, pt, job, at, chunk);

    if (status != ST_OK)
        return status;
    if (chunk->path.level > chunk->level) {
        status = prepare_missing(job, chunk);
        *next = path_next(chunk->at, chunk->path.level);
    } else if (job->tables_only) {
        *next = path_next(chunk->at, chunk->level + 1);
    } else {
        status = prepare_run(job, chunk);
        *next = at + ((uint64_t)chunk->count << pt_level_shift(chunk->level));
    }
    if (status != ST_OK)
        table_close(way, pt, chunk->path.table);
    return status;
}

/* ------------------------------------------------------------------ commit */

/* A new table of the chunk's level, with its run in it. Gives the entry that will point to it. */
PT_INLINE struct pt_entry build_leaf_table(enum pt_way way, struct pt *pt, const struct job *job,
                                           const struct chunk *chunk, struct stash *stash)
{
    struct paddr frame = stash_pop(way, stash);
    struct pt_entry *table = frame_open(way, pt, frame);
    unsigned first = pt_index(chunk->at, chunk->level);
    unsigned count = job->tables_only ? 0 : chunk->count;

    if (!pt->alloc->zeroed) {
        __builtin_memset(table, 0, first * sizeof *table);
        __builtin_memset(table + first + count, 0, (PT_ENTRIES - first - count) * sizeof *table);
    }
    if (count > 0)
        fill_leaves(job, table + first, first, chunk);
    frame_close(way, pt, table);
    return pt_entry_with_live(pt_entry_table(frame), (int)count);
}

/* A new table of `level` whose one entry is `child`. */
static struct pt_entry build_table(enum pt_way way, struct pt *pt, struct vaddr at, unsigned level,
                                   struct pt_entry child, struct stash *stash)
{
    struct paddr frame = stash_pop(way, stash);
    struct pt_entry *table = frame_open(way, pt, frame);

    if (!pt->alloc->zeroed)
        __builtin_memset(table, 0, PAGE_SIZE);
    table[pt_index(at, level)] = child;
    frame_close(way, pt, table);
    return pt_entry_with_live(pt_entry_table(frame), 1);
}

PT_INLINE void commit_chunk(enum pt_way way, struct pt *pt, const struct job *job, struct chunk *chunk,
                            struct stash *stash)
{
    struct pt_path *path = &chunk->path;
    struct pt_entry *at = &path->table[path->index];

    if (path->level > chunk->level) {
        struct pt_entry child = build_leaf_table(way, pt, job, chunk, stash);

        for (unsigned level = chunk->level + 1; level < path->level; level++)
            child = build_table(way, pt, chunk->at, level, child, stash);
        pt_entry_store(at, child);
        path_add_live(way, pt, path, chunk->at, 1);
        if (way == PT_WAY_RECURSIVE)
            reach_forget_tables(&pt->reach, chunk->at, chunk->level, path->level);
    } else if (!job->tables_only) {
        if (!job->exact && chunk->level > 1) /* tables end the run, as when preparing */
            chunk->count = first_used(at, chunk->count);
        fill_leaves(job, at, path->index, chunk);
        path_add_live(way, pt, path, chunk->at, (int)chunk->count);
    }
    table_close(way, pt, path->table);
}

PT_INLINE enum status map_work(enum pt_way way, struct pt *pt, struct job *job)
{
    struct chunk chunk;
    struct stash stash;
    enum status status;

    for (uint64_t at = job->start, next = 0;; at = next) {
        status = prepare_chunk(way, pt, job, at, &chunk, &next);
        if (status != ST_OK)
            return status;
        if (next - 1 >= job->last) {
            if (at == job->start && job->frames_needed == 0) { /* all of it in one table */
                commit_chunk(way, pt, job, &chunk, &stash);
                return ST_OK;
            }
            table_close(way, pt, chunk.path.table);
            break;
        }
        table_close(way, pt, chunk.path.table);
    }

    status = stash_fill(&stash, pt, job->frames_needed);
    if (status != ST_OK)
        return status;
    for (uint64_t at = job->start;;) {
        if (chunk_find(way, pt, job, at, &chunk) != ST_OK)
            __builtin_trap(); /* it could be walked when preparing */
        commit_chunk(way, pt, job, &chunk, &stash);
        at = job->tables_only ? path_next(chunk.at, chunk.level + 1)
                              : at + ((uint64_t)chunk.count << pt_level_shift(chunk.level));
        if (at - 1 >= job->last)
            break;
    }
    return ST_OK;
}

static __attribute__((noinline)) enum status map_work_slowly(enum pt_way way, struct pt *pt, struct job *job)
{
    return map_work(way, pt, job);
}

static enum status run_job(struct pt *pt, struct job *job)
{
    enum status status = reach_check(pt);

    return status == ST_OK ? PT_BY_WAY(pt, map_work, pt, job) : status;
}

/* ------------------------------------------------------------------ entry points */

/* No bit of [to, to + length) is one that a frame's address cannot have. */
PT_INLINE bool memory_exists(struct paddr to, uint64_t length_bytes)
{
    return ((to.v | (to.v + length_bytes - 1)) & ~(PT_PHYSICAL_MASK | PAGE_MASK)) == 0;
}

/* The level-1 table that is missing at quick->parent, with `count` pages in it. False: no frame. */
static __attribute__((noinline)) bool map_new_table(struct pt *pt, struct vaddr start, unsigned count,
                                                    struct pt_entry first, const struct pt_quick *quick)
{
    unsigned index = pt_index(start, 1);
    struct pt_entry *table;
    struct paddr frame;

    if (!pt->alloc->take(pt->alloc->context, &frame))
        return false;
    table = frame_open(PT_WAY_OFFSET, pt, frame);
    if (!pt->alloc->zeroed) {
        run_clear(table, index);
        run_clear(table + index + count, PT_ENTRIES - index - count);
    }
    fill(table + index, count, first, pt_entry_step(1));
    pt_entry_store(quick->parent, pt_entry_with_live(pt_entry_table(frame), (int)count));
    pt_quick_add_live(quick->above, pt_entry_load(quick->above), 1);
    return true;
}

/* The range fits into the empty run of one level-1 table, which is there, or is all that is missing. */
PT_INLINE bool map_quickly(struct pt *pt, const struct pt_map *request)
{
    unsigned count = quick_count(request->start, request->length_bytes);
    struct pt_entry *run, first;
    struct pt_quick quick;

    if (count == 0 || request->size > PT_SIZE_4K || request->mark.value != 0 ||
        !is_aligned(request->to.v, PAGE_SIZE) || !memory_exists(request->to, request->length_bytes) ||
        !pt_flags_fit(request->flags) || !pt_canonical(request->start) ||
        !pt_quick_walk(pt, request->start, &quick))
        return false;
    first = pt_entry_page(request->to, request->flags, 1);
    if (!pt_quick_leaf(pt, request->start, &quick, &run))
        return request->size == PT_SIZE_4K && pt_entry_empty(pt_entry_load(quick.parent)) &&
               map_new_table(pt, request->start, count, first, &quick);
    if (run_or(run, count) != 0)
        return false;
    run_fill(run, count, first, pt_entry_step(1));
    pt_quick_add_live(quick.parent, quick.entry, (int)count);
    return true;
}

static enum status map_range(struct pt *pt, struct pt_map *request)
{
    struct job job = {
        .start = request->start.v, .request = request, .exact = request->size != PT_SIZE_LARGEST};
    struct pt_flags flags = pt_flags(request->flags.bits & ~(uint32_t)PT_FLAG_GROUP);
    unsigned align_level = job.exact ? (unsigned)request->size : 1;
    enum status status;

    if (align_level > PT_PAGE_LEVELS || (request->mark.value >> PT_MARK_BITS) != 0)
        return ST_INVALID;
    status = range_check(request->start, request->length_bytes, pt_level_span(align_level), &job.last);
    if (status != ST_OK)
        return status;
    if (request->mark.value == 0) {
        if (!is_aligned(request->to.v, pt_level_span(align_level)))
            return ST_NOT_ALIGNED;
        if (!memory_exists(request->to, request->length_bytes))
            return ST_INVALID;
        job.group = (request->flags.bits & PT_FLAG_GROUP) != 0;
        if (!pt_flags_fit(flags) || (job.group && PT_GROUP_ENTRIES == 1))
            return ST_UNSUPPORTED;
        job.to_minus_start = request->to.v - job.start;
    }
    job.leaf = job.exact ? align_level : congruent_level(job.to_minus_start);
    job.first = leaf_at(&job, job.start, 1);
    job.step = leaf_step(&job, 1);
    return run_job(pt, &job);
}

struct pt_flush pt_map(struct pt *pt, struct pt_map *request)
{
    enum status status = ST_OK;

    if (__builtin_expect(!map_quickly(pt, request), 0))
        status = map_range(pt, request);
    return status == ST_OK ? flush_promise(request->start, request->length_bytes, PT_FLUSH_OF_MAP)
                           : pt_flush_failed(status);
}

struct pt_flush pt_map_page_slowly(struct pt *pt, struct vaddr page, struct paddr to, struct pt_flags flags)
{
    struct pt_map request = {
        .start = page, .to = to, .length_bytes = PAGE_SIZE, .flags = flags, .size = PT_SIZE_4K};

    return pt_map(pt, &request);
}

enum status pt_make_tables(struct pt *pt, struct vaddr start, uint64_t length_bytes, unsigned level)
{
    struct pt_map nothing = {.start = start, .length_bytes = length_bytes};
    struct job job = {
        .start = start.v, .request = &nothing, .exact = true, .leaf = level, .tables_only = true};
    enum status status;

    if (level < 1 || level >= PT_LEVELS)
        return ST_INVALID;
    status = range_check(start, length_bytes, PAGE_SIZE, &job.last);
    return status == ST_OK ? run_job(pt, &job) : status;
}

uint64_t pt_tables_needed(struct vaddr start, struct paddr to, uint64_t length_bytes, enum pt_size size)
{
    bool exact = size != PT_SIZE_LARGEST;

    return tables_below(start.v, start.v + length_bytes - 1, PT_LEVELS,
                        exact ? (unsigned)size : congruent_level(to.v - start.v), exact);
}

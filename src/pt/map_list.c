/*
 * Mapping frames that do not follow each other, and the identity map.
 *
 *   prepare   every frame is one that a page of this size can show, every entry of the range is empty, the
 * tables that are missing can be made commit    fills the runs
 *
 * The tables are made before the first entry is written; pt_make_tables() fails without a trace.
 */
#include "pt/pt_internal.h"

/* The part of the list that one table holds: `count` entries from `path` on, for frames[first]. */
struct part {
    struct pt_path path;
    uint64_t first;
    unsigned count;
};

static uint64_t address_of(const struct pt_map_list *request, unsigned level, uint64_t i)
{
    return request->start.v + (i << pt_level_shift(level));
}

static enum status check_frames(struct pt_map_list *request, unsigned level)
{
    uint64_t span = pt_level_span(level);

    for (uint64_t i = 0; i < request->count; i++) {
        uint64_t frame = request->frames[i].v;

        request->at = vaddr(address_of(request, level, i));
        if (!is_aligned(frame, span))
            return ST_NOT_ALIGNED;
        if (((frame | (frame + span - 1)) & ~(PT_PHYSICAL_MASK | PAGE_MASK)) != 0)
            return ST_INVALID;
    }
    return ST_OK;
}

static enum status conflict(struct pt_map_list *request, uint64_t at, unsigned level, struct pt_entry found)
{
    request->at = vaddr(align_down(at, pt_level_span(level)));
    request->found = found;
    request->found_level = level;
    return pt_entry_valid(found, level) ? ST_MAPPED : ST_INVALID;
}

/* Walks to the table for frames[first]; it may end above. Leaves it open. */
static enum status find_part(enum pt_way way, const struct pt *pt, const struct pt_map_list *request,
                             unsigned level, uint64_t first, struct part *part)
{
    struct vaddr at = vaddr(address_of(request, level, first));
    uint64_t left = request->count - first;
    unsigned room = PT_ENTRIES - pt_index(at, level);

    part->first = first;
    part->count = left < room ? (unsigned)left : room;
    return path_walk(way, pt, at, level, &part->path);
}

/* The part's entries, or the one above that has no table, must be empty. */
static enum status check_part(struct pt_map_list *request, unsigned level, const struct part *part)
{
    const struct pt_path *path = &part->path;
    uint64_t at = address_of(request, level, part->first);

    if (path->level > level) {
        if (pt_entry_empty(path->entry))
            return ST_OK;
        enum status status = conflict(request, at, path->level, path->entry);

        return status == ST_MAPPED && pt_entry_present(path->entry) ? ST_HUGE_PAGE : status;
    }
    for (unsigned i = 0; i < part->count; i++) {
        struct pt_entry found = pt_entry_load(&path->table[path->index + i]);

        if (!pt_entry_empty(found))
            return conflict(request, address_of(request, level, part->first + i), level, found);
    }
    return ST_OK;
}

static enum status prepare(struct pt *pt, struct pt_map_list *request, unsigned level)
{
    enum pt_way way = pt->reach.way;
    struct part part;

    for (uint64_t i = 0; i < request->count; i += part.count) {
        enum status status = find_part(way, pt, request, level, i, &part);

        if (status != ST_OK)
            return status;
        status = check_part(request, level, &part);
        table_close(way, pt, part.path.table);
        if (status != ST_OK)
            return status;
    }
    return pt_make_tables(pt, request->start, request->count << pt_level_shift(level), level);
}

static void commit(struct pt *pt, const struct pt_map_list *request, unsigned level)
{
    enum pt_way way = pt->reach.way;
    struct part part;

    for (uint64_t i = 0; i < request->count; i += part.count) {
        if (find_part(way, pt, request, level, i, &part) != ST_OK)
            __builtin_trap(); /* it could be walked when preparing */
        for (unsigned k = 0; k < part.count; k++)
            pt_entry_store(&part.path.table[part.path.index + k],
                           pt_entry_page(request->frames[i + k], request->flags, level));
        path_add_live(way, pt, &part.path, vaddr(address_of(request, level, i)), (int)part.count);
        table_close(way, pt, part.path.table);
    }
}

static enum status map_list(struct pt *pt, struct pt_map_list *request, unsigned level)
{
    uint64_t last, length_bytes = request->count << pt_level_shift(level);
    enum status status;

    if (level > PT_PAGE_LEVELS)
        return ST_INVALID;
    if (!pt_flags_fit(request->flags))
        return ST_UNSUPPORTED;
    if (length_bytes >> pt_level_shift(level) != request->count)
        return ST_NOT_CANONICAL;
    status = range_check(request->start, length_bytes, pt_level_span(level), &last);
    if (status == ST_OK)
        status = check_frames(request, level);
    if (status == ST_OK)
        status = reach_check(pt);
    if (status == ST_OK)
        status = prepare(pt, request, level);
    if (status == ST_OK)
        commit(pt, request, level);
    return status;
}

struct pt_flush pt_map_list(struct pt *pt, struct pt_map_list *request)
{
    unsigned level = request->size == PT_SIZE_LARGEST ? 1 : (unsigned)request->size;
    enum status status = map_list(pt, request, level);

    return status == ST_OK
               ? flush_promise(request->start, request->count << pt_level_shift(level), PT_FLUSH_OF_MAP)
               : pt_flush_failed(status);
}

struct pt_flush pt_map_identity(struct pt *pt, struct pt_map *request)
{
    request->start = vaddr(request->to.v);
    return pt_map(pt, request);
}

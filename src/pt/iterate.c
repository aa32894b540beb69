/*
 * An iterator from outside: the same entries as pt_visit_range(), one a call.
 *
 * It is a position, and nothing else: an address, and the highest level whose entry there has not been given
 * yet. Each call walks down from the root to the next entry that is not empty. That costs a walk an entry; in
 * return the tables may change between two calls.
 */
#include "pt/pt_internal.h"

/* Go to `next`, where entries of every level that has one beginning there are new. */
static void move_to(struct pt_iterator *iterator, uint64_t next)
{
    unsigned spare = 64 - pt_level_shift(PT_LEVELS + 1), level = 1;

    if (PT_ROOT_HALVES == 2) /* over the addresses that are not canonical */
        next = (uint64_t)((int64_t)(next << spare) >> spare);
    iterator->ended = next - 1 >= iterator->last;
    while (level < PT_LEVELS && is_aligned(next, pt_level_span(level + 1)))
        level++;
    iterator->at = next;
    iterator->level = level;
}

/* Is the entry one to be given? Steps behind it, or into it. */
static bool give_entry(struct pt_iterator *iterator, struct pt_entry entry, unsigned level,
                       struct pt_visit *out)
{
    const struct pt *pt = iterator->pt;
    bool wanted = (iterator->levels & PT_LEVEL(level)) != 0;
    bool inside = pt_entry_is_table(entry, level) && pt_entry_paddr(entry).v != pt->root.v &&
                  (iterator->levels & (PT_LEVEL(level) - 1)) != 0;

    *out = (struct pt_visit){.start = vaddr(align_down(iterator->at, pt_level_span(level))),
                             .entry = entry,
                             .level = level,
                             .index = pt_index(vaddr(iterator->at), level)};
    if (inside)
        iterator->level = level - 1;
    else
        move_to(iterator, path_next(vaddr(iterator->at), level));
    return wanted;
}

/* Looks for the next entry in the table of iterator->level, or goes on behind the table. True: `out` is one.
 */
static bool next_in_table(struct pt_iterator *iterator, struct pt_visit *out)
{
    enum pt_way way = iterator->pt->reach.way;
    struct pt_entry entry = pt_entry(0);
    struct pt_path path;
    uint64_t at = iterator->at;
    unsigned i;

    if (path_walk(way, iterator->pt, vaddr(at), iterator->level, &path) != ST_OK) {
        move_to(iterator, path_next(vaddr(at), PT_LEVELS)); /* has become the recursive entry */
        return false;
    }
    for (i = path.index; i < PT_ENTRIES && pt_entry_empty(entry); i++)
        entry = pt_entry_load(&path.table[i]);
    table_close(way, iterator->pt, path.table);
    if (pt_entry_empty(entry)) {
        move_to(iterator, path_next(vaddr(at), path.level + 1));
        return false;
    }
    if (i - 1 > path.index) {
        move_to(iterator, align_down(at, pt_level_span(path.level)) +
                              (uint64_t)(i - 1 - path.index) * pt_level_span(path.level));
        return false;
    }
    /* Above the level that is asked for: the tables that were below have gone. */
    if (path.level > iterator->level) {
        move_to(iterator, path_next(vaddr(at), path.level));
        return false;
    }
    return give_entry(iterator, entry, path.level, out);
}

bool pt_next(struct pt_iterator *iterator, struct pt_visit *out)
{
    while (!iterator->ended)
        if (next_in_table(iterator, out))
            return true;
    return false;
}

enum status pt_iterate(struct pt_iterator *iterator, const struct pt *pt, struct vaddr start,
                       struct vaddr last, unsigned levels)
{
    enum status status = reach_check(pt);

    if (status != ST_OK)
        return status;
    if (!pt_canonical(start) || !pt_canonical(last))
        return ST_NOT_CANONICAL;
    if (PT_ROOT_HALVES == 1 && (int64_t)(start.v ^ last.v) < 0)
        return ST_NOT_CANONICAL;
    if (last.v < start.v)
        return ST_INVALID;
    *iterator = (struct pt_iterator){
        .pt = pt, .at = start.v, .last = last.v, .levels = levels, .level = PT_LEVELS, .ended = false};
    return ST_OK;
}

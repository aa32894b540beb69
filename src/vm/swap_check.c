/*
 * The invariants of swap (swap_internal.h), walked.
 *
 * Whether the slots count just the marks that there are is checked in place, because there may be no memory
 * to count in: each mark takes its count away, then all counts must be 0, then each mark gives it back. A
 * table that several spaces reach is looked at once, for which it is stamped with the number of the walk.
 */
#include "vm/object_internal.h"
#include "vm/swap_internal.h"
#include "vm/table.h"

static _Noreturn void broken(uint32_t slot, const char *what)
{
    const struct swap_slot *s = slot_at(slot);

    host_panic("swap slot %u (count %u, flags %#x, frame %#x): %s", slot, s->count, s->flags, s->frame, what);
}

bool swap_mark_agrees(uint32_t slot)
{
    bool agrees;

    lock_take(&swap.lock);
    agrees = slot > 0 && slot <= swap.slots && slot_is_taken(slot) && slot_at(slot)->count > 0;
    lock_drop(&swap.lock);
    return agrees;
}

bool swap_frame_agrees(const struct frame *frame, bool writable)
{
    bool agrees;

    lock_take(&swap.lock);
    agrees = !(frame_flags(frame) & FRAME_SLOT) || (slot_frame(slot_at(frame->paging.slot)) == frame &&
                                                    (!writable || slot_at(frame->paging.slot)->count == 0));
    lock_drop(&swap.lock);
    return agrees;
}

static void check_frame(uint32_t slot, const struct swap_slot *s)
{
    const struct frame *frame = slot_frame(s);

    if (!(frame_flags(frame) & FRAME_SLOT) || frame->paging.slot != slot)
        broken(slot, "its frame is another slot's");
    if (frame->use != FRAME_ANON && frame->use != FRAME_SHARED)
        broken(slot, "its frame is no page");
    if (frame_refs(frame) < 1 + frame_mapcount(frame) + (frame->use == FRAME_SHARED))
        broken(slot, "its frame has too few references");
    if (s->count == 0 && frame->use == FRAME_ANON && frame_mapcount(frame) == 0 &&
        !(frame_flags(frame) & FRAME_BUSY))
        broken(slot, "nobody wants it");
    if (frame->use == FRAME_SHARED && s->count > 0)
        broken(slot, "its page is in memory and in swap");
    if (frame->use == FRAME_ANON && frame->page.index != slot_origin(s))
        broken(slot, "its frame has another origin");
}

static void check_slot(uint32_t slot, struct swap_counts *found)
{
    const struct swap_slot *s = slot_at(slot);

    if (s->frame)
        check_frame(slot, s);
    else if (s->flags & (SLOT_STALE | SLOT_LEAVING) && !(s->flags & (SLOT_BAD | SLOT_DOOMED)))
        broken(slot, "its contents are nowhere");
    if (!s->frame && s->count == 0 && !(s->flags & (SLOT_BAD | SLOT_DOOMED)))
        broken(slot, "it is in use by nobody");
    if (s->flags & SLOT_DOOMED && !(s->flags & SLOT_WRITING))
        broken(slot, "it is doomed for ever");
    found->used++;
    found->cached += s->frame != 0;
    found->bad += (s->flags & SLOT_BAD) != 0;
    found->zero += (s->flags & SLOT_ZERO) != 0;
}

/* Who is charged for slots is remembered until the last of them is free. */
static void check_members(const uint32_t *slots)
{
    for (uint32_t member = 1; member < MEMBERS_MAX; member++)
        if (slots[member] != members_in_swap(member))
            host_panic("swap: member %u is charged for %u slots and has %u", member, members_in_swap(member),
                       slots[member]);
}

void swap_check(void)
{
    static uint32_t by_member[MEMBERS_MAX]; /* w */
    struct swap_counts found = {0};
    uint32_t empty = 0;

    lock_take(&swap.lock);
    for (uint32_t member = 0; member < MEMBERS_MAX; member++)
        by_member[member] = 0;
    for (uint32_t slot = 1; slot <= swap.slots; slot++) {
        if (!slot_is_taken(slot))
            continue;
        check_slot(slot, &found);
        by_member[slot_at(slot)->member]++;
    }
    check_members(by_member);
    for (uint32_t word = 0; word < swap.words; word++)
        empty += swap.taken[word] == 0;
    CHECK_ALWAYS(found.used == swap.used && found.cached == swap.cached);
    CHECK_ALWAYS(found.bad == swap.bad && found.zero == swap.zero && empty == swap.empty_words);
    lock_drop(&swap.lock);
}

uint64_t swap_unmapped_frames(void)
{
    uint64_t count = 0;

    lock_take(&swap.lock);
    for (uint32_t slot = 1; slot <= swap.slots; slot++) {
        const struct frame *frame = slot_is_taken(slot) ? slot_frame(slot_at(slot)) : NULL;

        count += frame && frame->use == FRAME_ANON && frame_mapcount(frame) == 0;
    }
    lock_drop(&swap.lock);
    return count;
}

/* ------------------------------------------------------------------ marks against counts */

struct count_walk {
    uint8_t stamp;
    int by;
};

static void count_mark(const struct count_walk *walk, uint32_t slot)
{
    struct swap_slot *s = slot_at(slot);

    if (slot > swap.slots || !slot_is_taken(slot))
        host_panic("a mark is about swap slot %u, which is free", slot);
    if (walk->by < 0 && s->count == 0)
        broken(slot, "more marks than it counts");
    s->count = (s->count + (uint32_t)walk->by) & 0xffffff;
}

static void count_table(const struct count_walk *walk, struct frame *table)
{
    const struct pt_entry *entries = table_entries(table);
    unsigned level = table->table.level;

    if (table->table.spare == walk->stamp)
        return;
    table->table.spare = walk->stamp;
    for (unsigned i = 0; i < (level == PT_LEVELS ? USER_ROOT_ENTRIES : PT_ENTRIES); i++) {
        if (pt_entry_is_table(entries[i], level))
            count_table(walk, entry_table(entries[i]));
        else if (level == 1 && entry_slot(entries[i]))
            count_mark(walk, entry_slot(entries[i]));
    }
}

static void count_space(struct space *space, void *context)
{
    count_table(context, space->root);
}

static void count_object(struct object *object, void *context)
{
    uint64_t index = 0;
    void *value;

    for (; (value = radix_next(&object->pages, &index)) != NULL; index++)
        if (tag_slot(value))
            count_mark(context, tag_slot(value));
}

static void count_all(struct count_walk *walk)
{
    spaces_for_each(count_space, walk);
    object_for_each(count_object, walk);
}

/* No lock of swap: nobody else is there, and the walks take locks that come before. */
void swap_check_marks(void)
{
    struct count_walk take = {1, -1}, give = {2, 1};

    count_all(&take);
    for (uint32_t slot = 1; slot <= swap.slots; slot++)
        if (slot_is_taken(slot) && slot_at(slot)->count != 0)
            broken(slot, "it counts more than there are marks");
    count_all(&give);
    take = (struct count_walk){0, 0};
    count_all(&take); /* the stamps are off again */
}

/*
 * Members for reports, and their invariants.
 */
#include "vm/floor.h"
#include "vm/members_internal.h"

bool member_look(uint32_t member, struct member_report *out)
{
    const struct scope_member *of = &members_list[member];
    const struct record *record = &members_records[member];
    bool alive;

    lock_take(&pages_lock);
    alive = member < MEMBERS_MAX && member_is_alive(member);
    if (alive)
        *out = (struct member_report){
            .class = of->class,
            .place = of->place,
            .minimum = of->minimum,
            .low = of->low,
            .high = record->high,
            .maximum = record->maximum,
            .frames = member_total(member),
            .file = record->file,
            .shared = record->shared,
            .swapped = __atomic_load_n(&record->swapped, __ATOMIC_RELAXED),
            .frames_peak = record->frames_peak,
            .target = of->target,
            .working_set = of->working_set,
            .rate = of->rate,
            .time = of->time,
            .faults = of->faults,
            .evicted = record->evicted,
            .dirty = record->dirty,
            .lost = record->lost,
            .lost_protected = record->lost_protected,
            .looked_at = record->looked_at,
            .refaults = {record->refaults[0], record->refaults[1]},
            .swap_outs = record->swap_outs,
            .above_high = record->above_high,
            .above_maximum = record->above_maximum,
            .starved = record->starved,
        };
    lock_drop(&pages_lock);
    return alive;
}

void members_look(struct reclaim_report *out)
{
    out->policy = members_policy()->name;
    out->scope = members_scope.config.kind;
    out->rule = members_scope.config.rule;
    out->frames = members_scope.config.frames;
    out->nobodys = members_nobodys;
    out->evicted = victims_chosen;
    out->dirty = victims_dirty;
    out->moved = members_scope.moved;
    out->starved = members_scope.starved;
    out->swap_outs = members_swap_outs;
    out->swap_ins = members_swap_ins;
}

/* The frames of all pools, by who is charged; those of files, too. */
static void count_frames(uint32_t *frames, uint32_t *files)
{
    for (uint32_t i = 0; i < pools_made; i++)
        for (uint32_t number = 0; pools[i].policy && number < pools[i].names.used; number++) {
            const struct frame *frame = pool_frame(&pools[i], number);

            uint32_t member =
                frame && member_is_alive(frame->paging.member) ? frame->paging.member : MEMBER_NOBODY;

            if (!frame)
                continue;
            frames[member]++;
            files[member] += frame->use == FRAME_FILE;
        }
}

const char *members_check(void)
{
    static uint32_t frames[MEMBERS_MAX], files[MEMBERS_MAX]; /* pages_lock */
    uint64_t all_files = 0;

    for (uint32_t i = 0; i < MEMBERS_MAX; i++)
        frames[i] = files[i] = 0;
    count_frames(frames, files);
    for (uint32_t i = 0; i < MEMBERS_MAX; i++)
        all_files += files[i];
    if (all_files != floor_files())
        return "pages of files are miscounted";
    if (frames[MEMBER_NOBODY] != members_nobodys)
        return "pages that nobody is charged for are miscounted";
    for (uint32_t i = 1; i < MEMBERS_MAX; i++) {
        if (frames[i] != members_list[i].frames)
            return "a member's frames are not those that it is charged for";
        if (member_is_alive(i) && files[i] != members_records[i].file)
            return "a member's pages of files are miscounted";
        if (members_records[i].left > members_nobodys)
            return "the dead have left more than is nobody's";
    }
    return NULL;
}

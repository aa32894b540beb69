/*
 * Overcommit: how much memory may be promised.
 *
 * Invariant: `bound` is no less than what is promised, as long as the mode is COMMIT_NEVER: every promise
 * is added to it, and a walk brings it down to the truth.
 */
#include "kernel/linux/commit.h"

#include "kernel/task/task.h"
#include "quire/frame.h"
#include "quire/swap.h"

static enum overcommit mode = COMMIT_GUESS;
static uint64_t ratio = 50; /* percent: Linux's default */
static uint64_t fixed_pages;
static uint64_t bound;

enum overcommit overcommit_mode(void)
{
    return mode;
}

void overcommit_set_mode(enum overcommit wanted)
{
    mode = wanted;
    bound = UINT64_MAX; /* not known: the next promise counts anew */
}

uint64_t overcommit_ratio(void)
{
    return ratio;
}

uint64_t overcommit_pages(void)
{
    return fixed_pages;
}

/* The one takes the place of the other. */
void overcommit_set_ratio(uint64_t percent)
{
    ratio = percent;
    fixed_pages = 0;
}

void overcommit_set_pages(uint64_t pages)
{
    fixed_pages = pages;
    ratio = pages ? 0 : ratio;
}

static uint64_t swap_pages(void)
{
    struct swap_counts counts;

    swap_count(&counts);
    return counts.slots;
}

uint64_t commit_limit(void)
{
    return (fixed_pages ? fixed_pages : frames_managed() * ratio / 100) + swap_pages();
}

uint64_t committed(void)
{
    struct frame_counts counts;

    frames_count(&counts);
    return vm_committed_pages() + counts.by_use[FRAME_SHARED];
}

/* A part is kept for root, and a part of a large process's for others to end it with: Linux's
 * admin_reserve_kbytes and user_reserve_kbytes. */
static uint64_t allowed_now(void)
{
    enum { ADMIN_RESERVE_PAGES = 8192 / 4, USER_RESERVE_PAGES = 131072 / 4, USER_PART = 32 };
    const struct process *process = process_current();
    uint64_t allowed = commit_limit(), kept = 0;

    if (!process_may(process, CAP_SYS_ADMIN))
        kept = ADMIN_RESERVE_PAGES;
    if (process->space) {
        uint64_t part = (space_mapped_bytes(process->space) >> PAGE_SHIFT) / USER_PART;

        kept += part < USER_RESERVE_PAGES ? part : USER_RESERVE_PAGES;
    }
    return allowed > kept ? allowed - kept : 0;
}

bool commit_allows(uint64_t bytes)
{
    uint64_t pages = bytes >> PAGE_SHIFT, allowed;

    if (mode == COMMIT_ALWAYS || (mode == COMMIT_GUESS && pages <= frame_table_count / 4))
        return true;          /* nearly always: without counting what there is */
    if (mode == COMMIT_GUESS) /* only what can never be is refused */
        return pages <= frames_managed() || pages - frames_managed() <= swap_pages();
    allowed = allowed_now();
    if (pages >= allowed)
        return false;
    if (bound >= allowed - pages)
        bound = committed();
    if (bound >= allowed - pages)
        return false;
    bound += pages;
    return true;
}

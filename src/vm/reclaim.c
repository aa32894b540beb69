/*
 * Reclaim: when pages leave memory, and how many.
 */
#include "quire/reclaim.h"

#include "quire/slab.h"
#include "vm/evict.h"
#include "vm/members.h"
#include "vm/pages.h"
#include "vm/space_internal.h"

/* So many batches in a row from which nothing could be freed (their pages were wanted again, or could not be
 * written) are enough to say that nothing can. */
enum { FRUITLESS_BATCHES = 8 };

void reclaim_init(void)
{
    pages_init();
    members_init();
}

/* From now on pages are enrolled as they come; those that are there are, now. */
static bool watch(void)
{
    enum status status;

    if (__atomic_load_n(&pages_watched, __ATOMIC_ACQUIRE))
        return true;
    lock_take(&pages_lock);
    status = members_start();
    if (status == ST_OK)
        __atomic_store_n(&pages_watched, true, __ATOMIC_RELEASE);
    lock_drop(&pages_lock);
    if (status == ST_OK)
        pages_sweep();
    return status == ST_OK;
}

void reclaim_upkeep(struct space *space)
{
    (void)watch(); /* without memory for it now: the next one tries again */
}

/* Nothing was found that can go. True: look again. */
static bool look_again(void)
{
    return pages_wait() || pages_sweep() > 0;
}

static uint64_t reclaim_for(uint64_t wanted, uint32_t taker)
{
    unsigned fruitless = 0;
    uint64_t freed = 0;

    if (!watch())
        return slab_trim();
    while (freed < wanted && fruitless < FRUITLESS_BATCHES) {
        uint64_t left = wanted - freed;
        struct evicted evicted = evict(left < EVICT_BATCH ? (unsigned)left : EVICT_BATCH, taker);

        freed += evicted.freed;
        fruitless = evicted.freed > 0 ? 0 : fruitless + 1;
        if (evicted.chosen == 0 && (freed > 0 || !look_again()))
            break;
    }
    return freed > 0 ? freed : slab_trim();
}

uint64_t reclaim(uint64_t wanted)
{
    return reclaim_for(wanted, 0);
}

bool vm_make_room(void)
{
    return reclaim_for(EVICT_BATCH, 0) > 0;
}

void reclaim_check(void)
{
    pages_check();
}

void reclaim_forget(void)
{
    __atomic_store_n(&pages_watched, false, __ATOMIC_RELAXED);
    pages_forget_all();
    members_end();
}

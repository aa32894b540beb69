/*
 * Pages as policies see them. See pages.h.
 *
 * Harvest. A policy that wants to know of a page asks; the A bits of all entries that map the page are then
 * gathered and cleared, so a shared page is judged by all its mappings. A TLB that has the translation goes
 * on without setting A again until it forgets it: pages_must_flush() says that there may be such
 * translations, and whoever lets policies choose flushes once for all of them (evict.c). What each policy
 * loses by that is in docs/RECLAIM.md.
 *
 * Pinned. A page that somebody holds (I/O, a copy in progress), or that is being read or written, is spared:
 * that can be seen when a policy asks. That an entry is locked in memory only the entries can tell, which are
 * looked at when the policy has made up its mind (pages_may_go()): such a victim is given back as
 * POLICY_PINNED. These notes grow old, so they are all taken back now and then, and when no victim is found.
 *
 * Invariants (pages_check): a frame is FRAME_LISTED exactly when the pool of its paging.spare has it.
 */
#include "vm/pages.h"

#include "vm/floor.h"
#include "vm/lazy.h"
#include "vm/members.h"
#include "vm/shadow.h"
#include "vm/swap.h"
#include "vm/table_internal.h"

enum { TO_CLEAN = 32 };

bool pages_watched;

struct spinlock pages_lock;
static struct pages_counts counts; /* l */
static bool slots_short;           /* l: swap is full, as far as is known */
static bool must_flush;            /* l */
/* The page that was harvested last in the choice of a victim, which mostly is the one that is chosen. */
static struct {
    const struct frame *frame; /* NULL: none */
    bool locked, dirty;
} harvested; /* l */
/* What policies want to be written: enrolled, or it is taken off the list. */
static struct {
    unsigned count;
    struct frame *frames[TO_CLEAN];
} to_clean;                   /* l */
static uint64_t on_their_way; /* l: victims that have neither gone nor come back */

void pages_init(void)
{
    pages_watched = false;
    must_flush = slots_short = false;
    on_their_way = 0;
    to_clean.count = 0;
    counts = (struct pages_counts){0};
    floor_init();
    lock_init(&pages_lock, RANK_RECLAIM);
}

/* ------------------------------------------------------------------ what policies ask */

struct harvest {
    bool used, dirty, locked;
};

static void harvest_visit(struct frame *frame, struct pt_entry *entry, void *context)
{
    struct harvest *seen = context;
    struct pt_entry now = pt_entry_load(entry);
    unsigned traits = pt_entry_present(now) ? page_traits(now) : mark_traits(now);

    seen->locked |= (traits & TRAIT_LOCKED) != 0;
    if (!pt_entry_present(now))
        return;
    seen->dirty |= (now.bits & PT_DIRTY) != 0;
    if (!(now.bits & PT_ACCESSED))
        return;
    frame_seen(frame, now);
    __atomic_fetch_and(&entry->bits, ~PT_ACCESSED, __ATOMIC_RELAXED);
    seen->used = true;
    must_flush = true;
}

/* Does what the entries say count for whether the page is written when it goes? A file's page is watched for
 * its first write; others are written unless a slot has them already. */
static bool is_dirty(const struct frame *frame, const struct harvest *seen)
{
    unsigned flags = frame_flags(frame);

    if (frame->use == FRAME_FILE)
        return (flags & FRAME_DIRTY) != 0;
    return !(flags & (FRAME_SLOT | FRAME_LAZY)) || (flags & FRAME_DIRTY) || seen->dirty;
}

/* What was not wanted any more has been written to since. */
static void note_write(struct frame *frame, const struct harvest *seen)
{
    if (seen->dirty)
        frame_clear_flags(frame, FRAME_LAZY);
}

/* False: a lock is somebody else's just now. */
static bool gather(struct frame *frame, struct harvest *seen)
{
    struct object *object;
    bool done = true;

    if (frame->use == FRAME_ANON)
        return rmap_try_walk(frame, harvest_visit, seen);
    object = frame->page.object;
    if (!lock_try(&object->lock))
        return false;
    if (frame_flags(frame) & FRAME_MAPPED)
        done = view_try_walk(frame, harvest_visit, seen);
    seen->locked |= object_is_locked(object);
    lock_drop(&object->lock);
    return done;
}

static void harvest(void *context, struct policy *policy, uint32_t number)
{
    const struct pool *pool = context;
    struct frame *frame = pool_frame(pool, number);
    struct harvest seen = {0};
    uint8_t state = policy->state[number];
    bool gathered = gather(frame, &seen);

    STAT(reclaim_scans);
    counts.harvests++;
    members_looked_at(frame);
    note_write(frame, &seen);
    harvested.frame = gathered ? frame : NULL;
    harvested.locked = seen.locked;
    harvested.dirty = is_dirty(frame, &seen);
    if (frame_clear_flags(frame, FRAME_REFERENCED) | !gathered)
        seen.used = true;
    if (seen.used)
        members_note_use(frame);
    state |= seen.used ? POLICY_REFERENCED : 0;
    policy->state[number] = (uint8_t)((state & ~POLICY_DIRTY) | (harvested.dirty ? POLICY_DIRTY : 0));
}

bool pages_may_go(struct frame *frame, bool *dirty)
{
    struct harvest seen = {0};

    if (harvested.frame == frame) {
        *dirty |= harvested.dirty;
        return !harvested.locked;
    }
    if (gather(frame, &seen) && seen.locked)
        return false;
    note_write(frame, &seen);
    *dirty |= is_dirty(frame, &seen);
    return true;
}

/* Somebody has the page in use in another way than by mapping it. */
static bool is_held(const struct frame *frame)
{
    if (frame_flags(frame) & (FRAME_BUSY | FRAME_WRITING))
        return true;
    return frame_refs(frame) >
           (frame->use == FRAME_ANON ? frame_mapcount(frame) : 1) + ((frame_flags(frame) & FRAME_SLOT) != 0);
}

static bool spares(void *context, const struct policy *policy, uint32_t number)
{
    const struct frame *frame = pool_frame(context, number);

    if (is_held(frame) || members_spare(frame))
        return true;
    if (frame->use == FRAME_FILE)
        return floor_holds() && members_keep_file(frame);
    return slots_short && !(frame_flags(frame) & (FRAME_SLOT | FRAME_LAZY));
}

/* Noted for the cleaner; what does not fit is written when it goes. */
static void clean(void *context, struct policy *policy, uint32_t number)
{
    if (to_clean.count < TO_CLEAN)
        to_clean.frames[to_clean.count++] = pool_frame(context, number);
}

const struct policy_host pages_host = {.harvest = harvest, .clean = clean, .spares = spares};

/* ------------------------------------------------------------------ coming and going */

/* Private memory and what lives in memory only can leave when there is swap, or nobody wants it. */
static bool can_leave(const struct frame *frame)
{
    return frame->use == FRAME_FILE || frame_is_lazy(frame) ||
           ((frame->use == FRAME_ANON || frame->use == FRAME_SHARED) && swap_is_on());
}

/* Locked. It cannot go, and yet somebody is charged for it. */
static void charge_only(struct frame *frame)
{
    if (frame_flags(frame) & FRAME_LISTED || !members_counts_all(frame->paging.member))
        return;
    frame->paging.spare = POOL_NONE;
    frame_set_flags(frame, FRAME_LISTED);
    members_charge(frame, FOUND);
}

/* Locked. A victim that was wanted before it had gone has not come by a fault. */
static void enrol(struct frame *frame, uint64_t ghost, enum arrival how)
{
    uint64_t name = pool_name(frame);
    uint32_t number = members_pool(frame);

    if (frame_flags(frame) & FRAME_LISTED)
        return;
    if (frame_clear_flags(frame, FRAME_LEAVING))
        how = FOUND;
    if (!pool_insert(&pools[number], frame, ghost ? ghost : name, name) &&
        (number == 0 || !pool_insert(&pools[number = 0], frame, ghost ? ghost : name, name)))
        return;                           /* the sweep will find it */
    if (frame_flags(frame) & FRAME_AHEAD) /* not used yet */
        pools[number].policy->state[frame->paging.number] &= (uint8_t)~POLICY_REFERENCED;
    frame->paging.spare = number;
    frame->window = 0;
    frame_set_flags(frame, FRAME_LISTED);
    members_charge(frame, how);
    floor_add(frame);
    if (how != ARRIVED)
        counts.returned += ghost != 0;
    else if (shadow_return(ghost ? ghost : name))
        members_refault(frame);
}

/* Locked. The frame is enrolled no more. */
static void unlist(struct frame *frame)
{
    for (unsigned i = 0; i < to_clean.count; i++)
        if (to_clean.frames[i] == frame)
            to_clean.frames[i--] = to_clean.frames[--to_clean.count];
    frame_clear_flags(frame, FRAME_LISTED);
    members_uncharge(frame);
    floor_take(frame);
}

/* Locked. The frame's pool, if it has one, knows it no more either. */
static void take_out(struct frame *frame)
{
    if (frame->paging.spare != POOL_NONE)
        pool_remove(&pools[frame->paging.spare], frame);
    unlist(frame);
}

void pages_insert_now(struct frame *frame, uint64_t ghost)
{
    if (!can_leave(frame) && !members_counts_all(frame_member(frame)))
        return;
    lock_take(&pages_lock);
    if (can_leave(frame))
        enrol(frame, ghost, ARRIVED);
    else
        charge_only(frame);
    lock_drop(&pages_lock);
}

void pages_found(struct frame *frame)
{
    if (!can_leave(frame))
        return;
    lock_take(&pages_lock);
    enrol(frame, 0, FOUND);
    lock_drop(&pages_lock);
}

void pages_touch_now(struct frame *frame, uint32_t member)
{
    if (!members_is_free(frame))
        return;
    lock_take(&pages_lock);
    if (!(frame_flags(frame) & FRAME_LISTED)) {
        frame_set_member(frame, member);
        if (!can_leave(frame))
            charge_only(frame);
    } else if (members_is_free(frame)) {
        take_out(frame);
        frame_set_member(frame, member);
        enrol(frame, 0, ARRIVED);
    }
    lock_drop(&pages_lock);
}

void pages_freed_lazily_now(struct frame *frame)
{
    if (frame_flags(frame) & FRAME_HUGE)
        return; /* the sweep will split it */
    frame_clear_flags(frame, FRAME_REFERENCED);
    lock_take(&pages_lock);
    if (frame_flags(frame) & FRAME_LISTED && frame->paging.spare == POOL_NONE)
        take_out(frame);
    enrol(frame, 0, FOUND);
    if (frame_flags(frame) & FRAME_LISTED)
        pools[frame->paging.spare].policy->state[frame->paging.number] &= (uint8_t)~POLICY_REFERENCED;
    lock_drop(&pages_lock);
}

/* A recording is told that the page exists no more. */
static void tell_end(struct frame *frame)
{
    frame_clear_flags(frame, FRAME_NAMED);
    host_tell(EVENT_GONE,
              frame->use == FRAME_ANON ? EVENT_PAGE_PRIVATE | frame->window
                                       : object_payload(frame->page.object->id, frame->page.index),
              1);
}

void pages_remove_now(struct frame *frame)
{
    if (frame_flags(frame) & FRAME_NAMED)
        tell_end(frame);
    lock_take(&pages_lock);
    if (frame_flags(frame) & FRAME_LISTED)
        take_out(frame);
    lock_drop(&pages_lock);
}

void pages_forget_slot(uint32_t slot)
{
    if (!__atomic_load_n(&pages_watched, __ATOMIC_RELAXED))
        return;
    lock_take(&pages_lock);
    slots_short = false;
    floor_slot_free();
    for (unsigned i = 0; i < pools_made; i++)
        if (pools[i].policy)
            pool_forget(&pools[i], NAME_SWAP | slot);
    lock_drop(&pages_lock);
}

/* Locked. The victim will not come back under its name, which may be another page's soon. Without a name no
 * policy has chosen it. */
static void forget_name(const struct victim *victim)
{
    struct pool *pool = victim->name ? &pools[victim->frame->paging.spare] : NULL;

    if (pool && pool->policy) /* else its member has ended since the choice */
        pool_forget(pool, victim->name);
}

/* ------------------------------------------------------------------ choosing */

/* A listed frame's object is there, and the frame is not freed, as long as the lock is held: both come for
 * the lock first. False: the page goes without us. */
static bool hold(struct victim *victim, struct frame *frame)
{
    victim->frame = frame;
    victim->name = pool_name(frame);
    victim->object = frame->use == FRAME_ANON ? NULL : frame->page.object;
    if (victim->object && !object_hold_if_alive(victim->object))
        return false;
    frame_ref(frame);
    return true;
}

unsigned pages_choose(struct victim *victims, unsigned most, const struct search *search)
{
    unsigned count = 0;

    lock_take(&pages_lock);
    harvested.frame = NULL;
    members_begin(search);
    while (count < most) {
        bool dirty = false;
        struct frame *frame = members_victim(&dirty);

        if (!frame)
            break;
        unlist(frame);
        if (!hold(&victims[count], frame))
            continue;
        frame_set_flags(frame, FRAME_LEAVING);
        if (victims[count].object)
            shadow_leave(victims[count].name);
        host_tell(dirty ? EVENT_EVICT_DIRTY : EVENT_EVICT_CLEAN, victims[count].name, 0);
        count++;
    }
    on_their_way += count;
    lock_drop(&pages_lock);
    return count;
}

void pages_slots_short(void)
{
    lock_take(&pages_lock);
    slots_short = true;
    floor_swap_full();
    lock_drop(&pages_lock);
}

void pages_unwritten(void)
{
    lock_take(&pages_lock);
    floor_swap_full();
    lock_drop(&pages_lock);
}

void pages_settled(unsigned count)
{
    lock_take(&pages_lock);
    on_their_way -= count;
    lock_drop(&pages_lock);
    host_wake(&on_their_way);
}

bool pages_wait(void)
{
    bool any;

    lock_take(&pages_lock);
    any = on_their_way > 0;
    counts.waits += any;
    if (any)
        host_sleep(&on_their_way, &pages_lock);
    lock_drop(&pages_lock);
    return any;
}

/* Locked. Without swap: it was not wanted when it was enrolled, and has been written to since. */
static void stay(const struct victim *victim)
{
    frame_clear_flags(victim->frame, FRAME_LEAVING);
    forget_name(victim);
    if (members_counts_all(frame_member(victim->frame)))
        charge_only(victim->frame);
}

/* Nobody can take the page's last mapping, or the page from its object, before it is enrolled: both are seen
 * under the lock that is held here. */
static void enrol_if_there(const struct victim *victim)
{
    struct frame *frame = victim->frame;
    struct spinlock *lock = victim->object ? &victim->object->lock : rmap_lock(frame);

    lock_take(lock);
    if (victim->object ? frame->page.object == victim->object : frame_mapcount(frame) > 0) {
        frame_set_flags(frame, FRAME_REFERENCED);
        lock_take(&pages_lock);
        if (can_leave(frame))
            enrol(frame, victim->name, FOUND);
        else
            stay(victim);
        lock_drop(&pages_lock);
    }
    lock_drop(lock);
}

void pages_return(const struct victim *victim)
{
    enrol_if_there(victim);
    frame_unref(victim->frame);
    if (victim->object)
        object_unref(victim->object);
}

void pages_gone(const struct victim *victim)
{
    lock_take(&pages_lock);
    forget_name(victim);
    lock_drop(&pages_lock);
}

void pages_rename(struct frame *const *frames, unsigned count)
{
    lock_take(&pages_lock);
    for (unsigned i = 0; i < count; i++) {
        if (frames[i]->use != FRAME_ANON)
            continue;
        if (pools[frames[i]->paging.spare].policy) /* else its member has ended since the choice */
            pool_rename(&pools[frames[i]->paging.spare], pool_name(frames[i]),
                        NAME_SWAP | frames[i]->paging.slot);
        shadow_leave(NAME_SWAP | frames[i]->paging.slot);
    }
    lock_drop(&pages_lock);
}

bool pages_must_flush(void)
{
    bool flush;

    lock_take(&pages_lock);
    flush = must_flush;
    must_flush = false;
    counts.flushes += flush;
    lock_drop(&pages_lock);
    return flush;
}

/* ------------------------------------------------------------------ now and then */

unsigned pages_choose_unclean(struct victim *victims, unsigned most)
{
    unsigned count = 0;

    lock_take(&pages_lock);
    while (count < most && to_clean.count > 0)
        count += hold(&victims[count], to_clean.frames[--to_clean.count]);
    counts.cleaned += count;
    lock_drop(&pages_lock);
    return count;
}

bool pages_has_unclean(void)
{
    return to_clean.count > 0;
}

static void harvest_pool(struct pool *pool)
{
    for (uint32_t number = 0; pool->policy && number < pool->names.used; number++)
        if (pool->frames[number] != 0)
            harvest(pool, pool->policy, number);
}

void pages_end_window(void)
{
    lock_take(&pages_lock);
    for (unsigned i = 0; i < pools_made; i++)
        harvest_pool(&pools[i]);
    members_end_window();
    lock_drop(&pages_lock);
}

void pages_tick(void)
{
    lock_take(&pages_lock);
    for (unsigned i = 0; i < pools_made; i++)
        if (pools[i].policy)
            pool_tick(&pools[i]);
    counts.ticks++;
    lock_drop(&pages_lock);
}

void pages_count(struct pages_counts *out)
{
    lock_take(&pages_lock);
    *out = counts;
    out->leaving = on_their_way;
    lock_drop(&pages_lock);
}

void pages_forget_all(void)
{
    lock_take(&pages_lock);
    for (unsigned i = 0; i < pools_made; i++)
        for (uint32_t number = 0; pools[i].policy && number < pools[i].names.used; number++) {
            struct frame *frame = pool_frame(&pools[i], number);

            if (!frame)
                continue;
            pool_remove(&pools[i], frame);
            unlist(frame);
        }
    lock_drop(&pages_lock);
}

uint64_t pages_enrolled_locked(void)
{
    uint64_t count = 0;

    for (unsigned i = 0; i < pools_made; i++)
        count += pool_resident(&pools[i]);
    return count;
}

uint64_t pages_enrolled(void)
{
    uint64_t count;

    lock_take(&pages_lock);
    count = pages_enrolled_locked();
    lock_drop(&pages_lock);
    return count;
}

void pages_check(void)
{
    const char *wrong = NULL;

    lock_take(&pages_lock);
    for (unsigned i = 0; !wrong && i < pools_made; i++)
        wrong = pool_check(&pools[i]);
    if (!wrong)
        wrong = members_check();
    lock_drop(&pages_lock);
    if (wrong)
        host_panic("pages: %s", wrong);
}

/*
 * Taking a page and its table out of a page table that other CPUs are using, and giving both frames back: the flush promise
 * of include/quire/pt.h, with nothing of the code but the order of its steps.
 *
 *     root entry -> table (frame T) -> leaf entry -> page (frame P)
 *
 * A CPU walks whenever it likes (speculation): it may remember the root entry (its walk cache) and the leaf (its TLB), uses
 * both for as long as it remembers them, and forgets only what it is told to. What it must never do:
 *
 *   - read a leaf entry from a table whose frame was given back,
 *   - reach a page whose frame was given back,
 *   - write to the page without a dirty mark that the remover sees.
 *
 * Broken variants, each of which must be caught (tools/check-model defines one at a time):
 *
 *   EARLY_FREE     the frames go back before the other CPUs have answered
 *   EARLY_FLUSH    the CPUs are asked to flush before the entries are empty
 *   PAGES_ONLY     the promise speaks of pages, though a table was taken out
 *   ONE_ANSWER     one CPU's answer is taken for everybody's
 *   PLAIN_STORE    the leaf entry is read, then overwritten, instead of being swapped
 */
#define CPUS 2

bool root_present = true;
bool leaf_present = true, leaf_dirty = false; /* while T holds the table */
bool table_free = false, page_free = false;
bool page_written = false; /* by anybody */
bool dirty_seen = false;   /* by the remover */

bool asked[CPUS];    /* an interrupt is waiting */
byte answers = 0;

proctype cpu(byte id)
{
    bool walk_cached = false, tlb = false, tlb_dirty = false;

end_cpu:
    do
    /* remember the root entry */
    :: !walk_cached && root_present -> walk_cached = true

    /* the walk's last step, from the walk cache */
    :: walk_cached && !tlb ->
        atomic {
            assert(!table_free);
            if
            :: leaf_present -> tlb = true; tlb_dirty = false
            :: else -> skip /* a fault */
            fi
        }

    /* a load */
    :: tlb -> assert(!page_free)

    /* a store: the first one marks the entry, in one step with looking whether it is there still */
    :: tlb && !tlb_dirty ->
        atomic {
            assert(!table_free);
            if
            :: leaf_present -> leaf_dirty = true; tlb_dirty = true
            :: else -> tlb = false /* walks again, and faults */
            fi
        }
    :: tlb && tlb_dirty -> atomic { assert(!page_free); page_written = true }

    /* the cache has room for something else */
    :: tlb -> tlb = false
    :: walk_cached -> walk_cached = false

    /* the interrupt: forget, answer */
    :: asked[id] ->
        atomic {
            asked[id] = false;
            tlb = false;
#ifndef PAGES_ONLY
            walk_cached = false;
#endif
            answers++
        }
    od
}

inline ask_all()
{
    atomic {
        byte other = 0;
        do
        :: other < CPUS -> asked[other] = true; other++
        :: else -> break
        od
    }
}

inline take_out()
{
#ifdef PLAIN_STORE
    dirty_seen = leaf_dirty;
    atomic { leaf_present = false; leaf_dirty = false };
#else
    atomic { dirty_seen = leaf_dirty; leaf_present = false; leaf_dirty = false };
#endif
    root_present = false
}

inline wait_for_answers()
{
#ifdef ONE_ANSWER
    answers >= 1
#else
    answers == CPUS
#endif
}

inline give_back()
{
    page_free = true;
    table_free = true
}

proctype remover()
{
#ifdef EARLY_FLUSH
    ask_all();
    wait_for_answers();
    take_out();
#else
    take_out();
    ask_all();
#ifdef EARLY_FREE
    give_back();
#endif
    wait_for_answers();
#endif
    assert(!page_written || dirty_seen);
    give_back()
}

init
{
    atomic {
        byte i = 0;
        do
        :: i < CPUS -> run cpu(i); i++
        :: else -> break
        od;
        run remover()
    }
}

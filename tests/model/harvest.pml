/*
 * Cleaning a page that another CPU writes to: the dirty mark is taken, the promise is kept, the page is written to the store.
 * Whatever was written afterwards must have left a mark again (pt_harvest() in include/quire/pt.h).
 *
 * Broken variants, each of which must be caught:
 *
 *   NO_FLUSH       the promise is ignored: a CPU that remembers the entry as dirty writes without leaving a mark
 *   EARLY_FLUSH    the promise is kept before the mark is cleared
 *   PLAIN_STORE    the entry is read, then written without the mark, instead of being changed in one step
 *   SAVE_FIRST     the page goes to the store before the mark is cleared
 */
bool dirty = false;
byte memory = 0, stored = 0; /* versions of the page's contents */
bool was_dirty = false;
bool asked = false, answered = false;

#define WRITES 3

proctype cpu()
{
    bool tlb = false, tlb_dirty = false;

end_cpu:
    do
    :: !tlb -> atomic { tlb = true; tlb_dirty = dirty }
    :: tlb && !tlb_dirty -> atomic { dirty = true; tlb_dirty = true }
    :: tlb && tlb_dirty && memory < WRITES -> memory++
    :: tlb -> tlb = false
    :: asked -> atomic { asked = false; tlb = false; answered = true }
    od
}

inline save()
{
    if
    :: was_dirty -> stored = memory
    :: else -> skip
    fi
}

inline take_mark()
{
#ifdef PLAIN_STORE
    was_dirty = dirty;
    dirty = false
#else
    atomic { was_dirty = dirty; dirty = false }
#endif
}

inline flush()
{
    asked = true;
    answered
}

proctype cleaner()
{
    byte rounds = 0;

    do
    :: rounds < 2 ->
        rounds++;
        answered = false;
#ifdef EARLY_FLUSH
        flush();
        take_mark();
        save()
#else
#ifdef SAVE_FIRST
        was_dirty = dirty;
        save();
#endif
        take_mark();
#ifndef NO_FLUSH
        flush();
#endif
#ifndef SAVE_FIRST
        save()
#endif
#endif
    :: else -> break
    od
}

/* When the cleaner is done, what the store has is what the page holds, or there is a mark. */
init
{
    atomic { run cpu(); run cleaner() };
    _nr_pr == 2;
    assert(memory == stored || dirty)
}

/*
 * System calls on paged memory, where nobody serves the kernel's own faults (it says EFAULT then): what the
 * call reads and writes is brought in and held until it returns.
 *
 *      a stub ---- gate.S ---- gate_is_for_us() ---- no: made by the stub
 *                      `------ gate_call()                gate.c: which memory the call touches, by a table
 *                                |-- hold.c               pages pinned for the time of the call
 *                                |-- transfer.c           reads and writes: in pieces, if they are large
 *                                `-- masks.c              signals: ours are never blocked, nor taken away
 *
 * Locking: none. Everything here may be interrupted by a signal's handler that makes system calls.
 */
#ifndef QUIRE_PRELOAD_GATE_H
#define QUIRE_PRELOAD_GATE_H

#include "preload.h"
#include "sites.h"

enum { GATE_CALLS = 512 /* numbers of system calls are under this */ };

/* As gate.S has it on the stack. */
struct call {
    long number;
    uint64_t words[6];
    const void *tail;
};

/* The gate is opened: sites are changed. False: it cannot be here. `budget` bounds what is held. */
MUST_USE bool gate_start(uint64_t budget);
extern struct sites gate_sites; /* none are found: it is not open */

/* The call itself: -errno. */
long gate_make(long number, const uint64_t words[6]);

/* ---- holding pages (hold.c) */

enum { MOST_HELD = 72 }; /* ranges of one call */

struct held_range {
    uintptr_t start;
    size_t bytes;
    bool write, pinned;
};

struct held {
    struct held *outer;    /* of the same thread */
    const void *stack;     /* where it was begun */
    _Atomic uint32_t next; /* in the list of those that are free: number + 1 */
    uint32_t count, pages;
    bool loose;  /* nothing is held: all is brought in, and the call made again if it has gone */
    bool partly; /* ... of some of it */
    struct held_range range[MOST_HELD];
};

/* Between these the thread has it. What a handler of the program's left behind by a jump out of a call is
 * given back by the next call. NULL: there are no more (ENOMEM). */
struct held *held_begin(void);
void held_end(struct held *held);
/* One that needs no end. */
void held_begin_loose(struct held *held);
/* The part of the range that is paged is brought in, for writing too when asked for, and held. What cannot be
 * is EFAULT to the kernel. */
void held_add(struct held *held, uint64_t address, uint64_t bytes, bool write);
/* A string, up to its end. */
void held_add_string(struct held *held, uint64_t address);
/* In a child of fork(), whose pager holds nothing. */
void held_by_nobody(void);
/* The thread's stack for signals (a stack_t) is held as long as it is that. */
void held_stack(uint64_t address);
/* How much a call may hold in one piece, in bytes. */
extern uint64_t held_most_bytes;
bool held_start(uint64_t budget);

/* The call, again as long as it says EFAULT for what could only be brought in. */
long held_call(struct held *held, long number, const uint64_t words[6]);

/* Is that paged? May say yes for what is not. A range begins where it is paged, or none of it is. */
static inline bool reaches_paged(uint64_t address)
{
    return address - paged_arena_start < paged_arena_bytes ||
           (address >= atomic_load_explicit(&paged_files_start, memory_order_relaxed) &&
            address < atomic_load_explicit(&paged_files_end, memory_order_relaxed));
}

/* The part of the range that is in the arena, or in the mapped file where it begins. False: none. */
bool paged_part(uintptr_t start, size_t *bytes);

/* ---- reads and writes (transfer.c) */

bool transfer_is(long number);
/* The words that may be addresses, a bit each; UINT8_MAX: addresses are behind an address. 0: it is none. */
uint8_t transfer_words(long number);
long transfer_make(const struct call *call);

/* ---- signals (masks.c) */

/* A mask of the program's without the signals that tell of faults. */
struct own_mask {
    uint64_t mask;
    struct {
        uint64_t address, bytes;
    } pair; /* as pselect() has it */
};
/* Does the call set a mask? */
bool masks_are(long number);
void masks_strip(struct call *call, struct own_mask *own);
long masks_action(const struct call *call);
/* The signals, by way: before gate_start(). */
void masks_start(bool by_protection);

extern _Atomic uint64_t gate_held_calls, gate_partly_calls;

#endif

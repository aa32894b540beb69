/*
 * Address spaces.
 *
 * The page table is the address space: there is no tree of regions beside it (src/vm/space.c says how).
 * Ranges are half-open, addresses of user memory only ([SPACE_START, SPACE_END)). Unless a comment says
 * otherwise a function that fails has changed nothing, may sleep, and may be called for the same space from
 * several CPUs at once.
 */
#ifndef QUIRE_SPACE_H
#define QUIRE_SPACE_H

#include "quire/object.h"
#include "quire/status.h"
#include "quire/types.h"

#define SPACE_START ((uint64_t)0x10000) /* mmap_min_addr: page 0 and its neighbours are never given out */
#define SPACE_END ((uint64_t)0x7ffffffff000) /* the last page below the hole stays empty */

struct space;

/* A space with nothing in its user half; its upper half is the kernel's. ST_NO_MEMORY. */
MUST_USE enum status space_create(struct space **out);
/* A copy of `parent` as fork makes it: private pages shared copy-on-write, shared ones shared. Costs a
 * few entries, not a walk: the tables themselves are shared until one side changes them. */
MUST_USE enum status space_fork(struct space *parent, struct space **out);
void space_ref(struct space *space);
/* The last reference unmaps everything and frees the tables. May sleep. */
void space_unref(struct space *space);

struct host_mmu *space_mmu(struct space *space);
struct paddr space_root(const struct space *space);

/* ------------------------------------------------------------------ changing what is mapped */

enum space_flag {
    SPACE_SHARED = 1,       /* writes go to the object; else private */
    SPACE_FIXED = 2,        /* exactly at `hint`, replacing what is there */
    SPACE_NO_REPLACE = 4,   /* exactly at `hint`, ST_MAPPED when anything is there */
    SPACE_POPULATE = 8,     /* make resident now, as far as memory allows */
    SPACE_GROWS_DOWN = 16,  /* a stack: grows downwards when touched below */
    SPACE_LOW_2G = 32,      /* MAP_32BIT */
    SPACE_NEVER_WRITE = 64, /* shared, of a file opened for reading only: space_protect() with ACCESS_WRITE
                               is then ST_DENIED */
    SPACE_LOCKED = 128,     /* stays in memory, once it is there (mlock) */
    SPACE_AHEAD = 256,      /* what will soon be touched is mapped at once: pages of the object that are in
                               memory (copied, when the mapping is private and writable, if there is plenty of
                               memory); the first page of anonymous memory, when it is writable. Waits for
                               nothing */
    SPACE_AHEAD_LAST = 512  /* the last pages of anonymous memory instead: stacks, and the zeroes behind a
                               program's data */
};

struct space_map {
    struct vaddr hint;
    uint64_t length_bytes; /* rounded up to pages */
    unsigned access;       /* enum access, or-ed */
    unsigned flags;        /* enum space_flag, or-ed */
    struct object *object; /* NULL: anonymous (SPACE_SHARED makes an object for it) */
    uint64_t first_page;   /* of the object */
    uint64_t pages_read; /* so many at the start are likely only to be read: SPACE_AHEAD does not copy them */
};

/* ST_INVALID (length 0, bad flags), ST_NOT_ALIGNED, ST_NO_SPACE (no free range), ST_MAPPED, ST_NO_MEMORY.
 * Takes its own reference to the object. */
MUST_USE enum status space_map(struct space *space, const struct space_map *request, struct vaddr *out);
MUST_USE enum status space_unmap(struct space *space, struct vaddr start, uint64_t length_bytes);
/* ST_NOT_MAPPED when a part of the range is empty: what lies before the hole has been changed, as Linux does.
 */
MUST_USE enum status space_protect(struct space *space, struct vaddr start, uint64_t length_bytes,
                                   unsigned access);

enum space_advice {
    ADVICE_NORMAL,
    ADVICE_RANDOM,
    ADVICE_SEQUENTIAL,
    ADVICE_WILL_NEED,
    ADVICE_DONT_NEED,
    ADVICE_HUGE,
    ADVICE_NO_HUGE,
    ADVICE_FREE /* private anonymous pages are not wanted any more, until they are written to again: they read
                   as what they were or as zeroes. Pages that others map, too, and what is no such memory stay
                   as they are */
};
MUST_USE enum status space_advise(struct space *space, struct vaddr start, uint64_t length_bytes,
                                  enum space_advice advice);
/* Write dirty pages of shared mappings in the range; `wait` waits for the store. ST_NOT_MAPPED as in
 * msync(2). */
MUST_USE enum status space_sync(struct space *space, struct vaddr start, uint64_t length_bytes, bool wait);
/* One byte a page, bit 0: resident. `residency` is kernel memory. ST_NOT_MAPPED on a hole. */
MUST_USE enum status space_incore(struct space *space, struct vaddr start, uint64_t length_bytes,
                                  uint8_t *residency);

/*
 * mlock(2) and munlock(2): what is mapped in the range stays in memory once it is there, or need not any
 * more. Makes nothing present: space_populate() does. ST_NOT_MAPPED at a hole: what lies before it has been
 * changed. A child of fork has no locks.
 */
MUST_USE enum status space_lock(struct space *space, struct vaddr start, uint64_t length_bytes, bool lock);
/* All that is mapped. ST_NO_MEMORY: some of it may have been unlocked. */
MUST_USE enum status space_lock_all(struct space *space, bool lock);
/* How space_map(), the heap and stacks treat what they map from now on (mlockall(2), MCL_FUTURE). */
enum space_locking { SPACE_LOCKS_NOTHING, SPACE_LOCKS_NOW, SPACE_LOCKS_ON_FAULT };
void space_lock_future(struct space *space, enum space_locking how);
enum space_locking space_locks_future(const struct space *space);
/* RLIMIT_MEMLOCK; UINT64_MAX: none. Stacks heed it as they grow; others ask whether so many bytes more may be
 * locked. */
void space_set_lock_limit(struct space *space, uint64_t bytes);
MUST_USE bool space_may_lock(struct space *space, uint64_t more_bytes);
/* Pages of the range that are locked, present or not. Costs nothing where nothing was ever locked, else a
 * walk. */
uint64_t space_locked_pages(struct space *space, struct vaddr start, uint64_t length_bytes);
bool space_has_locks(const struct space *space);
/*
 * Make the range present, for writing where a write would make private pages, as far as it can be accessed.
 * The first failure ends it: ST_NOT_MAPPED, ST_DENIED (a part may not be accessed), ST_BEYOND_END,
 * ST_IO_ERROR, ST_NO_MEMORY, ST_INTERRUPTED.
 */
MUST_USE enum status space_populate(struct space *space, struct vaddr start, uint64_t length_bytes);

enum { SPACE_MAY_MOVE = 1, SPACE_MOVE_FIXED = 2 };
/* mremap(2). */
MUST_USE enum status space_move(struct space *space, struct vaddr old, uint64_t old_bytes, uint64_t new_bytes,
                                unsigned flags, struct vaddr wanted, struct vaddr *out);

/* The heap. space_set_break() with 0, or with what cannot be had, only tells where the break is. */
void space_init_break(struct space *space, struct vaddr start);
struct vaddr space_set_break(struct space *space, struct vaddr wanted);

/* Where mmap looks from, downwards (exec sets it, randomised or not). And the stack, for its limit and for
 * maps. */
void space_set_layout(struct space *space, struct vaddr mmap_top, struct vaddr stack_start,
                      struct vaddr stack_end, uint64_t stack_limit_bytes);
/* Total bytes that may be mapped (RLIMIT_AS); ST_NO_MEMORY beyond. */
void space_set_limit(struct space *space, uint64_t bytes);
/* RLIMIT_STACK, when it changes after space_set_layout(). */
void space_set_stack_limit(struct space *space, uint64_t bytes);

/* ------------------------------------------------------------------ using it */

/*
 * The page fault: make an access to `address` possible, or say why not.
 * ST_OK (retry the instruction), ST_NOT_MAPPED (SEGV_MAPERR), ST_DENIED (SEGV_ACCERR), ST_BEYOND_END and
 * ST_IO_ERROR (SIGBUS), ST_NO_MEMORY (nothing could be reclaimed: out-of-memory handling), ST_INTERRUPTED.
 */
MUST_USE enum status space_fault(struct space *space, struct vaddr address, enum access access);

/* Copy into or out of a space that need not be the active one; faults pages in. Honours protection. `*done`
 * as in object_read. ST_NO_MEMORY: and nobody ends who would give his back. */
MUST_USE enum status space_write(struct space *space, struct vaddr to, const void *from, size_t bytes,
                                 size_t *done);
MUST_USE enum status space_read(struct space *space, struct vaddr from, void *to, size_t bytes, size_t *done);
/* Keep the page of `address` resident: gives its frame with a reference. For futex keys and I/O. */
MUST_USE enum status space_pin(struct space *space, struct vaddr address, enum access access,
                               struct frame **out);

/* ------------------------------------------------------------------ looking at it */

struct space_region {
    struct vaddr start;
    struct vaddr end;
    unsigned access;       /* enum access */
    unsigned flags;        /* SPACE_SHARED, SPACE_GROWS_DOWN, SPACE_NEVER_WRITE, SPACE_LOCKED */
    struct object *object; /* NULL: anonymous; valid during the call only */
    uint64_t first_page;
    uint64_t resident_pages;
    uint64_t swap_pages;
    uint64_t dirty_pages;
};
/* The next region that ends above `from`: neighbouring entries that agree are one region. False when there is
 * none. (For /proc/PID/maps: call again with out->end.) */
bool space_next_region(struct space *space, struct vaddr from, struct space_region *out);

struct space_counts {
    uint64_t mapped_bytes; /* VmSize */
    uint64_t resident_pages;
    uint64_t swap_pages; /* VmSwap */
    uint64_t anon_pages;
    uint64_t file_pages;
    uint64_t locked_pages; /* VmLck */
    uint64_t table_frames;
    uint64_t break_start, break_end;
    uint64_t stack_start, stack_end;
};
void space_count(struct space *space, struct space_counts *out);

/* What a range has in memory, as /proc/PID/smaps counts it; the shared page of zeroes does not count. */
struct space_usage {
    uint64_t resident_pages;
    uint64_t proportional_bytes, proportional_dirty_bytes; /* each page divided by how many map it */
    uint64_t shared_clean_pages, shared_dirty_pages, private_clean_pages, private_dirty_pages;
    uint64_t referenced_pages;    /* used since space_forget_references() */
    uint64_t anon_pages;          /* private memory, copies of files' pages included */
    uint64_t huge_pages;          /* of these, in huge pages */
    uint64_t lazy_pages;          /* of these, not wanted any more (ADVICE_FREE), and not written to since */
    uint64_t shared_memory_pages; /* of objects without a pager */
    uint64_t shared_file_pages,
        shared_file_mappings; /* files' pages that others map, too; mappings of these */
    uint64_t swapped_pages;
    uint64_t locked_bytes; /* proportional */
};
void space_measure(struct space *space, struct vaddr start, struct vaddr end, struct space_usage *out);

struct space_page {
    bool present; /* `frame` has it */
    bool of_object;
    bool sole; /* nobody else maps it */
    bool locked;
    uint32_t slot; /* its contents are in this swap slot; 0: not */
    struct pfn frame;
};
/* `count` pages from `start` on; those where nothing is are all zeroes. */
void space_look(struct space *space, struct vaddr start, unsigned count, struct space_page *out);
/* The range counts as not used from now on. */
void space_forget_references(struct space *space, struct vaddr start, struct vaddr end);
/* Pages of the range that only this space maps leave memory, if they can and are not locked. May sleep. */
void space_page_out(struct space *space, struct vaddr start, uint64_t length_bytes);

/* Walks every table and frame of the space; panics, naming the place, on a broken invariant. */
void space_check(struct space *space);

/* ------------------------------------------------------------------ memory as a whole */

/* Once, after frames_init(): `kernel_root` holds the kernel half that every space gets. */
MUST_USE enum status vm_init(struct paddr kernel_root);

/* Every invariant of the core (spaces, objects, policies and members, swap, slabs, frames), walked; panics,
 * naming what is broken. No other CPU may be in src/vm meanwhile. */
void vm_check_all(void);
/* When no program is left: what is there all the same that nobody can reach (frames, tables, slots, records),
 * or NULL. What somebody who sleeps has in hand just now counts. As vm_check_all(). */
MUST_USE const char *vm_left_over(void);

/*
 * Frees at least `pages` frames if it can, dropping clean pages of objects with a pager and writing dirty
 * ones first. Returns how many it freed. May sleep. Called by whoever got NULL from frame_alloc() and holds
 * no lock.
 */
uint64_t reclaim(uint64_t pages);

/* Pages of private memory that could be needed: those that may be written, or were. A walk. */
uint64_t space_committed_pages(struct space *space);
uint64_t vm_committed_pages(void); /* of all spaces */
/* All that is mapped, in bytes: no walk. */
uint64_t space_mapped_bytes(const struct space *space);
uint64_t space_mapped_peak(const struct space *space);
/* Frames that locks keep in memory: a walk over the spaces that have any. */
uint64_t vm_locked_pages(void);

/* Counters since boot; plain adds, read at any time. */
struct vm_stats {
    uint64_t faults;           /* all */
    uint64_t fault_zero;       /* first touch of anonymous memory: a zeroed frame */
    uint64_t fault_zero_read;  /* the shared page of zeroes */
    uint64_t fault_huge;       /* a level-2 page of zeroes */
    uint64_t fault_minor;      /* object page that was resident */
    uint64_t fault_major;      /* waited for a store */
    uint64_t fault_around;     /* further pages mapped by the way */
    uint64_t fault_copy;       /* copy-on-write that copied */
    uint64_t fault_reuse;      /* copy-on-write, sole owner */
    uint64_t fault_protection; /* write or execute that was denied */
    uint64_t fault_unmapped;   /* nothing there */
    uint64_t fault_spurious;   /* already possible */
    uint64_t fault_stack;      /* grew a stack */
    uint64_t fault_kernel;     /* of these, taken by the kernel in a copy */
    uint64_t table_shares;     /* tables shared by fork */
    uint64_t table_copies;     /* shared tables copied when one side changed them */
    uint64_t page_ins, page_in_reads;
    uint64_t write_backs, write_back_writes;
    uint64_t swap_outs, swap_writes, swap_write_errors; /* pages, requests, requests that failed */
    uint64_t swap_ins, swap_reads, swap_read_errors; /* pages with those read ahead, requests, failed ones */
    uint64_t swap_ahead,
        swap_ahead_hits;             /* pages read before anybody asked; of these, those asked for later */
    uint64_t swap_cache_hits;        /* found in the swap cache, not read ahead */
    uint64_t fault_swap;             /* a page in swap, or in the swap cache */
    uint64_t drops;                  /* clean pages dropped by reclaim */
    uint64_t lazy_frees, lazy_freed; /* pages that ADVICE_FREE marked; that then went */
    uint64_t shared_unmaps,
        shared_unmap_entries; /* objects' pages that left several tables at once; entries */
    uint64_t reclaim_scans;
    uint64_t huge_splits;
    uint64_t table_frames; /* now */
    uint64_t table_frames_peak;
    uint64_t flush_pages, flush_ranges, flush_spaces, flush_all;
    uint64_t switches_kept, switches_flushed; /* loads of CR3 that kept or lost the translations */
};
extern struct vm_stats vm_stats;

#endif

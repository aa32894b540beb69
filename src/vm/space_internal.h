/*
 * The inside of an address space, shared by the files of src/vm.
 *
 * Letters: r  the root table's lock;  s  space->lock;  a  atomic;  c  constant after creation.
 */
#ifndef VM_SPACE_INTERNAL_H
#define VM_SPACE_INTERNAL_H

#include "quire/space.h"
#include "vm/entry.h"
#include "vm/swap.h"

enum { USER_ROOT_ENTRIES = PT_ENTRIES / 2 };

struct space {
    struct list all;       /* of the living: spaces_lock */
    struct frame *root;    /* c */
    struct host_mmu mmu;   /* the port's */
    uint32_t refs;         /* a */
    uint32_t member;       /* a: who is charged for what it touches */
    struct spinlock lock;  /* s */
    uint64_t mapped_pages; /* a: entries that are not empty, in pages */
    uint64_t mapped_peak;  /* a: the most before something was unmapped */
    uint64_t limit_pages;  /* s */
    uint64_t mmap_top;     /* s: where the search for a free range begins */
    uint64_t map_hint;     /* s: the lowest mapping so far: below it is probably free */
    uint64_t hole_start;   /* s: the range that was unmapped last */
    uint64_t hole_end;
    uint64_t break_start; /* s */
    uint64_t break_end;   /* s */
    uint64_t stack_start; /* s */
    uint64_t stack_end;
    uint64_t stack_limit;
    uint64_t lock_limit;            /* a: bytes that may be locked */
    enum space_locking lock_future; /* a: of what will be mapped */
    bool has_locks;                 /* a: something was locked once */
    struct swap_streams streams;    /* w */
};

/* The frame of zeroes that every read of untouched private memory sees. Entries that map it are not counted.
 */
extern struct frame *zero_frame;
/* The kernel's root, whose upper half every space gets. */
extern struct paddr vm_kernel_root;

static inline void space_add_pages(struct space *space, uint64_t pages)
{
    __atomic_fetch_add(&space->mapped_pages, pages, __ATOMIC_RELAXED);
}

static inline void space_sub_pages(struct space *space, uint64_t pages)
{
    uint64_t before = __atomic_fetch_sub(&space->mapped_pages, pages, __ATOMIC_RELAXED);

    if (before > __atomic_load_n(&space->mapped_peak, __ATOMIC_RELAXED))
        __atomic_store_n(&space->mapped_peak, before, __ATOMIC_RELAXED);
}

/* Counters are exact on one CPU and nearly so on several. */
#define STAT_ADD(name, n) ((void)__atomic_fetch_add(&vm_stats.name, (n), __ATOMIC_RELAXED))
#define STAT(name) STAT_ADD(name, 1)

/* What of [offset, offset+bytes) lies in the page of `offset`. */
static inline size_t part_of_page(uint64_t offset, size_t bytes)
{
    uint64_t room = PAGE_SIZE - (offset & PAGE_MASK);

    return bytes < room ? bytes : (size_t)room;
}

/* space.c: every living space, with the list locked. */
void spaces_for_each(void (*visit)(struct space *space, void *context), void *context);

/* range.c: is anything mapped in [start, end)? The address of the first byte above the highest entry that is
 * not empty goes to `*above`, where that entry begins to `*below`. */
bool range_last_used(struct space *space, uint64_t start, uint64_t end, uint64_t *below, uint64_t *above);
bool range_first_used(struct space *space, uint64_t start, uint64_t end, uint64_t *below);
/* A free range of `bytes`, aligned to `align`; 0 when there is none. */
uint64_t range_find_free(struct space *space, uint64_t hint, uint64_t bytes, uint64_t align,
                         uint64_t congruent, bool low);

/* From this size on a mapping begins at a border of leaf tables: it can have huge pages, and its tables are
 * its own, so that they go and move as a whole. */
#define OWN_TABLE_BYTES ((uint64_t)1 << 20)

/* Memory is spent ahead of need (huge pages, copies) only while this part (1/4) of it stays free. */
enum { PLENTY_SHIFT = 2 };

static inline bool memory_is_plenty(uint64_t pages)
{
    return frames_free() >= (frame_table_count >> PLENTY_SHIFT) + pages;
}

/* Try `operation` until it does not run out of memory, or nothing can be reclaimed any more. */
#define WITH_RECLAIM(status, operation)                                                                      \
    do {                                                                                                     \
        (status) = (operation);                                                                              \
    } while ((status) == ST_NO_MEMORY && vm_make_room())

/* reclaim.c: nothing can be reclaimed yet. */
void reclaim_init(void);
/* For whoever has just used up frames for the space (NULL: for none in particular), when frames_short says
 * so. ST_NO_MEMORY: the space's member is at its maximum, and nothing of its can go. No locks held; may
 * sleep. */
enum status reclaim_upkeep(struct space *space);
/* A fault begins, when frames_short says so: the time until reclaim_upkeep() is not the program's. */
void reclaim_fault_begins(const struct space *space);
/* Frees some frames for an operation that ran out of them, and has somebody end when nothing can be freed;
 * false: memory is out. May sleep. */
bool vm_make_room(void);
/* The same, but nobody ends: for a fault, which can be told so and begin again, and for what may be short of
 * something else. */
bool vm_make_room_for(const struct space *space);

/* [start, start+length) as whole pages of user memory. */
MUST_USE enum status space_range(struct vaddr start, uint64_t length_bytes, uint64_t *end);

/* lock.c: something is locked from now on. */
void space_note_locks(struct space *space);

/* map.c */
MUST_USE enum status space_unmap_once(struct space *space, uint64_t start, uint64_t end);

#endif

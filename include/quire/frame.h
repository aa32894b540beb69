/*
 * Frames: who owns each 4 KiB of physical memory.
 *
 * The frame table has one 64-byte descriptor a frame. Descriptors of the frames that no
 * memory map calls usable have use FRAME_RESERVED and are never handed out.
 *
 * Letters on the fields say what protects them:
 *   a  atomic
 *   b  the buddy's lock (while the frame is free)
 *   o  the lock of the object that owns the frame
 *   t  the lock of the table (the frame is a table)
 *   r  the rmap lock
 *   l  the reclaim lock
 *   w  the swap lock
 *   u  whoever uses the frame; stable while it is allocated
 *
 * Files: src/frame/{memory_map,boot_frames,buddy,frame_alloc,frame_check}.c.
 */
#ifndef QUIRE_FRAME_H
#define QUIRE_FRAME_H

#include "base/list.h"
#include "host/host.h"
#include "quire/status.h"
#include "quire/types.h"

struct object;
struct space;
struct view;

enum frame_use {
    FRAME_RESERVED = 0, /* not RAM, firmware's, or not known yet */
    FRAME_FREE,
    FRAME_KERNEL, /* the kernel's image, boot data, buffers, stacks */
    FRAME_TABLE,  /* a page table */
    FRAME_SLAB,   /* small kernel structures */
    FRAME_ANON,   /* private memory of programs */
    FRAME_FILE,   /* a page of an object that has a store (a file's) */
    FRAME_SHARED, /* a page of an object that lives in memory (tmpfs, shared anonymous) */
    FRAME_USES
};

/* Bits of frame->flags. */
enum frame_flag {
    FRAME_DIRTY = 1,       /* differs from its store (o) */
    FRAME_REFERENCED = 2,  /* used since reclaim last looked (a) */
    FRAME_BUSY = 4,        /* being read or written; sleep on the frame (o, in the swap cache w) */
    FRAME_SLOT = 8,        /* paging.slot has, or is being given, what is in it: the swap cache (w) */
    FRAME_LISTED = 16,     /* on reclaim's list (l) */
    FRAME_HUGE = 32,       /* head of an order-9 block mapped by level-2 entries (u) */
    FRAME_RMAP_CHAIN = 64, /* rmap is a chain, not one location (r) */
    FRAME_ZEROED = 128,    /* free and known to be all zeroes (b) */
    FRAME_WRITING = 256,   /* its store is being given its contents; sleep on the frame (o) */
    FRAME_MAPPED = 512,    /* an object's page: mapped since it was last taken from all tables (o) */
    FRAME_POISONED = 1024, /* free and filled with the pattern that debug builds look for (b) */
    FRAME_LEAVING = 2048,  /* a victim: it was enrolled, and has neither gone nor come back (l) */
    FRAME_AHEAD = 4096,    /* read from swap before anybody asked for it, and not seen used since (a) */
    FRAME_NAMED = 8192,    /* a recording knows the page: who hears of its end (quire/watch.h) (u) */
    FRAME_LAZY = 16384 /* private: not wanted any more unless written to since (src/vm/lazy.h) (w to set) */
};

struct frame {
    union {
        struct {
            uint8_t use;    /* u: enum frame_use; changed with frame_set_use() */
            uint8_t order;  /* b,u: of the block that begins here */
            uint16_t flags; /* enum frame_flag, letters above */
            uint32_t refs;  /* a: ANON: mappings; the object's own; whoever else holds it; 0 = free */
        };
        uint16_t state;  /* use and order in one: what the buddy looks at in a neighbour */
        uint64_t header; /* all four, written at once when the frame changes hands */
    };
    union {
        uint32_t mapcount; /* a: ANON: entries of page tables that map it (an object's pages have views) */
        uint32_t privates; /* t: a leaf table's entries that are about private frames */
    };
    uint32_t window; /* l: enrolled: the last window in which it was used (src/vm/members.c); else ANON with
                        FRAME_NAMED: what a recording calls it */
    union {
        struct list node; /* b: free list; l: reclaim's list; u: owner's list */
        struct {
            uint32_t number; /* l: with FRAME_LISTED: the policy's number for it */
            uint32_t slot;   /* w: with FRAME_SLOT */
            uint32_t member; /* u: who is charged for it; 0: nobody */
            uint32_t spare;
        } paging; /* memory that can be paged out */
    };
    union {
        struct {
            /* FILE, SHARED: the object that owns the page, and the page's index in it.
             * ANON: object is NULL and `origin` is the mark that the page came from. */
            struct object *object; /* o */
            uint64_t index;        /* o; ANON: origin */
            /* r: ANON: the physical addresses of up to two entries that map it (0: none); with
             * FRAME_RMAP_CHAIN rmap[0] is a chain of more. */
            uint64_t rmap[2];
        } page;
        struct {
            uint64_t start;       /* t: first virtual address that the table translates */
            uint32_t shares;      /* t: entries of upper tables that point to this one */
            struct spinlock lock; /* RANK_TABLE */
            uint16_t live;        /* t: entries that are not empty */
            uint16_t low, high;   /* t: no entry below low or above high is in use (may be wider) */
            uint8_t level;        /* u: 1 = leaf */
            uint8_t spare;        /* swap_check_marks() */
            struct view *views;   /* t: leaf tables: what it shows of objects (src/vm/view.h) */
        } table;
        struct {
            void *cache; /* u: the slab cache */
            void *free;  /* first free cell */
            uint32_t used;
            uint32_t spare;
        } slab;
        uint64_t words[4];
    };
};
_Static_assert(sizeof(struct frame) == 64, "one cache line a frame");

/* ------------------------------------------------------------------ the memory map */

enum memory_kind { MEMORY_USABLE, MEMORY_RESERVED, MEMORY_ACPI, MEMORY_KERNEL, MEMORY_MODULE };

struct memory_range {
    struct paddr start; /* inclusive */
    struct paddr end;   /* exclusive */
    enum memory_kind kind;
};

enum { MEMORY_RANGES_MAX = 128 };

/* Sorted, disjoint, at most MEMORY_RANGES_MAX; build it with memory_map_add(). */
struct memory_map {
    unsigned count;
    struct memory_range ranges[MEMORY_RANGES_MAX];
};

/* Adds [start, end); where ranges overlap, the less usable kind wins. ST_NO_SPACE when the map is
 * full, ST_INVALID when end < start; then the map is as it was. */
MUST_USE enum status memory_map_add(struct memory_map *map, struct memory_range range);

/* ------------------------------------------------------------------ before the buddy */

/*
 * The boot allocator: hands out usable frames of a memory map from low to high, each once,
 * never one below `floor`. Nothing is ever given back to it.
 */
struct boot_frames {
    const struct memory_map *map;
    uint64_t first; /* the floor */
    uint64_t next;  /* the next candidate's number */
    uint64_t handed_out;
    /* What runs had to leave out, for their alignment or because it was too short: frames_init() frees it. */
    struct {
        uint64_t start, end;
    } skipped[8];
    unsigned skipped_count;
};

void boot_frames_init(struct boot_frames *boot, const struct memory_map *map, struct pfn floor);
/* ST_NO_MEMORY when the map is used up. The frame's contents are not defined. */
MUST_USE enum status boot_frames_take(struct boot_frames *boot, struct pfn *out);
/* `count` contiguous frames, aligned to `align` frames. */
MUST_USE enum status boot_frames_take_run(struct boot_frames *boot, uint64_t count, uint64_t align,
                                          struct pfn *out);

/* ------------------------------------------------------------------ the buddy allocator */

enum {
    FRAME_ORDER_MAX = 18, /* 1 GiB */
    FRAME_ORDER_HUGE = 9
};

/* How an allocation behaves. */
enum frame_request {
    FRAME_ANY = 0,
    FRAME_ZERO = 1,     /* all zeroes: from the pool that the idle loop fills, or zeroed now */
    FRAME_EMERGENCY = 2 /* may take the last reserve (reclaim, exit, and I/O for them) */
};

/*
 * Takes over from the boot allocator: makes the frame table (in memory taken from `boot`),
 * and frees every usable frame that `boot` has not handed out, those below its floor too, but never frame 0.
 * The frames of `boot` and of MEMORY_KERNEL and MEMORY_MODULE ranges become single FRAME_KERNEL frames with
 * refs = 1, which may be freed or handed to an object one by one. Called once (hosted tests: once a machine).
 * ST_NO_MEMORY when the table does not fit.
 */
MUST_USE enum status frames_init(struct boot_frames *boot);

/*
 * A block of 2^order frames, aligned to its size. refs = 1, mapcount = 0, flags = 0 (order > 0:
 * only the head's descriptor is set up; the others get `use` too). NULL when there is none, or
 * only the reserve is left: the caller then reclaims (src/vm/reclaim) or fails.
 * Any context; takes RANK_FRAMES only when the CPU's cache is empty.
 */
struct frame *frame_alloc(unsigned order, enum frame_use use, unsigned request);

/* Gives the block back. refs must be 1 (the caller's) and mapcount 0. Debug builds catch a double free, the
 * free of a reserved frame, and poison the frame to catch use after free when it is handed out again. */
void frame_free(struct frame *frame);

/* Frees the frame of order 0 that is known to hold only zeroes. */
void frame_free_zeroed(struct frame *frame);

/* The block of order n becomes 2^n single frames of the same use, each with refs = 1. */
void frame_split(struct frame *frame);

/* Fields that other CPUs may be changing. What is read may be old at once, unless a lock that its letter
 * names is held. */
static inline uint32_t frame_refs(const struct frame *frame)
{
    return __atomic_load_n(&frame->refs, __ATOMIC_ACQUIRE);
}

static inline uint32_t frame_mapcount(const struct frame *frame)
{
    return __atomic_load_n(&frame->mapcount, __ATOMIC_ACQUIRE);
}

static inline unsigned frame_flags(const struct frame *frame)
{
    return __atomic_load_n(&frame->flags, __ATOMIC_RELAXED);
}

/* Flags that are set, or clear, mostly already cost no locked instruction then. */
static inline void frame_set_flags(struct frame *frame, uint16_t flags)
{
    if ((frame_flags(frame) & flags) != flags)
        __atomic_fetch_or(&frame->flags, flags, __ATOMIC_RELAXED);
}

/* Returns those of `flags` that were set. */
static inline unsigned frame_clear_flags(struct frame *frame, uint16_t flags)
{
    if ((frame_flags(frame) & flags) == 0)
        return 0;
    return __atomic_fetch_and(&frame->flags, (uint16_t)~flags, __ATOMIC_RELAXED) & flags;
}

/* One more, one fewer holder; the last one frees. */
static inline void frame_ref(struct frame *frame)
{
    __atomic_fetch_add(&frame->refs, 1, __ATOMIC_RELAXED);
}
void frame_unref(struct frame *frame);

/* The allocated frame (of order 0) is used for something else from now on; keeps the counters right. */
void frame_set_use(struct frame *frame, enum frame_use use);

/*
 * The modules' memory (the initramfs), whose frames are FRAME_KERNEL after frames_init(). frame_claim() gives
 * one of them another use, contents unchanged, refs = 1, mapcount = 0; NULL when it is none.
 * frames_release_kept() frees those of [start, end) that are still FRAME_KERNEL; returns how many.
 */
struct frame *frame_claim(struct pfn number, enum frame_use use);
uint64_t frames_release_kept(struct pfn start, struct pfn end);

/* Called by the idle loop: zero at most `count` free frames; returns how many it did. */
unsigned frames_zero_ahead(unsigned count);

/*
 * Set, and not cleared again, by an allocation that leaves fewer frames free than the mark says; looked at
 * where memory is used up and can be reclaimed. The mark is an eighth of memory after frames_init(); setting
 * it clears the flag.
 */
extern bool frames_short; /* a */
void frames_set_mark(uint64_t frames);

struct frame_counts {
    uint64_t total; /* descriptors */
    uint64_t by_use[FRAME_USES];
    uint64_t zeroed;  /* of the free ones */
    uint64_t reserve; /* kept back for FRAME_EMERGENCY */
};
void frames_count(struct frame_counts *out);
/* Frames that can be allocated at all: all but the reserved ones. */
uint64_t frames_managed(void);
/* Free frames now, those in the CPUs' caches and the reserve too, without a walk. */
uint64_t frames_free(void);

/* Walks the free lists, the caches and the table; panics, naming the frame, on a broken invariant. No other
 * CPU may allocate or free meanwhile. */
void frames_check(void);

/* Gives what this CPU's cache and the pool of zeroed frames hold back to the buddy, where it merges. */
void frames_drain(void);

/* Test hook: the n-th allocation from now fails (0: none does). Counts down in frame_alloc() and
 * slab_alloc(). Returns what was left of the count before: 0 when it has struck. */
uint64_t frames_fail_after(uint64_t n);

/* ------------------------------------------------------------------ the frame table */

extern struct frame *frame_table; /* indexed by frame number */
extern uint64_t frame_table_count;

static inline struct frame *frame_of(struct pfn f)
{
    return &frame_table[f.v];
}

static inline struct frame *frame_at(struct paddr p)
{
    return &frame_table[p.v >> PAGE_SHIFT];
}

static inline struct pfn frame_pfn(const struct frame *frame)
{
    return pfn((uint64_t)(frame - frame_table));
}

static inline struct paddr frame_paddr(const struct frame *frame)
{
    /* paddr_of(frame_pfn(frame)), without a shift down and up again */
    return paddr(((uint64_t)frame - (uint64_t)frame_table) * (PAGE_SIZE / sizeof *frame));
}

/* Where the frame's bytes can be reached. */
static inline void *frame_data(const struct frame *frame)
{
    return host_at(frame_paddr(frame));
}

#endif

/*
 * Page tables.
 *
 * A library that any kernel or hypervisor can lift out: it has no globals, allocates nothing of its own, and
 * knows nothing of the host but what the caller hands to it: an allocator of frames (struct pt_alloc), the
 * way in which a table's frame can be reached (struct pt_reach), and somebody who flushes translations
 * (struct pt_flusher). The entry format is chosen when compiling, by the macro PT_FORMAT (pt/format.h).
 *
 * Contracts of every function:
 *  - Ranges are [start, start + length_bytes), whole pages, and do not cross the hole of addresses that are
 * not canonical: else ST_NOT_ALIGNED, ST_NOT_CANONICAL; a length of 0 is ST_INVALID.
 *  - A change prepares, then commits: a call that fails has changed no entry and has given every frame back.
 *  - ST_NO_MEMORY: the allocator had no frame. ST_NO_SPACE: the way to reach tables had no free slot left.
 *    ST_INVALID: an entry that the format does not allow was met, or the range holds the recursive slot.
 *  - Locking is the caller's: one change at a time of what shares a table; readers beside it see old or new.
 */
#ifndef QUIRE_PT_H
#define QUIRE_PT_H

#include "pt/format.h"
#include "quire/pt_flags.h"
#include "quire/status.h"
#include "quire/types.h"

/* ------------------------------------------------------------------ reaching a table's frame */

/*
 * Software can use virtual addresses only, but tables hold physical ones. The ways to get from one to the
 * other:
 *
 *   identity   a table's frame is mapped at its own number                       PT_WAY_OFFSET, offset 0
 *   offset     the frames of tables are mapped at a fixed distance               PT_WAY_OFFSET
 *   complete   all of physical memory is mapped at a distance, by huge pages     PT_WAY_OFFSET
 *   temporary  one level-1 table maps itself; its free entries are slots that
 *              are pointed at a frame for as long as it is used                  PT_WAY_SLOTS
 *   recursive  an entry of the root points to the root: taking it once more in a
 *              walk ends one level early, at a table instead of a page           PT_WAY_RECURSIVE
 *              (RISC-V: at an entry of the root that is a page there, a window,
 *              which is pointed at a table's frame for as long as it is used)
 *   function   the caller's function shows a frame, and another hides it again   PT_WAY_FUNCTION
 *
 * The first three differ in what is mapped, which is the business of whoever maps it, and of the allocator
 * that must give out frames that are reachable.
 */
enum pt_way { PT_WAY_OFFSET, PT_WAY_SLOTS, PT_WAY_RECURSIVE, PT_WAY_FUNCTION };

struct pt_reach {
    enum pt_way way;
    uint64_t offset;     /* OFFSET: where physical address 0 is, or would be */
    struct vaddr window; /* SLOTS: what entry 0 of the level-1 table maps */
    unsigned index;      /* SLOTS: the entry that maps the level-1 table; RECURSIVE: the entry of the root */
    /* SLOTS, RECURSIVE: this CPU forgets its translation of the page, because its entry has changed. */
    void (*forget)(void *context, struct vaddr page);
    /* NULL where the addresses are the machine's; a software MMU gives the pointer for the page instead. */
    void *(*resolve)(void *context, struct vaddr page);
    /* FUNCTION: where the frame of a table can be read and written until hide() is called for it. At most
     * PT_OPEN_TABLES are shown at a time. show() cannot fail; hide() may be NULL. */
    void *(*show)(void *context, struct paddr frame);
    void (*hide)(void *context, void *at);
    void *context;
};

/* How many tables the library works on at a time: those on the way down, and at least four. */
enum { PT_OPEN_TABLES = PT_LEVELS < 4 ? 4 : PT_LEVELS };

struct pt_reach pt_reach_identity(void);
struct pt_reach pt_reach_offset(uint64_t offset);
/* `window` is a multiple of a level-1 table's span; entry `self` of the level-1 table there maps the table.
 * PT_OPEN_TABLES of the other entries must be empty. */
struct pt_reach pt_reach_slots(struct vaddr window, unsigned self, void (*forget)(void *, struct vaddr),
                               void *context);
struct pt_reach pt_reach_function(void *(*show)(void *, struct paddr), void (*hide)(void *, void *),
                                  void *context);
/* Only for the tables that the CPU uses: the root is found through itself. One more entry of the root must be
 * empty when tables are to be made: new frames are reached, zeroed and filled through it before they are
 * linked. With windows (PT_RECURSIVE_WINDOWS is 1): entry `index` points to the root, the next one shows the
 * root where a walk through `index` ends at it, and PT_OPEN_TABLES behind it are empty between two calls.
 * pt_make_recursive() writes them. */
struct pt_reach pt_reach_recursive(unsigned index, void (*forget)(void *, struct vaddr), void *context);
/* A format whose MMU cannot end a walk at an entry that points to a table has no such way; a call does not
 * compile. */
#define pt_reach_recursive(index, forget, context)                                                           \
    (__extension__({                                                                                         \
        _Static_assert(PT_HAS_RECURSIVE, PT_WHY_NOT_RECURSIVE);                                              \
        (pt_reach_recursive)(index, forget, context);                                                        \
    }))

/* Where entry `window` of the root, a page, is shown by the recursive entry `index`: windows, that is. */
struct vaddr pt_recursive_window(unsigned index, unsigned window);
/* Without windows: the addresses under which the recursive entry `index` shows the table of `level` on the
 * way to `address`, and its entry for it. Level PT_LEVELS is the root. */
struct vaddr pt_recursive_table(unsigned index, struct vaddr address, unsigned level);
struct vaddr pt_recursive_entry(unsigned index, struct vaddr address, unsigned level);

/* ------------------------------------------------------------------ frames for tables */

struct pt_alloc {
    /* One frame, false when there is none. It must be reachable in the pt's way. */
    bool (*take)(void *context, struct paddr *out);
    /* A frame that take() gave. */
    void (*give)(void *context, struct paddr frame);
    /* A page that was unmapped to be handed back, of the size of `level`. NULL: nobody wants them. */
    void (*give_page)(void *context, struct paddr page, unsigned level);
    /* Pages of 4 KiB, as many as have gathered; the array is the caller's again afterwards. NULL: give_page()
     * for each. */
    void (*give_pages)(void *context, const struct paddr *pages, unsigned count);
    void *context;
    bool zeroed; /* the frames hold zeroes only */
};

/* Never has a frame: what it serves may change entries, but make no table. */
extern const struct pt_alloc pt_alloc_none;

/* ------------------------------------------------------------------ the flush promise */

enum pt_flush_kind {
    PT_FLUSH_NONE, /* no CPU can hold anything that has become wrong */
    /* Entries that were empty hold something: nothing can be wrong, but a CPU must be told, or may take a
     * fault that finds nothing to do. RISC-V: SFENCE.VMA without an address (there may be new tables, too) or
     * such faults. AArch64: DSB ISHST, ISB. */
    PT_FLUSH_NEW,
    PT_FLUSH_PAGES, /* translations of pages in the range */
    PT_FLUSH_TABLES /* and entries that pointed to tables */
};

/*
 * What a change returns: its status, and the promise to flush. The status cannot be had without saying what
 * becomes of the promise: pt_flush_now(), pt_batch_add() or pt_flush_ignore().
 */
struct pt_flush {
    uint64_t start; /* private, like the other; of the first page */
    uint64_t what;  /* pages of 4 KiB, status << PT_FLUSH_STATUS_SHIFT, kind << PT_FLUSH_KIND_SHIFT */
};
_Static_assert(sizeof(struct pt_flush) == 16, "travels in two registers");
enum { PT_FLUSH_STATUS_SHIFT = 48, PT_FLUSH_KIND_SHIFT = 56 };
_Static_assert(PAGE_SHIFT + PT_FLUSH_STATUS_SHIFT >= PT_INDEX_BITS * PT_LEVELS + PAGE_SHIFT &&
                   ST_COUNT <= 1 << (PT_FLUSH_KIND_SHIFT - PT_FLUSH_STATUS_SHIFT),
               "pages and a status fit");

/* What a call that has succeeded promises. */
static inline struct pt_flush pt_flush_promise(struct vaddr start, uint64_t pages, enum pt_flush_kind kind)
{
    return (struct pt_flush){start.v, pages | (uint64_t)kind << PT_FLUSH_KIND_SHIFT};
}

/* And one that has failed. */
static inline struct pt_flush pt_flush_failed(enum status status)
{
    return (struct pt_flush){0, (uint64_t)status << PT_FLUSH_STATUS_SHIFT};
}

static inline enum status pt_flush_status(struct pt_flush promise)
{
    return (enum status)(promise.what >> PT_FLUSH_STATUS_SHIFT & 0xff);
}

struct pt_flusher {
    /* Returns when no CPU holds the translations any more. */
    void (*flush)(void *context, struct vaddr start, uint64_t pages, enum pt_flush_kind kind);
    void *context;
};

/* Flush, and give the status of the change. */
MUST_USE enum status pt_flush_now(struct pt_flush promise, const struct pt_flusher *flusher);

/* Say that nobody can hold old translations (the tables are not in use), or that they do no harm. */
MUST_USE static inline enum status pt_flush_ignore(struct pt_flush promise)
{
    return pt_flush_status(promise);
}

/* More pages than this are flushed at one go: that costs less than flushing each, and filling the caches
 * again less than remembering more. */
enum { PT_FLUSH_PAGES_MAX = 32 };

/*
 * Promises gathered, to be kept together; and the frames that were taken out of tables, which go back to
 * their allocator only after it. When the storage is full, the flush happens early.
 *
 * Up to PT_FLUSH_PAGES_MAX pages are flushed range by range, however far apart they are. More are one call of
 * the flusher with the range that covers them all: it has more pages than that, and whoever flushes had
 * better flush everything then.
 */
struct pt_batch {
    const struct pt_alloc *alloc;
    const struct pt_flusher *flusher; /* NULL: the tables are in nobody's use */
    uint64_t *frames;                 /* private: frames, and what they were */
    unsigned capacity, count;
    enum pt_flush_kind kind;
    unsigned ranges;      /* used of range[], while pages is not too large */
    uint64_t pages;       /* in all of range[] */
    uint64_t start, last; /* covers everything that was promised */
    struct {
        uint64_t start, pages;
    } range[PT_FLUSH_PAGES_MAX];
};

void pt_batch_init(struct pt_batch *batch, const struct pt_alloc *alloc, const struct pt_flusher *flusher,
                   uint64_t *storage, unsigned capacity);
MUST_USE enum status pt_batch_add(struct pt_batch *batch, struct pt_flush promise);
/* Flush, then give the frames back. The batch is empty then, and may be used again. */
void pt_batch_finish(struct pt_batch *batch);

/* ------------------------------------------------------------------ a page table */

struct pt {
    struct paddr root;
    struct pt_reach reach;
    const struct pt_alloc *alloc;
    unsigned keep_level; /* tables of this level and above are never cleaned up: they may be shared */
    bool live;           /* an MMU may be marking entries dirty while they are changed: do not lose a mark */
    /* Formats with break-before-make (AArch64), live: flushes between taking an entry out and writing what
     * replaces it, where the manual wants that (a page split or merged, another memory type, global or not).
     * In between the page faults. NULL: such changes are ST_UNSUPPORTED. */
    const struct pt_flusher *flusher;
};

/* Tables that are there already (a boot loader's, say). Cannot fail. */
struct pt pt_at(struct paddr root, struct pt_reach reach, const struct pt_alloc *alloc);
/* A new root. ST_NO_MEMORY. Not for the recursive way, which cannot reach a root that is not in use:
 * ST_UNSUPPORTED. */
MUST_USE enum status pt_create(struct pt *pt, struct pt_reach reach, const struct pt_alloc *alloc);
/* Writes into the root, which is reached in another way yet, what pt_reach_recursive() needs: for the kernel
 * alone. ST_MAPPED: one of these entries is in use. ST_INVALID: there are not so many from `index` on.
 * ST_UNSUPPORTED: the format has no recursive way. */
MUST_USE enum status pt_make_recursive(struct pt *pt, unsigned index);
/* Gives back the root and every table below it, and no page. No MMU may be using them. Not for the recursive
 * way. Tables that are shared with another root must have been taken out before. */
void pt_destroy(struct pt *pt);

/* ------------------------------------------------------------------ changing it */

enum pt_size {
    PT_SIZE_LARGEST = 0, /* the largest pages that the addresses, the length and the tables there allow */
    PT_SIZE_4K = 1,      /* the number is the level */
    PT_SIZE_2M = 2,
    PT_SIZE_1G = 3,
    PT_SIZE_512G = 4, /* RISC-V Sv48, Sv57 */
    PT_SIZE_256T = 5  /* Sv57 */
};

/* One mapping to be made: [start, start + length_bytes) shows the memory from `to` on. */
struct pt_map {
    struct vaddr start;
    struct paddr to;
    uint64_t length_bytes;
    struct pt_flags flags;
    enum pt_size size;
    struct pt_mark mark; /* not 0: write this mark into the entries instead of a page */

    /* After ST_MAPPED or ST_HUGE_PAGE: what is in the way, and where. */
    struct vaddr at;
    struct pt_entry found;
    unsigned found_level;
};

/*
 * Every entry of the range must be empty. ST_MAPPED: a page, a mark, or (for huge pages asked for by size) a
 * table is there already; ST_HUGE_PAGE: a page larger than those to be mapped covers it. ST_NOT_ALIGNED for
 * the size that was asked for; ST_INVALID when a physical address is beyond the format's, or a size that it
 * has not; ST_UNSUPPORTED for flags that it has not, or not together.
 *
 * With PT_FLAG_GROUP, pages of the small sizes of which 16 fill an aligned group, in both kinds of addresses,
 * are told to the MMU as one translation. Such a group then counts as one larger page: what is asked of a
 * part of it is ST_HUGE_PAGE, or (PT_SPLIT_HUGE, pt_split()) makes it 16 pages again.
 */
MUST_USE struct pt_flush pt_map(struct pt *pt, struct pt_map *request);
/* The same where virtual and physical addresses are equal: `start` is taken from `to`. */
MUST_USE struct pt_flush pt_map_identity(struct pt *pt, struct pt_map *request);

/* Frames that do not follow each other: page i of the range shows frames[i]. */
struct pt_map_list {
    struct vaddr start;
    const struct paddr *frames;
    uint64_t count;
    struct pt_flags flags;
    enum pt_size size; /* of all of them; PT_SIZE_LARGEST is PT_SIZE_4K */

    /* After ST_MAPPED or ST_HUGE_PAGE, as in struct pt_map. After ST_NOT_ALIGNED or ST_INVALID because of a
     * frame: where it would have been. */
    struct vaddr at;
    struct pt_entry found;
    unsigned found_level;
};
/* As pt_map(). */
MUST_USE struct pt_flush pt_map_list(struct pt *pt, struct pt_map_list *request);

/* What the calls below do about special cases. */
enum pt_option {
    PT_STRICT = 0,
    PT_SKIP_HOLES = 1, /* a hole (or a mark) in the range is passed over; else ST_NOT_MAPPED */
    PT_SPLIT_HUGE = 2, /* a huge page that is covered in part is split; else ST_HUGE_PAGE */
    PT_CLEAR_MARKS = 4 /* unmap: marks go too, and are no holes */
};

/*
 * One page of 4 KiB, as the calls for ranges do it: with less to say, and quicker. A call from the root that
 * knows nothing of the call before; pt_cursor.h remembers.
 */
MUST_USE static inline struct pt_flush pt_map_page(struct pt *pt, struct vaddr page, struct paddr to,
                                                   struct pt_flags flags);
/* PT_STRICT. */
MUST_USE static inline struct pt_flush pt_unmap_page(struct pt *pt, struct vaddr page);
MUST_USE static inline struct pt_flush pt_protect_page(struct pt *pt, struct vaddr page, struct pt_flags set,
                                                       struct pt_flags clear);

/* Takes pages out. Their frames stay their owner's, tables that become empty stay in place (pt_clean()). */
MUST_USE struct pt_flush pt_unmap(struct pt *pt, struct vaddr start, uint64_t length_bytes, unsigned options);
/* The same; pages go through the batch to give_page(), tables that become empty to give(). The promise is the
 * batch's. A failed call has left nothing in it. */
MUST_USE enum status pt_unmap_give(struct pt *pt, struct vaddr start, uint64_t length_bytes, unsigned options,
                                   struct pt_batch *batch);

/* Sets and clears flags of the pages in the range; what is in both is set. A memory type is replaced by
 * clearing PT_MEMORY_MASK and setting the new one. ST_UNSUPPORTED: the format has not these flags, or a page
 * could not have them beside those that it has. */
MUST_USE struct pt_flush pt_protect(struct pt *pt, struct vaddr start, uint64_t length_bytes,
                                    struct pt_flags set, struct pt_flags clear, unsigned options);

/*
 * Sets and clears flags of the entries of one level, pages and tables alike: [start, start + length_bytes) is
 * whole spans of that level. A page stays a page, and a table a table. ST_NOT_MAPPED for a hole or a mark
 * (PT_SKIP_HOLES passes it over), ST_HUGE_PAGE when a page of a higher level is there. ST_UNSUPPORTED when
 * the format's tables do not have such a flag, or when it would take from the recursive way what it needs to
 * reach tables. ST_INVALID for a level that is not there.
 */
MUST_USE struct pt_flush pt_protect_level(struct pt *pt, struct vaddr start, uint64_t length_bytes,
                                          unsigned level, struct pt_flags set, struct pt_flags clear,
                                          unsigned options);

/* The page or group at `address`, if it is larger, becomes pages of `size`. ST_OK if it is not larger,
 * ST_NOT_MAPPED. */
MUST_USE struct pt_flush pt_split(struct pt *pt, struct vaddr address, enum pt_size size);

/*
 * The contrary: pages of the level below that fill a page of `size` (2M, 1G), follow each other in memory
 * from an address aligned to `size`, and agree in their flags become that page; marks that are equal become
 * one. Accessed and dirty are set when they are for one of the parts; where an MMU may be marking them
 * meanwhile (pt->live), ahead of it. For each page of `size` in the range, which is whole ones. The tables go
 * to the batch, and so does the promise. ST_NOT_MAPPED: a part is empty. ST_DIFFERENT: they do not agree or
 * follow each other, or one is a table. ST_NOT_ALIGNED: the first is not where a page of `size` can begin.
 * ST_HUGE_PAGE: a page above `size` is there. ST_DENIED: the table may be shared (keep_level). With
 * PT_SKIP_HOLES all these are passed over. What is a page of `size` already stays.
 */
MUST_USE enum status pt_merge(struct pt *pt, struct vaddr start, uint64_t length_bytes, enum pt_size size,
                              unsigned options, struct pt_batch *batch);

/* The tables down to `level` that the range needs, made where they are missing. */
MUST_USE enum status pt_make_tables(struct pt *pt, struct vaddr start, uint64_t length_bytes, unsigned level);

/* Tables in the range (also those that reach out of it) that have no entry go to the batch. */
MUST_USE enum status pt_clean(struct pt *pt, struct vaddr start, uint64_t length_bytes,
                              struct pt_batch *batch);

/* ------------------------------------------------------------------ marks */

/*
 * A mark is what an entry without a page holds of the caller's: 62 bits. pt_map() writes marks where nothing
 * is, pt_unmap() takes them out (PT_CLEAR_MARKS), a visitor sees them, pt_translate() never takes one for a
 * page.
 */

/* The mark that stands for `address`, and the level of its entry. ST_NOT_MAPPED: nothing is there; ST_MAPPED:
 * a page. Either may be NULL. */
MUST_USE enum status pt_get_mark(const struct pt *pt, struct vaddr address, struct pt_mark *mark,
                                 unsigned *level);

/* Told of every entry that was replaced, as it was at that moment: with all that the MMU had marked in it. */
struct pt_visit;
typedef void pt_replaced(void *context, const struct pt_visit *was);

/*
 * Every page and every mark in the range becomes `mark`; a page is swapped for it in one step, so that a
 * dirty bit cannot be lost between reading the entry and taking it out. Holes are ST_NOT_MAPPED, or are
 * passed over with PT_SKIP_HOLES. A larger page or mark that is covered in part is split with PT_SPLIT_HUGE,
 * else ST_HUGE_PAGE. `replaced` may be NULL.
 */
MUST_USE struct pt_flush pt_put_mark(struct pt *pt, struct vaddr start, uint64_t length_bytes,
                                     struct pt_mark mark, unsigned options, pt_replaced *replaced,
                                     void *context);

/*
 * The page of 4 KiB at `page`, for which `mark` stands, shows the frame `to` from now on; a mark of a higher
 * level is split. ST_NOT_MAPPED: there is no mark. ST_MAPPED: a page is there already. ST_RETRY: another
 * mark. `found` (may be NULL) is what is there.
 */
MUST_USE struct pt_flush pt_fill_mark(struct pt *pt, struct vaddr page, struct pt_mark mark, struct paddr to,
                                      struct pt_flags flags, struct pt_entry *found);

/* ------------------------------------------------------------------ harvesting */

/*
 * Which pages of a range have been accessed or written? Test, and clear if told so.
 */
struct pt_harvest {
    struct vaddr start;
    uint64_t length_bytes;
    struct pt_flags clear; /* PT_FLAG_ACCESSED, PT_FLAG_DIRTY, both, or none */
    unsigned options;      /* PT_SPLIT_HUGE: split a page that is covered in part; else ST_HUGE_PAGE */

    /* Where the answer goes; each may be NULL. Bit i of a map is the i-th page of 4 KiB of the range. Bits
     * are set, none is cleared. */
    uint64_t *accessed, *dirty;
    /* Each page that was accessed or dirty, as it was. False ends the harvest behind it. */
    bool (*visitor)(void *context, const struct pt_visit *page);
    void *context;

    /* Results. */
    uint64_t accessed_pages, dirty_pages; /* of 4 KiB */
    struct vaddr next;                    /* where the visitor ended it; the end of the range otherwise */
};
/*
 * Holes and marks are passed over. A flag that is cleared was seen: what the MMU sets meanwhile is either in
 * the answer or still there (pt->live). The promise covers the pages whose flags were cleared. Until it is
 * kept, a write through an old translation may leave no mark; for accessed bits that may be ignored, for
 * dirty bits it must not.
 */
MUST_USE struct pt_flush pt_harvest(struct pt *pt, struct pt_harvest *harvest);

/* ------------------------------------------------------------------ sharing a half */

enum pt_half { PT_HALF_LOWER, PT_HALF_UPPER };

/*
 * A new root for `from`'s half (a kernel's): its entries for it are copied, so the tables below are shared,
 * and what changes in them later changes for both. What is empty in the root now is not shared:
 * pt_make_tables() before. Neither gives such tables back any more (keep_level), or counts on live counts
 * that the other may change. The recursive entry of the new root is its own; the tables of a recursive `from`
 * are shown by it as soon as a CPU has loaded it. ST_NO_MEMORY; ST_NO_SPACE.
 */
MUST_USE enum status pt_clone_half(struct pt *pt, struct pt *from, enum pt_half half);
/* Empties the root's entries for the half without giving anything back: before pt_destroy(). No MMU may be
 * using the root. */
void pt_forget_half(struct pt *pt, enum pt_half half);

/* ------------------------------------------------------------------ looking at it */

struct pt_translation {
    struct paddr paddr;    /* of the byte */
    struct pt_flags flags; /* rights of the whole walk, other flags of the page */
    struct pt_entry entry; /* the last one read: page, mark, or empty */
    unsigned level;        /* whose: 1 a 4 KiB page, 2 one of 2 MiB, 3 of 1 GiB */
};

/*
 * ST_NOT_MAPPED: an entry on the way is empty or a mark (out->entry, out->level say which). Every other
 * failure is another status: ST_NOT_CANONICAL, ST_INVALID (a reserved bit is set), ST_NO_SPACE.
 */
MUST_USE static inline enum status pt_translate(const struct pt *pt, struct vaddr address,
                                                struct pt_translation *out);

struct pt_visit {
    struct vaddr start; /* of what the entry stands for */
    struct pt_entry entry;
    unsigned level;
    unsigned index; /* in its table */
};
/* False ends the visit. */
typedef bool pt_visitor(void *context, const struct pt_visit *visit);

/* Bits of a choice of levels. */
#define PT_LEVEL(level) (1u << (level))
#define PT_LEVELS_ALL (~0u)

/*
 * Every entry that is not empty, of the levels chosen, in [start, last] (both canonical; `last` is inclusive,
 * so that the whole of memory can be named; where a root is for one half, both in the same), by ascending
 * address, a table's entry before what is in the table. The recursive entry is not followed; slots that lie
 * in the same table are seen as they are used. The visitor must not change the tables. ST_OK also when it
 * ended the visit.
 */
MUST_USE enum status pt_visit_range(const struct pt *pt, struct vaddr start, struct vaddr last,
                                    unsigned levels, pt_visitor *visitor, void *context);
MUST_USE enum status pt_visit_all(const struct pt *pt, unsigned levels, pt_visitor *visitor, void *context);

/*
 * The same entries in the same order, one at a call. Nothing is held between two calls, so the tables may be
 * changed then: what is behind the last entry that was given is seen as it is at the next call.
 */
struct pt_iterator {
    const struct pt *pt; /* private, like the others */
    uint64_t at, last;
    unsigned levels, level;
    bool ended;
};
/* As pt_visit_range(). */
MUST_USE enum status pt_iterate(struct pt_iterator *iterator, const struct pt *pt, struct vaddr start,
                                struct vaddr last, unsigned levels);
/* False: there are no more. */
MUST_USE bool pt_next(struct pt_iterator *iterator, struct pt_visit *out);

/* One line of text, without a newline. */
typedef void pt_emit(void *context, const char *line);
/* The tree of entries that are not empty with their flags; equal neighbours are one line. */
MUST_USE enum status pt_dump(const struct pt *pt, pt_emit *emit, void *context);
/* The same as a JSON array, an object a line; with every flag. */
MUST_USE enum status pt_dump_json(const struct pt *pt, pt_emit *emit, void *context);

/* What pt_check() found wrong. */
struct pt_broken {
    const char *what;
    struct vaddr at;
    struct pt_entry entry;
    unsigned level;
};
struct pt_counts {
    uint64_t tables[PT_LEVELS + 1];     /* by level */
    uint64_t pages[PT_PAGE_LEVELS + 1]; /* by level */
    uint64_t marks;
};
/*
 * Walks everything: no reserved bit, no table that is its own ancestor, live counts that are right.
 * ST_INVALID with `broken` filled in; counts what it saw (`counts` may be NULL).
 */
MUST_USE enum status pt_check(const struct pt *pt, struct pt_broken *broken, struct pt_counts *counts);

/* How many tables [start, start + length_bytes) needs in an empty page table, without the root, by level and
 * in all: for planning. Largest pages, or of one size. */
uint64_t pt_tables_needed(struct vaddr start, struct paddr to, uint64_t length_bytes, enum pt_size size);

#include "pt/quick.h"

#endif

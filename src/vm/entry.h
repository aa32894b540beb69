/*
 * What an entry of a user page table says.
 *
 *   empty   0
 *   table   present, points to the next level
 *   page    present, maps a frame (levels 1 and 2); its software bits keep what the hardware bits cannot say
 *   mark    not present: what the whole span of the entry is, although no frame is there
 *
 * A mark:
 *
 *   63                 12  11     10    9      8..7    6 5 4   3..1  0
 *   payload, inverted      locked no    edge   advice  X W R   kind  0
 *                                 huge
 *
 * The payload is 20 bits of object and 32 of page index, or the number of a frame or of a swap slot, and is
 * stored inverted, so that a speculative load through the entry as if it were present meets no cached memory
 * (L1TF). A mark at level n stands for every page below it: page k of the span is index + k.
 *
 * A page's software bits: MAY_WRITE (the protection allows writing; the W bit may still be clear, because a
 * write must first copy, or be noticed), SHARED (writes go to the object), OBJECT (the frame is an object's),
 * and the advice bits of the mark it came from.
 */
#ifndef VM_ENTRY_H
#define VM_ENTRY_H

#include "base/check.h"
#include "pt/fmt/x86_64.h"
#include "quire/frame.h"

enum mark_kind {
    MARK_ANON = 1, /* private, reads as zeroes */
    MARK_PRIVATE,  /* page of an object, writes are the space's own */
    MARK_SHARED,   /* page of an object, writes are everybody's */
    MARK_HELD,     /* a private frame that is there, but may not be accessed at all (PROT_NONE) */
    MARK_SWAP      /* a private page whose contents are in a swap slot (swap.h); level 1 only */
};

#define MARK_KIND_SHIFT 1
#define MARK_KIND_MASK ((uint64_t)7 << MARK_KIND_SHIFT)
#define MARK_ACCESS_SHIFT 4
#define MARK_ACCESS_MASK ((uint64_t)7 << MARK_ACCESS_SHIFT)
#define MARK_TRAITS_SHIFT 7
#define MARK_TRAITS_MASK ((uint64_t)31 << MARK_TRAITS_SHIFT)
#define MARK_PAYLOAD_SHIFT 12
#define MARK_INDEX_BITS 32
#define OBJECT_ID_BITS 20

/* What a range is besides its protection: kept through every change of state of its entries. One bit has two
 * meanings, because private memory alone can grow down and shared memory alone can be closed to writing for
 * ever: entry_grows_down() and entry_never_writes() tell them apart. */
enum trait {
    TRAIT_RANDOM = 1,
    TRAIT_SEQUENTIAL = 2,
    TRAIT_GROWS_DOWN = 4,  /* private */
    TRAIT_NEVER_WRITE = 4, /* shared */
    TRAIT_NO_HUGE = 8,
    TRAIT_LOCKED = 16 /* what is here stays in memory (mlock) */
};

#define PAGE_MAY_WRITE PT_SOFT_0
#define PAGE_SHARED PT_SOFT_1
#define PAGE_OBJECT PT_SOFT_2  /* a page of an object, counted by a view of its table */
#define PAGE_NO_READ PT_SOFT_8 /* the protection does not name reading; the MMU cannot forbid it alone */
#define PAGE_TRAITS_SHIFT 52
#define PAGE_TRAITS_MASK ((uint64_t)31 << PAGE_TRAITS_SHIFT)
_Static_assert(PT_SOFT_3 == (uint64_t)1 << PAGE_TRAITS_SHIFT, "the traits are software bits 3 to 7");

static inline struct pt_entry mark_make(enum mark_kind kind, unsigned access, unsigned traits,
                                        uint64_t payload)
{
    return pt_entry((~payload << MARK_PAYLOAD_SHIFT) | (uint64_t)traits << MARK_TRAITS_SHIFT |
                    (uint64_t)access << MARK_ACCESS_SHIFT | (uint64_t)kind << MARK_KIND_SHIFT);
}

static inline uint64_t object_payload(uint32_t id, uint64_t index)
{
    return (uint64_t)id << MARK_INDEX_BITS | index;
}

static inline bool entry_is_mark(struct pt_entry entry)
{
    return entry.bits != 0 && !pt_entry_present(entry);
}

/* A page that an object has, and that a view of its table counts. */
static inline bool entry_is_object_page(struct pt_entry entry)
{
    return (entry.bits & (PT_PRESENT | PAGE_OBJECT)) == (PT_PRESENT | PAGE_OBJECT);
}

static inline enum mark_kind mark_kind(struct pt_entry mark)
{
    return (enum mark_kind)((mark.bits & MARK_KIND_MASK) >> MARK_KIND_SHIFT);
}

static inline unsigned mark_access(struct pt_entry mark)
{
    return (unsigned)((mark.bits & MARK_ACCESS_MASK) >> MARK_ACCESS_SHIFT);
}

static inline unsigned mark_traits(struct pt_entry mark)
{
    return (unsigned)((mark.bits & MARK_TRAITS_MASK) >> MARK_TRAITS_SHIFT);
}

static inline uint64_t mark_payload(struct pt_entry mark)
{
    return ~mark.bits >> MARK_PAYLOAD_SHIFT;
}

static inline uint32_t mark_object_id(struct pt_entry mark)
{
    return (uint32_t)(mark_payload(mark) >> MARK_INDEX_BITS);
}

static inline uint64_t mark_index(struct pt_entry mark)
{
    return mark_payload(mark) & (((uint64_t)1 << MARK_INDEX_BITS) - 1);
}

static inline bool mark_has_object(struct pt_entry mark)
{
    return mark_kind(mark) == MARK_PRIVATE || mark_kind(mark) == MARK_SHARED;
}

static inline bool mark_is_held(struct pt_entry entry)
{
    return entry_is_mark(entry) && mark_kind(entry) == MARK_HELD;
}

/* The swap slot that a mark is about; 0: the entry is something else. */
static inline uint32_t entry_slot(struct pt_entry entry)
{
    if ((entry.bits & (PT_PRESENT | MARK_KIND_MASK)) != (uint64_t)MARK_SWAP << MARK_KIND_SHIFT)
        return 0;
    return (uint32_t)mark_payload(entry);
}

/* The mark for the part of `mark`'s span that begins `pages` pages in. */
static inline struct pt_entry mark_advance(struct pt_entry mark, uint64_t pages)
{
    if (!mark_has_object(mark))
        return mark;
    return pt_entry(mark.bits - (pages << MARK_PAYLOAD_SHIFT));
}

/* Does a protection let this access be made? Reading comes with any right: the MMU has no page that can be
 * written or executed but not read. */
static inline bool access_allows(unsigned protection, enum access access)
{
    return access == ACCESS_READ ? protection != ACCESS_NONE : (protection & access) != 0;
}

/* The frame that a page or a held mark is about. */
static inline struct paddr held_paddr(struct pt_entry mark)
{
    return paddr(mark_payload(mark) << PAGE_SHIFT);
}

#define PAGE_RIGHTS (PAGE_MAY_WRITE | PAGE_NO_READ | PT_NO_EXEC)

/* What a protection says in a page entry; the W bit is another matter. */
static inline uint64_t page_rights(unsigned access)
{
    return (access & ACCESS_WRITE ? PAGE_MAY_WRITE : 0) | (access & ACCESS_READ ? 0 : PAGE_NO_READ) |
           (access & ACCESS_EXEC ? 0 : PT_NO_EXEC);
}

/* A page entry for user memory: `access` decides its rights, `writable` the W bit. */
static inline struct pt_entry page_make(struct paddr frame, unsigned access, unsigned traits, bool writable,
                                        bool shared)
{
    uint64_t bits = frame.v | PT_PRESENT | PT_USER | PT_ACCESSED | page_rights(access) |
                    (uint64_t)traits << PAGE_TRAITS_SHIFT;

    if (writable)
        bits |= PT_WRITE | PT_DIRTY;
    if (shared)
        bits |= PAGE_SHARED;
    return pt_entry(bits);
}

static inline unsigned page_access(struct pt_entry page)
{
    return (page.bits & PAGE_NO_READ ? 0u : (unsigned)ACCESS_READ) |
           (page.bits & PAGE_MAY_WRITE ? (unsigned)ACCESS_WRITE : 0u) |
           (page.bits & PT_NO_EXEC ? 0u : (unsigned)ACCESS_EXEC);
}

static inline unsigned page_traits(struct pt_entry page)
{
    return (unsigned)((page.bits & PAGE_TRAITS_MASK) >> PAGE_TRAITS_SHIFT);
}

/* The traits of a page or a mark. */
static inline unsigned entry_traits(struct pt_entry entry)
{
    return pt_entry_present(entry) ? page_traits(entry) : mark_traits(entry);
}

static inline unsigned entry_access(struct pt_entry entry)
{
    return pt_entry_present(entry) ? page_access(entry) : mark_access(entry);
}

/* Of a page or a mark: do writes go to the object? */
static inline bool entry_is_shared(struct pt_entry entry)
{
    return pt_entry_present(entry) ? (entry.bits & PAGE_SHARED) != 0 : mark_kind(entry) == MARK_SHARED;
}

static inline bool entry_grows_down(struct pt_entry entry)
{
    return entry_traits(entry) & TRAIT_GROWS_DOWN && !entry_is_shared(entry);
}

static inline bool entry_never_writes(struct pt_entry entry)
{
    return entry_traits(entry) & TRAIT_NEVER_WRITE && entry_is_shared(entry);
}

/* The same page or mark with other traits. */
static inline struct pt_entry entry_retrait(struct pt_entry entry, unsigned clear, unsigned set)
{
    unsigned traits = (entry_traits(entry) & ~clear) | set;

    if (pt_entry_present(entry))
        return pt_entry((entry.bits & ~PAGE_TRAITS_MASK) | (uint64_t)traits << PAGE_TRAITS_SHIFT);
    return pt_entry((entry.bits & ~MARK_TRAITS_MASK) | (uint64_t)traits << MARK_TRAITS_SHIFT);
}

/* Must the frame of this entry stay in memory? For visits of rmap_walk() and view_walk(). */
static inline bool entry_is_locked(struct pt_entry entry)
{
    return entry_traits(entry) & TRAIT_LOCKED;
}

/* A private frame's origin: the page of an object it was copied from, or 0: plain zeroes. Kept in
 * frame->page.index. */
#define ORIGIN_OBJECT ((uint64_t)1 << 63)

static inline uint64_t origin_make(uint32_t id, uint64_t index)
{
    return ORIGIN_OBJECT | object_payload(id, index);
}

static inline uint32_t origin_object_id(uint64_t origin)
{
    return (uint32_t)((origin & ~ORIGIN_OBJECT) >> MARK_INDEX_BITS);
}

static inline uint64_t origin_index(uint64_t origin)
{
    return origin & (((uint64_t)1 << MARK_INDEX_BITS) - 1);
}

#endif

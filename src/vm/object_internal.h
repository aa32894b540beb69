/*
 * The inside of a memory object.
 *
 * Letters: o  object->lock;  a  atomic;  c  constant;  d  the directory's lock.
 */
#ifndef VM_OBJECT_INTERNAL_H
#define VM_OBJECT_INTERNAL_H

#include "quire/object.h"
#include "vm/entry.h"
#include "vm/radix.h"
#include "vm/swap.h"

struct object {
    struct spinlock lock;        /* RANK_OBJECT */
    uint32_t id;                 /* c: its number in marks */
    uint64_t holds;              /* a: references + pages that entries refer to; 0: dying */
    uint64_t mapped;             /* a: of these, pages that entries refer to */
    uint64_t size;               /* o: bytes */
    uint64_t resident;           /* o: frames in `pages` */
    uint64_t swapped;            /* o: slots in `pages` */
    struct radix pages;          /* o: index -> struct frame, or a slot_tag(), which no pager's object has */
    struct swap_streams streams; /* w */
    const struct pager_ops *pager; /* c */
    void *data;                    /* c */
    void *label;                   /* set once */
    struct object_quota *quota;    /* c; NULL: none */
    uint64_t next_sequential;      /* o: where a sequential reader would come next */
    uint32_t window;               /* o: pages to read at once */
    struct list all;               /* d: of living objects */
    struct object *next_dying;     /* d */
    bool locked;                   /* a: its pages stay in memory */
    bool queued;                   /* d: among the dying */
};

/* The object with this number; it lives because an entry refers to it. */
struct object *object_by_id(uint32_t id);

static inline void object_hold_pages(struct object *object, uint64_t pages)
{
    __atomic_fetch_add(&object->holds, pages, __ATOMIC_RELAXED);
    __atomic_fetch_add(&object->mapped, pages, __ATOMIC_RELAXED);
}
/* One more reference, unless the object is dying. False: it goes without the caller. */
static inline bool object_hold_if_alive(struct object *object)
{
    uint64_t holds = __atomic_load_n(&object->holds, __ATOMIC_RELAXED);

    while (holds != 0)
        if (__atomic_compare_exchange_n(&object->holds, &holds, holds + 1, true, __ATOMIC_ACQUIRE,
                                        __ATOMIC_RELAXED))
            return true;
    return false;
}
/* The last one makes the object dying: objects_reap() ends it. Any locks may be held. */
void object_release_pages(struct object *object, uint64_t pages);

extern struct object *objects_dying;
void objects_reap_now(void);
/* End the dying objects, writing their dirty pages first. No locks held; may sleep. */
static inline void objects_reap(void)
{
    if (__atomic_load_n(&objects_dying, __ATOMIC_RELAXED))
        objects_reap_now();
}

/* So many pages more count for the object's quota; false: they are too many. */
MUST_USE bool object_charge(struct object *object, uint64_t pages);
void object_uncharge(struct object *object, uint64_t pages);

void objects_init(void);

/* What stands for a page in swap: frames are aligned. */
static inline void *slot_tag(uint32_t slot)
{
    return (void *)((uintptr_t)slot << 1 | 1);
}

/* The slot that a value of `pages` stands for; 0: it is a frame, or NULL. */
static inline uint32_t tag_slot(const void *value)
{
    return (uintptr_t)value & 1 ? (uint32_t)((uintptr_t)value >> 1) : 0;
}

/* The slot of a page that is in swap; 0: it is not. object->lock held. */
static inline uint32_t object_slot(struct object *object, uint64_t index)
{
    return tag_slot(radix_get(&object->pages, index));
}

/* The resident page, which may be busy; NULL when it is not resident. object->lock held. */
static inline struct frame *object_find(struct object *object, uint64_t index)
{
    void *value = radix_get(&object->pages, index);

    return (uintptr_t)value & 1 ? NULL : value;
}

static inline uint64_t object_pages(const struct object *object)
{
    return (object->size + PAGE_MASK) >> PAGE_SHIFT;
}

/* Take every entry that maps the frame away, leaving the marks they came from. True: TLBs may know it, and
 * the caller flushes all spaces. The object is locked. */
MUST_USE bool object_unmap_frame(struct frame *frame);
/* Take W from every entry of shared mappings of the frame. True: the caller flushes all spaces. The object is
 * locked. */
MUST_USE bool object_protect_frame(struct frame *frame);

/* cut.c: private copies of the object's pages from `first` on go from every space. */
void object_cut_copies(struct object *object, uint64_t first);

/* The living object with the lowest number above `above`, with a reference; NULL: there is none. */
struct object *object_next(uint32_t above);

/* What an entry that maps a page of an object becomes when the page leaves: the mark that it came from. */
static inline struct pt_entry page_to_mark(struct pt_entry page, const struct frame *frame)
{
    enum mark_kind kind = page.bits & PAGE_SHARED ? MARK_SHARED : MARK_PRIVATE;

    return mark_make(kind, page_access(page), page_traits(page),
                     object_payload(frame->page.object->id, frame->page.index));
}

#endif

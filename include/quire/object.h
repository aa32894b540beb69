/*
 * Memory objects: what can be mapped. A file of a file system, a file in memory, shared anonymous memory.
 *
 * An object is a sequence of pages, some resident. Those that have a pager can drop clean pages and
 * write dirty ones; those that have none keep every page until they are truncated or die.
 * An object lives while it has references (handles: a vnode, an open mapping call) or while entries of page
 * tables refer to its pages (object->mapped_pages), so it needs no list of regions.
 */
#ifndef QUIRE_OBJECT_H
#define QUIRE_OBJECT_H

#include "quire/frame.h"
#include "quire/status.h"
#include "quire/types.h"

struct object;

/*
 * Where pages come from and go to. Every function may sleep and is called without locks.
 */
struct pager_ops {
    /* Fill `count` frames with pages first..first+count-1. What lies behind the end of the store within the
     * last page is zeroed. All or nothing: on an error no frame's content counts. */
    enum status (*read)(struct object *object, uint64_t first, struct frame *const *frames, unsigned count);
    /* Write `count` frames' contents, of which `bytes` count (the last page may be partial). */
    enum status (*write)(struct object *object, uint64_t first, struct frame *const *frames, unsigned count,
                         uint64_t bytes);
    /* The object has died; free what `data` is. May be NULL. */
    void (*release)(struct object *object);
};

/*
 * A new object with one reference and no pages; NULL without memory (or when all 2^20 numbers are taken).
 * `pager` NULL: the pages live in memory only, and missing pages read as zeroes.
 */
struct object *object_create(const struct pager_ops *pager, void *data, uint64_t size_bytes);
/*
 * How many pages the objects of a group may have together, in memory and in swap. `limit` may change at any
 * time; who has more keeps it, and gets no more.
 */
struct object_quota {
    uint64_t limit;
    uint64_t used;    /* a */
    uint64_t checked; /* vm_check_all()'s */
};
/* The object, which has no pager and no pages, is of the quota's group from now on. The quota outlives it. */
void object_set_quota(struct object *object, struct object_quota *quota);
void object_ref(struct object *object);
void object_unref(struct object *object);

void *object_data(const struct object *object);
/* What the object shows as in /proc/PID/maps: a slab cell that the object frees when it dies; set once. NULL:
 * it has none. */
void object_set_label(struct object *object, void *label);
const void *object_label(const struct object *object);
uint64_t object_size(const struct object *object);
/* Its pages stay in memory once they are there (SHM_LOCK). */
void object_set_locked(struct object *object, bool locked);
bool object_is_locked(const struct object *object);
/* Resident pages; these and those in swap; pages that entries refer to. */
uint64_t object_resident(const struct object *object);
uint64_t object_allocated(const struct object *object);
uint64_t object_mapped(const struct object *object);

/*
 * Grow or shrink. Shrinking unmaps the pages behind the new end, and private copies of them, from every space
 * (a touch there is then ST_BEYOND_END) and frees them, dirty or not, and zeroes the rest of the last page.
 * May sleep.
 */
MUST_USE enum status object_resize(struct object *object, uint64_t size_bytes);

/* Page [first, first+count) of an object without a pager read as zeroes, and take no memory, until they are
 * written again. Private copies stay. May sleep. */
void object_punch(struct object *object, uint64_t first, uint64_t count);
/*
 * Those of [first, first+count) that an object without a pager does not have yet come as zeroes; beyond its
 * end there are none. ST_NO_SPACE: the quota does not allow all of them, nothing has changed; ST_NO_MEMORY:
 * some have come. May sleep.
 */
MUST_USE enum status object_fill(struct object *object, uint64_t first, uint64_t count);

enum object_get { OBJECT_READ, OBJECT_LOOK, OBJECT_WRITE, OBJECT_OVERWRITE };

/*
 * Page `index`, resident and valid, with a reference for the caller, who ends it by frame_unref(). It may be
 * mapped and used by others at the same time. OBJECT_WRITE marks it dirty; OBJECT_OVERWRITE too, and skips
 * reading it (a page that was not resident comes zeroed: the caller overwrites all of it that is inside the
 * object). OBJECT_LOOK reads, and where an object without a pager has no page it makes none: *out is the page
 * of zeroes (object_is_hole()). ST_BEYOND_END behind the end, ST_NO_MEMORY, ST_NO_SPACE (the quota),
 * ST_IO_ERROR. May sleep. Who has stored into the page ends the reference by object_put_written() instead.
 */
MUST_USE enum status object_get_page(struct object *object, uint64_t index, enum object_get how,
                                     struct frame **out);

/*
 * Ends the reference of a page got by OBJECT_WRITE or OBJECT_OVERWRITE, after the last store: it is dirty
 * now, though it may have been written back, and so been clean, between the two (what is stored may come from
 * memory that has to be read first).
 */
void object_put_written(struct frame *frame);

/* What OBJECT_LOOK gave is no page of the object. */
bool object_is_hole(const struct frame *frame);

/* Hand an allocated frame (refs = 1) to the object as page `index`: for an initramfs that is used in place,
 * whatever the quota says. */
MUST_USE enum status object_adopt(struct object *object, uint64_t index, struct frame *frame);

/* Copy between a kernel buffer and the object (read stops at the end of the object; write does not grow it).
 * `*done` is what was copied, also on an error. May sleep. */
MUST_USE enum status object_read(struct object *object, uint64_t offset, void *to, size_t bytes,
                                 size_t *done);
MUST_USE enum status object_write(struct object *object, uint64_t offset, const void *from, size_t bytes,
                                  size_t *done);

/* Write dirty pages in [first, first+count) to the store and wait. ST_IO_ERROR: they stay dirty. May sleep.
 */
MUST_USE enum status object_sync(struct object *object, uint64_t first, uint64_t count);
/* Ask that [first, first+count) be resident soon (read-ahead); best effort. May sleep. */
void object_prefetch(struct object *object, uint64_t first, uint64_t count);
/* Drop clean unmapped pages in the range; returns how many. */
uint64_t object_drop(struct object *object, uint64_t first, uint64_t count);
/* The same for all objects. May sleep. */
uint64_t objects_drop_all(void);
/* Calls visit for each living object (for sync and for checks); visit must not sleep. */
void object_for_each(void (*visit)(struct object *object, void *context), void *context);
/* Write every object's dirty pages. May sleep. */
MUST_USE enum status objects_sync_all(void);

void object_check(struct object *object);

#endif

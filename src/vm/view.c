/*
 * Views. See view.h.
 *
 * Invariants (space_check() walks them): a view is in its table's chain and in the bucket of its object and
 * base; its pages are the entries of the table that refer to page base + entry of the object; one view for an
 * object and a base in a table.
 */
#include "vm/view.h"

#include "quire/slab.h"
#include "vm/table.h"

enum { BUCKET_BITS = 9, BUCKETS = 1 << BUCKET_BITS, BUCKET_LOCKS = 64 };

static struct list buckets[BUCKETS];
static struct spinlock bucket_locks[BUCKET_LOCKS];

void views_init(void)
{
    for (unsigned i = 0; i < BUCKETS; i++)
        list_init(&buckets[i]);
    for (unsigned i = 0; i < BUCKET_LOCKS; i++)
        lock_init(&bucket_locks[i], RANK_RMAP);
}

bool views_any(void)
{
    for (unsigned i = 0; i < BUCKETS; i++)
        if (!list_empty(&buckets[i]))
            return true;
    return false;
}

/* Views whose bases lie in the same 512 pages of an object are in one bucket. (Fibonacci hashing: Knuth, The
 * Art of Computer Programming, volume 3, 6.4.) */
static unsigned bucket_of(uint32_t object_id, int64_t block)
{
    return (unsigned)((object_id + ((uint64_t)block << OBJECT_ID_BITS)) * 0x9e3779b97f4a7c15u >>
                      (64 - BUCKET_BITS));
}

static int64_t block_of(int64_t page)
{
    return page >> PT_INDEX_BITS;
}

static struct spinlock *bucket_lock(unsigned bucket)
{
    return &bucket_locks[bucket % BUCKET_LOCKS];
}

static void link_view(struct view *view)
{
    unsigned bucket = bucket_of(view->object_id, block_of(view->base));

    lock_take(bucket_lock(bucket));
    list_push_back(&buckets[bucket], &view->node);
    lock_drop(bucket_lock(bucket));
}

static void unlink_view(struct view *view)
{
    unsigned bucket = bucket_of(view->object_id, block_of(view->base));

    lock_take(bucket_lock(bucket));
    list_remove(&view->node);
    lock_drop(bucket_lock(bucket));
}

static struct view *new_view(struct frame *table, uint32_t object_id, int64_t base)
{
    struct view *view = slab_alloc(sizeof *view);

    if (!view)
        return NULL;
    view->table = table;
    view->object_id = object_id;
    view->base = base;
    view->next = table->table.views;
    table->table.views = view;
    return view;
}

struct view *view_open(struct frame *table, unsigned entry, struct reference reference)
{
    struct view *view = view_find(table, entry, reference);

    if (view)
        return view;
    view = new_view(table, reference.object_id, (int64_t)reference.index - (int64_t)entry);
    if (view)
        link_view(view);
    return view;
}

/* The view that `link` points to ends. */
static void end_view(struct view **link)
{
    struct view *view = *link;

    *link = view->next;
    unlink_view(view);
    slab_free(view);
}

void view_shrink(struct view *view, unsigned pages)
{
    struct view **link;

    CHECK_ALWAYS(view && view->pages >= pages);
    view->pages -= pages;
    if (view->pages > 0)
        return;
    link = &view->table->table.views;
    while (*link != view)
        link = &(*link)->next;
    end_view(link);
}

void views_trim(struct frame *table)
{
    struct view **link = &table->table.views;

    while (*link)
        if ((*link)->pages == 0)
            end_view(link);
        else
            link = &(*link)->next;
}

void views_end(struct frame *table)
{
    while (table->table.views)
        end_view(&table->table.views);
}

/* ------------------------------------------------------------------ copying a table */

enum status views_prepare(const struct frame *from, struct frame *to)
{
    for (const struct view *view = view_first(from); view; view = view->next) {
        struct view *copy = new_view(to, view->object_id, view->base);

        if (!copy) {
            while (to->table.views) {
                copy = to->table.views;
                to->table.views = copy->next;
                slab_free(copy);
            }
            return ST_NO_MEMORY;
        }
        copy->pages = view->pages;
    }
    return ST_OK;
}

void views_link(struct frame *to)
{
    for (struct view *view = view_first(to); view; view = view->next) {
        object_hold_pages(object_by_id(view->object_id), view->pages);
        link_view(view);
    }
}

/* ------------------------------------------------------------------ from a page to its entries */

/* The entry of the view's table that maps the frame, if there is one. The table is locked. */
static struct pt_entry *mapping_entry(const struct view *view, const struct frame *frame)
{
    struct pt_entry *entry = &table_entries(view->table)[(int64_t)frame->page.index - view->base];
    struct pt_entry now = pt_entry_load(entry);

    return pt_entry_present(now) && frame_at(pt_entry_paddr(now)) == frame ? entry : NULL;
}

static bool can_show(const struct view *view, const struct frame *frame)
{
    int64_t distance = (int64_t)frame->page.index - view->base;

    return view->object_id == frame->page.object->id && distance >= 0 && distance < PT_ENTRIES;
}

/* Views of one bucket, which is locked. False: a table is somebody else's just now. */
static bool walk_bucket(unsigned bucket, struct frame *frame, view_visit *visit, void *context)
{
    list_for_each(node, &buckets[bucket])
    {
        struct view *view = container_of(node, struct view, node);
        struct pt_entry *entry;

        if (!can_show(view, frame))
            continue;
        if (!lock_try(&view->table->table.lock))
            return false;
        entry = mapping_entry(view, frame);
        if (entry)
            visit(frame, entry, context);
        lock_drop(&view->table->table.lock);
    }
    return true;
}

void view_walk(struct frame *frame, view_visit *visit, void *context)
{
    int64_t block = block_of((int64_t)frame->page.index);

    for (int64_t at = block - 1; at <= block; at++) {
        unsigned bucket = bucket_of(frame->page.object->id, at);
        bool done;

        do {
            lock_take(bucket_lock(bucket));
            done = walk_bucket(bucket, frame, visit, context);
            lock_drop(bucket_lock(bucket));
            if (!done)
                host_relax();
        } while (!done);
    }
}

bool view_try_walk(struct frame *frame, view_visit *visit, void *context)
{
    int64_t block = block_of((int64_t)frame->page.index);
    bool done = true;

    for (int64_t at = block - 1; done && at <= block; at++) {
        unsigned bucket = bucket_of(frame->page.object->id, at);

        done = lock_try(bucket_lock(bucket));
        if (done) {
            done = walk_bucket(bucket, frame, visit, context);
            lock_drop(bucket_lock(bucket));
        }
    }
    return done;
}

static void mapped_visit(struct frame *frame, struct pt_entry *entry, void *context)
{
    *(bool *)context = true;
}

bool view_is_mapped(struct frame *frame)
{
    bool mapped = false;

    view_walk(frame, mapped_visit, &mapped);
    return mapped;
}

/* Entries are only read: their tables stay while they have views, which end under the lock of the bucket. */
unsigned view_count(const struct frame *frame)
{
    int64_t block = block_of((int64_t)frame->page.index);
    unsigned count = 0;

    for (int64_t at = block - 1; at <= block; at++) {
        unsigned bucket = bucket_of(frame->page.object->id, at);

        lock_take(bucket_lock(bucket));
        list_for_each(node, &buckets[bucket])
        {
            const struct view *view = container_of(node, struct view, node);

            count += can_show(view, frame) && mapping_entry(view, frame);
        }
        lock_drop(bucket_lock(bucket));
    }
    return count;
}

/*
 * Address spaces: creation, fork, end; the heap; copying in and out.
 *
 * The page table is the address space. What a range is (its protection, the object behind it, its advice)
 * stands in the entries: in marks where no frame is, in the software bits of the entry and the descriptor of
 * the frame where one is (entry.h). There is no second structure that could disagree.
 *
 *   root (level 4)                                   entries 256..511: the kernel's, the same in every space
 *    +- table (level 3) --- mark: 1 GiB of something
 *        +- table (level 2) --- mark: 2 MiB of demand-zero memory
 *        |   +- table (level 1) --- page | page | mark | empty ...
 *        +- table shared with a child of fork (entry without W)
 *
 * Locking: tables by cursors (cursor.h); space->lock for the hints and bounds; counters are atomic.
 */
#include "quire/space.h"

#include <string.h>

#include "quire/reclaim.h"
#include "quire/slab.h"
#include "vm/cursor.h"
#include "vm/object_internal.h"
#include "vm/view.h"

enum { KERNEL_ENTRIES_MAX = 32 };

struct vm_stats vm_stats;
struct frame *zero_frame;
struct paddr vm_kernel_root;

/* The entries of the kernel half, which every root gets: found once. */
static struct {
    unsigned count;
    struct {
        unsigned index;
        struct pt_entry entry;
    } at[KERNEL_ENTRIES_MAX];
} kernel_half;

/* The living spaces. */
static struct spinlock spaces_lock;
static struct list spaces = LIST_INIT(spaces);

enum status vm_init(struct paddr kernel_root)
{
    const struct pt_entry *entries = host_at(kernel_root);

    vm_stats = (struct vm_stats){0};
    vm_kernel_root = kernel_root;
    kernel_half.count = 0;
    for (unsigned i = USER_ROOT_ENTRIES; i < PT_ENTRIES; i++) {
        if (entries[i].bits == 0)
            continue;
        if (kernel_half.count == KERNEL_ENTRIES_MAX)
            return ST_NO_SPACE;
        kernel_half.at[kernel_half.count].index = i;
        kernel_half.at[kernel_half.count].entry = entries[i];
        kernel_half.count++;
    }
    lock_init(&spaces_lock, RANK_SPACES);
    list_init(&spaces);
    rmap_init();
    swap_init();
    views_init();
    objects_init();
    reclaim_init();
    zero_frame = frame_alloc(0, FRAME_KERNEL, FRAME_ZERO);
    if (!zero_frame)
        return ST_NO_MEMORY;
    zero_frame->page.object = NULL;
    return ST_OK;
}

/* ------------------------------------------------------------------ creation and end */

static void spaces_insert(struct space *space)
{
    lock_take(&spaces_lock);
    list_push_back(&spaces, &space->all);
    lock_drop(&spaces_lock);
}

static void spaces_remove(struct space *space)
{
    lock_take(&spaces_lock);
    list_remove(&space->all);
    lock_drop(&spaces_lock);
}

void spaces_for_each(void (*visit)(struct space *space, void *context), void *context)
{
    lock_take(&spaces_lock);
    list_for_each(node, &spaces) visit(container_of(node, struct space, all), context);
    lock_drop(&spaces_lock);
}

static struct space *space_alloc(void)
{
    struct space *space = slab_alloc(sizeof *space);
    struct frame *root;

    if (!space)
        return NULL;
    root = table_create(PT_LEVELS, 0, TABLE_EMPTY);
    if (!root) {
        slab_free(space);
        return NULL;
    }
    for (unsigned i = 0; i < kernel_half.count; i++)
        table_entries(root)[kernel_half.at[i].index] = kernel_half.at[i].entry;
    space->root = root;
    space->refs = 1;
    lock_init(&space->lock, RANK_SPACE);
    host_mmu_init(&space->mmu, frame_paddr(root));
    return space;
}

/* A root whose user half is empty. */
static void root_retire(struct flush_batch *batch, struct frame *root)
{
    for (unsigned i = 0; i < kernel_half.count; i++)
        table_entries(root)[kernel_half.at[i].index] = pt_entry(0);
    table_retire(batch, root);
}

enum status space_create(struct space **out)
{
    struct space *space;

    do {
        space = space_alloc();
    } while (!space && vm_make_room());
    if (!space)
        return ST_NO_MEMORY;
    space->limit_pages = UINT64_MAX;
    space->lock_limit = UINT64_MAX;
    space->mmap_top = SPACE_END - ((uint64_t)1 << 30);
    space->map_hint = space->mmap_top;
    space->stack_limit = (uint64_t)8 << 20;
    spaces_insert(space);
    *out = space;
    return ST_OK;
}

/* The child's root points to the parent's tables, or to copies of them; marks in the root are copied. The
 * parent's root is locked. */
static void share_root(struct space *parent, struct space *child)
{
    struct pt_entry *from = table_entries(parent->root);
    struct pt_entry *to = table_entries(child->root);
    unsigned live = parent->root->table.live;

    for (unsigned i = parent->root->table.low; live > 0; i++) {
        i = table_next_live(parent->root, i, live);
        if (pt_entry_is_table(from[i], PT_LEVELS)) {
            table_share(parent->root, &from[i], &to[i]);
        } else {
            mark_hold(from[i], level_pages(PT_LEVELS));
            to[i] = from[i];
        }
        live--;
    }
    child->root->table.live = parent->root->table.live;
    child->root->table.low = parent->root->table.low;
    child->root->table.high = parent->root->table.high;
}

enum status space_fork(struct space *parent, struct space **out)
{
    struct space *child;

    do {
        child = space_alloc();
    } while (!child && vm_make_room());
    if (!child)
        return ST_NO_MEMORY;
    lock_take(&parent->lock);
    space_set_member(child, space_member(parent));
    child->limit_pages = parent->limit_pages;
    child->lock_limit = parent->lock_limit;
    child->mmap_top = parent->mmap_top;
    child->map_hint = parent->map_hint;
    child->break_start = parent->break_start;
    child->break_end = parent->break_end;
    child->stack_start = parent->stack_start;
    child->stack_end = parent->stack_end;
    child->stack_limit = parent->stack_limit;
    lock_drop(&parent->lock);
    lock_take(&parent->root->table.lock);
    share_root(parent, child);
    child->mapped_pages = __atomic_load_n(&parent->mapped_pages, __ATOMIC_RELAXED);
    child->mapped_peak = 0;
    STAT(flush_spaces);
    host_flush_space(&parent->mmu); /* nobody may write through what was writable before */
    lock_drop(&parent->root->table.lock);
    spaces_insert(child);
    if (space_has_locks(parent) && space_lock_all(child, false) != ST_OK) {
        space_unref(child);
        return ST_NO_MEMORY;
    }
    *out = child;
    return ST_OK;
}

void space_ref(struct space *space)
{
    __atomic_fetch_add(&space->refs, 1, __ATOMIC_RELAXED);
}

void space_unref(struct space *space)
{
    struct flush_batch batch;

    if (__atomic_sub_fetch(&space->refs, 1, __ATOMIC_ACQ_REL) != 0)
        return;
    spaces_remove(space);
    host_mmu_destroy(&space->mmu); /* no TLB knows the space any more: the batch has nothing to flush */
    batch_init(&batch, NULL);
    lock_take(&space->root->table.lock);
    table_go(&batch, space->root);
    lock_drop(&space->root->table.lock);
    root_retire(&batch, space->root);
    space_set_member(space, MEMBER_NOBODY);
    slab_free(space);
    batch_end(&batch);
}

struct host_mmu *space_mmu(struct space *space)
{
    return &space->mmu;
}

struct paddr space_root(const struct space *space)
{
    return frame_paddr(space->root);
}

/* ------------------------------------------------------------------ layout and heap */

void space_init_break(struct space *space, struct vaddr start)
{
    lock_take(&space->lock);
    space->break_start = start.v;
    space->break_end = start.v;
    lock_drop(&space->lock);
}

void space_set_layout(struct space *space, struct vaddr mmap_top, struct vaddr stack_start,
                      struct vaddr stack_end, uint64_t stack_limit_bytes)
{
    lock_take(&space->lock);
    space->mmap_top = mmap_top.v;
    space->map_hint = mmap_top.v;
    space->stack_start = stack_start.v;
    space->stack_end = stack_end.v;
    space->stack_limit = stack_limit_bytes;
    lock_drop(&space->lock);
}

void space_set_limit(struct space *space, uint64_t bytes)
{
    lock_take(&space->lock);
    space->limit_pages = bytes >> PAGE_SHIFT;
    lock_drop(&space->lock);
}

uint64_t space_mapped_bytes(const struct space *space)
{
    return __atomic_load_n(&space->mapped_pages, __ATOMIC_RELAXED) << PAGE_SHIFT;
}

uint64_t space_mapped_peak(const struct space *space)
{
    uint64_t now = space_mapped_bytes(space), peak = space->mapped_peak << PAGE_SHIFT;

    return now > peak ? now : peak;
}

void space_set_stack_limit(struct space *space, uint64_t bytes)
{
    lock_take(&space->lock);
    space->stack_limit = bytes;
    lock_drop(&space->lock);
}

static enum status grow_break(struct space *space, uint64_t from, uint64_t to)
{
    struct space_map request = {
        .hint = vaddr(from),
        .length_bytes = to - from,
        .access = ACCESS_READ | ACCESS_WRITE,
        .flags = SPACE_NO_REPLACE | SPACE_AHEAD,
    };
    struct vaddr got;

    return space_map(space, &request, &got);
}

struct vaddr space_set_break(struct space *space, struct vaddr wanted)
{
    uint64_t old, from, to;
    enum status status = ST_OK;

    lock_take(&space->lock);
    old = space->break_end;
    lock_drop(&space->lock);
    if (wanted.v < space->break_start || wanted.v > SPACE_END)
        return vaddr(old);
    from = align_up(old, PAGE_SIZE);
    to = align_up(wanted.v, PAGE_SIZE);
    if (to > from)
        status = grow_break(space, from, to);
    else if (to < from)
        status = space_unmap(space, vaddr(to), from - to);
    if (status != ST_OK)
        return vaddr(old);
    lock_take(&space->lock);
    space->break_end = wanted.v;
    lock_drop(&space->lock);
    return wanted;
}

/* ------------------------------------------------------------------ copying in and out */

/* The frame behind the page, when the access could be made right now. */
static struct frame *find_frame(struct space *space, uint64_t page, enum access access)
{
    struct cursor cursor;
    struct frame *frame = NULL;
    struct pt_entry entry;

    if (cursor_begin(&cursor, space, page, page + PAGE_SIZE,
                     access == ACCESS_WRITE ? CURSOR_CHANGE : CURSOR_LOOK) != ST_OK)
        return NULL;
    entry = pt_entry_load(cursor_entry(&cursor));
    if (pt_entry_present(entry) && cursor.level == 2 &&
        cursor_to_level(&cursor, 1, TABLE_KEEP_EMPTY) == ST_OK)
        entry = pt_entry_load(cursor_entry(&cursor));
    if (pt_entry_present(entry) && cursor.level == 1 &&
        (access == ACCESS_READ || (access == ACCESS_WRITE && (entry.bits & PT_WRITE)) ||
         (access == ACCESS_EXEC && !(entry.bits & PT_NO_EXEC)))) {
        frame = frame_at(pt_entry_paddr(entry));
        frame_ref(frame);
        if (access == ACCESS_WRITE && !(entry.bits & PT_DIRTY)) /* as the MMU does for a write of its own */
            __atomic_fetch_or(&cursor_entry(&cursor)->bits, PT_DIRTY, __ATOMIC_RELAXED);
    }
    cursor_end(&cursor);
    return frame;
}

enum status space_pin(struct space *space, struct vaddr address, enum access access, struct frame **out)
{
    uint64_t page = align_down(address.v, PAGE_SIZE);

    if (address.v < SPACE_START || address.v >= SPACE_END)
        return ST_NOT_MAPPED;
    for (;;) {
        enum status status;

        *out = find_frame(space, page, access);
        if (*out)
            return ST_OK;
        status = space_fault(space, vaddr(page), access);
        if (status != ST_OK && (status != ST_NO_MEMORY || !host_memory_out(space_member(space))))
            return status;
    }
}

enum status space_write(struct space *space, struct vaddr to, const void *from, size_t bytes, size_t *done)
{
    for (*done = 0; *done < bytes;) {
        uint64_t at = to.v + *done;
        size_t part = part_of_page(at, bytes - *done);
        struct frame *frame;
        enum status status = space_pin(space, vaddr(at), ACCESS_WRITE, &frame);

        if (status != ST_OK)
            return status;
        memcpy((char *)frame_data(frame) + (at & PAGE_MASK), (const char *)from + *done, part);
        if (frame->use == FRAME_FILE)
            object_put_written(frame);
        else
            frame_unref(frame);
        *done += part;
    }
    return ST_OK;
}

enum status space_read(struct space *space, struct vaddr from, void *to, size_t bytes, size_t *done)
{
    for (*done = 0; *done < bytes;) {
        uint64_t at = from.v + *done;
        size_t part = part_of_page(at, bytes - *done);
        struct frame *frame;
        enum status status = space_pin(space, vaddr(at), ACCESS_READ, &frame);

        if (status != ST_OK)
            return status;
        memcpy((char *)to + *done, (char *)frame_data(frame) + (at & PAGE_MASK), part);
        frame_unref(frame);
        *done += part;
    }
    return ST_OK;
}

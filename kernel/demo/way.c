/*
 * Page tables that are reached in one way only (way.h).
 */
#include "kernel/demo/way.h"

#include "kernel/boot/boot_info.h"
#include "kernel/klib.h"
#include "kernel/mm/layout.h"

const char *const way_names[WAYS] = {"identity", "offset", "complete", "temporary", "recursive"};

enum { CR4_GLOBAL_PAGES = 1 << 7 };

bool way_chosen(enum way_kind *out)
{
    char value[16];

    if (!boot_option("access", value, sizeof value))
        return false;
    *out = WAY_IDENTITY;
    while (*out < WAYS && strcmp(value, way_names[*out]) != 0)
        ++*out;
    return true;
}

/* ------------------------------------------------------------------ the pool */

static uint64_t pool_start(const struct way *way)
{
    return frame_paddr(way->frames).v;
}

static bool pool_take(void *context, struct paddr *out)
{
    struct way *way = context;

    if (way->free == 0)
        return false;
    unsigned i = (unsigned)__builtin_ctzl(way->free);

    way->free &= way->free - 1;
    *out = paddr(pool_start(way) + i * PAGE_SIZE);
    return true;
}

static void pool_give(void *context, struct paddr frame)
{
    struct way *way = context;

    way->free |= (uint64_t)1 << ((frame.v - pool_start(way)) >> PAGE_SHIFT);
}

/* Pages that are handed back: those of the pool. */
static void pool_give_page(void *context, struct paddr page, unsigned level)
{
    struct way *way = context;

    if (level == 1 && page.v - pool_start(way) < WAY_POOL * PAGE_SIZE)
        pool_give(context, page);
}

struct paddr way_frame(struct way *way)
{
    struct paddr frame;

    return pool_take(way, &frame) ? frame : paddr(~(uint64_t)0);
}

unsigned way_frames_free(const struct way *way)
{
    unsigned count = 0;

    for (uint64_t left = way->free; left != 0; left &= left - 1)
        count++;
    return count;
}

/* ------------------------------------------------------------------ flushing */

static void forget_page(void *context, struct vaddr page)
{
    (void)context;
    invlpg(page.v);
}

static void flush_pages(void *context, struct vaddr start, uint64_t pages, enum pt_flush_kind kind)
{
    struct way *way = context;

    way->flushes++;
    (void)kind; /* INVLPG drops the cached entries of tables, too (SDM vol. 3A, 4.10.4.1) */
    if (pages > 64)
        cr3_write(cr3_read());
    else
        for (uint64_t i = 0; i < pages; i++)
            invlpg(start.v + i * PAGE_SIZE);
}

/* Also forgets global pages: the map of the physical memory is one. */
static void load_root(uint64_t cr3)
{
    uint64_t cr4 = cr4_read();

    cr3_write(cr3);
    cr4_write(cr4 & ~(uint64_t)CR4_GLOBAL_PAGES);
    cr4_write(cr4);
}

void way_enter(struct way *way)
{
    way->kernel_cr3 = cr3_read();
    load_root(way->pt.root.v);
}

void way_leave(struct way *way)
{
    load_root(way->kernel_cr3);
}

/* ------------------------------------------------------------------ building */

struct paddr way_table(struct paddr root, struct vaddr at, unsigned level)
{
    struct paddr frame = root;

    for (unsigned above = PT_LEVELS; above > level; above--) {
        const struct pt_entry *table = host_at(frame);
        struct pt_entry entry = pt_entry_load(&table[pt_index(at, above)]);

        if (!pt_entry_is_table(entry, above))
            return paddr(0);
        frame = pt_entry_paddr(entry);
    }
    return frame;
}

static enum status map_window(struct way *way, uint64_t start, uint64_t to, uint64_t bytes, enum pt_size size)
{
    struct pt_map request = {.start = vaddr(start),
                             .to = paddr(to),
                             .length_bytes = bytes,
                             .flags = pt_flags(PT_FLAG_WRITE),
                             .size = size};

    return pt_flush_ignore(pt_map(&way->outside, &request)); /* not in CR3 */
}

/* All of what the map knows, as the kernel's own map of it is. */
static uint64_t memory_end(const struct memory_map *map)
{
    uint64_t end = 0;

    for (unsigned i = 0; i < map->count; i++)
        if (map->ranges[i].kind != MEMORY_RESERVED && map->ranges[i].end.v > end)
            end = map->ranges[i].end.v;
    return align_up(end, HUGE_SIZE);
}

/* A level-1 table that maps itself, so that its other entries can be set by writing to the page it shows. */
static enum status make_slots(struct way *way)
{
    enum status status = pt_make_tables(&way->outside, vaddr(WAY_WINDOW), PAGE_SIZE, 1);

    if (status != ST_OK)
        return status;
    return map_window(way, WAY_WINDOW + WAY_SLOT_SELF * PAGE_SIZE,
                      way_table(way->pt.root, vaddr(WAY_WINDOW), 1).v, PAGE_SIZE, PT_SIZE_4K);
}

static enum status make_reachable(struct way *way, const struct memory_map *map)
{
    uint64_t pool = pool_start(way), bytes = WAY_POOL * PAGE_SIZE;
    struct pt_entry *root = host_at(way->pt.root);

    switch (way->kind) {
    case WAY_IDENTITY:
        way->pt.reach = pt_reach_identity();
        return map_window(way, pool, pool, bytes, PT_SIZE_4K);
    case WAY_OFFSET:
        way->pt.reach = pt_reach_offset(WAY_OFFSET_START);
        return map_window(way, WAY_OFFSET_START + pool, pool, bytes, PT_SIZE_4K);
    case WAY_COMPLETE:
        way->pt.reach = pt_reach_offset(WAY_COMPLETE_START);
        way->memory_bytes = memory_end(map);
        return map_window(way, WAY_COMPLETE_START, 0, way->memory_bytes, PT_SIZE_2M);
    case WAY_TEMPORARY:
        way->pt.reach = pt_reach_slots(vaddr(WAY_WINDOW), WAY_SLOT_SELF, forget_page, way);
        return make_slots(way);
    default:
        way->pt.reach = pt_reach_recursive(WAY_RECURSIVE_INDEX, forget_page, way);
        pt_entry_store(&root[WAY_RECURSIVE_INDEX],
                       pt_entry(way->pt.root.v | PT_PRESENT | PT_WRITE | PT_NO_EXEC));
        return ST_OK;
    }
}

static void share_kernel(const struct way *way)
{
    const struct pt_entry *kernel = host_at(paddr(cr3_read() & PT_FRAME_MASK));
    struct pt_entry *root = host_at(way->pt.root);

    root[VMAP_SLOT] = kernel[VMAP_SLOT];
    root[KERNEL_SLOT] = kernel[KERNEL_SLOT];
}

enum status way_open(struct way *way, enum way_kind kind, const struct memory_map *map)
{
    *way = (struct way){.kind = kind, .free = ~(uint64_t)0};
    way->frames = frame_alloc(WAY_POOL_ORDER, FRAME_KERNEL, FRAME_ANY);
    if (way->frames == NULL)
        return ST_NO_MEMORY;
    way->alloc =
        (struct pt_alloc){.take = pool_take, .give = pool_give, .give_page = pool_give_page, .context = way};
    way->flusher = (struct pt_flusher){.flush = flush_pages, .context = way};

    enum status status = pt_create(&way->outside, pt_reach_offset(PHYS_OFFSET), &way->alloc);

    way->pt = way->outside;
    if (status == ST_OK) {
        share_kernel(way);
        status = make_reachable(way, map);
    }
    if (status != ST_OK)
        way_close(way);
    return status;
}

void way_close(struct way *way)
{
    frame_free(way->frames);
    way->frames = NULL;
}

/*
 * Random changes of a page table: see world.h.
 *
 * Addresses come from a few windows that lie across the borders of large pages and tables, so that operations
 * meet each other; and from what is mapped already.
 */
#include "world.h"

#include <stdio.h>
#include <stdlib.h>

enum { MOST_LISTED = 64 };
#define UPPER_BITS ((uint64_t)0xffff << 48)

uint64_t world_random(struct world *world, uint64_t below)
{
    world->random ^= world->random >> 12;
    world->random ^= world->random << 25;
    world->random ^= world->random >> 27;
    return ((world->random * 0x2545f4914f6cdd1du) >> 11) % below;
}

static _Noreturn void fail(const char *what, enum status status)
{
    fprintf(stderr, "%s: %s\n", what, status_name(status));
    abort();
}

enum scene_flush_kind scene_kind(enum pt_flush_kind kind)
{
    if (kind == PT_FLUSH_NEW)
        return SCENE_FLUSH_NEW;
    return kind == PT_FLUSH_PAGES ? SCENE_FLUSH_PAGES : SCENE_FLUSH_TABLES;
}

/* The guest keeps the promise at the beginning of its turn. */
static void write_promise(void *context, struct vaddr start, uint64_t pages, enum pt_flush_kind kind)
{
    struct scene *scene = context;

    enum scene_flush_kind told = scene_kind(kind);

    if (scene->flush_count == SCENE_FLUSHES) {
        scene->flush_count = 0;
        told = SCENE_FLUSH_ALL;
    }
    scene->flushes[scene->flush_count++] = (struct scene_flush){start.v, pages, told};
}

static void map_identity(struct world *world, uint64_t offset, uint64_t length_bytes, uint32_t flags)
{
    struct pt_map map = {.start = vaddr(machine_base + offset),
                         .to = paddr(machine_base + offset),
                         .length_bytes = length_bytes,
                         .flags = pt_flags(flags),
                         .size = PT_SIZE_LARGEST};
    enum status status = pt_flush_ignore(pt_map(&world->pt, &map));

    if (status != ST_OK)
        fail("mapping the guest", status);
}

/* The guest's program (the last page is user mode's) and the scene. */
static void map_guest(struct world *world)
{
    const uint32_t seen = PT_FLAG_ACCESSED;

    map_identity(world, PAYLOAD_OFFSET, PAYLOAD_BYTES - PAGE_SIZE,
                 PT_FLAG_WRITE | PT_FLAG_EXEC | PT_FLAG_DIRTY | seen);
    map_identity(world, PAYLOAD_OFFSET + PAYLOAD_BYTES - PAGE_SIZE, PAGE_SIZE,
                 PT_FLAG_USER | PT_FLAG_EXEC | seen);
    map_identity(world, SCENE_OFFSET, TABLES_OFFSET - SCENE_OFFSET, PT_FLAG_WRITE | PT_FLAG_DIRTY | seen);
}

uint64_t world_place(uint64_t address)
{
    return PT_ROOT_HALVES == 1 ? address & ~UPPER_BITS : address;
}

bool world_may_touch(uint64_t address)
{
    return world_place(address) >= 8 * GIANT_SIZE;
}

uint64_t world_address(const struct world *world, uint64_t address)
{
    return world->upper ? address | UPPER_BITS : world_place(address);
}

/* A border that windows lie across: of pages of level 2 or 3, or of a table of level 4, far from the guest.
 */
static uint64_t random_border(struct world *world)
{
    uint64_t span = pt_level_span(2 + (unsigned)world_random(world, PT_LEVELS - 1));
    uint64_t half = pt_level_span(PT_LEVELS) * (PT_ENTRIES / 2), room = half - 32 * GIANT_SIZE;
    uint64_t border = align_down(16 * GIANT_SIZE + world_random(world, room), span);

    if (border < 16 * GIANT_SIZE)
        border = 16 * GIANT_SIZE;
    if (PT_ROOT_HALVES == 1)
        return world_address(world, border);
    return world_random(world, 2) ? border : border - half;
}

void world_create(struct world *world, struct image *image, uint64_t seed)
{
    enum status status;

    *world = (struct world){.image = image, .mode = {seed}, .random = seed * 0x9e3779b97f4a7c15u + 1};
    world->upper = machine_is_upper(world->mode);
    world->groups = PT_GROUP_ENTRIES > 1 && (seed & 1);
    world->flusher = (struct pt_flusher){.flush = write_promise, .context = image->scene};
    world->pages = calloc(WORLD_PAGES, sizeof *world->pages);
    status = pt_create(&world->pt, pt_reach_offset(image_reach(image)), &image->alloc);
    if (status != ST_OK)
        fail("a root", status);
    world->pt.live = true;
    world->pt.flusher = &world->flusher;
    if (machine_identity)
        map_guest(world);
    for (unsigned i = 0; i < WORLD_WINDOWS; i++)
        world->windows[i] = random_border(world);
}

/* ------------------------------------------------------------------ where, what */

static uint64_t random_length(struct world *world)
{
    switch (world_random(world, 6)) {
    case 0:
    case 1:
        return PAGE_SIZE * (1 + world_random(world, 40));
    case 2:
    case 3:
        return PAGE_SIZE * (1 + world_random(world, 700));
    case 4:
        return HUGE_SIZE * (1 + world_random(world, 4));
    default:
        return GIANT_SIZE * (1 + world_random(world, 2));
    }
}

/* No more memory than this is mapped by pages of 4 KiB in one call. */
#define MOST_SMALL_BYTES ((uint64_t)4 << 20)

/* Sometimes a multiple of a larger page's size. */
static uint64_t random_alignment(struct world *world)
{
    static const uint64_t alignments[] = {PAGE_SIZE, PAGE_SIZE, PAGE_SIZE, HUGE_SIZE, HUGE_SIZE, GIANT_SIZE};

    return alignments[world_random(world, sizeof alignments / sizeof *alignments)];
}

static uint64_t random_start(struct world *world)
{
    uint64_t address = 0;

    if (world->page_count > 0 && world_random(world, 10) < 6) {
        const struct world_page *page = &world->pages[world_random(world, world->page_count)];

        address = world_address(world, page->start) + world_random(world, pt_level_span(page->level));
    }
    if (!world_may_touch(address))
        address = world->windows[world_random(world, WORLD_WINDOWS)] + world_random(world, 4 * HUGE_SIZE) -
                  2 * HUGE_SIZE;
    return align_down(address, random_alignment(world));
}

/* Memory for pages, with the same place in a large page as `start` has, more often than not. */
static uint64_t random_memory(struct world *world, uint64_t start, uint64_t length_bytes)
{
    uint64_t size = world->image->size, room = size - PAGES_OFFSET - length_bytes;
    uint64_t offset = align_down(PAGES_OFFSET + world_random(world, room), PAGE_SIZE);
    uint64_t physical = machine_physical(offset, size), aligned, last;

    for (uint64_t span = GIANT_SIZE; span > PAGE_SIZE; span = span == GIANT_SIZE ? HUGE_SIZE : PAGE_SIZE) {
        aligned = align_down(physical, span) | (start & (span - 1));
        if (world_random(world, 3) > 0 && machine_offset(aligned, size, &offset) && offset >= PAGES_OFFSET &&
            machine_offset(aligned + length_bytes - 1, size, &last) && last == offset + length_bytes - 1)
            return aligned;
    }
    return physical;
}

/* Any bits, now and then such as the format refuses. */
static struct pt_flags random_flags(struct world *world)
{
    struct pt_flags flags;
    unsigned tries = 0;

    do {
        flags = pt_flags((uint32_t)world_random(world, (uint64_t)1 << 32) & PT_FLAGS_PAGE);
        if (world_random(world, 8) > 0)
            flags.bits &= ~(uint32_t)PT_FLAG_NO_READ;
        if (world_random(world, 2) > 0)
            flags.bits &= ~(uint32_t)PT_FLAG_KEY;
    } while (!pt_flags_fit(flags) && tries++ < 4);
    return flags;
}

/* Memory types and protection keys are changed as a whole. */
static void random_change(struct world *world, struct pt_flags *set, struct pt_flags *clear)
{
    const uint32_t numbers = PT_MEMORY_MASK | PT_FLAG_KEY;

    *set = random_flags(world);
    *clear = random_flags(world);
    clear->bits &= ~set->bits;
    if (world_random(world, 2)) {
        set->bits &= ~numbers;
        clear->bits &= ~numbers;
    } else {
        clear->bits |= numbers & PT_FLAGS_PAGE;
    }
}

/* ------------------------------------------------------------------ changes */

static enum status change_map(struct world *world)
{
    uint64_t start = random_start(world), length_bytes = random_length(world);
    struct pt_map map = {.start = vaddr(start),
                         .to = paddr(random_memory(world, start, length_bytes)),
                         .length_bytes = length_bytes,
                         .flags = random_flags(world),
                         .size = (enum pt_size)world_random(world, 4)};

    if (world->groups && world_random(world, 2))
        map.flags.bits |= PT_FLAG_GROUP;
    if (map.length_bytes > MOST_SMALL_BYTES &&
        (map.size == PT_SIZE_4K || ((start ^ map.to.v) & (HUGE_SIZE - 1))))
        map.length_bytes = MOST_SMALL_BYTES;
    return pt_flush_now(pt_map(&world->pt, &map), &world->flusher);
}

static struct pt_mark random_mark(struct world *world)
{
    return (struct pt_mark){world_random(world, ~(uint64_t)0 >> (64 - PT_MARK_BITS)) | 1};
}

/* Marks are not mapped, whatever they say. */
static enum status change_mark(struct world *world)
{
    uint64_t start = random_start(world);
    struct pt_map map = {.start = vaddr(start),
                         .length_bytes = PAGE_SIZE * (1 + world_random(world, 600)),
                         .mark = random_mark(world)};

    return pt_flush_now(pt_map(&world->pt, &map), &world->flusher);
}

static unsigned random_options(struct world *world)
{
    return (unsigned)world_random(world, 8) | (world_random(world, 4) ? PT_SKIP_HOLES | PT_SPLIT_HUGE : 0);
}

static enum status change_unmap(struct world *world)
{
    uint64_t start = random_start(world);
    struct pt_flush promise = pt_unmap(&world->pt, vaddr(start), random_length(world), random_options(world));

    return pt_flush_now(promise, &world->flusher);
}

static enum status change_unmap_give(struct world *world)
{
    uint64_t start = random_start(world), storage[64];
    struct pt_batch batch;
    enum status status;

    pt_batch_init(&batch, &world->image->alloc, &world->flusher, storage, 64);
    status = pt_unmap_give(&world->pt, vaddr(start), random_length(world), random_options(world), &batch);
    pt_batch_finish(&batch);
    return status;
}

static enum status change_protect(struct world *world)
{
    uint64_t start = random_start(world);
    struct pt_flags set, clear;

    random_change(world, &set, &clear);
    return pt_flush_now(pt_protect(&world->pt, vaddr(start), random_length(world), set, clear,
                                   random_options(world) & (PT_SKIP_HOLES | PT_SPLIT_HUGE)),
                        &world->flusher);
}

/* One level down: a page of 1 GiB would become too many of 4 KiB. */
static enum status change_split(struct world *world)
{
    uint64_t start = random_start(world);
    struct pt_translation found = {.level = 0};
    bool small = pt_translate(&world->pt, vaddr(start), &found) == ST_OK && found.level == 2;

    return pt_flush_now(pt_split(&world->pt, vaddr(start), small ? PT_SIZE_4K : PT_SIZE_2M), &world->flusher);
}

static enum status change_clean(struct world *world)
{
    uint64_t storage[64];
    struct pt_batch batch;
    enum status status;

    pt_batch_init(&batch, &world->image->alloc, &world->flusher, storage, 64);
    status = pt_clean(&world->pt, vaddr(random_start(world)), 4 * GIANT_SIZE, &batch);
    pt_batch_finish(&batch);
    return status;
}

/* Frames in no order, some more than once. */
static enum status change_map_list(struct world *world)
{
    uint64_t count = 1 + world_random(world, MOST_LISTED);
    struct paddr frames[MOST_LISTED];
    struct pt_map_list list = {
        .start = vaddr(random_start(world)), .frames = frames, .count = count, .flags = random_flags(world)};

    list.size = world_random(world, 4) ? PT_SIZE_4K : PT_SIZE_2M;
    for (uint64_t i = 0; i < count; i++) {
        uint64_t page = random_memory(world, 0, HUGE_SIZE);

        frames[i] = paddr(list.size == PT_SIZE_2M ? align_down(page, HUGE_SIZE) : page);
    }
    return pt_flush_now(pt_map_list(&world->pt, &list), &world->flusher);
}

/* Flags of tables as well, but not of those that the guest itself is reached through. */
static enum status change_level(struct world *world)
{
    unsigned level = 1 + (unsigned)world_random(world, PT_LEVELS);
    uint64_t span = pt_level_span(level), start = align_down(random_start(world), span);
    struct pt_flags set, clear;

    if (!world_may_touch(start))
        return ST_DENIED;
    random_change(world, &set, &clear);
    if (level > 1 && world_random(world, 4)) {
        set.bits &= PT_FLAGS_TABLE;
        clear.bits &= PT_FLAGS_TABLE;
    }
    return pt_flush_now(pt_protect_level(&world->pt, vaddr(start), span * (1 + world_random(world, 3)), level,
                                         set, clear, PT_SKIP_HOLES),
                        &world->flusher);
}

/* 512 pages that fill a larger one, in the machine's memory as they are in the address space, become it; most
 * often after they were made for it. */
static enum status change_merge(struct world *world)
{
    uint64_t start = align_down(random_start(world), HUGE_SIZE), storage[64];
    struct pt_map map = {
        .start = vaddr(start),
        .to = paddr(align_down(random_memory(world, start, 2 * HUGE_SIZE) + HUGE_SIZE - 1, HUGE_SIZE)),
        .length_bytes = HUGE_SIZE,
        .flags = random_flags(world),
        .size = PT_SIZE_4K};
    enum status status = pt_flush_now(pt_map(&world->pt, &map), &world->flusher);
    struct pt_batch batch;

    if (status != ST_OK && world_random(world, 2))
        return status;
    pt_batch_init(&batch, &world->image->alloc, &world->flusher, storage, 64);
    status = pt_merge(&world->pt, vaddr(start), HUGE_SIZE, PT_SIZE_2M, PT_STRICT, &batch);
    pt_batch_finish(&batch);
    return status;
}

static enum status change_put_mark(struct world *world)
{
    uint64_t start = random_start(world);

    return pt_flush_now(pt_put_mark(&world->pt, vaddr(start), random_length(world), random_mark(world),
                                    random_options(world) & (PT_SKIP_HOLES | PT_SPLIT_HUGE), NULL, NULL),
                        &world->flusher);
}

static enum status change_fill_mark(struct world *world)
{
    uint64_t page = random_start(world);
    struct pt_mark mark;
    enum status status = pt_get_mark(&world->pt, vaddr(page), &mark, NULL);

    if (status != ST_OK)
        return status;
    return pt_flush_now(pt_fill_mark(&world->pt, vaddr(page), mark,
                                     paddr(random_memory(world, page, PAGE_SIZE)), random_flags(world), NULL),
                        &world->flusher);
}

static enum status change_harvest(struct world *world)
{
    struct pt_harvest harvest = {.start = vaddr(random_start(world)),
                                 .length_bytes = random_length(world),
                                 .clear =
                                     pt_flags(random_flags(world).bits & (PT_FLAG_ACCESSED | PT_FLAG_DIRTY)),
                                 .options = random_options(world) & PT_SPLIT_HUGE};

    return pt_flush_now(pt_harvest(&world->pt, &harvest), &world->flusher);
}

void world_change(struct world *world, unsigned count)
{
    static enum status (*const kinds[])(struct world *) = {
        change_map,      change_map,     change_map,     change_map,      change_mark,       change_unmap,
        change_unmap,    change_protect, change_protect, change_split,    change_unmap_give, change_clean,
        change_map_list, change_level,   change_merge,   change_put_mark, change_fill_mark,  change_harvest,
    };

    world->image->scene->flush_count = 0;
    while (count-- > 0) {
        world->operations++;
        world->changes += kinds[world_random(world, sizeof kinds / sizeof *kinds)](world) == ST_OK;
    }
}

const char *world_check(const struct world *world)
{
    struct pt_broken broken;

    return pt_check(&world->pt, &broken, NULL) == ST_OK ? NULL : broken.what;
}

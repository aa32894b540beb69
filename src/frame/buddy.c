/*
 * The buddy allocator: free memory as blocks of 2^order frames, each aligned to its size.
 *
 * The buddy of a block is the one with which it makes the next larger block: its number differs in one bit.
 *
 *   order 2   |       0       |       4       |        number ^ (1 << order)
 *   order 1   |   0   |   2   |   4   |   6   |
 *   order 0   | 0 | 1 | 2 | 3 | 4 | 5 | 6 | 7 |
 *
 * Knuth, The Art of Computer Programming, vol. 1, 2.5 (buddy system). A block's head has use FRAME_FREE and
 * the order of the block; the frames behind it have FRAME_FREE and ORDER_IN_BLOCK, so that none can be taken
 * for a head. Frames in the pool (zeroed ahead) and in the CPUs' caches are FRAME_FREE too, with an order
 * that is no order, and do not merge until they come back here.
 *
 * Invariants (frames_check): no free block's buddy is a free block of the same order; buddy.free is the
 * number of frames in blocks and in the pool; bit n of buddy.orders tells whether blocks[n] has any.
 *
 * Locking: buddy.lock (RANK_FRAMES). A neighbour's state is read while its owner may be changing it: both
 * sides do it with one atomic access of 16 or 64 bits, and no owner ever makes FRAME_FREE with a valid order.
 */
#include "frame_internal.h"

struct buddy buddy;
struct frame *frame_table;
uint64_t frame_table_count;

/* ------------------------------------------------------------------ blocks */

static void block_insert(struct frame *frame, unsigned order)
{
    state_store(frame, FRAME_FREE, order);
    list_push_front(&buddy.blocks[order], &frame->node);
    buddy.orders |= (uint32_t)1 << order;
}

static void block_remove(struct frame *frame, unsigned order)
{
    list_remove(&frame->node);
    if (list_empty(&buddy.blocks[order]))
        buddy.orders &= ~((uint32_t)1 << order);
    state_store(frame, FRAME_FREE, ORDER_IN_BLOCK);
}

static void free_set(uint64_t value)
{
    __atomic_store_n(&buddy.free, value, __ATOMIC_RELAXED);
}

/* The first block of `from`, cut down to `order`; the upper halves stay free. */
static struct frame *take_and_cut(unsigned from, unsigned order)
{
    struct frame *frame = container_of(buddy.blocks[from].next, struct frame, node);

    block_remove(frame, from);
    while (from > order) {
        from--;
        block_insert(frame + ((uint64_t)1 << from), from);
    }
    free_set(buddy.free - ((uint64_t)1 << order));
    return frame;
}

struct frame *buddy_take(unsigned order)
{
    uint32_t fitting = buddy.orders >> order;

    if (fitting == 0)
        return NULL;
    return take_and_cut(order + (unsigned)__builtin_ctz(fitting), order);
}

struct frame *buddy_take_up_to(unsigned most, unsigned *order)
{
    unsigned lowest;

    if (buddy.orders == 0)
        return NULL;
    lowest = (unsigned)__builtin_ctz(buddy.orders);
    *order = lowest < most ? lowest : most;
    return take_and_cut(lowest, *order);
}

void buddy_give(struct frame *frame, unsigned order)
{
    uint64_t number = frame_pfn(frame).v;

    free_set(buddy.free + ((uint64_t)1 << order));
    state_store(frame, FRAME_FREE, ORDER_IN_BLOCK);
    for (; order < FRAME_ORDER_MAX; order++) {
        uint64_t other = number ^ ((uint64_t)1 << order);

        if (other >= frame_table_count || state_load(&frame_table[other]) != state_of(FRAME_FREE, order))
            break;
        block_remove(&frame_table[other], order);
        number &= other;
    }
    block_insert(&frame_table[number], order);
}

/* ------------------------------------------------------------------ the start */

/* The number of the first frame behind all memory that may ever be used. */
static uint64_t table_end(const struct memory_map *map)
{
    uint64_t last = 0;

    for (unsigned i = 0; i < map->count; i++) {
        uint64_t end = align_up(map->ranges[i].end.v, PAGE_SIZE) >> PAGE_SHIFT;

        if (map->ranges[i].kind != MEMORY_RESERVED && map->ranges[i].kind != MEMORY_ACPI && end > last)
            last = end;
    }
    return last;
}

/* Frees [start, end), which are usable and nobody's, in the largest aligned blocks. */
static void give_range(uint64_t start, uint64_t end)
{
    for (uint64_t i = start; i < end; i++)
        header_store(&frame_table[i], header_of(FRAME_FREE, ORDER_IN_BLOCK, 0, 0));
    buddy.managed += start < end ? end - start : 0;
    while (start < end) {
        unsigned order = start == 0 ? FRAME_ORDER_MAX : (unsigned)__builtin_ctzll(start);

        if (order > FRAME_ORDER_MAX)
            order = FRAME_ORDER_MAX;
        while (end - start < (uint64_t)1 << order)
            order--;
        buddy_give(&frame_table[start], order);
        start += (uint64_t)1 << order;
    }
}

static void claim_range(uint64_t start, uint64_t end)
{
    for (uint64_t i = start; i < end; i++) {
        header_store(&frame_table[i], header_of(FRAME_KERNEL, 0, 0, 1));
        buddy.managed++;
        buddy.kernel_at_start++;
    }
}

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static uint64_t most(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

/* A usable range: what the boot allocator has passed is the kernel's, but for what it skipped. */
static void hand_over(const struct boot_frames *boot, uint64_t start, uint64_t end)
{
    give_range(most(start, 1), least(end, boot->first));
    claim_range(most(start, boot->first), least(end, boot->next));
    give_range(most(start, boot->next), end);
}

static void hand_over_skipped(const struct boot_frames *boot)
{
    for (unsigned i = 0; i < boot->skipped_count; i++) {
        uint64_t frames = boot->skipped[i].end - boot->skipped[i].start;

        buddy.managed -= frames; /* claimed a moment ago, counted again by give_range() */
        buddy.kernel_at_start -= frames;
        give_range(boot->skipped[i].start, boot->skipped[i].end);
    }
}

/* Kernel and modules: whole frames that they touch, unless something stricter touches them too. */
static void claim_touched(const struct memory_map *map, const struct memory_range *range)
{
    uint64_t start = range->start.v >> PAGE_SHIFT;
    uint64_t end = align_up(range->end.v, PAGE_SIZE) >> PAGE_SHIFT;

    for (unsigned i = 0; i < map->count; i++) {
        const struct memory_range *other = &map->ranges[i];

        if (other->kind != MEMORY_RESERVED && other->kind != MEMORY_ACPI)
            continue;
        if (other->end.v > range->end.v && other->start.v < end << PAGE_SHIFT)
            end = range->end.v >> PAGE_SHIFT;
        if (other->start.v < range->start.v && other->end.v > start << PAGE_SHIFT)
            start = (range->start.v >> PAGE_SHIFT) + 1;
    }
    while (start < end && frame_table[start].use != FRAME_RESERVED) /* shared with the range before */
        start++;
    claim_range(start, end);
}

/* From the machine's size: a few dozen frames for the last resort, fewer in a tiny machine; a sixteenth of
 * the memory zeroed ahead, at most 16 MiB. */
static void set_limits(void)
{
    buddy.reserve = most(8, least(64, buddy.managed / 256));
    buddy.pool_limit = most(16, least(4096, buddy.managed / 16));
}

enum status frames_init(struct boot_frames *boot)
{
    uint64_t count = table_end(boot->map);
    uint64_t pages = align_up(count * sizeof(struct frame), PAGE_SIZE) >> PAGE_SHIFT;
    struct pfn first;

    if (pages == 0 || boot_frames_take_run(boot, pages, 1, &first) != ST_OK)
        return ST_NO_MEMORY;
    frame_table = host_at(paddr_of(first));
    frame_table_count = count;
    for (uint64_t i = 0; i < pages; i++)
        host_zero_page((char *)frame_table + (i << PAGE_SHIFT)); /* all FRAME_RESERVED */

    buddy = (struct buddy){0};
    lock_init(&buddy.lock, RANK_FRAMES);
    for (unsigned order = 0; order <= FRAME_ORDER_MAX; order++)
        list_init(&buddy.blocks[order]);
    list_init(&buddy.pool);
    frame_caches_init();
    slab_init();

    for (unsigned i = 0; i < boot->map->count; i++) {
        const struct memory_range *range = &boot->map->ranges[i];
        uint64_t start, end;

        if (range->kind == MEMORY_USABLE && memory_map_frames(range, &start, &end))
            hand_over(boot, start, end);
    }
    hand_over_skipped(boot);
    for (unsigned i = 0; i < boot->map->count; i++)
        if (boot->map->ranges[i].kind == MEMORY_KERNEL || boot->map->ranges[i].kind == MEMORY_MODULE)
            claim_touched(boot->map, &boot->map->ranges[i]);
    set_limits();
    frames_set_mark(buddy.managed / 8);
    return ST_OK;
}

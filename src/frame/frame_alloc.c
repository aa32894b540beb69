/*
 * Allocating and freeing frames: a cache a CPU in front of the buddy.
 *
 *   frame_alloc(0) <- stack of the CPU <- up to half a stack at once <- buddy
 *   FRAME_ZERO     <- zeroed stack     <- pool <- frames_zero_ahead() <- buddy
 *   frame_free     -> stack of the CPU -> half a stack at once -> buddy (merges)
 *
 * The common case touches the CPU's own stack and the one descriptor, and takes no lock. Only a refill or a
 * drain, every 16th time or so, takes buddy.lock.
 *
 * The reserve: a refill never takes the buddy below it unless the request says FRAME_EMERGENCY, and such a
 * request takes one frame, so that the reserve does not end up in a cache. While the buddy is below it freed
 * frames go past the caches.
 *
 * Poison (debug builds): a freed frame is filled with a pattern, and the pattern verified when the frame is
 * handed out; a frame freed as zeroed is verified to be zero. Writes after free are so named with the frame.
 *
 * A cache is used by its CPU only; its counts are read by others, hence the relaxed atomic accesses.
 */
#include "frame_internal.h"

struct frame_cache frame_caches[HOST_MAX_CPUS];
uint64_t frames_fail_countdown;
bool frames_short;

static uint32_t cache_depth; /* how full a stack may get: less in a small machine */
static uint32_t cache_limit; /* cache_depth, or 0 while the reserve is not full */

RARE static struct frame *alloc_single(struct frame_cache *cache, enum frame_use use, unsigned request);
RARE static struct frame *alloc_other(unsigned order, enum frame_use use, unsigned request);
static struct frame *alloc_block(unsigned order, enum frame_use use, unsigned request);
RARE static void free_past_cache(struct frame_stack *stack, struct frame *frame);
RARE static void free_block(struct frame *frame, unsigned order);

/* ------------------------------------------------------------------ stacks and counters */

static inline uint32_t stack_count(const struct frame_stack *stack)
{
    return __atomic_load_n(&stack->count, __ATOMIC_RELAXED);
}

static inline void stack_set_count(struct frame_stack *stack, uint32_t count)
{
    __atomic_store_n(&stack->count, count, __ATOMIC_RELAXED);
}

/* The top of a stack that has `count` frames. */
static inline struct frame *stack_take(struct frame_stack *stack, uint32_t count)
{
    stack_set_count(stack, count - 1);
    return stack->frames[count - 1];
}

static inline struct frame *stack_pop(struct frame_stack *stack)
{
    return stack_take(stack, stack_count(stack));
}

/* Onto a stack that has `count` frames. */
static inline void stack_put(struct frame_stack *stack, uint32_t count, struct frame *frame)
{
    stack->frames[count] = frame;
    stack_set_count(stack, count + 1);
}

static inline void stack_push(struct frame_stack *stack, struct frame *frame)
{
    stack_put(stack, stack_count(stack), frame);
}

static inline void count_use(struct frame_cache *cache, unsigned use, uint64_t by)
{
    uint64_t *counter = &cache->by_use[use];

    __atomic_store_n(counter, __atomic_load_n(counter, __ATOMIC_RELAXED) + by, __ATOMIC_RELAXED);
}

/* ------------------------------------------------------------------ allocating */

bool frames_fail_now(void)
{
    uint64_t left = __atomic_load_n(&frames_fail_countdown, __ATOMIC_RELAXED);

    while (left != 0)
        if (__atomic_compare_exchange_n(&frames_fail_countdown, &left, left - 1, true, __ATOMIC_RELAXED,
                                        __ATOMIC_RELAXED))
            return left == 1;
    return false;
}

/* A single frame changes from free to somebody's. */
static inline struct frame *hand_out(struct frame_cache *cache, struct frame *frame, enum frame_use use)
{
    poison_verify(frame, frame->flags);
    header_store(frame, header_of(use, 0, 0, 1));
    frame->mapcount = 0;
    count_use(cache, use, 1);
    return frame;
}

struct frame *frame_alloc(unsigned order, enum frame_use use, unsigned request)
{
    struct frame_cache *cache = frame_cache_here();
    struct frame_stack *stack = &cache->stacks[request & FRAME_ZERO];
    uint32_t count = stack_count(stack);

    CHECK(use > FRAME_FREE && use < FRAME_USES);
    if (__builtin_expect((order | __atomic_load_n(&frames_fail_countdown, __ATOMIC_RELAXED)) != 0, 0))
        return alloc_other(order, use, request);
    if (__builtin_expect(count == 0, 0))
        return alloc_single(cache, use, request);
    return hand_out(cache, stack_take(stack, count), use);
}

/* A block, or while a test makes allocations fail. */
static struct frame *alloc_other(unsigned order, enum frame_use use, unsigned request)
{
    if (frames_fail_now())
        return NULL;
    if (order != 0)
        return alloc_block(order, use, request);
    return alloc_single(frame_cache_here(), use, request);
}

/* How many of `wanted` frames this request may take now; with the lock held. An emergency that goes into the
 * reserve takes one. */
static uint64_t allowed(uint64_t wanted, unsigned request)
{
    uint64_t spare = buddy.free > buddy.reserve ? buddy.free - buddy.reserve : 0;

    if (spare == 0 && (request & FRAME_EMERGENCY) != 0)
        spare = buddy.free != 0;
    return wanted < spare ? wanted : spare;
}

/* While the reserve is not full, freed frames do not stop at the caches. And is memory getting short? */
static void watch_reserve(void)
{
    uint32_t limit = buddy.free < buddy.reserve ? 0 : cache_depth;

    __atomic_store_n(&cache_limit, limit, __ATOMIC_RELAXED);
    if (buddy.free < buddy.mark)
        __atomic_store_n(&frames_short, true, __ATOMIC_RELAXED);
}

/* Moves zeroed frames from the pool to the CPU. */
static void refill_zeroed(struct frame_cache *cache, unsigned request)
{
    struct frame_stack *stack = &cache->stacks[CACHE_ZEROED];

    lock_take(&buddy.lock);
    for (uint64_t left = allowed(cache_depth / 2, request); left != 0 && buddy.pooled != 0; left--) {
        struct frame *frame = container_of(list_pop_front(&buddy.pool), struct frame, node);

        __atomic_store_n(&buddy.pooled, buddy.pooled - 1, __ATOMIC_RELAXED);
        __atomic_store_n(&buddy.free, buddy.free - 1, __ATOMIC_RELAXED);
        state_store(frame, FRAME_FREE, ORDER_CACHED);
        stack_push(stack, frame);
    }
    watch_reserve();
    lock_drop(&buddy.lock);
}

/* Moves frames from the buddy to the CPU, in blocks as large as fit: one cut instead of many. The lowest
 * frame comes out first. */
static void refill_dirty(struct frame_cache *cache, unsigned request)
{
    struct frame_stack *stack = &cache->stacks[CACHE_DIRTY];
    uint64_t left;

    lock_take(&buddy.lock);
    left = allowed(cache_depth / 2, request);
    while (left != 0) {
        unsigned order;
        struct frame *block = buddy_take_up_to(63 - (unsigned)__builtin_clzll(left), &order);

        if (block == NULL)
            break;
        for (uint64_t i = (uint64_t)1 << order; i-- != 0;) {
            state_store(block + i, FRAME_FREE, ORDER_CACHED);
            stack_push(stack, block + i);
        }
        left -= (uint64_t)1 << order;
    }
    watch_reserve();
    lock_drop(&buddy.lock);
}

/* The CPU's stack of the wanted kind may be empty. */
static struct frame *alloc_single(struct frame_cache *cache, enum frame_use use, unsigned request)
{
    struct frame_stack *dirty = &cache->stacks[CACHE_DIRTY];
    struct frame_stack *zeroed = &cache->stacks[CACHE_ZEROED];
    bool zero = (request & FRAME_ZERO) != 0;
    struct frame *frame;

    if (zero && stack_count(zeroed) == 0 && __atomic_load_n(&buddy.pooled, __ATOMIC_RELAXED) != 0)
        refill_zeroed(cache, request);
    if (stack_count(zeroed) == 0 || !zero) {
        if (stack_count(dirty) == 0)
            refill_dirty(cache, request);
        if (stack_count(dirty) != 0) {
            frame = hand_out(cache, stack_pop(dirty), use);
            if (zero)
                host_zero_page(frame_data(frame));
            return frame;
        }
        if (stack_count(zeroed) == 0)
            refill_zeroed(cache, request);
    }
    return stack_count(zeroed) != 0 ? hand_out(cache, stack_pop(zeroed), use) : NULL;
}

/* A block of several frames; the caches and the pool are given up when that may help. */
static struct frame *take_block(unsigned order, unsigned request)
{
    uint64_t frames = (uint64_t)1 << order;
    struct frame *head = NULL;

    lock_take(&buddy.lock);
    if ((request & FRAME_EMERGENCY) != 0 || allowed(frames, request) == frames)
        head = buddy_take(order);
    watch_reserve();
    lock_drop(&buddy.lock);
    return head;
}

static struct frame *alloc_block(unsigned order, enum frame_use use, unsigned request)
{
    uint64_t frames = (uint64_t)1 << order;
    struct frame *head;

    if (order > FRAME_ORDER_MAX || frames_free() < frames)
        return NULL;
    head = take_block(order, request);
    if (head == NULL) {
        frames_drain();
        head = take_block(order, request);
    }
    if (head == NULL)
        return NULL;
    for (uint64_t i = 0; i < frames; i++) {
        poison_verify(head + i, head[i].flags);
        header_store(head + i, header_of(use, ORDER_IN_BLOCK, 0, 0));
        if ((request & FRAME_ZERO) != 0)
            host_zero_page(frame_data(head + i));
    }
    header_store(head, header_of(use, order, 0, 1));
    head->mapcount = 0;
    count_use(frame_cache_here(), use, frames);
    return head;
}

/* ------------------------------------------------------------------ freeing */

RARE static _Noreturn void panic_free(const struct frame *frame)
{
    if (frame->use == FRAME_FREE)
        host_panic("frame %#llx: freed twice", (unsigned long long)frame_pfn(frame).v);
    host_panic("frame %#llx: freed, but it is reserved", (unsigned long long)frame_pfn(frame).v);
}

/* What every way to free begins with; gives the cache of this CPU. */
static inline struct frame_cache *begin_free(struct frame *frame)
{
    struct frame_cache *cache = frame_cache_here();

    CHECK(frame >= frame_table && frame < frame_table + frame_table_count);
    if (__builtin_expect(frame->use <= FRAME_FREE, 0))
        panic_free(frame);
#ifdef QUIRE_DEBUG
    if (frame->refs > 1 || frame->mapcount != 0)
        host_panic("frame %#llx: freed with %u references, mapped %u times",
                   (unsigned long long)frame_pfn(frame).v, frame->refs, frame->mapcount);
    if (frame->order > FRAME_ORDER_MAX)
        host_panic("frame %#llx: freed, but it is inside a block", (unsigned long long)frame_pfn(frame).v);
#endif
    return cache;
}

void frame_free(struct frame *frame)
{
    struct frame_cache *cache = begin_free(frame);
    struct frame_stack *stack = &cache->stacks[CACHE_DIRTY];
    uint32_t count;

    if (__builtin_expect(frame->order != 0, 0)) {
        free_block(frame, frame->order);
        return;
    }
    count_use(cache, frame->use, (uint64_t)-1);
    header_store(frame, header_of(FRAME_FREE, ORDER_CACHED, 0, 0));
    poison_fill(frame);
    count = stack_count(stack);
    if (__builtin_expect(count >= __atomic_load_n(&cache_limit, __ATOMIC_RELAXED), 0))
        free_past_cache(stack, frame);
    else
        stack_put(stack, count, frame);
}

void frame_free_zeroed(struct frame *frame)
{
    struct frame_cache *cache = begin_free(frame);
    struct frame_stack *stack = &cache->stacks[CACHE_ZEROED];
    uint32_t count;

    CHECK(frame->order == 0);
    poison_verify(frame, FRAME_ZEROED);
    count_use(cache, frame->use, (uint64_t)-1);
    header_store(frame, header_of(FRAME_FREE, ORDER_CACHED, FRAME_ZEROED, 0));
    count = stack_count(stack);
    if (__builtin_expect(count >= __atomic_load_n(&cache_limit, __ATOMIC_RELAXED), 0))
        free_past_cache(stack, frame);
    else
        stack_put(stack, count, frame);
}

void frame_unref(struct frame *frame)
{
    uint32_t left = __atomic_sub_fetch(&frame->refs, 1, __ATOMIC_ACQ_REL);

    CHECK(left != UINT32_MAX);
    if (left == 0)
        frame_free(frame);
}

/* To the pool if it is zeroed and there is room, else to the buddy; with the lock held. */
static void give_back(struct frame *frame)
{
    if ((frame->flags & FRAME_ZEROED) != 0 && buddy.pooled < buddy.pool_limit) {
        state_store(frame, FRAME_FREE, ORDER_POOLED);
        list_push_front(&buddy.pool, &frame->node);
        __atomic_store_n(&buddy.pooled, buddy.pooled + 1, __ATOMIC_RELAXED);
        __atomic_store_n(&buddy.free, buddy.free + 1, __ATOMIC_RELAXED);
        return;
    }
    frame->flags &= (uint16_t)~FRAME_ZEROED;
    buddy_give(frame, 0);
}

/* The stack is full, or the reserve wants filling: the older half of the stack and `frame` go back. */
static void free_past_cache(struct frame_stack *stack, struct frame *frame)
{
    uint32_t count = stack_count(stack);
    uint32_t back = count < 2 ? count : count / 2;

    lock_take(&buddy.lock);
    for (uint32_t i = 0; i < back; i++)
        give_back(stack->frames[i]);
    give_back(frame);
    watch_reserve();
    lock_drop(&buddy.lock);
    for (uint32_t i = back; i < count; i++)
        stack->frames[i - back] = stack->frames[i];
    stack_set_count(stack, count - back);
}

static void free_block(struct frame *frame, unsigned order)
{
    uint64_t frames = (uint64_t)1 << order;

    count_use(frame_cache_here(), frame->use, (uint64_t)0 - frames);
    for (uint64_t i = 0; i < frames; i++) {
        header_store(frame + i, header_of(FRAME_FREE, ORDER_IN_BLOCK, 0, 0));
        poison_fill(frame + i);
    }
    lock_take(&buddy.lock);
    buddy_give(frame, order);
    watch_reserve();
    lock_drop(&buddy.lock);
}

void frame_split(struct frame *frame)
{
    uint64_t frames = (uint64_t)1 << frame->order;

    CHECK(frame->use > FRAME_FREE && frame->order <= FRAME_ORDER_MAX && frame->mapcount == 0);
    for (uint64_t i = 0; i < frames; i++) {
        header_store(frame + i, header_of(frame->use, 0, 0, 1));
        frame[i].mapcount = 0;
    }
}

void frame_set_use(struct frame *frame, enum frame_use use)
{
    struct frame_cache *cache = frame_cache_here();

    CHECK(frame->use > FRAME_FREE && use > FRAME_FREE && use < FRAME_USES && frame->order == 0);
    count_use(cache, frame->use, (uint64_t)-1);
    count_use(cache, use, 1);
    state_store(frame, use, 0);
}

/* ------------------------------------------------------------------ upkeep */

void frame_caches_init(void)
{
    for (unsigned i = 0; i < HOST_MAX_CPUS; i++) {
        struct frame_cache *cache = &frame_caches[i];

        stack_set_count(&cache->stacks[CACHE_DIRTY], 0);
        stack_set_count(&cache->stacks[CACHE_ZEROED], 0);
        for (unsigned use = 0; use < FRAME_USES; use++)
            cache->by_use[use] = 0;
    }
    cache_depth = frame_table_count >= 8192 ? CACHE_MAX : CACHE_MAX / 2; /* less below 32 MiB */
    cache_limit = cache_depth;
    frames_fail_after(0);
}

unsigned frames_zero_ahead(unsigned count)
{
    unsigned done = 0;

    while (done < count) {
        struct frame *frame = NULL;

        lock_take(&buddy.lock);
        if (buddy.pooled < buddy.pool_limit && buddy.free - buddy.pooled > 2 * buddy.reserve)
            frame = buddy_take(0);
        if (frame != NULL)
            state_store(frame, FRAME_FREE, ORDER_CACHED); /* ours alone while we write it */
        lock_drop(&buddy.lock);
        if (frame == NULL)
            break;
        poison_verify(frame, frame->flags);
        host_zero_page(frame_data(frame));
        lock_take(&buddy.lock);
        frame->flags = FRAME_ZEROED;
        give_back(frame);
        lock_drop(&buddy.lock);
        done++;
    }
    return done;
}

void frames_drain(void)
{
    struct frame_cache *cache = frame_cache_here();

    lock_take(&buddy.lock);
    while (buddy.pooled != 0) {
        struct frame *frame = container_of(list_pop_front(&buddy.pool), struct frame, node);

        __atomic_store_n(&buddy.pooled, buddy.pooled - 1, __ATOMIC_RELAXED);
        __atomic_store_n(&buddy.free, buddy.free - 1, __ATOMIC_RELAXED);
        frame->flags &= (uint16_t)~FRAME_ZEROED;
        buddy_give(frame, 0);
    }
    for (unsigned kind = CACHE_DIRTY; kind <= CACHE_ZEROED; kind++)
        while (stack_count(&cache->stacks[kind]) != 0) {
            struct frame *frame = stack_pop(&cache->stacks[kind]);

            frame->flags &= (uint16_t)~FRAME_ZEROED;
            buddy_give(frame, 0);
        }
    watch_reserve();
    lock_drop(&buddy.lock);
}

void frames_set_mark(uint64_t frames)
{
    lock_take(&buddy.lock);
    buddy.mark = frames;
    __atomic_store_n(&frames_short, buddy.free < frames, __ATOMIC_RELAXED);
    lock_drop(&buddy.lock);
}

uint64_t frames_fail_after(uint64_t n)
{
    return __atomic_exchange_n(&frames_fail_countdown, n, __ATOMIC_RELAXED);
}

/* ------------------------------------------------------------------ poison */

#ifdef QUIRE_DEBUG
enum { WORDS_PER_PAGE = 512 };

void poison_fill(struct frame *frame)
{
    uint64_t *words = frame_data(frame);

    for (unsigned i = 0; i < WORDS_PER_PAGE; i++)
        words[i] = POISON_WORD;
    frame->flags = FRAME_POISONED;
}

void poison_verify(const struct frame *frame, unsigned flags)
{
    const uint64_t *words = frame_data(frame);
    uint64_t expected = (flags & FRAME_ZEROED) != 0 ? 0 : POISON_WORD;

    if ((flags & (FRAME_ZEROED | FRAME_POISONED)) == 0)
        return;
    for (unsigned i = 0; i < WORDS_PER_PAGE; i++)
        if (words[i] != expected)
            host_panic("frame %#llx: written after it was freed: %#llx at byte %u",
                       (unsigned long long)frame_pfn(frame).v, (unsigned long long)words[i], i * 8);
}
#endif

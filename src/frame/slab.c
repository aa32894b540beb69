/*
 * Small kernel structures, cut from frames.
 *
 * A slab is one frame full of cells of one class. All that is known about it is in the frame's descriptor, so
 * cells need no header and a cell's class is found from its address:
 *
 *   frame_at(cell)->slab.cache -> class
 *                   .free   first free cell, each points to the next
 *                   .spare  cells at the end that were never used yet: they are on no list
 *                   .used   cells that are handed out
 *
 *   | used | free -. | used | free | never used | never used |
 *                  `------------^
 *
 * (Bonwick, "The Slab Allocator", USENIX Summer 1994, keeps the same facts beside or at the end of the slab.)
 * Slabs with a free cell are on their class's list, the one used last first; full ones are on none. Of the
 * wholly free slabs a class keeps one, so that one structure made and freed in turn does not cost a frame
 * each. Sizes above half a page are blocks of frames with slab.cache NULL.
 *
 * Invariants (slab_check): used + free + spare == cells of the class; a slab is on the list exactly when
 * used < cells; class->live is the sum of used.
 *
 * Locking: class->lock (RANK_SLAB) protects the class, its slabs' descriptors and their free cells. Frames
 * are taken and freed while it is held (RANK_FRAMES is higher).
 */
#include "quire/slab.h"

#include "frame_internal.h"

struct slab_class {
    struct spinlock lock;
    uint32_t size;  /* bytes a cell */
    uint32_t cells; /* in a slab */
    uint32_t empty; /* wholly free slabs on the list: 0 or 1 */
    struct list partial;
    uint64_t live;
    uint64_t slabs;
} __attribute__((aligned(64)));

enum { SLAB_CLASSES = 14, SLAB_LARGEST = 2048, SLAB_GRAIN = 16 };
#define CELL_POISON ((uint64_t)0x5ab0f4ee5ab0f4ee)

static const uint16_t class_sizes[SLAB_CLASSES] = {16,  32,  48,  64,  96,   128,  192,
                                                   256, 384, 512, 768, 1024, 1536, SLAB_LARGEST};
static struct slab_class classes[SLAB_CLASSES];
static uint8_t class_of_grains[SLAB_LARGEST / SLAB_GRAIN + 1]; /* index: bytes / 16, rounded up */
static uint64_t large_live;

RARE static struct frame *slab_new(struct slab_class *class);
RARE static void *alloc_other(size_t size);
static void *large_alloc(size_t size);
static void *cell_alloc(struct slab_class *class);
RARE static void large_free(struct frame *frame);
RARE static void slab_now_free(struct slab_class *class, struct frame *slab);

/* ------------------------------------------------------------------ cells */

static inline void *cell_at(const struct slab_class *class, const struct frame *slab, uint32_t index)
{
    return (char *)frame_data(slab) + (size_t)index * class->size;
}

/* Cells are multiples of 16 bytes. */
static inline void cell_zero(void *cell, uint32_t size)
{
    uint64_t *word = cell;
    uint64_t *end = word + size / sizeof(*word);

    if ((size & 16) != 0) {
        word[0] = 0;
        word[1] = 0;
        word += 2;
    }
    while (word != end) {
        word[0] = 0;
        word[1] = 0;
        word[2] = 0;
        word[3] = 0;
        word += 4;
    }
}

#ifdef QUIRE_DEBUG
/* The first word is the link. */
static void cell_poison(void *cell, uint32_t size)
{
    uint64_t *words = cell;

    for (uint32_t i = 1; i < size / sizeof(*words); i++)
        words[i] = CELL_POISON;
}

static void cell_verify(const void *cell, uint32_t size)
{
    const uint64_t *words = cell;

    for (uint32_t i = 1; i < size / sizeof(*words); i++)
        if (words[i] != CELL_POISON)
            host_panic("slab cell %p of %u bytes: written after it was freed, at byte %u", cell, size,
                       i * (unsigned)sizeof(*words));
}

static void cell_verify_used(const struct slab_class *class, const struct frame *slab, const void *cell)
{
    uint64_t offset = (uint64_t)((const char *)cell - (const char *)frame_data(slab));

    if (offset % class->size != 0 || offset / class->size >= class->cells - slab->slab.spare)
        host_panic("slab cell %p: freed, but no cell of %u bytes begins there", cell, class->size);
    for (void *free = slab->slab.free; free != NULL; free = *(void **)free)
        if (free == cell)
            host_panic("slab cell %p of %u bytes: freed twice", cell, class->size);
}
#else
static inline void cell_poison(void *cell, uint32_t size)
{
    (void)cell;
    (void)size;
}

static inline void cell_verify(const void *cell, uint32_t size)
{
    (void)cell;
    (void)size;
}

static inline void cell_verify_used(const struct slab_class *class, const struct frame *slab,
                                    const void *cell)
{
    (void)class;
    (void)slab;
    (void)cell;
}
#endif

/* ------------------------------------------------------------------ allocating */

static inline struct slab_class *class_for(size_t size)
{
    return &classes[class_of_grains[(size + SLAB_GRAIN - 1) / SLAB_GRAIN]];
}

void *slab_alloc(size_t size)
{
    if (__builtin_expect(
            size > SLAB_LARGEST || __atomic_load_n(&frames_fail_countdown, __ATOMIC_RELAXED) != 0, 0))
        return alloc_other(size);
    return cell_alloc(class_for(size));
}

/* A large one, or while a test makes allocations fail. */
static void *alloc_other(size_t size)
{
    if (frames_fail_now())
        return NULL;
    return size > SLAB_LARGEST ? large_alloc(size) : cell_alloc(class_for(size));
}

static void *cell_alloc(struct slab_class *class)
{
    struct frame *slab;
    void *cell;

    lock_take(&class->lock);
    if (__builtin_expect(list_empty(&class->partial), 0) && slab_new(class) == NULL) {
        lock_drop(&class->lock);
        return NULL;
    }
    slab = container_of(class->partial.next, struct frame, node);
    cell = slab->slab.free;
    if (cell != NULL) {
        slab->slab.free = *(void **)cell;
        cell_verify(cell, class->size);
    } else {
        cell = cell_at(class, slab, class->cells - slab->slab.spare--);
    }
    if (slab->slab.used++ == 0)
        class->empty = 0;
    if (__builtin_expect(slab->slab.used == class->cells, 0))
        list_remove(&slab->node);
    class->live++;
    lock_drop(&class->lock);

    cell_zero(cell, class->size);
    return cell;
}

/* Puts a new, empty slab on the class's list. */
static struct frame *slab_new(struct slab_class *class)
{
    struct frame *slab = frame_alloc(0, FRAME_SLAB, FRAME_ANY);

    if (slab == NULL)
        return NULL;
    slab->slab.cache = class;
    slab->slab.free = NULL;
    slab->slab.used = 0;
    slab->slab.spare = class->cells;
    list_push_front(&class->partial, &slab->node);
    class->empty = 1;
    class->slabs++;
    return slab;
}

static void *large_alloc(size_t size)
{
    unsigned order = 0;
    struct frame *frame;

    while (order < FRAME_ORDER_MAX && PAGE_SIZE << order < size)
        order++;
    if (PAGE_SIZE << order < size)
        return NULL;
    frame = frame_alloc(order, FRAME_SLAB, FRAME_ZERO);
    if (frame == NULL)
        return NULL;
    frame->slab.cache = NULL;
    __atomic_fetch_add(&large_live, 1, __ATOMIC_RELAXED);
    return frame_data(frame);
}

/* ------------------------------------------------------------------ freeing */

static inline struct frame *slab_of(const void *cell)
{
    return frame_at(host_paddr(cell));
}

void slab_free(void *cell)
{
    struct frame *slab;
    struct slab_class *class;

    if (cell == NULL)
        return;
    slab = slab_of(cell);
    class = slab->slab.cache;
    if (__builtin_expect(slab->use != FRAME_SLAB, 0))
        host_panic("slab cell %p: freed, but its frame has use %u", cell, slab->use);
    if (__builtin_expect(class == NULL, 0)) {
        large_free(slab);
        return;
    }

    lock_take(&class->lock);
    cell_verify_used(class, slab, cell);
    cell_poison(cell, class->size);
    *(void **)cell = slab->slab.free;
    slab->slab.free = cell;
    class->live--;
    if (__builtin_expect(slab->slab.used-- == class->cells, 0))
        list_push_front(&class->partial, &slab->node);
    if (__builtin_expect(slab->slab.used == 0, 0))
        slab_now_free(class, slab);
    lock_drop(&class->lock);
}

/* The slab's last cell was freed: kept when it is the only one. */
static void slab_now_free(struct slab_class *class, struct frame *slab)
{
    list_remove(&slab->node);
    if (class->empty == 0) {
        class->empty = 1;
        list_push_back(&class->partial, &slab->node);
        return;
    }
    class->slabs--;
    frame_free(slab);
}

static void large_free(struct frame *frame)
{
    __atomic_fetch_sub(&large_live, 1, __ATOMIC_RELAXED);
    frame_free(frame);
}

/* ------------------------------------------------------------------ upkeep */

void slab_init(void)
{
    unsigned index = 0;

    for (unsigned i = 0; i < SLAB_CLASSES; i++) {
        struct slab_class *class = &classes[i];

        *class = (struct slab_class){.size = class_sizes[i]};
        class->cells = (uint32_t)PAGE_SIZE / class->size;
        lock_init(&class->lock, RANK_SLAB);
        list_init(&class->partial);
    }
    for (unsigned grains = 0; grains < sizeof(class_of_grains); grains++) {
        if (grains * SLAB_GRAIN > class_sizes[index])
            index++;
        class_of_grains[grains] = (uint8_t)index;
    }
    large_live = 0;
}

size_t slab_size(const void *cell)
{
    const struct frame *slab = slab_of(cell);
    const struct slab_class *class = slab->slab.cache;

    CHECK(slab->use == FRAME_SLAB);
    return class != NULL ? class->size : (size_t)(PAGE_SIZE << slab->order);
}

uint64_t slab_trim(void)
{
    uint64_t freed = 0;

    for (unsigned i = 0; i < SLAB_CLASSES; i++) {
        struct slab_class *class = &classes[i];

        lock_take(&class->lock);
        list_for_each_safe(node, spare, &class->partial)
        {
            struct frame *slab = container_of(node, struct frame, node);

            if (slab->slab.used != 0)
                continue;
            list_remove(node);
            class->slabs--;
            class->empty = 0;
            frame_free(slab);
            freed++;
        }
        lock_drop(&class->lock);
    }
    return freed;
}

uint64_t slab_live(void)
{
    uint64_t live = __atomic_load_n(&large_live, __ATOMIC_RELAXED);

    for (unsigned i = 0; i < SLAB_CLASSES; i++) {
        lock_take(&classes[i].lock);
        live += classes[i].live;
        lock_drop(&classes[i].lock);
    }
    return live;
}

/* ------------------------------------------------------------------ checking */

static void check_slab(const struct slab_class *class, const struct frame *slab)
{
    uint32_t free = 0;

    if (slab->use != FRAME_SLAB || slab->slab.cache != class)
        host_panic("slab_check: frame %#llx is on the list of %u bytes",
                   (unsigned long long)frame_pfn(slab).v, class->size);
    for (const void *cell = slab->slab.free; cell != NULL; cell = *(void *const *)cell) {
        uint64_t offset = (uint64_t)((const char *)cell - (const char *)frame_data(slab));

        if (offset >= PAGE_SIZE || offset % class->size != 0 || ++free > class->cells)
            host_panic("slab_check: frame %#llx, %u bytes: broken list of free cells",
                       (unsigned long long)frame_pfn(slab).v, class->size);
        cell_verify(cell, class->size);
    }
    if (slab->slab.used + slab->slab.spare + free != class->cells || slab->slab.used == class->cells)
        host_panic("slab_check: frame %#llx, %u bytes: %u used, %u free, %u new of %u cells",
                   (unsigned long long)frame_pfn(slab).v, class->size, slab->slab.used, free,
                   slab->slab.spare, class->cells);
}

void slab_check(void)
{
    for (unsigned i = 0; i < SLAB_CLASSES; i++) {
        struct slab_class *class = &classes[i];
        uint64_t partial = 0, used = 0, empty = 0;

        lock_take(&class->lock);
        list_for_each(node, &class->partial)
        {
            const struct frame *slab = container_of(node, struct frame, node);

            check_slab(class, slab);
            partial++;
            used += slab->slab.used;
            empty += slab->slab.used == 0;
        }
        if (empty != class->empty || used + (class->slabs - partial) * class->cells != class->live)
            host_panic("slab_check: %u bytes: %llu cells counted as live, %llu empty slabs", class->size,
                       (unsigned long long)class->live, (unsigned long long)empty);
        lock_drop(&class->lock);
    }
}

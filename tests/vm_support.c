/*
 * Machines, stores and pictures for the tests of src/vm.
 */
#include "vm_support.h"

#include <stdlib.h>
#include <unistd.h>

static uint64_t free_at_start;

/* ------------------------------------------------------------------ machines */

void note_free_frames(void)
{
    settle();
    free_at_start = frames_free();
}

static int boot_vm(uint64_t bytes)
{
    sim_boot(bytes);
    assert_ok(vm_init(sim_kernel_root()));
    object_unref(object_create(NULL, NULL, 0)); /* the table of objects' numbers stays */
    note_free_frames();
    return 0;
}

int boot_vm_8m(void **state)
{
    (void)state;
    return boot_vm(8 * MIB);
}

int boot_vm_64m(void **state)
{
    (void)state;
    return boot_vm(64 * MIB);
}

static void count_object(struct object *object, void *context)
{
    (void)object;
    ++*(unsigned *)context;
}

int end_vm(void **state)
{
    unsigned objects = 0;

    (void)state;
    frames_fail_after(0);
    object_for_each(count_object, &objects);
    if (objects != 0)
        return fprintf(stderr, "# %u objects are left\n", objects);
    slab_check();
    frames_check();
    reclaim_check();
    reclaim_forget();
    settle();
    if (frames_free() != free_at_start)
        return fprintf(stderr, "# %lld frames are lost\n", (long long)(free_at_start - frames_free()));
    sim_shutdown();
    return 0;
}

struct space *new_space(void)
{
    struct space *space;

    assert_ok(space_create(&space));
    space_set_layout(space, vaddr(0x7ffff7000000), vaddr(0x7ffffffde000), vaddr(0x7ffffffff000), 8 * MIB);
    return space;
}

static struct object *to_check[64];

static void note_object(struct object *object, void *context)
{
    unsigned *count = context;

    if (*count < 64)
        to_check[(*count)++] = object;
}

void check_all(struct space *space)
{
    unsigned count = 0;

    if (space != NULL)
        space_check(space);
    object_for_each(note_object, &count);
    for (unsigned i = 0; i < count; i++)
        object_check(to_check[i]);
    reclaim_check();
    slab_check();
    frames_check();
}

/* ------------------------------------------------------------------ mapping and touching */

enum status try_map(struct space *space, struct object *object, uint64_t first, uint64_t at, uint64_t pages,
                    unsigned access, unsigned flags, uint64_t *out)
{
    struct space_map request = {
        .hint = vaddr(at),
        .length_bytes = pages * PAGE_SIZE,
        .access = access,
        .flags = flags,
        .object = object,
        .first_page = first,
    };
    struct vaddr got = vaddr(0);
    enum status status = space_map(space, &request, &got);

    if (out != NULL)
        *out = got.v;
    return status;
}

uint64_t map_anon(struct space *space, uint64_t pages, unsigned access)
{
    uint64_t at;

    assert_ok(try_map(space, NULL, 0, 0, pages, access, 0, &at));
    return at;
}

uint64_t map_at(struct space *space, uint64_t at, uint64_t pages, unsigned access, unsigned flags)
{
    uint64_t got;

    assert_ok(try_map(space, NULL, 0, at, pages, access, flags | SPACE_FIXED, &got));
    assert_int_equal(got, at);
    return got;
}

uint64_t map_object(struct space *space, struct object *object, uint64_t first, uint64_t pages,
                    unsigned access, unsigned flags)
{
    uint64_t at;

    assert_ok(try_map(space, object, first, 0, pages, access, flags, &at));
    return at;
}

void unmap(struct space *space, uint64_t at, uint64_t pages)
{
    assert_ok(space_unmap(space, vaddr(at), pages * PAGE_SIZE));
}

enum status try_put(struct space *space, uint64_t at, uint64_t word)
{
    return sim_write(space, at, &word, sizeof(word), NULL);
}

enum status try_get(struct space *space, uint64_t at)
{
    uint64_t word;

    return sim_read(space, at, &word, sizeof(word), NULL);
}

void put(struct space *space, uint64_t at, uint64_t word)
{
    assert_ok(try_put(space, at, word));
}

uint64_t get(struct space *space, uint64_t at)
{
    uint64_t word = 0;

    assert_ok(sim_read(space, at, &word, sizeof(word), NULL));
    return word;
}

/* ------------------------------------------------------------------ the store */

static enum status store_read(struct object *object, uint64_t first, struct frame *const *frames,
                              unsigned count)
{
    struct store *store = object_data(object);

    __atomic_fetch_add(&store->reads, 1, __ATOMIC_RELAXED);
    __atomic_fetch_add(&store->pages_read, count, __ATOMIC_RELAXED);
    if (store->slow_us != 0)
        usleep(store->slow_us);
    for (unsigned i = 0; i < count; i++) {
        uint64_t at = (first + i) * PAGE_SIZE;
        unsigned char *to = frame_data(frames[i]);
        uint64_t bytes = at >= store->size ? 0 : store->size - at;

        if (first + i == store->fail_reads_at)
            return ST_IO_ERROR;
        if (bytes > PAGE_SIZE)
            bytes = PAGE_SIZE;
        memcpy(to, store->bytes + at, bytes);
        memset(to + bytes, 0, PAGE_SIZE - bytes);
    }
    return ST_OK;
}

static enum status store_write(struct object *object, uint64_t first, struct frame *const *frames,
                               unsigned count, uint64_t bytes)
{
    struct store *store = object_data(object);

    __atomic_fetch_add(&store->writes, 1, __ATOMIC_RELAXED);
    __atomic_fetch_add(&store->pages_written, count, __ATOMIC_RELAXED);
    if (store->slow_us != 0)
        usleep(store->slow_us);
    CHECK_ALWAYS(bytes > (uint64_t)(count - 1) * PAGE_SIZE && bytes <= (uint64_t)count * PAGE_SIZE);
    CHECK_ALWAYS(first * PAGE_SIZE + bytes <= store->size);
    for (unsigned i = 0; i < count; i++) {
        uint64_t part = bytes - i * PAGE_SIZE;

        if (first + i == store->fail_writes_at)
            return ST_IO_ERROR;
        memcpy(store->bytes + (first + i) * PAGE_SIZE, frame_data(frames[i]),
               part > PAGE_SIZE ? PAGE_SIZE : part);
    }
    return ST_OK;
}

static void store_release(struct object *object)
{
    struct store *store = object_data(object);

    CHECK_ALWAYS(!store->released);
    store->released = true;
}

static const struct pager_ops store_ops = {store_read, store_write, store_release};

struct store *store_create(uint64_t size)
{
    struct store *store = calloc(1, sizeof(*store));

    assert_non_null(store);
    *store = (struct store){.size = size, .fail_reads_at = UINT64_MAX, .fail_writes_at = UINT64_MAX};
    store->bytes = malloc(size);
    assert_non_null(store->bytes);
    for (uint64_t i = 0; i < size; i++)
        store->bytes[i] = (unsigned char)(i * 31 + (i >> PAGE_SHIFT));
    for (uint64_t page = 0; (page + 1) * PAGE_SIZE <= size; page++)
        memcpy(store->bytes + page * PAGE_SIZE, &(uint64_t){page + 1}, 8);
    return store;
}

struct object *store_object(struct store *store)
{
    struct object *object = object_create(&store_ops, store, store->size);

    assert_non_null(object);
    return object;
}

void store_end(struct store *store)
{
    assert_true(store->released);
    free(store->bytes);
    free(store);
}

uint64_t store_word(const struct store *store, uint64_t page)
{
    uint64_t word;

    memcpy(&word, store->bytes + page * PAGE_SIZE, 8);
    return word;
}

/* ------------------------------------------------------------------ pictures */

void picture_take(struct space *space, struct picture *picture)
{
    struct space_counts counts;
    uint64_t from = 0;

    memset(picture, 0, sizeof(*picture));
    while (picture->count < 64 && space_next_region(space, vaddr(from), &picture->regions[picture->count])) {
        struct space_region *region = &picture->regions[picture->count++];

        from = region->end.v;
        region->resident_pages = 0;
        region->dirty_pages = 0;
        if (region->object == NULL)
            region->first_page = 0;
    }
    assert_true(picture->count < 64);
    space_count(space, &counts);
    picture->mapped_bytes = counts.mapped_bytes;
}

void picture_compare(const struct picture *before, const struct picture *after)
{
    assert_int_equal(before->count, after->count);
    for (unsigned i = 0; i < before->count; i++) {
        const struct space_region *a = &before->regions[i], *b = &after->regions[i];

        assert_int_equal(a->start.v, b->start.v);
        assert_int_equal(a->end.v, b->end.v);
        assert_int_equal(a->access, b->access);
        assert_int_equal(a->flags, b->flags);
        assert_ptr_equal(a->object, b->object);
        assert_int_equal(a->first_page, b->first_page);
    }
    assert_int_equal(before->mapped_bytes, after->mapped_bytes);
}

/* FNV-1a, 64 bits, by words. */
static uint64_t hash_word(uint64_t hash, uint64_t word)
{
    return (hash ^ word) * 0x100000001b3u;
}

static uint64_t hash_page(uint64_t hash, struct space *space, uint64_t at)
{
    uint64_t words[PAGE_SIZE / 8];

    if (sim_read(space, at, words, sizeof(words), NULL) != ST_OK)
        return hash_word(hash, 0xbad);
    for (unsigned i = 0; i < PAGE_SIZE / 8; i++)
        hash = hash_word(hash, words[i]);
    return hash;
}

uint64_t contents_hash(struct space *space)
{
    uint64_t hash = 0xcbf29ce484222325u, from = 0;
    struct space_region region;

    while (space_next_region(space, vaddr(from), &region)) {
        for (uint64_t at = region.start.v; at < region.end.v; at += PAGE_SIZE)
            hash = hash_page(hash_word(hash, at), space, at);
        from = region.end.v;
    }
    return hash;
}

/*
 * Memory objects: reading, writing, growing, shrinking, syncing, dropping; reclaim when memory is short.
 */
#include "swap_support.h"

#include <stdlib.h>

static void reads_and_writes(void **state)
{
    struct store *store = store_create(10 * PAGE_SIZE + 77);
    struct object *object = store_object(store);
    unsigned char *all = malloc(store->size), text[] = "written across the edge of a page";
    size_t done;

    assert_ok(object_read(object, 0, all, store->size, &done));
    assert_int_equal(done, store->size);
    assert_memory_equal(all, store->bytes, store->size);
    assert_ok(object_read(object, 10 * PAGE_SIZE + 70, all, 100, &done)); /* up to the end */
    assert_int_equal(done, 7);
    assert_ok(object_read(object, 11 * PAGE_SIZE, all, 100, &done));
    assert_int_equal(done, 0);
    assert_ok(object_write(object, 3 * PAGE_SIZE - 10, text, sizeof(text), &done));
    assert_ok(object_read(object, 3 * PAGE_SIZE - 10, all, sizeof(text), &done));
    assert_memory_equal(all, text, sizeof(text));
    assert_ok(object_sync(object, 0, UINT64_MAX));
    assert_memory_equal(store->bytes + 3 * PAGE_SIZE - 10, text, sizeof(text));
    assert_int_equal(store->pages_written, 2);
    assert_status(object_write(object, store->size - 4, text, 10, &done), ST_BEYOND_END);
    check_all(NULL);
    free(all);
    object_unref(object);
    store_end(store);
}

static void whole_pages_are_not_read_to_be_overwritten(void **state)
{
    struct store *store = store_create(4 * PAGE_SIZE);
    struct object *object = store_object(store);
    static unsigned char page[PAGE_SIZE];
    size_t done;

    memset(page, 0x55, sizeof(page));
    assert_ok(object_write(object, PAGE_SIZE, page, PAGE_SIZE, &done));
    assert_int_equal(store->pages_read, 0);
    object_unref(object);
    assert_memory_equal(store->bytes + PAGE_SIZE, page, PAGE_SIZE);
    store_end(store);
}

/* A page is held, not yet stored to, when it is written back: what is stored then is not lost. */
static void stores_behind_a_write_back_are_kept(void **state)
{
    struct store *store = store_create(4 * PAGE_SIZE);
    struct object *object = store_object(store);
    struct frame *frame;

    assert_ok(object_get_page(object, 2, OBJECT_OVERWRITE, &frame));
    assert_ok(object_sync(object, 0, UINT64_MAX));
    memset(frame_data(frame), 0x66, PAGE_SIZE);
    object_put_written(frame);
    assert_int_equal(object_drop(object, 0, UINT64_MAX), 0);
    assert_ok(object_sync(object, 0, UINT64_MAX));
    assert_memory_equal(store->bytes + 2 * PAGE_SIZE, "ffff", 4);
    object_unref(object);
    store_end(store);
}

static void memory_objects_keep_their_pages(void **state)
{
    struct object *object = object_create(NULL, NULL, 100 * PAGE_SIZE);
    uint64_t word = 0, back;
    size_t done;

    assert_non_null(object);
    assert_int_equal(object_resident(object), 0);
    for (uint64_t i = 0; i < 100; i += 9) {
        word = i + 1;
        assert_ok(object_write(object, i * PAGE_SIZE, &word, 8, &done));
    }
    assert_int_equal(object_resident(object), 12);
    assert_int_equal(reclaim(1000), 0);
    assert_int_equal(object_drop(object, 0, 100), 0);
    for (uint64_t i = 0; i < 100; i += 9) {
        assert_ok(object_read(object, i * PAGE_SIZE, &back, 8, &done));
        assert_int_equal(back, i + 1);
    }
    check_all(NULL);
    object_unref(object);
}

static void shrinking_zeroes_the_tail(void **state)
{
    struct object *object = object_create(NULL, NULL, 3 * PAGE_SIZE);
    struct space *space = new_space();
    uint64_t at = map_object(space, object, 0, 3, RW, SPACE_SHARED), word = UINT64_MAX;

    for (uint64_t offset = 0; offset < 3 * PAGE_SIZE; offset += 8)
        put(space, at + offset, word);
    assert_ok(object_resize(object, PAGE_SIZE + 100));
    assert_ok(object_resize(object, 3 * PAGE_SIZE));
    assert_int_equal(get(space, at + PAGE_SIZE + 88), word);
    assert_int_equal(get(space, at + PAGE_SIZE + 96), 0xffffffff);
    assert_int_equal(get(space, at + PAGE_SIZE + 104), 0);
    assert_int_equal(get(space, at + 2 * PAGE_SIZE), 0);
    check_all(space);
    space_unref(space);
    object_unref(object);
}

static void adopted_frames(void **state)
{
    struct object *object = object_create(NULL, NULL, 2 * PAGE_SIZE);
    struct frame *frame = frame_alloc(0, FRAME_KERNEL, FRAME_ZERO),
                 *other = frame_alloc(0, FRAME_KERNEL, FRAME_ZERO);
    uint64_t word;
    size_t done;

    *(uint64_t *)frame_data(frame) = 4711;
    assert_ok(object_adopt(object, 1, frame));
    assert_int_equal(frame->use, FRAME_SHARED);
    assert_status(object_adopt(object, 1, other), ST_MAPPED);
    frame_free(other);
    assert_ok(object_read(object, PAGE_SIZE, &word, 8, &done));
    assert_int_equal(word, 4711);
    check_all(NULL);
    object_unref(object);
}

static void prefetch_and_drop(void **state)
{
    struct store *store = store_create(50 * PAGE_SIZE);
    struct object *object = store_object(store);
    struct space *space = new_space();
    uint64_t at = map_object(space, object, 0, 50, RW, SPACE_SHARED);

    object_prefetch(object, 10, 30);
    assert_int_equal(object_resident(object), 30);
    assert_int_equal(get(space, at + 15 * PAGE_SIZE), 16);
    put(space, at + 20 * PAGE_SIZE, 1);
    assert_int_equal(object_drop(object, 0, 50), 8); /* 32 to 39: the others were mapped around the first */
    assert_int_equal(get(space, at + 20 * PAGE_SIZE), 1); /* dirty and mapped pages stay */
    check_all(space);
    space_unref(space);
    object_unref(object);
    store_end(store);
}

static void reading_ahead_grows(void **state)
{
    struct store *store = store_create(400 * PAGE_SIZE);
    struct object *object = store_object(store);
    struct space *space = new_space();
    uint64_t at = map_object(space, object, 0, 400, ACCESS_READ, 0);

    for (uint64_t i = 0; i < 400; i++)
        assert_int_equal(get(space, at + i * PAGE_SIZE), i + 1);
    assert_int_equal(store->pages_read, 400);
    assert_true(store->reads < 40);
    space_unref(space);
    object_unref(object);
    store_end(store);
}

/* A file larger than memory, mapped and summed: clean pages are dropped and read again. */
static void a_file_larger_than_memory(void **state)
{
    enum { PAGES = 6000 }; /* 24 MiB in a machine of 8 */
    struct store *store = store_create(PAGES * PAGE_SIZE);
    struct object *object = store_object(store);
    struct space *space = new_space();
    uint64_t at = map_object(space, object, 0, PAGES, ACCESS_READ, SPACE_SHARED);

    for (int pass = 0; pass < 2; pass++)
        for (uint64_t i = 0; i < PAGES; i++)
            assert_int_equal(get(space, at + i * PAGE_SIZE), i + 1);
    assert_true(vm_stats.drops > PAGES);
    assert_true(object_resident(object) < 2048);
    check_all(space);
    space_unref(space);
    object_unref(object);
    assert_int_equal(store->pages_written, 0);
    store_end(store);
}

/* The same, written: dirty pages reach the store before they leave. */
static void a_written_file_larger_than_memory(void **state)
{
    enum { PAGES = 5000 };
    struct store *store = store_create(PAGES * PAGE_SIZE);
    struct object *object = store_object(store);
    struct space *space = new_space();
    uint64_t at = map_object(space, object, 0, PAGES, RW, SPACE_SHARED);
    struct random random = {3};

    for (uint64_t i = 0; i < PAGES; i++)
        put(space, at + i * PAGE_SIZE + 8, 10 * i);
    for (int i = 0; i < 3000; i++) {
        uint64_t page = random_below(&random, PAGES);

        assert_int_equal(get(space, at + page * PAGE_SIZE + 8), 10 * page);
        assert_int_equal(get(space, at + page * PAGE_SIZE), page + 1);
    }
    assert_true(vm_stats.write_backs > PAGES / 2);
    check_all(space);
    space_unref(space);
    object_unref(object);
    for (uint64_t i = 0; i < PAGES; i++) {
        uint64_t word;

        memcpy(&word, store->bytes + i * PAGE_SIZE + 8, 8);
        assert_int_equal(word, 10 * i);
    }
    store_end(store);
}

/* Anonymous memory and files compete: anonymous pages stay (there is no swap), clean file pages make room. */
static void files_make_room_for_anonymous_memory(void **state)
{
    enum { FILE_PAGES = 3000, ANON_PAGES = 1000 };
    struct store *store = store_create(FILE_PAGES * PAGE_SIZE);
    struct object *object = store_object(store);
    struct space *space = new_space();
    uint64_t file = map_object(space, object, 0, FILE_PAGES, ACCESS_READ, 0);
    uint64_t anon = map_anon(space, ANON_PAGES, RW);

    for (uint64_t i = 0; i < FILE_PAGES; i++) {
        assert_int_equal(get(space, file + i * PAGE_SIZE), i + 1);
        if (i < ANON_PAGES)
            put(space, anon + i * PAGE_SIZE, i + 7);
    }
    for (uint64_t i = 0; i < ANON_PAGES; i++)
        assert_int_equal(get(space, anon + i * PAGE_SIZE), i + 7);
    check_all(space);
    space_unref(space);
    object_unref(object);
    store_end(store);
}

static void a_full_store_does_not_lose_pages(void **state)
{
    enum { PAGES = 3000 };
    struct store *store = store_create(PAGES * PAGE_SIZE);
    struct object *object = store_object(store);
    struct space *space = new_space();
    uint64_t at = map_object(space, object, 0, PAGES, RW, SPACE_SHARED), written = 0;
    enum status status = ST_OK;

    store->fail_writes_at = 5;
    while (written < PAGES && (status = try_put(space, at + written * PAGE_SIZE + 8, written)) == ST_OK)
        written++;
    assert_true(status == ST_OK || status == ST_NO_MEMORY);
    assert_int_equal(get(space, at + 5 * PAGE_SIZE + 8), 5);
    store->fail_writes_at = UINT64_MAX;
    for (; written < PAGES; written++)
        put(space, at + written * PAGE_SIZE + 8, written);
    for (uint64_t i = 0; i < PAGES; i += 7)
        assert_int_equal(get(space, at + i * PAGE_SIZE + 8), i);
    check_all(space);
    space_unref(space);
    object_unref(object);
    store_end(store);
}

static void held_pages_are_not_reclaimed(void **state)
{
    struct store *store = store_create(100 * PAGE_SIZE);
    struct object *object = store_object(store);
    struct frame *frame;

    assert_ok(object_get_page(object, 50, OBJECT_READ, &frame));
    reclaim(1000);
    reclaim(1000);
    assert_int_equal(*(uint64_t *)frame_data(frame), 51);
    assert_int_equal(object_resident(object), 1);
    frame_unref(frame);
    reclaim(1000);
    reclaim(1000);
    assert_int_equal(object_resident(object), 0);
    object_unref(object);
    store_end(store);
}

static void all_objects_are_synced(void **state)
{
    struct store *stores[3];
    struct object *objects[3];
    uint64_t word = 77;
    size_t done;

    for (int i = 0; i < 3; i++) {
        stores[i] = store_create(3 * PAGE_SIZE);
        objects[i] = store_object(stores[i]);
        assert_ok(object_write(objects[i], PAGE_SIZE, &word, 8, &done));
    }
    assert_ok(objects_sync_all());
    for (int i = 0; i < 3; i++) {
        assert_int_equal(store_word(stores[i], 1), 77);
        object_unref(objects[i]);
        store_end(stores[i]);
    }
}

/* ------------------------------------------------------------------ quotas, holes */

static enum status put_page(struct object *object, uint64_t page, uint64_t word)
{
    size_t done;

    return object_write(object, page * PAGE_SIZE, &word, sizeof(word), &done);
}

static uint64_t word_of(struct object *object, uint64_t page)
{
    uint64_t word = UINT64_MAX;
    size_t done;

    assert_ok(object_read(object, page * PAGE_SIZE, &word, sizeof(word), &done));
    return word;
}

static struct object *quota_object(struct object_quota *quota, uint64_t pages)
{
    struct object *object = object_create(NULL, NULL, pages * PAGE_SIZE);

    assert_non_null(object);
    object_set_quota(object, quota);
    return object;
}

/* Two objects share ten pages, whether they come by writing, by faults or all at once, in memory or in swap.
 */
static void quotas_are_for_all_of_a_group(void **state)
{
    struct object_quota quota = {.limit = 10};
    struct object *one = quota_object(&quota, 100), *other = quota_object(&quota, 100);
    struct space *space = new_space();
    uint64_t at = map_object(space, other, 0, 100, RW, SPACE_SHARED);

    for (uint64_t i = 0; i < 6; i++)
        assert_ok(put_page(one, i * 10, i + 1));
    assert_int_equal(page_out(space, at, 100), 0);
    for (uint64_t i = 0; i < 4; i++)
        put(space, at + i * PAGE_SIZE, i + 1);
    assert_int_equal(page_out(space, at, 100), 4);
    assert_int_equal(object_allocated(other), 4);
    assert_int_equal(object_resident(other), 0);
    assert_status(put_page(one, 1, 1), ST_NO_SPACE);
    assert_status(try_put(space, at + 9 * PAGE_SIZE, 1), ST_NO_SPACE);
    assert_status(try_get(space, at + 9 * PAGE_SIZE), ST_NO_SPACE);
    assert_int_equal(word_of(one, 1), 0); /* a hole takes nothing to be read */
    assert_status(object_fill(one, 0, 2), ST_NO_SPACE);
    assert_ok(object_fill(one, 0, 1)); /* it is there */
    assert_int_equal(quota.used, 10);
    assert_ok(object_resize(one, 41 * PAGE_SIZE));
    assert_int_equal(quota.used, 9);
    assert_ok(put_page(one, 1, 7));
    assert_int_equal(get(space, at + 3 * PAGE_SIZE), 4);
    assert_status(put_page(one, 2, 1), ST_NO_SPACE);
    vm_check_all();
    check_swap(space);
    object_unref(one);
    assert_int_equal(quota.used, 4);
    assert_ok(object_fill(other, 90, 6));
    assert_int_equal(quota.used, 10);
    vm_check_all();
    space_unref(space);
    object_unref(other);
    assert_int_equal(quota.used, 0);
}

/* Without memory nothing is charged. */
static void quotas_without_memory(void **state)
{
    struct object_quota quota = {.limit = UINT64_MAX};
    struct object *object = quota_object(&quota, UINT64_C(1) << 20);
    uint64_t page = 0;

    while (put_page(object, page, page) == ST_OK)
        page++;
    assert_int_equal(quota.used, page);
    assert_int_equal(object_allocated(object), page);
    check_all(NULL);
    object_unref(object);
    assert_int_equal(quota.used, 0);
}

/* Whoever maps what is punched sees zeroes, but in his private copies. */
static void holes_are_seen_by_all(void **state)
{
    struct object_quota quota = {.limit = 20};
    struct object *object = quota_object(&quota, 20);
    struct space *space = new_space();
    uint64_t shared = map_object(space, object, 0, 20, RW, SPACE_SHARED);
    uint64_t private = map_object(space, object, 0, 20, RW, 0);

    for (uint64_t i = 0; i < 20; i++)
        put(space, shared + i * PAGE_SIZE, i + 1);
    assert_int_equal(page_out(space, shared, 4), 4);
    put(space, private + 5 * PAGE_SIZE, 99);
    assert_int_equal(get(space, private + 6 * PAGE_SIZE), 7);
    object_punch(object, 2, 10);
    assert_int_equal(quota.used, 10);
    check_swap(space);
    for (uint64_t i = 0; i < 20; i++) {
        uint64_t wanted = i >= 2 && i < 12 ? 0 : i + 1;

        assert_int_equal(word_of(object, i), wanted);
        assert_int_equal(get(space, private + i * PAGE_SIZE), i == 5 ? 99 : wanted);
        assert_int_equal(get(space, shared + i * PAGE_SIZE), wanted);
    }
    assert_int_equal(quota.used, 20); /* touched again */
    object_punch(object, 0, UINT64_MAX);
    assert_int_equal(quota.used, 0);
    vm_check_all();
    space_unref(space);
    object_unref(object);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, boot_vm_8m, end_vm)
    const struct CMUnitTest tests[] = {
        CASE(reads_and_writes),
        CASE(whole_pages_are_not_read_to_be_overwritten),
        CASE(stores_behind_a_write_back_are_kept),
        CASE(memory_objects_keep_their_pages),
        CASE(shrinking_zeroes_the_tail),
        CASE(adopted_frames),
        CASE(prefetch_and_drop),
        CASE(reading_ahead_grows),
        CASE(a_file_larger_than_memory),
        CASE(a_written_file_larger_than_memory),
        CASE(files_make_room_for_anonymous_memory),
        CASE(a_full_store_does_not_lose_pages),
        cmocka_unit_test_setup_teardown(held_pages_are_not_reclaimed, boot_swap,
                                        end_swap), /* no last pages are kept */
        CASE(all_objects_are_synced),
        cmocka_unit_test_setup_teardown(quotas_are_for_all_of_a_group, boot_swap, end_swap),
        CASE(quotas_without_memory),
        cmocka_unit_test_setup_teardown(holes_are_seen_by_all, boot_swap, end_swap),
    };

    return cmocka_run_group_tests_name("objects", tests, NULL, NULL);
}

/*
 * Swap in memory for the tests of src/vm.
 */
#include "swap_support.h"

#include <stdlib.h>
#include <unistd.h>

#include "vm/object_internal.h"
#include "vm/region.h"

struct swap_test swap_test;

/* ------------------------------------------------------------------ the store */

static void call_once(void (**hook)(void))
{
    void (*call)(void) = *hook;

    if (call == NULL)
        return;
    *hook = NULL;
    call();
}

static bool fails(uint32_t at, uint32_t slot, unsigned count)
{
    return swap_test.fail_all || (at >= slot && at < slot + count);
}

static enum status store_read(void *context, uint32_t slot, struct frame *const *frames, unsigned count)
{
    struct swap_test *test = context;

    if (test->slow_us != 0)
        usleep(test->slow_us);
    call_once(&test->while_reading);
    for (unsigned i = 0; i < count; i++) {
        CHECK_ALWAYS(slot + i >= 1 && slot + i <= test->slots);
        CHECK_ALWAYS(__atomic_load_n(&test->written[slot + i], __ATOMIC_ACQUIRE));
        memcpy(frame_data(frames[i]), test->bytes + (slot + i) * PAGE_SIZE, PAGE_SIZE);
    }
    return fails(test->fail_read, slot, count) ? ST_IO_ERROR : ST_OK;
}

/* What a disk does: an object's page may be written to meanwhile, a private one may not, and TSan is to say
 * so. */
static void copy_out(unsigned char *to, const struct frame *frame)
{
    const uint64_t *from = frame_data(frame);

    if (frame->use != FRAME_SHARED) {
        memcpy(to, from, PAGE_SIZE);
        return;
    }
    for (unsigned i = 0; i < PAGE_SIZE / sizeof(*from); i++)
        memcpy(to + i * sizeof(*from), &(uint64_t){__atomic_load_n(&from[i], __ATOMIC_RELAXED)},
               sizeof(*from));
}

static bool refuses(const struct swap_test *test, struct frame *const *frames, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        uint64_t word = __atomic_load_n((const uint64_t *)frame_data(frames[i]), __ATOMIC_RELAXED);

        if (word >= test->refuse_from && word < test->refuse_below)
            return true;
    }
    return false;
}

/* A failure leaves rubbish. */
static enum status store_write(void *context, uint32_t slot, struct frame *const *frames, unsigned count)
{
    struct swap_test *test = context;
    bool failed = fails(test->fail_write, slot, count);

    if (test->full || refuses(test, frames, count))
        return ST_NO_SPACE;
    if (test->slow_us != 0)
        usleep(test->slow_us);
    for (unsigned i = 0; i < count; i++) {
        CHECK_ALWAYS(slot + i >= 1 && slot + i <= test->slots);
        if (i == count / 2)
            call_once(&test->while_writing);
        if (failed)
            memset(test->bytes + (slot + i) * PAGE_SIZE, 0x5a, PAGE_SIZE);
        else
            copy_out(test->bytes + (slot + i) * PAGE_SIZE, frames[i]);
        __atomic_store_n(&test->written[slot + i], !failed, __ATOMIC_RELEASE);
    }
    return failed ? ST_IO_ERROR : ST_OK;
}

static void store_discard(void *context, uint32_t slot, uint32_t count)
{
    struct swap_test *test = context;

    for (uint32_t i = slot; i < slot + count; i++)
        __atomic_store_n(&test->written[i], false, __ATOMIC_RELEASE);
}

void swap_test_begin(uint32_t slots)
{
    static const struct swap_store store = {store_read, store_write, store_discard, &swap_test};

    swap_test = (struct swap_test){.slots = slots};
    swap_test.bytes = malloc((slots + 1) * PAGE_SIZE);
    swap_test.written = calloc(slots + 1, sizeof(bool));
    CHECK_ALWAYS(swap_test.bytes != NULL && swap_test.written != NULL);
    CHECK_ALWAYS(swap_on(&store, slots) == ST_OK);
}

void swap_test_end(void)
{
    free(swap_test.bytes);
    free(swap_test.written);
    swap_test = (struct swap_test){0};
}

static int boot(int (*boot_vm)(void **state), uint32_t slots)
{
    int result = boot_vm(NULL);

    swap_test_begin(slots);
    note_free_frames();
    return result;
}

int boot_swap(void **state)
{
    return boot(boot_vm_8m, 4000);
}

int boot_swap_64m(void **state)
{
    return boot(boot_vm_64m, 4000);
}

int boot_swap_40(void **state)
{
    return boot(boot_vm_8m, 40);
}

/* Slots that could not be written keep their descriptors: those of a frame are alive. */
int end_swap(void **state)
{
    struct swap_counts counts = swap_now();

    swap_check();
    swap_test_end();
    if (counts.used != counts.bad)
        return fprintf(stderr, "# %llu slots are in use\n", (unsigned long long)(counts.used - counts.bad));
    if (counts.bad != 0)
        return 0;
    return end_vm(state);
}

/* ------------------------------------------------------------------ eviction */

struct batch {
    unsigned count;
    struct frame *frames[SWAP_CLUSTER];
    struct object *objects[SWAP_CLUSTER]; /* theirs, held; NULL: private */
};

static void drop_objects(struct batch *batch)
{
    for (unsigned i = 0; i < batch->count; i++)
        if (batch->objects[i] != NULL)
            object_unref(batch->objects[i]);
    batch->count = 0;
}

static unsigned page_out_batch(struct batch *batch)
{
    unsigned left = 0, ready = swap_prepare(batch->frames, batch->count);
    bool flush = false;

    for (unsigned i = 0; i < ready; i++)
        flush |= swap_unmap(batch->frames[i]);
    if (flush)
        host_flush_all();
    (void)!swap_write(batch->frames, ready);
    for (unsigned i = 0; i < ready; i++)
        left += swap_release(batch->frames[i]);
    for (unsigned i = ready; i < batch->count; i++)
        frame_unref(batch->frames[i]);
    drop_objects(batch);
    return left;
}

bool is_resident(struct space *space, uint64_t at)
{
    uint8_t resident = 0;

    return space_incore(space, vaddr(at), PAGE_SIZE, &resident) == ST_OK && resident & 1;
}

/* The object behind the page, held; NULL: none. */
static struct object *hold_object(struct space *space, uint64_t at)
{
    struct space_region region;

    return region_next_held(space, at, at + PAGE_SIZE, &region) ? region.object : NULL;
}

static bool is_in(const struct batch *batch, const struct frame *frame)
{
    for (unsigned i = 0; i < batch->count; i++)
        if (batch->frames[i] == frame)
            return true;
    return false;
}

static bool can_leave(const struct frame *frame, const struct object *object)
{
    return frame->use == FRAME_ANON ||
           (frame->use == FRAME_SHARED && __atomic_load_n(&frame->page.object, __ATOMIC_RELAXED) == object);
}

/* The page joins the batch if it can leave: what a frame belongs to is known when it is pinned. */
static void take_page(struct batch *batch, struct space *space, uint64_t at)
{
    struct object *object = hold_object(space, at);
    struct frame *frame;

    if (!is_resident(space, at) || space_pin(space, vaddr(at), ACCESS_READ, &frame) != ST_OK) {
        if (object != NULL)
            object_unref(object);
        return;
    }
    batch->frames[batch->count] = frame;
    batch->objects[batch->count] = object;
    if (!is_in(batch, frame) && can_leave(frame, object)) {
        batch->count++;
        return;
    }
    frame_unref(frame);
    if (object != NULL)
        object_unref(object);
}

unsigned page_out(struct space *space, uint64_t at, uint64_t pages)
{
    struct batch batch = {0};
    unsigned left = 0;

    for (uint64_t page = at; page < at + pages * PAGE_SIZE; page += PAGE_SIZE) {
        take_page(&batch, space, page);
        if (batch.count == SWAP_CLUSTER)
            left += page_out_batch(&batch);
    }
    return left + page_out_batch(&batch);
}

struct frame *page_out_begin(struct space *space, uint64_t at)
{
    struct frame *frame;

    assert_ok(space_pin(space, vaddr(at), ACCESS_READ, &frame));
    assert_int_equal(swap_prepare(&frame, 1), 1);
    if (swap_unmap(frame))
        host_flush_all();
    return frame;
}

bool page_out_end(struct frame *frame)
{
    (void)!swap_write(&frame, 1);
    return swap_release(frame);
}

/* ------------------------------------------------------------------ looking */

struct swap_counts swap_now(void)
{
    struct swap_counts counts;

    swap_count(&counts);
    return counts;
}

uint64_t swapped_pages(struct space *space)
{
    struct space_counts counts;

    space_count(space, &counts);
    return counts.swap_pages;
}

void check_swap(struct space *space)
{
    check_all(space);
    swap_check();
    swap_check_marks();
}

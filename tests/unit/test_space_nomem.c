/*
 * Every N-th allocation fails: an operation then says ST_NO_MEMORY and has changed nothing, or has done all
 * of it, and nothing leaks. The space that it is tried on has all there is: anonymous memory, huge and small,
 * private and shared files, shared anonymous memory, protected parts, and tables shared with a child.
 */
#include "vm_support.h"

#define BASE ((uint64_t)0x40000000 - HUGE_SIZE)

struct scene {
    struct store *store;
    struct object *object;
    struct space *space, *child;
    uint64_t anon, small, private, shared, both;
};

static void scene_begin(struct scene *scene)
{
    scene->store = store_create(40 * PAGE_SIZE);
    scene->object = store_object(scene->store);
    scene->space = new_space();
    scene->anon = map_at(scene->space, BASE, 1024, RW, 0);
    put(scene->space, BASE + 5 * PAGE_SIZE, 1); /* a huge page, if there is memory for it */
    put(scene->space, BASE + 700 * PAGE_SIZE, 2);
    scene->small = map_at(scene->space, BASE + 3 * HUGE_SIZE, 30, RW, 0);
    for (uint64_t i = 0; i < 30; i += 2)
        put(scene->space, scene->small + i * PAGE_SIZE, i);
    assert_ok(try_map(scene->space, scene->object, 0, BASE + 3 * HUGE_SIZE + 100 * PAGE_SIZE, 40, RW,
                      SPACE_FIXED, &scene->private));
    assert_ok(try_map(scene->space, scene->object, 0, BASE + 3 * HUGE_SIZE + 200 * PAGE_SIZE, 40, RW,
                      SPACE_FIXED | SPACE_SHARED, &scene->shared));
    assert_ok(try_map(scene->space, NULL, 0, BASE + 3 * HUGE_SIZE + 300 * PAGE_SIZE, 10, RW,
                      SPACE_FIXED | SPACE_SHARED, &scene->both));
    put(scene->space, scene->private + 3 * PAGE_SIZE, 33);
    put(scene->space, scene->shared + 4 * PAGE_SIZE, 44);
    put(scene->space, scene->both, 55);
    assert_ok(space_protect(scene->space, vaddr(scene->small + 10 * PAGE_SIZE), 4 * PAGE_SIZE, ACCESS_NONE));
    assert_ok(space_fork(scene->space, &scene->child));
}

static void scene_end(struct scene *scene)
{
    check_all(scene->space);
    check_all(scene->child);
    space_unref(scene->space);
    space_unref(scene->child);
    object_unref(scene->object);
    store_end(scene->store);
}

typedef enum status operation(struct scene *scene);

/* One attempt; false when the operation did not need that many allocations. */
static bool attempt_fails(operation *operate, unsigned attempt)
{
    struct scene scene;
    struct picture was, is;
    uint64_t child_hash;
    enum status status;
    bool struck;

    scene_begin(&scene);
    picture_take(scene.space, &was);
    frames_fail_after(attempt);
    status = operate(&scene);
    struck = frames_fail_after(0) == 0;
    assert_true(status == ST_OK || (struck && status == ST_NO_MEMORY));
    check_all(scene.space);
    check_all(scene.child);
    if (status == ST_NO_MEMORY) {
        picture_take(scene.space, &is);
        picture_compare(&was, &is);
    }
    child_hash = contents_hash(scene.child);
    if (status == ST_NO_MEMORY) {
        assert_true(contents_hash(scene.space) == child_hash); /* the child is what the space was */
        assert_ok(operate(&scene));                            /* and now there is memory */
        assert_true(contents_hash(scene.child) == child_hash);
    }
    scene_end(&scene);
    return struck;
}

/* Runs the operation with the 1st, 2nd, ... allocation failing, each time on a new scene, until it does not
 * need that many. */
static void try_each(operation *operate)
{
    uint64_t before;
    unsigned attempt = 1;

    settle();
    before = frames_free();
    while (attempt_fails(operate, attempt)) {
        settle();
        assert_int_equal(frames_free(), before);
        attempt +=
            attempt < 40 ? 1 : attempt / 8; /* a huge page is copied by 512 allocations that are all alike */
    }
    settle();
    assert_int_equal(frames_free(), before);
}

/* ------------------------------------------------------------------ the operations */

#define OPERATION(name, expression)                                                                          \
    static enum status name(struct scene *scene)                                                             \
    {                                                                                                        \
        struct vaddr out;                                                                                    \
        (void)out;                                                                                           \
        return expression;                                                                                   \
    }                                                                                                        \
    static void name##_without_memory(void **state)                                                          \
    {                                                                                                        \
        (void)state;                                                                                         \
        try_each(name);                                                                                      \
    }

OPERATION(map_over_everything,
          try_map(scene->space, NULL, 0, BASE + 100 * PAGE_SIZE, 1600, RW, SPACE_FIXED, NULL))
OPERATION(map_far_away, try_map(scene->space, NULL, 0, 0x123456789000, 3, RW, SPACE_FIXED, NULL))
OPERATION(map_across_tables, try_map(scene->space, scene->object, 0, 0x7fffffff000, 3, RW, SPACE_FIXED, NULL))
OPERATION(map_ahead, try_map(scene->space, scene->object, 0, BASE, 40, RW, SPACE_FIXED | SPACE_AHEAD, NULL))
OPERATION(map_last_ahead,
          try_map(scene->space, NULL, 0, BASE, 1500, RW, SPACE_FIXED | SPACE_AHEAD_LAST, NULL))
OPERATION(map_shared_anonymous,
          try_map(scene->space, NULL, 0, BASE, 20, RW, SPACE_FIXED | SPACE_SHARED, NULL))
OPERATION(unmap_in_a_huge_page, space_unmap(scene->space, vaddr(BASE + 9 * PAGE_SIZE), 3 * PAGE_SIZE))
OPERATION(unmap_in_a_mark, space_unmap(scene->space, vaddr(BASE + 600 * PAGE_SIZE), 3 * PAGE_SIZE))
OPERATION(unmap_small_pages, space_unmap(scene->space, vaddr(scene->small + PAGE_SIZE), 7 * PAGE_SIZE))
OPERATION(unmap_files, space_unmap(scene->space, vaddr(scene->private), 140 * PAGE_SIZE))
OPERATION(protect_in_a_huge_page,
          space_protect(scene->space, vaddr(BASE + 9 * PAGE_SIZE), 3 * PAGE_SIZE, ACCESS_READ))
OPERATION(protect_small_pages, space_protect(scene->space, vaddr(scene->small), 30 * PAGE_SIZE, ACCESS_NONE))
OPERATION(protect_all_of_it, space_protect(scene->space, vaddr(BASE), 1024 * PAGE_SIZE, ACCESS_READ))
OPERATION(dont_need_in_a_huge_page,
          space_advise(scene->space, vaddr(BASE + 9 * PAGE_SIZE), 3 * PAGE_SIZE, ADVICE_DONT_NEED))
OPERATION(dont_need_of_files,
          space_advise(scene->space, vaddr(scene->private), 40 * PAGE_SIZE, ADVICE_DONT_NEED))
OPERATION(advise_no_huge, space_advise(scene->space, vaddr(BASE), 1024 * PAGE_SIZE, ADVICE_NO_HUGE))
OPERATION(lock_in_a_huge_page, space_lock(scene->space, vaddr(BASE + 9 * PAGE_SIZE), 3 * PAGE_SIZE, true))
OPERATION(lock_files, space_lock(scene->space, vaddr(scene->shared), 40 * PAGE_SIZE, true))
OPERATION(move_small_pages,
          space_move(scene->space, vaddr(scene->small), 10 * PAGE_SIZE, 10 * PAGE_SIZE,
                     SPACE_MAY_MOVE | SPACE_MOVE_FIXED, vaddr(0x200000000000 - 4 * PAGE_SIZE), &out))
OPERATION(move_and_grow,
          space_move(scene->space, vaddr(scene->private), 40 * PAGE_SIZE, 80 * PAGE_SIZE,
                     SPACE_MAY_MOVE | SPACE_MOVE_FIXED, vaddr(0x200000000000 - 4 * PAGE_SIZE), &out))
OPERATION(move_and_shrink,
          space_move(scene->space, vaddr(BASE + 512 * PAGE_SIZE), 500 * PAGE_SIZE, 200 * PAGE_SIZE,
                     SPACE_MAY_MOVE | SPACE_MOVE_FIXED, vaddr(0x200000000000 - 4 * PAGE_SIZE), &out))
OPERATION(move_a_huge_page,
          space_move(scene->space, vaddr(scene->anon), 512 * PAGE_SIZE, 512 * PAGE_SIZE,
                     SPACE_MAY_MOVE | SPACE_MOVE_FIXED, vaddr(0x200000000000 + PAGE_SIZE), &out))

/* Faults change nothing that a picture shows, but the word. The child must keep its own. */
OPERATION(write_to_a_huge_page, try_put(scene->space, BASE + 5 * PAGE_SIZE, 1))
OPERATION(write_to_a_small_page, try_put(scene->space, scene->small + 2 * PAGE_SIZE, 2))
OPERATION(write_to_a_new_page, try_put(scene->space, scene->small + PAGE_SIZE, 0))
OPERATION(write_to_a_private_file, try_put(scene->space, scene->private + 3 * PAGE_SIZE, 33))
OPERATION(write_to_a_shared_file, try_put(scene->space, scene->shared + 4 * PAGE_SIZE, 44))
OPERATION(read_a_file, try_get(scene->space, scene->private + 30 * PAGE_SIZE))
OPERATION(sync_a_file, space_sync(scene->space, vaddr(scene->shared), 40 * PAGE_SIZE, true))

static enum status fork_again(struct scene *scene)
{
    struct space *third;
    enum status status = space_fork(scene->space, &third);

    if (status == ST_OK) {
        check_all(third);
        space_unref(third);
    }
    return status;
}

static void fork_again_without_memory(void **state)
{
    try_each(fork_again);
}

static enum status create_objects(struct scene *scene)
{
    struct object *object = object_create(NULL, NULL, 100000 * PAGE_SIZE);
    uint64_t word = 1;
    size_t done;
    enum status status = ST_OK;

    if (object == NULL)
        return ST_NO_MEMORY;
    for (uint64_t i = 1; i < 100000 && status == ST_OK; i *= 7)
        status = object_write(object, i * PAGE_SIZE, &word, 8, &done);
    object_check(object);
    object_unref(object);
    return status;
}

static void create_objects_without_memory(void **state)
{
    try_each(create_objects);
}

static enum status create_space(struct scene *scene)
{
    struct space *space;
    enum status status = space_create(&space);

    if (status == ST_OK)
        space_unref(space);
    return status;
}

static void create_space_without_memory(void **state)
{
    try_each(create_space);
}

static enum status move_the_break(struct scene *scene)
{
    uint64_t start = 0x600000000000;

    space_init_break(scene->space, vaddr(start));
    if (space_set_break(scene->space, vaddr(start + 10 * PAGE_SIZE)).v == start)
        return ST_NO_MEMORY;
    return space_unmap(scene->space, vaddr(start), 10 * PAGE_SIZE);
}

static void move_the_break_without_memory(void **state)
{
    try_each(move_the_break);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name##_without_memory, boot_vm_64m, end_vm)
    const struct CMUnitTest tests[] = {
        CASE(map_over_everything),
        CASE(map_far_away),
        CASE(map_across_tables),
        CASE(map_ahead),
        CASE(map_last_ahead),
        CASE(map_shared_anonymous),
        CASE(unmap_in_a_huge_page),
        CASE(unmap_in_a_mark),
        CASE(unmap_small_pages),
        CASE(unmap_files),
        CASE(protect_in_a_huge_page),
        CASE(protect_small_pages),
        CASE(protect_all_of_it),
        CASE(dont_need_in_a_huge_page),
        CASE(dont_need_of_files),
        CASE(advise_no_huge),
        CASE(lock_in_a_huge_page),
        CASE(lock_files),
        CASE(move_small_pages),
        CASE(move_and_grow),
        CASE(move_and_shrink),
        CASE(move_a_huge_page),
        CASE(write_to_a_huge_page),
        CASE(write_to_a_small_page),
        CASE(write_to_a_new_page),
        CASE(write_to_a_private_file),
        CASE(write_to_a_shared_file),
        CASE(read_a_file),
        CASE(sync_a_file),
        CASE(fork_again),
        CASE(create_objects),
        CASE(create_space),
        CASE(move_the_break),
    };

    return cmocka_run_group_tests_name("without memory", tests, NULL, NULL);
}

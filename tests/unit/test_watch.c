/*
 * Hidden pages: what user mode can reach and what it cannot, by the MMU; writes that are seen; what fork
 * shares; names.
 */
#include "quire/watch.h"
#include "vm/object_internal.h"
#include "vm_support.h"

static bool reaches(struct space *space, uint64_t at, enum access access)
{
    struct paddr to;
    unsigned error;

    return mmu_access(space_mmu(space), vaddr(at), access, &to, &error);
}

static struct page_seen see(struct space *space, uint64_t at, enum access access)
{
    struct page_seen seen;

    assert_true(space_see(space, vaddr(at), access, &seen));
    return seen;
}

static bool sees(struct space *space, uint64_t at, enum access access)
{
    struct page_seen seen;

    return space_see(space, vaddr(at), access, &seen);
}

static struct space *begin(void)
{
    vm_watching = true;
    return new_space();
}

static void end(struct space *space)
{
    check_all(space);
    space_unref(space);
    vm_watching = false;
}

static void each_reference_is_seen_once(void **state)
{
    struct space *space = begin();
    uint64_t at = map_anon(space, 4, RW);

    put(space, at, 7);
    assert_true(reaches(space, at, ACCESS_WRITE));
    space_hide(space, vaddr(at));
    assert_false(reaches(space, at, ACCESS_READ));
    see(space, at, ACCESS_READ);
    assert_true(reaches(space, at, ACCESS_READ));
    assert_int_equal(get(space, at), 7);
    /* The first write is seen, too. */
    assert_false(reaches(space, at, ACCESS_WRITE));
    see(space, at, ACCESS_WRITE);
    assert_true(reaches(space, at, ACCESS_WRITE));
    space_hide(space, vaddr(at));
    see(space, at, ACCESS_WRITE);
    assert_true(reaches(space, at, ACCESS_READ));
    end(space);
}

static void what_is_not_there_is_the_handlers(void **state)
{
    struct space *space = begin();
    uint64_t at = map_anon(space, 4, RW), constant = map_anon(space, 1, ACCESS_READ);

    assert_false(sees(space, at, ACCESS_READ));
    space_hide(space, vaddr(at));
    put(space, at, 1);
    assert_false(sees(space, at, ACCESS_EXEC));
    get(space, at + PAGE_SIZE); /* the page of zeroes: a write must get a page first */
    space_hide(space, vaddr(at + PAGE_SIZE));
    assert_false(sees(space, at + PAGE_SIZE, ACCESS_WRITE));
    see(space, at + PAGE_SIZE, ACCESS_READ);
    put(space, at + PAGE_SIZE, 5);
    assert_int_equal(get(space, at + PAGE_SIZE), 5);
    get(space, constant);
    assert_false(sees(space, constant, ACCESS_WRITE));
    assert_status(try_put(space, constant, 1), ST_DENIED);
    assert_false(sees(space, 0, ACCESS_READ));
    assert_false(sees(space, SPACE_END, ACCESS_READ));
    end(space);
}

static void nothing_huge(void **state)
{
    struct space *space = begin();
    uint64_t at = map_at(space, 0x40000000, 2 * HUGE_SIZE / PAGE_SIZE, RW, 0);

    put(space, at, 1);
    see(space, at, ACCESS_WRITE);
    assert_false(sees(space, at + PAGE_SIZE, ACCESS_READ));
    end(space);
}

/* A shared table forbids writing, whatever its entries say: both sides must get their own. What they still
 * share is one page, a copy is another. */
static void fork_shares_and_parts(void **state)
{
    struct space *space = begin(), *child;
    uint64_t at = map_anon(space, 8, RW), first, second;

    put(space, at, 1);
    put(space, at + PAGE_SIZE, 2);
    first = see(space, at, ACCESS_READ).name;
    second = see(space, at + PAGE_SIZE, ACCESS_READ).name;
    assert_true(first > EVENT_PAGE_PRIVATE && second > EVENT_PAGE_PRIVATE && first != second);
    assert_ok(space_fork(space, &child));
    space_hide(child, vaddr(at));
    assert_true(see(child, at, ACCESS_READ).name == first);
    assert_false(sees(child, at, ACCESS_WRITE));
    put(child, at, 11);
    assert_int_equal(get(space, at), 1);
    assert_true(see(child, at, ACCESS_WRITE).name > second);
    assert_true(see(space, at, ACCESS_READ).name == first);
    assert_true(see(child, at + PAGE_SIZE, ACCESS_READ).name == second);
    assert_false(sees(child, at + PAGE_SIZE, ACCESS_WRITE));
    put(child, at + PAGE_SIZE, 12);
    assert_int_equal(get(space, at + PAGE_SIZE), 2);
    check_all(child);
    space_unref(child);
    end(space);
}

static void pages_of_objects_have_names(void **state)
{
    struct store *store = store_create(8 * PAGE_SIZE);
    struct object *object = store_object(store);
    struct space *space = begin();
    uint64_t shared = map_object(space, object, 0, 8, RW, SPACE_SHARED),
             private = map_object(space, object, 0, 8, RW, 0);
    uint64_t name = (uint64_t)object->id << 32;

    get(space, shared + 3 * PAGE_SIZE);
    get(space, private + 3 * PAGE_SIZE);
    assert_int_equal(see(space, shared + 3 * PAGE_SIZE, ACCESS_READ).name, name + 3);
    assert_int_equal(see(space, private + 3 * PAGE_SIZE, ACCESS_READ).name, name + 3);
    put(space, private + 3 * PAGE_SIZE, 9); /* a copy */
    assert_int_equal(see(space, private + 3 * PAGE_SIZE, ACCESS_READ).name & EVENT_PAGE_PRIVATE,
                     EVENT_PAGE_PRIVATE);
    /* A write that nobody was told of would never reach the store. */
    put(space, shared + 3 * PAGE_SIZE, 77);
    space_hide(space, vaddr(shared + 3 * PAGE_SIZE));
    assert_false(sees(space, shared + 3 * PAGE_SIZE, ACCESS_WRITE));
    see(space, shared + 3 * PAGE_SIZE, ACCESS_READ);
    put(space, shared + 3 * PAGE_SIZE, 78);
    assert_int_equal(get(space, shared + 3 * PAGE_SIZE), 78);
    end(space);
    object_unref(object);
    store_end(store);
}

/* A page is the same one wherever it lies, until it is freed, which is told once. */
static void a_page_and_its_end(void **state)
{
    struct space *space = begin();
    uint64_t at = map_anon(space, 1, RW), name;
    struct vaddr moved;

    put(space, at, 1);
    name = see(space, at, ACCESS_READ).name;
    assert_ok(space_move(space, vaddr(at), PAGE_SIZE, 8 * PAGE_SIZE, SPACE_MAY_MOVE, vaddr(0), &moved));
    assert_true(see(space, moved.v, ACCESS_READ).name == name);
    sim_events = (struct sim_events){0};
    host_watched = true;
    assert_ok(space_unmap(space, moved, PAGE_SIZE));
    put(space, moved.v + PAGE_SIZE, 1); /* nobody saw it */
    assert_ok(space_unmap(space, vaddr(moved.v + PAGE_SIZE), PAGE_SIZE));
    host_watched = false;
    assert_int_equal(sim_events.count[EVENT_GONE], 1);
    assert_true(sim_events.page == name && sim_events.value == 1);
    end(space);
}

static bool keep_one(struct space *space, struct vaddr page, void *context)
{
    return page.v == *(uint64_t *)context;
}

static void all_others_are_hidden(void **state)
{
    struct space *space = begin();
    uint64_t at = map_anon(space, 6, RW), kept = at + 2 * PAGE_SIZE;

    for (uint64_t i = 0; i < 6; i++)
        put(space, at + i * PAGE_SIZE, i);
    space_hide_others(space, vaddr(SPACE_START), vaddr(SPACE_END), keep_one, &kept);
    for (uint64_t i = 0; i < 6; i++)
        assert_int_equal(reaches(space, at + i * PAGE_SIZE, ACCESS_READ), i == 2);
    space_populated(space, at, at + 6 * PAGE_SIZE);
    assert_false(reaches(space, kept, ACCESS_READ));
    end(space);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, boot_vm_64m, end_vm)
    const struct CMUnitTest tests[] = {
        CASE(each_reference_is_seen_once), CASE(what_is_not_there_is_the_handlers), CASE(nothing_huge),
        CASE(fork_shares_and_parts),       CASE(pages_of_objects_have_names),       CASE(a_page_and_its_end),
        CASE(all_others_are_hidden),
    };

    return cmocka_run_group_tests_name("watch", tests, NULL, NULL);
}

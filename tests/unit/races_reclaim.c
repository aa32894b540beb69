/*
 * Reclaim on several CPUs, under TSan: programs that together are larger than memory, each a member with a
 * space of its own, that share an object and a file, fork, end and begin again, and change class, bounds and
 * advice; beside them the cleaner and load control. By every policy, in both scopes, with room in swap and
 * with swap full. Each CPU knows what it wrote, in its own pages and in its words of shared ones.
 *
 * QUIRE_RACES=N does N times as much, and every combination instead of one a policy.
 */
#include "races_support.h"
#include "swap_support.h"

#include <stdlib.h>
#include <unistd.h>

enum {
    OWN = 900, /* pages of each program: with the others' 3,700 in a machine of 2,048 frames */
    SHARED = 600,
    FILE_PAGES = 400,
    ROUNDS = 80,
    TRIES = 2000, /* to find memory */
    FULL_SLOTS = 400,
    FEW = 5 /* one policy in so many where memory ends, which takes its time */
};

/* A program, used by one CPU. */
struct program {
    struct space *space;
    uint32_t member;
    uint64_t own, shared, file;
    uint64_t written[OWN]; /* into the first words of its pages */
};

static struct program programs[CPUS + 1];
static uint64_t written_shared[CPUS + 1][SHARED];
static struct object *file_object;
static unsigned rounds, working;   /* working: a, CPUs that have not ended */
static unsigned memory_outs, ends; /* a */

/* ------------------------------------------------------------------ lives */

/* What finds no memory waits for others, as long as they have not all come to the same. */
static bool try_again(enum status status, unsigned *tries)
{
    if (status != ST_NO_MEMORY || ++*tries > TRIES)
        return false;
    if (reclaim(SWAP_CLUSTER) == 0)
        usleep(500);
    return true;
}

static enum status map_part(struct program *program, struct object *object, uint64_t pages, unsigned access,
                            unsigned flags, uint64_t *at)
{
    unsigned tries = 0;
    enum status status;

    do
        status = try_map(program->space, object, 0, 0, pages, access, flags, at);
    while (try_again(status, &tries));
    return status;
}

static void program_begin(struct worker *worker)
{
    struct program *program = &programs[worker->cpu];
    unsigned tries = 0;
    enum status status;

    memset(program->written, 0, sizeof(program->written));
    do
        status = space_create(&program->space);
    while (try_again(status, &tries));
    WRONG(status != ST_OK);
    space_set_layout(program->space, vaddr(0x7ffff7000000), vaddr(0x7ffffffde000), vaddr(0x7ffffffff000),
                     8 * MIB);
    program->member = member_create();
    WRONG(program->member == MEMBER_NOBODY);
    space_set_member(program->space, program->member);
    WRONG(map_part(program, NULL, OWN, RW, 0, &program->own) != ST_OK);
    WRONG(map_part(program, world.object, SHARED, RW, SPACE_SHARED, &program->shared) != ST_OK);
    WRONG(map_part(program, file_object, FILE_PAGES, ACCESS_READ, SPACE_SHARED, &program->file) != ST_OK);
}

static void program_end(struct worker *worker)
{
    struct program *program = &programs[worker->cpu];

    member_unref(program->member);
    space_unref(program->space);
    *program = (struct program){0};
    __atomic_fetch_add(&ends, 1, __ATOMIC_RELAXED);
}

/* As the kernel does it: who is out of memory ends, and another program begins. */
static bool is_out(struct worker *worker, enum status status)
{
    if (status != ST_NO_MEMORY)
        return false;
    __atomic_fetch_add(&memory_outs, 1, __ATOMIC_RELAXED);
    program_end(worker);
    program_begin(worker);
    return true;
}

/* ------------------------------------------------------------------ what they do */

static void write_page(struct worker *worker, uint64_t page, uint64_t round)
{
    struct program *program = &programs[worker->cpu];
    enum status status = try_put(program->space, program->own + page * PAGE_SIZE, round);

    if (is_out(worker, status))
        return;
    WRONG(status != ST_OK);
    program->written[page] = round;
}

/* A few pages in a row, so that after some time all have been written to. */
static void write_own(struct worker *worker, uint64_t round)
{
    uint64_t page = random_below(&worker->random, OWN - 16);

    for (uint64_t i = 0; i < 16; i++)
        write_page(worker, page + i, round + i);
}

static void read_own(struct worker *worker)
{
    struct program *program = &programs[worker->cpu];
    uint64_t page = random_below(&worker->random, OWN), word = 0;
    enum status status = sim_read(program->space, program->own + page * PAGE_SIZE, &word, 8, NULL);

    if (is_out(worker, status))
        return;
    WRONG(status != ST_OK || word != program->written[page]);
}

static void use_shared(struct worker *worker, uint64_t round)
{
    struct program *program = &programs[worker->cpu];
    uint64_t page = random_below(&worker->random, SHARED), word = 0;
    uint64_t at = program->shared + page * PAGE_SIZE + 64 * worker->cpu;
    enum status status = sim_read(program->space, at, &word, 8, NULL);

    if (is_out(worker, status))
        return;
    WRONG(status != ST_OK || word != written_shared[worker->cpu][page]);
    status = try_put(program->space, at, round);
    if (is_out(worker, status))
        return;
    WRONG(status != ST_OK);
    written_shared[worker->cpu][page] = round;
}

static void read_file(struct worker *worker)
{
    struct program *program = &programs[worker->cpu];
    uint64_t page = random_below(&worker->random, FILE_PAGES), word = 0;
    enum status status = sim_read(program->space, program->file + page * PAGE_SIZE, &word, 8, NULL);

    if (is_out(worker, status))
        return;
    WRONG(status != ST_OK || word != page + 1);
}

/* The child, of the same member, sees what was there and changes some of it for itself. */
static void use_child(struct worker *worker)
{
    struct program *program = &programs[worker->cpu];
    struct space *child;
    enum status status = space_fork(program->space, &child);

    if (is_out(worker, status))
        return;
    WRONG(status != ST_OK);
    for (unsigned i = 0; i < 10; i++) {
        uint64_t page = random_below(&worker->random, OWN), word = 0;

        status = sim_read(child, program->own + page * PAGE_SIZE, &word, 8, NULL);
        WRONG(status != ST_NO_MEMORY && (status != ST_OK || word != program->written[page]));
        (void)!try_put(child, program->own + page * PAGE_SIZE, 1);
    }
    space_unref(child);
}

static void change_member(struct worker *worker)
{
    static const enum scope_class classes[] = {CLASS_ORDINARY, CLASS_VIP, CLASS_VVIP};
    uint32_t member = programs[worker->cpu].member;

    switch (random_below(&worker->random, 4)) {
    case 0:
        (void)!member_set_class(member, classes[random_below(&worker->random, 3)],
                                random_below(&worker->random, 300));
        break;
    case 1:
        member_set_bounds(member, 300 + random_below(&worker->random, 1000),
                          600 + random_below(&worker->random, 1000));
        break;
    case 2:
        member_set_bounds(member, UINT64_MAX, UINT64_MAX);
        break;
    default:
        (void)member_shrink(member, random_below(&worker->random, 100));
    }
}

static void advise(struct worker *worker)
{
    struct program *program = &programs[worker->cpu];
    uint64_t page = random_below(&worker->random, OWN - 20), at = program->own + page * PAGE_SIZE;

    switch (random_below(&worker->random, 4)) {
    case 0:
        WRONG(space_advise(program->space, vaddr(at), 20 * PAGE_SIZE, ADVICE_DONT_NEED) != ST_OK);
        memset(&program->written[page], 0, 20 * sizeof(program->written[0]));
        break;
    case 1:
        space_page_out(program->space, vaddr(at), 20 * PAGE_SIZE);
        break;
    case 2:
        space_forget_references(program->space, vaddr(at), vaddr(at + 20 * PAGE_SIZE));
        break;
    default:
        (void)!space_lock(program->space, vaddr(at), 5 * PAGE_SIZE, true);
        (void)!space_lock(program->space, vaddr(at), 5 * PAGE_SIZE, false);
    }
}

static void step(struct worker *worker, uint64_t round)
{
    switch (random_below(&worker->random, 80)) {
    case 0:
        program_end(worker);
        program_begin(worker);
        break;
    case 1:
        use_child(worker);
        break;
    case 2:
    case 3:
        change_member(worker);
        break;
    case 4:
    case 5:
        advise(worker);
        break;
    case 6:
        reclaim_ran(programs[worker->cpu].space);
        break;
    default:
        for (unsigned i = 0; i < 4; i++) {
            write_own(worker, round);
            read_own(worker);
        }
        use_shared(worker, round);
        read_file(worker);
    }
}

static void work_body(struct worker *worker)
{
    program_begin(worker);
    for (uint64_t round = 1; round <= rounds && world.failures == 0; round++)
        step(worker, round);
    program_end(worker);
}

/* ------------------------------------------------------------------ the kernel's threads */

static bool somebody_works(void)
{
    return __atomic_load_n(&working, __ATOMIC_ACQUIRE) > 0;
}

static void clean_body(struct worker *worker)
{
    while (somebody_works())
        reclaim_background();
}

/* The members' programs go on meanwhile, which a kernel would hold: what they bring back is nobody's. */
static void balance_body(struct worker *worker)
{
    uint32_t member = MEMBER_NOBODY;

    while (somebody_works()) {
        switch (reclaim_balance(1000, &member)) {
        case SWAP_OUT:
            reclaim_swap_out(member);
            break;
        case SWAP_IN:
            reclaim_swap_in(member);
            break;
        case SWAP_NOTHING:
            usleep(1000);
        }
        reclaim_call_cleaner();
    }
}

/* ------------------------------------------------------------------ a machine's run */

static void *start_worker(void *argument)
{
    struct worker *worker = argument;

    sim_become_cpu(worker->cpu);
    worker->body(worker);
    frames_drain();
    if (worker->body == work_body)
        __atomic_fetch_sub(&working, 1, __ATOMIC_RELEASE);
    return NULL;
}

static void run_all(void)
{
    struct worker workers[CPUS + 2];

    world.failures = 0;
    working = CPUS;
    for (unsigned i = 0; i < CPUS + 2; i++) {
        workers[i] = (struct worker){.cpu = i + 1,
                                     .random = {i + 7},
                                     .body = i < CPUS    ? work_body
                                             : i == CPUS ? clean_body
                                                         : balance_body};
        assert_int_equal(pthread_create(&workers[i].thread, NULL, start_worker, &workers[i]), 0);
    }
    for (unsigned i = 0; i < CPUS; i++)
        pthread_join(workers[i].thread, NULL);
    reclaim_call_cleaner();
    for (unsigned i = CPUS; i < CPUS + 2; i++) {
        reclaim_call_cleaner();
        pthread_join(workers[i].thread, NULL);
    }
    assert_int_equal(world.failures, 0);
}

static void machine(const struct policy_type *type, const struct scope_config *scope, bool control_load,
                    uint32_t slots)
{
    struct policy_config config = {.seed = 7};
    struct reclaim_report report;
    struct store *store;
    unsigned before = memory_outs;

    host_log("%s, %s scope, rule %u", type->name, scope_kind_names[scope->kind], scope->rule);
    boot_vm_8m(NULL);
    swap_test_begin(slots);
    note_free_frames();
    policy_standard(type, &config);
    assert_ok(reclaim_configure(type, &config, scope));
    if (control_load)
        reclaim_control_load();
    swap_test.slow_us = 20;
    world.object = object_create(NULL, NULL, SHARED * PAGE_SIZE);
    store = store_create(FILE_PAGES * PAGE_SIZE);
    file_object = store_object(store);
    memset(written_shared, 0, sizeof(written_shared));
    run_all();
    swap_check();
    reclaim_check();
    reclaim_look(&report);
    assert_true(report.evicted > 0);
    assert_true(slots == FULL_SLOTS || memory_outs - before < 20);
    object_unref(file_object);
    object_unref(world.object);
    store_end(store);
    assert_int_equal(end_swap(NULL), 0);
}

static const struct scope_config scopes[] = {
    {.kind = SCOPE_GLOBAL, .turn = 20000},
    {.kind = SCOPE_LOCAL, .rule = SCOPE_EQUAL, .turn = 20000},
    {.kind = SCOPE_LOCAL,
     .rule = SCOPE_PFF,
     .pff_low = 100,
     .pff_high = 1000,
     .pff_window = 5000,
     .turn = 20000},
    {.kind = SCOPE_LOCAL, .rule = SCOPE_PROPORTIONAL, .strict = true, .turn = 20000},
};
enum { SCOPES = sizeof(scopes) / sizeof(scopes[0]) };

static unsigned factor(void)
{
    const char *text = getenv("QUIRE_RACES");
    long value = text ? strtol(text, NULL, 10) : 1;

    return value > 1 ? (unsigned)value : 1;
}

/* Every one, or every n-th. */
static void each_policy(uint32_t slots, unsigned every)
{
    unsigned number = 0;

    rounds = ROUNDS * factor();
    for (const struct policy_type *const *type = policy_types; *type; type++) {
        if ((*type)->needs != POLICY_BITS)
            continue;
        for (unsigned scope = 0; scope < SCOPES; scope++)
            if (factor() > 1 || (scope == number / every % SCOPES && number % every == 0))
                machine(*type, &scopes[scope], (number + scope) % 3 != 0, slots);
        number++;
    }
    host_log("%u programs ended, %u for want of memory", ends, memory_outs);
}

static void with_room_in_swap(void **state)
{
    each_policy(4000, 1);
}

static void with_swap_full(void **state)
{
    each_policy(FULL_SLOTS, FEW);
    assert_true(memory_outs > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(with_room_in_swap),
        cmocka_unit_test(with_swap_full),
    };

    return cmocka_run_group_tests_name("reclaim on several CPUs", tests, NULL, NULL);
}

/*
 * What the cases of the page-table library begin with: a machine with an empty table, in every way of
 * reaching tables, and calls with the promise ignored.
 */
#ifndef PT_FIXTURE_H
#define PT_FIXTURE_H

#include "support.h"

#include "pt_model.h"

/* A machine and an empty table; each case runs once in every way. */
struct fixture {
    struct machine *machine;
    struct pt_alloc alloc;
    struct pt pt;
    enum machine_way way;
    struct pt_counts at_first; /* slots in the same table are pages of it */
};

static inline void fixture_open(struct fixture *fixture, enum machine_way way)
{
    fixture->machine = machine_create();
    fixture->alloc = machine_alloc(fixture->machine);
    fixture->way = way;
    fixture->pt = machine_table(fixture->machine, way, &fixture->alloc);
    fixture->pt.alloc = &fixture->alloc;
    assert_ok(pt_check(&fixture->pt, NULL, &fixture->at_first));
}

static inline void fixture_close(struct fixture *fixture)
{
    struct pt_broken broken;

    assert_ok(pt_check(&fixture->pt, &broken, NULL));
    machine_destroy(fixture->machine);
}

#define IN_EVERY_WAY(name)                                                                                   \
    static void name##_in(struct fixture *f);                                                                \
    static void name(void **state)                                                                           \
    {                                                                                                        \
        for (unsigned way = 0; way < WAY_COUNT; way++) {                                                     \
            struct fixture fixture;                                                                          \
            if (way == WAY_RECURSIVE && !PT_HAS_RECURSIVE)                                                   \
                continue;                                                                                    \
            fixture_open(&fixture, (enum machine_way)way);                                                   \
            name##_in(&fixture);                                                                             \
            fixture_close(&fixture);                                                                         \
        }                                                                                                    \
    }                                                                                                        \
    static void name##_in(struct fixture *f)

static inline enum status map(struct fixture *f, uint64_t start, uint64_t to, uint64_t bytes,
                              enum pt_size size)
{
    struct pt_map request = {.start = vaddr(start),
                             .to = paddr(to),
                             .length_bytes = bytes,
                             .flags = pt_flags(PT_FLAG_WRITE),
                             .size = size};

    return pt_flush_ignore(pt_map(&f->pt, &request));
}

static inline enum status mark(struct fixture *f, uint64_t start, uint64_t bytes, uint64_t value)
{
    struct pt_map request = {.start = vaddr(start), .length_bytes = bytes, .mark = {value}};

    return pt_flush_ignore(pt_map(&f->pt, &request));
}

static inline struct pt_translation translate(struct fixture *f, uint64_t address, enum status expected)
{
    struct pt_translation translation = {.level = 0};

    assert_status(pt_translate(&f->pt, vaddr(address), &translation), expected);
    return translation;
}

#define FOUR_GIB ((uint64_t)4 << 30)

#endif

/*
 * What the tests of src/vm share: a machine with spaces, a store whose failures and delays the test decides,
 * short forms for mapping and touching, and pictures of a space to compare.
 */
#ifndef TESTS_VM_SUPPORT_H
#define TESTS_VM_SUPPORT_H

#include "base/check.h"
#include "support.h"

#include "quire/reclaim.h"
#include "quire/slab.h"

/* cmocka setups: a machine with src/vm running. The teardown checks everything, and that all frames are free
 * again that were free before the case: a case ends the spaces and objects that it made. */
int boot_vm_8m(void **state);
int boot_vm_64m(void **state);
int end_vm(void **state);
/* The frames that are free now are those that must be free at the end. */
void note_free_frames(void);

/* A space with a layout as exec sets it; the test ends it by space_unref(). */
struct space *new_space(void);
/* space_check(), object_check() of all objects, slab_check(), frames_check(). */
void check_all(struct space *space);

/* ------------------------------------------------------------------ mapping and touching */

#define RW (ACCESS_READ | ACCESS_WRITE)
#define RX (ACCESS_READ | ACCESS_EXEC)

enum status try_map(struct space *space, struct object *object, uint64_t first, uint64_t at, uint64_t pages,
                    unsigned access, unsigned flags, uint64_t *out);
/* These fail the test when they fail. */
uint64_t map_anon(struct space *space, uint64_t pages, unsigned access);
uint64_t map_at(struct space *space, uint64_t at, uint64_t pages, unsigned access, unsigned flags);
uint64_t map_object(struct space *space, struct object *object, uint64_t first, uint64_t pages,
                    unsigned access, unsigned flags);
void unmap(struct space *space, uint64_t at, uint64_t pages);

/* One word through the MMU. */
void put(struct space *space, uint64_t at, uint64_t word);
uint64_t get(struct space *space, uint64_t at);
enum status try_put(struct space *space, uint64_t at, uint64_t word);
enum status try_get(struct space *space, uint64_t at);

/* ------------------------------------------------------------------ a store under the test's control */

struct store {
    unsigned char *bytes;                   /* what the store has */
    uint64_t size;                          /* bytes */
    uint64_t fail_reads_at, fail_writes_at; /* the page that cannot be transferred; UINT64_MAX: none */
    unsigned slow_us;                       /* each transfer takes that long */
    uint64_t reads, writes, pages_read, pages_written;
    bool released;
};

/* Page i begins with the word i + 1; the rest is a pattern. store_end() frees it, and checks that the object
 * has died. */
struct store *store_create(uint64_t size);
struct object *store_object(struct store *store);
void store_end(struct store *store);
uint64_t store_word(const struct store *store, uint64_t page);

/* ------------------------------------------------------------------ pictures of a space */

/* The regions, without what a fault may change (residency). */
struct picture {
    unsigned count;
    struct space_region regions[64];
    uint64_t mapped_bytes;
};

void picture_take(struct space *space, struct picture *picture);
void picture_compare(const struct picture *before, const struct picture *after);
/* Bytes of every readable page, in order; the caller frees. Pages that cannot be read count as such. */
uint64_t contents_hash(struct space *space);

#endif

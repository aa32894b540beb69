/*
 * What the tests of the runtime share: a pager for each, stores that fail when they are told to, a shadow of
 * what memory must hold.
 */
#ifndef TESTS_RUNTIME_SUPPORT_H
#define TESTS_RUNTIME_SUPPORT_H

#include <stdatomic.h>

#include "quire/quire.h"
#include "tests/case.h"

/* A pager, or the case is skipped where this kernel has no way to page. */
struct quire_pager *open_pager(uint64_t memory_bytes, const char *policy);
struct quire_pager *open_pager_with(const struct quire_options *options);
/* Checked, and closed; the store too. */
void close_all(struct quire_pager *pager, struct store *store);

void *map(struct quire_pager *pager, struct store *store, uint64_t length, unsigned flags);

/* By its name (docs/RUNTIME.md); the case is skipped where its kind is not built. */
struct store *open_store(const char *name, uint64_t length);

/* A store over memory that can be told to misbehave. */
struct faulty {
    struct store base;
    struct store *below;
    _Atomic uint64_t fail_reads, fail_writes; /* pages whose number modulo this is 0 fail; 0: none */
    _Atomic int error;                        /* enum status */
    _Atomic uint64_t delay_ns;                /* of each request */
    _Atomic bool hangs;                       /* requests do not end, until it is false again */
    _Atomic uint64_t reads, writes, flushes;
    _Atomic(struct store_request *) held; /* requests that hang, or wait for poll */
};
/* `only_requests`: no transfer, so that everything goes by submit and poll. */
struct faulty *faulty_store(uint64_t pages, bool only_requests);

/* Random 8-byte reads and writes of `threads` threads at once, each of words of its own on pages that all
 * share, checked against a shadow; then everything is looked at once more. `shadow`: length bytes, what
 * memory holds. */
void work_on(void *memory, uint64_t *shadow, uint64_t length, unsigned threads, uint64_t steps,
             uint64_t seed);

/* The same for a case that has something to end before it fails: NULL, or which word of which page was wrong,
 * and how. */
const char *work_differs(void *memory, uint64_t *shadow, uint64_t length, unsigned threads, uint64_t steps,
                         uint64_t seed);
const char *words_differ(const uint64_t *memory, const uint64_t *expected, uint64_t length);

/* The access ends in SIGBUS, which comes to the program's own handler. */
bool read_is_sigbus(const volatile uint8_t *address);
bool write_is_sigbus(volatile uint8_t *address);

#endif

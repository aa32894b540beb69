/*
 * The full-fidelity mode: a trace runs on the core itself.
 *
 * Each process is an address space of src/vm over page tables in a simulated physical memory, and each
 * reference is an access of the software MMU (src/host/sim), with translation caches of the shape asked for.
 * So reference and dirty bits, walks, flushes and tables are those of the code that the kernel boots. A page
 * that comes in is a page fault; the policy sees reference bits as the MMU sets them, when it harvests them,
 * and as in a kernel they are cleared without a flush: a page whose translation stays cached looks unused
 * until it is walked for again.
 *
 * This header knows nothing of the core, so that the command can include it.
 */
#ifndef QUIRE_SIM_FULL_FULL_H
#define QUIRE_SIM_FULL_FULL_H

#include "quire/policy.h"
#include "sim/trace.h"

enum {
    FULL_PAGE = 4096,
    FULL_ADDRESS_BITS = 47, /* of user memory */
    FULL_WALK_LEVELS = 5    /* walk caches by level, 2 … 4 */
};

/* The shape of the translation caches. */
struct full_tlb {
    unsigned entries, ways;               /* first level, 4 KiB pages */
    unsigned huge_entries, huge_ways;     /* first level, 2 MiB pages */
    unsigned second_entries, second_ways; /* second level, both; 0: none */
    unsigned walk[FULL_WALK_LEVELS]; /* entries of levels 2 (PDE), 3 (PDPTE), 4 (PML4E) that are cached */
    unsigned asids;                  /* spaces with entries at a time; 1: a switch empties all; 0: any */
};

/*
 * "entries=64,ways=4,huge=32,huge-ways=4,second=1536,second-ways=12,pde=32,pdpte=4,pml4e=2,asids=4096", or
 * some of them; what is not named is 64 entries, 32 huge ones, and nothing else; ways: all of the bank's
 * entries. "skylake" at the beginning stands for that machine's. False: *at and *length are the part that is
 * wrong, *expected what should be there.
 */
bool full_tlb_parse(const char *text, struct full_tlb *tlb, size_t *at, size_t *length,
                    const char **expected);

struct full_process {
    struct trace *trace; /* of 4 KiB pages; can be rewound */
};

struct full_config {
    struct full_tlb tlb;
    bool huge_pages;                /* 2 MiB wherever memory is touched; then `frames` is 0 */
    uint32_t frames;                /* for pages; 0: for all that are ever touched */
    const struct policy_type *type; /* POLICY_BITS; if `frames` is not 0 */
    uint64_t options[POLICY_OPTIONS];
    uint64_t seed;
    uint64_t tick;                                /* references between two policy_tick(); 0: never */
    uint64_t quantum;                             /* references of a process's turn, at least 1 */
    void (*progress)(void *context, double part); /* now and then, 0 … 1; may be NULL */
    void *context;
};

struct full_result {
    struct policy_tally tally; /* faults: pages (or huge pages) that came in */
    uint64_t tlb_hits;         /* references whose translation was cached */
    uint64_t second_hits;      /* of these, in the second level */
    uint64_t walks;            /* of tables, also those that end in a fault or set a dirty bit */
    uint64_t walk_reads;       /* entries of tables that were read from memory */
    uint64_t walk_cache_hits[FULL_WALK_LEVELS]; /* walks that began below that level */
    uint64_t switches, lost_spaces; /* to another process; and spaces whose entries went for want of ASIDs */
    uint64_t flushes;               /* of pages and of more */
    uint64_t tables;                /* frames that are page tables with a page below them, at the end */
    uint64_t pages, huge_pages;     /* that were touched; huge ones made */
};

/* Runs the traces from their beginnings to their ends, in turns. False with *error. One at a time: there is
 * one simulated full. */
bool full_run(const struct full_config *config, const struct full_process *processes, uint32_t count,
              struct full_result *result, struct trace_error *error);

#endif

/*
 * The machine that hosted tests run on: physical memory, CPUs, and an MMU in software.
 */
#ifndef QUIRE_HOST_SIM_H
#define QUIRE_HOST_SIM_H

#include <setjmp.h>

#include "quire/frame.h"
#include "quire/space.h"

/* ------------------------------------------------------------------ the machine (port.c) */

/*
 * A new machine with `bytes` of physical memory, laid out like a PC's: usable to 639 KiB, a hole to 1 MiB, a
 * kernel of 64 KiB at 1 MiB, usable from there, ACPI tables in the last 16 KiB. The one before is forgotten,
 * with everything in it. Ends with frames_init(). The caller is CPU 0.
 */
void sim_boot(uint64_t bytes);
/* The arena alone, with this map; no frames_init(). Memory that the map does not have cannot be touched. */
void sim_boot_map(const struct memory_map *map);
void sim_shutdown(void);
/* A zeroed level-4 table to be given to vm_init(). */
struct paddr sim_kernel_root(void);

/* This thread is CPU `number` from now on; each CPU is one thread's. Threads begin as CPU 0. */
void sim_become_cpu(unsigned number);

/* How many threads are in host_sleep() just now. */
unsigned sim_sleepers(void);

/* So much of the time was not worked: host_worked_ns() is less by it, and goes back when it grows. */
extern uint64_t sim_not_worked_ns;

/* ------------------------------------------------------------------ panics that a test expects */

extern _Thread_local jmp_buf *sim_panic_jump; /* not NULL: host_panic() ends there */
extern char sim_panic_message[512];

/* True when `statement` ended in host_panic() with a message that contains `part`. Locks that it held stay
 * held: boot a new machine afterwards. */
#define SIM_PANICS(statement, part)                                                                          \
    __extension__({                                                                                          \
        jmp_buf sim_here;                                                                                    \
        volatile bool sim_panicked = false;                                                                  \
        sim_panic_jump = &sim_here;                                                                          \
        if (setjmp(sim_here) == 0) {                                                                         \
            statement;                                                                                       \
        } else {                                                                                             \
            sim_panicked = strstr(sim_panic_message, part) != NULL;                                          \
        }                                                                                                    \
        sim_panic_jump = NULL;                                                                               \
        sim_panicked;                                                                                        \
    })

/* ------------------------------------------------------------------ events (port.c) */

/* What host_event() was told while a test had host_watched set: how many of each kind, and the last one. */
extern struct sim_events {
    uint64_t count[EVENT_KINDS];
    uint64_t page, value;
} sim_events;

/* ------------------------------------------------------------------ the software MMU (mmu.c, tlb.c) */

struct sim_tlb_bank {
    unsigned entries, ways; /* entries / ways: a power of two */
};
enum { SIM_TLB_MOST = 1 << 16, SIM_WALK_LEVELS = 5 };

/* The shape of each CPU's translation caches. */
struct sim_tlb_config {
    struct sim_tlb_bank small;      /* first level, 4 KiB pages */
    struct sim_tlb_bank huge;       /* first level, larger pages */
    struct sim_tlb_bank second;     /* second level, 4 KiB and 2 MiB; entries 0: none */
    unsigned walk[SIM_WALK_LEVELS]; /* entries of the walk caches, by the level of what they hold: 2 … 4 */
    unsigned asids;                 /* spaces that may have entries at a time; 0: any number; 1: a switch of
                                       spaces empties everything */
};
/* What sim_boot() sets: 64 entries of 2 ways, 4 for large pages, one walk cache of 8. */
extern const struct sim_tlb_config sim_tlb_standard;

/* Is it one that can be built? */
MUST_USE bool sim_tlb_possible(const struct sim_tlb_config *config);
/* All TLBs are new ones, and sim_mmu_count() begins at 0. No other thread may access memory meanwhile. */
void sim_tlb_configure(const struct sim_tlb_config *config);

enum mmu_error {
    MMU_PRESENT = 1, /* the bits of the x86 page-fault error code */
    MMU_WRITE = 2,
    MMU_USER = 4,
    MMU_RESERVED = 8,
    MMU_FETCH = 16
};

/*
 * Translates one access of user code as the hardware would, through this CPU's TLB. False: a page fault, with
 * the hardware's error code in *error (may be NULL). True: *out is the physical address; the access must be
 * made before anybody may flush, so threads use sim_read() and sim_write() instead.
 */
bool mmu_access(struct host_mmu *mmu, struct vaddr address, enum access access, struct paddr *out,
                unsigned *error);
/* The same for supervisor code (the kernel's own mappings). */
bool mmu_access_kernel(struct host_mmu *mmu, struct vaddr address, enum access access, struct paddr *out,
                       unsigned *error);

/* One access of user code inside one page, done before anybody can flush. False: a page fault. */
bool mmu_transfer(struct host_mmu *mmu, struct vaddr address, enum access access, void *buffer, size_t bytes);

/*
 * What a program does (program.c): access memory page by page through the MMU, call space_fault() on a page
 * fault and try again. Stops at the first fault that cannot be served and gives its status; *done (may be
 * NULL) bytes were transferred before it. The CPU's accesses to one aligned word are atomic, as on the
 * hardware.
 */
MUST_USE enum status sim_read(struct space *space, uint64_t from, void *to, size_t bytes, size_t *done);
MUST_USE enum status sim_write(struct space *space, uint64_t to, const void *from, size_t bytes,
                               size_t *done);
/* An instruction fetch of one byte. */
MUST_USE enum status sim_fetch(struct space *space, uint64_t from, unsigned char *to);

struct sim_mmu_counts {
    uint64_t hits;                             /* in the TLB, of either level */
    uint64_t second_hits;                      /* of these, in the second */
    uint64_t walks;                            /* all others, and writes that must set a dirty bit */
    uint64_t walk_reads;                       /* entries of tables that walks read from memory */
    uint64_t walk_cache_hits[SIM_WALK_LEVELS]; /* walks that began below an entry of this level */
    uint64_t faults;
    uint64_t switches,
        lost_spaces; /* to another space; and spaces that lost their entries for want of ASIDs */
    uint64_t flushed_pages, flushed_ranges, flushed_spaces, flushed_all;
};
/* Since sim_boot() or sim_tlb_configure(), all CPUs' together. No other thread may access memory meanwhile.
 */
void sim_mmu_count(struct sim_mmu_counts *out);

#endif

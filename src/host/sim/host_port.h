/*
 * The hosted port: physical memory is one mmap'd arena, a CPU is a thread, the MMU is software.
 *
 * Included by host/host.h only. What tests call besides is in host/sim/sim.h.
 */
#ifndef QUIRE_HOST_SIM_PORT_H
#define QUIRE_HOST_SIM_PORT_H

#include <string.h>

enum { HOST_MAX_CPUS = 8 };

/* What the software MMU knows of an address space: the root of its tables, and the number that its entries in
 * TLBs carry. */
struct host_mmu {
    struct paddr root;
    uint32_t tag; /* never given twice; 0: destroyed */
};

extern unsigned char *sim_arena; /* physical address 0; holes are not accessible */
extern uint64_t sim_arena_bytes;
extern _Thread_local unsigned sim_cpu;

_Noreturn void sim_bad_address(const char *what, uint64_t value);
void sim_lock_rank_check(unsigned rank);
extern _Thread_local uint16_t sim_held[RANK_LOG + 1]; /* spin locks that this thread holds, by rank */
void sim_spin(void);

static inline void *host_at(struct paddr p)
{
    if (__builtin_expect(p.v >= sim_arena_bytes, 0))
        sim_bad_address("host_at: physical address", p.v);
    return sim_arena + p.v;
}

static inline struct paddr host_paddr(const void *at)
{
    uint64_t offset = (uint64_t)((const unsigned char *)at - sim_arena);

    if (__builtin_expect(offset >= sim_arena_bytes, 0))
        sim_bad_address("host_paddr: offset in the arena", offset);
    return paddr(offset);
}

static inline unsigned host_cpu(void)
{
    return sim_cpu;
}

static inline void host_zero_page(void *page)
{
    memset(page, 0, PAGE_SIZE);
}

static inline void host_copy_page(void *to, const void *from)
{
    memcpy(to, from, PAGE_SIZE);
}

static inline void host_copy_entries(void *to, const void *from)
{
    const uint64_t *source = from;
    uint64_t *target = to;

    for (unsigned i = 0; i < PAGE_SIZE / sizeof *source; i++)
        target[i] = __atomic_load_n(&source[i], __ATOMIC_RELAXED);
}

/* spinlock.taken: bit 0 is the lock, bits 24 and up the rank. */
static inline void lock_init(struct spinlock *lock, enum lock_rank rank)
{
    __atomic_store_n(&lock->taken, (uint32_t)rank << 24, __ATOMIC_RELAXED);
}

static inline void lock_take(struct spinlock *lock)
{
    uint32_t rank = __atomic_load_n(&lock->taken, __ATOMIC_RELAXED) >> 24;
    uint32_t free = rank << 24;

    sim_lock_rank_check(rank);
    while (!__atomic_compare_exchange_n(&lock->taken, &free, free | 1, false, __ATOMIC_ACQUIRE,
                                        __ATOMIC_RELAXED)) {
        free = rank << 24;
        sim_spin();
    }
    sim_held[rank]++;
}

/* Takes it if it is free. Exempt from the order of ranks: it waits for nobody. */
static inline bool lock_try(struct spinlock *lock)
{
    uint32_t free = __atomic_load_n(&lock->taken, __ATOMIC_RELAXED) & ~(uint32_t)1;

    if (!__atomic_compare_exchange_n(&lock->taken, &free, free | 1, false, __ATOMIC_ACQUIRE,
                                     __ATOMIC_RELAXED))
        return false;
    sim_held[free >> 24]++;
    return true;
}

static inline void host_relax(void)
{
    sim_spin();
}

static inline void lock_drop(struct spinlock *lock)
{
    uint32_t taken = __atomic_load_n(&lock->taken, __ATOMIC_RELAXED);

    if (__builtin_expect((taken & 1) == 0 || sim_held[taken >> 24] == 0, 0))
        sim_bad_address("lock_drop: not taken by this CPU", taken);
    sim_held[taken >> 24]--;
    __atomic_store_n(&lock->taken, taken & ~(uint32_t)1, __ATOMIC_RELEASE);
}

#endif

/*
 * The booted kernel's port of host.h: what must be inline.
 *
 * Physical memory is reached through the complete map at PHYS_OFFSET (a build option). Locks are real spin
 * locks: a byte that is exchanged. With QUIRE_DEBUG their ranks are kept beside it and checked per CPU.
 */
#ifndef QUIRE_HOST_PORT_H
#define QUIRE_HOST_PORT_H

#include "kernel/mm/layout.h"
#include "kernel/x86/x86.h"

enum { HOST_MAX_CPUS = 8 };

/* Translation state of one address space. A PCID is good while `generation` is the CPU's (kernel/mm/mmu.c).
 */
struct host_mmu {
    struct paddr root;
    uint32_t pcid;
    uint64_t generation; /* 0: the next load of CR3 must flush */
};

static inline void *host_at(struct paddr p)
{
    return (void *)(p.v + PHYS_OFFSET);
}

/* The inverse, and also for addresses within the kernel's image. */
static inline struct paddr host_paddr(const void *at)
{
    uint64_t address = (uint64_t)at;

    return paddr(address >= KERNEL_BASE ? address - KERNEL_BASE : address - PHYS_OFFSET);
}

static inline unsigned host_cpu(void)
{
    unsigned number;

    __asm__("movl %%gs:40, %0" : "=r"(number));
    return number;
}

/* kernel/x86/page.S; which one is decided by host_port_init(). */
extern void (*host_zero_page_with)(void *page);
extern void (*host_copy_page_with)(void *to, const void *from);

static inline void host_zero_page(void *page)
{
    host_zero_page_with(page);
}

static inline void host_copy_page(void *to, const void *from)
{
    host_copy_page_with(to, from);
}

/* The copies are by aligned vectors of two or four words, each of which x86 reads whole. */
static inline void host_copy_entries(void *to, const void *from)
{
    host_copy_page_with(to, from);
}

/* Once, before anything sleeps or is zeroed. */
void host_port_init(void);

void lock_wait(struct spinlock *lock);
#ifdef QUIRE_DEBUG
void lock_check_take(const struct spinlock *lock);
void lock_note_take(const struct spinlock *lock);
void lock_note_drop(const struct spinlock *lock);
#else
static inline void lock_check_take(const struct spinlock *lock)
{
}
static inline void lock_note_take(const struct spinlock *lock)
{
}
static inline void lock_note_drop(const struct spinlock *lock)
{
}
#endif

/* The lowest byte is the lock, the next one its rank. */
static inline void lock_init(struct spinlock *lock, enum lock_rank rank)
{
    lock->taken = (uint32_t)rank << 8;
}

static inline void lock_take(struct spinlock *lock)
{
    lock_check_take(lock);
    if (__builtin_expect(__atomic_exchange_n((uint8_t *)&lock->taken, 1, __ATOMIC_ACQUIRE) != 0, 0))
        lock_wait(lock);
    lock_note_take(lock);
}

/* Exempt from the order of ranks: it never waits. */
static inline bool lock_try(struct spinlock *lock)
{
    if (__atomic_exchange_n((uint8_t *)&lock->taken, 1, __ATOMIC_ACQUIRE) != 0)
        return false;
    lock_note_take(lock);
    return true;
}

static inline void host_relax(void)
{
    __builtin_ia32_pause();
}

static inline void lock_drop(struct spinlock *lock)
{
    lock_note_drop(lock);
    __atomic_store_n((uint8_t *)&lock->taken, 0, __ATOMIC_RELEASE);
}

#endif

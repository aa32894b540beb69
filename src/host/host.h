/*
 * What the core asks of the place it runs in. One header, one port per place, chosen when
 * linking: kernel/ (the booted kernel), sim/ (hosted tests and the simulator).
 *
 * The cheap things are inline functions in the port's host_port.h, which the build's
 * include path selects:
 *
 *   void *host_at(struct paddr p)          the address at which physical memory can be reached
 *   struct paddr host_paddr(const void *)  its inverse
 *   unsigned host_cpu(void)                number of the running CPU, below HOST_MAX_CPUS
 *   void host_zero_page(void *page)        4 KiB, aligned
 *   void host_copy_page(void *to, const void *from)
 *   void host_copy_entries(void *to, const void *from)  the same for a page table that an MMU may be marking
 *   lock_init/lock_take/lock_drop          spin locks with a rank, see docs/LOCKING.md
 *   bool lock_try(lock)                    takes it if it is free; exempt from the order of ranks
 *   void host_relax(void)                  a pause in a loop that waits for another CPU
 *
 * A spin lock is never held across anything that may sleep.
 */
#ifndef QUIRE_HOST_H
#define QUIRE_HOST_H

#include "quire/event.h"
#include "quire/status.h"
#include "quire/types.h"

struct spinlock {
    uint32_t taken;
};

/* Ranks of spin locks: one is taken only while every lock that is held has a lower rank
 * (tables: an ancestor before its descendants). Debug builds check it. */
enum lock_rank {
    RANK_SPACES = 1, /* the list of them */
    RANK_SPACE,
    RANK_TABLE,
    RANK_OBJECT,
    RANK_RMAP,
    RANK_SWAP,      /* slots and the swap cache */
    RANK_DIRECTORY, /* of the objects */
    RANK_RECLAIM,
    RANK_SLAB,
    RANK_FRAMES,
    RANK_TLB,
    RANK_LOG
};

#include "host_port.h"

/* Monotonic nanoseconds since some moment before the first call. */
uint64_t host_now_ns(void);

/* Of that time, what programs had of the CPU, the kernel's work for them included; not its threads'. Goes
 * back by what an interrupt took, when that is known. */
uint64_t host_worked_ns(void);

/* One line to the log (no newline needed). */
void host_log(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Ends the kernel or the process. */
_Noreturn void host_panic(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Sleep until host_wake(channel). Spurious returns are allowed: the caller looks again at
 * what it waits for. `lock` may be NULL; otherwise it is dropped while sleeping and taken
 * again before the return, and no wake-up between is lost. Holding any other spin lock is
 * an error. */
void host_sleep(const void *channel, struct spinlock *lock);

/* Wake everyone who sleeps on `channel`. */
void host_wake(const void *channel);

/* Zeroed memory of any size, made of single frames, at addresses that all CPUs can use; NULL without memory,
 * or when there are HOST_AREAS_MAX of them. Never sleeps; the ranks below RANK_SLAB may be held. */
enum { HOST_AREAS_MAX = 64 };
void *host_area_alloc(size_t bytes);
void host_area_free(void *area, size_t bytes);

/* Memory is out: nothing that is there can go. True: try again, for somebody ends and gives his back: one of
 * the member's, if that has its maximum (MEMBER_NOBODY: of the member of the current process), else whoever
 * holds most. False: nobody can, or the current process itself is to end. It is no answer for ever: each has
 * some time to end, then it is another's turn, at last the caller's. May sleep; no spin locks held. */
bool host_memory_out(uint32_t member);

/* The current thread begins to wait for memory: for a page that must be read, or for frames; it has it. */
void host_stall_begin(void);
void host_stall_end(void);

/* host_wake(), and let those who wake run soon. */
void host_wake_soon(const void *channel);

/*
 * Translation caches. An address space has one `struct host_mmu`; the port defines it in
 * host_port.h and keeps its PCID and generations there. What to flush is decided by the
 * caller (see pt_flush and the batch of src/vm), these do it on every CPU that may hold
 * the translations, and return when no CPU holds them any more. host_mmu_destroy() also makes
 * sure that no CPU has the root loaded: one that does goes on with the kernel's.
 */
void host_mmu_init(struct host_mmu *mmu, struct paddr root);
void host_mmu_destroy(struct host_mmu *mmu);
void host_flush_page(struct host_mmu *mmu, struct vaddr page);
void host_flush_range(struct host_mmu *mmu, struct vaddr start, uint64_t pages);
void host_flush_space(struct host_mmu *mmu);
void host_flush_all(void); /* every user space on every CPU */

/*
 * Events of paging (quire/event.h), told while somebody watches: the port keeps or drops them, never sleeps,
 * and takes no lock of the core. `page` and `value` as the kind has them.
 */
extern bool host_watched;
void host_event(enum event_kind kind, uint64_t page, uint64_t value);
static inline void host_tell(enum event_kind kind, uint64_t page, uint64_t value)
{
    if (__builtin_expect(host_watched, 0))
        host_event(kind, page, value);
}

#endif

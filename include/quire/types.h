/*
 * Addresses, frame numbers and sizes.
 *
 * Each kind of number has a struct type of its own, so that mixing two kinds does not
 * compile. All are plain values: pass them by value, compare their one field.
 */
#ifndef QUIRE_TYPES_H
#define QUIRE_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MUST_USE __attribute__((warn_unused_result))

/* A virtual address, always canonical once it has passed a check. */
struct vaddr {
    uint64_t v;
};

/* A physical address. */
struct paddr {
    uint64_t v;
};

/* A frame number: a physical address divided by the size of a page. */
struct pfn {
    uint64_t v;
};

enum {
    PAGE_SHIFT = 12,
    HUGE_SHIFT = 21, /* a level-2 page */
    GIANT_SHIFT = 30 /* a level-3 page */
};

#define PAGE_SIZE ((uint64_t)1 << PAGE_SHIFT)
#define HUGE_SIZE ((uint64_t)1 << HUGE_SHIFT)
#define GIANT_SIZE ((uint64_t)1 << GIANT_SHIFT)
#define PAGE_MASK (PAGE_SIZE - 1)

/* What kind of access is made, asked for or allowed; values can be or-ed. */
enum access { ACCESS_NONE = 0, ACCESS_READ = 1, ACCESS_WRITE = 2, ACCESS_EXEC = 4 };

static inline struct vaddr vaddr(uint64_t v)
{
    return (struct vaddr){v};
}

static inline struct paddr paddr(uint64_t v)
{
    return (struct paddr){v};
}

static inline struct pfn pfn(uint64_t v)
{
    return (struct pfn){v};
}

static inline struct pfn pfn_of(struct paddr p)
{
    return pfn(p.v >> PAGE_SHIFT);
}

static inline struct paddr paddr_of(struct pfn f)
{
    return paddr(f.v << PAGE_SHIFT);
}

/* Rounding to a power of two; align_up() wraps to 0 at the end of the address space. */
static inline uint64_t align_down(uint64_t value, uint64_t power_of_two)
{
    return value & ~(power_of_two - 1);
}

static inline uint64_t align_up(uint64_t value, uint64_t power_of_two)
{
    return (value + power_of_two - 1) & ~(power_of_two - 1);
}

static inline bool is_aligned(uint64_t value, uint64_t power_of_two)
{
    return (value & (power_of_two - 1)) == 0;
}

#endif

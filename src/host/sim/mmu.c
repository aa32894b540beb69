/*
 * The software MMU: walks the very tables that the core builds, as the hardware does.
 *
 * Intel SDM vol. 3A, 4.5 (the walk), 4.6 (rights are and-ed over the levels), 4.7 (error codes), 4.8
 * (accessed and dirty bits), 4.10 (what may be cached). Each CPU has for each space
 *
 *   - a TLB of translations, with the rights of the whole walk and the size of the page,
 *   - a cache of level-2 entries that point to level-1 tables (a "paging-structure cache"),
 *
 * and both are believed until they are flushed: a flush that the core forgets shows as a wrong translation,
 * as it would on the machine. As there, entries that are not present are never cached; a page fault drops
 * what is cached for its address; a flush of one page drops the whole paging-structure cache of the space.
 *
 * Locking: each TLB has a spin lock of its own (no rank: it is the hardware's, not the core's). A CPU holds
 * its own while it translates and accesses memory, so that a flush waits for the access in flight, like a
 * shootdown waits for the end of an instruction.
 */
#include <stdlib.h>

#include "base/check.h"
#include "host/sim/sim.h"
#include "pt/fmt/x86_64.h"

enum {
    TLB_SETS = 32,
    TLB_WAYS = 2,
    TLB_HUGE = 4, /* pages of 2 MiB and 1 GiB */
    WALK_CACHE = 8
};

struct tlb_entry {
    uint64_t page; /* virtual address of the first byte, | 1: valid */
    uint64_t to;
    uint64_t rights; /* PT_WRITE, PT_USER, PT_NO_EXEC of the walk, PT_DIRTY of the leaf */
    uint8_t level;
};

struct walk_entry {
    uint64_t span; /* address >> HUGE_SHIFT << 1 | 1: valid */
    uint64_t table;
    uint64_t rights;
};

struct sim_tlb {
    uint32_t taken;
    uint32_t next; /* round robin */
    struct tlb_entry small[TLB_SETS][TLB_WAYS];
    struct tlb_entry huge[TLB_HUGE];
    struct walk_entry walks[WALK_CACHE];
    struct sim_tlb *next_space; /* list of all, for host_flush_all() */
    struct host_mmu *mmu;
};

static struct sim_mmu_counts counts;
static struct sim_tlb *spaces; /* first TLB of each space */
static uint32_t spaces_taken;

static void count(uint64_t *counter)
{
    __atomic_fetch_add(counter, 1, __ATOMIC_RELAXED);
}

static void hardware_lock(uint32_t *taken)
{
    while (__atomic_exchange_n(taken, 1, __ATOMIC_ACQUIRE) != 0)
        sim_spin();
}

static void hardware_unlock(uint32_t *taken)
{
    __atomic_store_n(taken, 0, __ATOMIC_RELEASE);
}

/* ------------------------------------------------------------------ one access */

struct walk {
    /* what is wanted */
    struct sim_tlb *tlb;
    struct paddr root;
    struct vaddr address;
    enum access access;
    bool user;
    /* what was found */
    struct paddr to;
    unsigned error;
};

static bool allowed(const struct walk *walk, uint64_t rights)
{
    if (walk->user && (rights & PT_USER) == 0)
        return false;
    if ((walk->access & ACCESS_WRITE) != 0 && (rights & PT_WRITE) == 0) /* CR0.WP is set */
        return false;
    return (walk->access & ACCESS_EXEC) == 0 || (rights & PT_NO_EXEC) == 0;
}

static unsigned error_code(const struct walk *walk, bool present)
{
    return (present ? MMU_PRESENT : 0u) | ((walk->access & ACCESS_WRITE) != 0 ? MMU_WRITE : 0u) |
           (walk->user ? MMU_USER : 0u) | ((walk->access & ACCESS_EXEC) != 0 ? MMU_FETCH : 0u);
}

static struct tlb_entry *tlb_find(struct sim_tlb *tlb, struct vaddr address)
{
    struct tlb_entry *set = tlb->small[(address.v >> PAGE_SHIFT) % TLB_SETS];

    for (unsigned way = 0; way < TLB_WAYS; way++)
        if (set[way].page == (align_down(address.v, PAGE_SIZE) | 1))
            return &set[way];
    for (unsigned i = 0; i < TLB_HUGE; i++)
        if ((tlb->huge[i].page & 1) != 0 &&
            tlb->huge[i].page == (align_down(address.v, pt_level_span(tlb->huge[i].level)) | 1))
            return &tlb->huge[i];
    return NULL;
}

static void tlb_insert(struct sim_tlb *tlb, struct vaddr address, unsigned level, uint64_t to,
                       uint64_t rights)
{
    struct tlb_entry *slot = level == 1
                                 ? &tlb->small[(address.v >> PAGE_SHIFT) % TLB_SETS][tlb->next % TLB_WAYS]
                                 : &tlb->huge[tlb->next % TLB_HUGE];

    tlb->next++;
    *slot = (struct tlb_entry){align_down(address.v, pt_level_span(level)) | 1, to, rights, (uint8_t)level};
}

static void tlb_drop(struct sim_tlb *tlb, struct vaddr address)
{
    struct tlb_entry *entry = tlb_find(tlb, address);

    if (entry != NULL)
        entry->page = 0;
    for (unsigned i = 0; i < WALK_CACHE; i++)
        tlb->walks[i].span = 0;
}

static struct walk_entry *walk_cached(struct sim_tlb *tlb, struct vaddr address)
{
    for (unsigned i = 0; i < WALK_CACHE; i++)
        if (tlb->walks[i].span == ((address.v >> HUGE_SHIFT << 1) | 1))
            return &tlb->walks[i];
    return NULL;
}

/* Bits that must be zero: frame bits above 52 are software's; a huge page's frame must be aligned. */
static bool reserved_bits(struct pt_entry entry, unsigned level)
{
    if ((entry.bits & PT_HUGE) == 0 || level == 1)
        return false;
    return level == 4 ||
           (entry.bits & PT_FRAME_MASK & (pt_level_span(level) - 1) & ~((uint64_t)1 << 12)) != 0;
}

/* Sets accessed, and dirty, in the entry, unless it has changed meanwhile: then the walk begins again. TSan
 * does not see it: the core may read an entry while these bits appear. What the core writes to a table is
 * still checked against the walk's reads. */
__attribute__((no_sanitize("thread"), noinline)) static bool mark(struct pt_entry *at, struct pt_entry entry,
                                                                  uint64_t bits)
{
    if ((entry.bits & bits) == bits)
        return true;
    return __atomic_compare_exchange_n(&at->bits, &entry.bits, entry.bits | bits, false, __ATOMIC_ACQ_REL,
                                       __ATOMIC_RELAXED);
}

enum walked { WALK_DONE, WALK_FAULT, WALK_AGAIN };

static enum walked walk_once(struct walk *walk)
{
    uint64_t rights = PT_WRITE | PT_USER;
    uint64_t table = walk->root.v;
    unsigned level = PT_LEVELS;
    const struct walk_entry *cached = walk_cached(walk->tlb, walk->address);

    if (cached != NULL) {
        table = cached->table;
        rights = cached->rights;
        level = 1;
    }
    for (;; level--) {
        struct pt_entry *at = (struct pt_entry *)host_at(paddr(table)) + pt_index(walk->address, level);
        struct pt_entry entry = pt_entry(__atomic_load_n(&at->bits, __ATOMIC_ACQUIRE));
        uint64_t marks = PT_ACCESSED;

        if (!pt_entry_present(entry)) {
            walk->error = error_code(walk, false);
            return WALK_FAULT;
        }
        if (reserved_bits(entry, level)) {
            walk->error = error_code(walk, true) | MMU_RESERVED;
            return WALK_FAULT;
        }
        rights = (rights & entry.bits & (PT_WRITE | PT_USER)) | ((rights | entry.bits) & PT_NO_EXEC);
        if (!pt_entry_is_page(entry, level)) {
            if (!mark(at, entry, marks))
                return WALK_AGAIN;
            table = pt_entry_paddr(entry).v;
            if (level == 2)
                walk->tlb->walks[walk->tlb->next++ % WALK_CACHE] =
                    (struct walk_entry){(walk->address.v >> HUGE_SHIFT << 1) | 1, table, rights};
            continue;
        }
        if (!allowed(walk, rights)) {
            walk->error = error_code(walk, true);
            return WALK_FAULT;
        }
        if ((walk->access & ACCESS_WRITE) != 0)
            marks |= PT_DIRTY;
        if (!mark(at, entry, marks))
            return WALK_AGAIN;
        rights |= (entry.bits | marks) & PT_DIRTY;
        table = align_down(pt_entry_paddr(entry).v, pt_level_span(level));
        tlb_insert(walk->tlb, walk->address, level, table, rights);
        walk->to = paddr(table + (walk->address.v & (pt_level_span(level) - 1)));
        return WALK_DONE;
    }
}

/* With the TLB locked. */
static bool translate(struct walk *walk)
{
    struct tlb_entry *entry = tlb_find(walk->tlb, walk->address);
    enum walked outcome;

    if (!pt_canonical(walk->address)) {
        walk->error = error_code(walk, false);
        return false;
    }
    if (entry != NULL && !allowed(walk, entry->rights)) {
        walk->error = error_code(walk, true);
        tlb_drop(walk->tlb, walk->address);
        count(&counts.faults);
        return false;
    }
    if (entry != NULL && ((walk->access & ACCESS_WRITE) == 0 || (entry->rights & PT_DIRTY) != 0)) {
        walk->to = paddr(entry->to + (walk->address.v & (pt_level_span(entry->level) - 1)));
        count(&counts.hits);
        return true;
    }
    if (entry != NULL)
        entry->page = 0; /* the dirty bit is to be set: walk again */
    do {
        count(&counts.walks);
        outcome = walk_once(walk);
        if (outcome == WALK_AGAIN)
            tlb_drop(walk->tlb, walk->address);
    } while (outcome == WALK_AGAIN);
    if (outcome == WALK_FAULT) {
        tlb_drop(walk->tlb, walk->address);
        count(&counts.faults);
    }
    return outcome == WALK_DONE;
}

static bool access_as(struct host_mmu *mmu, struct vaddr address, enum access access, bool user,
                      struct paddr *out, unsigned *error)
{
    struct walk walk = {
        .tlb = &mmu->tlbs[host_cpu()], .root = mmu->root, .address = address, .access = access, .user = user};
    bool done;

    hardware_lock(&walk.tlb->taken);
    done = translate(&walk);
    hardware_unlock(&walk.tlb->taken);
    if (done)
        *out = walk.to;
    else if (error != NULL)
        *error = walk.error;
    return done;
}

bool mmu_access(struct host_mmu *mmu, struct vaddr address, enum access access, struct paddr *out,
                unsigned *error)
{
    return access_as(mmu, address, access, true, out, error);
}

bool mmu_access_kernel(struct host_mmu *mmu, struct vaddr address, enum access access, struct paddr *out,
                       unsigned *error)
{
    return access_as(mmu, address, access, false, out, error);
}

/* ------------------------------------------------------------------ accesses */

/* Programs may race with each other on their memory; that is no race of the core's, so the accesses are
 * atomic, words where they are aligned. */
static void copy_out(unsigned char *to, const unsigned char *from, size_t bytes)
{
    while (bytes != 0) {
        if (bytes >= 8 && ((uintptr_t)from & 7) == 0) {
            uint64_t word = __atomic_load_n((const uint64_t *)(const void *)from, __ATOMIC_RELAXED);

            memcpy(to, &word, 8);
            from += 8;
            to += 8;
            bytes -= 8;
        } else {
            *to++ = __atomic_load_n(from++, __ATOMIC_RELAXED);
            bytes--;
        }
    }
}

static void copy_in(unsigned char *to, const unsigned char *from, size_t bytes)
{
    while (bytes != 0) {
        if (bytes >= 8 && ((uintptr_t)to & 7) == 0) {
            uint64_t word;

            memcpy(&word, from, 8);
            __atomic_store_n((uint64_t *)(void *)to, word, __ATOMIC_RELAXED);
            from += 8;
            to += 8;
            bytes -= 8;
        } else {
            __atomic_store_n(to++, *from++, __ATOMIC_RELAXED);
            bytes--;
        }
    }
}

bool mmu_transfer(struct host_mmu *mmu, struct vaddr address, enum access access, void *buffer, size_t bytes)
{
    struct walk walk = {
        .tlb = &mmu->tlbs[host_cpu()], .root = mmu->root, .address = address, .access = access, .user = true};
    bool done;

    hardware_lock(&walk.tlb->taken);
    done = translate(&walk);
    if (done && (access & ACCESS_WRITE) != 0)
        copy_in(host_at(walk.to), buffer, bytes);
    else if (done)
        copy_out(buffer, host_at(walk.to), bytes);
    hardware_unlock(&walk.tlb->taken);
    return done;
}

/* ------------------------------------------------------------------ what the core asks for */

void host_mmu_init(struct host_mmu *mmu, struct paddr root)
{
    mmu->root = root;
    mmu->tlbs = calloc(HOST_MAX_CPUS, sizeof(struct sim_tlb));
    CHECK_ALWAYS(mmu->tlbs != NULL);
    hardware_lock(&spaces_taken);
    mmu->tlbs->next_space = spaces;
    mmu->tlbs->mmu = mmu;
    spaces = mmu->tlbs;
    hardware_unlock(&spaces_taken);
}

void host_mmu_destroy(struct host_mmu *mmu)
{
    hardware_lock(&spaces_taken);
    for (struct sim_tlb **link = &spaces; *link != NULL; link = &(*link)->next_space)
        if (*link == mmu->tlbs) {
            *link = mmu->tlbs->next_space;
            break;
        }
    hardware_unlock(&spaces_taken);
    free(mmu->tlbs);
    mmu->tlbs = NULL;
}

static void flush_one(struct host_mmu *mmu, uint64_t start, uint64_t pages)
{
    for (unsigned cpu = 0; cpu < HOST_MAX_CPUS; cpu++) {
        struct sim_tlb *tlb = &mmu->tlbs[cpu];

        hardware_lock(&tlb->taken);
        for (uint64_t i = 0; i < pages; i++)
            tlb_drop(tlb, vaddr(start + i * PAGE_SIZE));
        hardware_unlock(&tlb->taken);
    }
}

static void flush_tlbs(struct sim_tlb *tlbs)
{
    for (unsigned cpu = 0; cpu < HOST_MAX_CPUS; cpu++) {
        hardware_lock(&tlbs[cpu].taken);
        memset(tlbs[cpu].small, 0, sizeof(tlbs[cpu].small));
        memset(tlbs[cpu].huge, 0, sizeof(tlbs[cpu].huge));
        memset(tlbs[cpu].walks, 0, sizeof(tlbs[cpu].walks));
        hardware_unlock(&tlbs[cpu].taken);
    }
}

void host_flush_page(struct host_mmu *mmu, struct vaddr page)
{
    count(&counts.flushed_pages);
    flush_one(mmu, page.v, 1);
}

void host_flush_range(struct host_mmu *mmu, struct vaddr start, uint64_t pages)
{
    count(&counts.flushed_ranges);
    if (pages > TLB_SETS * TLB_WAYS)
        flush_tlbs(mmu->tlbs);
    else
        flush_one(mmu, start.v, pages);
}

void host_flush_space(struct host_mmu *mmu)
{
    count(&counts.flushed_spaces);
    flush_tlbs(mmu->tlbs);
}

void host_flush_all(void)
{
    count(&counts.flushed_all);
    hardware_lock(&spaces_taken);
    for (struct sim_tlb *tlbs = spaces; tlbs != NULL; tlbs = tlbs->next_space)
        flush_tlbs(tlbs);
    hardware_unlock(&spaces_taken);
}

void sim_mmu_count(struct sim_mmu_counts *out)
{
    *out = counts;
}

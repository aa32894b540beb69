/*
 * The software MMU: walks the very tables that the core builds, as the hardware does.
 *
 * Intel SDM vol. 3A, 4.5 (the walk), 4.6 (rights are and-ed over the levels), 4.7 (error codes), 4.8
 * (accessed and dirty bits), 4.10 (what may be cached). Each CPU has caches of translations and of entries
 * that point to tables (host/sim/tlb.h), and they are believed until they are flushed: a flush that the core
 * forgets shows as a wrong translation, as it would on the machine. As there, entries that are not present
 * are never cached; a page fault drops what is cached for its address; a flush of one page drops what the
 * walk caches have of the space.
 *
 * Locking: a CPU holds its TLB's lock while it translates and accesses memory, so that a flush waits for the
 * access in flight, like a shootdown waits for the end of an instruction.
 */
#include "base/check.h"
#include "host/sim/tlb.h"

enum { FLUSH_SINGLY = 64 }; /* a range of more pages is flushed as a whole space */

static uint32_t last_tag;

static void count(uint64_t *counter)
{
    __atomic_fetch_add(counter, 1, __ATOMIC_RELAXED);
}

/* ------------------------------------------------------------------ one access */

struct walk {
    /* what is wanted */
    struct sim_tlb *tlb;
    uint32_t tag;
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
    unsigned found;
    const struct walk_entry *cached = tlb_find_walk(walk->tlb, walk->address, &found);

    if (cached != NULL) {
        table = cached->table;
        rights = cached->rights;
        level = found - 1;
    }
    for (;; level--) {
        struct pt_entry *at = (struct pt_entry *)host_at(paddr(table)) + pt_index(walk->address, level);
        struct pt_entry entry = pt_entry(__atomic_load_n(&at->bits, __ATOMIC_ACQUIRE));
        uint64_t marks = PT_ACCESSED;

        walk->tlb->counts.walk_reads++;
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
            tlb_insert_walk(walk->tlb, walk->address, level, table, rights);
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

static bool fault(struct walk *walk, unsigned error)
{
    walk->error = error;
    tlb_drop(walk->tlb, walk->tag, walk->address);
    walk->tlb->counts.faults++;
    return false;
}

/* With the TLB locked. */
static bool translate(struct walk *walk)
{
    struct tlb_entry *entry;
    enum walked outcome;

    tlb_enter(walk->tlb, walk->tag);
    entry = tlb_find(walk->tlb, walk->address);
    if (!pt_canonical(walk->address)) {
        walk->error = error_code(walk, false);
        return false;
    }
    if (entry != NULL && !allowed(walk, entry->rights))
        return fault(walk, error_code(walk, true));
    if (entry != NULL && ((walk->access & ACCESS_WRITE) == 0 || (entry->rights & PT_DIRTY) != 0)) {
        walk->to = paddr(entry->to + (walk->address.v & (pt_level_span(entry->key & 7) - 1)));
        walk->tlb->counts.hits++;
        return true;
    }
    do { /* also when the dirty bit is to be set: the translation is replaced */
        walk->tlb->counts.walks++;
        outcome = walk_once(walk);
        if (outcome == WALK_AGAIN)
            tlb_drop(walk->tlb, walk->tag, walk->address);
    } while (outcome == WALK_AGAIN);
    return outcome == WALK_DONE || fault(walk, walk->error);
}

static struct walk walk_of(struct host_mmu *mmu, struct vaddr address, enum access access, bool user)
{
    return (struct walk){.tlb = &sim_tlbs[host_cpu()],
                         .tag = mmu->tag,
                         .root = mmu->root,
                         .address = address,
                         .access = access,
                         .user = user};
}

static bool access_as(struct host_mmu *mmu, struct vaddr address, enum access access, bool user,
                      struct paddr *out, unsigned *error)
{
    struct walk walk = walk_of(mmu, address, access, user);
    bool done;

    tlb_lock(walk.tlb);
    done = translate(&walk);
    tlb_unlock(walk.tlb);
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
    struct walk walk = walk_of(mmu, address, access, true);
    bool done;

    tlb_lock(walk.tlb);
    done = translate(&walk);
    if (done && (access & ACCESS_WRITE) != 0)
        copy_in(host_at(walk.to), buffer, bytes);
    else if (done)
        copy_out(buffer, host_at(walk.to), bytes);
    tlb_unlock(walk.tlb);
    return done;
}

/* ------------------------------------------------------------------ what the core asks for */

void host_mmu_init(struct host_mmu *mmu, struct paddr root)
{
    mmu->root = root;
    mmu->tag = __atomic_add_fetch(&last_tag, 1, __ATOMIC_RELAXED);
    CHECK_ALWAYS(mmu->tag != 0);
}

static void flush_pages(uint32_t tag, struct vaddr start, uint64_t pages)
{
    for (unsigned cpu = 0; cpu < HOST_MAX_CPUS; cpu++) {
        struct sim_tlb *tlb = &sim_tlbs[cpu];

        tlb_lock(tlb);
        for (uint64_t i = 0; i < pages; i++)
            tlb_drop(tlb, tag, vaddr(start.v + i * PAGE_SIZE));
        tlb_unlock(tlb);
    }
}

static void flush_tag(uint32_t tag)
{
    for (unsigned cpu = 0; cpu < HOST_MAX_CPUS; cpu++) {
        tlb_lock(&sim_tlbs[cpu]);
        tlb_drop_space(&sim_tlbs[cpu], tag);
        tlb_unlock(&sim_tlbs[cpu]);
    }
}

void host_mmu_destroy(struct host_mmu *mmu)
{
    flush_tag(mmu->tag);
    mmu->tag = 0;
}

void host_flush_page(struct host_mmu *mmu, struct vaddr page)
{
    count(&sim_flushes.flushed_pages);
    flush_pages(mmu->tag, page, 1);
}

void host_flush_range(struct host_mmu *mmu, struct vaddr start, uint64_t pages)
{
    count(&sim_flushes.flushed_ranges);
    if (pages > FLUSH_SINGLY)
        flush_tag(mmu->tag);
    else
        flush_pages(mmu->tag, start, pages);
}

void host_flush_space(struct host_mmu *mmu)
{
    count(&sim_flushes.flushed_spaces);
    flush_tag(mmu->tag);
}

void host_flush_all(void)
{
    count(&sim_flushes.flushed_all);
    for (unsigned cpu = 0; cpu < HOST_MAX_CPUS; cpu++) {
        tlb_lock(&sim_tlbs[cpu]);
        tlb_drop_all(&sim_tlbs[cpu]);
        tlb_unlock(&sim_tlbs[cpu]);
    }
}

static void add_counts(struct sim_mmu_counts *out, const struct sim_mmu_counts *more)
{
    out->hits += more->hits;
    out->second_hits += more->second_hits;
    out->walks += more->walks;
    out->walk_reads += more->walk_reads;
    for (unsigned level = 2; level <= PT_LEVELS; level++)
        out->walk_cache_hits[level] += more->walk_cache_hits[level];
    out->faults += more->faults;
    out->switches += more->switches;
    out->lost_spaces += more->lost_spaces;
}

void sim_mmu_count(struct sim_mmu_counts *out)
{
    *out = sim_flushes;
    for (unsigned cpu = 0; cpu < HOST_MAX_CPUS; cpu++)
        add_counts(out, &sim_tlbs[cpu].counts);
}

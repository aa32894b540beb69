/*
 * Runs: neighbouring entries of one table, worked on many at a time.
 *
 * This is where the time of range operations goes. Entries are 8 bytes and are written whole; two are put in
 * one vector, which compilers turn into SSE where it may be used, and into plain registers in a kernel. An
 * aligned 8-byte part of a vector store is never seen torn by the MMU (Intel SDM vol. 3A, 9.1.1; only the
 * order of the parts is not guaranteed, and a run needs none).
 */
#ifndef PT_RUN_H
#define PT_RUN_H

#include "pt/format.h"

typedef uint64_t run_vec __attribute__((vector_size(16), may_alias));
typedef run_vec run_any_vec __attribute__((aligned(8))); /* at any entry */
enum { RUN_STEP = 16, RUN_VECS = RUN_STEP / 2 };

/* Has the entry an address that a vector may begin at? Reading is quicker there. */
PT_INLINE bool run_is_aligned(const struct pt_entry *entries)
{
    return ((uintptr_t)entries & (sizeof(run_vec) - 1)) == 0;
}

/* The OR of all entries of the run: 0 when every one is empty. */
PT_INLINE uint64_t run_or(const struct pt_entry *entries, unsigned count)
{
    const struct pt_entry *end = entries + count;
    uint64_t any = 0;

    if (count >= RUN_STEP) {
        run_vec a = {0, 0}, b = {0, 0};

        if (!run_is_aligned(entries))
            any = entries++->bits;
        for (; entries + RUN_STEP <= end; entries += RUN_STEP) {
            const run_vec *v = (const run_vec *)(const void *)entries;
#pragma GCC unroll 4
            for (unsigned k = 0; k < RUN_VECS; k += 2) {
                a |= v[k];
                b |= v[k + 1];
            }
        }
        a |= b;
        any |= a[0] | a[1];
    }
    for (; entries < end; entries++)
        any |= entries->bits;
    return any;
}

/* The AND of all entries of the run: has the present bit when every one has. */
PT_INLINE uint64_t run_and(const struct pt_entry *entries, unsigned count)
{
    const struct pt_entry *end = entries + count;
    uint64_t all = ~(uint64_t)0;

    if (count >= RUN_STEP) {
        run_vec a = {all, all}, b = a;

        if (!run_is_aligned(entries))
            all = entries++->bits;
        for (; entries + RUN_STEP <= end; entries += RUN_STEP) {
            const run_vec *v = (const run_vec *)(const void *)entries;
#pragma GCC unroll 4
            for (unsigned k = 0; k < RUN_VECS; k += 2) {
                a &= v[k];
                b &= v[k + 1];
            }
        }
        a &= b;
        all &= a[0] & a[1];
    }
    for (; entries < end; entries++)
        all &= entries->bits;
    return all;
}

/* entries[i] = first + i * step. */
PT_INLINE void run_fill(struct pt_entry *entries, unsigned count, struct pt_entry first, uint64_t step)
{
    struct pt_entry *end = entries + count, *last_step = entries + (count & ~(RUN_STEP - 1u));
    uint64_t bits = first.bits;

    if (count >= RUN_STEP) {
        run_vec v[RUN_VECS] = {{bits, bits + step}};
        run_vec pair = {2 * step, 2 * step}, stride = pair * RUN_VECS;

#pragma GCC unroll 8
        for (unsigned k = 1; k < RUN_VECS; k++)
            v[k] = v[k - 1] + pair;
        for (; entries != last_step; entries += RUN_STEP) {
            run_any_vec *out = (run_any_vec *)(void *)entries;
#pragma GCC unroll 8
            for (unsigned k = 0; k < RUN_VECS; k++) {
                out[k] = v[k];
                v[k] += stride;
            }
        }
        bits = v[0][0];
    }
    for (; entries != end; entries++, bits += step)
        pt_entry_store(entries, pt_entry(bits));
}

/* The same, and what fills aligned groups is one translation each. The first entry has number `index`. */
PT_INLINE void run_fill_groups(struct pt_entry *entries, unsigned index, unsigned count,
                               struct pt_entry first, uint64_t step)
{
    unsigned start = (PT_GROUP_ENTRIES - index % PT_GROUP_ENTRIES) % PT_GROUP_ENTRIES;
    unsigned end = count < start ? start : count - (count - start) % PT_GROUP_ENTRIES;

    for (unsigned i = 0; i < count; i++) {
        struct pt_entry entry = pt_entry(first.bits + i * step);

        pt_entry_store(&entries[i], i >= start && i < end ? pt_entry_grouped(entry) : entry);
    }
}

PT_INLINE void run_clear(struct pt_entry *entries, unsigned count)
{
    run_fill(entries, count, pt_entry(0), 0);
}

/* Every entry of the run is present, and no MMU marks them meanwhile. */
PT_INLINE void run_change(struct pt_entry *entries, unsigned count, struct pt_change change)
{
    struct pt_entry *end = entries + count;

#if PT_CHANGE_IS_MASKS
    if (count >= RUN_STEP) {
        run_vec keep = {change.keep, change.keep}, add = {change.add, change.add};

        for (; entries + RUN_STEP <= end; entries += RUN_STEP) {
            run_any_vec *v = (run_any_vec *)(void *)entries;
#pragma GCC unroll 8
            for (unsigned k = 0; k < RUN_VECS; k++)
                v[k] = (v[k] & keep) | add;
        }
    }
#endif
    for (; entries < end; entries++)
        *entries = pt_entry_changed(*entries, change);
}

/* Is there a page in the run that a write of the MMU may mark dirty at any moment? */
PT_INLINE bool run_may_get_dirty(const struct pt_entry *entries, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        if (pt_entry_may_get_dirty(pt_entry_load(&entries[i])))
            return true;
    return false;
}

/* Change one entry without losing what the MMU marks in it. */
PT_INLINE void entry_change(struct pt_entry *entry, struct pt_change change)
{
    uint64_t old = entry->bits;

    while (!__atomic_compare_exchange_n(&entry->bits, &old, pt_entry_changed(pt_entry(old), change).bits,
                                        false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED)) {
    }
}

/* The same for an entry that points to a table. */
PT_INLINE void entry_change_table(struct pt_entry *entry, struct pt_masks masks)
{
    uint64_t old = entry->bits;

    while (!__atomic_compare_exchange_n(&entry->bits, &old, (old & masks.keep) | masks.add, false,
                                        __ATOMIC_ACQ_REL, __ATOMIC_RELAXED)) {
    }
}

#endif

/*
 * Working sets from intervals: sim/working_set.h.
 *
 * A reference keeps its page in the working set until the page comes again or tau has passed, so it adds
 * min(interval, tau) to the sum of W(t, tau) over time; a page's last reference adds what is left of the
 * trace at most. Intervals are counted in classes (struct classes), with their sum, so that both the mean and
 * the faults are exact where a class ends.
 *
 * Points of W(t, tau) over time are counted from the times at which pages last came. The trace's length may
 * not be known: when there are too many points, every other one is dropped, and they come half as often.
 *
 * Invariants: last[page] is the time, from 1, at which the page last came; 0: not yet.
 */
#include "sim/working_set.h"

#include <stdlib.h>
#include <string.h>

enum { EXACT = 64, EXACT_BITS = 6, PART_BITS = 5, PARTS = 1 << PART_BITS };
enum { CLASSES = EXACT + 1 + (64 - EXACT_BITS) * PARTS };
enum { LEAST_POINTS = 64 };
/* Counting the points looks at every page for each. */
#define MOST_LOOKS ((uint64_t)1 << 31)

struct tally {
    uint64_t tau, sum, faults;
};

struct working_set {
    size_t taus;
    struct tally tallies[WORKING_SET_TAUS];
    uint64_t now, cold;
    uint64_t *last;
    uint32_t pages;
    uint64_t again[CLASSES];    /* intervals, by class */
    uint64_t stays[CLASSES];    /* the same, and what was left of the trace for last references */
    uint64_t stay_sum[CLASSES]; /* their sum */
    uint64_t every, next;       /* time between points, and of the next */
    size_t points;
    struct working_set_point point[WORKING_SET_POINTS];
};

/* Class c holds the intervals above class_end(c - 1) up to class_end(c). */
static unsigned class_of(uint64_t interval)
{
    unsigned bits;

    if (interval <= EXACT)
        return (unsigned)interval;
    interval--;
    bits = 63 - (unsigned)__builtin_clzll(interval);
    return EXACT + 1 + (bits - EXACT_BITS) * PARTS + (unsigned)(interval >> (bits - PART_BITS) & (PARTS - 1));
}

static uint64_t class_end(unsigned class)
{
    unsigned part = (class - EXACT - 1) % PARTS, bits = EXACT_BITS + (class - EXACT - 1) / PARTS;

    if (class <= EXACT)
        return class;
    return ((uint64_t)(PARTS + part + 1) << (bits - PART_BITS));
}

struct working_set *working_set_create(const uint64_t *taus, size_t count)
{
    struct working_set *set = calloc(1, sizeof(*set));

    if (!set)
        return NULL;
    set->taus = count < WORKING_SET_TAUS ? count : WORKING_SET_TAUS;
    for (size_t i = 0; i < set->taus; i++)
        set->tallies[i].tau = taus[i];
    set->every = set->next = 1;
    return set;
}

void working_set_destroy(struct working_set *set)
{
    if (!set)
        return;
    free(set->last);
    free(set);
}

static bool set_grow(struct working_set *set, uint32_t pages)
{
    uint32_t wanted = set->pages + set->pages / 2;
    uint64_t *last;

    if (pages <= set->pages)
        return true;
    wanted = wanted > pages ? wanted : pages;
    last = realloc(set->last, (size_t)wanted * sizeof(*last));
    if (!last)
        return false;
    memset(last + set->pages, 0, (size_t)(wanted - set->pages) * sizeof(*last));
    set->last = last;
    set->pages = wanted;
    return true;
}

static void drop_every_other_point(struct working_set *set)
{
    for (size_t i = 1; i < set->points; i += 2)
        set->point[i / 2] = set->point[i];
    set->points /= 2;
    set->every *= 2;
}

static size_t most_points(const struct working_set *set)
{
    uint64_t most = MOST_LOOKS / (set->pages ? set->pages : 1);

    return most > WORKING_SET_POINTS ? WORKING_SET_POINTS : most < LEAST_POINTS ? LEAST_POINTS : (size_t)most;
}

static void add_point(struct working_set *set)
{
    struct working_set_point *point;

    while (set->points >= most_points(set))
        drop_every_other_point(set);
    set->next = set->now - set->now % set->every + set->every;
    if (set->now % set->every != 0)
        return;
    point = &set->point[set->points++];
    *point = (struct working_set_point){.time = set->now};
    for (uint32_t page = 0; page < set->pages; page++)
        for (size_t i = 0; i < set->taus; i++)
            point->pages[i] += set->last[page] && set->now - set->last[page] < set->tallies[i].tau;
}

static void stay(struct working_set *set, uint64_t length)
{
    unsigned class = class_of(length);

    set->stays[class]++;
    set->stay_sum[class] += length;
    for (size_t i = 0; i < set->taus; i++)
        set->tallies[i].sum += length < set->tallies[i].tau ? length : set->tallies[i].tau;
}

static void reference(struct working_set *set, uint32_t page)
{
    uint64_t last = set->last[page], interval = ++set->now - last;

    set->last[page] = set->now;
    if (!last) {
        set->cold++;
        return;
    }
    set->again[class_of(interval)]++;
    for (size_t i = 0; i < set->taus; i++)
        set->tallies[i].faults += interval > set->tallies[i].tau;
    stay(set, interval);
}

bool working_set_block(struct working_set *set, const struct policy_block *block, uint32_t pages)
{
    if (!set_grow(set, pages))
        return false;
    for (size_t i = 0; i < block->count; i++) {
        reference(set, block->references[i] >> 1);
        if (set->now == set->next)
            add_point(set);
    }
    return true;
}

void working_set_finish(struct working_set *set)
{
    for (uint32_t page = 0; page < set->pages; page++)
        if (set->last[page])
            stay(set, set->now - set->last[page] + 1);
    for (size_t i = 0; i < set->taus; i++)
        set->tallies[i].faults += set->cold;
}

uint64_t working_set_references(const struct working_set *set)
{
    return set->now;
}

static double mean(const struct working_set *set, double sum)
{
    return set->now ? sum / (double)set->now : 0;
}

struct working_set_mean working_set_mean(const struct working_set *set, size_t tau)
{
    const struct tally *tally = &set->tallies[tau];

    return (struct working_set_mean){tally->tau, mean(set, (double)tally->sum), tally->faults};
}

size_t working_set_means(const struct working_set *set)
{
    return set->now ? class_of(set->now) : 0;
}

struct working_set_mean working_set_mean_at(const struct working_set *set, size_t index)
{
    unsigned class = (unsigned)index + 1;
    uint64_t tau = class_end(class), longer = 0;
    struct working_set_mean out = {.tau = tau, .faults = set->cold};
    double sum = 0;

    for (unsigned i = 1; i < CLASSES; i++) {
        if (i <= class) {
            sum += (double)set->stay_sum[i];
        } else {
            longer += set->stays[i];
            out.faults += set->again[i];
        }
    }
    out.pages = mean(set, sum + (double)longer * (double)tau);
    return out;
}

bool working_set_for(const struct working_set *set, uint64_t faults, struct working_set_mean *out)
{
    for (size_t i = 0; i < working_set_means(set); i++) {
        *out = working_set_mean_at(set, i);
        if (out->faults <= faults)
            return true;
    }
    return false;
}

size_t working_set_points(const struct working_set *set)
{
    return set->points;
}

const struct working_set_point *working_set_point(const struct working_set *set, size_t index)
{
    return &set->point[index];
}

/*
 * The report's sections on swap and on what left memory: by which policy, whose pages, and how far behind
 * them they came back.
 */
#include "kernel/mm/report_write.h"
#include "kernel/mm/swap_device.h"
#include "quire/reclaim.h"
#include "quire/swap.h"

/* What the compressed store holds now, and how many writes it left to what is behind it. */
static void put_compressed(struct report *w, const struct store *store)
{
    struct compressed_counts counts;

    compressed_count(store, &counts);
    report_begin(w, "compressed");
    report_number(w, "pages", counts.packed);
    report_number(w, "zero", counts.zero);
    report_number(w, "bytes", counts.packed_bytes);
    report_number(w, "memory_pages", counts.memory_pages);
    report_number(w, "too_large", counts.large);
    report_number(w, "no_room", counts.no_room);
    report_number(w, "behind_reads", counts.behind_reads);
    report_number(w, "behind_writes", counts.behind_writes);
    report_end(w);
}

void report_swap(struct report *w)
{
    struct swap_counts counts;

    if (!swap_is_on())
        return;
    swap_count(&counts);
    report_begin(w, "swap");
    report_number(w, "slots", counts.slots);
    report_number(w, "used", counts.used);
    report_number(w, "cached", counts.cached);
    report_number(w, "zero", counts.zero);
    report_number(w, "bad", counts.bad);
    report_number(w, "page_outs", counts.page_outs);
    report_number(w, "write_requests", counts.write_requests);
    report_number(w, "write_errors", counts.write_errors);
    report_number(w, "page_ins", counts.page_ins);
    report_number(w, "read_requests", counts.read_requests);
    report_number(w, "read_errors", counts.read_errors);
    report_number(w, "read_ahead", counts.read_ahead);
    report_number(w, "read_ahead_hits", counts.read_ahead_hits);
    report_number(w, "cache_hits", counts.cache_hits);
    if (swap_device_compressed())
        put_compressed(w, swap_device_compressed());
    report_end(w);
}

/* Bucket n: from 2^n on. Up to the last that is not empty. */
static void put_distances(struct report *w, const struct reclaim_report *look)
{
    unsigned last = 0;

    for (unsigned i = 0; i < REFAULT_BUCKETS; i++)
        if (look->refault_distance[i] != 0)
            last = i + 1;
    report_begin_list(w, "refault_distances");
    for (unsigned i = 0; i < last; i++)
        report_put(w, "%s{\"from\":%lu,\"count\":%lu}", i > 0 ? "," : "", (uint64_t)1 << i,
                   look->refault_distance[i]);
    report_end_list(w);
}

static void put_policy(struct report *w, const struct reclaim_report *look)
{
    report_begin(w, "policy");
    report_text(w, "name", look->policy);
    report_text(w, "scope", scope_kind_names[look->scope]);
    if (look->scope == SCOPE_LOCAL)
        report_text(w, "allocation", scope_rule_names[look->rule]);
    report_number(w, "pools", look->pools);
    report_number(w, "ticks", look->ticks);
    report_number(w, "harvests", look->harvests);
    report_number(w, "flushes", look->flushes);
    report_number(w, "since_us", look->since_us);
    report_number(w, "time_us", look->time_us);
    for (size_t i = 0; i < look->counters && i < RECLAIM_COUNTERS; i++)
        report_number(w, look->counter[i].name, look->counter[i].value);
    report_end(w);
}

void report_reclaim(struct report *w)
{
    struct reclaim_report look;

    reclaim_look(&look);
    if (!look.watched)
        return;
    put_policy(w, &look);
    report_begin(w, "reclaim");
    report_number(w, "frames", look.frames);
    report_number(w, "enrolled", look.enrolled);
    report_number(w, "nobodys", look.nobodys);
    report_number(w, "low", look.low);
    report_number(w, "high", look.high);
    report_number(w, "room_mean", look.room_mean);
    report_number(w, "rounds", look.rounds);
    report_number(w, "divided_mean", look.divided_mean);
    report_number(w, "known_first", look.known_first);
    report_number(w, "evicted_clean", look.evicted - look.dirty);
    report_number(w, "evicted_dirty", look.dirty);
    report_number(w, "cleaned", look.cleaned);
    report_number(w, "returned", look.returned);
    report_number(w, "direct", look.direct);
    report_number(w, "background", look.background);
    report_number(w, "waits", look.waits);
    report_number(w, "refaults", look.refaults);
    report_number(w, "moved", look.moved);
    report_number(w, "starved", look.starved);
    report_number(w, "swap_outs", look.swap_outs);
    report_number(w, "swap_ins", look.swap_ins);
    put_distances(w, &look);
    report_end(w);
}

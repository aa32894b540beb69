/*
 * A recording of `quire boot --record`, paged as the kernel would page it.
 *
 * What the other modes of the simulator leave out is here: policies learn of pages when memory first falls
 * short, all at once and in the kernel's order (objects, then private memory by its addresses); a page that
 * comes is the last thing before time passes, ticks come and pages leave; pages leave in batches, by the
 * cleaner for all, and under local scope by whoever has more than his target; what a policy wants written is
 * clean when the cleaner next comes by. Members are programs with the children that they fork, as recorded.
 *
 * docs/AGREEMENT.md says how near that is to a run of the kernel, and what is still left out.
 */
#ifndef QUIRE_SIM_REPLAY_H
#define QUIRE_SIM_REPLAY_H

#include "quire/policy.h"
#include "quire/scope.h"
#include "sim/trace.h"

enum { REPLAY_MEMBERS = 256, REPLAY_BATCH = 32 }; /* members beyond are nobody's */

struct replay_config {
    const struct policy_type *type; /* one that needs bits only */
    uint64_t options[POLICY_OPTIONS];
    uint64_t seed;
    uint64_t tick_us; /* between two ticks; 0: policy_tick_us() */
    uint32_t frames;  /* pages there are when the cleaner begins, at least 1 */
    uint32_t low;     /* frames that are still free then */
    uint32_t ahead;   /* pages that the cleaner evicts, REPLAY_BATCH at a time */
    uint32_t known;   /* policies learn of pages when there are so many; 0: seven eighths of frames */
    struct scope_config scope; /* its frames are worked out: frames + low */
};

/* Of one member; of number 0, of pages that nobody is charged for. */
struct replay_member {
    uint32_t process; /* that began the program */
    uint64_t first;   /* faults of pages that came for the first time */
    uint64_t back;    /* and that came back */
    uint64_t evictions, write_backs;
    uint32_t most_frames;
};

struct replay_result {
    uint64_t references, first, back, evictions, write_backs, ticks;
    uint32_t pages, count; /* members, with nobody */
    struct replay_member members[REPLAY_MEMBERS];
};

/* Reads the trace, which must be a recording that was opened with options.members, to its end, twice. False
 * with *error: it is broken, or memory is short, or the scope is not possible. */
bool replay_run(const struct replay_config *config, struct trace *trace, struct replay_result *result,
                struct trace_error *error);

#endif

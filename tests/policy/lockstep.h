/*
 * A policy and the naive policy of the same name, side by side: the same operations for both, and after each
 * the same victims, the same bits, the same pages handed out to be written. Whatever has no naive policy is
 * still held to the contract of include/quire/policy.h: the host here notes what a policy asks for, and the
 * policy's own walker is run. The first difference ends the program with the operation's number
 * (host_panic()).
 */
#ifndef TESTS_POLICY_LOCKSTEP_H
#define TESTS_POLICY_LOCKSTEP_H

#include "quire/policy.h"
#include "support.h"

enum op_kind {
    OP_READ,
    OP_WRITE,
    OP_PIN, /* odd pages: the host spares them; even ones: POLICY_PINNED */
    OP_UNPIN,
    OP_REMOVE,
    OP_RESIZE, /* `page` is the number of frames */
    OP_TICK,
    OP_WRITTEN, /* the pages that were handed to policy_host.clean are clean now */
    OP_KINDS
};

struct op {
    enum op_kind kind;
    uint32_t page;
};

/* How the host knows the reference and dirty bits. */
enum lockstep_bits {
    BITS_AT_ONCE,   /* as the simulator */
    BITS_WHEN_ASKED /* as the kernel: policy_host.harvest */
};

/* `config`: pages, frames, most_frames, seed, options; the rest is set here. Returns the number of faults. */
uint64_t lockstep_run(const struct policy_type *type, const struct policy_config *config,
                      const struct op *ops, size_t count, enum lockstep_bits bits);

/* References with some locality: loops, hot pages, scans; with `mixed` also every other kind of operation. */
void ops_random(struct random *random, struct op *ops, size_t count, uint32_t pages, uint32_t most_frames,
                bool mixed);
/* Each operation is two bytes. Returns how many there are. */
size_t ops_decode(const unsigned char *data, size_t size, struct op *ops, size_t most, uint32_t pages,
                  uint32_t most_frames);
/* After how many references each comes again; UINT32_MAX: never. The caller frees it. */
uint32_t *ops_distances(const struct op *ops, size_t count, uint32_t pages);

/* Memory and state bytes for a policy, each exactly as large as need be, so that the sanitizers see every
 * byte beyond. `config->state` and host are set. */
struct policy *lockstep_create(const struct policy_type *type, struct policy_config *config);
void lockstep_destroy(struct policy *policy);

#endif

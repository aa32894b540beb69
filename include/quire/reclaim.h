/*
 * Reclaim: what leaves memory when it runs short, by which policy, and whose pages give first.
 *
 * A policy (quire/policy.h) orders pages, a scope (quire/scope.h) says whose; both are chosen once, when the
 * system starts. docs/RECLAIM.md says what happens from the first shortage on.
 */
#ifndef QUIRE_RECLAIM_H
#define QUIRE_RECLAIM_H

#include "quire/policy.h"
#include "quire/scope.h"

/*
 * Once, after vm_init() and before any memory is short. NULL for what is to stay as it is: clock with its
 * standard options, global scope. Of `policy` only options and seed count, of `scope` not the frames.
 * ST_UNSUPPORTED: a policy that needs more than reference bits.
 */
MUST_USE enum status reclaim_configure(const struct policy_type *type, const struct policy_config *policy,
                                       const struct scope_config *scope);

/* For checks and tests, with no other CPU in src/vm: panics, naming what is wrong, on a broken invariant. */
void reclaim_check(void);
/* For tests that count frames: no page is known to a policy any more, and their memory is given back. */
void reclaim_forget(void);

#endif

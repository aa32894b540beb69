/*
 * Regions, for the operations of src/vm that go from one to the next and sleep in between.
 */
#ifndef VM_REGION_H
#define VM_REGION_H

#include "quire/space.h"
#include "vm/entry.h"

/* space_next_region() cut at `from`, looked for only below `limit`, with a reference to its object, which
 * region_release() ends. */
bool region_next_held(struct space *space, uint64_t from, uint64_t limit, struct space_region *out);
void region_release(struct space_region *region);

#endif

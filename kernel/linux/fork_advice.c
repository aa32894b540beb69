/*
 * What fork does not copy.
 */
#include "kernel/linux/fork_advice.h"
#include "kernel/linux/segment.h"
#include "kernel/linux/syscalls.h"
#include "quire/slab.h"

struct fork_range {
    struct list node; /* process->fork_ranges, in no order */
    uint64_t start, end;
    enum fork_advice advice;
};

static struct fork_range *range_of(struct list *node)
{
    return container_of(node, struct fork_range, node);
}

/* Takes [start, end) out of every range; `spare` becomes the second half of one that it lies inside of. */
static struct fork_range *carve(struct process *process, uint64_t start, uint64_t end,
                                struct fork_range *spare)
{
    list_for_each_safe(node, next, &process->fork_ranges)
    {
        struct fork_range *range = range_of(node);

        if (range->end <= start || range->start >= end)
            continue;
        if (range->start < start && range->end > end) {
            spare->start = end;
            spare->end = range->end;
            spare->advice = range->advice;
            list_insert_after(node, &spare->node);
            range->end = start;
            return NULL;
        }
        if (range->start < start) {
            range->end = start;
        } else if (range->end > end) {
            range->start = end;
        } else {
            list_remove(node);
            slab_free(range);
        }
    }
    return spare;
}

static struct fork_range *range_alloc(uint64_t start, uint64_t end, enum fork_advice advice)
{
    struct fork_range *range = slab_alloc(sizeof(*range));

    if (range)
        *range = (struct fork_range){{&range->node, &range->node}, start, end, advice};
    return range;
}

long fork_advice_set(struct process *process, uint64_t start, uint64_t end, enum fork_advice advice)
{
    struct fork_range *spare = range_alloc(start, end, advice), *added = NULL;

    if (advice != FORK_COPIES)
        added = range_alloc(start, end, advice);
    if (!spare || (advice != FORK_COPIES && !added)) {
        slab_free(spare);
        slab_free(added);
        return -ENOMEM;
    }
    slab_free(carve(process, start, end, spare));
    if (added)
        list_push_back(&process->fork_ranges, &added->node);
    return 0;
}

/* The range's regions become anonymous memory that nobody has touched. */
static enum status wipe(struct space *space, const struct fork_range *range)
{
    struct space_region region;
    enum status status = ST_OK;
    struct vaddr at;

    for (uint64_t from = range->start; status == ST_OK && from < range->end; from = region.end.v) {
        if (!space_next_region(space, vaddr(from), &region) || region.start.v >= range->end)
            break;
        uint64_t start = region.start.v > from ? region.start.v : from;
        uint64_t end = region.end.v < range->end ? region.end.v : range->end;
        const struct space_map map = {
            .hint = vaddr(start), .length_bytes = end - start, .access = region.access, .flags = SPACE_FIXED};

        status = space_map(space, &map, &at);
    }
    return status;
}

long fork_advice_apply(const struct process *parent, struct process *child)
{
    enum status status = ST_OK;

    list_for_each(node, &parent->fork_ranges)
    {
        const struct fork_range *range = range_of(node);

        if (range->advice == FORK_DROPS)
            status = shm_forget(child, range->start, range->end) != 0
                         ? ST_NO_MEMORY
                         : space_unmap(child->space, vaddr(range->start), range->end - range->start);
        else
            status = wipe(child->space, range);
        if (status != ST_OK)
            return errno_of(status);
        if (range->advice == FORK_WIPES && fork_advice_set(child, range->start, range->end, FORK_WIPES) != 0)
            return -ENOMEM;
    }
    return 0;
}

void fork_advice_clear(struct process *process)
{
    struct list *node;

    while ((node = list_pop_front(&process->fork_ranges)) != NULL)
        slab_free(range_of(node));
}

/*
 * System V shared memory: segments, and where processes have attached them.
 *
 * A segment is an object without a pager, under a number. The page table does not say how often a segment is
 * attached, so each process has a list of the ranges where it has one; a range that is cut in two counts
 * twice, as Linux's mappings do. Whoever unmaps, maps over or moves memory says so here, and needs no more
 * than a look at an empty list when nothing is attached.
 */
#include <linux/errno.h>
#include <linux/ipc.h>

#include "kernel/fs/internal.h"
#include "kernel/klib.h"
#include "kernel/linux/segment.h"
#include "quire/slab.h"

struct shm_attachment {
    struct list node; /* process->attachments, in no order */
    struct shm_segment *segment;
    uint64_t start, end; /* of the part that is still there */
    uint64_t base;       /* where page 0 of the segment would be */
};

static struct shm_segment *segments[SHM_SEGMENTS_MOST];
static unsigned used;
static uint64_t pages_used;
static int sequence;

static struct shm_attachment *attachment_of(struct list *node)
{
    return container_of(node, struct shm_attachment, node);
}

static uint64_t pages_of(const struct shm_segment *segment)
{
    return align_up(segment->bytes, PAGE_SIZE) >> PAGE_SHIFT;
}

/* ---------------------------------------------------------------- finding */

struct shm_segment *shm_by_index(int index)
{
    return index >= 0 && index < SHM_SEGMENTS_MOST ? segments[index] : NULL;
}

struct shm_segment *shm_by_id(int id)
{
    struct shm_segment *segment = id < 0 ? NULL : shm_by_index(id & ((1 << SHM_INDEX_BITS) - 1));

    return segment && segment->id == id ? segment : NULL;
}

struct shm_segment *shm_by_key(int key)
{
    for (int i = 0; i < SHM_SEGMENTS_MOST; i++)
        if (segments[i] && segments[i]->key == key && key != IPC_PRIVATE)
            return segments[i];
    return NULL;
}

int shm_index_highest(void)
{
    int index = SHM_SEGMENTS_MOST - 1;

    while (index >= 0 && !segments[index])
        index--;
    return index;
}

void shm_count(struct shm_totals *totals)
{
    *totals = (struct shm_totals){.segments = used, .pages = pages_used};
    for (int i = 0; i < SHM_SEGMENTS_MOST; i++)
        if (segments[i])
            totals->resident_pages += object_resident(segments[i]->object);
}

long shm_permission(const struct shm_segment *segment, unsigned wanted)
{
    const struct process *process = process_current();
    uint32_t uid = process->uid[CREDENTIAL_EFFECTIVE], gid = process->gid[CREDENTIAL_EFFECTIVE];
    uint32_t granted = segment->mode;

    if (uid == segment->uid || uid == segment->creator_uid)
        granted >>= 6;
    else if (gid == segment->gid || gid == segment->creator_gid)
        granted >>= 3;
    return (wanted & ~granted & 7) == 0 || process_may(process, CAP_IPC_OWNER) ? 0 : -EACCES;
}

/* ---------------------------------------------------------------- making and ending */

/* As Linux names it in maps; without memory it has no name. */
static void name_segment(struct shm_segment *segment)
{
    enum { NAME_BYTES_MOST = 32 };
    struct object_label *label = slab_alloc(sizeof(*label) + NAME_BYTES_MOST);

    if (!label)
        return;
    label->dev = 1;
    label->ino = (uint64_t)segment->id;
    snprintf(label->path, NAME_BYTES_MOST, "/SYSV%08x (deleted)", (unsigned)segment->key);
    object_set_label(segment->object, label);
}

long shm_create(int key, uint64_t bytes, uint32_t mode, struct shm_segment **out)
{
    const struct process *process = process_current();
    struct shm_segment *segment;
    int index = 0;

    if (used == SHM_SEGMENTS_MOST)
        return -ENOSPC;
    segment = fs_alloc(sizeof(*segment));
    if (!segment)
        return -ENOMEM;
    segment->object = object_create(NULL, NULL, align_up(bytes, PAGE_SIZE));
    if (!segment->object) {
        slab_free(segment);
        return -ENOMEM;
    }
    while (segments[index])
        index++;
    segment->id = (sequence++ & 0xffff) << SHM_INDEX_BITS | index;
    segment->key = key;
    segment->bytes = bytes;
    segment->mode = mode & 0777;
    segment->uid = segment->creator_uid = process->uid[CREDENTIAL_EFFECTIVE];
    segment->gid = segment->creator_gid = process->gid[CREDENTIAL_EFFECTIVE];
    segment->creator_pid = process->pid;
    segment->change_ns = fs_now_ns();
    name_segment(segment);
    segments[index] = segment;
    used++;
    pages_used += pages_of(segment);
    *out = segment;
    return 0;
}

static void destroy_unused(struct shm_segment *segment)
{
    if (segment->attaches != 0 || !(segment->mode & SHM_DEST))
        return;
    segments[segment->id & ((1 << SHM_INDEX_BITS) - 1)] = NULL;
    used--;
    pages_used -= pages_of(segment);
    object_unref(segment->object);
    slab_free(segment);
}

void shm_remove(struct shm_segment *segment)
{
    segment->mode |= SHM_DEST;
    segment->key = IPC_PRIVATE; /* nobody finds it by its key any more */
    destroy_unused(segment);
}

/* ---------------------------------------------------------------- attaching */

static struct shm_attachment *attachment_add(struct process *process, struct shm_segment *segment,
                                             uint64_t start, uint64_t end, uint64_t base)
{
    struct shm_attachment *attachment = fs_alloc(sizeof(*attachment));

    if (!attachment)
        return NULL;
    *attachment = (struct shm_attachment){.segment = segment, .start = start, .end = end, .base = base};
    list_push_back(&process->attachments, &attachment->node);
    segment->attaches++;
    return attachment;
}

static void attachment_end(struct process *process, struct shm_attachment *attachment)
{
    struct shm_segment *segment = attachment->segment;

    list_remove(&attachment->node);
    slab_free(attachment);
    segment->attaches--;
    segment->detach_ns = fs_now_ns();
    segment->last_pid = process->pid;
    destroy_unused(segment);
}

long shm_attached(struct shm_segment *segment, uint64_t start)
{
    struct process *process = process_current();
    uint64_t end = start + align_up(segment->bytes, PAGE_SIZE);

    if (!attachment_add(process, segment, start, end, start))
        return -ENOMEM;
    segment->attach_ns = fs_now_ns();
    segment->last_pid = process->pid;
    return 0;
}

bool shm_find_attached(const struct process *process, uint64_t start, uint64_t *from, uint64_t *end)
{
    const struct shm_attachment *found = NULL;

    list_for_each(node, &process->attachments)
    {
        const struct shm_attachment *attachment = attachment_of(node);

        if (attachment->base == start && (!found || attachment->start < found->start))
            found = attachment;
    }
    if (!found)
        return false;
    *from = found->start;
    *end = found->end;
    return true;
}

/* Takes [start, end) out of an attachment. */
static long cut(struct process *process, struct shm_attachment *attachment, uint64_t start, uint64_t end)
{
    if (attachment->start < start && attachment->end > end) {
        if (!attachment_add(process, attachment->segment, end, attachment->end, attachment->base))
            return -ENOMEM;
        attachment->end = start;
    } else if (attachment->start < start) {
        attachment->end = start;
    } else if (attachment->end > end) {
        attachment->start = end;
    } else {
        attachment_end(process, attachment);
    }
    return 0;
}

long shm_forget(struct process *process, uint64_t start, uint64_t end)
{
    list_for_each_safe(node, next, &process->attachments)
    {
        struct shm_attachment *attachment = attachment_of(node);
        long error = 0;

        if (attachment->start < end && attachment->end > start)
            error = cut(process, attachment, start, end); /* only a range inside of one needs memory */
        if (error)
            return error;
    }
    return 0;
}

long shm_copied(struct process *process, uint64_t from, uint64_t bytes, uint64_t to)
{
    struct list copies = LIST_INIT(copies), *node;
    long error = 0;

    list_for_each_safe(at, next, &process->attachments)
    {
        const struct shm_attachment *old = attachment_of(at);
        uint64_t start = old->start > from ? old->start : from;
        uint64_t end = old->end < from + bytes ? old->end : from + bytes;
        struct shm_attachment *copy;

        if (start >= end || error)
            continue;
        copy =
            attachment_add(process, old->segment, start - from + to, end - from + to, old->base - from + to);
        if (!copy) {
            error = -ENOMEM;
            continue;
        }
        list_remove(&copy->node); /* it is not to be copied itself */
        list_push_back(&copies, &copy->node);
    }
    while ((node = list_pop_front(&copies)) != NULL)
        list_push_back(&process->attachments, node);
    return error;
}

long shm_inherit(const struct process *parent, struct process *child)
{
    list_for_each(node, &parent->attachments)
    {
        const struct shm_attachment *from = attachment_of(node);

        if (!attachment_add(child, from->segment, from->start, from->end, from->base))
            return -ENOMEM;
    }
    return 0;
}

void shm_clear(struct process *process)
{
    while (!list_empty(&process->attachments))
        attachment_end(process, attachment_of(process->attachments.next));
}

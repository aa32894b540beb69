/*
 * Seals of files in memory: what a process has promised, to whom it gives the file, not to do with it any
 * more (fcntl(2), "File Sealing"; memfd_create(2)).
 */
#include <linux/errno.h>

#include "kernel/fs/internal.h"
#include "kernel/klib.h"

enum {
    SEALS_ALL = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_FUTURE_WRITE | F_SEAL_EXEC
};
enum { EXECUTE_BITS = 0111 };

static bool has_seals(const struct file *file)
{
    return file->vnode != NULL && file->vnode->type == S_IFREG && file->vnode->in_memory;
}

long seals_get(const struct file *file)
{
    return has_seals(file) ? (long)file->vnode->seals : -EINVAL;
}

/* ---------------------------------------------------------------- is it mapped for writing? */

struct search {
    const struct object *object;
    bool found;
};

/* Mappings that may be made writable count, whatever their rights are now. */
static void search_process(struct process *process, void *context)
{
    struct search *search = context;
    struct space_region region;

    if (process->space == NULL)
        return;
    for (uint64_t at = 0; !search->found && space_next_region(process->space, vaddr(at), &region);
         at = region.end.v)
        search->found = region.object == search->object && (region.flags & SPACE_SHARED) != 0 &&
                        (region.flags & SPACE_NEVER_WRITE) == 0;
}

static bool may_be_written_through_a_mapping(const struct vnode *node)
{
    struct search search = {node->object, false};

    process_for_each(search_process, &search);
    return search.found;
}

/* ---------------------------------------------------------------- adding */

long seals_add(struct file *file, unsigned seals)
{
    struct vnode *node = file->vnode;
    struct vattr attr;
    int error;

    if (!has_seals(file))
        return -EINVAL;
    if (!file_writable(file))
        return -EPERM;
    if ((seals & ~(unsigned)SEALS_ALL) != 0)
        return -EINVAL;
    if ((node->seals & F_SEAL_SEAL) != 0)
        return -EPERM;
    if ((seals & F_SEAL_WRITE) != 0 && (node->seals & F_SEAL_WRITE) == 0 &&
        may_be_written_through_a_mapping(node))
        return -EBUSY;
    error = vnode_getattr(node, &attr);
    if (error != 0)
        return error;
    if ((seals & F_SEAL_EXEC) != 0 && (attr.mode & EXECUTE_BITS) != 0) /* a program is not to change */
        seals |= F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_FUTURE_WRITE;
    node->seals |= seals;
    return 0;
}

/* ---------------------------------------------------------------- what they forbid */

int seals_resize(const struct vnode *node, uint64_t size, uint64_t wanted)
{
    if ((wanted < size && (node->seals & F_SEAL_SHRINK) != 0) ||
        (wanted > size && (node->seals & F_SEAL_GROW) != 0))
        return -EPERM;
    return 0;
}

uint64_t seals_write(const struct vnode *node, uint64_t offset, uint64_t bytes)
{
    uint64_t size = object_size(node->object), end = offset + bytes;

    if ((node->seals & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE)) != 0)
        return 0;
    if ((node->seals & F_SEAL_GROW) == 0 || end <= size)
        return bytes;
    end = align_down(size, PAGE_SIZE);
    return end > offset ? end - offset : 0;
}

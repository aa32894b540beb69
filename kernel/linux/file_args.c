/*
 * Arguments that the system calls on files have in common.
 */
#include "kernel/linux/file_args.h"
#include "kernel/klib.h"
#include "quire/slab.h"

enum { VECTOR_MAX = 1024 }; /* UIO_MAXIOV, readv(2) */

/* ---------------------------------------------------------------- paths */

int at_begin(struct at *at, int dir, uint64_t path, int flags)
{
    long length;
    int error = 0;

    at->from = NULL;
    at->path = path_buffer();
    if (at->path == NULL)
        return -ENOMEM;
    length = user_read_string(at->path, path, PATH_BYTES);
    if (length < 0)
        error = (int)length;
    else if (length == 0 && (flags & AT_EMPTY_PATH) == 0)
        error = -ENOENT;
    else if (at->path[0] != '/' && dir != AT_FDCWD) {
        at->from = file_get(dir);
        if (at->from == NULL)
            error = -EBADF;
        else if (length != 0 && (at->from->vnode == NULL || at->from->vnode->type != S_IFDIR))
            error = -ENOTDIR;
    }
    if (error != 0)
        at_end(at);
    return error;
}

void at_end(struct at *at)
{
    path_buffer_free(at->path);
    if (at->from != NULL)
        file_unref(at->from);
}

int at_walk(struct at *at, unsigned flags, struct walk *walk)
{
    walk->base = at->from != NULL ? at->from->vnode : NULL;
    walk->base_path = at->from != NULL ? at->from->path : NULL;
    walk->path = at->path;
    walk->flags = flags;
    walk->resolved = NULL;
    walk_clear(walk);
    return walk_run(walk);
}

int target_at(struct target *target, int dir, uint64_t path, int flags)
{
    struct process *process = process_current();
    struct walk walk;
    struct at at;
    int error = at_begin(&at, dir, path, flags);

    target->node = NULL;
    target->file = NULL;
    if (error != 0)
        return error;
    if (at_is_empty(&at)) {
        if (at.from != NULL)
            target->file = file_ref(at.from);
        target->node = at.from == NULL          ? vnode_ref(process->cwd)
                       : at.from->vnode != NULL ? vnode_ref(at.from->vnode)
                                                : NULL;
    } else {
        error = at_walk(&at, (flags & AT_SYMLINK_NOFOLLOW) != 0 ? 0 : WALK_FOLLOW, &walk);
        if (error == 0) {
            target->node = walk.node;
            target->file = walk.file;
        }
    }
    at_end(&at);
    return error;
}

int target_fd(struct target *target, int fd)
{
    target->node = NULL;
    target->file = file_get(fd);
    if (target->file == NULL)
        return -EBADF;
    if (target->file->vnode != NULL)
        target->node = vnode_ref(target->file->vnode);
    return 0;
}

int target_getattr(const struct target *target, struct vattr *out)
{
    return target->node != NULL ? vnode_getattr(target->node, out) : file_getattr(target->file, out);
}

void target_end(struct target *target)
{
    vnode_unref(target->node);
    if (target->file != NULL)
        file_unref(target->file);
}

/* ---------------------------------------------------------------- vectors */

int vector_begin(struct vector *vector, uint64_t pieces, unsigned count)
{
    uint64_t total = 0;
    int error;

    if (count > VECTOR_MAX)
        return -EINVAL;
    vector->pieces = vector->inline_pieces;
    if (count > VECTOR_INLINE) {
        vector->pieces = fs_alloc(count * sizeof *vector->pieces);
        if (vector->pieces == NULL)
            return -ENOMEM;
    }
    error = user_read(vector->pieces, pieces, count * sizeof *vector->pieces);
    for (unsigned i = 0; i < count && error == 0; i++) {
        struct iovec_piece *piece = &vector->pieces[i];

        if ((int64_t)piece->length < 0)
            error = -EINVAL;
        else if (!user_range(piece->base, piece->length))
            error = -EFAULT;
        else if (piece->length > RW_BYTES_MAX - total)
            piece->length = RW_BYTES_MAX - total;
        total += piece->length;
    }
    if (error != 0) {
        vector_end(vector);
        return error;
    }
    vector->uio = (struct uio){.pieces = vector->pieces, .count = count, .left = total};
    return 0;
}

void vector_end(struct vector *vector)
{
    if (vector->pieces != vector->inline_pieces)
        slab_free(vector->pieces);
}

bool file_has_places(const struct file *file)
{
    return file->vnode != NULL && file->vnode->type != S_IFIFO && !file_is_tty(file);
}

/*
 * Open files: making one from a path, and reading and writing at its offset.
 *
 * The offset of a file that several processes share is moved before bytes are written, so that two writers
 * that sleep in the middle (a fault in the user's buffer) do not write over one another.
 */
#include <linux/errno.h>

#include "kernel/fs/internal.h"
#include "kernel/klib.h"
#include "quire/slab.h"

struct file *file_alloc(const struct file_ops *ops, struct vnode *node, uint32_t flags)
{
    struct file *file = fs_alloc(sizeof *file);

    if (file == NULL)
        return NULL;
    file->ops = ops;
    file->vnode = node == NULL ? NULL : vnode_ref(node);
    file->refs = 1;
    file->flags = flags;
    return file;
}

void file_destroy(struct file *file)
{
    struct vnode *node = file->vnode;

    if (file->epolls != NULL)
        epoll_file_gone(file);
    if (node != NULL && node->locks != NULL)
        locks_file_closed(file);
    if (file->ops->release != NULL)
        file->ops->release(file);
    vnode_unref(node);
    slab_free(file->path);
    slab_free(file);
}

const struct file_ops path_file_ops = {.read = NULL};

/* ---------------------------------------------------------------- opening */

/* May a file of this type be opened like this? */
static int open_check(struct vnode *node, unsigned flags, bool created)
{
    bool writes = (flags & O_ACCMODE) != O_RDONLY || (flags & O_TRUNC) != 0;

    if ((flags & O_DIRECTORY) != 0 && node->type != S_IFDIR)
        return -ENOTDIR;
    if ((flags & O_PATH) != 0)
        return 0;
    switch (node->type) {
    case S_IFLNK:
        return -ELOOP;
    case S_IFSOCK:
        return -ENXIO;
    case S_IFDIR:
        if (writes || (flags & O_CREAT) != 0)
            return -EISDIR;
        break;
    default:
        break;
    }
    if (created)
        return 0;
    return vnode_permission(node,
                            ((flags & O_ACCMODE) != O_WRONLY ? MAY_READ : 0u) | (writes ? MAY_WRITE : 0u));
}

static const struct file_ops *open_default_ops(const struct vnode *node)
{
    return node->type == S_IFDIR ? &directory_file_ops : &object_file_ops;
}

int file_open_vnode(struct vnode *node, unsigned flags, struct file **out)
{
    struct vattr zero = {.size = 0};
    struct file *file;
    int error = 0;

    file = file_alloc(open_default_ops(node), node,
                      flags & ~(unsigned)(O_CREAT | O_EXCL | O_NOCTTY | O_TRUNC | O_CLOEXEC));
    if (file == NULL)
        return -ENOMEM;
    if ((flags & O_PATH) != 0) {
        file->ops = &path_file_ops;
        *out = file;
        return 0;
    }
    if ((flags & O_TRUNC) != 0 && node->type == S_IFREG)
        error = vnode_setattr(node, &zero, VATTR_SIZE);
    if (error == 0) {
        if (node->ops->open != NULL)
            error = node->ops->open(node, file);
        else if (node->type == S_IFIFO)
            error = fifo_open(node, file);
    }
    if (error != 0) {
        file->ops = &path_file_ops; /* nothing was opened: no release */
        file_unref(file);
        return error;
    }
    *out = file;
    return 0;
}

/* Makes the missing last component. */
static int open_create(struct walk *walk, unsigned mode)
{
    struct process *process = process_current();
    struct vnode *dir = walk->parent;
    int error;

    if (dir->ops->create == NULL)
        return -EPERM;
    error = vnode_permission(dir, MAY_WRITE);
    if (error != 0)
        return error;
    if (process != NULL)
        mode &= ~process->umask;
    error = dir->ops->create(dir, walk->last, S_IFREG | (mode & 07777), 0, &walk->node);
    if (error == 0 && walk->node->mount == NULL)
        walk->node->mount = dir->mount;
    return error;
}

void vnode_name_object(struct vnode *node, const char *path)
{
    size_t bytes = strlen(path) + 1;
    struct object_label *label;
    struct vattr attr;

    if (node->object == NULL || object_label(node->object) != NULL || vnode_getattr(node, &attr) != 0)
        return;
    label = fs_alloc(sizeof *label + bytes);
    if (label == NULL || object_label(node->object) != NULL) {
        slab_free(label);
        return;
    }
    label->dev = attr.dev;
    label->ino = attr.ino;
    memcpy(label->path, path, bytes);
    object_set_label(node->object, label);
}

static int open_walked(struct walk *walk, unsigned flags, unsigned mode, struct file **out)
{
    bool created = false;
    int error;

    if (walk->file != NULL) {
        *out = file_ref(walk->file);
        return 0;
    }
    if (walk->node == NULL) {
        error = open_create(walk, mode);
        if (error == -EEXIST && (flags & O_EXCL) == 0)
            return -EAGAIN; /* somebody was quicker */
        if (error != 0)
            return error;
        created = true;
    }
    if (!created && (flags & (O_CREAT | O_EXCL)) == (O_CREAT | O_EXCL))
        return -EEXIST;
    if (created)
        flags &= ~(unsigned)O_TRUNC;
    error = open_check(walk->node, flags, created);
    if (error != 0)
        return error;
    error = file_open_vnode(walk->node, flags, out);
    if (error == 0 && walk->resolved[0] != '\0') {
        (*out)->path = fs_strdup(walk->resolved);
        vnode_name_object(walk->node, walk->resolved);
    }
    return error;
}

int vfs_open_at(struct vnode *base, const char *base_path, const char *path, unsigned flags, unsigned mode,
                struct file **out)
{
    struct walk walk = {.base = base, .base_path = base_path, .path = path};
    int error;

    if ((flags & O_TMPFILE) == O_TMPFILE)
        return -EOPNOTSUPP;
    if ((flags & O_PATH) != 0)
        flags &= O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
    walk.resolved = path_buffer();
    if (walk.resolved == NULL)
        return -ENOMEM;
    walk.flags = (flags & O_CREAT) != 0 ? WALK_CREATE : 0;
    if ((flags & O_NOFOLLOW) == 0 && (flags & (O_CREAT | O_EXCL)) != (O_CREAT | O_EXCL))
        walk.flags |= WALK_FOLLOW;
    do {
        walk_clear(&walk);
        error = walk_run(&walk);
        if (error == 0) {
            error = open_walked(&walk, flags, mode, out);
            walk_end(&walk);
        }
    } while (error == -EAGAIN && (flags & O_CREAT) != 0 && !signal_pending());
    path_buffer_free(walk.resolved);
    return error;
}

int vfs_open(struct vnode *base, const char *path, unsigned flags, unsigned mode, struct file **out)
{
    return vfs_open_at(base, NULL, path, flags, mode, out);
}

/* ---------------------------------------------------------------- reading and writing */

long file_read(struct file *file, struct uio *uio)
{
    uint64_t start = file->offset;
    long done;

    if (file->ops->read == NULL)
        return file->vnode != NULL && file->vnode->type == S_IFDIR ? -EISDIR : -EINVAL;
    done = file->ops->read(file, uio, start);
    if (done > 0)
        file->offset = start + (uint64_t)done;
    return done;
}

static long write_and_sync(struct file *file, struct uio *uio, uint64_t offset)
{
    long done = file->ops->write(file, uio, offset);
    int error = 0;

    if (done > 0 && file->ops->sync != NULL)
        error = file->ops->sync(file, (file->flags & O_SYNC) != O_SYNC);
    return error != 0 ? error : done;
}

long file_write_at(struct file *file, struct uio *uio, uint64_t offset)
{
    if ((file->flags & O_DSYNC) != 0)
        return write_and_sync(file, uio, offset);
    return file->ops->write(file, uio, offset);
}

long file_write(struct file *file, struct uio *uio)
{
    uint64_t wanted = uio->left;
    uint64_t start = file->offset;
    long done;

    if (file->ops->write == NULL)
        return -EINVAL;
    if ((file->flags & (O_APPEND | O_DSYNC)) != 0) {
        if ((file->flags & O_APPEND) != 0) /* finds the end, and sets the offset */
            return file_write_at(file, uio, start);
        done = write_and_sync(file, uio, start);
        if (done > 0)
            file->offset = start + (uint64_t)done;
        return done;
    }
    file->offset = start + wanted;
    done = file->ops->write(file, uio, start);
    if (__builtin_expect(done != (long)wanted, 0) && file->offset == start + wanted)
        file->offset = start + (done > 0 ? (uint64_t)done : 0);
    return done;
}

/* ---------------------------------------------------------------- what a file is */

int file_getattr(struct file *file, struct vattr *out)
{
    if (file->vnode != NULL)
        return vnode_getattr(file->vnode, out);
    memset(out, 0, sizeof *out);
    out->mode = file_is_pipe(file) || file->ops == &host_stream_file_ops ? S_IFIFO | 0600 : 0600;
    out->nlink = 1;
    out->ino = file->ops == &host_stream_file_ops ? (uint64_t)file->data + 1
                                                  : ((uint64_t)file->data >> 4) & 0xffffffff;
    out->dev = 0xe; /* no mount's */
    out->atime_ns = out->mtime_ns = out->ctime_ns = fs_now_ns();
    return 0;
}

size_t file_describe(struct file *file, char *to, size_t size)
{
    const char *kind = "anon_inode:[eventfd]";
    struct vattr attr;

    if (file->path != NULL)
        return strlcpy(to, file->path, size);
    if (file->ops == &epoll_file_ops)
        kind = "anon_inode:[eventpoll]";
    if (file_getattr(file, &attr) == 0 && (attr.mode & S_IFMT) == S_IFIFO)
        return (size_t)snprintf(to, size, "pipe:[%llu]", (unsigned long long)attr.ino);
    return strlcpy(to, kind, size);
}

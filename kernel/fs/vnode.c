/*
 * Vnodes and mounts.
 *
 * A mount, once made, stays: nothing is ever unmounted, so vnode->mount needs no count. The list of mounts is
 * in the order in which they were made; a path is found for the deepest by walking `on` upwards, and each
 * mount keeps the path that it was made with.
 */
#include <linux/errno.h>

#include "base/check.h"
#include "kernel/fs/internal.h"
#include "kernel/klib.h"
#include "quire/reclaim.h"
#include "quire/slab.h"

static struct list mounts = LIST_INIT(mounts);
static uint64_t mount_next_dev = 1;
struct vnode *vfs_root;

enum { RECLAIM_PAGES = 32 };

bool fs_make_room(void)
{
    return reclaim(RECLAIM_PAGES) != 0 || host_memory_out(MEMBER_NOBODY);
}

/* Nobody is ended for neighbouring frames, of which there may be none however many are free. */
void *fs_alloc(size_t bytes)
{
    void *cell = slab_alloc(bytes);

    if (cell == NULL && bytes > PAGE_SIZE && reclaim(RECLAIM_PAGES + bytes / PAGE_SIZE) != 0)
        return slab_alloc(bytes);
    while (cell == NULL && bytes <= PAGE_SIZE && fs_make_room())
        cell = slab_alloc(bytes);
    return cell;
}

struct frame *fs_frame(void)
{
    struct frame *frame = frame_alloc(0, FRAME_KERNEL, FRAME_ANY);

    while (frame == NULL && fs_make_room())
        frame = frame_alloc(0, FRAME_KERNEL, FRAME_ANY);
    return frame;
}

char *fs_strdup(const char *text)
{
    size_t bytes = strlen(text) + 1;
    char *copy = fs_alloc(bytes);

    if (copy != NULL)
        memcpy(copy, text, bytes);
    return copy;
}

int64_t fs_now_ns(void)
{
    return (int64_t)(time_boot_epoch_ns + host_now_ns());
}

/* ---------------------------------------------------------------- vnodes */

void vnode_init(struct vnode *node, const struct vnode_ops *ops, uint32_t type)
{
    node->ops = ops;
    node->type = type;
    node->refs = 1;
    mutex_init(&node->mutex);
}

void vnode_unref(struct vnode *node)
{
    if (node == NULL)
        return;
    CHECK(node->refs != 0);
    if (--node->refs == 0)
        node->ops->release(node);
}

void vnode_clear(struct vnode *node)
{
    struct object *object = node->object;
    struct vnode *parent = node->parent;

    node->object = NULL;
    node->parent = NULL;
    if (object != NULL)
        object_unref(object);
    vnode_unref(parent);
}

int vnode_getattr(struct vnode *node, struct vattr *out)
{
    int error;

    memset(out, 0, sizeof *out);
    out->nlink = 1;
    error = node->ops->getattr(node, out);
    if (error != 0)
        return error;
    out->mode = (out->mode & 07777) | node->type;
    if (node->object != NULL)
        out->size = object_size(node->object);
    if (node->written_ns > out->mtime_ns)
        out->mtime_ns = node->written_ns;
    if (node->written_ns > out->ctime_ns)
        out->ctime_ns = node->written_ns;
    if (out->dev == 0 && node->mount != NULL)
        out->dev = node->mount->dev;
    return 0;
}

int vnode_setattr(struct vnode *node, const struct vattr *attr, unsigned which)
{
    int error;

    if (node->ops->setattr == NULL)
        return -EPERM;
    if (node->mount != NULL && node->mount->read_only)
        return -EROFS;
    error = node->ops->setattr(node, attr, which);
    if (error == 0 && (which & VATTR_MTIME) != 0)
        node->written_ns = 0;
    else if (error == 0 && (which & VATTR_SIZE) != 0)
        node->written_ns = fs_now_ns();
    return error;
}

int vnode_lookup(struct vnode *dir, const char *name, struct vnode **out)
{
    int error;

    if (dir->ops->lookup == NULL)
        return -ENOTDIR;
    error = dir->ops->lookup(dir, name, out);
    if (error == 0 && (*out)->mount == NULL)
        (*out)->mount = dir->mount;
    return error;
}

/* ---------------------------------------------------------------- mounts */

int vfs_mount(struct vnode *root, const char *path, const char *type, const char *source)
{
    struct mount *mount = fs_alloc(sizeof *mount);
    struct vnode *on = NULL;
    int error = 0;

    if (mount == NULL) {
        vnode_unref(root);
        return -ENOMEM;
    }
    mount->path = fs_strdup(path);
    if (mount->path == NULL)
        error = -ENOMEM;
    if (error == 0 && vfs_root != NULL)
        error = path_walk(vfs_root, path, WALK_FOLLOW | WALK_DIRECTORY, &on, NULL);
    if (error != 0) {
        slab_free(mount->path);
        slab_free(mount);
        vnode_unref(root);
        return error;
    }
    mount->root = root;
    mount->on = on;
    mount->type = type;
    mount->source = source;
    mount->dev = mount_next_dev++;
    root->mount = mount;
    list_push_back(&mounts, &mount->node);
    if (on == NULL)
        vfs_root = root;
    else
        on->covered = mount;
    return 0;
}

void vfs_for_each_mount(void (*visit)(struct mount *mount, const char *path, void *context), void *context)
{
    list_for_each(node, &mounts)
    {
        struct mount *mount = container_of(node, struct mount, node);

        visit(mount, mount->path, context);
    }
}

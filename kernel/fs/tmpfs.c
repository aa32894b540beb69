/*
 * tmpfs: files in memory.
 *
 * A node embeds its vnode and lives while names or users hold references: each name holds one. A regular
 * file's data is a memory object without a pager. A directory keeps its names twice: in hash chains for
 * lookup, and in the order of creation for readdir, whose cookie is the sequence number of the last name
 * given.
 *
 *     struct directory          struct name                 struct tmpfs_node
 *     buckets[hash] ----------> chain -> chain ...  node -> vnode, mode, times, ...
 *     order <=================> order
 *
 * A file system has a quota of pages for all its files, in memory or in swap: half of memory beyond what it
 * began with, as Linux's has unless a mount says otherwise. What memfd_create makes belongs to none, nor has
 * a limit.
 *
 * Invariants: a node's nlink is the number of names it has (directories: 2 and one for each directory in it);
 * a directory that has been removed has nlink 0 and takes no new names. Locking: the kernel lock. Nothing
 * here sleeps between looking and changing: memory is allocated first.
 */
#include <linux/errno.h>
#include <linux/fs.h>
#include <linux/magic.h>

#include "base/check.h"
#include "kernel/fs/internal.h"
#include "kernel/fs/tmpfs.h"
#include "kernel/klib.h"
#include "kernel/linux/syscalls.h"
#include "quire/slab.h"

enum { BUCKETS_FIRST = 8 };

struct name {
    struct list order;
    struct name *chain;
    struct vnode *node; /* with a reference */
    uint64_t sequence;
    uint32_t hash;
    uint32_t length;
    char text[];
};

struct tmpfs_node {
    struct vnode vnode;
    uint64_t ino;
    uint32_t mode, uid, gid, nlink;
    uint64_t rdev;
    int64_t atime_ns, mtime_ns, ctime_ns;
    char *target;               /* symbolic links */
    struct object_quota *quota; /* the file system's, which is never freed: mounts stay; NULL: it has none */
    struct {
        struct name **buckets;
        unsigned bucket_count, count;
        struct list order;
        uint64_t sequence;
    } dir;
};

static uint64_t next_ino = 1;
static const struct vnode_ops tmpfs_ops;

static struct tmpfs_node *node_of(struct vnode *vnode)
{
    return container_of(vnode, struct tmpfs_node, vnode);
}

/* ---------------------------------------------------------------- nodes */

static struct tmpfs_node *node_create(uint32_t mode, struct object_quota *quota)
{
    struct tmpfs_node *node = fs_alloc(sizeof *node);
    struct process *process = process_current();

    if (node == NULL)
        return NULL;
    vnode_init(&node->vnode, &tmpfs_ops, mode & S_IFMT);
    node->vnode.in_memory = true;
    node->ino = next_ino++;
    node->mode = mode & 07777;
    node->quota = quota;
    node->atime_ns = node->mtime_ns = node->ctime_ns = fs_now_ns();
    list_init(&node->dir.order);
    if (process != NULL) {
        node->uid = process->uid[CREDENTIAL_EFFECTIVE];
        node->gid = process->gid[CREDENTIAL_EFFECTIVE];
    }
    if (node->vnode.type == S_IFREG) {
        node->vnode.seals = F_SEAL_SEAL; /* but for memfd_create's */
        node->vnode.object = object_create(NULL, NULL, 0);
        if (node->vnode.object == NULL) {
            slab_free(node);
            return NULL;
        }
        object_set_quota(node->vnode.object, quota);
    }
    return node;
}

static void tmpfs_release(struct vnode *vnode)
{
    struct tmpfs_node *node = node_of(vnode);

    slab_free(node->target);
    slab_free(node->dir.buckets);
    vnode_clear(vnode);
    slab_free(node);
}

static void node_changed(struct tmpfs_node *node)
{
    node->ctime_ns = fs_now_ns();
}

static void directory_changed(struct tmpfs_node *dir)
{
    dir->mtime_ns = dir->ctime_ns = fs_now_ns();
}

/* ---------------------------------------------------------------- names of a directory */

static uint32_t name_hash(const char *text, size_t length)
{
    uint32_t hash = 0x811c9dc5; /* FNV-1a */

    for (size_t i = 0; i < length; i++)
        hash = (hash ^ (uint8_t)text[i]) * 0x01000193;
    return hash;
}

static struct name *name_create(const char *text, struct vnode *node)
{
    size_t length = strlen(text);
    struct name *name = fs_alloc(sizeof *name + length + 1);

    if (name == NULL)
        return NULL;
    list_init(&name->order);
    name->node = node;
    name->length = (uint32_t)length;
    name->hash = name_hash(text, length);
    memcpy(name->text, text, length + 1);
    return name;
}

/* Where the pointer to the name is: *result is NULL when there is none. NULL: no names at all. */
static struct name **name_place(struct tmpfs_node *dir, const char *text)
{
    size_t length = strlen(text);
    uint32_t hash = name_hash(text, length);
    struct name **place;

    if (dir->dir.bucket_count == 0)
        return NULL;
    place = &dir->dir.buckets[hash & (dir->dir.bucket_count - 1)];
    while (*place != NULL && ((*place)->hash != hash || (*place)->length != length ||
                              memcmp((*place)->text, text, length) != 0))
        place = &(*place)->chain;
    return place;
}

static struct name *name_find(struct tmpfs_node *dir, const char *text)
{
    struct name **place = name_place(dir, text);

    return place == NULL ? NULL : *place;
}

/* Makes room for one more name; false without memory. A table that cannot grow stays as it is. */
static bool names_reserve(struct tmpfs_node *dir)
{
    unsigned old_count = dir->dir.bucket_count;
    unsigned count = old_count == 0 ? BUCKETS_FIRST : old_count * 4;
    struct name **buckets;

    if (dir->dir.count < old_count * 2)
        return true;
    buckets = fs_alloc(count * sizeof *buckets);
    if (buckets == NULL)
        return old_count != 0;
    if (dir->dir.bucket_count != old_count) { /* somebody else did it while memory was reclaimed */
        slab_free(buckets);
        return true;
    }
    list_for_each(link, &dir->dir.order)
    {
        struct name *name = container_of(link, struct name, order);
        struct name **bucket = &buckets[name->hash & (count - 1)];

        name->chain = *bucket;
        *bucket = name;
    }
    slab_free(dir->dir.buckets);
    dir->dir.buckets = buckets;
    dir->dir.bucket_count = count;
    return true;
}

/* Room was reserved; takes over the name, which holds a reference to its node. */
static void name_insert(struct tmpfs_node *dir, struct name *name)
{
    struct name **bucket = &dir->dir.buckets[name->hash & (dir->dir.bucket_count - 1)];

    name->chain = *bucket;
    *bucket = name;
    name->sequence = ++dir->dir.sequence;
    list_push_back(&dir->dir.order, &name->order);
    dir->dir.count++;
    directory_changed(dir);
}

/* Takes the name off its directory and frees it; its reference to the node goes to the caller. */
static struct vnode *name_remove(struct tmpfs_node *dir, struct name *name)
{
    struct vnode *node = name->node;

    *name_place(dir, name->text) = name->chain;
    list_remove(&name->order);
    dir->dir.count--;
    directory_changed(dir);
    slab_free(name);
    return node;
}

/* ---------------------------------------------------------------- making names */

/* The prepared name goes into the directory, unless there is one meanwhile. */
static int directory_enter(struct tmpfs_node *dir, struct name *name)
{
    if (!names_reserve(dir))
        return -ENOSPC;
    if (dir->nlink == 0)
        return -ENOENT;
    if (name_find(dir, name->text) != NULL)
        return -EEXIST;
    name_insert(dir, name);
    return 0;
}

/* A new node under a new name. The name holds one reference, the caller another. */
static int directory_make(struct vnode *parent, const char *text, struct tmpfs_node *node, struct vnode **out)
{
    struct tmpfs_node *dir = node_of(parent);
    struct name *name;
    int error;

    if (node == NULL)
        return -ENOSPC;
    name = name_create(text, &node->vnode);
    if (name == NULL) {
        vnode_unref(&node->vnode);
        return -ENOSPC;
    }
    error = directory_enter(dir, name);
    if (error != 0) {
        slab_free(name);
        vnode_unref(&node->vnode);
        return error;
    }
    node->vnode.mount = parent->mount;
    node->nlink = 1;
    if (node->vnode.type == S_IFDIR) {
        node->nlink = 2;
        node->vnode.parent = vnode_ref(parent);
        dir->nlink++;
    }
    if ((dir->mode & S_ISGID) != 0) {
        node->gid = dir->gid;
        if (node->vnode.type == S_IFDIR)
            node->mode |= S_ISGID;
    }
    if (out != NULL)
        *out = vnode_ref(&node->vnode);
    return 0;
}

static int tmpfs_create_node(struct vnode *dir, const char *name, uint32_t mode, uint64_t rdev,
                             struct vnode **out)
{
    struct tmpfs_node *node;

    if (name_find(node_of(dir), name) != NULL)
        return -EEXIST;
    node = node_create(mode, node_of(dir)->quota);
    if (node != NULL)
        node->rdev = rdev;
    return directory_make(dir, name, node, out);
}

static int tmpfs_mkdir(struct vnode *dir, const char *name, uint32_t mode, struct vnode **out)
{
    if (name_find(node_of(dir), name) != NULL)
        return -EEXIST;
    return directory_make(dir, name, node_create(S_IFDIR | (mode & 07777), node_of(dir)->quota), out);
}

static int tmpfs_symlink(struct vnode *dir, const char *name, const char *target)
{
    struct tmpfs_node *node;

    if (name_find(node_of(dir), name) != NULL)
        return -EEXIST;
    node = node_create(S_IFLNK | 0777, node_of(dir)->quota);
    if (node == NULL)
        return -ENOSPC;
    node->target = fs_strdup(target);
    if (node->target == NULL) {
        vnode_unref(&node->vnode);
        return -ENOSPC;
    }
    return directory_make(dir, name, node, NULL);
}

static int tmpfs_link(struct vnode *dir, const char *text, struct vnode *vnode)
{
    struct tmpfs_node *node = node_of(vnode);
    struct name *name = name_create(text, vnode);
    int error;

    if (name == NULL)
        return -ENOSPC;
    error = node->nlink == 0 ? -ENOENT : directory_enter(node_of(dir), name);
    if (error != 0) {
        slab_free(name);
        return error;
    }
    vnode_ref(vnode);
    node->nlink++;
    node_changed(node);
    return 0;
}

/* ---------------------------------------------------------------- removing names */

/* The node has lost a name (its reference comes along). */
static void node_unlinked(struct tmpfs_node *dir, struct vnode *vnode)
{
    struct tmpfs_node *node = node_of(vnode);

    if (vnode->type == S_IFDIR) {
        node->nlink = 0;
        dir->nlink--;
    } else {
        node->nlink--;
    }
    vnode->removed = node->nlink == 0;
    node_changed(node);
    vnode_unref(vnode);
}

static int tmpfs_unlink(struct vnode *parent, const char *text)
{
    struct tmpfs_node *dir = node_of(parent);
    struct name *name = name_find(dir, text);

    if (name == NULL)
        return -ENOENT;
    if (name->node->type == S_IFDIR)
        return -EISDIR;
    node_unlinked(dir, name_remove(dir, name));
    return 0;
}

static int tmpfs_rmdir(struct vnode *parent, const char *text)
{
    struct tmpfs_node *dir = node_of(parent);
    struct name *name = name_find(dir, text);

    if (name == NULL)
        return -ENOENT;
    if (name->node->type != S_IFDIR)
        return -ENOTDIR;
    if (name->node->covered != NULL)
        return -EBUSY;
    if (node_of(name->node)->dir.count != 0)
        return -ENOTEMPTY;
    node_unlinked(dir, name_remove(dir, name));
    return 0;
}

/* ---------------------------------------------------------------- rename */

/* May `from` take the place of `to`? */
static int rename_check(const struct name *from, const struct name *to)
{
    if (from->node->type == S_IFDIR) {
        if (to->node->type != S_IFDIR)
            return -ENOTDIR;
        if (to->node->covered != NULL)
            return -EBUSY;
        return node_of(to->node)->dir.count != 0 ? -ENOTEMPTY : 0;
    }
    return to->node->type == S_IFDIR ? -EISDIR : 0;
}

/* A directory has moved from one to the other. */
static void directory_moved(struct vnode *vnode, struct vnode *from, struct vnode *to)
{
    if (vnode->type != S_IFDIR || from == to)
        return;
    vnode->parent = vnode_ref(to);
    node_of(from)->nlink--;
    node_of(to)->nlink++;
    vnode_unref(from);
}

static void rename_exchange(struct vnode *dir, struct name *from, struct vnode *to_dir, struct name *to)
{
    struct vnode *moved = from->node;

    from->node = to->node;
    to->node = moved;
    directory_moved(moved, dir, to_dir);
    directory_moved(from->node, to_dir, dir);
    node_changed(node_of(from->node));
    node_changed(node_of(to->node));
    directory_changed(node_of(dir));
    directory_changed(node_of(to_dir));
}

static int tmpfs_rename(struct vnode *dir, const char *text, struct vnode *to_dir, const char *to_text,
                        unsigned flags)
{
    struct tmpfs_node *source = node_of(dir), *target = node_of(to_dir);
    struct name *fresh = name_create(to_text, NULL);
    struct name *from, *to;
    struct vnode *replaced;
    int error = 0;

    if (fresh == NULL || !names_reserve(target)) {
        slab_free(fresh);
        return -ENOSPC;
    }
    from = name_find(source, text);
    to = name_find(target, to_text);
    if (from == NULL || target->nlink == 0 || (to == NULL && (flags & RENAME_EXCHANGE) != 0))
        error = -ENOENT;
    else if (from->node->covered != NULL)
        error = -EBUSY;
    else if (to != NULL && (flags & RENAME_NOREPLACE) != 0)
        error = -EEXIST;
    else if (to != NULL && to->node != from->node && (flags & RENAME_EXCHANGE) == 0)
        error = rename_check(from, to);
    if (error != 0 || (to != NULL && to->node == from->node)) {
        slab_free(fresh);
        return error;
    }
    if ((flags & RENAME_EXCHANGE) != 0) {
        slab_free(fresh);
        rename_exchange(dir, from, to_dir, to);
        return 0;
    }
    replaced = to != NULL ? name_remove(target, to) : NULL;
    fresh->node = name_remove(source, from);
    name_insert(target, fresh);
    directory_moved(fresh->node, dir, to_dir);
    node_changed(node_of(fresh->node));
    if (replaced != NULL)
        node_unlinked(target, replaced); /* last, because it may sleep */
    return 0;
}

/* ---------------------------------------------------------------- looking */

static int tmpfs_lookup(struct vnode *dir, const char *text, struct vnode **out)
{
    struct name *name;

    if (dir->type != S_IFDIR)
        return -ENOTDIR;
    name = name_find(node_of(dir), text);
    if (name == NULL)
        return -ENOENT;
    *out = vnode_ref(name->node);
    return 0;
}

static long tmpfs_readlink(struct vnode *vnode, char *to, size_t size)
{
    const char *target = node_of(vnode)->target;
    size_t length;

    if (target == NULL)
        return -EINVAL;
    length = strlen(target);
    if (length > size)
        length = size;
    memcpy(to, target, length);
    return (long)length;
}

/* The first name behind the cookie; it may have been removed meanwhile. */
static struct list *readdir_find(struct tmpfs_node *dir, uint64_t cookie)
{
    struct list *link = dir->dir.order.next;

    if (cookie >= dir->dir.sequence)
        return &dir->dir.order;
    while (link != &dir->dir.order && container_of(link, struct name, order)->sequence <= cookie)
        link = link->next;
    return link;
}

static int tmpfs_readdir(struct vnode *vnode, uint64_t cookie, vdir_emit *emit, void *context)
{
    struct tmpfs_node *dir = node_of(vnode);

    for (struct list *link = readdir_find(dir, cookie); link != &dir->dir.order; link = link->next) {
        struct name *name = container_of(link, struct name, order);

        if (!emit(context, name->text, name->length, node_of(name->node)->ino, name->node->type >> 12,
                  name->sequence))
            break;
    }
    return 0;
}

static int tmpfs_getattr(struct vnode *vnode, struct vattr *out)
{
    struct tmpfs_node *node = node_of(vnode);

    out->mode = node->mode;
    out->uid = node->uid;
    out->gid = node->gid;
    out->nlink = node->nlink;
    out->ino = node->ino;
    out->rdev = node->rdev;
    out->atime_ns = node->atime_ns;
    out->mtime_ns = node->mtime_ns;
    out->ctime_ns = node->ctime_ns;
    if (vnode->type == S_IFDIR)
        out->size = (node->dir.count + 2) * 20;
    else if (node->target != NULL)
        out->size = strlen(node->target);
    if (vnode->object != NULL)
        out->blocks = object_allocated(vnode->object) * (PAGE_SIZE / 512);
    return 0;
}

static int tmpfs_setattr(struct vnode *vnode, const struct vattr *attr, unsigned which)
{
    struct tmpfs_node *node = node_of(vnode);

    if ((which & VATTR_MODE) != 0 && (vnode->seals & F_SEAL_EXEC) != 0 &&
        ((node->mode ^ attr->mode) & 0111) != 0)
        return -EPERM;
    if ((which & VATTR_SIZE) != 0) {
        enum status status;
        int error;

        if (vnode->object == NULL)
            return vnode->type == S_IFDIR ? -EISDIR : -EINVAL;
        error = seals_resize(vnode, object_size(vnode->object), attr->size);
        if (error != 0)
            return error;
        status = object_resize(vnode->object, attr->size);
        if (status != ST_OK)
            return (int)errno_of_write(status);
    }
    node_changed(node);
    if ((which & VATTR_MODE) != 0)
        node->mode = attr->mode & 07777;
    if ((which & VATTR_UID) != 0)
        node->uid = attr->uid;
    if ((which & VATTR_GID) != 0)
        node->gid = attr->gid;
    if ((which & VATTR_ATIME) != 0)
        node->atime_ns = attr->atime_ns;
    if ((which & VATTR_MTIME) != 0)
        node->mtime_ns = attr->mtime_ns;
    return 0;
}

static int tmpfs_open(struct vnode *vnode, struct file *file)
{
    switch (vnode->type) {
    case S_IFCHR:
        return dev_open(node_of(vnode)->rdev, file);
    case S_IFBLK:
        return -ENXIO;
    case S_IFIFO:
        return fifo_open(vnode, file);
    default:
        return 0;
    }
}

static int tmpfs_statfs(struct vnode *vnode, struct statfs64_info *out)
{
    const struct object_quota *quota = node_of(vnode)->quota;

    *out = (struct statfs64_info){.type = TMPFS_MAGIC, .block_size = PAGE_SIZE, .name_max = NAME_BYTES - 1};
    if (quota == NULL)
        return 0; /* no limits: Linux says zeroes */
    out->blocks = quota->limit;
    out->free = quota->limit > quota->used ? quota->limit - quota->used : 0;
    out->files = (next_ino & UINT32_MAX) + out->free;
    out->files_free = out->free;
    return 0;
}

static const struct vnode_ops tmpfs_ops = {
    .lookup = tmpfs_lookup,
    .create = tmpfs_create_node,
    .mkdir = tmpfs_mkdir,
    .symlink = tmpfs_symlink,
    .link = tmpfs_link,
    .unlink = tmpfs_unlink,
    .rmdir = tmpfs_rmdir,
    .rename = tmpfs_rename,
    .readlink = tmpfs_readlink,
    .readdir = tmpfs_readdir,
    .getattr = tmpfs_getattr,
    .setattr = tmpfs_setattr,
    .open = tmpfs_open,
    .statfs = tmpfs_statfs,
    .release = tmpfs_release,
};

/* ---------------------------------------------------------------- for others */

int tmpfs_create(struct vnode **root)
{
    struct object_quota *quota = fs_alloc(sizeof(*quota));
    struct tmpfs_node *node = quota != NULL ? node_create(S_IFDIR | 0755, quota) : NULL;

    if (node == NULL) {
        slab_free(quota);
        return -ENOMEM;
    }
    quota->limit = UINT64_MAX;
    node->nlink = 2;
    *root = &node->vnode;
    return 0;
}

void tmpfs_limit(struct vnode *root)
{
    struct object_quota *quota = node_of(root)->quota;
    struct frame_counts counts;

    frames_count(&counts);
    quota->limit = quota->used + (counts.total - counts.by_use[FRAME_RESERVED]) / 2;
}

void tmpfs_set_times(struct vnode *vnode, int64_t mtime_ns)
{
    struct tmpfs_node *node = node_of(vnode);

    node->atime_ns = node->mtime_ns = node->ctime_ns = mtime_ns;
}

void tmpfs_number_from(uint64_t ino)
{
    next_ino = ino;
}

void tmpfs_set_owner(struct vnode *vnode, uint32_t uid, uint32_t gid)
{
    node_of(vnode)->uid = uid;
    node_of(vnode)->gid = gid;
}

int tmpfs_anonymous(const char *name, uint32_t mode, unsigned seals, struct file **out)
{
    struct tmpfs_node *node = node_create(S_IFREG | mode, NULL);
    struct file *file;
    char path[NAME_BYTES + 32];

    if (node == NULL)
        return -ENOMEM;
    node->vnode.mount = vfs_root->mount;
    node->vnode.seals = seals;
    file = file_alloc(&object_file_ops, &node->vnode, O_RDWR);
    vnode_unref(&node->vnode);
    if (file == NULL)
        return -ENOMEM;
    snprintf(path, sizeof path, "/memfd:%s (deleted)", name);
    file->path = fs_strdup(path);
    *out = file;
    return 0;
}

/*
 * The file system over 9P: a directory of the host as a mount. Names are here; p9fs_node.c has the nodes,
 * p9fs_file.c the data.
 *
 * Names are hardly cached: a lookup asks the server if the last answer is older than a few milliseconds, so
 * that what the host does in the directory is seen at once. The server is the judge of every name: what it
 * refuses is passed on.
 */
#include <asm-generic/errno.h>
#include <linux/fcntl.h>
#include <linux/fs.h>

#include "kernel/dev/p9fs_internal.h"
#include "kernel/fs/internal.h"
#include "kernel/klib.h"
#include "quire/slab.h"

static struct p9fs *fs_of(struct vnode *vnode)
{
    return p9_node(vnode)->fs;
}

static int p9fs_lookup(struct vnode *dir, const char *name, struct vnode **out)
{
    struct p9fs *fs = fs_of(dir);
    struct p9_node *node = p9fs_node_fresh(fs, dir, name);
    struct p9_qid qid;
    uint32_t fid;
    int error;

    if (node != NULL) {
        *out = &node->vnode;
        return 0;
    }
    fid = p9_new_fid(fs->client);
    error = p9_walk(fs->client, p9_node(dir)->fid, fid, name, &qid);
    if (error == 0)
        error = p9fs_node_get(fs, fid, &qid, dir, name, &node);
    if (error == 0)
        *out = &node->vnode;
    return error;
}

/* ---------------------------------------------------------------- making */

static int create_file(struct vnode *dir, const char *name, uint32_t mode, struct vnode **out)
{
    struct p9fs *fs = fs_of(dir);
    uint32_t fid = p9_new_fid(fs->client);
    struct p9_node *node;
    int error = p9_walk(fs->client, p9_node(dir)->fid, fid, NULL, NULL);

    if (error != 0)
        return error;
    error = p9_create(fs->client, fid, name, O_RDWR | O_CREAT | O_EXCL, mode & 07777);
    if (error == 0)
        error = p9fs_lookup(dir, name, out);
    if (error != 0) {
        p9_clunk(fs->client, fid);
        return error;
    }
    node = p9_node(*out);
    if (node->vnode.type == S_IFREG && node->write_fid == P9_NO_FID)
        node->write_fid = fid; /* it may be written even if its mode says otherwise */
    else
        p9_clunk(fs->client, fid);
    return 0;
}

static int p9fs_make(struct vnode *dir, const char *name, uint32_t mode, uint64_t rdev, struct vnode **out)
{
    int error;

    p9fs_touched(p9_node(dir));
    if ((mode & S_IFMT) == S_IFREG || (mode & S_IFMT) == 0)
        return create_file(dir, name, mode, out);
    error = p9_mknod(fs_of(dir)->client, p9_node(dir)->fid, name, mode, (unsigned)(rdev >> 8 & 0xfff),
                     (unsigned)((rdev & 0xff) | (rdev >> 12 & 0xfff00)));
    return error != 0 ? error : p9fs_lookup(dir, name, out);
}

static int p9fs_mkdir(struct vnode *dir, const char *name, uint32_t mode, struct vnode **out)
{
    int error = p9_mkdir(fs_of(dir)->client, p9_node(dir)->fid, name, mode & 07777);

    p9fs_touched(p9_node(dir));
    return error != 0 ? error : p9fs_lookup(dir, name, out);
}

static int p9fs_symlink(struct vnode *dir, const char *name, const char *target)
{
    p9fs_touched(p9_node(dir));
    return p9_symlink(fs_of(dir)->client, p9_node(dir)->fid, name, target);
}

static int p9fs_link(struct vnode *dir, const char *name, struct vnode *vnode)
{
    struct p9_node *node = p9_node(vnode);
    int error;

    if (node->unlinked)
        return -ENOENT;
    error = p9_link(fs_of(dir)->client, p9_node(dir)->fid, node->fid, name);
    if (error == 0)
        node->attr.nlink++;
    p9fs_touched(node);
    p9fs_touched(p9_node(dir));
    return error;
}

/* ---------------------------------------------------------------- removing and moving */

/* The file that is about to lose this name, with a reference; open, so that those who use it can go on. */
static struct p9_node *prepare_unlink(struct vnode *dir, const char *name)
{
    struct p9_node *node = p9fs_node_named(fs_of(dir), dir, name);
    struct object *object = node != NULL ? node->vnode.object : NULL;

    if (node == NULL)
        return NULL;
    (void)p9fs_refresh(node); /* for the number of its names; what is wrong with it the removal will tell */
    if (object != NULL && (node->vnode.refs > 1 || object_mapped(object) != 0))
        (void)p9fs_need_fid(node, false); /* if it cannot be opened, nobody has */
    p9fs_node_leaving(node);
    return node;
}

static void end_unlink(struct p9_node *node, struct vnode *dir, const char *name, int error)
{
    if (node == NULL)
        return;
    if (error == 0)
        p9fs_node_unlinked(node);
    else
        p9fs_node_stays(node, dir, name);
    vnode_unref(&node->vnode);
}

static int remove_name(struct vnode *dir, const char *name, enum p9_unlink what)
{
    struct p9_node *node = prepare_unlink(dir, name);
    int error = p9_unlink(fs_of(dir)->client, p9_node(dir)->fid, name, what);

    p9fs_touched(p9_node(dir));
    end_unlink(node, dir, name, error);
    return error;
}

static int p9fs_unlink(struct vnode *dir, const char *name)
{
    return remove_name(dir, name, P9_UNLINK_FILE);
}

static int p9fs_rmdir(struct vnode *dir, const char *name)
{
    return remove_name(dir, name, P9_UNLINK_DIRECTORY);
}

static bool name_exists(struct vnode *dir, const char *name)
{
    struct p9fs *fs = fs_of(dir);
    uint32_t fid = p9_new_fid(fs->client);
    struct p9_qid qid;

    if (p9_walk(fs->client, p9_node(dir)->fid, fid, name, &qid) != 0)
        return false;
    p9_clunk(fs->client, fid);
    return true;
}

static int p9fs_rename(struct vnode *dir, const char *name, struct vnode *to_dir, const char *to_name,
                       unsigned flags)
{
    struct p9_node *node, *over;
    int error;

    if ((flags & ~(unsigned)RENAME_NOREPLACE) != 0)
        return -EINVAL;
    if ((flags & RENAME_NOREPLACE) != 0 && name_exists(to_dir, to_name))
        return -EEXIST;
    if (dir == to_dir && strcmp(name, to_name) == 0)
        return name_exists(dir, name) ? 0 : -ENOENT;
    node = p9fs_node_named(fs_of(dir), dir, name);
    over = prepare_unlink(to_dir, to_name);
    error = p9_rename(fs_of(dir)->client, p9_node(dir)->fid, name, p9_node(to_dir)->fid, to_name);
    p9fs_touched(p9_node(dir));
    p9fs_touched(p9_node(to_dir));
    end_unlink(over, to_dir, to_name, error);
    if (node != NULL) {
        if (error == 0)
            p9fs_node_rename(node, to_dir, to_name);
        vnode_unref(&node->vnode);
    }
    return error;
}

/* ---------------------------------------------------------------- looking */

static long p9fs_readlink(struct vnode *vnode, char *to, size_t size)
{
    struct frame *frame = fs_frame();
    long length;

    if (frame == NULL)
        return -ENOMEM;
    length = p9_readlink(fs_of(vnode)->client, p9_node(vnode)->fid, frame);
    if (length > (long)size)
        length = (long)size;
    if (length > 0)
        memcpy(to, frame_data(frame), (size_t)length);
    frame_free(frame);
    return length;
}

static bool is_dots(const struct p9_entry *entry)
{
    return entry->name[0] == '.' &&
           (entry->name_length == 1 || (entry->name_length == 2 && entry->name[1] == '.'));
}

/* Hands out the entries of one reply. False: the taker has enough. */
static bool emit_entries(const struct frame *frame, long bytes, uint64_t *cookie, vdir_emit *emit,
                         void *context)
{
    const uint8_t *at = frame_data(frame), *end = at + bytes;
    struct p9_entry entry;

    while (p9_entry_next(&at, end, &entry)) {
        if (entry.name_length != 0 && !is_dots(&entry) &&
            !emit(context, entry.name, entry.name_length, entry.qid.path, entry.type, entry.next))
            return false;
        *cookie = entry.next;
    }
    return true;
}

static int p9fs_readdir(struct vnode *vnode, uint64_t cookie, vdir_emit *emit, void *context)
{
    struct p9_node *node = p9_node(vnode);
    int error = p9fs_need_fid(node, false);
    struct frame *frame;
    uint64_t before;
    long bytes;

    if (error != 0)
        return error;
    frame = fs_frame();
    if (frame == NULL)
        return -ENOMEM;
    do {
        before = cookie;
        bytes = p9_readdir(node->fs->client, node->read_fid, cookie, frame);
    } while (bytes > 0 && emit_entries(frame, bytes, &cookie, emit, context) && cookie != before);
    frame_free(frame);
    return bytes < 0 ? (int)bytes : 0;
}

static int p9fs_statfs(struct vnode *vnode, struct statfs64_info *out)
{
    struct p9_statfs info;
    int error = p9_statfs(fs_of(vnode)->client, p9_node(vnode)->fid, &info);

    if (error != 0)
        return error;
    out->type = info.type;
    out->block_size = info.block_size;
    out->blocks = info.blocks;
    out->free = info.available;
    out->files = info.files;
    out->files_free = info.files_free;
    out->name_max = info.name_max;
    return 0;
}

const struct vnode_ops p9fs_vnode_ops = {
    .lookup = p9fs_lookup,
    .create = p9fs_make,
    .mkdir = p9fs_mkdir,
    .symlink = p9fs_symlink,
    .link = p9fs_link,
    .unlink = p9fs_unlink,
    .rmdir = p9fs_rmdir,
    .rename = p9fs_rename,
    .readlink = p9fs_readlink,
    .readdir = p9fs_readdir,
    .getattr = p9fs_getattr,
    .setattr = p9fs_setattr,
    .open = p9fs_open,
    .sync = p9fs_sync,
    .statfs = p9fs_statfs,
    .release = p9fs_node_release,
};

/* ---------------------------------------------------------------- mounting */

/* Nodes that may be kept idle: on a small machine few. */
static unsigned idle_max(void)
{
    uint64_t share = frame_table_count / 64;

    return share < 16 ? 16 : share > 512 ? 512 : (unsigned)share;
}

int p9fs_create(const char *tag, struct vnode **root)
{
    struct p9_client *client = p9_find(tag);
    struct p9_qid qid = {.type = P9_QID_DIRECTORY, .path = UINT64_MAX};
    struct p9_node *node;
    struct p9fs *fs;
    uint32_t fid;
    int error;

    if (client == NULL)
        return -ENODEV;
    fs = slab_alloc(sizeof(*fs));
    if (fs == NULL)
        return -ENOMEM;
    fs->client = client;
    fs->idle_max = idle_max();
    list_init(&fs->idle);
    for (unsigned i = 0; i < P9FS_BUCKETS; i++) {
        list_init(&fs->buckets[i]);
        list_init(&fs->names[i]);
    }
    error = p9_attach(client, &fid);
    if (error == 0)
        error = p9fs_node_get(fs, fid, &qid, NULL, NULL, &node);
    if (error != 0) {
        slab_free(fs);
        return error;
    }
    *root = &node->vnode;
    return 0;
}

/*
 * The nodes of the 9P file system: one for each file of the share that is in use, or was lately.
 *
 *     held (vnode.refs > 0)  --last reference-->  idle (refs 0, in the list)  --list too long-->  gone
 *              ^------------------found again----------------'
 *
 * An idle node keeps its pages and one fid, so that a file that is used again and again is read once. Pages
 * of idle nodes are dropped by reclaim like any others. A node whose object is still mapped by somebody
 * stays.
 *
 * A fid stands for a name as far as the server is concerned, so each time that a file is found by a name the
 * node takes the new fid: if the host has renamed, removed or replaced the file, the old one may lead
 * nowhere.
 *
 * Invariants: a hashed node's qid is in no other hashed node, and a name leads to one node at most; a node is
 * in fs->idle exactly when its refs are 0 and it is hashed; a regular file's node lives as long as its
 * object, whose pager's release frees it.
 *
 * Locking: the kernel lock. A function that talks to the server sleeps; what it looked up before must be
 * looked up again.
 */
#include <asm-generic/errno.h>

#include "kernel/dev/p9fs_internal.h"
#include "kernel/fs/internal.h"
#include "kernel/klib.h"
#include "quire/slab.h"

static struct list *bucket(struct p9fs *fs, uint64_t qid_path)
{
    return &fs->buckets[(qid_path ^ qid_path >> 7) % P9FS_BUCKETS];
}

static uint32_t type_of(uint8_t qid_type)
{
    return (qid_type & P9_QID_DIRECTORY) != 0 ? S_IFDIR : (qid_type & P9_QID_LINK) != 0 ? S_IFLNK : 0;
}

/* A link's or a directory's qid says so; the others' types are known from the attributes only. */
static bool same_type(const struct p9_node *node, uint8_t qid_type)
{
    uint32_t type = type_of(qid_type);

    return type != 0 ? node->vnode.type == type : node->vnode.type != S_IFDIR && node->vnode.type != S_IFLNK;
}

static struct p9_node *find(struct p9fs *fs, const struct p9_qid *qid)
{
    list_for_each(at, bucket(fs, qid->path))
    {
        struct p9_node *node = container_of(at, struct p9_node, hash);

        if (node->qid_path == qid->path && same_type(node, qid->type))
            return node;
    }
    return NULL;
}

static uint64_t hash_name(const char *name)
{
    uint64_t hash = 0xcbf29ce484222325; /* FNV-1a */

    for (; *name != '\0'; name++)
        hash = (hash ^ (uint8_t)*name) * 0x100000001b3;
    return hash;
}

static struct list *name_bucket(struct p9fs *fs, uint64_t dir_path, uint64_t hash)
{
    return &fs->names[(dir_path ^ hash) % P9FS_BUCKETS];
}

static struct p9_node *find_named(struct p9fs *fs, struct vnode *dir, const char *name)
{
    uint64_t hash = hash_name(name), dir_path = p9_node(dir)->qid_path;

    list_for_each(at, name_bucket(fs, dir_path, hash))
    {
        struct p9_node *node = container_of(at, struct p9_node, named);

        if (node->name_hash == hash && node->dir_path == dir_path)
            return node;
    }
    return NULL;
}

static void forget_name(struct p9_node *node)
{
    list_remove(&node->named);
    node->found_ns = 0;
}

/* The server has just said that the name leads there, so it leads nowhere else. */
static void set_name(struct p9_node *node, struct vnode *dir, const char *name)
{
    struct p9_node *before = dir != NULL ? find_named(node->fs, dir, name) : NULL;

    if (dir == NULL)
        return;
    if (before != NULL)
        forget_name(before);
    list_remove(&node->named);
    node->dir_path = p9_node(dir)->qid_path;
    node->name_hash = hash_name(name);
    node->found_ns = host_now_ns();
    list_push_front(name_bucket(node->fs, node->dir_path, node->name_hash), &node->named);
}

/* ---------------------------------------------------------------- gone */

static void leave_idle(struct p9_node *node)
{
    if (list_empty(&node->idle))
        return;
    list_remove(&node->idle);
    node->fs->idle_count--;
}

static void unhash(struct p9_node *node)
{
    node->hashed = false;
    list_remove(&node->hash);
    forget_name(node);
    leave_idle(node);
}

static void clunk(struct p9_node *node, uint32_t *fid)
{
    uint32_t number = *fid;

    *fid = P9_NO_FID;
    if (number != P9_NO_FID)
        p9_clunk(node->fs->client, number);
}

void p9fs_node_free(struct p9_node *node)
{
    clunk(node, &node->read_fid);
    clunk(node, &node->write_fid);
    clunk(node, &node->fid);
    slab_free(node);
}

/* An unheld node goes, at the latest when nobody maps its object. */
static void discard(struct p9_node *node)
{
    struct object *object = node->vnode.object;

    if (node->hashed)
        unhash(node);
    if (object == NULL) {
        p9fs_node_free(node);
        return;
    }
    node->vnode.object = NULL;
    if (node->unlinked && object_mapped(object) == 0 && object_resize(object, 0) != ST_OK)
        host_log("9p: an unlinked file could not be cut"); /* its pages are written for nothing */
    object_unref(object);
}

/* Lets the longest idle go. Those that are mapped are passed over. */
static void trim(struct p9fs *fs)
{
    unsigned tries = fs->idle_count;

    while (fs->idle_count > fs->idle_max && tries-- != 0) {
        struct p9_node *node = container_of(fs->idle.next, struct p9_node, idle);

        if (node->vnode.object != NULL && object_mapped(node->vnode.object) != 0) {
            list_remove(&node->idle);
            list_push_back(&fs->idle, &node->idle);
        } else {
            discard(node);
        }
    }
}

/* ---------------------------------------------------------------- found */

static void hold(struct p9_node *node)
{
    node->vnode.refs++;
    leave_idle(node);
}

static void set_parent(struct p9_node *node, struct vnode *dir)
{
    struct vnode *before = node->vnode.parent;

    if (node->vnode.type != S_IFDIR || dir == NULL || before == dir)
        return;
    node->vnode.parent = vnode_ref(dir);
    vnode_unref(before);
}

static struct p9_node *make(struct p9fs *fs, uint32_t fid, const struct p9_attr *attr)
{
    struct p9_node *node = fs_alloc(sizeof(*node));

    if (node == NULL)
        return NULL;
    vnode_init(&node->vnode, &p9fs_vnode_ops, attr->mode & S_IFMT);
    node->vnode.data = node;
    node->fs = fs;
    list_init(&node->hash);
    list_init(&node->named);
    list_init(&node->idle);
    node->fid = fid;
    node->dirty_from = UINT64_MAX;
    node->read_fid = P9_NO_FID;
    node->write_fid = P9_NO_FID;
    node->qid_path = attr->qid.path;
    node->attr = *attr;
    node->asked_ns = host_now_ns();
    if (node->vnode.type == S_IFREG) {
        node->seen_mtime_ns = attr->mtime_ns;
        node->seen_size = node->server_bytes = attr->size;
        node->vnode.object = object_create(&p9fs_pager, node, attr->size);
        if (node->vnode.object == NULL) {
            slab_free(node);
            return NULL;
        }
    }
    return node;
}

/* A node that is there takes the newest fid. */
static void take_fid(struct p9_node *node, uint32_t fid, struct vnode *dir, const char *name)
{
    uint32_t old_fid = node->fid;

    hold(node);
    node->fid = fid;
    set_name(node, dir, name);
    p9_clunk(node->fs->client, old_fid);
    set_parent(node, dir);
}

static int get_new(struct p9fs *fs, uint32_t fid, struct vnode *dir, const char *name, struct p9_node **out)
{
    struct p9_node *node, *other;
    struct p9_attr attr;
    int error = p9_getattr(fs->client, fid, &attr);

    if (error != 0)
        return error;
    node = make(fs, fid, &attr);
    if (node == NULL)
        return -ENOMEM;
    other = find(fs, &attr.qid); /* has somebody else been quicker? */
    if (other != NULL) {
        node->fid = P9_NO_FID;
        discard(node);
        take_fid(other, fid, dir, name);
        *out = other;
        return 0;
    }
    node->hashed = true;
    list_push_front(bucket(fs, node->qid_path), &node->hash);
    set_name(node, dir, name);
    set_parent(node, dir);
    *out = node;
    return 0;
}

int p9fs_node_get(struct p9fs *fs, uint32_t fid, const struct p9_qid *qid, struct vnode *dir,
                  const char *name, struct p9_node **out)
{
    int error;

    *out = find(fs, qid);
    if (*out != NULL) {
        take_fid(*out, fid, dir, name);
        return 0;
    }
    error = get_new(fs, fid, dir, name, out);
    if (error != 0)
        p9_clunk(fs->client, fid);
    return error;
}

struct p9_node *p9fs_node_named(struct p9fs *fs, struct vnode *dir, const char *name)
{
    struct p9_node *node = find_named(fs, dir, name);

    if (node != NULL)
        hold(node);
    return node;
}

struct p9_node *p9fs_node_fresh(struct p9fs *fs, struct vnode *dir, const char *name)
{
    struct p9_node *node = find_named(fs, dir, name);

    if (node == NULL || !p9fs_is_fresh(node->found_ns))
        return NULL;
    hold(node);
    set_parent(node, dir);
    return node;
}

void p9fs_node_rename(struct p9_node *node, struct vnode *dir, const char *name)
{
    set_name(node, dir, name);
    p9fs_touched(node);
    set_parent(node, dir);
}

static bool is_last_name(const struct p9_node *node)
{
    return node->attr.nlink <= 1 || node->vnode.type == S_IFDIR;
}

/* As soon as the server has removed the last name it may give the file's number to another file, so nobody
 * may find the node by it from now on. */
void p9fs_node_leaving(struct p9_node *node)
{
    if (node->hashed && is_last_name(node))
        unhash(node);
}

void p9fs_node_unlinked(struct p9_node *node)
{
    p9fs_touched(node);
    forget_name(node);
    if (node->hashed) {
        node->attr.nlink--; /* it lives on under another name, by which it will be found */
        return;
    }
    node->attr.nlink = 0;
    node->unlinked = true;
    node->vnode.removed = true;
}

void p9fs_node_stays(struct p9_node *node, struct vnode *dir, const char *name)
{
    struct p9_qid qid = {.type = node->attr.qid.type, .path = node->qid_path};

    if (node->hashed || find(node->fs, &qid) != NULL)
        return;
    node->hashed = true;
    list_push_front(bucket(node->fs, node->qid_path), &node->hash);
    set_name(node, dir, name);
}

/* ---------------------------------------------------------------- let go */

/* The last reference to the node is gone, but for one that we keep while we talk to the server. */
static void rest(struct p9_node *node)
{
    node->vnode.refs = 1;
    p9fs_settle(node);
    if (--node->vnode.refs != 0)
        return; /* found again meanwhile */
    if (!node->hashed) {
        discard(node);
        return;
    }
    list_push_back(&node->fs->idle, &node->idle);
    node->fs->idle_count++;
}

/* Up the tree in a loop: a directory holds its parent, and the stack is small. */
void p9fs_node_release(struct vnode *vnode)
{
    struct p9fs *fs = p9_node(vnode)->fs;

    while (vnode != NULL) {
        struct vnode *parent = vnode->parent;

        vnode->parent = NULL;
        rest(p9_node(vnode));
        vnode = parent != NULL && --parent->refs == 0 ? parent : NULL;
    }
    trim(fs);
}

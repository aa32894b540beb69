/*
 * The file system over 9P: what its parts share. Nodes (p9fs_node.c), names (p9fs.c), data (p9fs_file.c).
 */
#ifndef KERNEL_P9FS_INTERNAL_H
#define KERNEL_P9FS_INTERNAL_H

#include "kernel/dev/p9.h"
#include "kernel/fs/vfs.h"

enum { P9FS_BUCKETS = 64 };

struct p9fs {
    struct p9_client *client;
    struct list buckets[P9FS_BUCKETS]; /* of nodes, by qid */
    struct list names[P9FS_BUCKETS];   /* of nodes, by directory and name */
    struct list idle;                  /* nodes that nobody holds, the longest idle first */
    unsigned idle_count, idle_max;
};

struct p9_node {
    struct vnode vnode; /* its refs are 0 while the node is idle */
    struct p9fs *fs;
    struct list hash, named, idle;
    uint64_t qid_path;
    uint64_t dir_path,
        name_hash; /* the name by which `fid` was found: the directory's qid and the name's hash */
    uint32_t fid;  /* the file, by that name; not open */
    uint32_t read_fid, write_fid; /* open, or P9_NO_FID. A directory has the first only */
    unsigned writers;             /* open files that may write */
    bool hashed;
    bool unlinked;         /* its last name is gone: only what is open can be used */
    bool cut;              /* unlinked, and shortened here, which the server cannot be told */
    bool changed;          /* we have changed the file since `seen` */
    bool wrote;            /* has been open for writing: pages may be dirty */
    uint64_t found_ns;     /* when the server last said that the name leads to this file; 0: ask again */
    uint64_t asked_ns;     /* when `attr` was asked for; 0: it is out of date */
    struct p9_attr attr;   /* as the server last told */
    int64_t seen_mtime_ns; /* of the version whose pages we have */
    uint64_t seen_size;
    uint64_t dirty_from, dirty_to, dirty_bytes; /* written by calls and not yet sent: where, and how much */
    int error;             /* why the last transfer of data failed, -errno; 0: none has */
    uint64_t server_bytes; /* of data that the server has for us: behind it everything is zero */
};

static inline struct p9_node *p9_node(struct vnode *vnode)
{
    return container_of(vnode, struct p9_node, vnode);
}

extern const struct vnode_ops p9fs_vnode_ops;
extern const struct pager_ops p9fs_pager;

/* ---- p9fs_node.c */
/* The node of the file that `fid` names, with a reference: one that is there, or a new one. Takes over the
 * fid, also on an error. `dir` and `name`: where it was found; NULL for the root. */
int p9fs_node_get(struct p9fs *fs, uint32_t fid, const struct p9_qid *qid, struct vnode *dir,
                  const char *name, struct p9_node **out);
/* The node that was found by this name, if there is one, with a reference. Does not ask the server.
 * p9fs_node_fresh(): only if it was found a moment ago. */
struct p9_node *p9fs_node_named(struct p9fs *fs, struct vnode *dir, const char *name);
struct p9_node *p9fs_node_fresh(struct p9fs *fs, struct vnode *dir, const char *name);
/* Its name has changed. */
void p9fs_node_rename(struct p9_node *node, struct vnode *dir, const char *name);
/* Its name is about to be taken away, has been, or has not after all. The caller has a reference. */
void p9fs_node_leaving(struct p9_node *node);
void p9fs_node_unlinked(struct p9_node *node);
void p9fs_node_stays(struct p9_node *node, struct vnode *dir, const char *name);
/* vnode_ops.release: it becomes idle, or goes. */
void p9fs_node_release(struct vnode *vnode);
/* Its memory and its fids go; the object has died. */
void p9fs_node_free(struct p9_node *node);

/* What the server said so short a time ago is not asked again: most calls on a file come in twos and threes,
 * and each looks up every directory on the way. */
#define P9FS_FRESH_NS ((uint64_t)5000000)
static inline bool p9fs_is_fresh(uint64_t said_ns)
{
    return said_ns != 0 && host_now_ns() - said_ns < P9FS_FRESH_NS;
}

/* ---- p9fs_file.c */
/* Attributes from the server, unless they are fresh; sees to it that cached pages are those of the file. */
int p9fs_refresh(struct p9_node *node);
/* What the server said has become out of date. */
static inline void p9fs_touched(struct p9_node *node)
{
    node->asked_ns = 0;
}
int p9fs_getattr(struct vnode *vnode, struct vattr *out);
int p9fs_setattr(struct vnode *vnode, const struct vattr *attr, unsigned which);
int p9fs_open(struct vnode *vnode, struct file *file);
int p9fs_sync(struct vnode *vnode, bool data_only);
/* Opens what is not open yet. */
int p9fs_need_fid(struct p9_node *node, bool write);
/* Writes dirty pages and closes the open fids, if no mapping needs them. */
void p9fs_settle(struct p9_node *node);

#endif

/*
 * The overlay: a directory of the host, which is only read, under a file system in memory that takes every
 * change.
 *
 *      what is seen   =   upper (tmpfs), and what it does not hide of   lower (9p)
 *
 *      upper has the name, a file           that file itself
 *      upper has the name, a directory      both directories together, unless the upper one is opaque
 *      upper has a whiteout of the name     nothing
 *      lower alone has it                   a node of ours, which copies the file up when it is to change
 *
 * A whiteout is a character device 0:0, an opaque directory has an entry OPAQUE; names that begin with HIDDEN
 * are never seen. What takes several steps is prepared under a hidden name and put in its place by one
 * rename. An open file is one of the upper or lower file system; who had opened a file before it was copied
 * up goes on with the old one, as with Linux's overlayfs. Directories of the lower side cannot be renamed:
 * -EXDEV, as there.
 *
 * Invariants: nodes are found by their lower vnode, or else by their upper one, so there is one for each
 * directory and for each lower file in use; `upper` of a directory is set when it is made there and stays;
 * `name` is right as long as `upper` is NULL.
 *
 * Locking: kernel lock; a file's mutex while it is copied up. The lower side may sleep in every call.
 */
#include <linux/errno.h>
#include <linux/fs.h>

#include "kernel/fs/internal.h"
#include "kernel/fs/tmpfs.h"
#include "kernel/klib.h"
#include "kernel/linux/syscalls.h"
#include "quire/slab.h"

#define HIDDEN ".wh."
#define OPAQUE ".wh..opaque"

enum { BUCKETS = 64, HIDDEN_BYTES = 32 };
static const uint64_t FIRST_INO = (uint64_t)1 << 40; /* the upper side's files: apart from the host's */

struct overlay_node {
    struct vnode vnode;
    struct list hash;
    struct vnode *lower, *upper; /* with references; NULL: it is not there */
    struct vnode *dir;           /* a file's directory, with a reference (a directory's is vnode.parent) */
    char name[];
};

static struct list buckets[BUCKETS];
static uint64_t next_hidden;
static const struct vnode_ops overlay_dir_ops, overlay_file_ops;

static struct overlay_node *node_of(struct vnode *vnode)
{
    return container_of(vnode, struct overlay_node, vnode);
}

/* ---------------------------------------------------------------- nodes */

static struct list *bucket_of(const struct vnode *key)
{
    return &buckets[((uintptr_t)key >> 6) % BUCKETS];
}

static struct vnode *node_find(const struct vnode *upper, const struct vnode *lower)
{
    list_for_each(link, bucket_of(lower != NULL ? lower : upper))
    {
        struct overlay_node *node = container_of(link, struct overlay_node, hash);

        if (lower != NULL ? node->lower == lower : node->upper == upper)
            return vnode_ref(&node->vnode);
    }
    return NULL;
}

/* The node for both, one of which may be NULL; takes over their references, also on an error. */
static int node_get(struct vnode *dir, const char *name, struct vnode *upper, struct vnode *lower,
                    struct vnode **out)
{
    uint32_t type = (upper != NULL ? upper : lower)->type;
    struct overlay_node *node = fs_alloc(sizeof *node + strlen(name) + 1);

    *out = node_find(upper, lower);
    if (*out != NULL || node == NULL) {
        slab_free(node);
        vnode_unref(upper);
        vnode_unref(lower);
        return *out != NULL ? 0 : -ENOMEM;
    }
    vnode_init(&node->vnode, type == S_IFDIR ? &overlay_dir_ops : &overlay_file_ops, type);
    node->upper = upper;
    node->lower = lower;
    strlcpy(node->name, name, strlen(name) + 1);
    if (dir != NULL) {
        *(type == S_IFDIR ? &node->vnode.parent : &node->dir) = vnode_ref(dir);
        node->vnode.mount = dir->mount;
        if (lower != NULL)
            lower->mount = dir->mount; /* an open file is of the same device as its name */
    }
    if (type == S_IFREG && lower->object != NULL) {
        object_ref(lower->object);
        node->vnode.object = lower->object;
    }
    list_push_back(bucket_of(lower != NULL ? lower : upper), &node->hash);
    *out = &node->vnode;
    return 0;
}

static void overlay_release(struct vnode *vnode)
{
    struct overlay_node *node = node_of(vnode);

    list_remove(&node->hash);
    vnode_clear(vnode);
    vnode_unref(node->dir);
    vnode_unref(node->upper);
    vnode_unref(node->lower);
    slab_free(node);
}

/* The side that is seen. */
static struct vnode *side_of(struct vnode *vnode)
{
    struct overlay_node *node = node_of(vnode);

    return node->upper != NULL ? node->upper : node->lower;
}

static int overlay_getattr(struct vnode *vnode, struct vattr *out)
{
    return vnode_getattr(side_of(vnode), out);
}

static int overlay_statfs(struct vnode *vnode, struct statfs64_info *out)
{
    struct vnode *lower = node_of(vnode)->lower;
    struct vnode *asked = lower != NULL ? lower : node_of(vnode)->upper;

    return asked->ops->statfs(asked, out);
}

/* ---------------------------------------------------------------- what each side has */

static bool is_hidden(const char *name)
{
    return strncmp(name, HIDDEN, sizeof HIDDEN - 1) == 0;
}

static bool is_whiteout(struct vnode *upper)
{
    struct vattr attr;

    return upper->type == S_IFCHR && vnode_getattr(upper, &attr) == 0 && attr.rdev == 0;
}

/* What one side of the directory has by this name, with a reference; NULL: nothing. */
static int side_lookup(struct vnode *side, const char *name, struct vnode **out)
{
    int error = side == NULL ? -ENOENT : vnode_lookup(side, name, out);

    if (error != 0)
        *out = NULL;
    return error == -ENOENT ? 0 : error;
}

static bool is_opaque(struct vnode *upper)
{
    struct vnode *mark;

    if (side_lookup(upper, OPAQUE, &mark) != 0 || mark == NULL)
        return false;
    vnode_unref(mark);
    return true;
}

/* What both sides have, with references. `covered`: the upper side says that the name is gone; lower is then
 * what would be seen again without it. */
struct found {
    struct vnode *upper, *lower;
    bool covered;
};

static int find_both(struct vnode *dir, const char *name, struct found *found)
{
    struct overlay_node *node = node_of(dir);
    int error = side_lookup(node->lower, name, &found->lower); /* may sleep, so it comes first */

    found->upper = NULL;
    found->covered = false;
    if (error != 0)
        return error;
    error = side_lookup(node->upper, name, &found->upper);
    if (error != 0) {
        vnode_unref(found->lower);
        return error;
    }
    if (found->upper != NULL && is_whiteout(found->upper)) {
        found->covered = true;
        vnode_unref(found->upper);
        found->upper = NULL;
    }
    return 0;
}

static void found_end(struct found *found)
{
    vnode_unref(found->upper);
    vnode_unref(found->lower);
}

/* Does the upper side alone decide about the name? Then the host need not be asked. */
static bool upper_decides(struct vnode *dir, const char *name, struct vnode **out)
{
    if (side_lookup(node_of(dir)->upper, name, out) != 0 || *out == NULL)
        return false;
    if ((*out)->type != S_IFDIR)
        return true;
    vnode_unref(*out);
    return false;
}

/* A file of the upper side is what is seen, unless it is a whiteout. Takes over the reference. */
static int seen_upper(struct vnode *dir, struct vnode *upper, struct vnode **out)
{
    if (is_whiteout(upper)) {
        vnode_unref(upper);
        return -ENOENT;
    }
    upper->mount = dir->mount;
    *out = upper;
    return 0;
}

static int overlay_lookup(struct vnode *dir, const char *name, struct vnode **out)
{
    struct vnode *upper;
    struct found found;
    int error;

    if (is_hidden(name))
        return -ENOENT;
    if (upper_decides(dir, name, &upper))
        return seen_upper(dir, upper, out);
    error = find_both(dir, name, &found);
    if (error != 0)
        return error;
    if (found.upper == NULL && (found.lower == NULL || found.covered)) {
        found_end(&found);
        return -ENOENT;
    }
    if (found.upper != NULL && found.upper->type != S_IFDIR) { /* made while the host was asked */
        vnode_unref(found.lower);
        return seen_upper(dir, found.upper, out);
    }
    if (found.upper != NULL && found.lower != NULL &&
        (found.lower->type != S_IFDIR || is_opaque(found.upper))) {
        vnode_unref(found.lower);
        found.lower = NULL;
    }
    return node_get(dir, name, found.upper, found.lower, out);
}

/* ---------------------------------------------------------------- directories come up */

static int dir_up_once(struct overlay_node *node)
{
    struct vnode *parent = node_of(node->vnode.parent)->upper, *made = NULL;
    struct vattr attr;
    int error = vnode_getattr(node->lower, &attr);

    if (error == 0)
        error = parent->ops->mkdir(parent, node->name, attr.mode & 07777, &made);
    if (error == -EEXIST && node->upper != NULL)
        return 0; /* somebody was quicker */
    if (error == 0)
        error = vnode_setattr(made, &attr, VATTR_MODE | VATTR_UID | VATTR_GID | VATTR_ATIME | VATTR_MTIME);
    if (error != 0) {
        if (made != NULL)
            (void)parent->ops->rmdir(parent, node->name);
        vnode_unref(made);
        return error;
    }
    made->mount = node->vnode.mount;
    node->upper = made;
    return 0;
}

/* The directory is in the upper side too; from the highest down. */
static int dir_up(struct vnode *dir)
{
    int error = 0;

    while (error == 0 && node_of(dir)->upper == NULL) {
        struct overlay_node *node = node_of(dir);

        while (node_of(node->vnode.parent)->upper == NULL)
            node = node_of(node->vnode.parent);
        error = dir_up_once(node);
    }
    return error;
}

/* ---------------------------------------------------------------- steps under hidden names */

static void hidden_name(char *name)
{
    snprintf(name, HIDDEN_BYTES, HIDDEN "%llu", (unsigned long long)next_hidden++);
}

/* What was made as `hidden` takes the name, in place of a whiteout if there is one. On an error it is
 * removed. */
static int put_in_place(struct vnode *upper, const char *hidden, const char *name, bool whiteout)
{
    int error = upper->ops->rename(upper, hidden, upper, name, whiteout ? RENAME_EXCHANGE : RENAME_NOREPLACE);

    if (error != 0) {
        if (upper->ops->unlink(upper, hidden) == -EISDIR)
            (void)upper->ops->rmdir(upper, hidden);
    } else if (whiteout) {
        (void)upper->ops->unlink(upper, hidden);
    }
    return error;
}

static int make_mark(struct vnode *upper, const char *name)
{
    struct vnode *mark;
    int error = upper->ops->create(upper, name, S_IFCHR, 0, &mark);

    if (error == 0)
        vnode_unref(mark);
    return error;
}

/* The lower side's file of this name is hidden; what the upper side has there is now called `hidden`, if
 * `over`. */
static int make_whiteout(struct vnode *upper, const char *name, bool over, char *hidden)
{
    int error;

    if (!over)
        return make_mark(upper, name);
    hidden_name(hidden);
    error = make_mark(upper, hidden);
    if (error == 0) {
        error = upper->ops->rename(upper, hidden, upper, name, RENAME_EXCHANGE);
        if (error != 0)
            (void)upper->ops->unlink(upper, hidden);
    }
    return error;
}

/* ---------------------------------------------------------------- files come up */

static int copy_data(struct object *from, struct object *to)
{
    uint64_t size = object_size(from);
    enum status status = object_resize(to, size);

    for (uint64_t index = 0; index << PAGE_SHIFT < size && status == ST_OK; index++) {
        struct frame *source, *target;

        status = object_get_page(from, index, OBJECT_LOOK, &source);
        if (status != ST_OK)
            break;
        status = object_get_page(to, index, OBJECT_OVERWRITE, &target);
        if (status == ST_OK) {
            host_copy_page(frame_data(target), frame_data(source));
            object_put_written(target);
        }
        frame_unref(source);
    }
    return (int)errno_of_write(status);
}

/* A copy of the lower file under the hidden name. */
static int copy_as(struct overlay_node *node, struct vnode *upper, const char *hidden, bool with_data,
                   struct vnode **out)
{
    struct vattr attr;
    int error = vnode_getattr(node->lower, &attr);

    if (error == 0)
        error = upper->ops->create(upper, hidden, attr.mode, attr.rdev, out);
    if (error != 0)
        return error;
    if (with_data && node->lower->object != NULL)
        error = copy_data(node->lower->object, (*out)->object);
    if (error == 0)
        error = vnode_setattr(*out, &attr, VATTR_MODE | VATTR_UID | VATTR_GID | VATTR_ATIME | VATTR_MTIME);
    if (error != 0) {
        (void)upper->ops->unlink(upper, hidden);
        vnode_unref(*out);
    }
    return error;
}

/* From now on the copy is what the node stands for. */
static void go_up(struct overlay_node *node, struct vnode *copy)
{
    struct object *old = node->vnode.object;

    copy->mount = node->vnode.mount;
    node->upper = copy;
    if (copy->object != NULL)
        object_ref(copy->object);
    node->vnode.object = copy->object;
    if (old != NULL)
        object_unref(old);
}

static int copy_up_locked(struct overlay_node *node, bool with_data)
{
    struct vnode *upper, *copy, *there;
    char hidden[HIDDEN_BYTES];
    int error;

    if (node->upper != NULL)
        return 0;
    if (node->vnode.type == S_IFLNK)
        return -EPERM; /* nothing of a link can change but its name */
    error = dir_up(node->dir);
    if (error != 0)
        return error;
    upper = node_of(node->dir)->upper;
    hidden_name(hidden);
    error = copy_as(node, upper, hidden, with_data, &copy);
    if (error != 0)
        return error;
    error = side_lookup(upper, node->name, &there);
    if (error == 0 &&
        there != NULL) { /* its name has gone meanwhile: who has the node goes on with the copy */
        vnode_unref(there);
        (void)upper->ops->unlink(upper, hidden);
    } else if (error == 0) {
        error = put_in_place(upper, hidden, node->name, false);
    }
    if (error != 0)
        vnode_unref(copy);
    else
        go_up(node, copy);
    return error;
}

enum copy_data { COPY_WITHOUT_DATA, COPY_WITH_DATA };

static int copy_up(struct vnode *vnode, enum copy_data data)
{
    int error;

    mutex_lock(&vnode->mutex);
    error = copy_up_locked(node_of(vnode), data == COPY_WITH_DATA);
    mutex_unlock(&vnode->mutex);
    return error;
}

static int overlay_file_setattr(struct vnode *vnode, const struct vattr *attr, unsigned which)
{
    bool emptied = (which & VATTR_SIZE) != 0 && attr->size == 0;
    int error = copy_up(vnode, emptied ? COPY_WITHOUT_DATA : COPY_WITH_DATA);

    return error != 0 ? error : vnode_setattr(node_of(vnode)->upper, attr, which);
}

/* The open file is one of the side that has the data. */
static int overlay_open(struct vnode *vnode, struct file *file)
{
    struct vnode *side;
    int error = 0;

    if (vnode->type != S_IFREG)
        return -ENXIO; /* the host's devices and pipes are not ours */
    if (file_writable(file))
        error = copy_up(vnode, COPY_WITH_DATA);
    if (error != 0)
        return error;
    side = side_of(vnode);
    file->vnode = vnode_ref(side);
    vnode_unref(vnode);
    return side->ops->open != NULL ? side->ops->open(side, file) : 0;
}

static long overlay_readlink(struct vnode *vnode, char *to, size_t size)
{
    struct vnode *side = side_of(vnode);

    return side->ops->readlink == NULL ? -EINVAL : side->ops->readlink(side, to, size);
}

static const struct vnode_ops overlay_file_ops = {
    .readlink = overlay_readlink,
    .getattr = overlay_getattr,
    .setattr = overlay_file_setattr,
    .open = overlay_open,
    .statfs = overlay_statfs,
    .release = overlay_release,
};

/* ---------------------------------------------------------------- making names */

/* Where a new name goes: what is made under the hidden name takes it by place_take(). */
struct place {
    struct vnode *upper; /* the directory there */
    bool whiteout;       /* is in the place */
    char hidden[HIDDEN_BYTES];
};

static int place_find(struct vnode *dir, const char *name, struct place *place)
{
    struct found found;
    int error = is_hidden(name) ? -EINVAL : dir_up(dir);

    if (error == 0)
        error = find_both(dir, name, &found);
    if (error != 0)
        return error;
    place->upper = node_of(dir)->upper;
    place->whiteout = found.covered;
    hidden_name(place->hidden);
    error = found.upper != NULL || (found.lower != NULL && !found.covered) ? -EEXIST : 0;
    found_end(&found);
    return error;
}

static int place_take(const struct place *place, const char *name)
{
    return put_in_place(place->upper, place->hidden, name, place->whiteout);
}

static int overlay_create(struct vnode *dir, const char *name, uint32_t mode, uint64_t rdev,
                          struct vnode **out)
{
    struct place place;
    int error = place_find(dir, name, &place);

    if (error == 0)
        error = place.upper->ops->create(place.upper, place.hidden, mode, rdev, out);
    if (error != 0)
        return error;
    error = place_take(&place, name);
    if (error != 0)
        vnode_unref(*out);
    else
        (*out)->mount = dir->mount;
    return error;
}

static int overlay_mkdir(struct vnode *dir, const char *name, uint32_t mode, struct vnode **out)
{
    struct place place;
    struct vnode *made;
    int error = place_find(dir, name, &place);

    if (error == 0)
        error = place.upper->ops->mkdir(place.upper, place.hidden, mode, &made);
    if (error != 0)
        return error;
    if (place.whiteout)
        error = make_mark(made, OPAQUE);
    if (error == 0)
        error = place_take(&place, name);
    else
        (void)place.upper->ops->rmdir(place.upper, place.hidden);
    if (error != 0) {
        vnode_unref(made);
        return error;
    }
    made->mount = dir->mount;
    return node_get(dir, name, made, NULL, out);
}

static int overlay_symlink(struct vnode *dir, const char *name, const char *target)
{
    struct place place;
    int error = place_find(dir, name, &place);

    if (error == 0)
        error = place.upper->ops->symlink(place.upper, place.hidden, target);
    return error != 0 ? error : place_take(&place, name);
}

static int overlay_link(struct vnode *dir, const char *name, struct vnode *node)
{
    bool ours = node->ops == &overlay_file_ops;
    struct place place;
    int error = place_find(dir, name, &place);

    if (error == 0 && ours)
        error = copy_up(node, COPY_WITH_DATA);
    if (error == 0)
        error = place.upper->ops->link(place.upper, place.hidden, ours ? node_of(node)->upper : node);
    return error != 0 ? error : place_take(&place, name);
}

/* ---------------------------------------------------------------- reading directories */

/* The upper side first, whose cookies are small numbers; those of the lower side, which may be anything below
 * 2^63, begin at COOKIE_LOWER. The few that do not fit then are the end, which is what some hosts say with
 * INT64_MAX. */
#define COOKIE_LOWER ((uint64_t)1 << 32)

static uint64_t lower_cookie(uint64_t cookie)
{
    return cookie > INT64_MAX - COOKIE_LOWER ? INT64_MAX : cookie + COOKIE_LOWER;
}

struct merge {
    struct overlay_node *node;
    bool lower, stopped;
    vdir_emit *emit;
    void *context;
};

static bool merge_emit(void *context, const char *name, size_t length, uint64_t ino, unsigned dtype,
                       uint64_t next)
{
    struct merge *merge = context;
    char text[NAME_BYTES];
    struct vnode *upper = NULL;
    bool shown;

    memcpy(text, name, length);
    text[length] = '\0';
    if (is_hidden(text) || (merge->node->upper != NULL && side_lookup(merge->node->upper, text, &upper) != 0))
        return true;
    shown = merge->lower ? upper == NULL : upper != NULL && !is_whiteout(upper);
    vnode_unref(upper);
    if (shown)
        merge->stopped =
            !merge->emit(merge->context, name, length, ino, dtype, merge->lower ? lower_cookie(next) : next);
    return !merge->stopped;
}

static int overlay_readdir(struct vnode *vnode, uint64_t cookie, vdir_emit *emit, void *context)
{
    struct overlay_node *node = node_of(vnode);
    struct merge merge = {.node = node, .emit = emit, .context = context};
    int error = 0;

    if (cookie < COOKIE_LOWER) {
        if (node->upper != NULL)
            error = node->upper->ops->readdir(node->upper, cookie, merge_emit, &merge);
        cookie = COOKIE_LOWER;
    }
    if (error != 0 || merge.stopped || node->lower == NULL)
        return error;
    merge.lower = true;
    return node->lower->ops->readdir(node->lower, cookie - COOKIE_LOWER, merge_emit, &merge);
}

static bool note_any(void *context, const char *name, size_t length, uint64_t ino, unsigned dtype,
                     uint64_t next)
{
    *(bool *)context = true;
    return false;
}

/* ---------------------------------------------------------------- removing names */

struct first_name {
    char text[NAME_BYTES];
    bool found;
};

static bool note_first(void *context, const char *name, size_t length, uint64_t ino, unsigned dtype,
                       uint64_t next)
{
    struct first_name *first = context;

    memcpy(first->text, name, length);
    first->text[length] = '\0';
    first->found = true;
    return false;
}

/* Removes an upper directory in which only hidden names are left. */
static void remove_upper_dir(struct vnode *upper, const char *name, struct vnode *dir)
{
    for (;;) {
        struct first_name first = {.found = false};

        if (dir->ops->readdir(dir, 0, note_first, &first) != 0 || !first.found ||
            dir->ops->unlink(dir, first.text) != 0)
            break;
    }
    (void)upper->ops->rmdir(upper, name);
}

static int overlay_unlink(struct vnode *dir, const char *name)
{
    char hidden[HIDDEN_BYTES];
    struct found found;
    int error = find_both(dir, name, &found);

    if (error != 0)
        return error;
    if (found.upper == NULL && (found.lower == NULL || found.covered))
        error = -ENOENT;
    else if ((found.upper != NULL ? found.upper : found.lower)->type == S_IFDIR)
        error = -EISDIR;
    else if (found.lower != NULL)
        error = dir_up(dir);
    if (error == 0 && found.lower == NULL) {
        error = found.upper == NULL ? -ENOENT : node_of(dir)->upper->ops->unlink(node_of(dir)->upper, name);
    } else if (error == 0) {
        error = make_whiteout(node_of(dir)->upper, name, found.upper != NULL, hidden);
        if (error == 0 && found.upper != NULL)
            (void)node_of(dir)->upper->ops->unlink(node_of(dir)->upper, hidden);
    }
    found_end(&found);
    return error;
}

static int rmdir_node(struct vnode *dir, const char *name, struct overlay_node *node)
{
    struct vnode *upper, *gone = node->upper;
    char hidden[HIDDEN_BYTES];
    int error;

    if (node->lower == NULL) {
        upper = node_of(dir)->upper;
        if (!is_opaque(gone)) {
            remove_upper_dir(upper, name, gone);
            return 0;
        }
    }
    error = dir_up(dir);
    upper = node_of(dir)->upper;
    if (error == 0)
        error = make_whiteout(upper, name, gone != NULL, hidden);
    if (error == 0 && gone != NULL)
        remove_upper_dir(upper, hidden, gone);
    return error;
}

static int overlay_rmdir(struct vnode *dir, const char *name)
{
    struct vnode *vnode;
    bool any = false;
    int error = overlay_lookup(dir, name, &vnode);

    if (error != 0)
        return error;
    if (vnode->type != S_IFDIR)
        error = -ENOTDIR;
    else if (vnode->covered != NULL)
        error = -EBUSY;
    else
        error = overlay_readdir(vnode, 0, note_any, &any);
    if (error == 0 && any)
        error = -ENOTEMPTY;
    if (error == 0)
        error = rmdir_node(dir, name, node_of(vnode));
    vnode_unref(vnode);
    return error;
}

/* ---------------------------------------------------------------- rename */

/* The target of a rename is made ready: a directory that is there must be empty and goes; what the lower side
 * has there is hidden by what comes. `*whiteout`: one is there. */
static int rename_target(struct vnode *moved, struct vnode *to_dir, const char *to_name, bool *whiteout)
{
    struct found found;
    bool is_dir, exists;
    int error = dir_up(to_dir);

    if (error == 0)
        error = find_both(to_dir, to_name, &found);
    if (error != 0)
        return error;
    exists = found.upper != NULL || (found.lower != NULL && !found.covered);
    is_dir = exists && (found.upper != NULL ? found.upper : found.lower)->type == S_IFDIR;
    *whiteout = found.covered;
    if (exists && is_dir != (moved->type == S_IFDIR))
        error = is_dir ? -EISDIR : -ENOTDIR;
    else if (is_dir)
        error = overlay_rmdir(to_dir, to_name);
    if (error == 0 && is_dir)
        *whiteout = found.lower != NULL;
    if (error == 0 && moved->type == S_IFDIR && found.lower != NULL && !is_opaque(node_of(moved)->upper))
        error = make_mark(node_of(moved)->upper, OPAQUE);
    found_end(&found);
    return error;
}

static void node_moved(struct vnode *moved, struct vnode *to_dir)
{
    struct vnode *from = moved->parent;

    if (moved->type != S_IFDIR || from == to_dir)
        return;
    moved->parent = vnode_ref(to_dir);
    vnode_unref(from);
}

/* `moved` is in the upper side, by `name` there. */
static int rename_upper(struct vnode *moved, struct vnode *dir, const char *name, struct vnode *to_dir,
                        const char *to_name, bool whiteout)
{
    struct vnode *from = node_of(dir)->upper, *to = node_of(to_dir)->upper;
    struct vnode *below = NULL;
    int error = side_lookup(node_of(dir)->lower, name, &below);
    bool swap = whiteout && moved->type == S_IFDIR; /* a directory cannot replace what is none */

    if (error == 0)
        error = from->ops->rename(from, name, to, to_name, swap ? RENAME_EXCHANGE : 0);
    if (error == 0 && below != NULL && !swap)
        error = make_mark(from, name);
    else if (error == 0 && below == NULL && swap)
        error = from->ops->unlink(from, name);
    vnode_unref(below);
    return error;
}

static int overlay_rename(struct vnode *dir, const char *name, struct vnode *to_dir, const char *to_name,
                          unsigned flags)
{
    struct vnode *moved;
    bool whiteout = false;
    int error;

    if ((flags & ~(unsigned)RENAME_NOREPLACE) != 0 || is_hidden(to_name))
        return -EINVAL;
    error = overlay_lookup(dir, name, &moved);
    if (error != 0)
        return error;
    if (moved->type == S_IFDIR && node_of(moved)->lower != NULL)
        error = -EXDEV;
    else if (moved->ops == &overlay_file_ops)
        error = moved->type == S_IFLNK ? -EXDEV : copy_up(moved, COPY_WITH_DATA);
    if (error == 0 && (dir != to_dir || strcmp(name, to_name) != 0)) {
        error = rename_target(moved, to_dir, to_name, &whiteout);
        if (error == 0)
            error = rename_upper(moved, dir, name, to_dir, to_name, whiteout);
        if (error == 0)
            node_moved(moved, to_dir);
    }
    vnode_unref(moved);
    return error;
}

static int overlay_dir_setattr(struct vnode *vnode, const struct vattr *attr, unsigned which)
{
    int error = dir_up(vnode);

    return error != 0 ? error : vnode_setattr(node_of(vnode)->upper, attr, which);
}

static const struct vnode_ops overlay_dir_ops = {
    .lookup = overlay_lookup,
    .create = overlay_create,
    .mkdir = overlay_mkdir,
    .symlink = overlay_symlink,
    .link = overlay_link,
    .unlink = overlay_unlink,
    .rmdir = overlay_rmdir,
    .rename = overlay_rename,
    .readdir = overlay_readdir,
    .getattr = overlay_getattr,
    .setattr = overlay_dir_setattr,
    .statfs = overlay_statfs,
    .release = overlay_release,
};

int overlay_over(struct vnode *upper, struct vnode *lower, struct vnode **root)
{
    for (unsigned i = 0; i < BUCKETS; i++)
        list_init(&buckets[i]);
    tmpfs_number_from(FIRST_INO);
    return node_get(NULL, "", upper, lower, root);
}

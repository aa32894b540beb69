/*
 * The path walk: from a path to a vnode.
 *
 * Component by component, with one loop. Where a component is a symbolic link, its target and the rest of the
 * path together become the path that is still to be walked, so links need no recursion. `at` is always held
 * with one reference. The resolved absolute path is built on the way when the caller wants it.
 *
 * Locking: kernel lock; file systems may sleep in lookup and readlink. Nothing is held meanwhile but
 * references.
 */
#include <linux/errno.h>

#include "kernel/fs/internal.h"
#include "kernel/klib.h"
#include "quire/slab.h"

/* ---------------------------------------------------------------- path buffers */

enum { PATH_BUFFERS_KEPT = 4 };

static char *kept_buffers[PATH_BUFFERS_KEPT];
static unsigned kept_count;

char *path_buffer(void)
{
    struct frame *frame;

    if (kept_count != 0)
        return kept_buffers[--kept_count];
    frame = fs_frame();
    return frame == NULL ? NULL : frame_data(frame);
}

void path_buffer_free(char *buffer)
{
    if (buffer == NULL)
        return;
    if (kept_count < PATH_BUFFERS_KEPT)
        kept_buffers[kept_count++] = buffer;
    else
        frame_free(frame_at(host_paddr(buffer)));
}

int path_buffers_init(void)
{
    while (kept_count < PATH_BUFFERS_KEPT) {
        struct frame *frame = fs_frame();

        if (frame == NULL)
            return -ENOMEM;
        kept_buffers[kept_count++] = frame_data(frame);
    }
    return 0;
}

/* ---------------------------------------------------------------- the resolved path */

/* Begins at "" (the root) or at the path of the base. Where that is not known, the length stays SIZE_MAX. */
static void resolved_begin(struct walk *walk, const char *from)
{
    if (walk->resolved == NULL)
        return;
    if (from == NULL) {
        walk->resolved_length = SIZE_MAX;
        return;
    }
    walk->resolved_length = strlcpy(walk->resolved, from, PATH_BYTES);
    if (walk->resolved_length == 1)
        walk->resolved_length = 0; /* "/" */
}

static void resolved_add(struct walk *walk, const char *name, size_t length)
{
    if (walk->resolved == NULL || walk->resolved_length == SIZE_MAX)
        return;
    if (walk->resolved_length + length + 2 > PATH_BYTES) {
        walk->resolved_length = SIZE_MAX;
        return;
    }
    walk->resolved[walk->resolved_length] = '/';
    memcpy(walk->resolved + walk->resolved_length + 1, name, length);
    walk->resolved_length += length + 1;
}

static void resolved_up(struct walk *walk)
{
    if (walk->resolved == NULL || walk->resolved_length == SIZE_MAX)
        return;
    while (walk->resolved_length != 0 && walk->resolved[--walk->resolved_length] != '/')
        ;
}

static void resolved_end(struct walk *walk)
{
    if (walk->resolved == NULL)
        return;
    if (walk->resolved_length == SIZE_MAX)
        walk->resolved_length = 0; /* not known: "" */
    else if (walk->resolved_length == 0)
        walk->resolved[walk->resolved_length++] = '/';
    walk->resolved[walk->resolved_length] = '\0';
}

/* ---------------------------------------------------------------- steps */

static struct vnode *walk_replace(struct vnode *at, struct vnode *with)
{
    vnode_unref(at);
    return with;
}

/* Through what is mounted on it. */
static struct vnode *walk_into_mounts(struct vnode *at)
{
    while (at->covered != NULL)
        at = walk_replace(at, vnode_ref(at->covered->root));
    return at;
}

static struct vnode *walk_up(struct walk *walk, struct vnode *at)
{
    while (at != walk->root && at->mount != NULL && at->mount->root == at && at->mount->on != NULL)
        at = walk_replace(at, vnode_ref(at->mount->on));
    if (at == walk->root || at->parent == NULL)
        return at;
    resolved_up(walk);
    return walk_into_mounts(walk_replace(at, vnode_ref(at->parent)));
}

/* The link's target and the rest become the path to walk. `at`, the link's directory, may change. */
static int walk_link(struct walk *walk, struct vnode *link, struct vnode **at, const char **path)
{
    size_t rest = strlen(*path);
    char *buffer;
    long length;

    if (++walk->links > LINKS_MAX)
        return -ELOOP;
    if (link->ops->readlink == NULL)
        return -EINVAL;
    buffer = path_buffer();
    if (buffer == NULL)
        return -ENOMEM;
    length = link->ops->readlink(link, buffer, PATH_BYTES);
    if (length <= 0 || (size_t)length + rest + 1 > PATH_BYTES) {
        path_buffer_free(buffer);
        return length < 0 ? (int)length : length == 0 ? -ENOENT : -ENAMETOOLONG;
    }
    memcpy(buffer + length, *path, rest + 1);
    path_buffer_free(walk->pending);
    walk->pending = buffer;
    *path = buffer;
    if (*buffer == '/') {
        *at = walk_replace(*at, vnode_ref(walk->root));
        resolved_begin(walk, "");
    }
    return 0;
}

/* A link to a file itself: its vnode, or the open file when it has none and ends the path. */
static int walk_jump(struct walk *walk, struct vnode **link, bool is_last)
{
    struct vnode_jump to = {.node = NULL};
    int error = (*link)->ops->jump(*link, &to);

    if (error != 0)
        return error;
    if (to.node == NULL && !is_last) {
        file_unref(to.file);
        return -ENOTDIR;
    }
    *link = walk_replace(*link, to.node);
    if (to.node == NULL) {
        walk->file = to.file;
        return 0;
    }
    resolved_begin(walk, to.path);
    if (to.file != NULL)
        file_unref(to.file);
    return 0;
}

static const char *walk_skip_slashes(const char *path)
{
    while (*path == '/')
        path++;
    return path;
}

static bool walk_is_dots(const char *name, size_t length)
{
    return name[0] == '.' && (length == 1 || (length == 2 && name[1] == '.'));
}

/* Keeps the last component for the caller. */
static void walk_keep_last(struct walk *walk, const char *name, size_t length)
{
    memcpy(walk->last, name, length);
    walk->last[length] = '\0';
}

/* ---------------------------------------------------------------- the walk */

/*
 * Looks `name` up in *at and goes there. 0: *at is the new place (or walk->file is set), or, for a link,
 * still the directory with *path set anew. 1: missing, but that is allowed.
 */
static int walk_step(struct walk *walk, struct vnode **at, const char *name, size_t length, const char **path,
                     bool is_last)
{
    char component[NAME_BYTES];
    struct vnode *node;
    int error;

    memcpy(component, name, length);
    component[length] = '\0';
    if (walk->checks) {
        error = vnode_permission(*at, MAY_EXECUTE);
        if (error != 0)
            return error;
    }
    error = vnode_lookup(*at, component, &node);
    if (error == -ENOENT && is_last && (walk->flags & WALK_CREATE) != 0) {
        walk_keep_last(walk, component, length);
        return 1;
    }
    if (error != 0)
        return error;
    if (node->type == S_IFLNK && (!is_last || walk->trailing_slash || (walk->flags & WALK_FOLLOW) != 0)) {
        if (node->ops->jump == NULL) {
            error = walk_link(walk, node, at, path);
            vnode_unref(node);
            return error;
        }
        if (++walk->links > LINKS_MAX)
            error = -ELOOP;
        else
            error = walk_jump(walk, &node, is_last);
        if (error != 0) {
            vnode_unref(node);
            return error;
        }
    } else {
        resolved_add(walk, component, length);
    }
    if (node != NULL)
        node = walk_into_mounts(node);
    *at = walk_replace(*at, node);
    return 0;
}

static int walk_loop(struct walk *walk, struct vnode **at, const char *path)
{
    for (;;) {
        const char *name = walk_skip_slashes(path);
        const char *end = name;
        bool is_last;
        int error;

        if (*name == '\0')
            return 0;
        while (*end != '\0' && *end != '/')
            end++;
        if (end - name >= NAME_BYTES)
            return -ENAMETOOLONG;
        path = end; /* with its slashes: they go behind a link's target too */
        is_last = *walk_skip_slashes(end) == '\0';
        walk->trailing_slash = is_last && *end == '/';
        if ((*at)->type != S_IFDIR)
            return -ENOTDIR;
        if (walk->trailing_slash && (walk->flags & WALK_CREATE) != 0)
            return -EISDIR;
        if (is_last && (walk->flags & WALK_PARENT) != 0) {
            walk_keep_last(walk, name, (size_t)(end - name));
            return 0;
        }
        if (walk_is_dots(name, (size_t)(end - name))) {
            if (end - name == 2)
                *at = walk_up(walk, *at);
            continue;
        }
        error = walk_step(walk, at, name, (size_t)(end - name), &path, is_last);
        if (error == 1) {
            walk->parent = *at;
            *at = NULL;
            return 0;
        }
        if (error != 0)
            return error;
        if (*at == NULL)
            return 0;
    }
}

int walk_run(struct walk *walk)
{
    struct process *process = process_current();
    struct vnode *at = walk->base;
    const char *path = walk->path;
    int error;

    if (*path == '\0')
        return -ENOENT;
    walk->root = process != NULL && process->root != NULL ? process->root : vfs_root;
    if (*path == '/') {
        at = walk->root;
        resolved_begin(walk, "");
    } else if (at == NULL) {
        at = process != NULL && process->cwd != NULL ? process->cwd : walk->root;
        resolved_begin(walk, at == walk->root ? "" : process->cwd_path);
    } else {
        resolved_begin(walk, walk->base_path);
    }
    walk->checks = !process_is_root();
    vnode_ref(at);
    error = walk_loop(walk, &at, path);
    path_buffer_free(walk->pending);
    walk->pending = NULL;
    if (error == 0 && at != NULL && at->type != S_IFDIR &&
        (walk->trailing_slash || (walk->flags & (WALK_DIRECTORY | WALK_PARENT)) != 0))
        error = -ENOTDIR;
    if (error != 0) {
        vnode_unref(at);
        return error;
    }
    walk->node = at;
    if (walk->parent != NULL)
        resolved_add(walk, walk->last, strlen(walk->last));
    resolved_end(walk);
    return 0;
}

void walk_end(struct walk *walk)
{
    vnode_unref(walk->node);
    vnode_unref(walk->parent);
    if (walk->file != NULL)
        file_unref(walk->file);
    walk->node = NULL;
    walk->parent = NULL;
    walk->file = NULL;
}

int path_resolve(struct vnode *base, const char *base_path, const char *path, unsigned flags,
                 struct vnode **out, char *last, char *resolved)
{
    struct walk walk;
    int error;

    walk.base = base;
    walk.base_path = base_path;
    walk.path = path;
    walk.flags = flags & ~(unsigned)WALK_CREATE;
    walk.resolved = resolved;
    walk_clear(&walk);
    error = walk_run(&walk);
    if (error != 0)
        return error;
    if (walk.node == NULL) { /* an open file without a name */
        walk_end(&walk);
        return -ENXIO;
    }
    if (last != NULL)
        strlcpy(last, walk.last, NAME_BYTES);
    *out = walk.node;
    return 0;
}

int path_walk(struct vnode *base, const char *path, unsigned flags, struct vnode **out, char *last)
{
    return path_resolve(base, NULL, path, flags, out, last, NULL);
}

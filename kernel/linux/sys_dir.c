/*
 * System calls on names: directories, links, renaming, the current directory.
 */
#include <linux/limits.h>
#include <linux/stat.h>

#include "kernel/klib.h"
#include "kernel/linux/file_args.h"
#include "quire/slab.h"

/* ---------------------------------------------------------------- reading directories */

struct dirent64 { /* linux_dirent64 of getdents(2) */
    uint64_t ino;
    int64_t next;
    uint16_t length;
    uint8_t type;
    char name[];
} __attribute__((packed));

struct dirent_old { /* linux_dirent; the type is in the last byte */
    uint64_t ino;
    int64_t next;
    uint16_t length;
    char name[];
} __attribute__((packed));

struct dirents {
    char *page; /* entries are gathered here */
    size_t used, room;
    bool old;
    bool too_small; /* not even one fitted */
};

static bool dirents_add(void *context, const char *name, size_t length, uint64_t ino, unsigned dtype,
                        uint64_t next)
{
    struct dirents *dirents = context;
    size_t header = dirents->old ? sizeof(struct dirent_old) : sizeof(struct dirent64);
    size_t bytes = align_up(header + length + (dirents->old ? 2 : 1), 8);
    char *place = dirents->page + dirents->used;

    if (bytes > dirents->room - dirents->used) {
        dirents->too_small = dirents->used == 0;
        return false;
    }
    memset(place, 0, bytes);
    if (dirents->old) {
        struct dirent_old entry = {.ino = ino, .next = (int64_t)next, .length = (uint16_t)bytes};

        memcpy(place, &entry, sizeof entry);
        place[bytes - 1] = (char)dtype;
    } else {
        struct dirent64 entry = {
            .ino = ino, .next = (int64_t)next, .length = (uint16_t)bytes, .type = (uint8_t)dtype};

        memcpy(place, &entry, sizeof entry);
    }
    memcpy(place + header, name, length);
    dirents->used += bytes;
    return true;
}

static long dirents_read(struct file *file, uint64_t buffer, unsigned count, bool old)
{
    struct dirents dirents = {
        .page = path_buffer(), .room = count < PAGE_SIZE ? count : PAGE_SIZE, .old = old};
    uint64_t offset = file->offset;
    long result;

    if (dirents.page == NULL)
        return -ENOMEM;
    result = file->ops->readdir(file, dirents_add, &dirents);
    if (dirents.used != 0)
        result = user_write(buffer, dirents.page, dirents.used) == 0 ? (long)dirents.used : -EFAULT;
    else if (result == 0 && dirents.too_small)
        result = -EINVAL;
    if (result == -EFAULT)
        file->offset = offset;
    path_buffer_free(dirents.page);
    return result;
}

static long directory_read(int fd, uint64_t buffer, unsigned count, bool old)
{
    struct file *file = file_get(fd);
    long result;

    if (file == NULL)
        return -EBADF;
    if ((file->flags & O_PATH) != 0)
        result = -EBADF;
    else if (file->ops->readdir == NULL)
        result = -ENOTDIR;
    else if (file->vnode != NULL && file->vnode->removed)
        result = -ENOENT;
    else
        result = dirents_read(file, buffer, count, old);
    file_unref(file);
    return result;
}

long sys_getdents64(int fd, uint64_t buffer, unsigned count)
{
    return directory_read(fd, buffer, count, false);
}

long sys_getdents(int fd, uint64_t buffer, unsigned count)
{
    return directory_read(fd, buffer, count, true);
}

/* ---------------------------------------------------------------- the current directory */

long sys_getcwd(uint64_t buffer, size_t size)
{
    struct process *process = process_current();
    char *path; /* a copy: the write may sleep, and another thread go elsewhere */
    size_t bytes;
    long result;

    if (process->cwd != NULL && process->cwd->removed)
        return -ENOENT;
    path = path_buffer();
    if (path == NULL)
        return -ENOMEM;
    bytes = strlcpy(path, process->cwd_path != NULL ? process->cwd_path : "/", PATH_BYTES) + 1;
    if (bytes > size)
        result = -ERANGE;
    else
        result = user_write(buffer, path, bytes) != 0 ? -EFAULT : (long)bytes;
    path_buffer_free(path);
    return result;
}

/* Takes over the reference. */
static long go_to(struct vnode *node, const char *path)
{
    struct process *process = process_current();
    long error = node->type != S_IFDIR ? -ENOTDIR : vnode_permission(node, MAY_EXECUTE);
    char *copy = error == 0 ? fs_strdup(path) : NULL;
    struct vnode *old;

    if (copy == NULL) {
        vnode_unref(node);
        return error != 0 ? error : -ENOMEM;
    }
    old = process->cwd;
    slab_free(process->cwd_path);
    process->cwd = node;
    process->cwd_path = copy;
    vnode_unref(old);
    return 0;
}

long sys_chdir(uint64_t path)
{
    struct vnode *node;
    char *resolved;
    struct at at;
    long result = at_begin(&at, AT_FDCWD, path, 0);

    if (result != 0)
        return result;
    resolved = path_buffer();
    result = resolved == NULL
                 ? -ENOMEM
                 : path_resolve(NULL, NULL, at.path, WALK_FOLLOW | WALK_DIRECTORY, &node, NULL, resolved);
    if (result == 0)
        result = go_to(node, resolved);
    path_buffer_free(resolved);
    at_end(&at);
    return result;
}

long sys_fchdir(int fd)
{
    struct file *file = file_get(fd);
    long result = -ENOTDIR;

    if (file == NULL)
        return -EBADF;
    if (file->vnode != NULL)
        result = go_to(vnode_ref(file->vnode), file->path != NULL ? file->path : "/");
    file_unref(file);
    return result;
}

long sys_chroot(uint64_t path)
{
    struct process *process = process_current();
    struct target target;
    long result = target_at(&target, AT_FDCWD, path, 0);

    if (result != 0)
        return result;
    if (target.node == NULL || target.node->type != S_IFDIR)
        result = -ENOTDIR;
    else if (!process_is_root())
        result = -EPERM;
    if (result == 0) {
        vnode_unref(process->root);
        process->root = vnode_ref(target.node);
    }
    target_end(&target);
    return result;
}

/* ---------------------------------------------------------------- making names */

static bool is_dots(const char *name)
{
    return name[0] == '.' && (name[1] == '\0' || (name[1] == '.' && name[2] == '\0'));
}

/* Walks to the directory in which a new name shall be made. -EEXIST when there is such a name already. */
static int walk_to_new(struct at *at, struct walk *walk, bool may_have_slash)
{
    struct vnode *there;
    int error = at_walk(at, WALK_PARENT, walk);

    if (error != 0)
        return error;
    if (walk->last[0] == '\0' || is_dots(walk->last))
        error = -EEXIST;
    else
        error = vnode_lookup(walk->node, walk->last, &there);
    if (error == 0) {
        vnode_unref(there);
        error = -EEXIST;
    } else if (error == -ENOENT) {
        error = walk->trailing_slash && !may_have_slash ? -ENOENT : vnode_permission(walk->node, MAY_WRITE);
    }
    if (error != 0)
        walk_end(walk);
    return error;
}

/* A new vnode belongs to its directory's mount. */
static void made(struct walk *walk, struct vnode *node)
{
    if (node->mount == NULL)
        node->mount = walk->node->mount;
    vnode_unref(node);
}

long sys_mkdirat(int dir, uint64_t path, unsigned mode)
{
    struct vnode *node;
    struct walk walk;
    struct at at;
    int error = at_begin(&at, dir, path, 0);

    if (error != 0)
        return error;
    error = walk_to_new(&at, &walk, true);
    if (error == 0) {
        if (walk.node->ops->mkdir == NULL)
            error = -EPERM;
        else
            error =
                walk.node->ops->mkdir(walk.node, walk.last, mode & 01777 & ~process_current()->umask, &node);
        if (error == 0)
            made(&walk, node);
        walk_end(&walk);
    }
    at_end(&at);
    return error;
}

long sys_mkdir(uint64_t path, unsigned mode)
{
    return sys_mkdirat(AT_FDCWD, path, mode);
}

long sys_mknodat(int dir, uint64_t path, unsigned mode, uint64_t device)
{
    struct vnode *node;
    struct walk walk;
    struct at at;
    uint32_t type = mode & S_IFMT;
    int error;

    if (type == 0)
        type = S_IFREG;
    if (type == S_IFDIR)
        return -EPERM;
    if (type != S_IFREG && type != S_IFCHR && type != S_IFBLK && type != S_IFIFO && type != S_IFSOCK)
        return -EINVAL;
    if ((type == S_IFCHR || type == S_IFBLK) && !process_is_root())
        return -EPERM;
    error = at_begin(&at, dir, path, 0);
    if (error != 0)
        return error;
    error = walk_to_new(&at, &walk, false);
    if (error == 0) {
        mode = type | (mode & 07777 & ~process_current()->umask);
        if (walk.node->ops->create == NULL)
            error = -EPERM;
        else
            error = walk.node->ops->create(walk.node, walk.last, mode,
                                           type == S_IFCHR || type == S_IFBLK ? (uint32_t)device : 0, &node);
        if (error == 0)
            made(&walk, node);
        walk_end(&walk);
    }
    at_end(&at);
    return error;
}

long sys_mknod(uint64_t path, unsigned mode, uint64_t device)
{
    return sys_mknodat(AT_FDCWD, path, mode, device);
}

long sys_symlinkat(uint64_t target, int dir, uint64_t path)
{
    char *text = path_buffer();
    struct walk walk;
    struct at at;
    long length;
    int error;

    if (text == NULL)
        return -ENOMEM;
    length = user_read_string(text, target, PATH_BYTES);
    error = length < 0 ? (int)length : length == 0 ? -ENOENT : at_begin(&at, dir, path, 0);
    if (error == 0) {
        error = walk_to_new(&at, &walk, false);
        if (error == 0) {
            error = walk.node->ops->symlink == NULL ? -EPERM
                                                    : walk.node->ops->symlink(walk.node, walk.last, text);
            walk_end(&walk);
        }
        at_end(&at);
    }
    path_buffer_free(text);
    return error;
}

long sys_symlink(uint64_t target, uint64_t path)
{
    return sys_symlinkat(target, AT_FDCWD, path);
}

static int link_to(struct vnode *node, struct at *at)
{
    struct walk walk;
    int error = walk_to_new(at, &walk, false);

    if (error != 0)
        return error;
    if (node->mount != walk.node->mount)
        error = -EXDEV;
    else if (node->type == S_IFDIR || walk.node->ops->link == NULL)
        error = -EPERM;
    else
        error = walk.node->ops->link(walk.node, walk.last, node);
    walk_end(&walk);
    return error;
}

long sys_linkat(int from_dir, uint64_t from, int to_dir, uint64_t to, int flags)
{
    struct target target;
    struct at at;
    int error;

    if ((flags & ~(AT_SYMLINK_FOLLOW | AT_EMPTY_PATH)) != 0)
        return -EINVAL;
    error = target_at(&target, from_dir, from,
                      (flags & AT_EMPTY_PATH) | ((flags & AT_SYMLINK_FOLLOW) != 0 ? 0 : AT_SYMLINK_NOFOLLOW));
    if (error != 0)
        return error;
    error = target.node == NULL ? -EXDEV : at_begin(&at, to_dir, to, 0);
    if (error == 0) {
        error = link_to(target.node, &at);
        at_end(&at);
    }
    target_end(&target);
    return error;
}

long sys_link(uint64_t from, uint64_t to)
{
    return sys_linkat(AT_FDCWD, from, AT_FDCWD, to, 0);
}

/* ---------------------------------------------------------------- removing names */

/* Which error a name that is no name gives. */
static int dots_error(const char *last, bool directory)
{
    if (!directory)
        return -EISDIR;
    return last[0] == '\0' ? -EBUSY : last[1] == '\0' ? -EINVAL : -ENOTEMPTY;
}

static int remove_name(struct walk *walk, struct vnode *node, bool directory)
{
    struct vnode *dir = walk->node;
    int error = directory_may_remove(dir, node);

    if (error != 0)
        return error;
    if (node->covered != NULL)
        return -EBUSY;
    if (directory) {
        if (node->type != S_IFDIR)
            return -ENOTDIR;
        return dir->ops->rmdir == NULL ? -EPERM : dir->ops->rmdir(dir, walk->last);
    }
    if (node->type == S_IFDIR)
        return -EISDIR;
    if (walk->trailing_slash)
        return -ENOTDIR;
    return dir->ops->unlink == NULL ? -EPERM : dir->ops->unlink(dir, walk->last);
}

long sys_unlinkat(int dir, uint64_t path, int flags)
{
    bool directory = (flags & AT_REMOVEDIR) != 0;
    struct vnode *node;
    struct walk walk;
    struct at at;
    int error;

    if ((flags & ~AT_REMOVEDIR) != 0)
        return -EINVAL;
    error = at_begin(&at, dir, path, 0);
    if (error != 0)
        return error;
    error = at_walk(&at, WALK_PARENT, &walk);
    if (error == 0) {
        if (walk.last[0] == '\0' || is_dots(walk.last))
            error = dots_error(walk.last, directory);
        else
            error = vnode_lookup(walk.node, walk.last, &node);
        if (error == 0) {
            error = remove_name(&walk, node, directory);
            vnode_unref(node);
        }
        walk_end(&walk);
    }
    at_end(&at);
    return error;
}

long sys_unlink(uint64_t path)
{
    return sys_unlinkat(AT_FDCWD, path, 0);
}

long sys_rmdir(uint64_t path)
{
    return sys_unlinkat(AT_FDCWD, path, AT_REMOVEDIR);
}

/* ---------------------------------------------------------------- rename */

/* Does `node` lie in `dir`, or is it that? */
static bool is_inside(struct vnode *node, const struct vnode *dir)
{
    for (; node != NULL; node = node->parent)
        if (node == dir)
            return true;
    return false;
}

/* The checks that need both places and what is there; `there` may be NULL. */
static int rename_check(const struct walk *from, const struct walk *to, struct vnode *moved,
                        struct vnode *there, unsigned flags)
{
    int error = directory_may_remove(from->node, moved);

    if (error == 0)
        error = there != NULL ? directory_may_remove(to->node, there) : vnode_permission(to->node, MAY_WRITE);
    if (error != 0)
        return error;
    if (from->trailing_slash && moved->type != S_IFDIR)
        return -ENOTDIR;
    if (to->trailing_slash && ((flags & RENAME_EXCHANGE) != 0 ? there : moved)->type != S_IFDIR)
        return -ENOTDIR;
    if (moved->type == S_IFDIR && is_inside(to->node, moved))
        return -EINVAL;
    if (there != NULL && there->type == S_IFDIR && is_inside(from->node, there))
        return (flags & RENAME_EXCHANGE) != 0 ? -EINVAL : -ENOTEMPTY;
    return 0;
}

static int rename_walked(struct walk *from, struct walk *to, unsigned flags)
{
    struct vnode *moved = NULL, *there = NULL;
    int error;

    if (from->node->mount != to->node->mount)
        return -EXDEV;
    if (from->last[0] == '\0' || is_dots(from->last))
        return -EBUSY;
    if (to->last[0] == '\0' || is_dots(to->last))
        return (flags & RENAME_NOREPLACE) != 0 ? -EEXIST : -EBUSY;
    error = vnode_lookup(from->node, from->last, &moved);
    if (error != 0)
        return error;
    error = vnode_lookup(to->node, to->last, &there);
    if (error == -ENOENT) {
        there = NULL;
        error = 0;
    } else if (error == 0 && (flags & RENAME_NOREPLACE) != 0) {
        error = -EEXIST;
    }
    if (error == 0 && there == NULL && (flags & RENAME_EXCHANGE) != 0)
        error = -ENOENT;
    if (error == 0)
        error = rename_check(from, to, moved, there, flags);
    if (error == 0)
        error = from->node->ops->rename == NULL
                    ? -EPERM
                    : from->node->ops->rename(from->node, from->last, to->node, to->last, flags);
    vnode_unref(moved);
    vnode_unref(there);
    return error;
}

static int rename_to(struct walk *from, int to_dir, uint64_t to, unsigned flags)
{
    struct walk walk;
    struct at at;
    int error = at_begin(&at, to_dir, to, 0);

    if (error != 0)
        return error;
    error = at_walk(&at, WALK_PARENT, &walk);
    if (error == 0) {
        error = rename_walked(from, &walk, flags);
        walk_end(&walk);
    }
    at_end(&at);
    return error;
}

long sys_renameat2(int from_dir, uint64_t from, int to_dir, uint64_t to, unsigned flags)
{
    struct walk from_walk;
    struct at from_at;
    int error;

    if ((flags & ~(unsigned)(RENAME_NOREPLACE | RENAME_EXCHANGE)) != 0 ||
        flags == (RENAME_NOREPLACE | RENAME_EXCHANGE))
        return -EINVAL;
    error = at_begin(&from_at, from_dir, from, 0);
    if (error != 0)
        return error;
    error = at_walk(&from_at, WALK_PARENT, &from_walk);
    if (error == 0) {
        error = rename_to(&from_walk, to_dir, to, flags);
        walk_end(&from_walk);
    }
    at_end(&from_at);
    return error;
}

long sys_renameat(int from_dir, uint64_t from, int to_dir, uint64_t to)
{
    return sys_renameat2(from_dir, from, to_dir, to, 0);
}

long sys_rename(uint64_t from, uint64_t to)
{
    return sys_renameat2(AT_FDCWD, from, AT_FDCWD, to, 0);
}

/* ---------------------------------------------------------------- links */

long sys_readlinkat(int dir, uint64_t path, uint64_t buffer, int size)
{
    struct target target;
    long result;
    char *text;

    if (size <= 0)
        return -EINVAL;
    result = target_at(&target, dir, path, AT_SYMLINK_NOFOLLOW | (dir != AT_FDCWD ? AT_EMPTY_PATH : 0));
    if (result != 0)
        return result;
    text = path_buffer();
    if (text == NULL)
        result = -ENOMEM;
    else if (target.node == NULL || target.node->type != S_IFLNK || target.node->ops->readlink == NULL)
        result = -EINVAL;
    else
        result = target.node->ops->readlink(target.node, text, PATH_BYTES);
    if (result > size)
        result = size;
    if (result > 0 && user_write(buffer, text, (size_t)result) != 0)
        result = -EFAULT;
    path_buffer_free(text);
    target_end(&target);
    return result;
}

long sys_readlink(uint64_t path, uint64_t buffer, int size)
{
    return sys_readlinkat(AT_FDCWD, path, buffer, size);
}

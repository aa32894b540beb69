/*
 * What the files of kernel/fs and the system calls on files share.
 */
#ifndef KERNEL_FS_INTERNAL_H
#define KERNEL_FS_INTERNAL_H

#include "kernel/fs/vfs.h"

extern struct vnode *vfs_root;

/* Zeroed memory, after reclaiming if need be; NULL. May sleep: call it before looking at what may change. */
void *fs_alloc(size_t bytes);
/* An allocation has found no memory: is it worth trying again? */
bool fs_make_room(void);
/* A frame for buffers, contents undefined; the same conditions. */
struct frame *fs_frame(void);
char *fs_strdup(const char *text);
/* Nanoseconds since 1970. */
int64_t fs_now_ns(void);

/* ---------------------------------------------------------------- path walk (walk.c) */

/* Takes the path buffers that are kept, so that their number never changes. -ENOMEM. */
int path_buffers_init(void);

enum {
    WALK_CREATE = 8 /* the last component may be missing: node is then NULL, parent and last are set.
                     * A slash behind it is an error: -EISDIR */
};

/* One walk: what is wanted, then what was found. Set the first group and walk_clear() the rest. */
struct walk {
    struct vnode *base;    /* NULL: the current directory */
    const char *base_path; /* of base, NULL: not known */
    const char *path;
    unsigned flags;
    char *resolved; /* PATH_BYTES, or NULL */

    struct vnode *node;    /* with a reference; WALK_PARENT: the directory */
    struct vnode *parent;  /* with a reference; WALK_CREATE only, and only when node is NULL */
    struct file *file;     /* with a reference: the path was a link to an open file without a vnode */
    bool trailing_slash;   /* behind the last component */
    char last[NAME_BYTES]; /* WALK_PARENT, WALK_CREATE; "" when the path was "/" */

    size_t resolved_length; /* (walk.c) */
    struct vnode *root;
    char *pending;
    unsigned links;
    bool checks; /* not the superuser: directories must be searchable */
};
static inline void walk_clear(struct walk *walk)
{
    walk->node = NULL;
    walk->parent = NULL;
    walk->file = NULL;
    walk->trailing_slash = false;
    walk->last[0] = '\0';
    walk->pending = NULL;
    walk->links = 0;
}
int walk_run(struct walk *walk);
/* Drops the references of the results. */
void walk_end(struct walk *walk);

int vnode_lookup(struct vnode *dir, const char *name, struct vnode **out);
int vnode_setattr(struct vnode *node, const struct vattr *attr, unsigned which);

/* ---------------------------------------------------------------- permissions (permission.c) */

enum { MAY_EXECUTE = 1, MAY_WRITE = 2, MAY_READ = 4 };
bool process_is_root(void);
/* 0, -EACCES or -EROFS, by the effective or the real user. MAY_EXECUTE on a directory: to search it. */
int vnode_permission(struct vnode *node, unsigned wanted);
int vnode_permission_real(struct vnode *node, unsigned wanted);
/* 0, or -EPERM: somebody else's. */
int vnode_owned(struct vnode *node);
/* May the name of `node` in `dir` be removed or moved? (With the sticky bit.) */
int directory_may_remove(struct vnode *dir, struct vnode *node);

/* ---------------------------------------------------------------- open files */

/* vfs_open() with the path of `base`, which may be NULL. */
int vfs_open_at(struct vnode *base, const char *base_path, const char *path, unsigned flags, unsigned mode,
                struct file **out);
/* At exactly this descriptor, in place of what is there; takes the reference. fd, -EBADF or -ENOMEM. */
int files_install_at(struct files *files, struct file *file, int fd, bool close_on_exec);
/* How many descriptors there is room for now. */
unsigned files_capacity(const struct files *files);
/* FD_CLOEXEC of an open descriptor. */
bool files_flag(const struct files *files, int fd);
void files_set_flag(struct files *files, int fd, bool close_on_exec);
/* Attributes of a file that may have no vnode. */
int file_getattr(struct file *file, struct vattr *out);
/* A new open file of a vnode, as if it had been opened by its name. */
int file_open_vnode(struct vnode *node, unsigned flags, struct file **out);
static inline bool file_readable(const struct file *file)
{
    return (file->flags & (O_ACCMODE | O_PATH)) == O_RDONLY || (file->flags & (O_ACCMODE | O_PATH)) == O_RDWR;
}
static inline bool file_writable(const struct file *file)
{
    return (file->flags & O_PATH) == 0 && (file->flags & O_ACCMODE) != O_RDONLY;
}
/* The text behind /proc/PID/fd/N, e.g. "pipe:[12]"; its length. */
size_t file_describe(struct file *file, char *to, size_t size);
extern const struct file_ops path_file_ops; /* O_PATH: nothing can be done with it */

/* What /proc/PID/maps says of a file's object: object_label(). */
struct object_label {
    uint64_t dev, ino;
    char path[];
};

/* ---------------------------------------------------------------- devices */

static inline uint64_t dev_make(unsigned major, unsigned minor)
{
    return (uint64_t)(minor & 0xff) | (uint64_t)(major & 0xfff) << 8 | (uint64_t)(minor & ~0xffu) << 12;
}
/* Makes `file` one of the character device `rdev`; -ENXIO. */
int dev_open(uint64_t rdev, struct file *file);

/* The terminal was opened with these flags: it may become the process's controlling terminal. */
void tty_opened(unsigned flags);
/* The terminal takes the host's input: let it send. */
void tty_grant_first(void);
/* It becomes the controlling terminal of the session leader, whose group is in front. */
void tty_adopt(struct process *process);
/* The foreground group, 0: none. */
int tty_foreground(void);
/* The host's input, typed at the terminal, has ended. */
void tty_end(void);

/* ---------------------------------------------------------------- locks (locks.c) */

/* fcntl(F_GETLK and its kin); `lock` is kernel memory. */
long locks_fcntl(struct file *file, int command, struct flock *lock);
long locks_flock(struct file *file, int operation);
/* The process has closed a descriptor of the vnode: its record locks go. */
void locks_process_closed(struct vnode *node);
/* The open file has gone: its flock and open-file locks go. */
void locks_file_closed(struct file *file);

/* ---------------------------------------------------------------- kinds of files */

/* The file that epoll sets watch has gone. */
void epoll_file_gone(struct file *file);
int eventfd_create(uint64_t initial, unsigned flags, struct file **out);
int epoll_create(struct file **out);
int epoll_control(struct file *epoll, int operation, int fd, struct file *file, uint32_t events,
                  uint64_t data);
/* An anonymous file in memory, as memfd_create(2), with these rights and seals. */
int tmpfs_anonymous(const char *name, uint32_t mode, unsigned seals, struct file **out);
#ifndef F_SEAL_EXEC
#define F_SEAL_EXEC 0x20 /* since Linux 6.3 */
#endif
/* fcntl's F_GET_SEALS and F_ADD_SEALS (seals.c); -EINVAL for files that have none. */
long seals_get(const struct file *file);
long seals_add(struct file *file, unsigned seals);
/* Do the seals allow a regular file of `size` bytes to become `wanted` bytes long? 0 or -EPERM. */
int seals_resize(const struct vnode *node, uint64_t size, uint64_t wanted);
/* How much of a write of `bytes` at `offset` they allow; 0: -EPERM. Pages that would reach behind the end are
 * not begun. */
uint64_t seals_write(const struct vnode *node, uint64_t offset, uint64_t bytes);
extern const struct file_ops pipe_reader_ops, pipe_writer_ops, epoll_file_ops;
/* F_GETPIPE_SZ, F_SETPIPE_SZ. */
long pipe_capacity(struct file *file);
long pipe_set_capacity(struct file *file, uint64_t bytes);
bool file_is_pipe(const struct file *file);
bool file_is_tty(const struct file *file);

#endif

/*
 * Files. Functions give 0 or a count, or -errno of Linux: this layer is a part of the Linux interface.
 *
 * Vnodes are counted (vnode_ref/unref). A file system makes at most one vnode for one of its files as long as
 * somebody holds it. Data of a regular file lives in its memory object, which mmap, read and write all use,
 * so they always agree. All run under the kernel lock (see task.h); what sleeps says so. A file system that
 * sleeps in the middle of a change of a directory holds the directory's mutex.
 */
#ifndef KERNEL_VFS_H
#define KERNEL_VFS_H

#include <asm/stat.h>
#include <linux/fcntl.h>
#include <linux/stat.h>

#include "kernel/task/task.h"
#include "quire/object.h"

struct boot_info;
struct vnode;
struct file;
struct mount;
struct pipe;
struct file_lock;

struct statfs64_info {
    uint64_t type, block_size, blocks, free, files, files_free, name_max;
};

/* ---------------------------------------------------------------- moving data */

/* Where read puts bytes and write takes them: user memory in one or more pieces, or kernel memory. */
struct iovec_piece { /* layout of struct iovec */
    uint64_t base;
    uint64_t length;
};
struct uio {
    const struct iovec_piece *pieces; /* in kernel memory */
    unsigned count;
    unsigned at;        /* current piece */
    uint64_t at_offset; /* within it */
    uint64_t left;      /* bytes in all */
    bool kernel;
};
void uio_init_user(struct uio *uio, struct iovec_piece *piece, uint64_t address, uint64_t length);
void uio_init_kernel(struct uio *uio, struct iovec_piece *piece, void *address, uint64_t length);
/* To (from) the uio; the number of bytes moved, short only when it is full or user memory faults. May sleep.
 */
size_t uio_put(struct uio *uio, const void *from, size_t bytes);
size_t uio_get(struct uio *uio, void *to, size_t bytes);
/* Passes over `bytes` that the caller has taken by other means. At most uio->left. */
void uio_advance(struct uio *uio, size_t bytes);

/* ---------------------------------------------------------------- vnodes */

struct vattr {
    uint32_t mode; /* type and permissions */
    uint32_t uid, gid;
    uint64_t nlink, size, blocks, ino, dev, rdev;
    int64_t atime_ns, mtime_ns, ctime_ns;
};

enum { VATTR_MODE = 1, VATTR_UID = 2, VATTR_GID = 4, VATTR_SIZE = 8, VATTR_ATIME = 16, VATTR_MTIME = 32 };

/* Called once for each entry; false: stop, the entry was not taken. `next` is the cookie to go on behind this
 * entry. */
typedef bool vdir_emit(void *context, const char *name, size_t length, uint64_t ino, unsigned dtype,
                       uint64_t next);

/* Where such a link leads: to a vnode, to an open file, or to an open file that has no vnode. */
struct vnode_jump {
    struct vnode *node; /* with a reference, or NULL */
    struct file *file;  /* with a reference, or NULL */
    const char *path;   /* the vnode's; NULL: not known. Good until the file is let go or the caller sleeps */
};

/* NULL in a table: -ENOTDIR, -EPERM or -EINVAL as fits. New vnodes come back with a reference. `name` is one
 * component, NUL-terminated, never "." or ".." (except lookup of ".." which the path walk does through
 * vnode->parent or the mount). All may sleep. */
struct vnode_ops {
    int (*lookup)(struct vnode *dir, const char *name, struct vnode **out);
    int (*create)(struct vnode *dir, const char *name, uint32_t mode, uint64_t rdev,
                  struct vnode **out); /* any type but directory and link */
    int (*mkdir)(struct vnode *dir, const char *name, uint32_t mode, struct vnode **out);
    int (*symlink)(struct vnode *dir, const char *name, const char *target);
    int (*link)(struct vnode *dir, const char *name, struct vnode *node);
    int (*unlink)(struct vnode *dir, const char *name);
    int (*rmdir)(struct vnode *dir, const char *name);
    int (*rename)(struct vnode *dir, const char *name, struct vnode *to_dir, const char *to_name,
                  unsigned flags);
    long (*readlink)(struct vnode *node, char *to, size_t size); /* length, no NUL */
    int (*readdir)(struct vnode *dir, uint64_t cookie, vdir_emit *emit, void *context);
    int (*getattr)(struct vnode *node, struct vattr *out);
    int (*setattr)(struct vnode *node, const struct vattr *attr,
                   unsigned which); /* VATTR_SIZE truncates the object too */
    int (*open)(struct vnode *node,
                struct file *file); /* may set file->ops and file->data; NULL: files of the object */
    int (*sync)(struct vnode *node, bool data_only);
    int (*statfs)(struct vnode *node, struct statfs64_info *out);
    /* A link that leads to a file itself, not to a name (/proc/self/fd/1, /proc/self/exe). Else NULL. */
    int (*jump)(struct vnode *node, struct vnode_jump *out);
    void (*release)(struct vnode *node); /* last reference gone: free it */
};

struct vnode {
    const struct vnode_ops *ops;
    struct mount *mount;
    uint32_t type; /* S_IFREG, S_IFDIR, ... */
    uint32_t refs;
    struct object *object; /* regular files: the data; its size is the file's size */
    struct vnode *parent;  /* directories: the parent, with a reference; the root of a mount: NULL */
    struct mount *covered; /* a file system is mounted here */
    struct mutex mutex;
    struct file_lock *locks; /* record locks and flock, kernel/fs/locks.c */
    struct pipe *fifo;       /* a named pipe that is open */
    int64_t written_ns; /* last write through read/write calls; stat shows the later of it and getattr's */
    unsigned seals;     /* F_SEAL_*: what may not be done with it any more (memfd_create) */
    bool in_memory;     /* the object has no pager: reading ahead is of no use */
    bool removed;       /* its last name is gone */
    void *data;         /* the file system's */
};

struct mount {
    struct vnode *root;
    struct vnode *on; /* the covered directory, NULL for the first */
    const char *type;
    const char *source;
    char *path;
    uint64_t dev;
    bool read_only;
    struct list node;
};

/* For file systems: a new vnode in zeroed memory, refs = 1. `type` is S_IFREG, ... */
void vnode_init(struct vnode *node, const struct vnode_ops *ops, uint32_t type);
static inline struct vnode *vnode_ref(struct vnode *node)
{
    node->refs++;
    return node;
}
/* The last reference calls ops->release, which frees node->object and node->parent by vnode_clear(). */
void vnode_unref(struct vnode *node);
/* Drops the references that the vnode holds: object, parent. May sleep. */
void vnode_clear(struct vnode *node);
/* Attributes as stat shows them: the size of a regular file is its object's. */
int vnode_getattr(struct vnode *node, struct vattr *out);

/* The object of a file keeps the name by which the file was first opened or run, for /proc/PID/maps: a
 * mapping outlives the open file. Best effort. */
void vnode_name_object(struct vnode *node, const char *path);

/* Mount; takes over the reference to `root`. */
int vfs_mount(struct vnode *root, const char *path, const char *type, const char *source);
void vfs_for_each_mount(void (*visit)(struct mount *mount, const char *path, void *context), void *context);

/* ---------------------------------------------------------------- paths */

enum { WALK_FOLLOW = 1, WALK_PARENT = 2, WALK_DIRECTORY = 4 };
/* The vnode of `path` from `base` (NULL: the current directory), through links (at most 40) and mounts. With
 * WALK_PARENT: the directory that holds the last component, which is copied to `last` (256 bytes). */
int path_walk(struct vnode *base, const char *path, unsigned flags, struct vnode **out, char *last);
/* The same, and the resolved absolute path in `resolved` (PATH_BYTES; may be NULL). `base_path` is the path
 * of `base`, or NULL when that is not known: then the result is "" unless `path` is absolute. */
enum { PATH_BYTES = 4096, NAME_BYTES = 256, LINKS_MAX = 40 };
int path_resolve(struct vnode *base, const char *base_path, const char *path, unsigned flags,
                 struct vnode **out, char *last, char *resolved);
/* A buffer of PATH_BYTES, kept for reuse; NULL without memory. */
char *path_buffer(void);
void path_buffer_free(char *buffer);

/* ---------------------------------------------------------------- open files */

struct file_ops {
    long (*read)(struct file *file, struct uio *uio, uint64_t offset);
    long (*write)(struct file *file, struct uio *uio, uint64_t offset);
    /* The events (POLLIN...) that hold now; registers `entry` on the file's queue first when it is not NULL.
     */
    unsigned (*poll)(struct file *file, struct waitq_entry *entry);
    long (*ioctl)(struct file *file, unsigned request, uint64_t argument);
    int (*readdir)(struct file *file, vdir_emit *emit, void *context); /* uses and moves file->offset */
    int64_t (*seek)(struct file *file, int64_t offset, int whence);
    int (*sync)(struct file *file, bool data_only);
    int (*flush)(struct file *file);    /* a descriptor is closed; close(2) gives its error */
    void (*release)(struct file *file); /* last reference gone */
};

struct file {
    const struct file_ops *ops;
    struct vnode *vnode; /* may be NULL (pipes) */
    uint32_t refs;
    uint32_t flags; /* O_ACCMODE, O_APPEND, O_NONBLOCK, ... */
    uint64_t offset;
    void *data;          /* the ops' */
    char *path;          /* resolved, absolute; for /proc/self/maps and fd links. May be NULL */
    uint64_t ahead_next; /* reading in sequence: the offset that comes next */
    uint64_t ahead_page; /* pages below this one were asked for already */
    struct list *epolls; /* entries of epoll sets that watch it */
};

struct file *file_alloc(const struct file_ops *ops, struct vnode *node,
                        uint32_t flags); /* refs = 1; takes a ref of node */
static inline struct file *file_ref(struct file *file)
{
    file->refs++;
    return file;
}
void file_destroy(struct file *file);
static inline void file_unref(struct file *file)
{
    if (--file->refs == 0)
        file_destroy(file);
}
/* O_CREAT, O_EXCL, O_TRUNC, O_DIRECTORY, O_NOFOLLOW, O_PATH, ... as open(2). */
int vfs_open(struct vnode *base, const char *path, unsigned flags, unsigned mode, struct file **out);
/* Regular files by their object (the default file_ops). */
extern const struct file_ops object_file_ops;
extern const struct file_ops directory_file_ops;
/* Their functions, for file systems that add a release or a sync of their own. */
long object_file_read(struct file *file, struct uio *uio, uint64_t offset);
long object_file_write(struct file *file, struct uio *uio, uint64_t offset);
int64_t object_file_seek(struct file *file, int64_t offset, int whence);
int object_file_sync(struct file *file, bool data_only);
int directory_file_readdir(struct file *file, vdir_emit *emit, void *context);
int64_t directory_file_seek(struct file *file, int64_t offset, int whence);
/* write() at the file's or (O_APPEND) the end, by any kind of file; moves file->offset. */
long file_read(struct file *file, struct uio *uio);
long file_write(struct file *file, struct uio *uio);
/* At an offset; the file has a write operation. With O_SYNC or O_DSYNC it is in the store afterwards. */
long file_write_at(struct file *file, struct uio *uio, uint64_t offset);

/* Descriptor tables (kernel/fs/files.c). */
struct files *files_create(void);
struct files *files_copy(const struct files *from); /* fork */
struct files *files_ref(struct files *files);
void files_unref(struct files *files);
void files_close_on_exec(struct files *files);
struct file *file_get(int fd); /* of the current process, with a reference; NULL: EBADF */
struct file *files_get(struct files *files, int fd); /* the same of any table */
int files_close(struct files *files, int fd);        /* 0 or -EBADF */
/* The lowest open descriptor >= from, or -1. */
int files_next(const struct files *files, int from);
int files_install(struct files *files, struct file *file, int lowest,
                  bool close_on_exec); /* takes the reference; fd or -EMFILE */

/* ---------------------------------------------------------------- file systems and devices */

/* Builds / (from the initramfs; with root=1 over a folder of the host), /proc, /dev, /tmp, /dev/shm, and
 * /share when the command line says share=1. 0 or -errno. Once, after vm_init(); by a task, because it may
 * sleep. */
int vfs_init(const struct boot_info *info);
/* Opens descriptors 0, 1 and 2 of the first process as `stdio=` says; the terminal, if one of them is it,
 * becomes its controlling terminal. */
int stdio_open(struct process *process);
int tmpfs_create(struct vnode **root);
/* Unpacks a newc cpio archive into `root`; page-aligned file data is used in place. */
int initramfs_unpack(struct vnode *root, struct paddr start, struct paddr end);
/* One root for a tmpfs over a file system that is only read; takes over both references. Once. */
int overlay_over(struct vnode *upper, struct vnode *lower, struct vnode **root);
int procfs_create(struct vnode **root);
int devfs_create(struct vnode **root);
int cgroupfs_create(struct vnode **root);
int p9fs_create(const char *tag, struct vnode **root); /* kernel/dev/p9fs.c; -ENODEV: no such share */

/* Pipes, also for named ones. */
int pipe_create(struct file **reader, struct file **writer, unsigned flags);
int fifo_open(struct vnode *node, struct file *file);

/* The terminal (kernel/fs/tty.c). One: the host's. */
void tty_init(void);
/* The leader of a session has exited: hang up the foreground group, the terminal is nobody's. */
void tty_session_end(struct process *process);
extern const struct file_ops tty_file_ops;
void tty_input(const void *bytes, size_t count); /* from the link */
void tty_resize(unsigned rows, unsigned columns);
/* A session leader that has a controlling terminal ends: the session loses the terminal (process->tty of its
 * members), and the foreground group gets SIGHUP and SIGCONT. */
void tty_session_end(struct process *leader);
/* Is it /dev/zero, whose private mappings are anonymous memory? */
bool file_is_zero_device(const struct file *file);
/* Standard streams that are not terminals. fd 0, 1, 2: file->data is the number of the stream. */
extern const struct file_ops host_stream_file_ops;
/* The link has got bytes, or the end, of the host's standard input: for the terminal or the stream, whichever
 * fd 0 is. Never sleeps. */
void stdin_input(const void *bytes, size_t count);
void stdin_end(void);

#endif

/*
 * Arguments that the system calls on files have in common: paths relative to a directory, vectors.
 */
#ifndef KERNEL_LINUX_FILE_ARGS_H
#define KERNEL_LINUX_FILE_ARGS_H

#include <linux/errno.h>
#include <linux/fcntl.h>
#include <linux/fs.h>

#include "kernel/fs/internal.h"
#include "kernel/linux/syscalls.h"
#include "kernel/linux/syscalls_file.h"

/* The most that one read or write moves (MAX_RW_COUNT of Linux). */
#define RW_BYTES_MAX ((uint64_t)0x7ffff000)

/* May [address, address + bytes) be user memory? What lies there is found out when it is touched. */
static inline bool user_range(uint64_t address, uint64_t bytes)
{
    return bytes <= SPACE_END && address <= SPACE_END - bytes;
}

/* A path and the open directory that it is relative to, as the ...at() calls take them. */
struct at {
    char *path;        /* a path buffer */
    struct file *from; /* with a reference; NULL: the current directory, or the path is absolute */
};
/* 0, -EFAULT, -ENAMETOOLONG, -ENOMEM, -EBADF, -ENOTDIR. With AT_EMPTY_PATH in `flags` an empty path means the
 * descriptor itself, whatever it is: then at->from is that file (NULL: the current directory). */
int at_begin(struct at *at, int dir, uint64_t path, int flags);
void at_end(struct at *at);
static inline bool at_is_empty(const struct at *at)
{
    return at->path[0] == '\0';
}
/* Walks the path: `walk` gets the results, which walk_end() drops. */
int at_walk(struct at *at, unsigned flags, struct walk *walk);

/*
 * What stat, chmod, chown, utimensat and access work on: a vnode, or an open file that has none.
 */
struct target {
    struct vnode *node; /* with a reference; NULL when there is only a file */
    struct file *file;  /* with a reference, or NULL */
};
/* `flags`: AT_SYMLINK_NOFOLLOW, AT_EMPTY_PATH. */
int target_at(struct target *target, int dir, uint64_t path, int flags);
int target_fd(struct target *target, int fd);
int target_getattr(const struct target *target, struct vattr *out);
void target_end(struct target *target);

/* A struct iovec array, copied and checked. */
enum { VECTOR_INLINE = 8 };
struct vector {
    struct uio uio;
    struct iovec_piece *pieces;
    struct iovec_piece inline_pieces[VECTOR_INLINE];
};
int vector_begin(struct vector *vector, uint64_t pieces, unsigned count);
void vector_end(struct vector *vector);

/* Bytes at places: pipes and terminals have none (-ESPIPE). */
bool file_has_places(const struct file *file);

#endif

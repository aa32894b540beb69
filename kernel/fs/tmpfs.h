/*
 * What initramfs and devfs set in a tmpfs beyond the vnode operations.
 */
#ifndef KERNEL_TMPFS_H
#define KERNEL_TMPFS_H

#include "kernel/fs/vfs.h"

/* From now on the files of the file system, whose root this is, may have half of memory more than they have:
 * without it they have no limit. */
void tmpfs_limit(struct vnode *root);
/* The inode number of the next file. */
void tmpfs_number_from(uint64_t ino);
void tmpfs_set_times(struct vnode *vnode, int64_t mtime_ns);
void tmpfs_set_owner(struct vnode *vnode, uint32_t uid, uint32_t gid);

#endif

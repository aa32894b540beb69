/*
 * What initramfs and devfs set in a tmpfs beyond the vnode operations.
 */
#ifndef KERNEL_TMPFS_H
#define KERNEL_TMPFS_H

#include "kernel/fs/vfs.h"

/* The inode number of the next file. */
void tmpfs_number_from(uint64_t ino);
void tmpfs_set_times(struct vnode *vnode, int64_t mtime_ns);
void tmpfs_set_owner(struct vnode *vnode, uint32_t uid, uint32_t gid);

#endif

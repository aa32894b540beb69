/*
 * Writes a cpio archive ("newc") whose file data begins on page boundaries, so that the kernel can use the
 * pages where they lie. The archive lives in memory; its descriptor can be opened again as /dev/fd/N.
 */
#ifndef CLI_INITRAMFS_H
#define CLI_INITRAMFS_H

#include "cli/cli.h"

struct initramfs;

/* NULL when the host refuses (errno). */
struct initramfs *initramfs_create(void);
void initramfs_directory(struct initramfs *archive, const char *path, unsigned mode);
void initramfs_symlink(struct initramfs *archive, const char *path, const char *target);
void initramfs_bytes(struct initramfs *archive, const char *path, unsigned mode, const void *bytes,
                     size_t count);
/* Copies a file of the host. False: errno says why it could not be read. */
bool initramfs_copy(struct initramfs *archive, const char *path, unsigned mode, const char *host_path);
/* Ends the archive: its descriptor (the caller closes it) and its size, or -1 with errno when a write has
 * failed. Frees `archive`. */
int initramfs_finish(struct initramfs *archive, uint64_t *bytes);

#endif

/*
 * A client of 9P2000.L over a virtio 9P device: the messages, one function each.
 *
 * Functions give 0 or a count, or -errno: the server's, -EIO when the device has failed or answers nonsense,
 * -ENAMETOOLONG for a name that no message can carry. All may sleep. Several may be under way at once; each
 * needs one struct p9_request, of which two are always there, so that writing back needs no memory.
 *
 * Fids are numbers that the client chooses; the server keeps an open or a named file for each until it is
 * clunked. A number is used once.
 */
#ifndef KERNEL_P9_H
#define KERNEL_P9_H

#include "kernel/dev/pci.h"
#include "quire/frame.h"

struct p9_client;
struct virtio_device;

#define P9_NO_FID UINT32_MAX
enum { P9_FRAMES_MAX = 64 };

enum p9_qid_type { P9_QID_DIRECTORY = 0x80, P9_QID_LINK = 0x02 };

/* What a file is: `path` is the same for all its names, and no other file's. */
struct p9_qid {
    uint8_t type;
    uint32_t version;
    uint64_t path;
};

struct p9_attr {
    struct p9_qid qid;
    uint32_t mode, uid, gid;
    uint64_t nlink, rdev, size, block_size, blocks;
    int64_t atime_ns, mtime_ns, ctime_ns;
};

/* Bits of a change of attributes, as in Tsetattr. */
enum p9_set {
    P9_SET_MODE = 1,
    P9_SET_UID = 2,
    P9_SET_GID = 4,
    P9_SET_SIZE = 8,
    P9_SET_ATIME = 0x80 | 0x10,
    P9_SET_MTIME = 0x100 | 0x20
};

struct p9_statfs {
    uint32_t type, block_size, name_max;
    uint64_t blocks, free, available, files, files_free;
};

/* Starts the device, whose tag it keeps. 0 or -errno. */
int p9_start(const struct pci_device *pci);
/* The client of the share with this tag, NULL: there is none. */
struct p9_client *p9_find(const char *tag);
/* Agrees on the protocol and on the size of messages, and gives the root of the share a fid. */
int p9_attach(struct p9_client *client, uint32_t *root_fid);

/* Fids that the server keeps for us now: for checks. */
unsigned p9_fids(const struct p9_client *client);
/* For tests of what happens when it fails. */
struct virtio_device *p9_device(struct p9_client *client);

uint32_t p9_new_fid(struct p9_client *client);
/* `to` becomes the file `name` in directory `from`; with NULL another fid of the same file. */
int p9_walk(struct p9_client *client, uint32_t from, uint32_t to, const char *name, struct p9_qid *qid);
void p9_clunk(struct p9_client *client, uint32_t fid);
int p9_getattr(struct p9_client *client, uint32_t fid, struct p9_attr *out);
int p9_setattr(struct p9_client *client, uint32_t fid, const struct p9_attr *attr, unsigned which);
/* `flags` are Linux's O_*. */
int p9_open(struct p9_client *client, uint32_t fid, unsigned flags);
/* `fid` is the directory before, the open file afterwards. */
int p9_create(struct p9_client *client, uint32_t fid, const char *name, unsigned flags, uint32_t mode);
int p9_mkdir(struct p9_client *client, uint32_t dir, const char *name, uint32_t mode);
int p9_mknod(struct p9_client *client, uint32_t dir, const char *name, uint32_t mode, unsigned major,
             unsigned minor);
int p9_symlink(struct p9_client *client, uint32_t dir, const char *name, const char *target);
int p9_link(struct p9_client *client, uint32_t dir, uint32_t fid, const char *name);
int p9_rename(struct p9_client *client, uint32_t dir, const char *name, uint32_t to_dir, const char *to_name);
enum p9_unlink { P9_UNLINK_FILE = 0, P9_UNLINK_DIRECTORY = 0x200 };
int p9_unlink(struct p9_client *client, uint32_t dir, const char *name, enum p9_unlink what);
int p9_fsync(struct p9_client *client, uint32_t fid, bool data_only);
int p9_statfs(struct p9_client *client, uint32_t fid, struct p9_statfs *out);
/* The target, without NUL, in `frame`, which must be one of the kernel's; its length. */
long p9_readlink(struct p9_client *client, uint32_t fid, struct frame *frame);
/* Entries from the cookie `offset` on, as they come in the message, in `frame`; their bytes, 0: the end. */
long p9_readdir(struct p9_client *client, uint32_t fid, uint64_t offset, struct frame *frame);
/* Takes one such entry off [*at, end). False: no whole one is left. */
struct p9_entry {
    struct p9_qid qid;
    uint64_t next;
    uint8_t type;
    uint16_t name_length;
    const char *name; /* not NUL-terminated */
};
bool p9_entry_next(const uint8_t **at, const uint8_t *end, struct p9_entry *out);

/* `bytes` between the file and frames, at most P9_FRAMES_MAX of them; the number done, less only at the
 * file's end (read) or as the server likes. The device works on the frames themselves. */
long p9_read(struct p9_client *client, uint32_t fid, uint64_t offset, struct frame *const *frames,
             uint32_t bytes);
long p9_write(struct p9_client *client, uint32_t fid, uint64_t offset, struct frame *const *frames,
              uint32_t bytes);

#endif

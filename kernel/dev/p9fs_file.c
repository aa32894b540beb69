/*
 * Files of the 9P file system: attributes, data, open files.
 *
 * Data moves between the server and the frames of the memory object in runs as long as the object asks for.
 * The size of a regular file is its object's. Who is right about it?
 *
 *   while a file is open for writing here     we: what is written grows the object, and reaches the server
 *                                             when it is synced, closed, or reclaimed
 *   else                                      the server: when its modification time or size is not the
 *                                             one that our pages belong to, they are dropped
 *
 * node->changed says that the difference is of our own making.
 *
 * What write() has written is sent as soon as there is WRITE_BEHIND_BYTES of it, and when a descriptor is
 * closed: so a full disk of the host is told to the program that fills it, and a small memory does not fill
 * with it. An error leaves the pages dirty, so that it is met again, until the last writer closes: then they
 * are lost.
 *
 * A file whose last name is gone is reached by its open fids only. The server cannot shorten it any more, as
 * it does that by name: `server_bytes` then says how much of the server's data counts; what lies behind is
 * zero, and is made zero there before something is written further behind.
 */
#include <asm-generic/errno.h>
#include <linux/fcntl.h>

#include "kernel/dev/p9fs_internal.h"
#include "kernel/fs/internal.h"
#include "kernel/klib.h"

enum { WRITE_BEHIND_BYTES = 1 << 18 };
#define ALL_PAGES (UINT64_MAX >> PAGE_SHIFT)

static const struct file_ops p9fs_file_ops;

/* ---------------------------------------------------------------- attributes */

/* The attributes are new: do the pages belong to them? */
static int reconcile(struct p9_node *node)
{
    struct object *object = node->vnode.object;
    const struct p9_attr *attr = &node->attr;

    if (object == NULL || node->writers != 0)
        return 0;
    if (!node->changed && attr->mtime_ns == node->seen_mtime_ns && attr->size == node->seen_size)
        return 0;
    if (!node->changed)
        object_drop(object, 0, ALL_PAGES);
    node->changed = false;
    node->seen_mtime_ns = attr->mtime_ns;
    node->seen_size = attr->size;
    node->server_bytes = attr->size;
    if (object_size(object) != attr->size && object_resize(object, attr->size) != ST_OK)
        return -EFBIG;
    return 0;
}

int p9fs_refresh(struct p9_node *node)
{
    struct p9_attr attr;
    int error;

    if (node->unlinked || p9fs_is_fresh(node->asked_ns))
        return 0;
    error = p9_getattr(node->fs->client, node->fid, &attr);
    if (error == -ENOENT)
        return 0; /* removed by the host, or by another of its names: what we knew last is what there is */
    if (error != 0)
        return error;
    node->attr = attr;
    node->asked_ns = host_now_ns();
    return reconcile(node);
}

int p9fs_getattr(struct vnode *vnode, struct vattr *out)
{
    struct p9_node *node = p9_node(vnode);
    const struct p9_attr *attr = &node->attr;
    int error = p9fs_refresh(node);

    if (error != 0)
        return error;
    *out = (struct vattr){.mode = attr->mode,
                          .uid = attr->uid,
                          .gid = attr->gid,
                          .nlink = attr->nlink,
                          .size = attr->size,
                          .blocks = attr->blocks,
                          .ino = node->qid_path,
                          .rdev = attr->rdev,
                          .atime_ns = attr->atime_ns,
                          .mtime_ns = attr->mtime_ns,
                          .ctime_ns = attr->ctime_ns};
    return 0;
}

/* Sends everything that may be dirty. */
static enum status sync_pages(struct p9_node *node)
{
    struct object *object = node->vnode.object;
    enum status status = ST_OK;

    if (object == NULL || !node->wrote)
        return ST_OK;
    status = object_sync(object, 0, ALL_PAGES);
    if (status == ST_OK) {
        node->dirty_from = UINT64_MAX;
        node->dirty_to = node->dirty_bytes = 0;
    }
    return status;
}

/* The server is told first: it may refuse. */
static int set_size(struct p9_node *node, uint64_t size)
{
    struct p9_attr attr = {.size = size};
    enum status status;
    int error = 0;

    if (node->vnode.object == NULL)
        return -EINVAL;
    if (size != 0 && (error = p9fs_refresh(node)) != 0)
        return error;
    if (!node->unlinked) {
        /* Twice when pages behind the new end were written back meanwhile. */
        do {
            node->changed = false;
            error = p9_setattr(node->fs->client, node->fid, &attr, P9_SET_SIZE);
        } while (error == 0 && node->changed);
        node->changed = true;
    }
    if (error != 0)
        return error;
    node->server_bytes = node->unlinked && size > node->server_bytes ? node->server_bytes : size;
    node->cut = node->unlinked;
    status = object_resize(node->vnode.object, size);
    return status == ST_OK ? 0 : status == ST_NO_MEMORY ? -ENOMEM : -EFBIG;
}

/* Everything but the size, on a file that the server knows by name no more. */
static void set_locally(struct p9_attr *attr, const struct p9_attr *to, unsigned which)
{
    if ((which & P9_SET_MODE) != 0)
        attr->mode = (attr->mode & S_IFMT) | (to->mode & ~(uint32_t)S_IFMT);
    if ((which & P9_SET_UID) != 0)
        attr->uid = to->uid;
    if ((which & P9_SET_GID) != 0)
        attr->gid = to->gid;
    if ((which & P9_SET_ATIME) != 0)
        attr->atime_ns = to->atime_ns;
    if ((which & P9_SET_MTIME) != 0)
        attr->mtime_ns = to->mtime_ns;
}

int p9fs_setattr(struct vnode *vnode, const struct vattr *attr, unsigned which)
{
    struct p9_node *node = p9_node(vnode);
    struct p9_attr to = {.mode = attr->mode,
                         .uid = attr->uid,
                         .gid = attr->gid,
                         .atime_ns = attr->atime_ns,
                         .mtime_ns = attr->mtime_ns};
    unsigned set =
        ((which & VATTR_MODE) != 0 ? P9_SET_MODE : 0u) | ((which & VATTR_UID) != 0 ? P9_SET_UID : 0u) |
        ((which & VATTR_GID) != 0 ? P9_SET_GID : 0u) | ((which & VATTR_ATIME) != 0 ? P9_SET_ATIME : 0u) |
        ((which & VATTR_MTIME) != 0 ? P9_SET_MTIME : 0u);
    int error = 0;

    if ((which & VATTR_SIZE) != 0)
        error = set_size(node, attr->size);
    if (error != 0 || set == 0) {
        p9fs_touched(node);
        return error;
    }
    if (node->unlinked) {
        set_locally(&node->attr, &to, set);
        return 0;
    }
    /* Writing back later would set the time again. */
    if ((set & P9_SET_MTIME) != 0 && sync_pages(node) != ST_OK)
        return -EIO;
    error = p9_setattr(node->fs->client, node->fid, &to, set);
    if ((set & P9_SET_MTIME) != 0)
        node->changed = true;
    p9fs_touched(node);
    return error;
}

/* ---------------------------------------------------------------- fids */

int p9fs_need_fid(struct p9_node *node, bool write)
{
    struct p9_client *client = node->fs->client;
    uint32_t *slot = write ? &node->write_fid : &node->read_fid;
    uint32_t fid;
    int error;

    if (*slot != P9_NO_FID || (!write && node->write_fid != P9_NO_FID))
        return 0;
    if (node->unlinked)
        return -ENOENT;
    fid = p9_new_fid(client);
    error = p9_walk(client, node->fid, fid, NULL, NULL);
    if (error != 0)
        return error;
    error = p9_open(client, fid, write ? O_RDWR : O_RDONLY);
    if (error == 0 && *slot == P9_NO_FID)
        *slot = fid;
    else
        p9_clunk(client, fid); /* not opened, or opened by somebody else meanwhile */
    return error;
}

static void close_fid(struct p9_node *node, uint32_t *slot)
{
    uint32_t fid = *slot;

    *slot = P9_NO_FID;
    if (fid != P9_NO_FID)
        p9_clunk(node->fs->client, fid);
}

/* Pages that the server does not take are given up, or they would never leave the memory. */
static void give_up(struct p9_node *node, const char *path)
{
    struct object *object = node->vnode.object;
    char why[32] = "the disk of the host is full";

    if (node->error != -ENOSPC && node->error != -EDQUOT)
        snprintf(why, sizeof(why), "error %d", -node->error);
    host_log("share: %s: what was written to it is lost: %s", path != NULL ? path : "a file", why);
    node->dirty_bytes = 0;
    node->changed = true;
    p9fs_touched(node);
    if (object_mapped(object) == 0 && object_resize(object, 0) == ST_OK &&
        object_resize(object, node->server_bytes) != ST_OK)
        host_log("share: its size is wrong now");
}

void p9fs_settle(struct p9_node *node)
{
    struct object *object = node->vnode.object;

    if (object != NULL && !node->unlinked && sync_pages(node) != ST_OK)
        give_up(node, NULL);
    if (object != NULL && object_mapped(object) != 0)
        return;
    node->wrote = false;
    close_fid(node, &node->read_fid);
    close_fid(node, &node->write_fid);
}

/* ---------------------------------------------------------------- the pager */

/* The server's error, kept for the program, as the core's. */
static enum status failed(struct p9_node *node, long error)
{
    node->error = (int)error;
    switch (error) {
    case -ENOSPC:
    case -EDQUOT:
    case -EFBIG:
        return ST_NO_SPACE;
    case -ENOMEM:
        return ST_NO_MEMORY;
    default:
        return ST_IO_ERROR;
    }
}

static void zero_behind(struct frame *const *frames, unsigned count, uint64_t bytes)
{
    uint64_t within = bytes & PAGE_MASK;
    uint64_t index = bytes >> PAGE_SHIFT;

    if (within != 0) {
        memset((char *)frame_data(frames[index]) + within, 0, PAGE_SIZE - within);
        index++;
    }
    for (; index < count; index++)
        host_zero_page(frame_data(frames[index]));
}

/* How far a transfer that ended after `got` bytes has come: whole pages, or all of it. */
static uint64_t progress(uint64_t done, uint64_t got, uint64_t wanted)
{
    return done + got >= wanted ? wanted : align_down(done + got, PAGE_SIZE);
}

static enum status pager_read(struct object *object, uint64_t first, struct frame *const *frames,
                              unsigned count)
{
    struct p9_node *node = object_data(object);
    uint64_t offset = first << PAGE_SHIFT, wanted = (uint64_t)count << PAGE_SHIFT, done = 0;

    if (offset >= node->server_bytes)
        wanted = 0;
    else if (wanted > node->server_bytes - offset)
        wanted = node->server_bytes - offset;
    while (done < wanted) {
        uint64_t rest = wanted - done, most = (uint64_t)P9_FRAMES_MAX << PAGE_SHIFT, next;
        int error = p9fs_need_fid(node, false);
        long got;

        if (error != 0)
            return failed(node, error);
        got = p9_read(node->fs->client, node->read_fid != P9_NO_FID ? node->read_fid : node->write_fid,
                      offset + done, frames + (done >> PAGE_SHIFT), (uint32_t)(rest < most ? rest : most));
        if (got < 0)
            return failed(node, got);
        next = progress(done, (uint64_t)got, wanted);
        if (next == done) {
            p9fs_touched(node); /* the host has cut the file: the data that we were told of are not there */
            return failed(node, -EIO);
        }
        done = next;
    }
    zero_behind(frames, count, wanted);
    return ST_OK;
}

static enum status write_all(struct p9_node *node, uint64_t offset, struct frame *const *frames,
                             uint64_t bytes)
{
    uint64_t done = 0;

    while (done < bytes) {
        uint64_t rest = bytes - done, most = (uint64_t)P9_FRAMES_MAX << PAGE_SHIFT, next;
        long got = p9_write(node->fs->client, node->write_fid, offset + done, frames + (done >> PAGE_SHIFT),
                            (uint32_t)(rest < most ? rest : most));

        if (got < 0)
            return failed(node, got);
        next = progress(done, (uint64_t)got, bytes);
        if (next == done)
            return failed(node, -ENOSPC);
        done = next;
    }
    return ST_OK;
}

/* Of a file that was cut: the server has old data between what counts and `offset`. */
static enum status write_gap(struct p9_node *node, uint64_t offset)
{
    struct frame *zero = frame_alloc(0, FRAME_KERNEL, FRAME_ZERO | FRAME_EMERGENCY);
    enum status status = ST_OK;

    if (zero == NULL)
        return ST_NO_MEMORY;
    while (status == ST_OK && node->server_bytes < offset) {
        uint64_t room = PAGE_SIZE - (node->server_bytes & PAGE_MASK), rest = offset - node->server_bytes;
        uint64_t chunk = rest < room ? rest : room;

        status = write_all(node, node->server_bytes, &zero, chunk);
        node->server_bytes += chunk;
    }
    frame_free(zero);
    return status;
}

static enum status pager_write(struct object *object, uint64_t first, struct frame *const *frames,
                               unsigned count, uint64_t bytes)
{
    struct p9_node *node = object_data(object);
    uint64_t offset = first << PAGE_SHIFT;
    enum status status = ST_OK;
    int error = p9fs_need_fid(node, true);

    (void)count;
    if (error != 0)
        return failed(node, error);
    node->changed = true;
    if (node->cut && offset > node->server_bytes)
        status = write_gap(node, offset);
    if (status == ST_OK)
        status = write_all(node, offset, frames, bytes);
    if (status == ST_OK && offset + bytes > node->server_bytes)
        node->server_bytes = offset + bytes;
    p9fs_touched(node);
    return status;
}

static void pager_release(struct object *object)
{
    p9fs_node_free(object_data(object));
}

const struct pager_ops p9fs_pager = {.read = pager_read, .write = pager_write, .release = pager_release};

/* ---------------------------------------------------------------- open files */

int p9fs_open(struct vnode *vnode, struct file *file)
{
    struct p9_node *node = p9_node(vnode);
    bool write = (file->flags & O_ACCMODE) != O_RDONLY;
    int error;

    switch (vnode->type) {
    case S_IFDIR:
        return p9fs_need_fid(node, false);
    case S_IFIFO:
        return fifo_open(vnode, file);
    case S_IFCHR:
        return dev_open(node->attr.rdev, file);
    case S_IFREG:
        break;
    default:
        return -ENXIO;
    }
    error = p9fs_refresh(node);
    if (error == 0)
        error = p9fs_need_fid(node, write);
    if (error != 0)
        return error;
    if (write) {
        node->writers++;
        node->wrote = true;
    }
    file->ops = &p9fs_file_ops;
    return 0;
}

/* The result of a call that moved data: what the server said, where that is known. */
static long told(struct p9_node *node, long result)
{
    if (node->error != 0 && (result == -EIO || result == -ENOMEM || result == -ENOSPC))
        result = node->error;
    return result;
}

/* Sends what write() has written. */
static int send_written(struct p9_node *node)
{
    uint64_t from = node->dirty_from, to = node->dirty_to, bytes = node->dirty_bytes;

    if (bytes == 0 || node->unlinked)
        return 0;
    node->dirty_from = UINT64_MAX;
    node->dirty_to = node->dirty_bytes = 0;
    node->error = 0;
    if (object_sync(node->vnode.object, from >> PAGE_SHIFT,
                    (align_up(to, PAGE_SIZE) - align_down(from, PAGE_SIZE)) >> PAGE_SHIFT) == ST_OK)
        return 0;
    node->dirty_from = from < node->dirty_from ? from : node->dirty_from;
    node->dirty_to = to > node->dirty_to ? to : node->dirty_to;
    node->dirty_bytes += bytes;
    return (int)told(node, -EIO);
}

static long file_write_behind(struct file *file, struct uio *uio, uint64_t offset)
{
    struct p9_node *node = p9_node(file->vnode);
    uint64_t end;
    long done;
    int error = 0;

    node->error = 0;
    done = object_file_write(file, uio, offset);
    if (done <= 0)
        return told(node, done);
    end = (file->flags & O_APPEND) != 0 ? file->offset : offset + (uint64_t)done;
    if (end - (uint64_t)done < node->dirty_from)
        node->dirty_from = end - (uint64_t)done;
    if (end > node->dirty_to)
        node->dirty_to = end;
    node->dirty_bytes += (uint64_t)done;
    if (node->dirty_bytes >= WRITE_BEHIND_BYTES || (file->flags & O_DSYNC) != 0)
        error = send_written(node);
    return error != 0 ? error : done;
}

static int file_flush(struct file *file)
{
    return send_written(p9_node(file->vnode));
}

/* Mappings may have made more pages dirty than write() has. */
static void file_release(struct file *file)
{
    struct p9_node *node = p9_node(file->vnode);

    if ((file->flags & O_ACCMODE) == O_RDONLY)
        return;
    if (!node->unlinked && sync_pages(node) == ST_OK)
        node->vnode.written_ns = 0; /* the server's time counts now */
    else if (!node->unlinked && node->writers == 1)
        give_up(node, file->path);
    node->writers--;
}

/* At the end the host may have written more. */
static long file_read_grown(struct file *file, struct uio *uio, uint64_t offset)
{
    struct p9_node *node = p9_node(file->vnode);
    long done;

    node->error = 0;
    done = object_file_read(file, uio, offset);
    if (done < 0)
        return told(node, done);
    if (done != 0 || uio->left == 0 || p9fs_refresh(node) != 0 || object_size(file->vnode->object) <= offset)
        return done;
    return told(node, object_file_read(file, uio, offset));
}

int p9fs_sync(struct vnode *vnode, bool data_only)
{
    struct p9_node *node = p9_node(vnode);

    node->error = 0;
    if (!node->unlinked && sync_pages(node) != ST_OK)
        return (int)told(node, -EIO);
    if (vnode->type != S_IFREG || node->write_fid == P9_NO_FID)
        return 0;
    return p9_fsync(node->fs->client, node->write_fid, data_only);
}

static int file_sync(struct file *file, bool data_only)
{
    return p9fs_sync(file->vnode, data_only);
}

static const struct file_ops p9fs_file_ops = {
    .read = file_read_grown,
    .write = file_write_behind,
    .seek = object_file_seek,
    .sync = file_sync,
    .flush = file_flush,
    .release = file_release,
};

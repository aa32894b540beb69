/*
 * Open files whose data is a memory object (regular files), and open directories.
 *
 * Reading and writing copy between the user's memory and the object's pages; no lock is held during a copy,
 * because it may fault, perhaps on a mapping of this very file. A write grows the file to its end first, so
 * that appending is atomic; what could not be copied is cut off again if nobody has grown the file since.
 *
 * Reading in sequence asks for AHEAD_PAGES at a time before it comes to them.
 */
#include <linux/errno.h>
#include <linux/fs.h>
#include <linux/resource.h>

#include "kernel/fs/internal.h"
#include "kernel/klib.h"
#include "kernel/linux/syscalls.h"

enum { AHEAD_PAGES = 64 };

static const uint64_t FILE_BYTES_MAX = (uint64_t)1 << 44; /* 2^32 pages: what a mark can name */

/* ---------------------------------------------------------------- reading */

/* Read-ahead for [offset, end), end at most the file's size. */
static void read_ahead(struct file *file, struct object *object, uint64_t offset, uint64_t end)
{
    uint64_t first = offset >> PAGE_SHIFT;
    uint64_t last = (end + PAGE_MASK) >> PAGE_SHIFT;
    bool in_sequence = offset == file->ahead_next;

    file->ahead_next = end;
    if (!in_sequence) {
        file->ahead_page = 0;
        if (last - first > 1)
            object_prefetch(object, first, last - first < AHEAD_PAGES ? last - first : AHEAD_PAGES);
        return;
    }
    if (file->ahead_page >= last)
        return;
    if (file->ahead_page > first)
        first = file->ahead_page;
    file->ahead_page = first + AHEAD_PAGES;
    object_prefetch(object, first, AHEAD_PAGES);
}

long object_file_read(struct file *file, struct uio *uio, uint64_t offset)
{
    struct object *object = file->vnode->object;
    uint64_t start = offset;
    enum status status = ST_OK;

    if (object == NULL)
        return -EINVAL;
    while (uio->left != 0) {
        uint64_t size = object_size(object);
        size_t within = offset & PAGE_MASK, chunk = PAGE_SIZE - within, copied;
        struct frame *frame;

        if (offset >= size)
            break;
        if (chunk > size - offset)
            chunk = size - offset;
        if (chunk > uio->left)
            chunk = uio->left;
        if (!file->vnode->in_memory)
            read_ahead(file, object, offset, offset + chunk);
        status = object_get_page(object, offset >> PAGE_SHIFT, OBJECT_LOOK, &frame);
        if (status == ST_BEYOND_END)
            break; /* truncated meanwhile */
        if (status != ST_OK)
            return offset != start ? (long)(offset - start) : errno_of(status);
        copied = uio_put(uio, (const char *)frame_data(frame) + within, chunk);
        frame_unref(frame);
        offset += copied;
        if (copied < chunk)
            return offset != start ? (long)(offset - start) : -EFAULT;
    }
    return (long)(offset - start);
}

/* ---------------------------------------------------------------- writing */

/* How much of `bytes` may be written at offset; 0: SIGXFSZ was sent, -EFBIG. */
static uint64_t write_limit(uint64_t offset, uint64_t bytes)
{
    struct process *process = process_current();
    uint64_t limit = process != NULL ? process->limits[RLIMIT_FSIZE][0] : FILE_BYTES_MAX;

    if (offset >= limit && limit < FILE_BYTES_MAX) {
        signal_send_task(task_current(), SIGXFSZ, NULL);
        return 0;
    }
    if (limit > FILE_BYTES_MAX)
        limit = FILE_BYTES_MAX;
    if (offset >= limit)
        return 0;
    return bytes < limit - offset ? bytes : limit - offset;
}

/* Can [address of the uio's next `bytes`) be read? Only asked before a page with a store is overwritten
 * without having been read: a page that turns out half copied would lose what the store has. */
static bool source_is_there(const struct uio *uio, size_t bytes)
{
    const struct iovec_piece *piece = &uio->pieces[uio->at];
    uint64_t address = piece->base + uio->at_offset;
    char byte;

    if (uio->kernel)
        return true;
    return piece->length - uio->at_offset >= bytes && user_read_some(&byte, address, 1) == 1 &&
           user_read_some(&byte, address + bytes - 1, 1) == 1;
}

/* Copies `bytes` of the uio to the object; what was copied, also when *error is set. */
static uint64_t write_pages(struct vnode *node, struct uio *uio, uint64_t offset, uint64_t bytes,
                            uint64_t old_size, long *error)
{
    struct object *object = node->object;
    uint64_t done = 0;

    while (done < bytes) {
        size_t within = (offset + done) & PAGE_MASK, chunk = PAGE_SIZE - within, copied;
        enum object_get how = OBJECT_WRITE;
        struct frame *frame;
        enum status status;

        if (chunk > bytes - done)
            chunk = bytes - done;
        if (offset + done - within >= old_size ||
            (within == 0 && (chunk == PAGE_SIZE || offset + done + chunk >= old_size) &&
             (node->in_memory || source_is_there(uio, chunk))))
            how = OBJECT_OVERWRITE;
        status = object_get_page(object, (offset + done) >> PAGE_SHIFT, how, &frame);
        if (status != ST_OK) {
            *error = errno_of_write(status);
            return done;
        }
        copied = uio_get(uio, (char *)frame_data(frame) + within, chunk);
        object_put_written(frame);
        done += copied;
        if (copied < chunk) {
            *error = -EFAULT;
            return done;
        }
    }
    return done;
}

long object_file_write(struct file *file, struct uio *uio, uint64_t offset)
{
    struct vnode *node = file->vnode;
    struct object *object = node->object;
    uint64_t bytes, done, old_size;
    long error = 0;

    if (object == NULL)
        return -EINVAL;
    if (uio->left == 0)
        return 0;
    old_size = object_size(object);
    if ((file->flags & O_APPEND) != 0)
        offset = old_size;
    bytes = write_limit(offset, uio->left);
    if (bytes == 0)
        return -EFBIG;
    if (node->seals != 0) {
        bytes = seals_write(node, offset, bytes);
        if (bytes == 0)
            return -EPERM;
    }
    if (offset + bytes > old_size) {
        enum status status = object_resize(object, offset + bytes);

        if (status != ST_OK)
            return errno_of_write(status);
    }
    done = write_pages(node, uio, offset, bytes, old_size, &error);
    if (done < bytes && offset + bytes > old_size && object_size(object) == offset + bytes) {
        uint64_t size = done != 0 && offset + done > old_size ? offset + done : old_size;

        if (object_resize(object, size) != ST_OK)
            error = -EIO;
    }
    if (done != 0)
        node->written_ns = fs_now_ns();
    if ((file->flags & O_APPEND) != 0)
        file->offset = offset + done;
    return done != 0 ? (long)done : error;
}

/* ---------------------------------------------------------------- the rest */

int64_t object_file_seek(struct file *file, int64_t offset, int whence)
{
    int64_t size = 0, base = 0;

    if (whence == SEEK_END || whence == SEEK_DATA || whence == SEEK_HOLE) {
        struct vattr attr;
        int error = vnode_getattr(file->vnode, &attr);

        if (error != 0)
            return error;
        size = (int64_t)attr.size;
    }
    switch (whence) {
    case SEEK_SET:
        break;
    case SEEK_CUR:
        base = (int64_t)file->offset;
        break;
    case SEEK_END:
        base = size;
        break;
    case SEEK_DATA: /* all of it counts as data, and there is a hole at the end */
    case SEEK_HOLE:
        if (offset < 0 || offset >= size)
            return -ENXIO;
        if (whence == SEEK_HOLE)
            offset = size;
        break;
    default:
        return -EINVAL;
    }
    if (__builtin_add_overflow(base, offset, &offset))
        return -EOVERFLOW;
    if (offset < 0)
        return -EINVAL;
    file->offset = (uint64_t)offset;
    return offset;
}

int object_file_sync(struct file *file, bool data_only)
{
    struct vnode *node = file->vnode;

    if (node->object != NULL && !node->in_memory) {
        enum status status =
            object_sync(node->object, 0, (object_size(node->object) + PAGE_MASK) >> PAGE_SHIFT);

        if (status != ST_OK)
            return (int)errno_of(status);
    }
    return node->ops->sync != NULL ? node->ops->sync(node, data_only) : 0;
}

const struct file_ops object_file_ops = {
    .read = object_file_read,
    .write = object_file_write,
    .seek = object_file_seek,
    .sync = object_file_sync,
};

/* ---------------------------------------------------------------- directories */

/* The offset of an open directory: 0 before ".", 1 before "..", then the file system's cookie plus 2. */
enum { COOKIE_DOTS = 2 };

struct directory_reader {
    struct file *file;
    vdir_emit *emit;
    void *context;
};

static bool directory_emit(void *context, const char *name, size_t length, uint64_t ino, unsigned dtype,
                           uint64_t next)
{
    struct directory_reader *reader = context;

    next = next > INT64_MAX - COOKIE_DOTS ? INT64_MAX : next + COOKIE_DOTS; /* some hosts' end is INT64_MAX */
    if (!reader->emit(reader->context, name, length, ino, dtype, next))
        return false;
    reader->file->offset = next;
    return true;
}

static struct vnode *directory_parent(struct vnode *node)
{
    while (node->mount != NULL && node->mount->root == node && node->mount->on != NULL)
        node = node->mount->on;
    return node->parent != NULL ? node->parent : node;
}

int directory_file_readdir(struct file *file, vdir_emit *emit, void *context)
{
    struct directory_reader reader = {file, emit, context};
    struct vnode *node = file->vnode;
    struct vattr attr;

    if (node->ops->readdir == NULL)
        return -ENOTDIR;
    while (file->offset < COOKIE_DOTS) {
        struct vnode *dot = file->offset == 0 ? node : directory_parent(node);
        int error = vnode_getattr(dot, &attr);

        if (error != 0)
            return error;
        if (!emit(context, "..", (size_t)file->offset + 1, attr.ino, S_IFDIR >> 12, file->offset + 1))
            return 0;
        file->offset++;
    }
    return node->ops->readdir(node, file->offset - COOKIE_DOTS, directory_emit, &reader);
}

int64_t directory_file_seek(struct file *file, int64_t offset, int whence)
{
    if (whence == SEEK_CUR)
        offset += (int64_t)file->offset;
    else if (whence != SEEK_SET)
        return -EINVAL;
    if (offset < 0)
        return -EINVAL;
    file->offset = (uint64_t)offset;
    return offset;
}

const struct file_ops directory_file_ops = {
    .readdir = directory_file_readdir,
    .seek = directory_file_seek,
    .sync = object_file_sync,
};

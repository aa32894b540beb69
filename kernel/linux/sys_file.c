/*
 * System calls that move bytes: read, write and their kin, and what copies from file to file.
 */
#include <linux/resource.h>

#include "kernel/klib.h"
#include "kernel/linux/file_args.h"

/* ---------------------------------------------------------------- buffers, vectors and places */

enum direction { DIRECTION_READ, DIRECTION_WRITE };
#define OFFSET_OF_FILE INT64_MIN /* at the file's own offset, which moves */

static inline long move_at(struct file *file, struct uio *uio, int64_t offset, enum direction direction)
{
    uint64_t own = file->offset;
    long result;

    if (offset == OFFSET_OF_FILE)
        return direction == DIRECTION_READ ? file_read(file, uio) : file_write(file, uio);
    if (offset < 0)
        return -EINVAL;
    if (!file_has_places(file))
        return -ESPIPE;
    if (direction == DIRECTION_READ && file->ops->read == NULL)
        return file->vnode->type == S_IFDIR ? -EISDIR : -EINVAL;
    if (direction == DIRECTION_WRITE && file->ops->write == NULL)
        return -EINVAL;
    result = direction == DIRECTION_READ ? file->ops->read(file, uio, (uint64_t)offset)
                                         : file_write_at(file, uio, (uint64_t)offset);
    if ((file->flags & O_APPEND) != 0) /* such a write goes to the end, and set the offset */
        file->offset = own;
    return result;
}

static inline long move(int fd, struct uio *uio, int64_t offset, enum direction direction)
{
    struct file *file = file_get(fd);
    long result = -EBADF;

    if (file == NULL)
        return -EBADF;
    if (direction == DIRECTION_READ ? file_readable(file) : file_writable(file))
        result = uio->count != 0 && !user_range(uio->pieces->base, uio->pieces->length)
                     ? -EFAULT
                     : move_at(file, uio, offset, direction);
    file_unref(file);
    return result;
}

static inline long move_buffer(int fd, uint64_t buffer, size_t count, int64_t offset,
                               enum direction direction)
{
    struct iovec_piece piece;
    struct uio uio;

    uio_init_user(&uio, &piece, buffer, count);
    if (uio.left > RW_BYTES_MAX)
        uio.left = RW_BYTES_MAX;
    return move(fd, &uio, offset, direction);
}

static long move_vector(int fd, uint64_t pieces, unsigned count, int64_t offset, enum direction direction)
{
    struct file *file = file_get(fd);
    struct vector vector;
    long result;

    if (file == NULL)
        return -EBADF;
    file_unref(file);
    result = vector_begin(&vector, pieces, count);
    if (result != 0)
        return result;
    result = move(fd, &vector.uio, offset, direction);
    vector_end(&vector);
    return result;
}

long sys_read(int fd, uint64_t buffer, size_t count)
{
    return move_buffer(fd, buffer, count, OFFSET_OF_FILE, DIRECTION_READ);
}

long sys_write(int fd, uint64_t buffer, size_t count)
{
    return move_buffer(fd, buffer, count, OFFSET_OF_FILE, DIRECTION_WRITE);
}

long sys_pread64(int fd, uint64_t buffer, size_t count, int64_t offset)
{
    return offset < 0 ? -EINVAL : move_buffer(fd, buffer, count, offset, DIRECTION_READ);
}

long sys_pwrite64(int fd, uint64_t buffer, size_t count, int64_t offset)
{
    return offset < 0 ? -EINVAL : move_buffer(fd, buffer, count, offset, DIRECTION_WRITE);
}

long sys_readv(int fd, uint64_t pieces, unsigned count)
{
    return move_vector(fd, pieces, count, OFFSET_OF_FILE, DIRECTION_READ);
}

long sys_writev(int fd, uint64_t pieces, unsigned count)
{
    return move_vector(fd, pieces, count, OFFSET_OF_FILE, DIRECTION_WRITE);
}

long sys_preadv(int fd, uint64_t pieces, unsigned count, int64_t offset)
{
    return offset < 0 ? -EINVAL : move_vector(fd, pieces, count, offset, DIRECTION_READ);
}

long sys_pwritev(int fd, uint64_t pieces, unsigned count, int64_t offset)
{
    return offset < 0 ? -EINVAL : move_vector(fd, pieces, count, offset, DIRECTION_WRITE);
}

/* Offset -1: at the file's own. Waiting or not, and polling the device, make no difference here. */
enum { RWF_NO_DIFFERENCE = RWF_HIPRI | RWF_NOWAIT, RWF_TO_THE_STORE = RWF_DSYNC | RWF_SYNC };

long sys_preadv2(int fd, uint64_t pieces, unsigned count, int64_t offset, int64_t high, int flags)
{
    if ((flags & ~(RWF_NO_DIFFERENCE | RWF_TO_THE_STORE)) != 0)
        return -EOPNOTSUPP;
    return offset == -1 ? sys_readv(fd, pieces, count) : sys_preadv(fd, pieces, count, offset);
}

static long file_sync(int fd, bool data_only);

long sys_pwritev2(int fd, uint64_t pieces, unsigned count, int64_t offset, int64_t high, int flags)
{
    long result, error = 0;

    if ((flags & ~(RWF_NO_DIFFERENCE | RWF_TO_THE_STORE)) != 0)
        return -EOPNOTSUPP;
    result = offset == -1 ? sys_writev(fd, pieces, count) : sys_pwritev(fd, pieces, count, offset);
    if (result > 0 && (flags & RWF_TO_THE_STORE) != 0)
        error = file_sync(fd, (flags & RWF_SYNC) == 0);
    return error == 0 || error == -EINVAL ? result : error; /* -EINVAL: it has no store */
}

/* ---------------------------------------------------------------- the offset */

long sys_lseek(int fd, int64_t offset, int whence)
{
    struct file *file = file_get(fd);
    long result;

    if (file == NULL)
        return -EBADF;
    if ((file->flags & O_PATH) != 0)
        result = -EBADF;
    else if (whence < 0 || whence > SEEK_MAX)
        result = -EINVAL;
    else
        result = file->ops->seek == NULL ? -ESPIPE : file->ops->seek(file, offset, whence);
    file_unref(file);
    return result;
}

/* ---------------------------------------------------------------- from file to file */

/* One piece: read at *from (or the file's offset), written at *to. What was not written is not counted as
 * read. `page`: a page of room. */
static long copy_piece(struct file *in, uint64_t *from, struct file *out, uint64_t *to, size_t bytes,
                       char *page)
{
    struct iovec_piece piece;
    struct uio uio;
    long got, put;

    uio_init_kernel(&uio, &piece, page, bytes < PAGE_SIZE ? bytes : PAGE_SIZE);
    got = in->ops->read(in, &uio, *from);
    if (got <= 0)
        return got;
    uio_init_kernel(&uio, &piece, page, (uint64_t)got);
    put = to != NULL ? file_write_at(out, &uio, *to) : file_write(out, &uio);
    if (put <= 0)
        return put;
    *from += (uint64_t)put;
    if (to != NULL)
        *to += (uint64_t)put;
    return put;
}

static long copy_all(struct file *in, uint64_t *from, struct file *out, uint64_t *to, size_t bytes)
{
    char *page = path_buffer();
    long done = 0, moved = 1;

    if (page == NULL)
        return -ENOMEM;
    while ((size_t)done < bytes && moved > 0) {
        moved = copy_piece(in, from, out, to, bytes - (size_t)done, page);
        if (moved > 0)
            done += moved;
        if (signal_pending())
            break;
    }
    path_buffer_free(page);
    return done != 0 || moved >= 0 ? done : moved;
}

/* Both files for a copy, checked. 0 or -errno. */
static int copy_begin(int in_fd, int out_fd, struct file **in, struct file **out)
{
    int error = 0;

    *in = file_get(in_fd);
    *out = file_get(out_fd);
    if (*in == NULL || *out == NULL || !file_readable(*in) || !file_writable(*out))
        error = -EBADF;
    else if ((*in)->vnode == NULL || (*in)->vnode->type != S_IFREG || (*in)->ops->read == NULL ||
             (*out)->ops->write == NULL)
        error = -EINVAL;
    if (error == 0)
        return 0;
    if (*in != NULL)
        file_unref(*in);
    if (*out != NULL)
        file_unref(*out);
    return error;
}

long sys_sendfile(int out_fd, int in_fd, uint64_t offset, size_t count)
{
    struct file *in, *out;
    uint64_t from;
    long result = copy_begin(in_fd, out_fd, &in, &out);

    if (result != 0)
        return result;
    from = in->offset;
    if ((out->flags & O_APPEND) != 0)
        result = -EINVAL;
    else if (offset != 0)
        result = user_read(&from, offset, sizeof from);
    if (result == 0 && (int64_t)from < 0)
        result = -EINVAL;
    if (result == 0)
        result = copy_all(in, &from, out, NULL, count < RW_BYTES_MAX ? count : RW_BYTES_MAX);
    if (result >= 0 && offset == 0)
        in->offset = from;
    else if (result >= 0 && user_write(offset, &from, sizeof from) != 0)
        result = -EFAULT;
    file_unref(in);
    file_unref(out);
    return result;
}

/* The offset that an argument points to, or the file's own. */
static int copy_offset(const struct file *file, uint64_t argument, uint64_t *out)
{
    *out = file->offset;
    if (argument != 0 && user_read(out, argument, sizeof *out) != 0)
        return -EFAULT;
    return (int64_t)*out < 0 ? -EINVAL : 0;
}

static int copy_offset_back(struct file *file, uint64_t argument, uint64_t value)
{
    if (argument != 0)
        return user_write(argument, &value, sizeof value);
    file->offset = value;
    return 0;
}

long sys_copy_file_range(int in_fd, uint64_t in_offset, int out_fd, uint64_t out_offset, size_t count,
                         unsigned flags)
{
    struct file *in, *out;
    uint64_t from, to;
    long result;

    if (flags != 0)
        return -EINVAL;
    result = copy_begin(in_fd, out_fd, &in, &out);
    if (result != 0)
        return result;
    if (out->vnode == NULL || out->vnode->type != S_IFREG)
        result = -EINVAL;
    else if ((out->flags & O_APPEND) != 0)
        result = -EBADF;
    if (result == 0)
        result = copy_offset(in, in_offset, &from);
    if (result == 0)
        result = copy_offset(out, out_offset, &to);
    if (result == 0 && in->vnode == out->vnode && from < to + count && to < from + count)
        result = -EINVAL;
    if (result == 0)
        result = copy_all(in, &from, out, &to, count < RW_BYTES_MAX ? count : RW_BYTES_MAX);
    if (result >= 0 &&
        (copy_offset_back(in, in_offset, from) != 0 || copy_offset_back(out, out_offset, to) != 0))
        result = -EFAULT;
    file_unref(in);
    file_unref(out);
    return result;
}

/* Moving pages between pipes and files saves nothing here: programs fall back to read and write. */
long sys_splice(int in, uint64_t in_offset, int out, uint64_t out_offset, size_t count, unsigned flags)
{
    return -EINVAL;
}

/* ---------------------------------------------------------------- to the store */

static long file_sync(int fd, bool data_only)
{
    struct file *file = file_get(fd);
    long result;

    if (file == NULL)
        return -EBADF;
    if ((file->flags & O_PATH) != 0)
        result = -EBADF;
    else
        result = file->ops->sync != NULL ? file->ops->sync(file, data_only) : -EINVAL;
    file_unref(file);
    return result;
}

long sys_fsync(int fd)
{
    return file_sync(fd, false);
}

long sys_fdatasync(int fd)
{
    return file_sync(fd, true);
}

long sys_sync(void)
{
    if (objects_sync_all() != ST_OK)
        host_log("sync: not everything could be written");
    return 0;
}

long sys_syncfs(int fd)
{
    struct file *file = file_get(fd);

    if (file == NULL)
        return -EBADF;
    file_unref(file);
    return errno_of(objects_sync_all());
}

long sys_sync_file_range(int fd, int64_t offset, int64_t count, unsigned flags)
{
    if (offset < 0 || count < 0 || (flags & ~7u) != 0)
        return -EINVAL;
    return file_sync(fd, true);
}

/* ---------------------------------------------------------------- advice */

/* Asks for pages before they are read. */
static void file_will_need(const struct file *file, uint64_t offset, uint64_t count)
{
    struct object *object = file->vnode->object;
    uint64_t first = offset >> PAGE_SHIFT, pages;

    if (object == NULL || file->vnode->in_memory || offset >= object_size(object))
        return;
    if (count == 0 || count > object_size(object) - offset)
        count = object_size(object) - offset;
    pages = ((offset + count + PAGE_MASK) >> PAGE_SHIFT) - first;
    object_prefetch(object, first, pages);
}

long sys_readahead(int fd, int64_t offset, size_t count)
{
    struct file *file = file_get(fd);
    long result = 0;

    if (file == NULL)
        return -EBADF;
    if (!file_readable(file))
        result = -EBADF;
    else if (file->vnode == NULL || file->vnode->type != S_IFREG || offset < 0)
        result = -EINVAL;
    else if (count != 0)
        file_will_need(file, (uint64_t)offset, count);
    file_unref(file);
    return result;
}

long sys_fadvise64(int fd, int64_t offset, int64_t count, int advice)
{
    enum { NORMAL, RANDOM, SEQUENTIAL, WILLNEED, DONTNEED, NOREUSE }; /* posix_fadvise(2) */
    struct file *file = file_get(fd);
    long result = 0;

    if (file == NULL)
        return -EBADF;
    if (file->vnode == NULL || file->vnode->type == S_IFIFO)
        result = -ESPIPE;
    else if (advice < NORMAL || advice > NOREUSE || count < 0)
        result = -EINVAL;
    else if (advice == WILLNEED && offset >= 0)
        file_will_need(file, (uint64_t)offset, (uint64_t)count);
    else if (advice == DONTNEED && offset >= 0 && file->vnode->object != NULL && !file->vnode->in_memory)
        (void)object_drop(file->vnode->object, (uint64_t)offset >> PAGE_SHIFT,
                          count == 0 ? UINT64_MAX >> PAGE_SHIFT : (uint64_t)count >> PAGE_SHIFT);
    file_unref(file);
    return result;
}

/* ---------------------------------------------------------------- length */

static long vnode_truncate(struct vnode *node, int64_t length)
{
    struct vattr attr = {.size = (uint64_t)length};
    uint64_t limit = process_current()->limits[RLIMIT_FSIZE][0];

    if ((uint64_t)length > limit) {
        (void)signal_send_task(task_current(), SIGXFSZ, NULL);
        return -EFBIG;
    }
    if (length >= (int64_t)1 << 44)
        return -EFBIG;
    return vnode_setattr(node, &attr, VATTR_SIZE);
}

long sys_truncate(uint64_t path, int64_t length)
{
    struct target target;
    long result;

    if (length < 0)
        return -EINVAL;
    result = target_at(&target, AT_FDCWD, path, 0);
    if (result != 0)
        return result;
    if (target.node == NULL || target.node->type != S_IFREG)
        result = target.node != NULL && target.node->type == S_IFDIR ? -EISDIR : -EINVAL;
    else
        result = vnode_permission(target.node, MAY_WRITE);
    if (result == 0)
        result = vnode_truncate(target.node, length);
    target_end(&target);
    return result;
}

long sys_ftruncate(int fd, int64_t length)
{
    struct file *file = length < 0 ? NULL : file_get(fd);
    long result;

    if (file == NULL)
        return length < 0 ? -EINVAL : -EBADF;
    if (file->vnode == NULL || file->vnode->type != S_IFREG || !file_writable(file))
        result = (file->flags & O_PATH) != 0 ? -EBADF : -EINVAL;
    else
        result = vnode_truncate(file->vnode, length);
    file_unref(file);
    return result;
}

/* FALLOC_FL_PUNCH_HOLE and FALLOC_FL_ZERO_RANGE: zeroes over what is there. */
static long zero_range(struct file *file, uint64_t start, uint64_t end)
{
    uint64_t size = object_size(file->vnode->object);
    char *page = path_buffer();
    enum status status = ST_OK;

    if (page == NULL)
        return -ENOMEM;
    memset(page, 0, PAGE_SIZE);
    if (end > size)
        end = size;
    while (start < end && status == ST_OK) {
        size_t done, chunk = PAGE_SIZE - (start & PAGE_MASK);

        status =
            object_write(file->vnode->object, start, page, chunk < end - start ? chunk : end - start, &done);
        start += done;
    }
    path_buffer_free(page);
    return errno_of(status);
}

/* Zeroes in a page of a file in memory, if there is one. */
static enum status zero_in_page(struct object *object, uint64_t offset, size_t bytes)
{
    struct frame *frame;
    enum status status = object_get_page(object, offset >> PAGE_SHIFT, OBJECT_LOOK, &frame);

    if (status != ST_OK)
        return status == ST_BEYOND_END ? ST_OK : status;
    if (object_is_hole(frame)) {
        frame_unref(frame);
        return ST_OK;
    }
    memset((char *)frame_data(frame) + (offset & PAGE_MASK), 0, bytes);
    object_put_written(frame);
    return ST_OK;
}

/* A hole in a file in memory: whole pages go. */
static long punch_hole(struct object *object, uint64_t start, uint64_t end)
{
    uint64_t first = align_up(start, PAGE_SIZE), last = align_down(end, PAGE_SIZE);
    enum status status = ST_OK;

    if (first > last)
        return errno_of(zero_in_page(object, start, end - start));
    if (start < first)
        status = zero_in_page(object, start, first - start);
    if (status == ST_OK && last < end)
        status = zero_in_page(object, last, end - last);
    if (status == ST_OK)
        object_punch(object, first >> PAGE_SHIFT, (last - first) >> PAGE_SHIFT);
    return errno_of(status);
}

/* What lies beyond the end of a file that keeps its size gets no pages. */
static long fill_file(struct file *file, uint64_t offset, uint64_t end, bool keep_size)
{
    struct object *object = file->vnode->object;
    uint64_t size = object_size(object), first = offset >> PAGE_SHIFT;
    long result = !keep_size && end > size ? vnode_truncate(file->vnode, (int64_t)end) : 0;

    if (result == 0)
        result = errno_of_write(object_fill(object, first, ((end + PAGE_MASK) >> PAGE_SHIFT) - first));
    if (result != 0 && object_size(object) > size && object_resize(object, size) != ST_OK)
        result = -EIO;
    return result;
}

static long vnode_allocate(struct file *file, int mode, uint64_t offset, uint64_t length)
{
    enum { KEEP_SIZE = 1, PUNCH_HOLE = 2, ZERO_RANGE = 16 }; /* linux/falloc.h */
    struct vnode *node = file->vnode;
    uint64_t end = offset + length;
    long result = 0;

    if ((mode & ~(KEEP_SIZE | PUNCH_HOLE | (node->in_memory ? 0 : ZERO_RANGE))) != 0 ||
        (mode & (PUNCH_HOLE | ZERO_RANGE)) == (PUNCH_HOLE | ZERO_RANGE) ||
        ((mode & PUNCH_HOLE) != 0 && (mode & KEEP_SIZE) == 0))
        return -EOPNOTSUPP;
    if ((mode & (PUNCH_HOLE | ZERO_RANGE)) != 0 && (node->seals & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE)) != 0)
        return -EPERM;
    if ((mode & PUNCH_HOLE) == 0 && seals_resize(node, object_size(node->object), end) != 0 &&
        end > object_size(node->object))
        return -EPERM;
    if (node->in_memory)
        return (mode & PUNCH_HOLE) != 0 ? punch_hole(node->object, offset, end)
                                        : fill_file(file, offset, end, (mode & KEEP_SIZE) != 0);
    if ((mode & (PUNCH_HOLE | ZERO_RANGE)) != 0)
        result = zero_range(file, offset, end);
    if (result == 0 && (mode & KEEP_SIZE) == 0 && end > object_size(node->object))
        result = vnode_truncate(node, (int64_t)end);
    return result;
}

long sys_fallocate(int fd, int mode, int64_t offset, int64_t length)
{
    struct file *file = file_get(fd);
    long result;

    if (file == NULL)
        return -EBADF;
    if (offset < 0 || length <= 0)
        result = -EINVAL;
    else if (!file_writable(file))
        result = -EBADF;
    else if (file->vnode == NULL || file->vnode->type == S_IFIFO)
        result = -ESPIPE;
    else if (file->vnode->object == NULL)
        result = -ENODEV;
    else if (offset + length > (int64_t)1 << 44 || offset + length < 0)
        result = -EFBIG;
    else
        result = vnode_allocate(file, mode, (uint64_t)offset, (uint64_t)length);
    file_unref(file);
    return result;
}

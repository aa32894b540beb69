/*
 * A file as a store: file.h.
 *
 * One page in a fault is read by a plain system call (transfer). Writes, many at a time, go through io_uring;
 * where the kernel has none, or forbids it, each is over when submit returns. O_DIRECT as far as the file
 * system has it: the pages are cached by whoever uses the store, and not once more by Linux. The short last
 * page is written through a second descriptor without O_DIRECT, and synchronously.
 *
 * A file that has become shorter than it was is broken for good: what is beyond its end would read as zeroes
 * once somebody has written behind it.
 *
 * The file is locked by flock(), which ends with the process.
 *
 * System calls are made by syscall(), because glibc's pread() and pwrite() are points where a thread can be
 * cancelled, and a fault must not be left half done.
 *
 * Locking: `lock` protects the ring and the queue of requests that do not fit into it; done() is called
 * without.
 */
#include "file.h"

#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum { RING = 256, MOST_PIECES = 64 };

struct file_store {
    struct store base;
    int direct; /* O_DIRECT, or the same as `plain` */
    int plain;
    uint64_t bytes; /* its length when it was opened */
    bool read_only, has_ring;
    _Atomic bool broken; /* it has become shorter */
    pthread_mutex_t lock;
    struct io_uring ring;
    unsigned under_way;
    struct store_request *waiting, **waiting_end;
};

static struct file_store *file_of(struct store *store)
{
    return (struct file_store *)store;
}

static enum status status_of(int error)
{
    return error == ENOSPC || error == EDQUOT || error == EFBIG ? ST_NO_SPACE : ST_IO_ERROR;
}

static bool is_shorter(struct file_store *file)
{
    struct stat stat;

    if (fstat(file->plain, &stat) != 0 || (uint64_t)stat.st_size < file->bytes)
        atomic_store(&file->broken, true);
    return atomic_load(&file->broken);
}

/* ------------------------------------------------------------------ at once */

/* Bytes moved, or -1 with errno. */
static ssize_t move(int fd, enum store_op op, void *memory, size_t bytes, uint64_t at)
{
    long moved;

    do
        moved = syscall(op == STORE_READ ? SYS_pread64 : SYS_pwrite64, fd, memory, bytes, at);
    while (moved < 0 && errno == EINTR);
    return (ssize_t)moved;
}

/* O_DIRECT where the place and the length are right for it. */
static int fd_for(const struct file_store *file, enum store_op op, uint64_t at, size_t bytes)
{
    return op == STORE_WRITE && ((at | bytes) & PAGE_MASK) ? file->plain : file->direct;
}

static enum status move_run(struct file_store *file, enum store_op op, uint8_t *memory, size_t bytes,
                            uint64_t at)
{
    size_t within = at >= file->bytes ? 0 : file->bytes - at < bytes ? (size_t)(file->bytes - at) : bytes;
    size_t done = 0;

    while (done < within) {
        /* A whole last page is asked for, as O_DIRECT wants it. */
        size_t asked = op == STORE_READ ? bytes - done : within - done;
        ssize_t moved;

        if (op == STORE_WRITE && asked > PAGE_SIZE)
            asked &= ~(size_t)PAGE_MASK;
        moved = move(fd_for(file, op, at + done, asked), op, memory + done, asked, at + done);
        if (moved < 0 && errno == EINVAL)
            moved = move(file->plain, op, memory + done, asked, at + done);
        if (moved < 0)
            return status_of(errno);
        if (moved == 0)
            atomic_store(&file->broken, true);
        if (moved == 0)
            return ST_IO_ERROR;
        done += (size_t)moved;
    }
    if (op == STORE_READ)
        memset(memory + within, 0, bytes - within);
    return ST_OK;
}

/* Pages of the request from `i` on that are neighbours in memory. */
static uint32_t run_at(const struct store_request *request, uint32_t i)
{
    uint32_t run = 1;

    while (i + run < request->count &&
           (uint8_t *)request->pages[i + run] == (uint8_t *)request->pages[i] + run * PAGE_SIZE)
        run++;
    return run;
}

static enum status check_request(struct file_store *file, const struct store_request *request)
{
    if (!store_request_fits(&file->base, request))
        return ST_INVALID;
    if (request->op == STORE_WRITE && file->read_only)
        return ST_DENIED;
    return atomic_load(&file->broken) || (request->op == STORE_WRITE && is_shorter(file)) ? ST_IO_ERROR
                                                                                          : ST_OK;
}

static enum status discard(struct file_store *file, const struct store_request *request)
{
    /* A hole where the file system has them; else the contents stay, which is as good. */
    if (!file->read_only)
        (void)!fallocate(file->plain, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                         (off_t)(request->first * PAGE_SIZE), (off_t)(request->count * PAGE_SIZE));
    return ST_OK;
}

static enum status flush(struct file_store *file)
{
    if (file->read_only)
        return ST_OK;
    if (is_shorter(file))
        return ST_IO_ERROR;
    return syscall(SYS_fdatasync, file->plain) == 0 ? ST_OK : status_of(errno);
}

static enum status file_transfer(struct store *store, const struct store_request *request)
{
    struct file_store *file = file_of(store);
    enum status status = check_request(file, request);

    if (request->op == STORE_FLUSH)
        return flush(file);
    if (status == ST_OK && request->op == STORE_DISCARD)
        return discard(file, request);
    for (uint32_t i = 0, run; i < request->count && status == ST_OK; i += run) {
        run = run_at(request, i);
        status =
            move_run(file, request->op, request->pages[i], run * PAGE_SIZE, (request->first + i) * PAGE_SIZE);
    }
    return status;
}

/* ------------------------------------------------------------------ by io_uring */

static bool suits_ring(const struct file_store *file, const struct store_request *request)
{
    return file->has_ring && (request->op == STORE_READ || request->op == STORE_WRITE) &&
           (request->first + request->count) * PAGE_SIZE <= file->bytes &&
           run_at(request, 0) == request->count;
}

/* With the lock. */
static void fill_ring(struct file_store *file)
{
    unsigned added = 0;

    while (file->waiting && file->under_way < RING) {
        struct store_request *request = file->waiting;
        struct io_uring_sqe *sqe = io_uring_get_sqe(&file->ring);

        if (!sqe)
            break;
        if (request->op == STORE_READ)
            io_uring_prep_read(sqe, file->direct, request->pages[0], request->count * (unsigned)PAGE_SIZE,
                               request->first * PAGE_SIZE);
        else
            io_uring_prep_write(sqe, file->direct, request->pages[0], request->count * (unsigned)PAGE_SIZE,
                                request->first * PAGE_SIZE);
        io_uring_sqe_set_data(sqe, request);
        if (!(file->waiting = request->next))
            file->waiting_end = &file->waiting;
        file->under_way++;
        added++;
    }
    if (added > 0)
        io_uring_submit(&file->ring);
}

static void file_submit(struct store *store, struct store_request *request)
{
    struct file_store *file = file_of(store);
    enum status status = request->op == STORE_FLUSH ? ST_OK : check_request(file, request);

    if (status != ST_OK) {
        request->done(request, status);
        return;
    }
    if (!suits_ring(file, request)) {
        request->done(request, file_transfer(store, request));
        return;
    }
    request->next = NULL;
    pthread_mutex_lock(&file->lock);
    *file->waiting_end = request;
    file->waiting_end = &request->next;
    pthread_mutex_unlock(&file->lock);
}

/* What the ring says of a request: a part of it is done again as a whole. */
static enum status outcome(struct file_store *file, struct store_request *request, int32_t moved)
{
    if (moved == (int32_t)(request->count * PAGE_SIZE))
        return ST_OK;
    if (moved < 0 && moved != -EINVAL && moved != -EAGAIN && moved != -EINTR)
        return status_of(-moved);
    return file_transfer(&file->base, request);
}

/* With the lock. */
static unsigned reap(struct file_store *file, struct store_request **over, int32_t *moved, unsigned most)
{
    struct io_uring_cqe *cqe;
    unsigned count = 0;

    fill_ring(file);
    while (count < most && io_uring_peek_cqe(&file->ring, &cqe) == 0) {
        over[count] = io_uring_cqe_get_data(cqe);
        moved[count++] = cqe->res;
        io_uring_cqe_seen(&file->ring, cqe);
        file->under_way--;
    }
    if (count > 0)
        fill_ring(file);
    return count;
}

static unsigned end_some(struct file_store *file)
{
    struct store_request *over[RING];
    int32_t moved[RING];
    unsigned count;

    pthread_mutex_lock(&file->lock);
    count = reap(file, over, moved, RING);
    pthread_mutex_unlock(&file->lock);
    for (unsigned i = 0; i < count; i++)
        over[i]->done(over[i], outcome(file, over[i], moved[i]));
    return count;
}

static unsigned file_poll(struct store *store, uint64_t wait_ns)
{
    struct file_store *file = file_of(store);
    unsigned ended;
    struct pollfd ready = {.events = POLLIN};

    if (!file->has_ring)
        return 0;
    ended = end_some(file);
    if (ended > 0 || wait_ns == 0)
        return ended;
    ready.fd = file->ring.ring_fd;
    poll(&ready, 1, (int)((wait_ns + 999999) / 1000000));
    return end_some(file);
}

static void file_close(struct store *store)
{
    struct file_store *file = file_of(store);

    if (file->has_ring)
        io_uring_queue_exit(&file->ring);
    if (file->direct != file->plain)
        close(file->direct);
    close(file->plain);
    pthread_mutex_destroy(&file->lock);
    free(file);
}

static const struct store_type file_type = {
    .name = "file", .submit = file_submit, .poll = file_poll, .close = file_close, .transfer = file_transfer};

/* ------------------------------------------------------------------ opening */

static int open_file(const char *path, enum store_file_mode mode)
{
    switch (mode) {
    case STORE_FILE_CREATE:
        return open(path, O_RDWR | O_CLOEXEC | O_CREAT | O_EXCL, 0600);
    case STORE_FILE_READ_ONLY:
        return open(path, O_RDONLY | O_CLOEXEC);
    case STORE_FILE_NAMELESS:
        return open(path, O_RDWR | O_CLOEXEC | O_TMPFILE, 0600);
    default:
        return open(path, O_RDWR | O_CLOEXEC);
    }
}

/* The same file with O_DIRECT, whose offsets are its own. */
static int open_direct(int plain, bool read_only)
{
    char name[64] = "/proc/self/fd/";
    char digits[12];
    unsigned count = 0;
    size_t at = strlen(name);
    int fd;

    for (int number = plain; number > 0 || count == 0; number /= 10)
        digits[count++] = (char)('0' + number % 10);
    while (count > 0)
        name[at++] = digits[--count];
    name[at] = '\0';
    fd = open(name, (read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC | O_DIRECT);
    return fd < 0 ? plain : fd;
}

static enum status prepare(int fd, enum store_file_mode mode, uint64_t bytes, struct stat *stat,
                           const char **why)
{
    if (fstat(fd, stat) != 0 || !S_ISREG(stat->st_mode)) {
        *why = "not a regular file";
        return ST_INVALID;
    }
    if (flock(fd, (mode == STORE_FILE_READ_ONLY ? LOCK_SH : LOCK_EX) | LOCK_NB) != 0) {
        *why = "another process (or store of this one) uses it";
        return ST_DENIED;
    }
    if (bytes > (uint64_t)stat->st_size) {
        *why = "it cannot be made so long";
        if (mode == STORE_FILE_READ_ONLY || ftruncate(fd, (off_t)bytes) != 0)
            return mode == STORE_FILE_READ_ONLY ? ST_BEYOND_END : status_of(errno);
        stat->st_size = (off_t)bytes;
    }
    if (stat->st_size == 0) {
        *why = "it is empty, and no length was given";
        return ST_INVALID;
    }
    return ST_OK;
}

enum status store_file(const char *path, enum store_file_mode mode, uint64_t bytes, struct store **store,
                       const char **why)
{
    int fd = open_file(path, mode);
    struct file_store *file;
    struct stat stat;
    enum status status;

    if (fd < 0) {
        *why = "it cannot be opened";
        return status_of(errno);
    }
    status = prepare(fd, mode, bytes, &stat, why);
    file = status == ST_OK ? calloc(1, sizeof(*file)) : NULL;
    if (!file) {
        if (mode == STORE_FILE_CREATE)
            unlink(path);
        close(fd);
        return status == ST_OK ? ST_NO_MEMORY : status;
    }
    file->base = (struct store){&file_type, ((uint64_t)stat.st_size + PAGE_MASK) / PAGE_SIZE};
    file->plain = fd;
    file->read_only = mode == STORE_FILE_READ_ONLY;
    file->direct = open_direct(fd, file->read_only);
    file->bytes = (uint64_t)stat.st_size;
    file->waiting_end = &file->waiting;
    file->has_ring = io_uring_queue_init(RING, &file->ring, 0) == 0;
    pthread_mutex_init(&file->lock, NULL);
    *store = &file->base;
    return ST_OK;
}

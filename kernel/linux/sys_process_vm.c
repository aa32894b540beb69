/*
 * One process in another's memory: process_vm_readv(2), process_vm_writev(2), remap_file_pages(2).
 */
#include <linux/mman.h>
#include <linux/uio.h>

#include "kernel/fs/vfs.h"
#include "kernel/klib.h"
#include "kernel/linux/memory_args.h"
#include "kernel/linux/ranges.h"
#include "kernel/linux/syscalls.h"
#include "quire/slab.h"

enum { PIECES_MOST = 1024 /* UIO_MAXIOV */ };

struct transfer {
    struct space *space; /* the other's */
    bool write;          /* to it */
    struct iovec *here, *there;
    unsigned long here_count, there_count;
    unsigned long at; /* of `here` */
    uint64_t at_offset;
    char *page;
};

/* The next bytes of one's own pieces, at most `bytes`; 0: the end. */
static size_t next_here(struct transfer *transfer, size_t bytes, uint64_t *address)
{
    while (transfer->at < transfer->here_count) {
        const struct iovec *piece = &transfer->here[transfer->at];
        uint64_t rest = piece->iov_len - transfer->at_offset;

        if (rest) {
            *address = (uint64_t)piece->iov_base + transfer->at_offset;
            return rest < bytes ? rest : bytes;
        }
        transfer->at++;
        transfer->at_offset = 0;
    }
    return 0;
}

/* Within one page of the other's. What was moved; fewer than `bytes`, with *error, when a side cannot be
 * reached. */
static size_t move_chunk(struct transfer *transfer, uint64_t there, size_t bytes, long *error)
{
    uint64_t here;
    size_t done = 0;

    bytes = next_here(transfer, bytes, &here);
    if (!bytes)
        return 0;
    if (transfer->write) {
        if (user_read(transfer->page, here, bytes) != 0 ||
            space_write(transfer->space, vaddr(there), transfer->page, bytes, &done) != ST_OK)
            *error = -EFAULT;
    } else if (space_read(transfer->space, vaddr(there), transfer->page, bytes, &done) != ST_OK ||
               user_write(here, transfer->page, done) != 0) {
        *error = -EFAULT;
        done = 0;
    }
    transfer->at_offset += done;
    return done;
}

static long move(struct transfer *transfer)
{
    uint64_t moved = 0;
    long error = 0;

    for (unsigned long i = 0; i < transfer->there_count && !error; i++) {
        uint64_t address = (uint64_t)transfer->there[i].iov_base, left = transfer->there[i].iov_len;

        while (left && !error) {
            size_t page_rest = PAGE_SIZE - (address & PAGE_MASK);
            size_t done = move_chunk(transfer, address, left < page_rest ? left : page_rest, &error);

            moved += done;
            address += done;
            left -= done;
            if (!done)
                return moved ? (long)moved : error;
        }
    }
    return moved ? (long)moved : error;
}

static long check_pieces(const struct iovec *pieces, unsigned long count)
{
    uint64_t total = 0;

    for (unsigned long i = 0; i < count; i++)
        if ((int64_t)pieces[i].iov_len < 0 || __builtin_add_overflow(total, pieces[i].iov_len, &total) ||
            (int64_t)total < 0)
            return -EINVAL;
    return 0;
}

static long reach(struct transfer *transfer, int pid)
{
    const struct process *other = process_find(pid);
    long result;

    if (!other || !other->space)
        return -ESRCH;
    if (!process_may_reach(process_current(), other))
        return -EPERM;
    transfer->space = other->space;
    space_ref(transfer->space);
    transfer->page = path_buffer();
    result = transfer->page ? move(transfer) : -ENOMEM;
    path_buffer_free(transfer->page);
    space_unref(transfer->space);
    return result;
}

static long read_pieces(struct transfer *transfer, uint64_t here, uint64_t there)
{
    long error;

    if (user_read(transfer->here, here, transfer->here_count * sizeof(struct iovec)) != 0)
        return -EFAULT;
    error = check_pieces(transfer->here, transfer->here_count);
    if (error)
        return error;
    if (user_read(transfer->there, there, transfer->there_count * sizeof(struct iovec)) != 0)
        return -EFAULT;
    return check_pieces(transfer->there, transfer->there_count);
}

static long process_vm(long pid, uint64_t here, unsigned long here_count, uint64_t there,
                       unsigned long there_count, unsigned long flags, bool write)
{
    struct transfer transfer = {.write = write, .here_count = here_count, .there_count = there_count};
    long result = -ENOMEM;

    if (flags || here_count > PIECES_MOST || there_count > PIECES_MOST)
        return -EINVAL;
    transfer.here = slab_alloc((here_count + there_count + 1) * sizeof(struct iovec));
    transfer.there = transfer.here + here_count;
    if (transfer.here)
        result = read_pieces(&transfer, here, there);
    if (!result && here_count && there_count)
        result = reach(&transfer, (int)pid);
    slab_free(transfer.here);
    return result;
}

long sys_process_vm_readv(long pid, long here, long here_count, long there, long there_count, long flags)
{
    return process_vm(pid, (uint64_t)here, (unsigned long)here_count, (uint64_t)there,
                      (unsigned long)there_count, (unsigned long)flags, false);
}

long sys_process_vm_writev(long pid, long here, long here_count, long there, long there_count, long flags)
{
    return process_vm(pid, (uint64_t)here, (unsigned long)here_count, (uint64_t)there,
                      (unsigned long)there_count, (unsigned long)flags, true);
}

/* ---------------------------------------------------------------- remap_file_pages */

/* As Linux has it since 4.0: a new mapping over a part of a shared one. */
long sys_remap_file_pages(long start, long size, long protection, long page, long flags)
{
    uint64_t from = align_down((uint64_t)start, PAGE_SIZE), bytes = align_down((uint64_t)size, PAGE_SIZE);
    struct space_region region;
    struct space_map map = {.hint = vaddr(from), .length_bytes = bytes, .first_page = (uint64_t)page};
    struct vaddr at;
    enum status status;

    if (protection || from + bytes <= from || (uint64_t)page + (bytes >> PAGE_SHIFT) < (uint64_t)page ||
        from < SPACE_START || from + bytes > SPACE_END)
        return -EINVAL;
    if (!space_next_region(space_here(), vaddr(from), &region) || region.start.v > from ||
        !(region.flags & SPACE_SHARED) || region.end.v < from + bytes)
        return -EINVAL;
    map.access = region.access;
    map.flags = SPACE_FIXED | (region.flags & (SPACE_SHARED | SPACE_NEVER_WRITE | SPACE_LOCKED)) |
                ((flags & MAP_NONBLOCK) ? 0u : (unsigned)SPACE_POPULATE);
    map.object = region.object;
    object_ref(map.object);
    if (ranges_forget(process_current(), from, from + bytes) == 0)
        status = space_map(space_here(), &map, &at);
    else
        status = ST_NO_MEMORY;
    object_unref(map.object);
    return errno_of(status);
}

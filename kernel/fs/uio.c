/*
 * Moving bytes between the kernel and the pieces of a uio.
 *
 * Invariants: at <= count; at_offset <= pieces[at].length; left is the sum of what the pieces still have.
 */
#include "kernel/fs/vfs.h"
#include "kernel/klib.h"

static void uio_init(struct uio *uio, struct iovec_piece *piece, uint64_t base, uint64_t length)
{
    piece->base = base;
    piece->length = length;
    uio->pieces = piece;
    uio->count = 1;
    uio->at = 0;
    uio->at_offset = 0;
    uio->left = length;
}

void uio_init_user(struct uio *uio, struct iovec_piece *piece, uint64_t address, uint64_t length)
{
    uio_init(uio, piece, address, length);
    uio->kernel = false;
}

void uio_init_kernel(struct uio *uio, struct iovec_piece *piece, void *address, uint64_t length)
{
    uio_init(uio, piece, (uint64_t)address, length);
    uio->kernel = true;
}

/* The rest of the current piece, at most `bytes`; 0 when the uio is at its end. */
static inline size_t uio_chunk(struct uio *uio, size_t bytes, uint64_t *address)
{
    while (uio->left != 0) {
        const struct iovec_piece *piece = &uio->pieces[uio->at];
        uint64_t rest = piece->length - uio->at_offset;

        if (rest != 0) {
            *address = piece->base + uio->at_offset;
            return rest < bytes ? rest : bytes;
        }
        uio->at++;
        uio->at_offset = 0;
    }
    return 0;
}

/* Is it user memory, and does all of `bytes` fit into the current piece? That is nearly always so. */
static inline bool uio_is_simple(const struct uio *uio, size_t bytes)
{
    return !uio->kernel && bytes <= uio->left && uio->pieces[uio->at].length - uio->at_offset >= bytes;
}

static inline size_t uio_moved(struct uio *uio, size_t bytes)
{
    uio->at_offset += bytes;
    uio->left -= bytes;
    return bytes;
}

static __attribute__((noinline)) size_t put_pieces(struct uio *uio, const char *from, size_t bytes)
{
    size_t done = 0, moved, chunk;
    uint64_t address;

    while (done < bytes && (chunk = uio_chunk(uio, bytes - done, &address)) != 0) {
        moved = chunk;
        if (uio->kernel)
            memcpy((void *)address, from + done, chunk);
        else
            moved = user_write_some(address, from + done, chunk);
        done += uio_moved(uio, moved);
        if (moved < chunk)
            break;
    }
    return done;
}

static __attribute__((noinline)) size_t get_pieces(struct uio *uio, char *to, size_t bytes)
{
    size_t done = 0, moved, chunk;
    uint64_t address;

    while (done < bytes && (chunk = uio_chunk(uio, bytes - done, &address)) != 0) {
        moved = chunk;
        if (uio->kernel)
            memcpy(to + done, (const void *)address, chunk);
        else
            moved = user_read_some(to + done, address, chunk);
        done += uio_moved(uio, moved);
        if (moved < chunk)
            break;
    }
    return done;
}

size_t uio_put(struct uio *uio, const void *from, size_t bytes)
{
    if (!uio_is_simple(uio, bytes))
        return put_pieces(uio, from, bytes);
    return uio_moved(uio, user_write_some(uio->pieces[uio->at].base + uio->at_offset, from, bytes));
}

size_t uio_get(struct uio *uio, void *to, size_t bytes)
{
    if (!uio_is_simple(uio, bytes))
        return get_pieces(uio, to, bytes);
    return uio_moved(uio, user_read_some(to, uio->pieces[uio->at].base + uio->at_offset, bytes));
}

void uio_advance(struct uio *uio, size_t bytes)
{
    uint64_t address;
    size_t chunk;

    while (bytes != 0 && (chunk = uio_chunk(uio, bytes, &address)) != 0)
        bytes -= uio_moved(uio, chunk);
}

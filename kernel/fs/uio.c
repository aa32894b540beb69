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

size_t uio_put(struct uio *uio, const void *from, size_t bytes)
{
    size_t done = 0;

    while (done < bytes) {
        uint64_t address;
        size_t moved, chunk = uio_chunk(uio, bytes - done, &address);
        const char *source = (const char *)from + done;

        if (chunk == 0)
            break;
        if (uio->kernel) {
            memcpy((void *)address, source, chunk);
            moved = chunk;
        } else {
            moved = user_write_some(address, source, chunk);
        }
        uio->at_offset += moved;
        uio->left -= moved;
        done += moved;
        if (moved < chunk)
            break;
    }
    return done;
}

size_t uio_get(struct uio *uio, void *to, size_t bytes)
{
    size_t done = 0;

    while (done < bytes) {
        uint64_t address;
        size_t moved, chunk = uio_chunk(uio, bytes - done, &address);
        char *target = (char *)to + done;

        if (chunk == 0)
            break;
        if (uio->kernel) {
            memcpy(target, (const void *)address, chunk);
            moved = chunk;
        } else {
            moved = user_read_some(target, address, chunk);
        }
        uio->at_offset += moved;
        uio->left -= moved;
        done += moved;
        if (moved < chunk)
            break;
    }
    return done;
}

void uio_advance(struct uio *uio, size_t bytes)
{
    while (bytes != 0) {
        uint64_t address;
        size_t chunk = uio_chunk(uio, bytes, &address);

        if (chunk == 0)
            return;
        uio->at_offset += chunk;
        uio->left -= chunk;
        bytes -= chunk;
    }
}

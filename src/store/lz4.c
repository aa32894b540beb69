/*
 * LZ4. See lz4.h.
 *
 * The compressor's table is kept from page to page, and cleared only now and then: it knows by itself which
 * entries are older than the page. It does so for less than 4 KiB at a time, so the last byte of the page is
 * put behind the rest as it is; clearing 16 KiB for every page would be half of the work.
 */
#include "store/lz4.h"

#define LZ4_STATIC_LINKING_ONLY
#include <lz4.h>

_Static_assert(STORE_LZ4_STATE_BYTES == sizeof(LZ4_stream_t), "its table and what it knows of it");

enum { COMPRESSED = (int)PAGE_SIZE - 1, ACCELERATION = 1 };

static size_t pack(void *state, const void *page, void *to, size_t most)
{
    const char *from = page;
    char *out = to;
    int bytes;

    if (most < 2)
        return 0;
    bytes = LZ4_compress_fast_extState_fastReset(state, from, out, COMPRESSED, (int)(most - 1), ACCELERATION);
    if (bytes <= 0)
        return 0;
    out[bytes] = from[COMPRESSED];
    return (size_t)bytes + 1;
}

static bool unpack(void *state, const void *from, size_t bytes, void *page)
{
    const char *in = from;
    char *out = page;

    if (bytes < 2 || LZ4_decompress_safe(in, out, (int)(bytes - 1), COMPRESSED) != COMPRESSED)
        return false;
    out[COMPRESSED] = in[bytes - 1];
    return true;
}

const struct store_packer store_lz4 = {
    .name = "lz4", .state_bytes = STORE_LZ4_STATE_BYTES, .pack = pack, .unpack = unpack};

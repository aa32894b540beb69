/*
 * The module quire-store-zstd.so: Zstandard as a packer of pages. Both of its contexts live in the packer's
 * state, so that nothing is allocated when a page is packed or unpacked, which may be in a signal's handler.
 *
 *      state:  | head | compression context | decompression context |
 */
#define ZSTD_STATIC_LINKING_ONLY
#include <zstd.h>

#include "quire/store_module.h"

enum { LEVEL = 1 };

struct state {
    ZSTD_CCtx *compression; /* NULL: not made yet */
    ZSTD_DCtx *expansion;
    uint64_t rest[]; /* aligned to 8, as libzstd wants it */
};

/* For pages: a window of 4 KiB instead of 512. */
static ZSTD_compressionParameters parameters(void)
{
    return ZSTD_getCParams(LEVEL, PAGE_SIZE, 0);
}

static size_t compression_bytes(void)
{
    return (ZSTD_estimateCCtxSize_usingCParams(parameters()) + 63) & ~(size_t)63;
}

static bool set(ZSTD_CCtx *context, ZSTD_cParameter parameter, int value)
{
    return !ZSTD_isError(ZSTD_CCtx_setParameter(context, parameter, value));
}

static bool prepare(struct state *state)
{
    uint8_t *rest = (uint8_t *)state->rest;
    ZSTD_CCtx *context;

    if (state->compression)
        return true;
    state->expansion = ZSTD_initStaticDCtx(rest + compression_bytes(), ZSTD_estimateDCtxSize());
    context = ZSTD_initStaticCCtx(rest, compression_bytes());
    if (!state->expansion || !context || !set(context, ZSTD_c_compressionLevel, LEVEL) ||
        !set(context, ZSTD_c_contentSizeFlag, 0) || !set(context, ZSTD_c_dictIDFlag, 0))
        return false;
    state->compression = context;
    return true;
}

static size_t pack(void *memory, const void *page, void *to, size_t most)
{
    struct state *state = memory;
    size_t bytes = prepare(state) ? ZSTD_compress2(state->compression, to, most, page, PAGE_SIZE) : 0;

    return ZSTD_isError(bytes) ? 0 : bytes;
}

static bool unpack(void *memory, const void *from, size_t bytes, void *page)
{
    struct state *state = memory;

    return prepare(state) && ZSTD_decompressDCtx(state->expansion, page, PAGE_SIZE, from, bytes) == PAGE_SIZE;
}

static const struct store_packer *packer(void)
{
    static struct store_packer zstd = {.name = "zstd", .pack = pack, .unpack = unpack};

    /* The same number whoever writes it. */
    __atomic_store_n(&zstd.state_bytes, sizeof(struct state) + compression_bytes() + ZSTD_estimateDCtxSize(),
                     __ATOMIC_RELAXED);
    return &zstd;
}

const struct quire_store_module quire_store_module = {
    .version = QUIRE_STORE_MODULE_VERSION, .name = "zstd", .packer = packer};

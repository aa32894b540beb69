/*
 * The records of our own format: what each says, checked before anything is used.
 */
#include "sim/trace_format.h"

#include <zstd.h>

#include "sim/bytes.h"
#include "sim/hash.h"

const char *format_block(const unsigned char *head, struct format_block *block)
{
    *block = (struct format_block){.payload = bytes_get32(head + BLOCK_PAYLOAD),
                                   .plain = bytes_get32(head + BLOCK_PLAIN),
                                   .references = bytes_get32(head + BLOCK_REFERENCES),
                                   .pages = bytes_get32(head + BLOCK_PAGES),
                                   .before = bytes_get32(head + BLOCK_BEFORE),
                                   .encoding = (enum pack_encoding)bytes_get32(head + BLOCK_ENCODING)};
    if (bytes_get32(head) != FORMAT_BLOCK_MARK)
        return "no mark of a block or of the trailer";
    if (block->payload > FORMAT_PAYLOAD_MOST || block->plain > FORMAT_PLAIN_MOST ||
        block->references > FORMAT_BLOCK_MOST || block->pages > FORMAT_BLOCK_MOST ||
        block->references + block->pages == 0)
        return "a block of a size that the format does not allow";
    if ((size_t)block->pages * FORMAT_NAME_BYTES > block->plain)
        return "a block with fewer bytes than the names of its pages";
    return NULL;
}

const char *format_payload(struct ZSTD_DCtx_s *unpacker, const unsigned char *head,
                           const struct format_block *block, unsigned char *plain)
{
    const unsigned char *payload = head + FORMAT_BLOCK_BYTES;

    if (bytes_get64(head + BLOCK_SUM) != xxh64(payload, block->payload, xxh64(head, BLOCK_SUM, 0)))
        return "a damaged block: its sum is wrong";
    if (ZSTD_decompressDCtx(unpacker, plain, block->plain, payload, block->payload) != block->plain)
        return "a block that zstd cannot unpack to its length";
    return NULL;
}

const char *format_trailer(const unsigned char *bytes, struct format_trailer *trailer)
{
    *trailer = (struct format_trailer){.before = bytes_get32(bytes + TRAILER_BEFORE),
                                       .pages = bytes_get32(bytes + TRAILER_PAGES),
                                       .references = bytes_get64(bytes + TRAILER_REFERENCES),
                                       .writes = bytes_get64(bytes + TRAILER_WRITES),
                                       .unfiltered = bytes_get64(bytes + TRAILER_UNFILTERED)};
    memcpy(trailer->hash, bytes + TRAILER_HASH, sizeof(trailer->hash));
    if (bytes_get32(bytes) != FORMAT_TRAILER_MARK)
        return "no trailer, expected one at the end of a complete trace";
    if (bytes_get64(bytes + TRAILER_SUM) != xxh64(bytes, TRAILER_SUM, 0))
        return "a damaged trailer: its sum is wrong";
    if (trailer->references == 0)
        return "an empty trace, expected one reference at least";
    return NULL;
}

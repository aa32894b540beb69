/*
 * Our own format, as it lies in the file: docs/TRACE-FORMAT.md. All numbers are little-endian.
 *
 *     head | block | block | ... | trailer
 *
 * A head or a block says what follows it, and each record but the head says how long the one before it is, so
 * a file can be read from both ends; nothing must be known before it is written.
 */
#ifndef QUIRE_SIM_TRACE_FORMAT_H
#define QUIRE_SIM_TRACE_FORMAT_H

#include <stddef.h>
#include <stdint.h>

#include "sim/trace_pack.h"

/* The first byte is none of ASCII, and the line ends show a file that was sent as text. */
#define FORMAT_MAGIC "\x89QTR\r\n\x1a\n"

enum { FORMAT_VERSION = 1 };
enum { FORMAT_MAGIC_BYTES = 8, FORMAT_HEAD_BYTES = 64, FORMAT_BLOCK_BYTES = 40, FORMAT_TRAILER_BYTES = 96 };
enum { FORMAT_BLOCK_MARK = 0x4b4c4251, FORMAT_TRAILER_MARK = 0x444e4551 }; /* "QBLK", "QEND" */

/* References of a block, at most: half a megabyte when each has two bytes, which stays in the second-level
 * cache while it is unpacked. Shorter blocks compress worse. */
enum { FORMAT_BLOCK_MOST = 1 << 18 };
enum { FORMAT_NAME_BYTES = 8 };

/* Offsets of the fields. */
enum {
    HEAD_VERSION = 8,
    HEAD_BYTES = 12,
    HEAD_PAGE_BYTES = 16,
    HEAD_BLOCK_MOST = 24,
    HEAD_FILTER = 28,
    HEAD_SUM = 56,

    BLOCK_PAYLOAD = 4,     /* bytes, behind the block's head */
    BLOCK_PLAIN = 8,       /* bytes, unpacked: names, then references */
    BLOCK_REFERENCES = 12, /* how many */
    BLOCK_PAGES = 16,      /* how many come for the first time, and have their names here */
    BLOCK_ENCODING = 20,   /* enum pack_encoding */
    BLOCK_BEFORE = 24,     /* bytes of the record before this one */
    BLOCK_SUM = 32,        /* XXH64 of the payload, its seed the XXH64 of the fields before */

    TRAILER_BEFORE = 4,
    TRAILER_REFERENCES = 8,
    TRAILER_WRITES = 16,
    TRAILER_UNFILTERED = 24, /* references before a filter took some out; 0: not known */
    TRAILER_PAGES = 32,
    TRAILER_HASH = 40,
    TRAILER_SUM = 88
};

/* What a block may take unpacked: all its pages new, four bytes a reference, and a dictionary. */
enum {
    FORMAT_PLAIN_MOST = FORMAT_BLOCK_MOST * (FORMAT_NAME_BYTES + 4) + 4,
    FORMAT_PAYLOAD_MOST = FORMAT_PLAIN_MOST + FORMAT_PLAIN_MOST / 64
};

struct format_block {
    uint32_t payload, plain, references, pages, before;
    enum pack_encoding encoding;
};

struct format_trailer {
    uint32_t before, pages;
    uint64_t references, writes, unfiltered;
    unsigned char hash[32];
};

struct ZSTD_DCtx_s;

/* Each gives NULL, or what is wrong with the bytes. */

/* FORMAT_BLOCK_BYTES at `head`: the fields are within their bounds. */
const char *format_block(const unsigned char *head, struct format_block *block);
/* The payload behind the head becomes block->plain bytes at `plain`. */
const char *format_payload(struct ZSTD_DCtx_s *unpacker, const unsigned char *head,
                           const struct format_block *block, unsigned char *plain);
/* FORMAT_TRAILER_BYTES at `bytes`. */
const char *format_trailer(const unsigned char *bytes, struct format_trailer *trailer);

#endif

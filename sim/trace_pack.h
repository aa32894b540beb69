/*
 * The references of a block as bytes, in the way that is quickest to read and short enough: see
 * docs/TRACE-FORMAT.md, Encodings.
 */
#ifndef QUIRE_SIM_TRACE_PACK_H
#define QUIRE_SIM_TRACE_PACK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum pack_encoding {
    PACK_16 = 1, /* each in 16 bits: traces of less than 32768 pages */
    PACK_DICTIONARY =
        2, /* the different ones, ascending, and for each reference its place among them, 16 bits */
    PACK_32 = 3
};

enum { PACK_DICTIONARY_MOST = 1 << 16 };

/* What packing needs besides: grows with the pages of a trace. All zero at first. */
struct pack_room {
    uint32_t *place; /* by reference: its place in the dictionary */
    uint64_t *seen;  /* a bit a reference; all zero between calls */
    size_t size;     /* references that there is room for */
    uint32_t *dictionary;
};
void pack_room_free(struct pack_room *room);

/* Writes `count` references, all below `limit`, to `to` (4 * count + 4 bytes will do) in the best encoding.
 * Returns how many bytes; 0: no memory. */
size_t pack_references(struct pack_room *room, const uint32_t *references, size_t count, uint32_t limit,
                       unsigned char *to, enum pack_encoding *encoding);

/* The references of a block, being unpacked piece by piece. */
struct unpack {
    enum pack_encoding encoding;
    const unsigned char *at; /* of the next reference */
    size_t left;
    uint32_t limit;       /* all must be below */
    uint32_t *dictionary; /* the caller's, PACK_DICTIONARY_MOST */
};
/* False: these bytes are no block of `count` references below `limit`. */
bool unpack_start(struct unpack *unpack, enum pack_encoding encoding, const unsigned char *bytes,
                  size_t length, size_t count, uint32_t limit);
/* The next `count`, at most unpack->left. False: one is not below the limit. */
bool unpack_next(struct unpack *unpack, uint32_t *to, size_t count);

#endif

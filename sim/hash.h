/*
 * Two hash functions: XXH64 against damage, because it is quick, and BLAKE2b for telling traces apart.
 */
#ifndef QUIRE_SIM_HASH_H
#define QUIRE_SIM_HASH_H

#include <stddef.h>
#include <stdint.h>

/* XXH64 (xxHash specification 0.2.0). */
uint64_t xxh64(const void *bytes, size_t count, uint64_t seed);

/* BLAKE2b with a digest of 32 bytes (RFC 7693): what `b2sum -l 256` prints. */
struct blake2b {
    uint64_t h[8];
    uint64_t count; /* bytes that have been put through */
    size_t waiting; /* in buffer */
    unsigned char buffer[128];
};
void blake2b_init(struct blake2b *state);
void blake2b_add(struct blake2b *state, const void *bytes, size_t count);
void blake2b_end(struct blake2b *state, unsigned char digest[32]);

#endif

/*
 * XXH64 after the xxHash specification 0.2.0 (Y. Collet), and BLAKE2b after RFC 7693.
 */
#include "sim/hash.h"

#include "sim/bytes.h"

/* ------------------------------------------------------------------ XXH64 */

#define PRIME_1 0x9e3779b185ebca87u
#define PRIME_2 0xc2b2ae3d27d4eb4fu
#define PRIME_3 0x165667b19e3779f9u
#define PRIME_4 0x85ebca77c2b2ae63u
#define PRIME_5 0x27d4eb2f165667c5u

static inline uint64_t rotate_left(uint64_t value, unsigned bits)
{
    return value << bits | value >> (64 - bits);
}

static inline uint64_t rotate_right(uint64_t value, unsigned bits)
{
    return value >> bits | value << (64 - bits);
}

static inline uint64_t lane_round(uint64_t lane, uint64_t input)
{
    return rotate_left(lane + input * PRIME_2, 31) * PRIME_1;
}

static inline uint64_t lane_merge(uint64_t sum, uint64_t lane)
{
    return (sum ^ lane_round(0, lane)) * PRIME_1 + PRIME_4;
}

/* The stripes of 32 bytes; *at moves behind them. */
static uint64_t stripes(const unsigned char **at, const unsigned char *end, uint64_t seed)
{
    uint64_t a = seed + PRIME_1 + PRIME_2, b = seed + PRIME_2, c = seed, d = seed - PRIME_1;

    for (; end - *at >= 32; *at += 32) {
        a = lane_round(a, bytes_get64(*at));
        b = lane_round(b, bytes_get64(*at + 8));
        c = lane_round(c, bytes_get64(*at + 16));
        d = lane_round(d, bytes_get64(*at + 24));
    }
    uint64_t sum = rotate_left(a, 1) + rotate_left(b, 7) + rotate_left(c, 12) + rotate_left(d, 18);

    return lane_merge(lane_merge(lane_merge(lane_merge(sum, a), b), c), d);
}

uint64_t xxh64(const void *bytes, size_t count, uint64_t seed)
{
    const unsigned char *at = bytes, *end = at + count;
    uint64_t sum = (count >= 32 ? stripes(&at, end, seed) : seed + PRIME_5) + count;

    for (; end - at >= 8; at += 8)
        sum = rotate_left(sum ^ lane_round(0, bytes_get64(at)), 27) * PRIME_1 + PRIME_4;
    for (; end - at >= 4; at += 4)
        sum = rotate_left(sum ^ bytes_get32(at) * PRIME_1, 23) * PRIME_2 + PRIME_3;
    for (; at < end; at++)
        sum = rotate_left(sum ^ *at * PRIME_5, 11) * PRIME_1;
    sum = (sum ^ sum >> 33) * PRIME_2;
    sum = (sum ^ sum >> 29) * PRIME_3;
    return sum ^ sum >> 32;
}

/* ------------------------------------------------------------------ BLAKE2b */

enum { ROUNDS = 12, DIGEST_BYTES = 32 };

/* RFC 7693, 2.6: the first 64 bits of the fractions of the square roots of 2, 3, 5, ... 19. */
static const uint64_t blake2b_iv[8] = {0x6a09e667f3bcc908u, 0xbb67ae8584caa73bu, 0x3c6ef372fe94f82bu,
                                       0xa54ff53a5f1d36f1u, 0x510e527fade682d1u, 0x9b05688c2b3e6c1fu,
                                       0x1f83d9abfb41bd6bu, 0x5be0cd19137e2179u};

/* RFC 7693, 2.7; rounds 10 and 11 repeat 0 and 1. */
static const uint8_t blake2b_sigma[10][16] = {
    {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15},
    {14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3},
    {11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4},
    {7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8},
    {9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13},
    {2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9},
    {12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11},
    {13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10},
    {6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5},
    {10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0},
};

static inline void mix(uint64_t *v, unsigned a, unsigned b, unsigned c, unsigned d, uint64_t x, uint64_t y)
{
    v[a] += v[b] + x;
    v[d] = rotate_right(v[d] ^ v[a], 32);
    v[c] += v[d];
    v[b] = rotate_right(v[b] ^ v[c], 24);
    v[a] += v[b] + y;
    v[d] = rotate_right(v[d] ^ v[a], 16);
    v[c] += v[d];
    v[b] = rotate_right(v[b] ^ v[c], 63);
}

static void compress(struct blake2b *state, const unsigned char *block, uint64_t last)
{
    uint64_t v[16], m[16];

    memcpy(m, block, sizeof(m));
    memcpy(v, state->h, sizeof(state->h));
    memcpy(v + 8, blake2b_iv, sizeof(blake2b_iv));
    v[12] ^= state->count;
    v[14] ^= last;
    for (unsigned round = 0; round < ROUNDS; round++) {
        const uint8_t *s = blake2b_sigma[round % 10];

        for (unsigned i = 0; i < 4; i++)
            mix(v, i, 4 + i, 8 + i, 12 + i, m[s[2 * i]], m[s[2 * i + 1]]);
        for (unsigned i = 0; i < 4; i++)
            mix(v, i, 4 + (i + 1) % 4, 8 + (i + 2) % 4, 12 + (i + 3) % 4, m[s[8 + 2 * i]], m[s[9 + 2 * i]]);
    }
    for (unsigned i = 0; i < 8; i++)
        state->h[i] ^= v[i] ^ v[i + 8];
}

void blake2b_init(struct blake2b *state)
{
    memset(state, 0, sizeof(*state));
    memcpy(state->h, blake2b_iv, sizeof(blake2b_iv));
    state->h[0] ^= 0x01010000 ^ DIGEST_BYTES; /* no key, depth and fanout 1 */
}

void blake2b_add(struct blake2b *state, const void *bytes, size_t count)
{
    const unsigned char *at = bytes;

    while (count > 0) {
        /* The last block is compressed in blake2b_end(): a full one waits until more comes. */
        if (state->waiting == sizeof(state->buffer)) {
            state->count += sizeof(state->buffer);
            compress(state, state->buffer, 0);
            state->waiting = 0;
        }
        for (; state->waiting == 0 && count > sizeof(state->buffer); count -= sizeof(state->buffer)) {
            state->count += sizeof(state->buffer);
            compress(state, at, 0);
            at += sizeof(state->buffer);
        }
        size_t room = sizeof(state->buffer) - state->waiting, part = count < room ? count : room;

        memcpy(state->buffer + state->waiting, at, part);
        state->waiting += part;
        at += part;
        count -= part;
    }
}

void blake2b_end(struct blake2b *state, unsigned char digest[32])
{
    state->count += state->waiting;
    memset(state->buffer + state->waiting, 0, sizeof(state->buffer) - state->waiting);
    compress(state, state->buffer, UINT64_MAX);
    memcpy(digest, state->h, DIGEST_BYTES);
}

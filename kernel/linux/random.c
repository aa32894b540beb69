/*
 * Random bytes: ChaCha20 (D. J. Bernstein; RFC 8439) with a key that is replaced at every use, so that what
 * was given out cannot be found again later. Seeded from RDRAND where the CPU has it, and from the TSC.
 */
#include <linux/random.h>

#include "kernel/klib.h"
#include "kernel/linux/syscalls.h"
#include "kernel/x86/x86.h"

enum { KEY_WORDS = 8, BLOCK_WORDS = 16, BLOCK_BYTES = 64, POOL_BLOCKS = 4 };

static uint32_t key[KEY_WORDS];
static bool seeded;

/* Bytes not given out yet are the last `left` of the pool. */
static uint32_t pool[POOL_BLOCKS * BLOCK_WORDS];
static size_t left;

static bool has_rdrand(void)
{
    enum { CPUID_1_ECX_RDRAND = 1 << 30 };
    uint32_t eax = 1, ebx, ecx = 0, edx;

    __asm__("cpuid" : "+a"(eax), "=b"(ebx), "+c"(ecx), "=d"(edx));
    return ecx & CPUID_1_ECX_RDRAND;
}

static uint32_t entropy_word(bool rdrand)
{
    uint32_t value = 0;
    uint8_t good = 0;

    for (int tries = 0; rdrand && !good && tries < 10; tries++)
        __asm__ volatile("rdrand %0; setc %1" : "=r"(value), "=qm"(good) : : "cc");
    return value ^ (uint32_t)rdtsc();
}

static void seed(void)
{
    bool rdrand = has_rdrand();

    for (unsigned i = 0; i < KEY_WORDS; i++)
        key[i] ^= entropy_word(rdrand);
    seeded = true;
}

static inline uint32_t rotate(uint32_t value, unsigned bits)
{
    return value << bits | value >> (32 - bits);
}

static inline void quarter_round(uint32_t *x, unsigned a, unsigned b, unsigned c, unsigned d)
{
    x[a] += x[b], x[d] = rotate(x[d] ^ x[a], 16);
    x[c] += x[d], x[b] = rotate(x[b] ^ x[c], 12);
    x[a] += x[b], x[d] = rotate(x[d] ^ x[a], 8);
    x[c] += x[d], x[b] = rotate(x[b] ^ x[c], 7);
}

static void block(uint32_t counter, uint32_t *out)
{
    const uint32_t start[BLOCK_WORDS] = {
        0x61707865, 0x3320646e, 0x79622d32, 0x6b206574, /* "expand 32-byte k" */
        key[0],     key[1],     key[2],     key[3],     key[4], key[5], key[6], key[7], counter, 0, 0, 0,
    };

    memcpy(out, start, sizeof(start));
    for (unsigned i = 0; i < 10; i++) {
        quarter_round(out, 0, 4, 8, 12);
        quarter_round(out, 1, 5, 9, 13);
        quarter_round(out, 2, 6, 10, 14);
        quarter_round(out, 3, 7, 11, 15);
        quarter_round(out, 0, 5, 10, 15);
        quarter_round(out, 1, 6, 11, 12);
        quarter_round(out, 2, 7, 8, 13);
        quarter_round(out, 3, 4, 9, 14);
    }
    for (unsigned i = 0; i < BLOCK_WORDS; i++)
        out[i] += start[i];
}

/* Fill the pool; its first words are the next key and never leave here. */
static void refill(void)
{
    if (!seeded)
        seed();
    for (unsigned i = 0; i < POOL_BLOCKS; i++)
        block(i, pool + i * BLOCK_WORDS);
    memcpy(key, pool, sizeof(key));
    memset(pool, 0, sizeof(key));
    left = sizeof(pool) - sizeof(key);
}

void random_bytes(void *to, size_t bytes)
{
    char *out = to;

    while (bytes) {
        size_t now;
        char *from;

        if (left == 0)
            refill();
        now = bytes < left ? bytes : left;
        from = (char *)pool + sizeof(pool) - left;
        memcpy(out, from, now);
        memset(from, 0, now);
        left -= now;
        out += now;
        bytes -= now;
    }
}

long sys_getrandom(long buffer, long bytes, long flags)
{
    uint64_t to = (uint64_t)buffer, count = (uint64_t)bytes, done = 0;
    const uint64_t COUNT_MAX = 33554431; /* Linux's */
    char piece[256];

    if ((flags & ~(long)(GRND_NONBLOCK | GRND_RANDOM | GRND_INSECURE)) ||
        (flags & (GRND_RANDOM | GRND_INSECURE)) == (GRND_RANDOM | GRND_INSECURE))
        return -EINVAL;
    if (count > COUNT_MAX)
        count = COUNT_MAX;
    while (done < count) {
        size_t now = count - done < sizeof(piece) ? count - done : sizeof(piece);

        random_bytes(piece, now);
        if (user_write(to + done, piece, now) != 0)
            return done ? (long)done : -EFAULT;
        done += now;
    }
    return (long)done;
}

/*
 * Guards around code that uses SSE. See simd.h.
 *
 * Instructions that are not VEX-encoded leave the upper halves of the vector registers alone, so the lower
 * ones are all that must be kept: 16 moves and not a kilobyte of XSAVE. tools/check-lz4 sees to it that the
 * code is so.
 */
#include "kernel/x86/simd.h"

#include "kernel/x86/x86.h"

enum { PROTECTOR_OFFSET = 0x28 }; /* of the word, from FS: x86-64 psABI's TLS block */

/* What FS points at meanwhile. */
static const uint64_t protector[PROTECTOR_OFFSET / sizeof(uint64_t) + 1] = {
    [PROTECTOR_OFFSET / sizeof(uint64_t)] = 0x9c7b40aa5f36e100};

#define FOR_EACH_REGISTER(what)                                                                              \
    what(0) what(1) what(2) what(3) what(4) what(5) what(6) what(7) what(8) what(9) what(10) what(11)        \
        what(12) what(13) what(14) what(15)
#define SAVE(n) "movups %%xmm" #n ", " #n "*16(%0)\n"
#define LOAD(n) "movups " #n "*16(%0), %%xmm" #n "\n"

void simd_begin(struct simd_guard *guard)
{
    __asm__ volatile(FOR_EACH_REGISTER(SAVE)::"r"(guard->xmm) : "memory");
    guard->fs_base = fs_base_get();
    fs_base_set((uint64_t)protector);
}

void simd_end(const struct simd_guard *guard)
{
    __asm__ volatile(FOR_EACH_REGISTER(LOAD)::"r"(guard->xmm) : "memory");
    fs_base_set(guard->fs_base);
}

/*
 * liblz4 inside of the kernel. Debian's static library is compiled for programs: it uses SSE registers and a
 * stack protector, which the guards are for, and refers to calloc() and free() in functions that are never
 * called.
 */
#include "kernel/mm/swap_lz4.h"

#include "base/check.h"
#include "kernel/x86/simd.h"

_Noreturn void __stack_chk_fail(void);
void *calloc(size_t count, size_t size);
void free(void *memory);

_Noreturn void __stack_chk_fail(void)
{
    host_panic("lz4: its stack is overwritten");
}

void *calloc(size_t count, size_t size)
{
    host_panic("lz4: wants %zu times %zu bytes of memory", count, size);
}

void free(void *memory)
{
    host_panic("lz4: gives back memory at %p", memory);
}

static size_t pack(void *state, const void *page, void *to, size_t most)
{
    struct simd_guard guard;
    size_t bytes;

    simd_begin(&guard);
    bytes = store_lz4.pack(state, page, to, most);
    simd_end(&guard);
    return bytes;
}

static bool unpack(void *state, const void *from, size_t bytes, void *page)
{
    struct simd_guard guard;
    bool good;

    simd_begin(&guard);
    good = store_lz4.unpack(state, from, bytes, page);
    simd_end(&guard);
    return good;
}

const struct store_packer swap_lz4 = {
    .name = "lz4", .state_bytes = STORE_LZ4_STATE_BYTES, .pack = pack, .unpack = unpack};

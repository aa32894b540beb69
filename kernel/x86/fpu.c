/*
 * x87, SSE and AVX state of user code. With XSAVE the area is in the standard form (Intel SDM vol. 1, 13.4):
 * 512 bytes as FXSAVE's, a header of 64 bytes, then the other components.
 */
#include <cpuid.h>

#include "kernel/klib.h"
#include "kernel/x86/fpu.h"
#include "kernel/x86/x86.h"

enum { XCR0_X87 = 1, XCR0_SSE = 2, XCR0_AVX = 4, XCR0_AVX512 = 7 << 5 };
enum { FXSAVE_BYTES = 512, HEADER_BYTES = 64 };
enum { FCW_DEFAULT = 0x37f, MXCSR_DEFAULT = 0x1f80 };

struct fpu_area {
    uint16_t fcw;
    uint16_t other[11];
    uint32_t mxcsr;
    uint32_t mxcsr_mask;
    uint8_t registers[FXSAVE_BYTES - 32];
    uint64_t present; /* XSTATE_BV */
    uint64_t compact; /* XCOMP_BV: must be 0 */
    uint64_t reserved[6];
};
_Static_assert(sizeof(struct fpu_area) == FXSAVE_BYTES + HEADER_BYTES, "SDM vol. 1, 13.4");

static bool has_xsaveopt;
static uint32_t mxcsr_mask = 0xffbf; /* without DAZ, where the CPU does not say */

static void xsave_init(void)
{
    uint32_t a, b, c, d;

    __cpuid_count(13, 0, a, b, c, d);
    uint64_t xcr0 = a & (XCR0_X87 | XCR0_SSE | XCR0_AVX | XCR0_AVX512);

    if ((xcr0 & XCR0_AVX512) != XCR0_AVX512)
        xcr0 &= ~(uint64_t)XCR0_AVX512;
    __asm__ volatile("xsetbv" ::"c"(0), "a"((uint32_t)xcr0), "d"((uint32_t)(xcr0 >> 32)));
    __cpuid_count(13, 0, a, b, c, d);
    cpu_features.xcr0 = xcr0;
    cpu_features.xsave_bytes = b;
    cpu_features.avx = cpu_features.avx && (xcr0 & XCR0_AVX) != 0;
    __cpuid_count(13, 1, a, b, c, d);
    has_xsaveopt = (a & 1) != 0;
}

void fpu_init(void)
{
    static struct fpu_area area __attribute__((aligned(64)));

    if (cpu_features.xsave)
        xsave_init();
    else
        cpu_features.avx = false;
    __asm__ volatile("fninit");
    __asm__ volatile("fxsave64 %0" : "=m"(area));
    if (area.mxcsr_mask != 0)
        mxcsr_mask = area.mxcsr_mask;
}

size_t fpu_bytes(void)
{
    return cpu_features.xsave ? cpu_features.xsave_bytes : FXSAVE_BYTES;
}

void fpu_init_area(void *to)
{
    struct fpu_area *area = to;

    memset(area, 0, fpu_bytes());
    area->fcw = FCW_DEFAULT;
    area->mxcsr = MXCSR_DEFAULT;
}

void fpu_save(void *area)
{
    if (has_xsaveopt)
        __asm__ volatile("xsaveopt64 (%0)" ::"r"(area), "a"(-1), "d"(-1) : "memory");
    else if (cpu_features.xsave)
        __asm__ volatile("xsave64 (%0)" ::"r"(area), "a"(-1), "d"(-1) : "memory");
    else
        __asm__ volatile("fxsave64 (%0)" ::"r"(area) : "memory");
}

/* One that restores, and faults (#GP) on reserved bits: `faults` becomes 1 when it did. */
#define RESTORE(instruction, area, faults)                                                                   \
    __asm__ volatile("1: " instruction " (%1)\n"                                                             \
                     "2:\n"                                                                                  \
                     ".pushsection .text.fixup, \"ax\"\n"                                                    \
                     "3: movl $1, %0\n"                                                                      \
                     "   jmp 2b\n"                                                                           \
                     ".popsection\n"                                                                         \
                     ".pushsection .exception_table, \"a\"\n"                                                \
                     ".quad 1b, 3b\n"                                                                        \
                     ".popsection\n"                                                                         \
                     : "+r"(faults)                                                                          \
                     : "r"(area), "a"(-1), "d"(-1)                                                           \
                     : "memory")

static bool restore_faults(const struct fpu_area *area)
{
    int faults = 0;

    if (cpu_features.xsave)
        RESTORE("xrstor64", area, faults);
    else
        RESTORE("fxrstor64", area, faults);
    return faults != 0;
}

void fpu_restore(void *from)
{
    struct fpu_area *area = from;

    if (!restore_faults(area))
        return;
    area->mxcsr &= mxcsr_mask;
    if (cpu_features.xsave) {
        area->present &= cpu_features.xcr0;
        area->compact = 0;
        memset(area->reserved, 0, sizeof area->reserved);
    }
    if (restore_faults(area)) {
        fpu_init_area(area);
        (void)restore_faults(area);
    }
}

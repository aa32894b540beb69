/*
 * LZ4 inside of the kernel: pages come back, and what a program has in its registers stays.
 */
#include "kernel/klib.h"
#include "kernel/mm/swap_lz4.h"
#include "kernel/test/test.h"
#include "kernel/x86/x86.h"

enum { REGISTERS = 16, MARK = 0x5117 };

static uint8_t page[PAGE_SIZE], packed[PAGE_SIZE], unpacked[PAGE_SIZE];
static uint8_t state[STORE_LZ4_STATE_BYTES] __attribute__((aligned(16)));
static uint64_t xmm[REGISTERS][2];

#define MOVE_ALL(what)                                                                                       \
    what(0) what(1) what(2) what(3) what(4) what(5) what(6) what(7) what(8) what(9) what(10) what(11)        \
        what(12) what(13) what(14) what(15)
#define LOAD(n) "movups " #n "*16(%0), %%xmm" #n "\n"
#define STORE(n) "movups %%xmm" #n ", " #n "*16(%0)\n"

static void registers_set(void)
{
    for (unsigned i = 0; i < REGISTERS; i++)
        xmm[i][0] = xmm[i][1] = MARK + i;
    __asm__ volatile(MOVE_ALL(LOAD)::"r"(xmm) : "memory");
    memset(xmm, 0, sizeof xmm);
}

static bool registers_hold(void)
{
    __asm__ volatile(MOVE_ALL(STORE)::"r"(xmm) : "memory");
    for (unsigned i = 0; i < REGISTERS; i++)
        if (xmm[i][0] != MARK + i || xmm[i][1] != MARK + i)
            return false;
    return true;
}

/* `kind` of 16 random bytes in 256, the rest the same. */
static void make(unsigned kind)
{
    static uint64_t random = 88172645463325252u;

    for (unsigned i = 0; i < PAGE_SIZE; i++) {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        page[i] = (uint8_t)(i / 16 % 16 < kind ? random : 'q');
    }
}

static void test_pages_come_back(void)
{
    for (unsigned i = 0; i < 400; i++) {
        size_t bytes;

        make(i % 13);
        bytes = swap_lz4.pack(state, page, packed, 3000 + i);
        EXPECT(bytes == 0 || bytes <= 3000 + i);
        EXPECT(bytes != 0 || i % 13 > 10);
        memset(unpacked, 0, sizeof unpacked);
        EXPECT(bytes == 0 ||
               (swap_lz4.unpack(NULL, packed, bytes, unpacked) && memcmp(page, unpacked, PAGE_SIZE) == 0));
    }
}

static void test_registers_stay(void)
{
    uint64_t base = fs_base_get();
    size_t bytes;

    make(6);
    fs_base_set(0x123456789000);
    registers_set();
    bytes = swap_lz4.pack(state, page, packed, PAGE_SIZE);
    EXPECT(registers_hold() && fs_base_get() == 0x123456789000);
    registers_set();
    EXPECT(bytes != 0 && swap_lz4.unpack(NULL, packed, bytes, unpacked));
    EXPECT(registers_hold() && fs_base_get() == 0x123456789000);
    fs_base_set(base);
}

/* Whatever the bytes: an answer, and nothing written but the page. */
static void test_nonsense(void)
{
    make(1);
    size_t bytes = swap_lz4.pack(state, page, packed, PAGE_SIZE);

    EXPECT(bytes > 2);
    EXPECT(!swap_lz4.unpack(NULL, packed, 1, unpacked) && !swap_lz4.unpack(NULL, packed, 0, unpacked));
    EXPECT(!swap_lz4.unpack(NULL, packed, bytes - 1, unpacked));
    for (unsigned i = 0; i < 1000; i++) {
        make(16);
        (void)swap_lz4.unpack(NULL, page, 100 + i, unpacked);
    }
}

const struct kernel_test store_tests[] = {
    {"LZ4: pages come back as they were", test_pages_come_back},
    {"LZ4: a program's registers stay as they are", test_registers_stay},
    {"LZ4: nonsense does no harm", test_nonsense},
    {NULL, NULL},
};

/*
 * klib.c and page.S against loops that are plainly right.
 */
#include "host/host.h"
#include "kernel/klib.h"
#include "kernel/test/test.h"

enum { BUFFER = 300, SIZES = 90 };

static uint8_t buffer[BUFFER], wanted[BUFFER];

static void fill(void)
{
    for (unsigned i = 0; i < BUFFER; i++)
        buffer[i] = wanted[i] = (uint8_t)(i * 7 + 1);
}

static bool as_wanted(void)
{
    for (unsigned i = 0; i < BUFFER; i++)
        if (buffer[i] != wanted[i])
            return false;
    return true;
}

static void test_memcpy(void)
{
    for (size_t n = 0; n < SIZES; n++) {
        fill();
        for (size_t i = 0; i < n; i++)
            wanted[150 + i] = wanted[3 + i];
        EXPECT(memcpy(buffer + 150, buffer + 3, n) == buffer + 150);
        EXPECT(as_wanted());
    }
}

static void test_memmove(void)
{
    static uint8_t old[BUFFER];

    for (size_t n = 0; n < SIZES; n++) {
        for (size_t to = 90; to < 120; to++) {
            fill();
            memcpy(old, buffer, BUFFER);
            for (size_t i = 0; i < n; i++)
                wanted[to + i] = old[105 + i];
            EXPECT(memmove(buffer + to, buffer + 105, n) == buffer + to);
            EXPECT(as_wanted());
        }
    }
}

static void test_memset(void)
{
    for (size_t n = 0; n < SIZES; n++) {
        fill();
        for (size_t i = 0; i < n; i++)
            wanted[5 + i] = 0xa5;
        EXPECT(memset(buffer + 5, 0x1a5, n) == buffer + 5);
        EXPECT(as_wanted());
    }
}

static void test_memcmp(void)
{
    for (size_t n = 1; n < SIZES; n++) {
        for (size_t at = 0; at < n; at++) {
            memset(buffer, 7, BUFFER);
            buffer[150 + at] = 9;
            EXPECT(memcmp(buffer, buffer + 150, at) == 0);
            EXPECT(memcmp(buffer, buffer + 150, n) < 0);
            EXPECT(memcmp(buffer + 150, buffer, n) > 0);
        }
    }
}

static void test_strings(void)
{
    char to[4];

    EXPECT(strlen("") == 0 && strlen("four") == 4);
    EXPECT(strnlen("four", 2) == 2 && strnlen("four", 9) == 4);
    EXPECT(strcmp("a", "a") == 0 && strcmp("a", "b") < 0 && strcmp("\xff", "a") > 0 && strcmp("ab", "a") > 0);
    EXPECT(strncmp("abc", "abd", 2) == 0 && strncmp("abc", "abd", 3) < 0);
    EXPECT(strlcpy(to, "abcdef", sizeof to) == 6 && strcmp(to, "abc") == 0);

    const char *text = "a/b/c";

    EXPECT(strchr(text, '/') == text + 1 && strrchr(text, '/') == text + 3);
    EXPECT(strchr(text, 'x') == NULL && strchr(text, 0) == text + 5);
    EXPECT(memchr(text, 'c', 4) == NULL && memchr(text, 'c', 5) == text + 4);
}

static bool prints(const char *expected, const char *format, ...) __attribute__((format(printf, 2, 3)));
static bool prints(const char *expected, const char *format, ...)
{
    char text[80];
    va_list args;

    va_start(args, format);
    int length = vsnprintf(text, sizeof text, format, args);

    va_end(args);
    return strcmp(text, expected) == 0 && length == (int)strlen(expected);
}

static void test_snprintf(void)
{
    char small[4];

    EXPECT(prints("-7 7 4294967289", "%d %i %u", -7, 7, (unsigned)-7));
    EXPECT(prints("ff FF 0xff 17 017", "%x %X %#x %o %#o", 255, 255, 255, 15, 15));
    EXPECT(prints("-9223372036854775808", "%ld", INT64_MIN));
    EXPECT(prints("18446744073709551615", "%lu", UINT64_MAX));
    EXPECT(prints("1 255 -1", "%hhu %hhu %hhd", 257, 255, 255));
    EXPECT(prints("[   42][42   ][00042][  042]", "[%5d][%-5d][%05d][%5.3d]", 42, 42, 42, 42));
    EXPECT(prints("[+5][ 5][0]", "[%+d][% d][%d]", 5, 5, 0));
    EXPECT(prints("[  abc][abc  ][ab]", "[%5s][%-5s][%.2s]", "abc", "abc", "abc"));
    EXPECT(prints("x 100% 0x10", "%c %d%% %p", 'x', 100, (void *)16));
    EXPECT(prints("[  7]", "[%*d]", 3, 7));
    EXPECT(snprintf(small, sizeof small, "%s", "abcdef") == 6 && strcmp(small, "abc") == 0);
    EXPECT(snprintf(NULL, 0, "%d", 12345) == 5);
}

/* The vector registers belong to user code: page.S must leave them as they were. */
static void set_xmm0(uint64_t value)
{
    __asm__ volatile("movq %0, %%xmm0; movq %0, %%xmm1" ::"r"(value));
}

static uint64_t xmm_sum(void)
{
    uint64_t a, b;

    __asm__ volatile("movq %%xmm0, %0; movq %%xmm1, %1" : "=r"(a), "=r"(b));
    return a + b;
}

static void test_pages(void)
{
    static uint64_t a[PAGE_SIZE / 8] __attribute__((aligned(4096)));
    static uint64_t b[PAGE_SIZE / 8] __attribute__((aligned(4096)));
    bool right = true;

    for (unsigned i = 0; i < PAGE_SIZE / 8; i++) {
        a[i] = i * 0x123456789;
        b[i] = UINT64_MAX;
    }
    set_xmm0(77);
    host_copy_page(b, a);
    right = right && memcmp(a, b, PAGE_SIZE) == 0;
    host_zero_page(a);
    for (unsigned i = 0; i < PAGE_SIZE / 8; i++)
        right = right && a[i] == 0;
    right = right && xmm_sum() == 2 * 77;
    EXPECT(right);
}

const struct kernel_test klib_tests[] = {
    {"klib: memcpy", test_memcpy},
    {"klib: memmove, overlapping both ways", test_memmove},
    {"klib: memset", test_memset},
    {"klib: memcmp", test_memcmp},
    {"klib: strings", test_strings},
    {"klib: snprintf", test_snprintf},
    {"klib: zero and copy a page, vector registers kept", test_pages},
    {NULL, NULL},
};

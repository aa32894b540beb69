/*
 * The lengths of instructions (runtime/preload/length.h): those of libraries of this system, as objdump has
 * them. What must hold for any bytes is tests/fuzz/fuzz_length.c's.
 */
#include <ctype.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "preload/length.h"

/* The bytes of a line such as " 2a3f0:\t48 8d 05 c9 53 1a 00 \tlea ..."; 0: it is none, or objdump cannot
 * read it either. */
static unsigned bytes_of(const char *line, uint8_t bytes[INSTRUCTION_LONGEST])
{
    const char *at = strchr(line, '\t');
    unsigned count = 0;

    if (!at || !strchr(at + 1, '\t') || strstr(line, "(bad)") || strstr(line, ".byte"))
        return 0;
    for (at++; count < INSTRUCTION_LONGEST && isxdigit((unsigned char)at[0]); at += 3)
        bytes[count++] = (uint8_t)strtoul(at, NULL, 16);
    return count;
}

/* objdump writes a wait (9b) together with what is behind it; and alone, in tables between functions, a
 * prefix that is of nothing. */
static void compare_line(const char *path, const char *line, uint64_t *compared)
{
    uint8_t bytes[INSTRUCTION_LONGEST] = {0};
    unsigned count = bytes_of(line, bytes), length;

    if (count == 0 || bytes[0] == 0x9b || (count == 1 && strstr(line, "\trex")))
        return;
    length = instruction_length(bytes, sizeof(bytes));
    if (length != count)
        fail_msg("%s: %u bytes here, %u there: %s", path, length, count, line);
    (*compared)++;
}

/* False: there is no such file. */
static int compare(const char *path, uint64_t least)
{
    char command[PATH_MAX + 32], line[512];
    uint64_t compared = 0;
    FILE *lines;

    if (access(path, R_OK) != 0)
        return 0;
    snprintf(command, sizeof(command), "objdump -d -w %s", path);
    lines = popen(command, "r");
    assert_non_null(lines);
    while (fgets(line, sizeof(line), lines))
        compare_line(path, line, &compared);
    assert_int_equal(pclose(lines), 0);
    assert_true(compared >= least);
    return 1;
}

static void need_objdump(void)
{
    if (system("objdump --version > /dev/null 2>&1") != 0)
        skip();
}

/* What is changed in programs. */
static void test_c_library(void **state)
{
    (void)state;
    need_objdump();
    if (!compare("/lib/x86_64-linux-gnu/libc.so.6", 200000) ||
        !compare("/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2", 20000))
        skip();
}

/* By hand in assembler, or with what the newest processors have, too: VEX, EVEX. */
static void test_other_libraries(void **state)
{
    (void)state;
    need_objdump();
    compare("/lib/x86_64-linux-gnu/libstdc++.so.6", 100000);
    compare("/lib/x86_64-linux-gnu/libgmp.so.10", 20000);
    compare("/lib/x86_64-linux-gnu/libm.so.6", 20000);
}

/* What no compiler makes, by Intel's manual and AMD's: the bytes, and how many of them are one. */
static void test_by_hand(void **state)
{
    static const struct {
        uint8_t bytes[18];
        unsigned length;
    } cases[] = {
        {{0x48, 0xb8, 1, 2, 3, 4, 5, 6, 7, 8}, 10},            /* mov $, %rax */
        {{0x66, 0xb8, 1, 2}, 4},                               /* mov $, %ax */
        {{0x48, 0xa1, 1, 2, 3, 4, 5, 6, 7, 8}, 10},            /* mov address, %rax */
        {{0xc8, 1, 2, 3}, 4},                                  /* enter */
        {{0xf6, 0x05, 1, 2, 3, 4, 5}, 7},                      /* testb $, (%rip) */
        {{0xf7, 0xd8}, 2},                                     /* neg %eax */
        {{0x66, 0xf7, 0xc0, 1, 2}, 5},                         /* test $, %ax */
        {{0x0f, 0x05}, 2},                                     /* syscall */
        {{0x8f, 0x00}, 2},                                     /* pop (%rax) */
        {{0x8f, 0xe8, 0x78, 0xc2, 0xec, 0x0e}, 6},             /* vprotd */
        {{0x62, 0xf1, 0x7c, 0x48, 0x28, 0x44, 0x24, 0x01}, 8}, /* vmovaps 64(%rsp), %zmm0 */
        {{0x06}, 0},                                           /* not in this mode */
        {{0xea, 1, 2, 3, 4, 5, 6}, 0},                         /* nor this */
        {{0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x90}, 15},
        {{0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x90}, 0},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        if (instruction_length(cases[i].bytes, sizeof(cases[i].bytes)) != cases[i].length)
            fail_msg("case %zu: %u, expected %u", i,
                     instruction_length(cases[i].bytes, sizeof(cases[i].bytes)), cases[i].length);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_c_library),
        cmocka_unit_test(test_other_libraries),
        cmocka_unit_test(test_by_hand),
    };

    return cmocka_run_group_tests_name("length", tests, NULL, NULL);
}

/*
 * Tests inside of the booted kernel (image quire-kernel-test). Each says one line on COM1, "ok NAME" or
 * "FAIL NAME: place: what"; the last line is "N passed, N failed", and QEMU ends with MACHINE_DONE or
 * MACHINE_FAILED.
 */
#ifndef KERNEL_TEST_TEST_H
#define KERNEL_TEST_TEST_H

#include "kernel/boot/boot_info.h"
#include "kernel/x86/trap.h"

struct kernel_test {
    const char *name;
    void (*run)(void);
};

/* Arrays of tests, each ended by a NULL name; main.c runs them in this order. */
extern const struct kernel_test klib_tests[];
extern const struct kernel_test machine_tests[];
extern const struct kernel_test memory_tests[];
extern const struct kernel_test store_tests[];
extern const struct kernel_test paging_tests[];
extern const struct kernel_test device_tests[]; /* only with share=1 */
extern const struct kernel_test disk_tests[]; /* only with swap=BYTES; after device_tests, which find them */

/* What the image was booted with. */
extern const struct boot_info *test_boot_info;

/* The running test has failed; only the first reason is shown. */
void test_fail(const char *file, int line, const char *what);

/* Ends the test function (which returns nothing) when the condition does not hold. */
#define EXPECT(condition)                                                                                    \
    do {                                                                                                     \
        if (!(condition)) {                                                                                  \
            test_fail(__FILE__, __LINE__, #condition);                                                       \
            return;                                                                                          \
        }                                                                                                    \
    } while (0)

/* Calls function(context). True when it took a fault that would have been a panic: `fault` says which, and
 * the function was left there. */
bool trap_try(void (*function)(void *context), void *context, struct trap_expect *fault);

#endif

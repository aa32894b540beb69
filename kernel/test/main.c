/*
 * The test kernel's entry: the second KERNEL_ENTRY of the project.
 */
#include "kernel/klib.h"
#include "kernel/start.h"
#include "kernel/test/test.h"
#include "kernel/x86/serial.h"

enum { LINE_BYTES = 256 };

const struct boot_info *test_boot_info;

/* Without the map of the physical memory frames cannot be had, and only what needs none is run. */
static const struct kernel_test *const suites[] = {
    klib_tests,
#if QUIRE_MAP_PHYSICAL
    machine_tests, memory_tests, store_tests, paging_tests, device_tests, disk_tests,
#endif
};
static unsigned passed, failed;
static bool current_failed;
static char reason[LINE_BYTES];

static void say(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void say(const char *format, ...)
{
    char line[LINE_BYTES + 64];
    va_list args;

    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    serial_write(line, strlen(line));
    serial_write("\n", 1);
}

void test_fail(const char *file, int line, const char *what)
{
    if (!current_failed)
        snprintf(reason, sizeof reason, "%s:%d: %s", file, line, what);
    current_failed = true;
}

static void run(const struct kernel_test *test)
{
    current_failed = false;
    test->run();
    if (current_failed) {
        failed++;
        say("FAIL %s: %s", test->name, reason);
    } else {
        passed++;
        say("ok %s", test->name);
    }
}

static void test_main(const struct boot_info *info)
{
    test_boot_info = info;
    if (QUIRE_MAP_PHYSICAL)
        kernel_start(info);
    for (size_t suite = 0; suite < sizeof suites / sizeof suites[0]; suite++) {
        if (suites[suite] == device_tests && boot_option_number("share", 0) == 0)
            continue; /* they need a folder */
        if (suites[suite] == disk_tests && boot_option_number("swap", 0) == 0)
            continue;
        for (const struct kernel_test *test = suites[suite]; test->name != NULL; test++)
            run(test);
    }
    say("%u passed, %u failed", passed, failed);
    machine_exit(failed == 0 ? MACHINE_DONE : MACHINE_FAILED);
}

KERNEL_ENTRY(test_main);

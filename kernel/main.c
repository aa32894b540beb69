/*
 * The kernel: memory, devices, files, the first process; then the boot code's task is the idle task.
 */
#include <asm-generic/errno.h>

#include "kernel/boot/boot.h"
#include "kernel/demo/demo.h"
#include "kernel/dev/devices.h"
#include "kernel/dev/hostlink.h"
#include "kernel/fs/vfs.h"
#include "kernel/klib.h"
#include "kernel/mm/events.h"
#include "kernel/mm/paging_options.h"
#include "kernel/mm/report.h"
#include "kernel/mm/samples.h"
#include "kernel/mm/swap_device.h"
#include "kernel/start.h"
#include "kernel/task/member.h"

/* demo=NAME instead of a program. */
static void run_demo(const struct boot_info *info)
{
    char name[16];

    if (!boot_option("demo", name, sizeof name))
        return;
    if (strcmp(name, "paging") != 0)
        boot_give_up("demo=%s: no such demonstration, expected paging", name);
    demo_paging(info);
    machine_exit(MACHINE_DONE);
}

/* panic=1: what a stray pointer does. */
static void panic_for_test(void)
{
    volatile uintptr_t nowhere = 8;

    *(volatile char *)nowhere = 0;
}

static void kernel_main(const struct boot_info *info)
{
    kernel_start(info);
    run_demo(info);
    if (boot_option("panic", NULL, 0))
        panic_for_test();
    paging_options_init();
    devices_init();
    swap_device_init();
    paging_threads_start();
    hostlink_report_by(report_write);
    events_init();
    samples_init();
    if (!member_control_load())
        boot_give_up("too little memory for load control's thread");

    int error = vfs_init(info);

    if (error == 0)
        error = process_start_first(info);
    if (error == -ENOMEM)
        boot_give_up("too little memory for the files and the first process: %lu KiB are free",
                     frames_free() << PAGE_SHIFT >> 10);
    if (error != 0)
        boot_give_up("the initramfs cannot be used (error %d)", -error);
    sched_idle();
}

KERNEL_ENTRY(kernel_main);

#include "kernel/start.h"
#include "kernel/boot/boot.h"
#include "kernel/mm/kernel_map.h"
#include "kernel/task/task.h"
#include "quire/space.h"

static uint64_t usable_bytes(const struct memory_map *map)
{
    uint64_t bytes = 0;

    for (unsigned i = 0; i < map->count; i++)
        if (map->ranges[i].kind == MEMORY_USABLE)
            bytes += map->ranges[i].end.v - map->ranges[i].start.v;
    return bytes;
}

void kernel_start(const struct boot_info *info)
{
    uint64_t usable = usable_bytes(&info->map);

    if (info->map.count == 0)
        boot_give_up("this kernel was built without a memory map");
    cpu_set_kernel_stack(kstack_boot());
    if (frames_init(&boot_frames) != ST_OK)
        boot_give_up("too little memory: %lu KiB are usable beside the kernel and its files", usable >> 10);
    kernel_map_use_frames();
    if (vm_init(kernel_root) != ST_OK)
        boot_give_up("too little memory: %lu KiB are free", frames_free() << PAGE_SHIFT >> 10);
    time_init();
    sched_init();
    host_log("quire: %s, %lu MiB usable, %lu KiB free, kernel %lu KiB", info->loader, usable >> 20,
             frames_free() << PAGE_SHIFT >> 10, (info->kernel_end.v - info->kernel_start.v) >> 10);
}

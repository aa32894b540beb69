/*
 * What a PVH loader leaves (`qemu -kernel`): struct hvm_start_info of the Xen project's "x86/HVM direct boot
 * ABI", version 1, which has the memory map. Everything lies below 1 GiB, which the boot tables map. Nothing
 * needs to be aligned (qboot's module list is not), hence the packed structures.
 */
#include "kernel/boot/boot.h"

struct __attribute__((packed)) hvm_start_info {
    uint32_t magic;
    uint32_t version;
    uint32_t flags;
    uint32_t module_count;
    uint64_t modules;
    uint64_t command_line;
    uint64_t rsdp;
    uint64_t map;
    uint32_t map_count;
    uint32_t reserved;
};
_Static_assert(sizeof(struct hvm_start_info) == 56, "version 1 of the ABI");

struct __attribute__((packed)) hvm_module {
    uint64_t address, bytes, command_line, reserved;
};

struct __attribute__((packed)) hvm_map_entry {
    uint64_t start, bytes;
    uint32_t type; /* as the BIOS's E820 map */
    uint32_t reserved;
};

enum { HVM_MAGIC = 0x336ec578, E820_RAM = 1, E820_ACPI = 3 };

static const void *reach(uint64_t at)
{
    return host_at(paddr(at));
}

enum status boot_parse_pvh(uint32_t at, struct boot_info *info)
{
    const struct hvm_start_info *start = reach(at);

    if (start->magic != HVM_MAGIC || start->version < 1)
        return ST_INVALID;
    info->loader = "PVH";
    if (start->command_line != 0)
        boot_set_command_line(reach(start->command_line));
    if (start->module_count != 0) {
        const struct hvm_module *module = reach(start->modules);

        info->initramfs_start = paddr(module->address);
        info->initramfs_end = paddr(module->address + module->bytes);
    }
    const struct hvm_map_entry *entries = reach(start->map);

    for (uint32_t i = 0; i < start->map_count; i++) {
        enum memory_kind kind = entries[i].type == E820_RAM    ? MEMORY_USABLE
                                : entries[i].type == E820_ACPI ? MEMORY_ACPI
                                                               : MEMORY_RESERVED;
        enum status status = memory_map_add(
            &info->map,
            (struct memory_range){paddr(entries[i].start), paddr(entries[i].start + entries[i].bytes), kind});

        if (status != ST_OK)
            return status;
    }
    return ST_OK;
}

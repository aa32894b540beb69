/*
 * What a Multiboot2 loader leaves (GRUB): tags, each 8-byte aligned (Multiboot2 specification 2.0, 3.4).
 */
#include "kernel/boot/boot.h"

struct tag {
    uint32_t type;
    uint32_t bytes;
};

struct tag_module {
    struct tag tag;
    uint32_t start, end;
    char command_line[];
};

struct map_entry {
    uint64_t start, bytes;
    uint32_t type;
    uint32_t reserved;
};

struct tag_map {
    struct tag tag;
    uint32_t entry_bytes;
    uint32_t entry_version;
    char entries[];
};

enum { TAG_END = 0, TAG_COMMAND_LINE = 1, TAG_MODULE = 3, TAG_MAP = 6 };
enum { MAP_AVAILABLE = 1, MAP_ACPI = 3 };

static enum status add_map(const struct tag_map *map, struct memory_map *to)
{
    uint32_t count = (map->tag.bytes - (uint32_t)sizeof *map) / map->entry_bytes;

    for (uint32_t i = 0; i < count; i++) {
        const struct map_entry *entry = (const void *)(map->entries + (size_t)i * map->entry_bytes);
        enum memory_kind kind = entry->type == MAP_AVAILABLE ? MEMORY_USABLE
                                : entry->type == MAP_ACPI    ? MEMORY_ACPI
                                                             : MEMORY_RESERVED;
        enum status status = memory_map_add(
            to, (struct memory_range){paddr(entry->start), paddr(entry->start + entry->bytes), kind});

        if (status != ST_OK)
            return status;
    }
    return ST_OK;
}

enum status boot_parse_multiboot2(uint32_t at, struct boot_info *info)
{
    const uint32_t *header = host_at(paddr(at));
    enum status status = ST_INVALID; /* no map */

    info->loader = "Multiboot2";
    for (uint32_t offset = 8; offset + sizeof(struct tag) <= header[0];) {
        const struct tag *tag = host_at(paddr(at + offset));

        if (tag->type == TAG_END || tag->bytes < sizeof *tag)
            break;
        if (tag->type == TAG_COMMAND_LINE)
            boot_set_command_line((const char *)(tag + 1));
        if (tag->type == TAG_MODULE) {
            const struct tag_module *module = (const void *)tag;

            info->initramfs_start = paddr(module->start);
            info->initramfs_end = paddr(module->end);
        }
        if (tag->type == TAG_MAP && ((const struct tag_map *)tag)->entry_bytes >= sizeof(struct map_entry)) {
            status = add_map((const void *)tag, &info->map);
            if (status != ST_OK)
                return status;
        }
        offset += (uint32_t)align_up(tag->bytes, 8);
    }
    return status;
}

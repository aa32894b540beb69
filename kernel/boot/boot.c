/*
 * The way from the first C function to the kernel's entry: the CPU set up, the loader's information read, the
 * kernel's own page tables made out of the boot tables.
 *
 * The boot information and the command line are copied into the image, so they can be read whatever is mapped
 * later.
 */
#include "kernel/boot/boot.h"
#include "kernel/klib.h"
#include "kernel/mm/kernel_map.h"
#include "kernel/x86/serial.h"

extern const char image_start[], image_end[];

struct boot_frames boot_frames;
static struct boot_info boot_info;
static char command_line[1024];

_Noreturn void boot_start(uint32_t magic, uint32_t at);
_Noreturn void boot_switch(uint64_t root, uint64_t stack, void (*next)(void));

void boot_give_up(const char *format, ...)
{
    char line[256];
    va_list args;

    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    serial_write("quire: cannot boot: ", 20);
    serial_write(line, strlen(line));
    serial_write("\n", 1);
    machine_exit(MACHINE_CANNOT_BOOT);
}

void boot_set_command_line(const char *text)
{
    strlcpy(command_line, text, sizeof command_line);
}

/* What the loader's map calls usable and is not: the first page (a NULL physical address stays one that
 * nothing owns), the PC's hole below 1 MiB, the kernel, the initramfs. */
static enum status mark_what_is_taken(struct boot_info *info)
{
    const struct memory_range taken[] = {
        {paddr(0), paddr(PAGE_SIZE), MEMORY_RESERVED},
        {paddr(0xa0000), paddr(0x100000), MEMORY_RESERVED},
        {info->kernel_start, info->kernel_end, MEMORY_KERNEL},
        {paddr(align_down(info->initramfs_start.v, PAGE_SIZE)),
         paddr(align_up(info->initramfs_end.v, PAGE_SIZE)), MEMORY_MODULE},
    };

    for (unsigned i = 0; i < sizeof taken / sizeof taken[0]; i++) {
        enum status status =
            taken[i].start.v == taken[i].end.v ? ST_OK : memory_map_add(&info->map, taken[i]);

        if (status != ST_OK)
            return status;
    }
    return ST_OK;
}

/* On the kernel's own tables and stack. */
static void call_entry(void)
{
    if (!QUIRE_MEMORY_MAP)
        boot_info.map.count = 0;
    kernel_entry(&boot_info);
    machine_exit(MACHINE_DONE);
}

void boot_start(uint32_t magic, uint32_t at)
{
    struct boot_info *info = &boot_info;

    serial_init();
    cpu_init();
    traps_init();
    host_port_init();

    enum status status =
        magic == MULTIBOOT2_MAGIC ? boot_parse_multiboot2(at, info) : boot_parse_pvh(at, info);

    if (status != ST_OK)
        boot_give_up("what the loader left is not readable (%s)", status_name(status));
    info->physical_offset = PHYS_OFFSET;
    info->recursive_index = QUIRE_RECURSIVE_INDEX;
    info->command_line = command_line;
    info->kernel_start = host_paddr(image_start);
    info->kernel_end = host_paddr(image_end);
    status = mark_what_is_taken(info);
    if (status != ST_OK)
        boot_give_up("the memory map has too many ranges");

    boot_frames_init(&boot_frames, &info->map, pfn(1));
    status = kernel_map_init(&boot_frames, info);
    if (status != ST_OK)
        boot_give_up("too little memory for the kernel's page tables");
    info->root = kernel_root;
    boot_switch(kernel_root.v, kstack_boot(), call_entry);
}

/* The text behind the n-th `name=` from 0, or behind `name` when it stands alone; NULL when it is not there.
 */
static const char *find_option(const char *name, unsigned n)
{
    size_t length = strlen(name);

    for (const char *at = command_line; *at != '\0';) {
        size_t word = 0;

        while (at[word] != '\0' && at[word] != ' ')
            word++;
        if (word >= length && memcmp(at, name, length) == 0 && (word == length || at[length] == '=') &&
            n-- == 0)
            return at + length + (word > length);
        at += word;
        while (*at == ' ')
            at++;
    }
    return NULL;
}

bool boot_option_nth(const char *name, unsigned n, char *value, size_t size)
{
    const char *text = find_option(name, n);
    size_t length = 0;

    if (text == NULL)
        return false;
    while (length + 1 < size && text[length] != '\0' && text[length] != ' ') {
        value[length] = text[length];
        length++;
    }
    if (size != 0)
        value[length] = '\0';
    return true;
}

bool boot_option(const char *name, char *value, size_t size)
{
    return boot_option_nth(name, 0, value, size);
}

uint64_t boot_option_number(const char *name, uint64_t otherwise)
{
    const char *text = find_option(name, 0);
    uint64_t value = 0;

    if (text == NULL || *text < '0' || *text > '9')
        return otherwise;
    while (*text >= '0' && *text <= '9')
        value = value * 10 + (uint64_t)(*text++ - '0');
    return value;
}

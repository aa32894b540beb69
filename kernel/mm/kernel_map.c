/*
 * The kernel's page tables (kernel_map.h).
 *
 *   level 4 slot     what                                                  pages
 *   PHYS_SLOT...     the complete physical memory: W, no X                 1 GiB, 2 MiB
 *   VMAP_SLOT        kernel stacks, areas and device registers: W, no X    4 KiB
 *   KERNEL_SLOT      the image: text R X, rodata R, data W                 4 KiB
 *   recursive_index  the level-4 table itself, when the build asks for it
 *
 * Text and rodata are not writable through the map of the physical memory either. All pages are global and
 * marked accessed and dirty beforehand, so that the MMU never writes these tables.
 */
#include "kernel/mm/kernel_map.h"
#include "base/check.h"
#include "kernel/mm/mmio.h"
#include "pt/fmt/x86_64.h"

#define BITS_TEXT (PT_GLOBAL | PT_ACCESSED | PT_DIRTY)
#define BITS_READ (BITS_TEXT | PT_NO_EXEC)
#define BITS_MMIO (KERNEL_DATA_BITS | PT_NO_CACHE | PT_WRITE_THROUGH)

_Static_assert(PHYS_OFFSET >> 47 == 0x1ffff && (PHYS_OFFSET & (((uint64_t)1 << 39) - 1)) == 0,
               "physical_memory_offset: a multiple of 512 GiB in the kernel's half");
_Static_assert(PHYS_SLOT < VMAP_SLOT, "the map of the physical memory lies below the kernel's stacks");
_Static_assert(QUIRE_RECURSIVE_INDEX == -1 ||
                   (QUIRE_RECURSIVE_INDEX >= 256 && QUIRE_RECURSIVE_INDEX != PHYS_SLOT &&
                    QUIRE_RECURSIVE_INDEX != VMAP_SLOT && QUIRE_RECURSIVE_INDEX != KERNEL_SLOT),
               "recursive_index: a free slot of the kernel's half");

extern const char image_start[], text_end[], rodata_end[], image_end[];

struct paddr kernel_root;
static struct boot_frames *boot_source; /* NULL: frame_alloc() */
static uint64_t mmio_next = MMIO_REGION;

/* A zeroed frame for a table of `level`. */
static enum status table_take(unsigned level, struct paddr *out)
{
    struct pfn f;

    if (boot_source == NULL) {
        struct frame *frame = frame_alloc(0, FRAME_TABLE, FRAME_ZERO);

        if (frame == NULL)
            return ST_NO_MEMORY;
        frame->table.level = (uint8_t)level;
        *out = frame_paddr(frame);
        return ST_OK;
    }
    if (boot_frames_take(boot_source, &f) != ST_OK || f.v >= GIANT_SIZE >> PAGE_SHIFT)
        return ST_NO_MEMORY;
    *out = paddr_of(f);
    host_zero_page(host_at(*out));
    return ST_OK;
}

/* The largest page for `start` -> `to` that is not longer than `bytes`. */
static unsigned level_that_fits(struct vaddr start, struct paddr to, uint64_t bytes)
{
    if (cpu_features.giant_pages && is_aligned(start.v | to.v, GIANT_SIZE) && bytes >= GIANT_SIZE)
        return 3;
    return is_aligned(start.v | to.v, HUGE_SIZE) && bytes >= HUGE_SIZE ? 2 : 1;
}

/* The entry of `level` for the address; makes the tables above it when `make` says so. */
static enum status entry_of(struct vaddr at, unsigned level, bool make, struct pt_entry **out)
{
    struct pt_entry *table = host_at(kernel_root);

    for (unsigned n = PT_LEVELS; n > level; n--) {
        struct pt_entry *entry = &table[pt_index(at, n)];
        struct paddr next;

        if (pt_entry_is_page(*entry, n))
            return ST_HUGE_PAGE;
        if (pt_entry_empty(*entry)) {
            enum status status = make ? table_take(n - 1, &next) : ST_NOT_MAPPED;

            if (status != ST_OK)
                return status;
            pt_entry_store(entry, pt_entry(next.v | PT_PRESENT | PT_WRITE | PT_ACCESSED));
        }
        table = host_at(pt_entry_paddr(*entry));
    }
    *out = &table[pt_index(at, level)];
    return ST_OK;
}

enum status kernel_map(struct vaddr start, struct paddr to, uint64_t bytes, uint64_t bits)
{
    for (uint64_t done = 0; done < bytes;) {
        struct vaddr at = vaddr(start.v + done);
        struct paddr from = paddr(to.v + done);
        unsigned level = level_that_fits(at, from, bytes - done);
        struct pt_entry *entry;
        enum status status = entry_of(at, level, true, &entry);

        if (status != ST_OK)
            return status == ST_HUGE_PAGE ? ST_MAPPED : status;
        if (!pt_entry_empty(*entry))
            return ST_MAPPED;
        pt_entry_store(entry, pt_entry(from.v | bits | PT_PRESENT | (level > 1 ? PT_HUGE : 0)));
        done += pt_level_span(level);
    }
    return ST_OK;
}

struct paddr kernel_translate(struct vaddr at)
{
    struct pt_entry *entry;

    CHECK_ALWAYS(entry_of(at, 1, false, &entry) == ST_OK && pt_entry_present(*entry));
    return pt_entry_paddr(*entry);
}

bool kernel_is_mapped(struct vaddr at)
{
    struct pt_entry *entry;

    return entry_of(at, 1, false, &entry) == ST_OK && pt_entry_present(*entry);
}

void kernel_unmap(struct vaddr start, uint64_t bytes)
{
    for (uint64_t done = 0; done < bytes; done += PAGE_SIZE) {
        struct vaddr at = vaddr(start.v + done);
        struct pt_entry *entry;

        if (entry_of(at, 1, false, &entry) == ST_OK && !pt_entry_empty(*entry)) {
            pt_entry_store(entry, pt_entry(0));
            host_flush_page(NULL, at);
        }
    }
}

/* End of what is memory of any kind, rounded up to a level-2 page. */
static uint64_t memory_end(const struct memory_map *map)
{
    uint64_t end = 0;

    for (unsigned i = 0; i < map->count; i++)
        if (map->ranges[i].kind != MEMORY_RESERVED && map->ranges[i].end.v > end)
            end = map->ranges[i].end.v;
    return align_up(end, HUGE_SIZE);
}

static enum status map_physical_memory(const struct boot_info *info)
{
    uint64_t read_only = host_paddr(image_start).v;
    uint64_t writable = host_paddr(rodata_end).v;
    uint64_t end = memory_end(&info->map);
    enum status status = kernel_map(vaddr(PHYS_OFFSET), paddr(0), read_only, KERNEL_DATA_BITS);

    if (end > (VMAP_SLOT - PHYS_SLOT) << 39)
        return ST_NO_SPACE;
    if (status == ST_OK)
        status =
            kernel_map(vaddr(PHYS_OFFSET + read_only), paddr(read_only), writable - read_only, BITS_READ);
    if (status == ST_OK)
        status = kernel_map(vaddr(PHYS_OFFSET + writable), paddr(writable), end - writable, KERNEL_DATA_BITS);
    return status;
}

static enum status map_section(const char *start, const char *end, uint64_t bits)
{
    return kernel_map(vaddr((uint64_t)start), host_paddr(start), (uint64_t)(end - start), bits);
}

static enum status map_image(void)
{
    enum status status = map_section(image_start, text_end, BITS_TEXT);

    if (status == ST_OK)
        status = map_section(text_end, rodata_end, BITS_READ);
    if (status == ST_OK)
        status = map_section(rodata_end, image_end, KERNEL_DATA_BITS);
    return status;
}

static enum status map_boot_stack(struct boot_frames *boot)
{
    for (uint64_t offset = 0; offset < KSTACK_BYTES; offset += PAGE_SIZE) {
        struct pfn f;
        enum status status = boot_frames_take(boot, &f);

        if (status == ST_OK)
            status = kernel_map(vaddr(kstack_boot() - KSTACK_BYTES + offset), paddr_of(f), PAGE_SIZE,
                                KERNEL_DATA_BITS);
        if (status != ST_OK)
            return status;
    }
    return ST_OK;
}

enum status kernel_map_init(struct boot_frames *boot, const struct boot_info *info)
{
    boot_source = boot;

    enum status status = table_take(PT_LEVELS, &kernel_root);

    if (status == ST_OK && QUIRE_MAP_PHYSICAL)
        status = map_physical_memory(info);
    if (status == ST_OK)
        status = map_image();
    if (status == ST_OK)
        status = map_boot_stack(boot);
    if (status == ST_OK && info->recursive_index >= 0) {
        struct pt_entry *root = host_at(kernel_root);

        root[info->recursive_index] = pt_entry(kernel_root.v | PT_PRESENT | PT_WRITE | PT_NO_EXEC);
    }
    return status;
}

void kernel_map_use_frames(void)
{
    boot_source = NULL;
}

void *mmio_map(struct paddr start, uint64_t bytes)
{
    uint64_t offset = start.v & PAGE_MASK;
    uint64_t at = mmio_next;
    uint64_t length = align_up(offset + bytes, PAGE_SIZE);

    if (kernel_map(vaddr(at), paddr(start.v - offset), length, BITS_MMIO) != ST_OK)
        return NULL;
    mmio_next += length;
    return (void *)(at + offset);
}

/*
 * Frames in the booted kernel: who hands out what.
 */
#include "kernel/boot/boot.h"
#include "kernel/mm/kernel_map.h"
#include "kernel/test/test.h"
#include "quire/slab.h"

static enum memory_kind kind_of(uint64_t at)
{
    const struct memory_map *map = &test_boot_info->map;

    for (unsigned i = 0; i < map->count; i++)
        if (at >= map->ranges[i].start.v && at < map->ranges[i].end.v)
            return map->ranges[i].kind;
    return MEMORY_RESERVED;
}

static void test_boot_info_is_right(void)
{
    const struct boot_info *info = test_boot_info;

    EXPECT(info->map.count != 0);
    EXPECT(info->root.v == (cr3_read() & PT_FRAME_MASK));
    EXPECT(info->physical_offset == PHYS_OFFSET);
    EXPECT(info->kernel_start.v < info->kernel_end.v);
    EXPECT(kind_of(info->kernel_start.v) == MEMORY_KERNEL &&
           kind_of(info->kernel_end.v - 1) == MEMORY_KERNEL);
    EXPECT(kind_of(0) == MEMORY_RESERVED && kind_of(0xb8000) == MEMORY_RESERVED);
    for (unsigned i = 0; i < info->map.count; i++) {
        EXPECT(info->map.ranges[i].start.v < info->map.ranges[i].end.v);
        EXPECT(i == 0 || info->map.ranges[i - 1].end.v <= info->map.ranges[i].start.v);
    }
}

/* Takes every frame there is, a chain through their first words; all must be usable memory, each handed out
 * once (a mark in the second word), none of what the boot allocator gave away. */
static void test_all_frames(void)
{
    const uint64_t mark = 0x7175697265;
    uint64_t before = frames_free();
    uint64_t taken = 0;
    bool usable = true, twice = false;
    struct frame *chain = NULL;
    struct frame *frame;

    while ((frame = frame_alloc(0, FRAME_KERNEL, FRAME_ANY | FRAME_EMERGENCY)) != NULL) {
        uint64_t *words = frame_data(frame);
        uint64_t at = frame_paddr(frame).v;

        usable = usable && kind_of(at) == MEMORY_USABLE && at != kernel_root.v;
        twice = twice || (words[0] == (uint64_t)chain && words[1] == (mark ^ at) && chain != NULL);
        words[0] = (uint64_t)chain;
        words[1] = mark ^ at;
        chain = frame;
        taken++;
    }
    for (frame = chain; frame != NULL; frame = chain) {
        uint64_t *words = frame_data(frame);

        twice = twice || words[1] != (mark ^ frame_paddr(frame).v);
        chain = (struct frame *)words[0];
        words[1] = 0;
        frame_free(frame);
    }
    EXPECT(usable && !twice);
    EXPECT(taken == before);
    EXPECT(frames_free() == before);
    frames_check();
}

static void test_kernel_stacks(void)
{
    uint64_t tops[6];

    /* The first round makes the tables of the region. */
    for (int round = 0; round < 3; round++) {
        (void)kstack_trim();
        uint64_t before = frames_free();

        for (unsigned i = 0; i < 6; i++)
            EXPECT((tops[i] = kstack_alloc()) != 0);
        for (unsigned i = 0; i < 6; i++)
            kstack_free(tops[i]);
        (void)kstack_trim();
        EXPECT(round == 0 || frames_free() == before);
    }
}

/* Every allocation on the way fails once; nothing may be lost then. */
static void test_kernel_stack_without_memory(void)
{
    (void)kstack_trim();
    uint64_t before = frames_free();

    for (uint64_t n = 1; n <= KSTACK_BYTES / PAGE_SIZE; n++) {
        frames_fail_after(n);
        uint64_t top = kstack_alloc();

        frames_fail_after(0);
        EXPECT(top == 0);
        EXPECT(frames_free() == before);
    }
}

static void test_kernel_map(void)
{
    struct frame *frame = frame_alloc(0, FRAME_KERNEL, FRAME_ZERO);
    struct vaddr at = vaddr(KSTACK_REGION + ((uint64_t)200 << 30));

    EXPECT(frame != NULL);
    enum status first = kernel_map(at, frame_paddr(frame), PAGE_SIZE, KERNEL_DATA_BITS);
    enum status second = kernel_map(at, frame_paddr(frame), PAGE_SIZE, KERNEL_DATA_BITS);

    EXPECT(first == ST_OK && second == ST_MAPPED);
    *(volatile uint64_t *)at.v = 0x51;
    EXPECT(*(volatile uint64_t *)frame_data(frame) == 0x51);
    EXPECT(kernel_translate(at).v == frame_paddr(frame).v);
    kernel_unmap(at, PAGE_SIZE);
    EXPECT(!kernel_is_mapped(at));
    frame_free(frame);
}

static void test_slab(void)
{
    void *cells[40];
    uint64_t live = slab_live();

    for (unsigned i = 0; i < 40; i++) {
        cells[i] = slab_alloc(i * 50 + 1);
        EXPECT(cells[i] != NULL);
    }
    for (unsigned i = 0; i < 40; i++)
        slab_free(cells[i]);
    EXPECT(slab_live() == live);
    slab_check();
}

const struct kernel_test memory_tests[] = {
    {"the boot information is right", test_boot_info_is_right},
    {"the buddy hands out usable frames only, each once", test_all_frames},
    {"kernel stacks leak nothing", test_kernel_stacks},
    {"a kernel stack without memory leaks nothing", test_kernel_stack_without_memory},
    {"mappings of the kernel's half", test_kernel_map},
    {"slab cells", test_slab},
    {NULL, NULL},
};

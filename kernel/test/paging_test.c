/*
 * Page tables on the real MMU, reached in each of the ways (kernel/demo/way.h). Every test of a way runs with
 * tables that can be reached in that way alone, and believes the MMU, not the tables: it reads, writes and
 * faults.
 *
 * access=identity|offset|complete|temporary|recursive on the command line leaves the other ways out.
 */
#include "kernel/boot/boot.h"
#include "kernel/demo/way.h"
#include "kernel/klib.h"
#include "kernel/mm/kernel_map.h"
#include "kernel/test/test.h"

enum { PAGE_FAULT = 14, FAULT_PRESENT = 1, FAULT_WRITE = 2, FAULT_FETCH = 16 };

static struct way way; /* the one under test */

static enum status map(uint64_t start, struct paddr to, uint64_t bytes, uint32_t flags, enum pt_size size)
{
    struct pt_map request = {
        .start = vaddr(start), .to = to, .length_bytes = bytes, .flags = pt_flags(flags), .size = size};

    return pt_flush_now(pt_map(&way.pt, &request), &way.flusher);
}

static uint64_t load(uint64_t at)
{
    return *(volatile uint64_t *)at;
}

static void store(uint64_t at, uint64_t value)
{
    *(volatile uint64_t *)at = value;
}

static void touch(void *at)
{
    (void)*(volatile char *)at;
}

static void scribble(void *at)
{
    *(volatile char *)at = 1;
}

static void call(void *at)
{
    ((void (*)(void))at)();
}

static bool faults(void (*function)(void *), uint64_t at, uint64_t error)
{
    struct trap_expect fault;

    return trap_try(function, (void *)at, &fault) && fault.vector == PAGE_FAULT && fault.error == error &&
           fault.address == at;
}

/* ------------------------------------------------------------------ inside, in one way */

/* The tables can be reached in this way, and by no other address that the kernel uses. */
static void inside_only_this_way(void)
{
    struct pt_translation translation;

    EXPECT((cr3_read() & PT_FRAME_MASK) == way.pt.root.v);
    EXPECT(faults(touch, PHYS_OFFSET + way.pt.root.v, 0));
    if (way.kind != WAY_IDENTITY)
        EXPECT(faults(touch, way.pt.root.v, 0));
    if (way.kind == WAY_IDENTITY || way.kind == WAY_OFFSET)
        return; /* the kernel's own tables, which the root shares, are not mapped for these */
    EXPECT(pt_translate(&way.pt, vaddr((uint64_t)inside_only_this_way), &translation) == ST_OK);
    EXPECT(translation.paddr.v == host_paddr((const void *)inside_only_this_way).v);
}

/* A mapping that is made, changed and taken away is what the MMU sees. */
static void inside_changes_are_seen(void)
{
    struct paddr one = way_frame(&way), two = way_frame(&way);
    struct pt_translation translation;

    EXPECT(map(WAY_TRY, one, PAGE_SIZE, PT_FLAG_WRITE, PT_SIZE_4K) == ST_OK);
    store(WAY_TRY, 0x1111);
    EXPECT(map(WAY_TRY + PAGE_SIZE, two, PAGE_SIZE, PT_FLAG_WRITE, PT_SIZE_4K) == ST_OK);
    store(WAY_TRY + PAGE_SIZE, 0x2222);
    EXPECT(load(WAY_TRY) == 0x1111);

    EXPECT(pt_flush_now(pt_unmap(&way.pt, vaddr(WAY_TRY), PAGE_SIZE, PT_STRICT), &way.flusher) == ST_OK);
    EXPECT(way.flushes == 1);
    EXPECT(faults(touch, WAY_TRY, 0));
    EXPECT(map(WAY_TRY, two, PAGE_SIZE, PT_FLAG_WRITE, PT_SIZE_4K) == ST_OK);
    EXPECT(load(WAY_TRY) == 0x2222);
    store(WAY_TRY, 0x3333);
    EXPECT(load(WAY_TRY + PAGE_SIZE) == 0x3333);
    EXPECT(pt_translate(&way.pt, vaddr(WAY_TRY + 5), &translation) == ST_OK);
    EXPECT(translation.paddr.v == two.v + 5);
    EXPECT(map(WAY_TRY, one, PAGE_SIZE, 0, PT_SIZE_4K) == ST_MAPPED);
}

static void inside_protection_holds(void)
{
    struct paddr frame = way_frame(&way);

    EXPECT(map(WAY_TRY, frame, PAGE_SIZE, PT_FLAG_WRITE, PT_SIZE_4K) == ST_OK);
    *(volatile uint8_t *)WAY_TRY = 0xc3; /* ret */
    EXPECT(faults(call, WAY_TRY, FAULT_PRESENT | FAULT_FETCH));
    EXPECT(pt_flush_now(pt_protect(&way.pt, vaddr(WAY_TRY), PAGE_SIZE, pt_flags(PT_FLAG_EXEC),
                                   pt_flags(PT_FLAG_WRITE), PT_STRICT),
                        &way.flusher) == ST_OK);
    EXPECT(faults(scribble, WAY_TRY, FAULT_PRESENT | FAULT_WRITE));
    call((void *)WAY_TRY);
    EXPECT(pt_flush_now(pt_protect(&way.pt, vaddr(WAY_TRY), PAGE_SIZE, pt_flags(PT_FLAG_WRITE), pt_flags(0),
                                   PT_STRICT),
                        &way.flusher) == ST_OK);
    scribble((void *)WAY_TRY);
}

/* 2 MiB and 1 GiB pages; a split changes no translation; a part can then be taken out. */
static void inside_huge_pages(void)
{
    uint64_t inside = host_paddr(&way).v; /* a variable of the image, seen through other pages */
    uint64_t base = align_down(inside, HUGE_SIZE), huge = WAY_TRY, giant = WAY_TRY + GIANT_SIZE;
    struct pt_translation translation;

    EXPECT(map(huge, paddr(base), HUGE_SIZE, PT_FLAG_WRITE, PT_SIZE_2M) == ST_OK);
    EXPECT(load(huge + (inside - base)) == *(volatile uint64_t *)&way);
    EXPECT(pt_translate(&way.pt, vaddr(huge + 0x12345), &translation) == ST_OK);
    EXPECT(translation.level == 2 && translation.paddr.v == base + 0x12345);
    if (cpu_features.giant_pages) {
        EXPECT(map(giant, paddr(0), GIANT_SIZE, 0, PT_SIZE_1G) == ST_OK);
        EXPECT(load(giant + inside) == *(volatile uint64_t *)&way);
        EXPECT(pt_translate(&way.pt, vaddr(giant + inside), &translation) == ST_OK);
        EXPECT(translation.level == 3 && translation.paddr.v == inside);
        EXPECT(pt_flush_now(pt_split(&way.pt, vaddr(giant + inside), PT_SIZE_4K), &way.flusher) == ST_OK);
        EXPECT(load(giant + inside) == *(volatile uint64_t *)&way);
        EXPECT(pt_translate(&way.pt, vaddr(giant + inside), &translation) == ST_OK && translation.level == 1);
    }
    uint64_t hole = align_down(huge + (inside - base), PAGE_SIZE);

    EXPECT(pt_flush_now(pt_unmap(&way.pt, vaddr(hole), PAGE_SIZE, PT_STRICT), &way.flusher) == ST_HUGE_PAGE);
    EXPECT(load(huge + (inside - base)) == *(volatile uint64_t *)&way);
    EXPECT(pt_flush_now(pt_unmap(&way.pt, vaddr(hole), PAGE_SIZE, PT_SPLIT_HUGE), &way.flusher) == ST_OK);
    EXPECT(faults(touch, hole, 0));
    if (hole > huge)
        touch((void *)(hole - PAGE_SIZE));
    if (hole + PAGE_SIZE < huge + HUGE_SIZE)
        touch((void *)(hole + PAGE_SIZE));
}

/* An allocator that never has a frame: what needs a table fails and changes nothing, the rest works. */
static void inside_no_frame_for_a_table(void)
{
    struct paddr frame = way_frame(&way);

    EXPECT(map(WAY_TRY, frame, PAGE_SIZE, PT_FLAG_WRITE, PT_SIZE_4K) == ST_OK);
    unsigned free = way_frames_free(&way);

    way.pt.alloc = &pt_alloc_none;
    EXPECT(map(WAY_TRY + GIANT_SIZE, frame, PAGE_SIZE, PT_FLAG_WRITE, PT_SIZE_4K) == ST_NO_MEMORY);
    EXPECT(faults(touch, WAY_TRY + GIANT_SIZE, 0));
    EXPECT(map(WAY_TRY + 7 * PAGE_SIZE, frame, PAGE_SIZE, PT_FLAG_WRITE, PT_SIZE_4K) == ST_OK);
    store(WAY_TRY + 7 * PAGE_SIZE, 77);
    EXPECT(load(WAY_TRY) == 77);
    /* With one frame where two are needed it is the same: none is kept. */
    way.pt.alloc = &way.alloc;
    uint64_t kept = way.free;

    way.free &= ~(kept - 1) & kept; /* the lowest bit */
    kept ^= way.free;
    EXPECT(map(WAY_TRY + GIANT_SIZE, frame, PAGE_SIZE, PT_FLAG_WRITE, PT_SIZE_4K) == ST_NO_MEMORY);
    EXPECT(way_frames_free(&way) == 1);
    way.free |= kept;
    EXPECT(way_frames_free(&way) == free);
}

/* Missing tables of all three levels come in one call, and are empty whatever the frames held; they go
 * again with their last page. */
static void inside_tables_come_and_go(void)
{
    unsigned free = way_frames_free(&way);
    uint64_t storage[16];
    struct pt_batch batch;
    struct paddr frame;

    pt_batch_init(&batch, &way.alloc, &way.flusher, storage, 16);
    EXPECT(pt_make_tables(&way.pt, vaddr(WAY_TRY), PAGE_SIZE, 1) == ST_OK);
    EXPECT(way_frames_free(&way) == free - 3);
    for (uint64_t i = 0; i < PT_ENTRIES; i++) {
        struct pt_translation translation;

        EXPECT(pt_translate(&way.pt, vaddr(WAY_TRY + i * PAGE_SIZE), &translation) == ST_NOT_MAPPED);
        EXPECT(translation.level == 1 && pt_entry_empty(translation.entry));
    }
    frame = way_frame(&way);
    EXPECT(map(WAY_TRY + 5 * PAGE_SIZE, frame, PAGE_SIZE, PT_FLAG_WRITE, PT_SIZE_4K) == ST_OK);
    store(WAY_TRY + 5 * PAGE_SIZE, 5);
    EXPECT(pt_unmap_give(&way.pt, vaddr(WAY_TRY + 5 * PAGE_SIZE), PAGE_SIZE, PT_STRICT, &batch) == ST_OK);
    EXPECT(way_frames_free(&way) == free - 4); /* they travel in the batch */
    uint64_t flushes = way.flushes;

    pt_batch_finish(&batch);
    EXPECT(way.flushes == flushes + 1);
    EXPECT(way_frames_free(&way) == free);
    EXPECT(faults(touch, WAY_TRY + 5 * PAGE_SIZE, 0));
    /* Once more in the same place, with other frames: nothing old is remembered. */
    for (unsigned i = 0; i < 4; i++)
        frame = way_frame(&way);
    EXPECT(map(WAY_TRY + 5 * PAGE_SIZE, frame, PAGE_SIZE, PT_FLAG_WRITE, PT_SIZE_4K) == ST_OK);
    store(WAY_TRY + 5 * PAGE_SIZE, 0x5555);
    EXPECT(map(WAY_TRY + 6 * PAGE_SIZE, frame, PAGE_SIZE, 0, PT_SIZE_4K) == ST_OK);
    EXPECT(load(WAY_TRY + 6 * PAGE_SIZE) == 0x5555);
}

static bool count_entry(void *context, const struct pt_visit *visit)
{
    unsigned *counts = context;

    counts[visit->level]++;
    return true;
}

static void inside_visit_and_marks(void)
{
    unsigned counts[PT_LEVELS + 1] = {0};
    struct pt_map mark = {
        .start = vaddr(WAY_TRY + 9 * PAGE_SIZE), .length_bytes = PAGE_SIZE, .mark = {0xabcdef}};
    struct pt_translation translation;
    struct paddr frame = way_frame(&way);

    EXPECT(map(WAY_TRY, frame, PAGE_SIZE, 0, PT_SIZE_4K) == ST_OK);
    EXPECT(map(WAY_TRY + PAGE_SIZE, frame, PAGE_SIZE, 0, PT_SIZE_4K) == ST_OK);
    EXPECT(pt_flush_now(pt_map(&way.pt, &mark), &way.flusher) == ST_OK);
    EXPECT(faults(touch, WAY_TRY + 9 * PAGE_SIZE, 0));
    EXPECT(pt_translate(&way.pt, mark.start, &translation) == ST_NOT_MAPPED);
    EXPECT(pt_entry_mark(translation.entry).value == 0xabcdef);
    EXPECT(pt_visit_range(&way.pt, vaddr(WAY_TRY), vaddr(WAY_TRY + GIANT_SIZE - 1), PT_LEVELS_ALL,
                          count_entry, counts) == ST_OK);
    EXPECT(counts[1] == 3 && counts[2] == 1 && counts[3] == 1 && counts[4] == 1);
}

/* The addresses that the recursive entry gives show the very tables. */
static void inside_recursive_addresses(void)
{
    struct paddr frame = way_frame(&way);
    struct vaddr at = vaddr(WAY_TRY + 0x123456789000);
    unsigned level = PT_LEVELS;
    struct paddr table = way.pt.root;

    at = vaddr(WAY_TRY | (0x123456789000 & 0x7fffffffff));
    EXPECT(map(at.v, frame, PAGE_SIZE, PT_FLAG_WRITE, PT_SIZE_4K) == ST_OK);
    for (; level >= 1; level--) {
        struct pt_translation translation;
        uint64_t entry_at = pt_recursive_entry(WAY_RECURSIVE_INDEX, at, level).v;

        EXPECT(pt_translate(&way.pt, vaddr(entry_at), &translation) == ST_OK);
        EXPECT(translation.paddr.v == table.v + 8 * pt_index(at, level));
        table = pt_entry_paddr(pt_entry(load(entry_at)));
    }
    EXPECT(table.v == frame.v);
    /* Change the page's entry by hand, through its address. */
    uint64_t entry_at = pt_recursive_entry(WAY_RECURSIVE_INDEX, at, 1).v;
    struct paddr other = way_frame(&way);

    store(at.v, 1);
    store(entry_at, other.v | PT_PRESENT | PT_WRITE);
    invlpg(at.v);
    store(at.v, 2);
    store(entry_at, frame.v | PT_PRESENT | PT_WRITE);
    invlpg(at.v);
    EXPECT(load(at.v) == 1);
}

/* A free slot is found, used and set back to unused; when there is none the library says so. */
static void inside_slots(void)
{
    volatile uint64_t *slots = (volatile uint64_t *)(WAY_WINDOW + WAY_SLOT_SELF * PAGE_SIZE);
    struct pt_translation translation;

    EXPECT(pt_translate(&way.pt, vaddr(WAY_WINDOW + WAY_SLOT_SELF * PAGE_SIZE), &translation) == ST_OK);
    for (unsigned i = 0; i < PT_ENTRIES; i++)
        EXPECT((slots[i] != 0) == (i == WAY_SLOT_SELF));
    for (unsigned i = 0; i < PT_ENTRIES; i++)
        if (i != WAY_SLOT_SELF)
            slots[i] = 2; /* in use, by a mark */
    EXPECT(pt_translate(&way.pt, vaddr(WAY_TRY), &translation) == ST_NO_SPACE);
    EXPECT(map(WAY_TRY, paddr(0), PAGE_SIZE, 0, PT_SIZE_4K) == ST_NO_SPACE);
    slots[20] = slots[21] = slots[300] = slots[511] = 0;
    EXPECT(map(WAY_TRY, way.pt.root, PAGE_SIZE, 0, PT_SIZE_4K) == ST_OK);
    EXPECT(slots[20] == 0 && slots[21] == 0 && slots[300] == 0 && slots[511] == 0);
    EXPECT(load(WAY_TRY + 8 * KERNEL_SLOT) != 0);
    for (unsigned i = 0; i < PT_ENTRIES; i++)
        if (i != WAY_SLOT_SELF)
            slots[i] = 0;
}

/* ------------------------------------------------------------------ from outside */

/* Open, enter, run, leave, verify from outside that the tables are sound, close. */
static void in_way(enum way_kind kind, void (*body)(void))
{
    enum way_kind chosen;
    struct pt_broken broken = {.what = ""};
    uint64_t free = frames_free();

    if (way_chosen(&chosen) && chosen != kind)
        return;
    EXPECT(way_open(&way, kind, &test_boot_info->map) == ST_OK);
    way_enter(&way);
    body();
    way_leave(&way);
    if (pt_check(&way.outside, &broken, NULL) != ST_OK)
        test_fail(__FILE__, __LINE__, broken.what);
    way_close(&way);
    EXPECT(frames_free() == free);
}

#define IN_WAY(kind, body)                                                                                   \
    static void test_##kind##_##body(void)                                                                   \
    {                                                                                                        \
        in_way(kind, inside_##body);                                                                         \
    }
#define IN_EVERY_WAY(body)                                                                                   \
    IN_WAY(WAY_IDENTITY, body)                                                                               \
    IN_WAY(WAY_OFFSET, body)                                                                                 \
    IN_WAY(WAY_COMPLETE, body)                                                                               \
    IN_WAY(WAY_TEMPORARY, body)                                                                              \
    IN_WAY(WAY_RECURSIVE, body)
IN_EVERY_WAY(only_this_way)
IN_EVERY_WAY(changes_are_seen)
IN_EVERY_WAY(protection_holds)
IN_EVERY_WAY(huge_pages)
IN_EVERY_WAY(no_frame_for_a_table)
IN_EVERY_WAY(tables_come_and_go)
IN_EVERY_WAY(visit_and_marks)
IN_WAY(WAY_RECURSIVE, recursive_addresses)
IN_WAY(WAY_TEMPORARY, slots)

static void test_access_option(void)
{
    enum way_kind chosen = WAY_IDENTITY;

    EXPECT(!way_chosen(&chosen) || chosen < WAYS); /* a word that names no way would leave out every test */
}

/* Maps 32 GiB with 2 MiB pages on the way: 132 KiB of tables, and the memory that is there can be read. */
static void test_complete_map_of_32_gib(void)
{
    const uint64_t bytes = (uint64_t)32 << 30;
    struct pt_map request = {.start = vaddr(WAY_TRY), .length_bytes = bytes, .size = PT_SIZE_2M};

    EXPECT(way_open(&way, WAY_RECURSIVE, &test_boot_info->map) == ST_OK);
    unsigned free = way_frames_free(&way);
    enum status status = pt_flush_ignore(pt_map(&way.outside, &request));
    unsigned used = free - way_frames_free(&way);

    way_enter(&way);
    uint64_t seen = status == ST_OK ? load(WAY_TRY + host_paddr(&way).v) : 0;
    uint64_t wanted = *(volatile uint64_t *)&way;

    way_leave(&way);
    way_close(&way);
    EXPECT(status == ST_OK);
    EXPECT(used * PAGE_SIZE == (uint64_t)132 << 10);
    EXPECT(seen == wanted);
}

/* The article's example: page 0 to the frame of the VGA text buffer, and "New!" written through it. */
static void test_page_zero_to_the_screen(void)
{
    volatile uint64_t *screen = host_at(paddr(0xb8000 + 400 * sizeof(uint64_t)));
    const uint64_t text = 0xf021f077f065f04e, before = *screen;
    struct pt_map request = {
        .length_bytes = PAGE_SIZE, .to = paddr(0xb8000), .flags = pt_flags(PT_FLAG_WRITE)};
    struct pt_translation translation;
    uint64_t at = 400 * sizeof(uint64_t);

    EXPECT(way_open(&way, WAY_COMPLETE, &test_boot_info->map) == ST_OK);
    enum status unmapped = pt_translate(&way.outside, vaddr(at), &translation);
    enum status status = pt_flush_ignore(pt_map(&way.outside, &request));
    enum status translated = pt_translate(&way.outside, vaddr(at), &translation);

    way_enter(&way);
    __asm__ volatile("" : "+r"(at)); /* a pointer that the compiler knows nothing of */
    store(at, text);
    uint64_t read_back = load(at);

    way_leave(&way);
    way_close(&way);
    EXPECT(unmapped == ST_NOT_MAPPED && status == ST_OK && translated == ST_OK);
    EXPECT(translation.paddr.v == 0xb8000 + 400 * sizeof(uint64_t));
    EXPECT(read_back == *screen);
    EXPECT(read_back == text || before == ~(uint64_t)0); /* all ones: there is no screen */
}

/* ------------------------------------------------------------------ the kernel's own tables */

static struct pt kernel_pt(void)
{
    return pt_at(paddr(cr3_read() & PT_FRAME_MASK), pt_reach_offset(PHYS_OFFSET), &pt_alloc_none);
}

static void test_active_root(void)
{
    struct pt pt = kernel_pt();
    unsigned counts[PT_LEVELS + 1] = {0};
    struct pt_counts checked;
    unsigned lower = 0;
    const struct pt_entry *root = host_at(pt.root);

    EXPECT(pt.root.v == test_boot_info->root.v);
    EXPECT(pt_check(&pt, NULL, &checked) == ST_OK);
    EXPECT(pt_visit_all(&pt, PT_LEVELS_ALL, count_entry, counts) == ST_OK);
    for (unsigned i = 0; i < PT_ENTRIES; i++)
        lower += !pt_entry_empty(root[i]);
    EXPECT(counts[4] == lower && lower >= 3);
    EXPECT(counts[1] == checked.pages[1] + checked.marks);
    EXPECT(counts[2] == checked.pages[2] + checked.tables[1]);
    EXPECT(counts[3] == checked.pages[3] + checked.tables[2]);
}

static bool translates_to(uint64_t at, uint64_t to, unsigned level)
{
    struct pt pt = kernel_pt();
    struct pt_translation translation;

    return pt_translate(&pt, vaddr(at), &translation) == ST_OK && translation.paddr.v == to &&
           (level == 0 || translation.level == level);
}

static void test_translations(void)
{
    struct pt pt = kernel_pt();
    struct pt_translation translation;
    volatile uint64_t on_stack = 0x57ac4;
    static volatile uint64_t variable = 0xda7a;

    EXPECT(translates_to((uint64_t)test_translations, (uint64_t)test_translations - KERNEL_BASE, 1));
    EXPECT(translates_to((uint64_t)&variable, (uint64_t)&variable - KERNEL_BASE, 1));
    EXPECT(translates_to(PHYS_OFFSET + 0xb8000, 0xb8000, 0));
    EXPECT(translates_to(PHYS_OFFSET + 2 * HUGE_SIZE + 0x1234, 2 * HUGE_SIZE + 0x1234, 0));
    EXPECT(pt_translate(&pt, vaddr((uint64_t)&on_stack), &translation) == ST_OK);
    EXPECT(*(volatile uint64_t *)host_at(translation.paddr) == 0x57ac4);
    EXPECT(translation.flags.bits & PT_FLAG_WRITE && !(translation.flags.bits & PT_FLAG_EXEC));
    EXPECT(pt_translate(&pt, vaddr((uint64_t)test_translations), &translation) == ST_OK);
    EXPECT(translation.flags.bits & PT_FLAG_EXEC && !(translation.flags.bits & PT_FLAG_WRITE));
    EXPECT(pt_translate(&pt, vaddr(0), &translation) == ST_NOT_MAPPED);
    EXPECT(pt_translate(&pt, vaddr((uint64_t)1 << 47), &translation) == ST_NOT_CANONICAL);
}

/* The boot allocator, once more over the same map: usable frames only, each once. */
static void test_boot_frames_over_the_map(void)
{
    const struct memory_map *frame_map = &test_boot_info->map;
    struct boot_frames boot;
    struct pfn frame;
    uint64_t usable = 0, taken = 0, below = 0;

    for (unsigned i = 0; i < frame_map->count; i++)
        if (frame_map->ranges[i].kind == MEMORY_USABLE)
            usable += (align_down(frame_map->ranges[i].end.v, PAGE_SIZE) -
                       align_up(frame_map->ranges[i].start.v, PAGE_SIZE)) >>
                      PAGE_SHIFT;
    boot_frames_init(&boot, frame_map, pfn(0));
    for (; boot_frames_take(&boot, &frame) == ST_OK; taken++) {
        bool good = false;

        for (unsigned i = 0; i < frame_map->count; i++)
            good |= frame_map->ranges[i].kind == MEMORY_USABLE &&
                    paddr_of(frame).v >= frame_map->ranges[i].start.v &&
                    paddr_of(frame).v + PAGE_SIZE <= frame_map->ranges[i].end.v;
        EXPECT(good);
        EXPECT(taken == 0 || frame.v > below);
        below = frame.v;
    }
    EXPECT(taken == usable);
}

#define NAMED(kind, word, body, name)                                                                        \
    {                                                                                                        \
        word ": " name, test_##kind##_##body                                                                 \
    }
#define NAMED_IN_EVERY_WAY(body, name)                                                                       \
    NAMED(WAY_IDENTITY, "identity", body, name), NAMED(WAY_OFFSET, "offset", body, name),                    \
        NAMED(WAY_COMPLETE, "complete", body, name), NAMED(WAY_TEMPORARY, "temporary", body, name),          \
        NAMED(WAY_RECURSIVE, "recursive", body, name)

const struct kernel_test paging_tests[] = {
    {"the active level-4 table, and its entries", test_active_root},
    {"translations of the kernel's addresses", test_translations},
    {"the boot allocator hands out usable frames once", test_boot_frames_over_the_map},
    {"access= names a way", test_access_option},
    NAMED_IN_EVERY_WAY(only_this_way, "tables are reached in no other way"),
    NAMED_IN_EVERY_WAY(changes_are_seen, "the MMU sees a mapping change"),
    NAMED_IN_EVERY_WAY(protection_holds, "protection holds"),
    NAMED_IN_EVERY_WAY(huge_pages, "huge pages, split and cut"),
    NAMED_IN_EVERY_WAY(no_frame_for_a_table, "without a frame nothing changes"),
    NAMED_IN_EVERY_WAY(tables_come_and_go, "tables come zeroed and go after the flush"),
    NAMED_IN_EVERY_WAY(visit_and_marks, "visits, and marks that are no pages"),
    NAMED(WAY_RECURSIVE, "recursive", recursive_addresses, "addresses of tables and entries"),
    NAMED(WAY_TEMPORARY, "temporary", slots, "slots are found and set back"),
    {"32 GiB in 2 MiB pages take 132 KiB of tables", test_complete_map_of_32_gib},
    {"page 0 shows the VGA text buffer", test_page_zero_to_the_screen},
    {NULL, NULL},
};

/*
 * The demonstration of paging: what Philipp Oppermann's article "Paging Implementation" (Writing an OS in
 * Rust) explains, done step by step on the machine's own MMU, with its own numbers.
 *
 * The parts are in the article's order: the ways to reach page tables, then what can be done once they are
 * reached. Whatever is claimed is tried: a mapping is read and written through the MMU, not only looked at.
 */
#include "kernel/boot/boot.h"
#include "kernel/demo/demo.h"
#include "kernel/demo/way.h"
#include "kernel/klib.h"
#include "kernel/mm/layout.h"

#define VGA_TEXT ((uint64_t)0xb8000)

static struct way way;
static unsigned chapter;

#define say(...) host_log(__VA_ARGS__)

static void title(const char *text)
{
    say(" ");
    say("%u. %s", ++chapter, text);
}

static struct pt kernel_pt(void)
{
    return pt_at(paddr(cr3_read() & PT_FRAME_MASK), pt_reach_offset(PHYS_OFFSET), &pt_alloc_none);
}

static uint64_t load(uint64_t at)
{
    return *(volatile uint64_t *)at;
}

static void store(uint64_t at, uint64_t value)
{
    *(volatile uint64_t *)at = value;
}

/* "w-x-u-" and so on. */
static const char *flag_text(struct pt_flags flags)
{
    static char text[16];
    static const struct {
        char letter;
        uint32_t flag;
    } letters[] = {{'w', PT_FLAG_WRITE},  {'x', PT_FLAG_EXEC},     {'u', PT_FLAG_USER},
                   {'g', PT_FLAG_GLOBAL}, {'n', PT_FLAG_NO_CACHE}, {'a', PT_FLAG_ACCESSED},
                   {'d', PT_FLAG_DIRTY}};
    unsigned i = 0;

    for (; i < sizeof letters / sizeof letters[0]; i++)
        text[i] = flags.bits & letters[i].flag ? letters[i].letter : '-';
    text[i] = '\0';
    return text;
}

/* ------------------------------------------------------------------ the active table, and iteration */

static bool print_entry(void *context, const struct pt_visit *visit)
{
    unsigned *left = context;

    if (*left == 0)
        return false;
    --*left;
    say("  level %u, entry %3u: %016lx -> frame 0x%lx, %s %s", visit->level, visit->index, visit->start.v,
        pt_entry_paddr(visit->entry).v, flag_text(pt_flags_at(visit->entry, visit->level)),
        pt_entry_is_table(visit->entry, visit->level) ? "(a table)" : "(a page)");
    return true;
}

static void show_level(const struct pt *pt, struct vaddr start, struct vaddr last, unsigned level,
                       unsigned most)
{
    unsigned left = most;
    enum status status = pt_visit_range(pt, start, last, PT_LEVEL(level), print_entry, &left);

    if (status != ST_OK)
        say("  (%s)", status_name(status));
    else if (left == 0)
        say("  ... (quire dump prints all)");
}

static void active_table(void)
{
    struct pt pt = kernel_pt();
    struct pt_counts counts;
    struct pt_broken broken;

    title("The active level-4 table");
    say("Register CR3 holds 0x%lx: the level-4 table is the frame at this physical address.", cr3_read());
    say("The kernel can use virtual addresses only. It has mapped the complete physical memory at 0x%lx, so "
        "the"
        " table is at 0x%lx.",
        (uint64_t)PHYS_OFFSET, PHYS_OFFSET + pt.root.v);
    say("Its entries that are not empty (w write, x execute, u user, g global, n not cached, a accessed,"
        " d dirty):");
    show_level(&pt, vaddr(0), vaddr(~(uint64_t)0), 4, 16);
    say("Through the last of them to the kernel's image, level by level:");
    for (unsigned level = 3; level >= 1; level--)
        show_level(&pt, vaddr(KERNEL_BASE), vaddr(~(uint64_t)0), level, 4);
    if (pt_check(&pt, &broken, &counts) == ST_OK)
        say("In all: %lu tables of level 3, %lu of level 2, %lu of level 1; %lu pages of 4 KiB, %lu of 2 "
            "MiB, %lu of"
            " 1 GiB.",
            counts.tables[3], counts.tables[2], counts.tables[1], counts.pages[1], counts.pages[2],
            counts.pages[3]);
}

/* ------------------------------------------------------------------ translation */

static void translate(const char *what, uint64_t at)
{
    static const char *const sizes[] = {"", "4 KiB", "2 MiB", "1 GiB"};
    struct pt pt = kernel_pt();
    struct pt_translation to;
    enum status status = pt_translate(&pt, vaddr(at), &to);

    if (status == ST_OK)
        say("  %016lx -> 0x%09lx, in a page of %s, %s  %s", at, to.paddr.v, sizes[to.level],
            flag_text(to.flags), what);
    else
        say("  %016lx -> %s  %s", at, status_name(status), what);
}

static void translations(const struct boot_info *info)
{
    volatile uint64_t on_stack = 0;

    title("Translating addresses");
    say("An address is cut into four indices of 9 bits and an offset: 0x%lx is %lu, %lu, %lu, %lu and 0x%lx.",
        (uint64_t)demo_paging, (uint64_t)demo_paging >> 39 & 511, (uint64_t)demo_paging >> 30 & 511,
        (uint64_t)demo_paging >> 21 & 511, (uint64_t)demo_paging >> 12 & 511, (uint64_t)demo_paging & 4095);
    translate("the function that prints this", (uint64_t)demo_paging);
    translate("a variable on its stack", (uint64_t)&on_stack);
    translate("a variable of the image", (uint64_t)&chapter);
    translate("the VGA text buffer", PHYS_OFFSET + VGA_TEXT);
    translate("the kernel's memory map: physical address 0", PHYS_OFFSET);
    translate("behind the kernel, in the map of the physical memory",
              PHYS_OFFSET + align_up(info->kernel_end.v, HUGE_SIZE) + 0x1234);
    translate("page 0: nothing is mapped there", 0);
    translate("bit 47 without bits 48 to 63: no address at all", (uint64_t)1 << 47);
    say("\"not mapped\" is an answer, and told apart from addresses and entries that are wrong.");
}

/* ------------------------------------------------------------------ the five ways */

/* What was seen while the other tables were in use; printed when the log can be reached again. */
struct seen {
    enum status status;
    uint64_t first, second, changed;
    struct pt_translation translation;
    unsigned tables;
};

/* Inside: map a page, read it, map the page to another frame, read it again. */
static void change_a_mapping(struct seen *seen, struct paddr one, struct paddr two)
{
    struct pt_map request = {
        .start = vaddr(WAY_TRY), .to = one, .length_bytes = PAGE_SIZE, .flags = pt_flags(PT_FLAG_WRITE)};
    unsigned before = way_frames_free(&way);

    seen->status = pt_flush_now(pt_map(&way.pt, &request), &way.flusher);
    seen->tables = before - way_frames_free(&way);
    if (seen->status != ST_OK)
        return;
    seen->first = load(WAY_TRY);
    seen->status = pt_flush_now(pt_unmap(&way.pt, vaddr(WAY_TRY), PAGE_SIZE, PT_STRICT), &way.flusher);
    request.to = two;
    if (seen->status == ST_OK)
        seen->status = pt_flush_now(pt_map(&way.pt, &request), &way.flusher);
    if (seen->status != ST_OK)
        return;
    seen->second = load(WAY_TRY);
    store(WAY_TRY + 8, 0x600d);
    seen->status = pt_translate(&way.pt, vaddr(WAY_TRY), &seen->translation);
}

static void explain_way(enum way_kind kind)
{
    uint64_t pool = frame_paddr(way.frames).v;

    switch (kind) {
    case WAY_IDENTITY:
        say("Each table's frame is mapped at its own number: the frames 0x%lx to 0x%lx are at the same "
            "virtual"
            " addresses. Simple, but it takes the place of the programs.",
            pool, pool + WAY_POOL * PAGE_SIZE - 1);
        break;
    case WAY_OFFSET:
        say("The frames of tables are mapped 10 TiB higher, at 0x%lx: out of the way of the programs. Every "
            "new"
            " table must be mapped there first.",
            WAY_OFFSET_START + pool);
        break;
    case WAY_COMPLETE:
        say("All %lu MiB of physical memory are mapped 20 TiB higher, at 0x%lx, with pages of 2 MiB: any "
            "frame can be"
            " reached, also those of other address spaces.",
            way.memory_bytes >> 20, WAY_COMPLETE_START);
        break;
    case WAY_TEMPORARY:
        say("A level-1 table maps itself: entry %u of the table for 0x%lx points to the table, which is "
            "therefore at"
            " 0x%lx. Its other 511 entries are slots: one is pointed at a frame, used, and set back to "
            "unused.",
            WAY_SLOT_SELF, WAY_WINDOW, WAY_WINDOW + WAY_SLOT_SELF * PAGE_SIZE);
        break;
    default:
        say("Entry %u of the level-4 table points to the level-4 table. A walk that takes it has one step "
            "less to go,"
            " and ends at a table: the root itself is at 0x%lx.",
            WAY_RECURSIVE_INDEX, pt_recursive_table(WAY_RECURSIVE_INDEX, vaddr(0), PT_LEVELS).v);
        break;
    }
}

static void show_way(enum way_kind kind, const struct boot_info *info)
{
    static const char *const titles[WAYS] = {"Identity mapping", "Map at a fixed offset",
                                             "Map the complete physical memory", "Temporary mapping",
                                             "Recursive page tables"};
    struct seen seen = {.status = ST_OK};
    struct paddr one, two;

    title(titles[kind]);
    if (way_open(&way, kind, &info->map) != ST_OK) {
        say("There is too little memory for this.");
        return;
    }
    explain_way(kind);
    one = way_frame(&way);
    two = way_frame(&way);
    way_page(one)[0] = 0x1111111111111111;
    way_page(two)[0] = 0x2222222222222222;
    say("With CR3 = 0x%lx, a table without the kernel's map of the physical memory, page 0x%lx is mapped to "
        "frame"
        " 0x%lx, then to frame 0x%lx.",
        way.pt.root.v, WAY_TRY, one.v, two.v);
    way_enter(&way);
    change_a_mapping(&seen, one, two);
    way_leave(&way);
    if (seen.status != ST_OK) {
        say("That failed: %s.", status_name(seen.status));
    } else {
        say("The MMU read %016lx and then %016lx. %u tables were made, %lu flush kept the promise.",
            seen.first, seen.second, seen.tables, way.flushes);
        say("What was written to 0x%lx is in frame 0x%lx: 0x%lx. CR3 = 0x%lx again.", WAY_TRY + 8,
            seen.translation.paddr.v, way_page(two)[1], cr3_read());
    }
    way_close(&way);
}

/* ------------------------------------------------------------------ addresses of recursive tables */

static void octal_indices(const char *what, struct vaddr at)
{
    say("  %-14s 0x%016lx  0o_%06lo_%03lo_%03lo_%03lo_%03lo_%04lo", what, at.v, at.v >> 48, at.v >> 39 & 511,
        at.v >> 30 & 511, at.v >> 21 & 511, at.v >> 12 & 511, at.v & 4095);
}

static void recursive_addresses(void)
{
    const unsigned index = 0777;
    struct vaddr at = vaddr((uint64_t)demo_paging & 0x7fffffffffff);

    title("Calculating the addresses of recursive tables");
    say("With entry 0o%o recursive, the tables on the way to 0x%lx are here; in octal an index is three "
        "digits.",
        index, at.v);
    octal_indices("the address", at);
    octal_indices("level-1 table", pt_recursive_table(index, at, 1));
    octal_indices("level-2 table", pt_recursive_table(index, at, 2));
    octal_indices("level-3 table", pt_recursive_table(index, at, 3));
    octal_indices("level-4 table", pt_recursive_table(index, at, 4));
    octal_indices("level-1 entry", pt_recursive_entry(index, at, 1));
    say("The first group is the sign extension: bits 48 to 63 repeat bit 47, so an index below 0o400 has "
        "zeroes there:");
    octal_indices("index 0o377", pt_recursive_table(0377, at, 4));
}

/* ------------------------------------------------------------------ what the complete map costs */

static void cost_of_a_complete_map(const struct boot_info *info)
{
    const uint64_t bytes = (uint64_t)32 << 30;
    struct pt_map request = {.start = vaddr(WAY_TRY), .length_bytes = bytes, .size = PT_SIZE_2M};
    enum status status;

    title("What a map of the complete physical memory costs");
    if (way_open(&way, WAY_RECURSIVE, &info->map) != ST_OK) {
        say("There is too little memory for this.");
        return;
    }
    unsigned before = way_frames_free(&way);

    status = pt_flush_ignore(pt_map(&way.outside, &request)); /* in no CPU's CR3 */
    unsigned used = before - way_frames_free(&way);

    say("32 GiB in pages of 2 MiB (%s): %u tables, that is %lu KiB. (Of 4 KiB pages it would be %lu KiB.)",
        status_name(status), used, used * PAGE_SIZE >> 10,
        pt_tables_needed(vaddr(WAY_TRY), paddr(0), bytes, PT_SIZE_4K) * PAGE_SIZE >> 10);
    way_close(&way);
}

/* ------------------------------------------------------------------ frames */

static void no_frames(const struct boot_info *info)
{
    struct pt_map request = {.start = vaddr(0xdeadbeaf000),
                             .to = paddr(VGA_TEXT),
                             .length_bytes = PAGE_SIZE,
                             .flags = pt_flags(0)};
    struct pt_translation to;

    title("An allocator that never has a frame");
    if (way_open(&way, WAY_COMPLETE, &info->map) != ST_OK) {
        say("There is too little memory for this.");
        return;
    }
    way.outside.alloc = &pt_alloc_none;
    say("Page 0x%lx has no table of level 3, 2 or 1 yet. Mapping it: %s.", request.start.v,
        status_name(pt_flush_ignore(pt_map(&way.outside, &request))));
    say("All frames are taken before the first entry is written, so nothing has changed: the page is %s.",
        status_name(pt_translate(&way.outside, request.start, &to)));
    way.outside.alloc = &way.alloc;
    unsigned before = way_frames_free(&way);
    enum status status = pt_flush_ignore(pt_map(&way.outside, &request));

    say("With an allocator that has frames: %s, and %u tables were made in one call.", status_name(status),
        before - way_frames_free(&way));
    way.outside.alloc = &pt_alloc_none;
    request.start.v += PAGE_SIZE;
    say("The page behind it is in the same table. Mapping it without a frame: %s.",
        status_name(pt_flush_ignore(pt_map(&way.outside, &request))));
    way_close(&way);
}

static void boot_frames_over_the_map(const struct boot_info *info)
{
    static const char *const kinds[] = {"usable", "reserved", "ACPI", "the kernel", "the initramfs"};
    struct boot_frames boot;
    struct pfn frame;
    uint64_t count = 0, first = 0, last = 0;

    title("Frames from the memory map");
    say("The firmware's memory map, with the kernel and its files marked (%s):", info->loader);
    for (unsigned i = 0; i < info->map.count; i++)
        say("  %012lx-%012lx  %s", info->map.ranges[i].start.v, info->map.ranges[i].end.v - 1,
            kinds[info->map.ranges[i].kind]);
    boot_frames_init(&boot, &info->map, pfn(0));
    while (boot_frames_take(&boot, &frame) == ST_OK) {
        if (count++ == 0)
            first = frame.v;
        last = frame.v;
    }
    say("The boot allocator goes through it from low to high and hands out each usable frame once: %lu "
        "frames, from"
        " 0x%lx to 0x%lx, and then it says that there is none.",
        count, first << PAGE_SHIFT, last << PAGE_SHIFT);
    say("The buddy allocator has taken over from it meanwhile: %lu frames are free.", frames_free());
}

/* ------------------------------------------------------------------ the screen */

/* The 16550's line status says whether a byte has come. */
static void wait_for_byte(void)
{
    enum { COM1_DATA = 0x3f8, COM1_STATUS = 0x3fd, DATA_READY = 1 };
    uint64_t end = host_now_ns() + (uint64_t)10 * 1000 * 1000 * 1000;

    while (!(inb(COM1_STATUS) & DATA_READY) && host_now_ns() < end)
        __builtin_ia32_pause();
    if (inb(COM1_STATUS) & DATA_READY)
        (void)inb(COM1_DATA);
}

static void write_to_the_screen(const struct boot_info *info)
{
    const uint64_t text = 0xf021f077f065f04e, offset = 400 * sizeof(uint64_t);
    struct pt_map request = {.start = vaddr(0),
                             .to = paddr(VGA_TEXT),
                             .length_bytes = PAGE_SIZE,
                             .flags = pt_flags(PT_FLAG_WRITE)};
    struct pt_translation to;
    uint64_t at = offset;
    char value[4];

    title("A new mapping, to be seen");
    if (way_open(&way, WAY_COMPLETE, &info->map) != ST_OK) {
        say("There is too little memory for this.");
        return;
    }
    enum status before = pt_translate(&way.outside, request.start, &to);
    enum status mapped = pt_flush_ignore(pt_map(&way.outside, &request)); /* not in CR3 yet */

    say("Page 0 is %s. It gets the frame 0xb8000, the VGA text buffer: %s.", status_name(before),
        status_name(mapped));
    way_enter(&way);
    __asm__ volatile("" : "+r"(at)); /* a pointer that the compiler knows nothing of */
    store(at, text);
    way_leave(&way);
    say("0x_f021_f077_f065_f04e was written as the 400th 64-bit word of page 0, at 0x%lx: \"New!\", black on "
        "white.",
        offset);
    uint64_t there = *(volatile uint64_t *)host_at(paddr(VGA_TEXT + offset));

    if (there == text)
        say("Physical address 0x%lx holds 0x%lx now: it is on the screen, at the left of line 21.",
            VGA_TEXT + offset, there);
    else
        say("Physical address 0x%lx holds 0x%lx: this machine has no VGA screen.", VGA_TEXT + offset, there);
    way_close(&way);
    if (boot_option("pause", value, sizeof value)) {
        say("screenshot now");
        wait_for_byte();
    }
}

/* ------------------------------------------------------------------ the flush promise */

static void flush_promise(const struct boot_info *info)
{
    uint64_t storage[8], flushes, free_before, free_between;
    struct pt_batch batch;
    enum status status;

    title("The promise to flush");
    if (way_open(&way, WAY_RECURSIVE, &info->map) != ST_OK) {
        say("There is too little memory for this.");
        return;
    }
    struct pt_map request = {.start = vaddr(WAY_TRY), .to = way_frame(&way), .length_bytes = PAGE_SIZE};

    say("A change returns a promise that must be kept, added to a batch, or said to be needless; without "
        "that its status"
        " cannot be had, and the program does not compile.");
    way_enter(&way);
    pt_batch_init(&batch, &way.alloc, &way.flusher, storage, 8);
    status = pt_batch_add(&batch, pt_map(&way.pt, &request));
    free_before = way_frames_free(&way);
    if (status == ST_OK)
        status = pt_unmap_give(&way.pt, vaddr(WAY_TRY), PAGE_SIZE, PT_STRICT, &batch);
    free_between = way_frames_free(&way);
    flushes = way.flushes;
    pt_batch_finish(&batch);
    way_leave(&way);
    say("The page's frame and the three tables that became empty travel in the batch (%s): before the flush "
        "%lu of them"
        " are free, after it %lu.",
        status_name(status), free_between - free_before, way_frames_free(&way) - free_before);
    say("It took %lu flush for all of them.", way.flushes - flushes);
    way_close(&way);
}

void demo_paging(const struct boot_info *info)
{
    chapter = 0;
    say(" ");
    say("Paging on this machine, after Philipp Oppermann's article \"Paging Implementation\".");
    active_table();
    translations(info);
    for (enum way_kind kind = 0; kind < WAYS; kind++)
        show_way(kind, info);
    recursive_addresses();
    cost_of_a_complete_map(info);
    no_frames(info);
    boot_frames_over_the_map(info);
    flush_promise(info);
    write_to_the_screen(info);
    say(" ");
    say("That was the demonstration.");
}

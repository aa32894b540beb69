/*
 * The recursive way on RISC-V, in QEMU's MMU. No frame of a table is mapped anywhere but through the
 * recursive entry's windows, so that whatever supervisor mode changes here, it changes through them; and it
 * sees the changes by its own loads and stores.
 *
 * Says `ok` with figures, or the line that was wrong, on the serial line, and switches the machine off.
 */
#include "quire/pt.h"

#define MEMORY ((uint64_t)0x80000000)
#define TABLES (MEMORY + 0x400000)
#define PAGES (MEMORY + 0x1000000) /* each begins with its own address */
enum { INDEX = 503, TABLE_FRAMES = 512, PAGE_FRAMES = 2048, PAYLOAD_BYTES = 0x40000 };
#define SERIAL ((volatile uint8_t *)0x10000000)
#define POWER ((volatile uint32_t *)0x100000)

/* In the upper half; near the end of what an entry of level 3 stands for. */
#define UPPER (0 - pt_level_span(PT_LEVELS) * 100)
#define AT (UPPER + GIANT_SIZE - 300 * PAGE_SIZE)
enum { CAUSE_LOAD = 13, CAUSE_STORE = 15 };

uint64_t machine_prepare(void);
uint64_t supervisor_main(void);
void machine_report(uint64_t line, uint64_t cause, uint64_t value, uint64_t pc);
uint64_t try_read(uint64_t address);
void try_write(uint64_t address, uint64_t value);
extern volatile uint64_t fault_wanted, fault_seen;

static uint64_t frames[TABLE_FRAMES];
static unsigned frames_free, forgotten;
static struct paddr root;

/* The compiler calls these. */
void *memset(void *to, int byte, size_t count)
{
    for (volatile unsigned char *at = to; count > 0; count--)
        *at++ = (unsigned char)byte;
    return to;
}

void *memcpy(void *to, const void *from, size_t count)
{
    volatile unsigned char *at = to;

    for (const unsigned char *byte = from; count > 0; count--)
        *at++ = *byte++;
    return to;
}

static bool take(void *context, struct paddr *out)
{
    (void)context;
    if (frames_free == 0)
        return false;
    *out = paddr(frames[--frames_free]);
    return true;
}

static void give(void *context, struct paddr frame)
{
    (void)context;
    frames[frames_free++] = frame.v;
}

static const struct pt_alloc alloc = {.take = take, .give = give};

static void forget(void *context, struct vaddr page)
{
    (void)context;
    forgotten++;
    __asm__ volatile("sfence.vma %0, zero" ::"r"(page.v) : "memory");
}

static void flush(void *context, struct vaddr start, uint64_t pages, enum pt_flush_kind kind)
{
    (void)context;
    if (kind != PT_FLUSH_PAGES || pages > 32) {
        __asm__ volatile("sfence.vma" ::: "memory");
        return;
    }
    for (uint64_t i = 0; i < pages; i++)
        __asm__ volatile("sfence.vma %0, zero" ::"r"(start.v + i * PAGE_SIZE) : "memory");
}

static const struct pt_flusher flusher = {.flush = flush};

/* ------------------------------------------------------------------ machine mode, where nothing is
 * translated */

static uint64_t satp_of(struct paddr table)
{
    return (uint64_t)(8 + PT_LEVELS - 3) << 60 | table.v >> PAGE_SHIFT;
}

uint64_t machine_prepare(void)
{
    struct pt_map payload = {.start = vaddr(MEMORY),
                             .to = paddr(MEMORY),
                             .length_bytes = PAYLOAD_BYTES,
                             .flags =
                                 pt_flags(PT_FLAG_WRITE | PT_FLAG_EXEC | PT_FLAG_ACCESSED | PT_FLAG_DIRTY)};
    struct pt pt;

    for (unsigned i = TABLE_FRAMES; i > 0; i--)
        frames[frames_free++] = TABLES + (i - 1) * PAGE_SIZE;
    for (uint64_t page = PAGES; page < PAGES + PAGE_FRAMES * PAGE_SIZE; page += PAGE_SIZE)
        *(uint64_t *)(uintptr_t)page = page;
    if (pt_create(&pt, pt_reach_identity(), &alloc) != ST_OK ||
        pt_flush_ignore(pt_map(&pt, &payload)) != ST_OK || pt_make_recursive(&pt, INDEX) != ST_OK)
        machine_report(__LINE__, 0, 0, 0);
    root = pt.root;
    return satp_of(root);
}

static void say(const char *text)
{
    while (*text)
        *SERIAL = (uint8_t)*text++;
}

static void say_number(uint64_t number)
{
    char digits[24], *at = &digits[23];

    for (*at = '\0'; number > 0 || !*at; number /= 10)
        *--at = (char)('0' + number % 10);
    say(at);
}

void machine_report(uint64_t line, uint64_t cause, uint64_t value, uint64_t pc)
{
    if (line == 0) {
        say("ok: ");
        say_number(forgotten);
        say(" times a window was told to the CPU\n");
    } else {
        say("not ok: line ");
        say_number(line == ~(uint64_t)0 ? 0 : line);
        say(", trap ");
        say_number(cause);
        say(", value ");
        say_number(value);
        say(", at ");
        say_number(pc);
        say("\n");
    }
    for (;;)
        *POWER = 0x5555;
}

/* ------------------------------------------------------------------ supervisor mode */

#define EXPECT(condition)                                                                                    \
    do {                                                                                                     \
        if (!(condition))                                                                                    \
            return __LINE__;                                                                                 \
    } while (0)

static enum status map(struct pt *pt, uint64_t start, uint64_t to, uint64_t bytes, enum pt_size size)
{
    struct pt_map request = {.start = vaddr(start),
                             .to = paddr(to),
                             .length_bytes = bytes,
                             .flags = pt_flags(PT_FLAG_WRITE | PT_FLAG_ACCESSED | PT_FLAG_DIRTY),
                             .size = size};

    return pt_flush_now(pt_map(pt, &request), &flusher);
}

/* The cause of the fault that the access meets; 0: none. */
static uint64_t fault_of(uint64_t address, bool write)
{
    fault_wanted = 1;
    fault_seen = 0;
    if (write)
        try_write(address, 1);
    else
        (void)try_read(address);
    fault_wanted = 0;
    return fault_seen;
}

static bool windows_are_closed(void)
{
    const volatile uint64_t *table =
        (const volatile uint64_t *)(uintptr_t)pt_recursive_window(INDEX, INDEX + 1).v;
    bool closed = true;

    for (unsigned i = 0; i < PT_OPEN_TABLES; i++)
        closed = closed && table[INDEX + 2 + i] == 0;
    return closed;
}

/* One page goes from frame to frame. */
static uint64_t change_a_page(struct pt *pt)
{
    struct pt_translation found;

    EXPECT(fault_of(AT, false) == CAUSE_LOAD);
    for (uint64_t i = 0; i < 5; i++) {
        EXPECT(map(pt, AT, PAGES + i * PAGE_SIZE, PAGE_SIZE, PT_SIZE_4K) == ST_OK);
        EXPECT(try_read(AT) == PAGES + i * PAGE_SIZE);
        try_write(AT + 8, 77 + i);
        EXPECT(try_read(AT + 8) == 77 + i);
        EXPECT(pt_translate(pt, vaddr(AT + 8), &found) == ST_OK &&
               found.paddr.v == PAGES + i * PAGE_SIZE + 8);
        EXPECT(pt_flush_now(pt_unmap_page(pt, vaddr(AT)), &flusher) == ST_OK);
        EXPECT(fault_of(AT, false) == CAUSE_LOAD);
    }
    EXPECT(map(pt, AT, PAGES + 3 * PAGE_SIZE, PAGE_SIZE, PT_SIZE_4K) == ST_OK);
    EXPECT(try_read(AT + 8) == 80);
    EXPECT(pt_flush_now(pt_protect_page(pt, vaddr(AT), pt_flags(0), pt_flags(PT_FLAG_WRITE)), &flusher) ==
           ST_OK);
    EXPECT(fault_of(AT + 8, true) == CAUSE_STORE);
    EXPECT(try_read(AT + 8) == 80);
    EXPECT(pt_flush_now(pt_unmap_page(pt, vaddr(AT)), &flusher) == ST_OK);
    return 0;
}

/* Ranges over several tables, a large page and its parts, and everything out again. */
static uint64_t change_ranges(struct pt *pt)
{
    uint64_t storage[32], huge = align_down(AT, HUGE_SIZE) - 4 * HUGE_SIZE;
    unsigned before = frames_free;
    struct pt_batch batch;

    EXPECT(map(pt, AT, PAGES, 1500 * PAGE_SIZE, PT_SIZE_4K) == ST_OK);
    for (uint64_t i = 0; i < 1500; i += 37)
        EXPECT(try_read(AT + i * PAGE_SIZE) == PAGES + i * PAGE_SIZE);
    EXPECT(map(pt, huge, PAGES, HUGE_SIZE, PT_SIZE_2M) == ST_OK);
    EXPECT(try_read(huge + 5 * PAGE_SIZE) == PAGES + 5 * PAGE_SIZE);
    EXPECT(pt_flush_now(pt_protect(pt, vaddr(huge + 7 * PAGE_SIZE), 2 * PAGE_SIZE, pt_flags(0),
                                   pt_flags(PT_FLAG_WRITE), PT_SPLIT_HUGE),
                        &flusher) == ST_OK);
    EXPECT(fault_of(huge + 8 * PAGE_SIZE, true) == CAUSE_STORE);
    EXPECT(fault_of(huge + 9 * PAGE_SIZE + 8, true) == 0);
    EXPECT(try_read(huge + 8 * PAGE_SIZE) == PAGES + 8 * PAGE_SIZE);
    EXPECT(pt_check(pt, NULL, NULL) == ST_OK);
    pt_batch_init(&batch, &alloc, &flusher, storage, 32);
    EXPECT(pt_unmap_give(pt, vaddr(AT), 1500 * PAGE_SIZE, PT_STRICT, &batch) == ST_OK);
    EXPECT(pt_unmap_give(pt, vaddr(huge), HUGE_SIZE, PT_STRICT, &batch) == ST_OK);
    pt_batch_finish(&batch);
    EXPECT(fault_of(AT + 1000 * PAGE_SIZE, false) == CAUSE_LOAD);
    EXPECT(fault_of(huge, false) == CAUSE_LOAD);
    EXPECT(frames_free >= before); /* the tables of change_a_page() are gone, too */
    return 0;
}

/* Another root with the payload's half, once it is loaded, shows its own tables. */
static uint64_t change_a_clone(struct pt *pt)
{
    struct pt clone;

    EXPECT(pt_clone_half(&clone, pt, PT_HALF_LOWER) == ST_OK);
    __asm__ volatile("csrw satp, %0; sfence.vma" ::"r"(satp_of(clone.root)) : "memory");
    EXPECT(map(&clone, AT, PAGES + 9 * PAGE_SIZE, PAGE_SIZE, PT_SIZE_4K) == ST_OK);
    EXPECT(try_read(AT) == PAGES + 9 * PAGE_SIZE);
    EXPECT(windows_are_closed());
    __asm__ volatile("csrw satp, %0; sfence.vma" ::"r"(satp_of(pt->root)) : "memory");
    EXPECT(fault_of(AT, false) == CAUSE_LOAD);
    return 0;
}

uint64_t supervisor_main(void)
{
    struct pt pt = pt_at(root, pt_reach_recursive(INDEX, forget, NULL), &alloc);
    uint64_t line;

    pt.live = true;
    EXPECT(fault_of(root.v, false) == CAUSE_LOAD); /* tables are not to be seen but by windows */
    EXPECT(windows_are_closed());
    line = change_a_page(&pt);
    line = line ? line : change_ranges(&pt);
    line = line ? line : change_a_clone(&pt);
    EXPECT(line != 0 || windows_are_closed());
    return line;
}

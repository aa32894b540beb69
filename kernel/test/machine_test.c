/*
 * The machine's protection is really on: each test does what must not be possible, and looks at the fault.
 */
#include <asm-generic/errno.h>

#include "kernel/klib.h"
#include "kernel/mm/kernel_map.h"
#include "kernel/task/task.h"
#include "kernel/test/test.h"
#include "kernel/x86/symbols.h"

enum { PAGE_FAULT = 14, PROTECTION = 13, DOUBLE_FAULT = 8 };
enum { ERROR_PRESENT = 1, ERROR_WRITE = 2, ERROR_FETCH = 16 };

#define USER_PAGE ((uint64_t)0x400000)
#define NOT_CANONICAL ((uint64_t)0x0000900000000000)

extern char image_start[], text_end[], rodata_end[];

/* ------------------------------------------------------------------------------- what is mapped how */

struct walk {
    uint64_t writable_code; /* first page that is writable and executable */
    uint64_t writable_text; /* first page of text or rodata that is writable, by whatever name */
    uint64_t user;          /* first page of the kernel's half that user code could reach */
    uint64_t pages;
};

static void look_at(struct walk *walk, uint64_t at, struct pt_entry entry, unsigned level, uint64_t rights)
{
    uint64_t start = pt_entry_paddr(entry).v;
    uint64_t text = host_paddr(image_start).v;
    uint64_t end = host_paddr(rodata_end).v;

    walk->pages++;
    if ((rights & PT_WRITE) && !(rights & PT_NO_EXEC) && walk->writable_code == 0)
        walk->writable_code = at;
    if ((rights & PT_WRITE) && start < end && start + pt_level_span(level) > text && walk->writable_text == 0)
        walk->writable_text = at;
    if ((rights & PT_USER) && walk->user == 0)
        walk->user = at;
}

/* `rights`: W and U that every entry above grants, NX that any of them has. */
static void walk_table(struct walk *walk, struct paddr at, unsigned level, uint64_t start, uint64_t rights)
{
    const struct pt_entry *table = host_at(at);
    uint64_t signs = start >> 47 != 0 ? 0xffff000000000000 : 0;

    for (unsigned i = level == PT_LEVELS ? PT_ENTRIES / 2 : 0; i < PT_ENTRIES; i++) {
        uint64_t address = (start + i * pt_level_span(level)) | signs;
        uint64_t mine =
            (rights & table[i].bits & (PT_WRITE | PT_USER)) | ((rights | table[i].bits) & PT_NO_EXEC);

        if (level == PT_LEVELS)
            address |= 0xffff000000000000;
        if (pt_entry_is_page(table[i], level))
            look_at(walk, address, table[i], level, mine);
        else if (pt_entry_is_table(table[i], level) && pt_entry_paddr(table[i]).v != kernel_root.v)
            walk_table(walk, pt_entry_paddr(table[i]), level - 1, address, mine);
    }
}

static void test_w_xor_x(void)
{
    struct walk walk = {0};

    walk_table(&walk, paddr(cr3_read() & PT_FRAME_MASK), PT_LEVELS, 0, PT_WRITE | PT_USER);
    EXPECT(walk.pages > (uint64_t)(text_end - image_start) / PAGE_SIZE);
    EXPECT(walk.writable_code == 0);
    EXPECT(walk.writable_text == 0);
    EXPECT(walk.user == 0);
}

static void test_identity_is_gone(void)
{
    const struct pt_entry *root = host_at(paddr(cr3_read() & PT_FRAME_MASK));

    for (unsigned i = 0; i < PT_ENTRIES / 2; i++)
        EXPECT(pt_entry_empty(root[i]));
}

/* ------------------------------------------------------------------------------- faults in the kernel */

static void write_byte(void *at)
{
    *(volatile char *)at = 1;
}

static void read_byte(void *at)
{
    (void)*(volatile char *)at;
}

static void call(void *at)
{
    ((void (*)(void))at)();
}

static bool faults_with(void (*function)(void *), uint64_t at, uint64_t error)
{
    struct trap_expect fault;

    return trap_try(function, (void *)at, &fault) && fault.vector == PAGE_FAULT && fault.error == error &&
           fault.address == at;
}

static void test_text_is_read_only(void)
{
    uint64_t alias = PHYS_OFFSET + host_paddr(image_start).v;

    EXPECT(faults_with(write_byte, (uint64_t)test_text_is_read_only, ERROR_PRESENT | ERROR_WRITE));
    EXPECT(faults_with(write_byte, (uint64_t)test_boot_info->loader, ERROR_PRESENT | ERROR_WRITE));
    EXPECT(faults_with(write_byte, alias, ERROR_PRESENT | ERROR_WRITE));
}

static void test_no_execute(void)
{
    static uint8_t code[] = {0xc3}; /* ret */

    EXPECT(cpu_features.nx);
    EXPECT(faults_with(call, (uint64_t)code, ERROR_PRESENT | ERROR_FETCH));
    EXPECT(faults_with(call, (uint64_t)host_at(host_paddr(image_start)), ERROR_PRESENT | ERROR_FETCH));
}

static void test_guard_page(void)
{
    uint64_t top = kstack_alloc();

    EXPECT(top != 0);
    write_byte((void *)(top - KSTACK_BYTES));
    EXPECT(kstack_is_guard(top - KSTACK_BYTES - 1));
    EXPECT(!kstack_is_guard(top - KSTACK_BYTES));
    EXPECT(faults_with(write_byte, top - KSTACK_BYTES - 1, ERROR_WRITE));
    kstack_free(top);
}

/* Deeper than any stack. */
static __attribute__((noinline)) uint64_t dive(volatile uint64_t *depth)
{
    volatile uint64_t here[64] = {*depth + 1};

    return *depth > UINT32_MAX ? 0 : dive(here) + here[0];
}

static void recurse(void *context)
{
    (void)dive(&(uint64_t){0});
}

/* The push of the page fault's frame faults again: the double fault comes in on a stack of its own. */
static void test_stack_overflow(void)
{
    struct trap_expect fault;

    EXPECT(trap_try(recurse, NULL, &fault));
    EXPECT(fault.vector == DOUBLE_FAULT || fault.vector == PAGE_FAULT);
    EXPECT(kstack_is_guard(fault.address));
}

static void divide(void *context)
{
    __asm__ volatile("xorl %%ecx, %%ecx; xorl %%edx, %%edx; divl %%ecx" ::"a"(1) : "ecx", "edx");
}

static void test_other_faults(void)
{
    struct trap_expect fault;

    EXPECT(trap_try(divide, NULL, &fault) && fault.vector == 0);
    EXPECT(trap_try(read_byte, (void *)NOT_CANONICAL, &fault) && fault.vector == PROTECTION);
    EXPECT(faults_with(read_byte, PAGE_SIZE, 0));
}

/* ------------------------------------------------------------------------------- user memory */

/* One user page with `byte` at its start, in a space that is active until the test's end. */
static struct space *user_page(uint8_t byte, unsigned access)
{
    struct space *space;
    struct space_map request = {
        .hint = vaddr(USER_PAGE), .length_bytes = PAGE_SIZE, .access = access, .flags = SPACE_FIXED};
    struct vaddr at;
    size_t done;

    if (space_create(&space) != ST_OK)
        return NULL;
    if (space_map(space, &request, &at) != ST_OK || space_write(space, at, &byte, 1, &done) != ST_OK ||
        space_fault(space, at, ACCESS_READ) != ST_OK) {
        space_unref(space);
        return NULL;
    }
    mmu_activate(space_mmu(space));
    return space;
}

static void user_page_done(struct space *space)
{
    mmu_activate(NULL);
    space_unref(space);
}

static void test_smap(void)
{
    EXPECT(cpu_features.smap);
    struct space *space = user_page(42, ACCESS_READ | ACCESS_WRITE);

    EXPECT(space != NULL);
    bool read_faults = faults_with(read_byte, USER_PAGE, ERROR_PRESENT);
    uint8_t byte = 0;
    int error = user_read(&byte, USER_PAGE, 1);

    user_page_done(space);
    EXPECT(read_faults);
    EXPECT(error == 0 && byte == 42);
}

static void test_smep(void)
{
    EXPECT(cpu_features.smep);
    struct space *space = user_page(0xc3, ACCESS_READ | ACCESS_WRITE | ACCESS_EXEC);

    EXPECT(space != NULL);
    bool call_faults = faults_with(call, USER_PAGE, ERROR_PRESENT | ERROR_FETCH);

    user_page_done(space);
    EXPECT(call_faults);
}

static void test_bad_pointers(void)
{
    static const uint64_t bad[] = {
        0, 8, USER_PAGE, SPACE_END - 8, SPACE_END, NOT_CANONICAL, KERNEL_BASE, PHYS_OFFSET, UINT64_MAX - 7};
    char bytes[64] = {0};

    for (unsigned i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        EXPECT(user_read(bytes, bad[i], 64) == -EFAULT);
        EXPECT(user_write(bad[i], bytes, 64) == -EFAULT);
        EXPECT(user_clear(bad[i], 64) == -EFAULT);
        EXPECT(user_read(bytes, bad[i], 1) == -EFAULT);
        EXPECT(user_write(bad[i], bytes, SIZE_MAX) == -EFAULT);
        EXPECT(user_read_string(bytes, bad[i], sizeof bytes) == -EFAULT);
        EXPECT(user_read_some(bytes, bad[i], 64) == 0);
        EXPECT(user_write_some(bad[i], bytes, 64) == 0);
    }
}

/* A copy that runs from a page that is there into one that is not tells exactly how far it came. */
static void test_partial_copy(void)
{
    struct space *space = user_page(1, ACCESS_READ | ACCESS_WRITE);
    char bytes[64];
    bool right = true;

    EXPECT(space != NULL);
    for (size_t left = 1; left < 40; left++) {
        uint64_t at = USER_PAGE + PAGE_SIZE - left;

        memset(bytes, 'x', sizeof bytes);
        right = right && user_write_some(at, bytes, sizeof bytes) == left;
        right = right && user_read_some(bytes, at, sizeof bytes) == left;
        right = right && user_read_string(bytes, at, sizeof bytes) == -EFAULT;
        right = right && user_read_string(bytes, at, left) == -ENAMETOOLONG;
    }
    user_page_done(space);
    EXPECT(right);
}

/* Every length and alignment, up to the end of the page; nothing behind the string's buffer is touched. */
static void test_strings_of_users(void)
{
    static char text[64], copy[64];
    struct space *space = user_page(0, ACCESS_READ | ACCESS_WRITE);
    bool right = true;

    EXPECT(space != NULL);
    for (size_t length = 0; length < 40; length++) {
        for (size_t gap = 0; gap < 10; gap++) {
            uint64_t at = USER_PAGE + PAGE_SIZE - length - 1 - gap;

            memset(text, 'a' + (char)gap, length);
            text[length] = '\0';
            memset(copy, '#', sizeof copy);
            right = right && user_write(at, text, length + 1) == 0;
            right = right && user_read_string(copy, at, length + 1) == (long)length;
            right = right && strcmp(copy, text) == 0 && copy[length + 1] == '#';
            right = right && user_read_string(copy, at, sizeof copy) == (long)length;
            right = right && (length == 0 || user_read_string(copy, at, length) == -ENAMETOOLONG);
        }
    }
    user_page_done(space);
    EXPECT(right);
}

/* ------------------------------------------------------------------------------- the rest */

static void test_fpu_garbage(void)
{
    static uint8_t area[4096] __attribute__((aligned(64)));

    EXPECT(fpu_bytes() <= sizeof area);
    memset(area, 0xff, sizeof area);
    fpu_restore(area);
    fpu_init_area(area);
    fpu_restore(area);
    fpu_save(area);
    uint32_t mxcsr;

    __asm__ volatile("stmxcsr %0" : "=m"(mxcsr));
    EXPECT(mxcsr == 0x1f80);
}

static void test_time(void)
{
    uint64_t before = host_now_ns();
    uint64_t last = before;

    EXPECT(cpu_here()->tsc_hz > 1000000);
    EXPECT(time_boot_epoch_ns / 1000000000 > 1500000000);
    for (int i = 0; i < 1000; i++) {
        uint64_t now = host_now_ns();

        EXPECT(now >= last);
        last = now;
    }
    EXPECT(last > before);
}

static void test_timer_interrupt(void)
{
    uint64_t deadline = host_now_ns() + 2000000;

    timer_program(deadline);
    __asm__ volatile("sti; hlt; cli");
    uint64_t now = host_now_ns();

    EXPECT(now >= deadline);
    EXPECT(now < deadline + 1000000000);
}

/* Longer than the local APIC can count in one go (2^32 of its ticks); the clock's rate is refined on the way.
 */
static void test_long_timer(void)
{
    uint64_t start = host_now_ns();
    uint64_t deadline = start + 5000000000;

    timer_program(deadline);
    while (host_now_ns() < deadline)
        __asm__ volatile("sti; hlt; cli");
    EXPECT(host_now_ns() < deadline + 1000000000);
}

static void test_symbols(void)
{
    uint64_t offset = 0;
    const char *name = symbol_of((uint64_t)test_symbols + 1, &offset);

    EXPECT(name != NULL && strcmp(name, "test_symbols") == 0 && offset == 1);
    EXPECT(symbol_of(0, &offset) == NULL);
    EXPECT(symbol_of((uint64_t)rodata_end, &offset) == NULL);
}

static int thread_ran;

static void thread(void *context)
{
    thread_ran += *(int *)context;
}

static void test_kernel_thread(void)
{
    static int amount = 5;

    EXPECT(kthread_create("test", thread, &amount) != NULL);
    for (int i = 0; i < 100 && thread_ran == 0; i++)
        sched_yield();
    EXPECT(thread_ran == 5);
}

const struct kernel_test machine_tests[] = {
    {"no page of the kernel is writable and executable", test_w_xor_x},
    {"the identity map of the boot code is gone", test_identity_is_gone},
    {"a write to text or rodata faults, by every address", test_text_is_read_only},
    {"NX: a call into data faults", test_no_execute},
    {"the guard page below a kernel stack faults", test_guard_page},
    {"a kernel stack that overflows is caught", test_stack_overflow},
    {"other faults of the kernel are what they are", test_other_faults},
    {"SMAP: user memory is reached by user_read only", test_smap},
    {"SMEP: a call into user memory faults", test_smep},
    {"bad user pointers give EFAULT", test_bad_pointers},
    {"a copy that meets a bad page says how far it came", test_partial_copy},
    {"strings of users", test_strings_of_users},
    {"FPU: any state can be restored", test_fpu_garbage},
    {"time goes on", test_time},
    {"the timer interrupts at its deadline", test_timer_interrupt},
    {"a timer of five seconds", test_long_timer},
    {"symbols of functions", test_symbols},
    {"a kernel thread runs and ends", test_kernel_thread},
    {NULL, NULL},
};

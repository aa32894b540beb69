/*
 * Each `syscall` instruction of the C library becomes a jump: to a piece of code of its own (a *stub*), and
 * from there to the gate (gate.S), which makes the call or has it made. The library's functions call one
 * another, and wait for futexes, by instructions within them that no symbol leads to; this finds all of them.
 *
 * A jump has five bytes and the instruction two, so a neighbour moves into the stub: the `mov $number, %eax`
 * before it, or the comparison of the result behind it.
 *
 *      mov $0, %eax      jmp ----> mov $0, %eax
 *      syscall                     lea 1f(%rip), %rcx        (the kernel destroys rcx and r11: they are free)
 *      cmp $-4096, %rax <--.       jmp *gate
 *                          |       .quad (where it goes on)
 *                          |    1: syscall
 *                          '------ jmp
 *
 * Nothing may jump to the middle of what is overwritten. So instructions are told from data exactly: by their
 * lengths (length.h), from the beginning of the function that the unwinding table names; and every jump of
 * the library that could lead there is looked at. What cannot be changed stays as it is, and is counted; with
 * Debian's C library these are `abort`, `exit`, and calls that take no memory of the program's.
 *
 * The return from a signal's handler is not touched: debuggers and unwinders know its bytes.
 */
#include "gate.h"

#include <elf.h>
#include <link.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "length.h"

extern void gate(void); /* gate.S */

enum { MOST_SITES = 1024, STUB_BYTES = 48, JUMP_BYTES = 5, SYSCALL_BYTES = 2 };
#define NEAR ((uintptr_t)1 << 30) /* a jump reaches 2 GiB */
#define STEP ((uintptr_t)1 << 20)

struct site {
    uint32_t at;    /* in the code */
    uint8_t before; /* bytes of the neighbour that can move: the one before, or 0 */
    uint8_t behind; /* ... the one behind */
};

struct object {
    const char *name;
    uint8_t *code; /* its executable segment */
    size_t bytes;
    const uint8_t *table; /* .eh_frame_hdr */
    struct site *sites;
    uint32_t count;
    uint8_t *taken; /* a bit for each byte of code that is overwritten, but for the first ones */
};

/* ------------------------------------------------------------------ functions */

struct table_entry {
    int32_t function, entry; /* from the table's beginning */
};

/* Linux Standard Base 5, core, 10.6.2: version, three encodings, then as encoded here a pointer, a count, and
 * a sorted table. */
static bool table_is_known(const uint8_t *table)
{
    static const uint8_t known[] = {1, 0x1b, 0x03, 0x3b};

    return memcmp(table, known, sizeof(known)) == 0;
}

/* The function that has the byte; NULL: none. */
static const uint8_t *function_of(const struct object *object, const uint8_t *byte)
{
    const struct table_entry *entries = (const struct table_entry *)(const void *)(object->table + 12);
    uint32_t count, low = 0, high;

    memcpy(&count, object->table + 8, sizeof(count));
    for (high = count; low < high;) {
        uint32_t middle = low + (high - low) / 2;

        if (object->table + entries[middle].function <= byte)
            low = middle + 1;
        else
            high = middle;
    }
    return low > 0 ? object->table + entries[low - 1].function : NULL;
}

/* Does an instruction begin there? *previous: the one before, NULL if it is the function's first. */
static bool is_instruction(const struct object *object, const uint8_t *code, const uint8_t **previous)
{
    const uint8_t *at = function_of(object, code), *end = object->code + object->bytes;

    *previous = NULL;
    while (at && at < code) {
        unsigned length = instruction_length(at, (size_t)(end - at));

        if (length == 0)
            return false;
        *previous = at;
        at += length;
    }
    return at == code;
}

/* ------------------------------------------------------------------ sites */

static uint8_t movable_before(const uint8_t *site, const uint8_t *previous)
{
    return previous && site - previous == 5 && previous[0] == 0xb8 ? 5 : 0; /* mov $number, %eax */
}

/* A comparison of eax or rax with a constant: it is the same anywhere. */
static uint8_t movable_behind(const uint8_t *next)
{
    bool wide = next[0] == 0x48;
    const uint8_t *opcode = next + wide;

    if (opcode[0] == 0x3d)
        return (uint8_t)(5 + wide);
    return opcode[0] == 0x83 && opcode[1] == 0xf8 ? (uint8_t)(3 + wide) : 0;
}

static void take(struct object *object, uint32_t from, uint32_t to)
{
    for (; from < to; from++)
        object->taken[from / 8] |= (uint8_t)(1 << (from % 8));
}

static bool is_taken(const struct object *object, uint64_t at)
{
    return at < object->bytes && (object->taken[at / 8] >> (at % 8) & 1);
}

static void find_sites(struct object *object, struct sites *sites)
{
    for (uint32_t at = 0; at + INSTRUCTION_LONGEST < object->bytes && object->count < MOST_SITES; at++) {
        const uint8_t *code = object->code + at, *previous;
        struct site *site = &object->sites[object->count];

        if (code[0] != 0x0f || code[1] != 0x05 || !is_instruction(object, code, &previous))
            continue;
        sites->found++;
        *site = (struct site){at, movable_before(code, previous), movable_behind(code + SYSCALL_BYTES)};
        if (!site->before && !site->behind)
            continue;
        take(object, at - site->before + 1, at + SYSCALL_BYTES + site->behind);
        object->count++;
    }
}

/* Where a jump that begins at these bytes would lead; 0: no jump. */
static uint64_t target_of(const uint8_t *code, uint64_t at)
{
    int32_t far;

    if (code[0] == 0xeb || (code[0] & 0xf0) == 0x70 || (code[0] & 0xfc) == 0xe0)
        return at + 2 + (uint64_t)(int64_t)(int8_t)code[1];
    if ((code[0] & 0xfe) == 0xe8) {
        memcpy(&far, code + 1, sizeof(far));
        return at + 5 + (uint64_t)(int64_t)far;
    }
    if (code[0] == 0x0f && (code[1] & 0xf0) == 0x80) {
        memcpy(&far, code + 2, sizeof(far));
        return at + 6 + (uint64_t)(int64_t)far;
    }
    return 0;
}

/* A jump leads there: what would be overwritten stays. */
static void keep(struct object *object, uint64_t target)
{
    for (uint32_t i = 0; i < object->count; i++) {
        struct site *site = &object->sites[i];

        if (target <= site->at && target > site->at - site->before)
            site->before = 0;
        else if (target > site->at && target < site->at + SYSCALL_BYTES + site->behind)
            site->behind = 0;
    }
}

static void look_at_jumps(struct object *object)
{
    const uint8_t *previous;

    for (uint64_t at = 0; at + INSTRUCTION_LONGEST < object->bytes; at++) {
        uint64_t target = target_of(object->code + at, at);

        if (target > 0 && is_taken(object, target) && is_instruction(object, object->code + at, &previous))
            keep(object, target);
    }
}

/* ------------------------------------------------------------------ stubs */

static uint8_t *put(uint8_t *to, const void *bytes, size_t count)
{
    memcpy(to, bytes, count);
    return to + count;
}

/* An instruction that ends in the distance to `target` from its own end. */
static uint8_t *put_relative(uint8_t *to, const char *opcode, size_t bytes, const void *target)
{
    int32_t distance;

    to = put(to, opcode, bytes);
    distance = (int32_t)((intptr_t)target - (intptr_t)(to + sizeof(distance)));
    return put(to, &distance, sizeof(distance));
}

/* The stub's pointer to the gate stands before all stubs. */
static void change_site(struct object *object, const struct site *site, uint8_t *stub, const void *pointer)
{
    uint8_t *code = object->code + site->at, *from = code - site->before, *tail;
    uint8_t *end = code + SYSCALL_BYTES + (site->before ? 0 : site->behind);
    uint8_t *at = put(stub, from, site->before);

    tail = at + 7 + 6 + sizeof(end);
    at = put_relative(at, "\x48\x8d\x0d", 3, tail);
    at = put_relative(at, "\xff\x25", 2, pointer);
    at = put(at, &end, sizeof(end));
    at = put(at, code, (size_t)(end - code));
    put_relative(at, "\xe9", 1, end);
    at = put_relative(from, "\xe9", 1, stub);
    memset(at, 0x90, (size_t)(end - at));
}

/* Near the code, so that jumps reach it. */
static uint8_t *near_memory(const uint8_t *code, size_t bytes)
{
    for (uintptr_t at = (uintptr_t)code & ~(STEP - 1), least = at - NEAR; at > least; at -= STEP) {
        void *memory = raw_mmap((void *)at, bytes, PROT_READ | PROT_WRITE,
                                MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);

        if (memory == (void *)at)
            return memory;
        if (memory != MAP_FAILED)
            raw_munmap(memory, bytes);
    }
    return NULL;
}

/* Not by a function of the C library's: its calls may lead there already. */
static bool make_executable(const void *start, size_t bytes)
{
    const uint64_t words[6] = {(uintptr_t)start, bytes, PROT_READ | PROT_EXEC};

    return gate_make(SYS_mprotect, words) == 0;
}

static bool change_all(struct object *object, struct sites *sites)
{
    size_t bytes = whole_pages(((size_t)object->count + 1) * STUB_BYTES);
    uint8_t *stubs = near_memory(object->code, bytes), *stub = stubs;
    void (*target)(void) = gate;

    if (!stubs || raw_mprotect(object->code, object->bytes, PROT_READ | PROT_WRITE | PROT_EXEC) != 0)
        return false;
    memcpy(stubs, &target, sizeof(target));
    for (uint32_t i = 0; i < object->count; i++) {
        const struct site *site = &object->sites[i];

        if (site->before == 0 && SYSCALL_BYTES + site->behind < JUMP_BYTES)
            continue;
        stub += STUB_BYTES;
        change_site(object, site, stub, stubs);
        sites->changed++;
    }
    return make_executable(stubs, bytes) && make_executable(object->code, object->bytes);
}

/* ------------------------------------------------------------------ objects */

static bool change_object(struct object *object, struct sites *sites)
{
    size_t bytes = whole_pages(object->bytes / 8 + 1 + MOST_SITES * sizeof(*object->sites));
    uint8_t *memory = raw_mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    bool changed;

    if (memory == MAP_FAILED)
        return false;
    object->sites = (struct site *)(void *)memory;
    object->taken = memory + MOST_SITES * sizeof(*object->sites);
    find_sites(object, sites);
    look_at_jumps(object);
    changed = object->count > 0 && change_all(object, sites);
    raw_munmap(memory, bytes);
    return changed;
}

static int visit(struct dl_phdr_info *info, size_t size, void *context)
{
    struct object *object = context;
    size_t length = strlen(info->dlpi_name), wanted = strlen(object->name);

    if (length <= wanted || strcmp(info->dlpi_name + length - wanted, object->name) != 0 ||
        info->dlpi_name[length - wanted - 1] != '/')
        return 0;
    for (unsigned i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *header = &info->dlpi_phdr[i];
        uint8_t *start = (uint8_t *)info->dlpi_addr + header->p_vaddr;

        if (header->p_type == PT_LOAD && (header->p_flags & PF_X) && !object->code) {
            object->code = start;
            object->bytes = header->p_memsz;
        } else if (header->p_type == PT_GNU_EH_FRAME) {
            object->table = start;
        }
    }
    return 1;
}

bool sites_change(struct sites *sites)
{
#ifdef __x86_64__
    static const char *const names[] = {"libc.so.6", "ld-linux-x86-64.so.2"};

    for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        struct object object = {.name = names[i]};

        dl_iterate_phdr(visit, &object);
        if (!object.code || !object.table || !table_is_known(object.table) || !change_object(&object, sites))
            return false;
    }
    return true;
#else
    return false;
#endif
}

/*
 * x86-64: loading tables, flushing, accesses. Traps are those of x86_64.S: a trap ends an access.
 */
#include "guest.h"

enum { VECTOR_DONE = 0x80, VECTORS = 32 };
enum { CODE_SEGMENT = 0x08, TSS_SEGMENT = 0x28, GATE = 0x8e00, GATE_FOR_USER = 0xee00 };
#define CR4_PGE ((uint64_t)1 << 7)
#define CR4_PKE ((uint64_t)1 << 22)

void access_supervisor(uint64_t address, uint64_t value, void (*code)(void));
void access_user(uint64_t address, uint64_t value, void (*code)(void));
void code_read_supervisor(void);
void code_write_supervisor(void);
void code_read_user(void);
void code_write_user(void);
_Noreturn void guest_start(void);
_Noreturn void guest_panic(void);
extern uint64_t gdt[7], gate_addresses[VECTORS + 1];
extern char stack_top[], trap_stack_top[];
extern uint64_t trap_vector, trap_code, trap_rip, trap_cr2, trap_rax;

struct gate {
    uint16_t low, segment, type, middle;
    uint32_t high, reserved;
};
static struct gate idt[256];

static struct __attribute__((packed)) {
    uint32_t reserved_0;
    uint64_t rsp0, rsp1, rsp2, reserved_1, ist[7], reserved_2;
    uint16_t reserved_3, io_map;
} tss;

static struct scene *const the_scene = (struct scene *)(uintptr_t)SCENE_OFFSET;

static void set_gate(unsigned vector, uint64_t address, unsigned type)
{
    idt[vector] = (struct gate){.low = (uint16_t)address,
                                .segment = CODE_SEGMENT,
                                .type = (uint16_t)type,
                                .middle = (uint16_t)(address >> 16),
                                .high = (uint32_t)(address >> 32)};
}

static void load_traps(void)
{
    struct __attribute__((packed)) {
        uint16_t limit;
        uint64_t base;
    } pointer = {sizeof idt - 1, (uintptr_t)idt};
    uint64_t base = (uintptr_t)&tss;

    for (unsigned i = 0; i < VECTORS; i++)
        set_gate(i, gate_addresses[i], GATE);
    set_gate(VECTOR_DONE, gate_addresses[VECTORS], GATE_FOR_USER);
    tss.rsp0 = (uintptr_t)trap_stack_top;
    tss.io_map = sizeof tss;
    gdt[5] = (sizeof tss - 1) | (base & 0xffffff) << 16 | (uint64_t)0x89 << 40 | (base >> 24 & 0xff) << 56;
    gdt[6] = base >> 32;
    __asm__ volatile("lidt %0; ltr %w1" ::"m"(pointer), "r"(TSS_SEGMENT));
}

_Noreturn void guest_start(void)
{
    load_traps();
    guest_main(the_scene);
}

_Noreturn void guest_panic(void)
{
    the_scene->panic[1] = trap_code;
    the_scene->panic[2] = trap_cr2;
    the_scene->panic[3] = trap_rip;
    __atomic_store_n(&the_scene->panic[0], trap_vector + 1, __ATOMIC_RELEASE);
    for (;;)
        guest_pause();
}

void guest_pause(void)
{
    __asm__ volatile("pause");
}

static uint64_t read_cr4(void)
{
    uint64_t cr4;

    __asm__ volatile("mov %%cr4, %0" : "=r"(cr4));
    return cr4;
}

static void write_cr4(uint64_t cr4)
{
    __asm__ volatile("mov %0, %%cr4" ::"r"(cr4) : "memory");
}

void guest_load(const struct scene *scene)
{
    uint64_t root;

    __asm__ volatile("mov %%cr3, %0" : "=r"(root));
    if (root != scene->control[0])
        __asm__ volatile("mov %0, %%cr3" ::"r"(scene->control[0]) : "memory");
    if (read_cr4() != scene->control[1])
        write_cr4(scene->control[1]);
    if (scene->control[1] & CR4_PKE)
        __asm__ volatile("wrpkru" ::"a"((uint32_t)scene->control[2]), "c"(0), "d"(0));
}

/* INVLPG takes global pages and entries of tables with it, too; CR4.PGE takes everything (Intel SDM vol.
 * 3A, 4.10.4.1). What was not present is in no cache (4.10.2.3). */
void guest_flush(const struct scene_flush *flush)
{
    if (flush->kind == SCENE_FLUSH_NEW)
        return;
    if (flush->kind == SCENE_FLUSH_ALL || flush->pages > SCENE_FLUSH_PAGES_MAX) {
        write_cr4(read_cr4() & ~CR4_PGE);
        write_cr4(the_scene->control[1]);
        return;
    }
    for (uint64_t i = 0; i < flush->pages; i++)
        __asm__ volatile("invlpg (%0)" ::"r"(flush->start + i * 4096) : "memory");
}

void guest_probe(struct probe *probe)
{
    void (*code)(void) = (void (*)(void))(uintptr_t)probe->address;

    if (probe->access == PROBE_READ)
        code = probe->user ? code_read_user : code_read_supervisor;
    else if (probe->access == PROBE_WRITE)
        code = probe->user ? code_write_user : code_write_supervisor;
    (probe->user ? access_user : access_supervisor)(probe->address, probe->value, code);
    probe->got = trap_rax;
    probe->cause = trap_vector;
    probe->code = trap_code;
    probe->at = trap_cr2;
    probe->outcome = trap_vector == VECTOR_DONE ? PROBE_DONE : PROBE_FAULT;
}

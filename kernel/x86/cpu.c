/*
 * Setting a CPU up: its features, control registers, segments, task state segment, per-CPU data.
 *
 * Intel SDM vol. 3A, 2.5 (control registers), 3.4.5 (descriptors), 7.7 (64-bit TSS), vol. 2A CPUID.
 */
#include <cpuid.h>

#include "host/host.h"
#include "kernel/klib.h"
#include "kernel/x86/fpu.h"
#include "kernel/x86/offsets.h"
#include "kernel/x86/x86.h"

_Static_assert(offsetof(struct cpu, kernel_stack) == CPU_KERNEL_STACK, "offsets.h");
_Static_assert(offsetof(struct cpu, user_stack) == CPU_USER_STACK, "offsets.h");
_Static_assert(offsetof(struct cpu, task) == CPU_TASK, "offsets.h");
_Static_assert(offsetof(struct cpu, work) == CPU_WORK, "offsets.h");
_Static_assert(offsetof(struct cpu, number) == CPU_NUMBER, "offsets.h and host_cpu()");
_Static_assert(offsetof(struct cpu, fault_rip) == CPU_FAULT_RIP, "offsets.h and cpu_note_fault()");
_Static_assert(offsetof(struct trap_frame, r11) == FRAME_R11 &&
                   offsetof(struct trap_frame, rax) == FRAME_RAX &&
                   offsetof(struct trap_frame, rdi) == FRAME_RDI &&
                   offsetof(struct trap_frame, vector) == FRAME_VECTOR &&
                   offsetof(struct trap_frame, rip) == FRAME_RIP &&
                   offsetof(struct trap_frame, rsp) == FRAME_RSP,
               "offsets.h");

enum {
    CR0_MP = 1 << 1,
    CR0_EM = 1 << 2,
    CR0_TS = 1 << 3,
    CR0_NE = 1 << 5,
    CR0_WP = 1 << 16,
};

enum {
    CR4_PGE = 1 << 7,
    CR4_OSFXSR = 1 << 9,
    CR4_OSXMMEXCPT = 1 << 10,
    CR4_UMIP = 1 << 11,
    CR4_FSGSBASE = 1 << 16,
    CR4_PCIDE = 1 << 17,
    CR4_OSXSAVE = 1 << 18,
    CR4_SMEP = 1 << 20,
    CR4_SMAP = 1 << 21,
};

enum { MSR_KERNEL_GS_BASE = 0xc0000102, MSR_FS_BASE = 0xc0000100 };

/* Segment descriptors: present, code or data, 64 bits; the limits mean nothing. */
#define GDT_KERNEL_CODE 0x00af9b000000ffff
#define GDT_KERNEL_DATA 0x00cf93000000ffff
#define GDT_USER_CODE32 0x00cffb000000ffff
#define GDT_USER_DATA 0x00cff3000000ffff
#define GDT_USER_CODE 0x00affb000000ffff
#define GDT_TSS_AVAILABLE ((uint64_t)0x89 << 40)

struct __attribute__((packed)) tss {
    uint32_t reserved0;
    uint64_t rsp[3];
    uint64_t reserved1;
    uint64_t ist[7];
    uint64_t reserved2;
    uint16_t reserved3;
    uint16_t io_map;
};
_Static_assert(sizeof(struct tss) == 104, "SDM vol. 3A, figure 7-11");

struct __attribute__((packed)) table_pointer {
    uint16_t limit;
    uint64_t base;
};

/* What one CPU needs beside struct cpu. */
struct cpu_tables {
    uint64_t gdt[8];
    struct tss tss;
};

enum { IST_COUNT = 3 }; /* double fault, NMI, machine check: trap.c says which is which */

struct cpu cpus[HOST_MAX_CPUS];
struct cpu_features cpu_features;
static struct cpu_tables tables[1];
static uint8_t ist_stacks[IST_COUNT][IST_STACK_BYTES] __attribute__((aligned(IST_STACK_BYTES)));

extern uint64_t smap_sites_start[], smap_sites_end[];

static void read_features(struct cpu_features *f)
{
    uint32_t a, b, c, d;

    __cpuid(1, a, b, c, d);
    f->pcid = (c & 1u << 17) != 0;
    f->xsave = (c & 1u << 26) != 0;
    f->avx = (c & 1u << 28) != 0;
    f->pge = (d & 1u << 13) != 0;
    if (__get_cpuid_count(7, 0, &a, &b, &c, &d)) {
        f->fsgsbase = (b & 1u << 0) != 0;
        f->smep = (b & 1u << 7) != 0;
        f->erms = (b & 1u << 9) != 0;
        f->invpcid = (b & 1u << 10) != 0;
        f->smap = (b & 1u << 20) != 0;
        f->umip = (c & 1u << 2) != 0;
    }
    if (__get_cpuid(0x80000001, &a, &b, &c, &d)) {
        f->nx = (d & 1u << 20) != 0;
        f->giant_pages = (d & 1u << 26) != 0;
    }
    f->physical_bits = __get_cpuid(0x80000008, &a, &b, &c, &d) ? a & 0xff : 36;
}

/* STAC and CLAC are undefined without SMAP: a NOP of three bytes takes their places. The boot tables still
 * let the text be written. */
static void patch_smap_sites(void)
{
    static const uint8_t nop[3] = {0x0f, 0x1f, 0x00};

    for (uint64_t *site = smap_sites_start; site < smap_sites_end; site++)
        memcpy((void *)*site, nop, sizeof nop);
}

static void control_registers_init(const struct cpu_features *f)
{
    uint64_t cr4 = cr4_read() | CR4_OSFXSR | CR4_OSXMMEXCPT;

    cr0_write((cr0_read() & ~(uint64_t)(CR0_EM | CR0_TS)) | CR0_MP | CR0_NE | CR0_WP);
    cr4 |= f->pge ? CR4_PGE : 0;
    cr4 |= f->umip ? CR4_UMIP : 0;
    cr4 |= f->fsgsbase ? CR4_FSGSBASE : 0;
    cr4 |= f->pcid ? CR4_PCIDE : 0;
    cr4 |= f->xsave ? CR4_OSXSAVE : 0;
    cr4 |= f->smep ? CR4_SMEP : 0;
    cr4 |= f->smap ? CR4_SMAP : 0;
    cr4_write(cr4);
}

static void segments_init(struct cpu *cpu, struct cpu_tables *t)
{
    uint64_t base = (uint64_t)&t->tss;
    uint64_t limit = sizeof t->tss - 1;

    t->gdt[SEL_KERNEL_CODE / 8] = GDT_KERNEL_CODE;
    t->gdt[SEL_KERNEL_DATA / 8] = GDT_KERNEL_DATA;
    t->gdt[SEL_USER_CODE32 / 8] = GDT_USER_CODE32;
    t->gdt[SEL_USER_DATA / 8] = GDT_USER_DATA;
    t->gdt[SEL_USER_CODE / 8] = GDT_USER_CODE;
    t->gdt[SEL_TSS / 8] = GDT_TSS_AVAILABLE | limit | (base & 0xffffff) << 16 | (base >> 24 & 0xff) << 56;
    t->gdt[SEL_TSS / 8 + 1] = base >> 32;
    t->tss.io_map = sizeof t->tss;
    for (unsigned i = 0; i < IST_COUNT; i++) {
        uint64_t *top = (uint64_t *)(ist_stacks[i] + IST_STACK_BYTES);

        top[-1] = (uint64_t)cpu; /* for trap_paranoid */
        t->tss.ist[i] = (uint64_t)(top - 2);
    }

    struct table_pointer pointer = {sizeof t->gdt - 1, (uint64_t)t->gdt};

    __asm__ volatile("lgdt %0" ::"m"(pointer));
    __asm__ volatile("ltr %w0" ::"r"(SEL_TSS));
}

void cpu_init(void)
{
    struct cpu *cpu = &cpus[0];

    read_features(&cpu_features);
    control_registers_init(&cpu_features);
    if (!cpu_features.smap)
        patch_smap_sites();
    segments_init(cpu, &tables[0]);
    cpu->self = cpu;
    wrmsr(MSR_GS_BASE, (uint64_t)cpu);
    wrmsr(MSR_KERNEL_GS_BASE, 0);
    fpu_init();
}

void cpu_set_kernel_stack(uint64_t top)
{
    struct cpu *cpu = cpu_here();

    cpu->kernel_stack = top;
    tables[0].tss.rsp[0] = top;
}

uint64_t fs_base_get(void)
{
    uint64_t base;

    if (!cpu_features.fsgsbase)
        return rdmsr(MSR_FS_BASE);
    __asm__ volatile("rdfsbase %0" : "=r"(base));
    return base;
}

void fs_base_set(uint64_t base)
{
    if (cpu_features.fsgsbase)
        __asm__ volatile("wrfsbase %0" ::"r"(base));
    else
        wrmsr(MSR_FS_BASE, base);
}

uint64_t user_gs_base_get(void)
{
    return rdmsr(MSR_KERNEL_GS_BASE);
}

void user_gs_base_set(uint64_t base)
{
    wrmsr(MSR_KERNEL_GS_BASE, base);
}

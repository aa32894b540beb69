/*
 * The machine: registers, traps, per-CPU data. Intel SDM vol. 3A chapters 2 to 6.
 *
 * The kernel runs with interrupts off, except in the idle loop; user code runs with them on. So kernel code
 * is never interrupted and switches tasks only where it calls sched_*() or sleeps (docs/LOCKING.md).
 */
#ifndef KERNEL_X86_H
#define KERNEL_X86_H

#include "quire/types.h"

struct task;

/* What every entry into the kernel pushes, at the top of the task's kernel stack. After a system call
 * `vector` is TRAP_SYSCALL and `error` the number of the call. Such a frame may return by SYSRET, which gives
 * the user rip, rflags, rsp, rax, rdx, rsi, rdi, r8, r9 and r10 of the frame and leaves the others as they
 * were: whoever changes more (exec, sigreturn, a fork child's frame) sets `vector` to TRAP_FULL, and the
 * return restores everything. */
struct trap_frame {
    uint64_t r15, r14, r13, r12, rbp, rbx, r11, r10, r9, r8, rax, rcx, rdx, rsi, rdi;
    uint64_t vector;
    uint64_t error;
    uint64_t rip, cs, rflags, rsp, ss;
};
_Static_assert(sizeof(struct trap_frame) == 22 * 8, "entry.S pushes this");

enum { TRAP_SYSCALL = 256, TRAP_FULL = 257 };

enum selector {
    SEL_KERNEL_CODE = 0x08,
    SEL_KERNEL_DATA = 0x10,
    SEL_USER_CODE32 = 0x18 | 3, /* only there because sysret wants it */
    SEL_USER_DATA = 0x20 | 3,
    SEL_USER_CODE = 0x28 | 3,
    SEL_TSS = 0x30
};

/* Reached through GS in the kernel. The offsets of the first fields are known to entry.S. */
struct cpu {
    struct cpu *self;      /* 0 */
    uint64_t kernel_stack; /* 8: top of the current task's */
    uint64_t user_stack;   /* 16: scratch of the system-call entry */
    struct task *task;     /* 24: the one that runs */
    uint64_t work;         /* 32: not 0: look at work_pending() before returning to user mode */
    unsigned number;
    struct task *idle;
    struct host_mmu *mmu; /* whose tables are in CR3 */
    uint64_t tsc_hz;
    uint64_t fault_rip; /* 72: where user mode went on after the last page fault */
};
extern struct cpu cpus[];

static inline struct cpu *cpu_here(void)
{
    struct cpu *cpu;
    __asm__("movq %%gs:0, %0" : "=r"(cpu));
    return cpu;
}

static inline struct task *task_current(void)
{
    struct task *task;
    __asm__ volatile("movq %%gs:24, %0" : "=r"(task));
    return task;
}

static inline void cpu_note_fault(uint64_t rip)
{
    __asm__ volatile("movq %0, %%gs:72" ::"r"(rip));
}

struct cpu_features {
    bool nx, smep, smap, umip, pcid, invpcid, pge, giant_pages, fsgsbase, xsave, avx, erms;
    unsigned physical_bits;
    uint32_t xsave_bytes;
    uint64_t xcr0;
};
extern struct cpu_features cpu_features;

/* ---- setting up (kernel/x86/cpu.c, trap.c, time.c) */
void cpu_init(void);   /* features, CR0/CR4/EFER, GDT, TSS, GS base, FPU */
void traps_init(void); /* IDT, SYSCALL MSRs */
void time_init(void);  /* calibrates the TSC, starts the local APIC; reads the RTC */

/* ---- traps */
typedef void irq_handler(void *context);
/* A free vector of the local APIC (for MSI-X) that calls handler(context) with interrupts off; 0 when all are
 * taken. */
unsigned irq_allocate(irq_handler *handler, void *context);
/* MSI message for that vector on this CPU. */
uint64_t irq_msi_address(void);
/* The next one-shot timer interrupt at this host_now_ns() time (UINT64_MAX: none). Calls timer_tick(). */
void timer_program(uint64_t deadline_ns);
/* Seconds and nanoseconds since 1970 at host_now_ns() == 0. */
extern uint64_t time_boot_epoch_ns;

/* ---- tasks */
/* Save the callee-saved registers on prev's stack, continue on next's: from rsp upwards six words for r15,
 * r14, r13, r12, rbx, rbp (r15 lowest), then the return address. */
void context_switch(uint64_t *save_rsp, uint64_t next_rsp);
/* Where the next entry from user mode puts its trap frame: cpu->kernel_stack and RSP0 of the TSS. */
void cpu_set_kernel_stack(uint64_t top);
/* First code of a new task: context_switch() "returns" here, with rsp at the trap frame; calls
 * task_started(), then returns to user mode by that frame (looking at cpu->work first). Kernel threads begin
 * with kthread_enter, which calls task_started() and then kthread_main(). */
extern char task_enter_user[], kthread_enter[];
/* Leave for user mode with everything that the frame says (used by exec and sigreturn through the normal
 * return). */
_Noreturn void trap_return(struct trap_frame *frame);

/* Kernel stacks: KSTACK_BYTES mapped below `top`, an unmapped guard page below them. 0 without memory. Kept
 * for reuse. */
#define KSTACK_BYTES ((uint64_t)16384)
uint64_t kstack_alloc(void); /* returns the top */
void kstack_free(uint64_t top);
/* kstack_alloc() has failed: was it for the number of stacks, which has a limit, and not for memory? */
bool kstack_all_used(void);

/* FPU/SSE/AVX state of user code: saved on a task switch and in signal frames. 64-byte aligned, fpu_bytes()
 * long. */
size_t fpu_bytes(void);
void fpu_init_area(void *area);
void fpu_save(void *area);
void fpu_restore(void *area); /* a state that user code has made; invalid bits are dropped, never #GP */

uint64_t fs_base_get(void);
void fs_base_set(uint64_t base);
uint64_t user_gs_base_get(void); /* what GS's base is in user mode */
void user_gs_base_set(uint64_t base);

/* Load CR3 for this space; keeps the translations where PCIDs allow. NULL: the kernel's own tables, with
 * nothing in the user half. kernel/mm/mmu.c */
void mmu_activate(struct host_mmu *mmu);

/* ---- user memory: the one place where the kernel touches it (kernel/x86/uaccess.S, uaccess.c) */
/* 0, or -EFAULT; a fault in the middle is served by space_fault() and may sleep. Never panics, for any
 * pointer. */
MUST_USE int user_read(void *to, uint64_t user_from, size_t bytes);
MUST_USE int user_write(uint64_t user_to, const void *from, size_t bytes);
MUST_USE int user_clear(uint64_t user_to, size_t bytes);
/* Length of the string without its NUL, copied with it; -EFAULT, or -ENAMETOOLONG when no NUL within `size`.
 */
MUST_USE long user_read_string(char *to, uint64_t user_from, size_t size);
/* Bytes actually copied before a fault (for read/write that return short counts). */
size_t user_read_some(void *to, uint64_t user_from, size_t bytes);
size_t user_write_some(uint64_t user_to, const void *from, size_t bytes);

/* ---- small instructions */
static inline void outb(uint16_t port, uint8_t value)
{
    __asm__ volatile("outb %0, %1" ::"a"(value), "Nd"(port));
}
static inline void outw(uint16_t port, uint16_t value)
{
    __asm__ volatile("outw %0, %1" ::"a"(value), "Nd"(port));
}
static inline void outl(uint16_t port, uint32_t value)
{
    __asm__ volatile("outl %0, %1" ::"a"(value), "Nd"(port));
}
static inline uint8_t inb(uint16_t port)
{
    uint8_t v;
    __asm__ volatile("inb %1, %0" : "=a"(v) : "Nd"(port));
    return v;
}
static inline uint16_t inw(uint16_t port)
{
    uint16_t v;
    __asm__ volatile("inw %1, %0" : "=a"(v) : "Nd"(port));
    return v;
}
static inline uint32_t inl(uint16_t port)
{
    uint32_t v;
    __asm__ volatile("inl %1, %0" : "=a"(v) : "Nd"(port));
    return v;
}
static inline uint64_t rdtsc(void)
{
    uint32_t lo, hi;
    __asm__ volatile("rdtsc" : "=a"(lo), "=d"(hi));
    return ((uint64_t)hi << 32) | lo;
}
static inline uint64_t rdmsr(uint32_t msr)
{
    uint32_t lo, hi;
    __asm__ volatile("rdmsr" : "=a"(lo), "=d"(hi) : "c"(msr));
    return ((uint64_t)hi << 32) | lo;
}
static inline void wrmsr(uint32_t msr, uint64_t v)
{
    __asm__ volatile("wrmsr" ::"c"(msr), "a"((uint32_t)v), "d"((uint32_t)(v >> 32)));
}
static inline uint64_t cr2_read(void)
{
    uint64_t v;
    __asm__ volatile("movq %%cr2, %0" : "=r"(v));
    return v;
}
static inline uint64_t cr3_read(void)
{
    uint64_t v;
    __asm__ volatile("movq %%cr3, %0" : "=r"(v));
    return v;
}
static inline void cr3_write(uint64_t v)
{
    __asm__ volatile("movq %0, %%cr3" ::"r"(v) : "memory");
}
static inline uint64_t cr4_read(void)
{
    uint64_t v;
    __asm__ volatile("movq %%cr4, %0" : "=r"(v));
    return v;
}
static inline void cr4_write(uint64_t v)
{
    __asm__ volatile("movq %0, %%cr4" ::"r"(v) : "memory");
}
static inline uint64_t cr0_read(void)
{
    uint64_t v;
    __asm__ volatile("movq %%cr0, %0" : "=r"(v));
    return v;
}
static inline void cr0_write(uint64_t v)
{
    __asm__ volatile("movq %0, %%cr0" ::"r"(v) : "memory");
}
static inline void invlpg(uint64_t a)
{
    __asm__ volatile("invlpg (%0)" ::"r"(a) : "memory");
}

/* ---- end */
/* What the kernel tells QEMU's isa-debug-exit device; QEMU's own exit status is 2 * value + 1. Not 0: status
 * 1 is what QEMU itself fails with. */
enum machine_status {
    MACHINE_DONE = 1,   /* the program has ended (its status went over the link), or every test passed */
    MACHINE_FAILED = 2, /* a kernel test failed */
    MACHINE_PANIC = 3,
    MACHINE_CANNOT_BOOT = 4 /* too little memory, no program, ...: COM1's last line says why */
};
/* Leaves QEMU; without isa-debug-exit: resets, or halts. */
_Noreturn void machine_exit(uint8_t status);
/* Prints registers and a symbolised backtrace, and leaves with a status that is not 0. */
_Noreturn void panic_at(const struct trap_frame *frame, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#endif

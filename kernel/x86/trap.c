/*
 * What a trap is turned into: page faults into space_fault(), other faults of programs into signals,
 * interrupts into calls of their handlers, faults of the kernel into a fixup or a panic.
 */
#include <asm/siginfo.h>
#include <asm/signal.h>

#include "kernel/mm/events.h"
#include "kernel/mm/kernel_map.h"
#include "kernel/task/task.h"
#include "kernel/x86/offsets.h"
#include "kernel/x86/trap.h"
#include "quire/reclaim.h"

enum {
    TRAP_DIVIDE = 0,
    TRAP_DEBUG = 1,
    TRAP_NMI = 2,
    TRAP_BREAKPOINT = 3,
    TRAP_OVERFLOW = 4,
    TRAP_BOUND = 5,
    TRAP_INVALID_OPCODE = 6,
    TRAP_DOUBLE_FAULT = 8,
    TRAP_SEGMENT = 11,
    TRAP_STACK = 12,
    TRAP_PROTECTION = 13,
    TRAP_PAGE_FAULT = 14,
    TRAP_X87 = 16,
    TRAP_ALIGNMENT = 17,
    TRAP_MACHINE_CHECK = 18,
    TRAP_SIMD = 19
};

/* Bits of a page fault's error code. */
enum { FAULT_WRITE = 2, FAULT_USER = 4, FAULT_RESERVED = 8, FAULT_FETCH = 16 };

enum { GATE_PRESENT = 0x80, GATE_USER = 0x60, GATE_INTERRUPT = 0x0e };

enum {
    MSR_EFER = 0xc0000080,
    MSR_STAR = 0xc0000081,
    MSR_LSTAR = 0xc0000082,
    MSR_FMASK = 0xc0000084,
    EFER_SCE = 1
};

/* Flags that SYSCALL clears: TF, IF, DF, NT, AC. */
enum { SYSCALL_FLAGS_CLEARED = 1 << 8 | 1 << 9 | 1 << 10 | 1 << 14 | 1 << 18 };

struct gate {
    uint16_t offset_low;
    uint16_t selector;
    uint8_t ist;
    uint8_t type;
    uint16_t offset_middle;
    uint32_t offset_high;
    uint32_t reserved;
};
_Static_assert(sizeof(struct gate) == 16, "SDM vol. 3A, figure 6-8");

struct __attribute__((packed)) table_pointer {
    uint16_t limit;
    uint64_t base;
};

struct exception_entry {
    uint64_t at, fixup;
};

extern const uint64_t trap_stubs[VECTOR_FIRST];
extern const char trap_irq_stubs[], syscall_entry_point[];
extern const struct exception_entry exception_table_start[], exception_table_end[];
extern const char uaccess_start[], uaccess_end[];

static struct gate idt[256] __attribute__((aligned(16)));
struct trap_expect *trap_expected;

/* ------------------------------------------------------------------------------- setting up */

static uint8_t ist_of(unsigned vector)
{
    return vector == TRAP_DOUBLE_FAULT ? 1 : vector == TRAP_NMI ? 2 : vector == TRAP_MACHINE_CHECK ? 3 : 0;
}

static void gate_set(unsigned vector, uint64_t stub)
{
    bool user = vector == TRAP_BREAKPOINT || vector == TRAP_OVERFLOW;

    idt[vector] = (struct gate){
        .offset_low = (uint16_t)stub,
        .selector = SEL_KERNEL_CODE,
        .ist = ist_of(vector),
        .type = (uint8_t)(GATE_PRESENT | GATE_INTERRUPT | (user ? GATE_USER : 0)),
        .offset_middle = (uint16_t)(stub >> 16),
        .offset_high = (uint32_t)(stub >> 32),
    };
}

void traps_init(void)
{
    struct table_pointer pointer = {sizeof idt - 1, (uint64_t)idt};

    for (unsigned vector = 0; vector < VECTOR_FIRST; vector++)
        gate_set(vector, trap_stubs[vector]);
    for (unsigned vector = VECTOR_FIRST; vector < 256; vector++)
        gate_set(vector, (uint64_t)trap_irq_stubs + (vector - VECTOR_FIRST) * IRQ_STUB_BYTES);
    __asm__ volatile("lidt %0" ::"m"(pointer));

    wrmsr(MSR_EFER, rdmsr(MSR_EFER) | EFER_SCE);
    wrmsr(MSR_STAR, (uint64_t)SEL_USER_CODE32 << 48 | (uint64_t)SEL_KERNEL_CODE << 32);
    wrmsr(MSR_LSTAR, (uint64_t)syscall_entry_point);
    wrmsr(MSR_FMASK, SYSCALL_FLAGS_CLEARED);
}

/* ------------------------------------------------------------------------------- page faults */

static inline enum access access_of(uint64_t error)
{
    if (error & FAULT_FETCH)
        return ACCESS_EXEC;
    return error & FAULT_WRITE ? ACCESS_WRITE : ACCESS_READ;
}

static void fault_signal(enum status status, uint64_t address, const struct trap_frame *frame)
{
    switch (status) {
    case ST_DENIED:
        signal_fault(SIGSEGV, SEGV_ACCERR, address, frame);
        break;
    case ST_BEYOND_END:
    case ST_IO_ERROR:
    case ST_NO_SPACE: /* the file system is full */
        signal_fault(SIGBUS, BUS_ADRERR, address, frame);
        break;
    case ST_INTERRUPTED:
    case ST_RETRY:
        break; /* the signal is served on the way back, then the instruction begins again */
    case ST_NO_MEMORY:
        if (!host_memory_out(MEMBER_NOBODY))
            signal_fault(SIGKILL, SI_KERNEL, address, frame);
        break;
    default:
        signal_fault(SIGSEGV, SEGV_MAPERR, address, frame);
    }
}

/* Counts a fault for getrusage(2): it waited for a store when the count of those has grown. */
static inline void count_fault(struct process *process)
{
    static uint64_t majors;

    if (__builtin_expect(vm_stats.fault_major == majors, 1)) {
        process->faults_minor++;
        return;
    }
    majors = vm_stats.fault_major;
    process->faults_major++;
}

/*
 * An access that an instruction of user code made as supervisor: of a descriptor, which is always there, or,
 * in QEMU, of the stack by a far return, which SMAP then forbids whatever is mapped. Serving the fault would
 * not help, so it becomes the general protection that a far return to another ring is.
 */
static void odd_fault(struct trap_frame *frame, uint64_t address)
{
    if (frame->error & FAULT_RESERVED)
        panic_at(frame, "a page table entry has reserved bits, at %#lx", address);
    frame->vector = TRAP_PROTECTION;
    frame->error = 0;
    signal_fault(SIGSEGV, SI_KERNEL, 0, frame);
}

void trap_page_fault_user(struct trap_frame *frame)
{
    struct process *process = process_current();
    uint64_t address = cr2_read();
    enum status status = ST_NOT_MAPPED;

    if (__builtin_expect((frame->error & (FAULT_RESERVED | FAULT_USER)) != FAULT_USER, 0)) {
        odd_fault(frame, address);
        return;
    }
    cpu_note_fault(frame->rip);
    if (__builtin_expect(host_watched, 0))
        status = events_fault(process, address, access_of(frame->error));
    else if (__builtin_expect(address < SPACE_END, 1))
        status = space_fault(process->space, vaddr(address), access_of(frame->error));
    count_fault(process);
    if (__builtin_expect(status != ST_OK, 0))
        fault_signal(status, address, frame);
}

/*
 * A copy from or to user memory met a page that is not there. True: the instruction can be tried again. While
 * memory comes free, a signal waits: a read or a write that ended here would be short, or EFAULT, for
 * somebody whose address was right. Only a task that is to end does not wait. A page that cannot be read is
 * SIGBUS here as well: programs do not look whether a call gives EFAULT for memory of their own.
 */
static bool fault_in_copy(const struct trap_frame *frame, uint64_t address)
{
    const struct task *task = task_current();

    if (frame->rip < (uint64_t)uaccess_start || frame->rip >= (uint64_t)uaccess_end || address >= SPACE_END ||
        task == NULL || task->process == NULL || task->process->space == NULL)
        return false;
    vm_stats.fault_kernel++;
    for (;;) {
        enum access access = access_of(frame->error);
        enum status status = host_watched ? events_fault(task->process, address, access)
                                          : space_fault(task->process->space, vaddr(address), access);

        if (status == ST_OK)
            return true;
        if (status == ST_IO_ERROR)
            signal_fault(SIGBUS, BUS_ADRERR, address, frame);
        if (status != ST_NO_MEMORY || task->killed || !host_memory_out(MEMBER_NOBODY))
            return false;
    }
}

bool trap_fixup(struct trap_frame *frame)
{
    for (const struct exception_entry *entry = exception_table_start; entry < exception_table_end; entry++) {
        if (entry->at == frame->rip) {
            frame->rip = entry->fixup;
            return true;
        }
    }
    return false;
}

/* ------------------------------------------------------------------------------- other exceptions */

static const char *const names[VECTOR_FIRST] = {
    "divide error",
    "debug exception",
    "non-maskable interrupt",
    "breakpoint",
    "overflow",
    "bound range exceeded",
    "invalid opcode",
    "no coprocessor",
    "double fault",
    "coprocessor segment overrun",
    "invalid TSS",
    "segment not present",
    "stack fault",
    "general protection",
    "page fault",
    "reserved exception",
    "x87 exception",
    "alignment check",
    "machine check",
    "SIMD exception",
    "virtualization exception",
    "control protection",
};

static const char *name_of(uint64_t vector)
{
    return vector < VECTOR_FIRST && names[vector] != NULL ? names[vector] : "reserved exception";
}

/* The first exception that is flagged and not masked, as Linux's si_code. */
static int fpe_code(unsigned flags)
{
    if (flags & 1)
        return FPE_FLTINV;
    if (flags & 4)
        return FPE_FLTDIV;
    if (flags & 8)
        return FPE_FLTOVF;
    if (flags & (16 | 2))
        return FPE_FLTUND;
    return flags & 32 ? FPE_FLTRES : FPE_FLTUNK;
}

static int x87_code(void)
{
    uint16_t status, control;

    __asm__ volatile("fnstsw %0" : "=m"(status));
    __asm__ volatile("fnstcw %0" : "=m"(control));
    return fpe_code(status & ~control & 0x3fu);
}

static int simd_code(void)
{
    uint32_t mxcsr;

    __asm__ volatile("stmxcsr %0" : "=m"(mxcsr));
    return fpe_code(mxcsr & ~(mxcsr >> 7) & 0x3fu);
}

static int debug_code(void)
{
    uint64_t dr6;

    __asm__ volatile("movq %%dr6, %0" : "=r"(dr6));
    __asm__ volatile("movq %0, %%dr6" ::"r"((uint64_t)0xffff0ff0));
    return dr6 & 0x4000 ? TRAP_TRACE : TRAP_BRKPT;
}

static void exception_of_program(struct trap_frame *frame)
{
    switch (frame->vector) {
    case TRAP_DIVIDE:
        signal_fault(SIGFPE, FPE_INTDIV, frame->rip, frame);
        break;
    case TRAP_DEBUG:
        signal_fault(SIGTRAP, debug_code(), frame->rip, frame);
        break;
    case TRAP_BREAKPOINT:
        signal_fault(SIGTRAP, SI_KERNEL, 0, frame);
        break;
    case TRAP_INVALID_OPCODE:
        signal_fault(SIGILL, ILL_ILLOPN, frame->rip, frame);
        break;
    case TRAP_SEGMENT:
    case TRAP_STACK:
        signal_fault(SIGBUS, SI_KERNEL, 0, frame);
        break;
    case TRAP_X87:
        signal_fault(SIGFPE, x87_code(), frame->rip, frame);
        break;
    case TRAP_SIMD:
        signal_fault(SIGFPE, simd_code(), frame->rip, frame);
        break;
    case TRAP_ALIGNMENT:
        signal_fault(SIGBUS, BUS_ADRALN, 0, frame);
        break;
    default:
        signal_fault(SIGSEGV, SI_KERNEL, 0, frame);
    }
}

void trap_user(struct trap_frame *frame)
{
    if (frame->vector >= VECTOR_FIRST)
        irq_dispatch((unsigned)frame->vector);
    else
        exception_of_program(frame);
}

/* The frame, and on an IST stack everything else on it, is given up. */
static _Noreturn void resume_expected(const struct trap_frame *frame)
{
    struct trap_expect *expect = trap_expected;

    trap_expected = NULL;
    expect->vector = frame->vector;
    expect->error = frame->error;
    expect->address = cr2_read();
    __asm__ volatile("movq %0, %%rsp; jmp *%1" ::"r"(expect->stack), "r"(expect->resume));
    __builtin_unreachable();
}

void trap_kernel(struct trap_frame *frame)
{
    uint64_t address = frame->vector == TRAP_PAGE_FAULT ? cr2_read() : 0;

    if (frame->vector >= VECTOR_FIRST) {
        irq_dispatch((unsigned)frame->vector);
        return;
    }
    if (frame->vector == TRAP_PAGE_FAULT && fault_in_copy(frame, address))
        return;
    if (trap_fixup(frame))
        return;
    if (trap_expected != NULL)
        resume_expected(frame);
    if (frame->vector == TRAP_PAGE_FAULT)
        panic_at(frame, "page fault: %s at %#lx (error %#lx)",
                 frame->error & FAULT_FETCH   ? "execution"
                 : frame->error & FAULT_WRITE ? "write"
                                              : "read",
                 address, frame->error);
    panic_at(frame, "%s (error %#lx)", name_of(frame->vector), frame->error);
}

/* Double fault, NMI, machine check. A kernel stack that has run into its guard page ends here: the push of
 * the page fault's frame faults again. */
void trap_fatal(struct trap_frame *frame)
{
    if (trap_expected != NULL)
        resume_expected(frame);
    if (frame->vector == TRAP_DOUBLE_FAULT && kstack_is_guard(cr2_read()))
        panic_at(frame, "kernel stack overflow: the guard page at %#lx was touched", cr2_read());
    panic_at(frame, "%s (error %#lx)", name_of(frame->vector), frame->error);
}

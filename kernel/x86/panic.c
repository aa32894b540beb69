/*
 * The end of the kernel: what happened, who ran, the registers, how it came there; then out of QEMU with a
 * status that is not success. It uses nothing but the serial port and the stack, and a panic inside of a
 * panic still ends.
 */
#include "base/check.h"
#include "kernel/klib.h"
#include "kernel/mm/kernel_map.h"
#include "kernel/task/task.h"
#include "kernel/x86/serial.h"
#include "kernel/x86/symbols.h"

enum { BACKTRACE_MAX = 32 };

enum { DEBUG_EXIT_PORT = 0xf4, RESET_PORT = 0xcf9, RESET_NOW = 6 };

extern const char image_start[];

static unsigned panics;

void machine_exit(uint8_t status)
{
    outl(DEBUG_EXIT_PORT, status);
    outb(RESET_PORT, RESET_NOW);
    for (;;)
        __asm__ volatile("cli; hlt");
}

static void print(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void print(const char *format, ...)
{
    char line[160];
    va_list args;

    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    serial_write(line, strlen(line));
}

static void print_place(uint64_t rip)
{
    uint64_t offset = 0;
    const char *name = symbol_of(rip, &offset);

    if (name != NULL)
        print("  0x%016lx  %s+%#lx\n", rip, name, offset);
    else
        print("  0x%016lx\n", rip);
}

static void print_registers(const struct trap_frame *f)
{
    print("rip 0x%016lx  cs  0x%04lx  rflags 0x%08lx  ss 0x%04lx\n", f->rip, f->cs, f->rflags, f->ss);
    print("rsp 0x%016lx  rbp 0x%016lx  cr2 0x%016lx\n", f->rsp, f->rbp, cr2_read());
    print("rax 0x%016lx  rbx 0x%016lx  rcx 0x%016lx\n", f->rax, f->rbx, f->rcx);
    print("rdx 0x%016lx  rsi 0x%016lx  rdi 0x%016lx\n", f->rdx, f->rsi, f->rdi);
    print("r8  0x%016lx  r9  0x%016lx  r10 0x%016lx\n", f->r8, f->r9, f->r10);
    print("r11 0x%016lx  r12 0x%016lx  r13 0x%016lx\n", f->r11, f->r12, f->r13);
    print("r14 0x%016lx  r15 0x%016lx  cr3 0x%016lx\n", f->r14, f->r15, cr3_read());
}

/* Is there a frame pointer and a return address at `at`, on a stack of the kernel? */
static bool on_stack(uint64_t at)
{
    if (kernel_root.v == 0) /* still on the boot code's, below the image */
        return is_aligned(at, 8) && at > KERNEL_BASE && at < (uint64_t)image_start - 8;
    return is_aligned(at, 8) && at >= KSTACK_REGION && at < MMIO_REGION && !kstack_is_guard(at) &&
           !kstack_is_guard(at + 8) && kernel_is_mapped(vaddr(at));
}

/* The callers of the function whose frame pointer this is. */
static void print_callers(uint64_t rbp)
{
    for (int depth = 0; depth < BACKTRACE_MAX && on_stack(rbp); depth++) {
        const uint64_t *link = (const uint64_t *)rbp;

        if (symbol_of(link[1], &(uint64_t){0}) == NULL)
            break;
        print_place(link[1] - 1);
        if (link[0] <= rbp) /* callers lie above */
            break;
        rbp = link[0];
    }
}

/* A leaf function keeps no frame pointer: its return address may be the word that rsp is at. */
static void print_maybe_caller(uint64_t rsp)
{
    uint64_t offset = 0;
    const char *name = on_stack(rsp) ? symbol_of(*(const uint64_t *)rsp, &offset) : NULL;

    if (name != NULL)
        print("  0x%016lx  %s+%#lx ?\n", *(const uint64_t *)rsp, name, offset);
}

static void print_task(void)
{
    const struct task *task = cpu_here() == NULL ? NULL : task_current();

    if (task == NULL)
        print("task: none yet\n");
    else if (task->process == NULL)
        print("task: %.16s (kernel)\n", task->name);
    else
        print("task: %.16s, pid %d, thread %d\n", task->name, task->process->pid, task->tid);
}

static _Noreturn void die(const struct trap_frame *frame, const char *format, va_list args)
{
    char line[256];

    if (panics++ != 0) {
        if (panics == 2)
            print("panic inside of the panic: %s\n", format);
        machine_exit(MACHINE_PANIC);
    }
    vsnprintf(line, sizeof line, format, args);
    print("\nquire: kernel panic: ");
    serial_write(line, strlen(line));
    print("\n");
    print_task();
    if (frame != NULL)
        print_registers(frame);
    print("backtrace:\n");
    if (frame != NULL) {
        print_place(frame->rip);
        print_maybe_caller(frame->rsp);
    }
    print_callers(frame != NULL ? frame->rbp : (uint64_t)__builtin_frame_address(0));
    print("quire: end of the panic\n");
    machine_exit(MACHINE_PANIC);
}

void panic_at(const struct trap_frame *frame, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    die(frame, format, args);
}

void host_panic(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    die(NULL, format, args);
}

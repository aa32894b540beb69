/* Attempts on the kernel: reading, writing, jumping, and having the kernel do it. */
#include "guest.h"

/* The first and last addresses of what a kernel for x86-64 may map, and some between. */
static const uintptr_t places[] = {
    0xffff800000000000, 0xffff888000000000, 0xffff888000100000, 0xffffc90000000000, 0xffffea0000000000,
    0xffffffff80000000, 0xffffffff80100000, 0xffffffff81000000, 0xffffffffff5ff000, 0xfffffffffffff000};
enum { PLACES = sizeof places / sizeof places[0] };

static void jump_child(void)
{
    ((void (*)(void))(uintptr_t)0xffffffff80100000)();
}

static void push_child(void)
{
    asm volatile("movabs $0xffff888000001000, %%rsp; push %%rax" ::: "memory");
}

static void stack_for_system_call(void)
{
    /* The stack pointer is the kernel's: a system call must not use it. */
    asm volatile(
        "mov %%rsp, %%r12; movabs $0xffffffff80100800, %%rsp; mov $39, %%eax; syscall; mov %%r12, %%rsp" ::
            : "rax", "rcx", "r11", "r12", "memory");
    _exit(5);
}

static void signal_onto_kernel(void)
{
    struct sigaction action = {.sa_handler = (void (*)(int))(uintptr_t)0xffffffff80100000};

    sigaction(SIGUSR1, &action, NULL);
    raise(SIGUSR1);
}

static void signal_stack_in_kernel(void)
{
    stack_t stack = {.ss_sp = (void *)(uintptr_t)0xffff888000100000, .ss_size = 65536};
    struct sigaction action = {.sa_handler = (void (*)(int))(uintptr_t)0x1000, .sa_flags = SA_ONSTACK};

    if (sigaltstack(&stack, NULL) != 0)
        _exit(6);
    sigaction(SIGUSR1, &action, NULL);
    raise(SIGUSR1);
}

/* A signal frame of our own making: the kernel must not return with it to ring 0. */
static void forged_return(void)
{
    asm volatile(
        "sub $2048, %%rsp; mov %%rsp, %%rdi; mov $0xffffffffffffffff, %%rax; mov $256, %%ecx; rep stosq; "
        "mov %%rsp, %%rdi; mov $15, %%eax; syscall" ::
            : "memory", "rax", "rcx", "rdi", "r11");
    _exit(7);
}

static void forged_return_zero(void)
{
    asm volatile("sub $2048, %%rsp; mov %%rsp, %%rdi; xor %%eax, %%eax; mov $256, %%ecx; rep stosq; "
                 "mov $15, %%eax; syscall" ::
                     : "memory", "rax", "rcx", "rdi", "r11");
    _exit(7);
}

static void noncanonical_return(void)
{
    /* A system call at the very end of user space would return to a non-canonical address. */
    char *page = mmap((void *)0x7fffffffe000, PAGE, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);

    if (page != (void *)0x7fffffffe000)
        _exit(8);
    page[PAGE - 2] = 0x0f;
    page[PAGE - 1] = 0x05;
    mprotect(page, PAGE, PROT_READ | PROT_EXEC);
    asm volatile("mov $39, %%eax; jmp *%0" ::"r"(page + PAGE - 2) : "rax", "rcx", "r11", "memory");
}

int main(void)
{
    unsigned wrong = 0;
    char byte = 0;
    int file = scratch_file(PAGE);

    part("directly");
    for (size_t i = 0; i < PLACES; i++) {
        wrong += can_read((void *)places[i]);
        wrong += can_write((void *)(places[i] + 8));
        wrong += pread(file, (void *)places[i], 1, 0) != -1 || errno != EFAULT;
        wrong += pwrite(file, (void *)places[i], 1, 0) != -1 || errno != EFAULT;
    }
    printf("places that could be touched: %u\n", wrong);
    try_read("read", (void *)places[2], (void *)places[2]);
    try_write("write", (void *)places[5], (void *)places[5]);
    try_call("jump", (void *)places[6], (void *)places[6]);
    try_call("jump to the last page", (void *)places[9], (void *)places[9]);

    part("by detours");
    show_status("jump without a handler", in_child(jump_child));
    show_status("push", in_child(push_child));
    show_status("system call on the kernel's stack", in_child(stack_for_system_call));
    show_status("signal handler in the kernel", in_child(signal_onto_kernel));
    show_status("signal stack in the kernel", in_child(signal_stack_in_kernel));
    show_status("forged signal frame of ones", in_child(forged_return));
    show_status("forged signal frame of zeroes", in_child(forged_return_zero));
    show_status("system call at the end of user space", in_child(noncanonical_return));
    show("arch_prctl: FS base in the kernel", syscall(SYS_arch_prctl, 0x1002, 0xffff888000000000));
    show("arch_prctl: FS base not canonical", syscall(SYS_arch_prctl, 0x1002, 0x800000000000));
    show("arch_prctl: GS base in the kernel", syscall(SYS_arch_prctl, 0x1001, 0xffffffff80100000));
    show("arch_prctl: unknown", syscall(SYS_arch_prctl, 0x9999, 0));
    show("mmap over the kernel", mmap((void *)places[2], PAGE, PROT_READ | PROT_WRITE,
                                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED
                                     ? -1
                                     : 0);
    show("/dev/mem", open("/dev/kmem", O_RDWR));
    show_yes("still here", pread(file, &byte, 1, 0) == 1);
    return 0;
}

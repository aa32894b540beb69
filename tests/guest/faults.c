/* SIGSEGV and SIGBUS: code and address for every kind of access; other traps. */
#include "guest.h"
#include <ucontext.h>

static sigjmp_buf back;
static siginfo_t seen;
static long seen_trap;
static long seen_error;
static uintptr_t seen_cr2;

static void caught(int signal, siginfo_t *info, void *context)
{
    ucontext_t *user = context;

    (void)signal;
    seen = *info;
    seen_trap = user->uc_mcontext.gregs[REG_TRAPNO];
    seen_error = user->uc_mcontext.gregs[REG_ERR];
    seen_cr2 = (uintptr_t)user->uc_mcontext.gregs[REG_CR2];
    siglongjmp(back, 1);
}

#define TRY(what, ...)                                                                                       \
    do {                                                                                                     \
        if (sigsetjmp(back, 1) == 0) {                                                                       \
            __VA_ARGS__;                                                                                     \
            printf("%s: ok\n", what);                                                                        \
        } else {                                                                                             \
            printf("%s: %s %s trap %ld\n", what, signal_name(seen.si_signo),                                 \
                   code_name(seen.si_signo, seen.si_code), seen_trap);                                       \
        }                                                                                                    \
        fflush(stdout);                                                                                      \
    } while (0)

static void contexts(void)
{
    char *area = map_anon(3 * PAGE, PROT_READ, MAP_PRIVATE);
    char *hole = area + PAGE;

    part("what the context says");
    munmap(hole, PAGE);
    TRY("read of a hole", (void)*(volatile char *)(hole + 100));
    printf("  error code %ld, CR2 is the address: %d\n", seen_error, seen_cr2 == (uintptr_t)hole + 100);
    TRY("write to a hole", *(volatile char *)(hole + 100) = 1);
    printf("  error code %ld, CR2 is the address: %d\n", seen_error, seen_cr2 == (uintptr_t)hole + 100);
    (void)*(volatile char *)area;
    TRY("write to a read-only page", *(volatile char *)(area + 7) = 1);
    printf("  error code %ld, si_addr is the address: %d\n", seen_error, seen.si_addr == area + 7);
    TRY("access over the page's end", (void)*(volatile uint64_t *)(hole - 4));
    printf("  si_addr is the second page: %d\n", seen.si_addr == hole);
    TRY("write over the page's end, first page read-only", *(volatile uint64_t *)(hole - 4) = 1);
}

int main(void)
{
    char *area = map_anon(4 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE);
    struct sigaction action = {.sa_sigaction = caught, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    static char other[64 * 1024];
    stack_t stack = {.ss_sp = other, .ss_size = sizeof other};

    part("addresses");
    munmap(area + 2 * PAGE, PAGE);
    try_read("hole", area + 2 * PAGE + 5, area);
    try_write("hole", area + 2 * PAGE + 4095, area);
    try_call("hole", area + 2 * PAGE + 16, area);
    try_read("null", NULL, NULL);
    try_write("null", NULL, NULL);
    try_call("null", NULL, NULL);
    try_read("page 15", (void *)0xffff, NULL);
    try_read("kernel half, mapped there or not", (void *)0xffff888000000000, NULL);
    try_write("kernel half", (void *)0xffff888000000000, NULL);
    try_call("kernel half", (void *)0xffffffff80100000, (void *)0xffffffff80100000);
    try_read("kernel image", (void *)0xffffffff80100000, (void *)0xffffffff80100000);
    try_write("kernel image", (void *)0xffffffff80100000, (void *)0xffffffff80100000);
    try_read("last byte", (void *)-1, (void *)-1);
    try_read("non-canonical", (void *)0x800000000000, NULL);
    try_write("non-canonical", (void *)0x7fff800000000000, NULL);
    try_read("last user page", (void *)0x7ffffffff000, (void *)0x7ffffffff000);

    sigaltstack(&stack, NULL); /* some of these lose the ordinary one */
    sigaction(SIGSEGV, &action, NULL);
    sigaction(SIGBUS, &action, NULL);
    sigaction(SIGFPE, &action, NULL);
    sigaction(SIGILL, &action, NULL);
    sigaction(SIGTRAP, &action, NULL);
    contexts();

    part("other traps");
    TRY("divide by zero", asm volatile("xor %%edx, %%edx; xor %%ecx, %%ecx; mov $1, %%eax; div %%ecx" ::
                                           : "eax", "ecx", "edx"));
    TRY("undefined instruction", asm volatile("ud2"));
    TRY("breakpoint", asm volatile("int3"));
    TRY("privileged instruction hlt", asm volatile("hlt"));
    TRY("privileged instruction cli", asm volatile("cli"));
    TRY("reading CR3", asm volatile("mov %%cr3, %%rax" ::: "rax"));
    TRY("port output", asm volatile("out %%al, $0x80" ::));
    TRY("reading an MSR", asm volatile("mov $0xc0000080, %%ecx; rdmsr" ::: "eax", "ecx", "edx"));
    TRY("a software interrupt of the kernel's", asm volatile("int $0x20"));
    TRY("a page fault by instruction", asm volatile("int $14"));
    TRY("loading a kernel selector", asm volatile("mov %0, %%ds" ::"r"(0x10)));
    TRY("far return to ring 0", asm volatile("pushq $0x10; lea 1f(%%rip), %%rax; push %%rax; lretq; 1:" ::
                                                 : "rax"));
    TRY("non-canonical stack",
        asm volatile("mov %%rsp, %%r12; movabs $0x800000000000, %%rsp; pushq $1; mov %%r12, %%rsp" ::
                         : "r12"));
    TRY("single step", asm volatile("pushfq; orq $0x100, (%%rsp); popfq; nop" ::: "memory"));
    TRY("lgdt", asm volatile("lgdt (%%rsp)" ::));
    TRY("wrmsr", asm volatile("mov $0xc0000082, %%ecx; wrmsr" ::: "ecx"));
    TRY("swapgs", asm volatile("swapgs" ::));
    TRY("invlpg", asm volatile("invlpg (%%rsp)" ::));
    TRY("sysretq", asm volatile("sysretq" ::));
    TRY("iretq to ring 0",
        asm volatile("mov %%rsp, %%rax; pushq $0x18; push %%rax; pushfq; pushq $0x10; lea 1f(%%rip), %%rax; "
                     "push %%rax; iretq; 1:" ::
                         : "rax"));

    part("without a handler");
    action.sa_handler = SIG_DFL;
    action.sa_flags = 0;
    sigaction(SIGSEGV, &action, NULL);
    sigaction(SIGILL, &action, NULL);
    sigaction(SIGFPE, &action, NULL);
    int status;
    if (fork() == 0)
        *(volatile char *)8 = 1;
    wait(&status);
    show_status("write to 8", status);
    if (fork() == 0)
        asm volatile("ud2");
    wait(&status);
    show_status("ud2", status);
    if (fork() == 0) {
        signal(SIGSEGV, SIG_IGN);
        *(volatile char *)8 = 1;
    }
    wait(&status);
    show_status("ignored SIGSEGV still ends it", status);
    if (fork() == 0) {
        sigset_t set;
        sigemptyset(&set);
        sigaddset(&set, SIGSEGV);
        sigprocmask(SIG_BLOCK, &set, NULL);
        *(volatile char *)8 = 1;
    }
    wait(&status);
    show_status("blocked SIGSEGV still ends it", status);
    return 0;
}

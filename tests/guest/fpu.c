/* Floating-point and vector registers survive signals, switches and forks. */
#include "guest.h"
#include <sys/time.h>

static volatile int count;

static void spoils(int signal)
{
    (void)signal;
    asm volatile("pcmpeqd %%xmm0, %%xmm0; pcmpeqd %%xmm7, %%xmm7; pcmpeqd %%xmm15, %%xmm15; fninit; fldpi" ::
                     : "xmm0", "xmm7", "xmm15");
    uint32_t control = 0x9fc0;
    asm volatile("ldmxcsr %0" ::"m"(control));
    count++;
}

/* Fills the registers, lets time pass, and tells whether they are what they were. */
static bool keeps(uint64_t seed, void (*meanwhile)(void))
{
    uint64_t in[2] = {seed, ~seed}, out0[2], out7[2], out15[2];
    double x87_in = (double)seed / 3, x87_out = 0;
    uint32_t mxcsr;

    asm volatile("movdqu %4, %%xmm0; movdqu %4, %%xmm7; movdqu %4, %%xmm15; fldl %5\n"
                 "call *%6\n"
                 "movdqu %%xmm0, %0; movdqu %%xmm7, %1; movdqu %%xmm15, %2; fstpl %3"
                 : "=m"(out0), "=m"(out7), "=m"(out15), "=m"(x87_out)
                 : "m"(in), "m"(x87_in), "b"(meanwhile)
                 : "memory", "rax", "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11", "xmm0", "xmm7",
                   "xmm15");
    asm volatile("stmxcsr %0" : "=m"(mxcsr));
    return memcmp(in, out0, 16) == 0 && memcmp(in, out7, 16) == 0 && memcmp(in, out15, 16) == 0 &&
           x87_in == x87_out && (mxcsr & 0xffc0) == 0x1f80;
}

/* These are called with live vector registers: system calls by hand, no vector code. */
static void raw(long number, long a, long b)
{
    asm volatile("syscall" : "+a"(number) : "D"(a), "S"(b) : "rcx", "r11", "memory");
}

static void raise_now(void)
{
    long pid = SYS_getpid;
    asm volatile("syscall" : "+a"(pid)::"rcx", "r11", "memory");
    raw(SYS_kill, pid, SIGUSR1);
}

static void yield_often(void)
{
    for (int i = 0; i < 50; i++)
        raw(SYS_sched_yield, 0, 0);
}

static void spin(void)
{
    while (count < 3)
        asm volatile("pause");
}

int main(void)
{
    struct sigaction action = {.sa_handler = spoils};
    struct itimerval timer = {.it_value = {.tv_usec = 2000}, .it_interval = {.tv_usec = 2000}};
    int status;

    sigaction(SIGUSR1, &action, NULL);
    sigaction(SIGALRM, &action, NULL);
    show_yes("a signal that was sent", keeps(0x0123456789abcdef, raise_now));
    show("handler ran", count);
    count = 0;
    setitimer(ITIMER_REAL, &timer, NULL);
    show_yes("signals at any moment", keeps(0xfedcba9876543210, spin));
    setitimer(ITIMER_REAL, &(struct itimerval){0}, NULL);

    pid_t children[4];
    for (unsigned i = 0; i < 4; i++)
        if ((children[i] = fork()) == 0) {
            bool good = true;
            for (uint64_t j = 0; j < 20; j++)
                good = good && keeps(i * 1000003 + j, yield_often);
            _exit(good ? 0 : 1);
        }
    for (unsigned i = 0; i < 4; i++) {
        waitpid(children[i], &status, 0);
        show_status("processes that switch", status);
    }
    volatile double third = 1.0 / 3.0;
    asm volatile("fldl %0" ::"m"(third));
    pid_t child = fork();
    if (child == 0) {
        double got = 0;
        asm volatile("fstpl %0" : "=m"(got));
        _exit(got == third ? 0 : 1);
    }
    waitpid(child, &status, 0);
    show_status("fork keeps the x87 stack", status);
    double left = 0;
    asm volatile("fstpl %0" : "=m"(left));
    show_yes("in the parent too", left == third);

#ifdef __x86_64__
    if (__builtin_cpu_supports("avx")) {
        uint64_t in[4] = {1, 2, 3, 4}, out[4] = {0};
        count = 0;
        timer.it_value.tv_usec = timer.it_interval.tv_usec = 2000;
        setitimer(ITIMER_REAL, &timer, NULL);
        asm volatile("vmovdqu %1, %%ymm9\n1: cmpl $3, %2; jl 1b; vmovdqu %%ymm9, %0"
                     : "=m"(out)
                     : "m"(in), "m"(count)
                     : "xmm9", "cc", "memory");
        setitimer(ITIMER_REAL, &(struct itimerval){0}, NULL);
        show_yes("wide registers", memcmp(in, out, sizeof in) == 0);
    } else {
        show_yes("wide registers", true);
    }
#endif
    return 0;
}

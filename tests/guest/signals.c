/* Signals: handlers, masks, nesting, order, restarts, stacks, siginfo. */
#include "guest.h"
#include <sys/time.h>
#include <time.h>
#include <ucontext.h>

static volatile int count;
static volatile int depth;
static volatile int deepest;
static siginfo_t info_seen;

static void counts(int signal)
{
    (void)signal;
    count++;
}

static void install(int signal, void (*handler)(int), unsigned flags)
{
    struct sigaction action = {.sa_handler = handler, .sa_flags = (int)flags};

    must(sigaction(signal, &action, NULL) == 0, "sigaction");
}

static void block(int how, int signal)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, signal);
    must(sigprocmask(how, &set, NULL) == 0, "sigprocmask");
}

static void basics(void)
{
    sigset_t set;

    part("basics");
    install(SIGUSR1, counts, 0);
    show("raise", raise(SIGUSR1));
    show("count", count);
    block(SIG_BLOCK, SIGUSR1);
    raise(SIGUSR1);
    raise(SIGUSR1);
    show("blocked: count", count);
    sigpending(&set);
    show("pending", sigismember(&set, SIGUSR1));
    block(SIG_UNBLOCK, SIGUSR1);
    show("unblocked, came once: count", count);
    sigpending(&set);
    show("pending", sigismember(&set, SIGUSR1));
    install(SIGUSR1, SIG_IGN, 0);
    block(SIG_BLOCK, SIGUSR1);
    raise(SIGUSR1);
    sigpending(&set);
    show("ignored and blocked: pending", sigismember(&set, SIGUSR1));
    block(SIG_UNBLOCK, SIGUSR1);
    install(SIGUSR1, counts, SA_RESETHAND);
    raise(SIGUSR1);
    struct sigaction now;
    sigaction(SIGUSR1, NULL, &now);
    show_yes("SA_RESETHAND: default again", now.sa_handler == SIG_DFL);
    show("sigaction on SIGKILL", sigaction(SIGKILL, &now, NULL));
    show("sigaction on SIGSTOP", sigaction(SIGSTOP, &now, NULL));
    show("sigaction on 0", sigaction(0, &now, NULL));
    show("sigaction on 65", (int)syscall(SYS_rt_sigaction, 65, NULL, NULL, 8));
    show("wrong set size", (int)syscall(SYS_rt_sigaction, SIGUSR1, NULL, NULL, 4));
    show("kill with 0", kill(getpid(), 0));
    show("kill with a bad signal", kill(getpid(), 65));
    show("kill of nobody", kill(0x3fffffff, 0));
    sigfillset(&set);
    sigprocmask(SIG_SETMASK, &set, NULL);
    sigprocmask(SIG_SETMASK, NULL, &set);
    show_yes("SIGKILL and SIGSTOP cannot be blocked",
             !sigismember(&set, SIGKILL) && !sigismember(&set, SIGSTOP));
    sigemptyset(&set);
    sigprocmask(SIG_SETMASK, &set, NULL);
    show("sigprocmask with a bad how", (int)syscall(SYS_rt_sigprocmask, 77, &set, NULL, 8));
}

static void nests(int signal)
{
    depth++;
    deepest = depth > deepest ? depth : deepest;
    count++;
    if (count < 5)
        raise(signal);
    depth--;
}

static void other_handler(int signal)
{
    (void)signal;
    printf("  USR2 while in USR1: depth %d\n", depth);
}

static void raises_other(int signal)
{
    (void)signal;
    depth++;
    raise(SIGUSR2);
    printf("  back in USR1\n");
    depth--;
}

static void nesting(void)
{
    struct sigaction action = {.sa_handler = raises_other};

    part("nesting");
    count = depth = deepest = 0;
    install(SIGUSR1, nests, 0);
    raise(SIGUSR1);
    printf("without SA_NODEFER: deepest %d, count %d\n", deepest, count);
    count = depth = deepest = 0;
    install(SIGUSR1, nests, SA_NODEFER);
    raise(SIGUSR1);
    printf("with SA_NODEFER: deepest %d, count %d\n", deepest, count);
    depth = 0;
    install(SIGUSR2, other_handler, 0);
    install(SIGUSR1, raises_other, 0);
    printf("another signal interrupts the handler\n");
    raise(SIGUSR1);
    sigaddset(&action.sa_mask, SIGUSR2);
    sigaction(SIGUSR1, &action, NULL);
    printf("unless sa_mask has it\n");
    raise(SIGUSR1);
}

static int order[32];
static int order_count;

static void notes(int signal, siginfo_t *info, void *context)
{
    (void)context;
    order[order_count++] = signal * 1000 + info->si_value.sival_int;
}

static void queueing(void)
{
    struct sigaction action = {.sa_sigaction = notes, .sa_flags = SA_SIGINFO};
    sigset_t all, old;

    part("real-time signals queue in order");
    sigfillset(&action.sa_mask);
    for (int i = 0; i < 3; i++)
        sigaction(SIGRTMIN + i, &action, NULL);
    sigaction(SIGUSR1, &action, NULL);
    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, &old);
    for (int i = 0; i < 3; i++)
        for (int j = 2; j >= 0; j--)
            must(sigqueue(getpid(), SIGRTMIN + j, (union sigval){.sival_int = i * 10 + j}) == 0, "sigqueue");
    must(sigqueue(getpid(), SIGUSR1, (union sigval){.sival_int = 1}) == 0, "sigqueue");
    must(sigqueue(getpid(), SIGUSR1, (union sigval){.sival_int = 2}) == 0, "sigqueue");
    sigprocmask(SIG_SETMASK, &old, NULL);
    for (int i = 0; i < order_count; i++)
        printf("  %s%d value %d\n", order[i] / 1000 >= SIGRTMIN ? "RT+" : "",
               order[i] / 1000 >= SIGRTMIN ? order[i] / 1000 - SIGRTMIN : order[i] / 1000, order[i] % 1000);

    part("sigtimedwait");
    sigset_t set;
    siginfo_t info;
    struct timespec no_time = {0, 0};
    sigemptyset(&set);
    sigaddset(&set, SIGRTMIN + 1);
    sigaddset(&set, SIGUSR2);
    sigprocmask(SIG_BLOCK, &set, &old);
    show("nothing pending", sigtimedwait(&set, &info, &no_time));
    sigqueue(getpid(), SIGRTMIN + 1, (union sigval){.sival_int = 5});
    show_yes("one pending", sigtimedwait(&set, &info, &no_time) == SIGRTMIN + 1);
    printf("  value %d, %s, from this process: %d\n", info.si_value.sival_int,
           code_name(SIGRTMIN, info.si_code), info.si_pid == getpid());
    kill(getpid(), SIGUSR2);
    show_yes("sigwaitinfo", sigwaitinfo(&set, &info) == SIGUSR2);
    printf("  %s\n", code_name(SIGUSR2, info.si_code));
    sigprocmask(SIG_SETMASK, &old, NULL);
}

static void keeps_info(int signal, siginfo_t *info, void *context)
{
    (void)signal;
    (void)context;
    info_seen = *info;
    count++;
}

static void siginfo(void)
{
    struct sigaction action = {.sa_sigaction = keeps_info, .sa_flags = SA_SIGINFO};

    part("siginfo");
    sigaction(SIGUSR1, &action, NULL);
    sigaction(SIGCHLD, &action, NULL);
    kill(getpid(), SIGUSR1);
    printf("kill: %s, from this process %d, uid %d\n", code_name(SIGUSR1, info_seen.si_code),
           info_seen.si_pid == getpid(), info_seen.si_uid == getuid());
    raise(SIGUSR1);
    printf("raise: %s\n", code_name(SIGUSR1, info_seen.si_code));
    sigqueue(getpid(), SIGUSR1, (union sigval){.sival_int = 42});
    printf("sigqueue: %s, value %d\n", code_name(SIGUSR1, info_seen.si_code), info_seen.si_value.sival_int);
    count = 0;
    pid_t child = fork();
    if (child == 0)
        _exit(9);
    while (count == 0)
        usleep(1000);
    printf("SIGCHLD: %s, from the child %d, status %d\n", code_name(SIGCHLD, info_seen.si_code),
           info_seen.si_pid == child, info_seen.si_status);
    waitpid(child, NULL, 0);
    count = 0;
    child = fork();
    if (child == 0)
        pause();
    kill(child, SIGTERM);
    while (count == 0)
        usleep(1000);
    printf("SIGCHLD: %s, status %s\n", code_name(SIGCHLD, info_seen.si_code),
           signal_name(info_seen.si_status));
    waitpid(child, NULL, 0);
    install(SIGCHLD, SIG_DFL, 0);
}

static void restarts(void)
{
    int ends[2];
    char byte;

    part("interrupted calls");
    must(pipe(ends) == 0, "pipe");
    for (int flags = 0; flags < 2; flags++) {
        install(SIGALRM, counts, flags ? SA_RESTART : 0);
        count = 0;
        pid_t child = fork();
        if (child == 0) {
            usleep(20000);
            kill(getppid(), SIGALRM);
            usleep(20000);
            _exit(write(ends[1], "x", 1) != 1);
        }
        show(flags ? "read with SA_RESTART" : "read", read(ends[0], &byte, 1));
        waitpid(child, NULL, 0);
        while (waitpid(-1, NULL, WNOHANG) > 0)
            ;
        show("handler ran", count);
        if (!flags)
            must(read(ends[0], &byte, 1) == 1, "read");
    }
    struct itimerval timer = {.it_value = {.tv_usec = 20000}};
    install(SIGALRM, counts, SA_RESTART);
    setitimer(ITIMER_REAL, &timer, NULL);
    struct timespec second = {1, 0}, rest = {0, 0};
    show("nanosleep is not restarted", nanosleep(&second, &rest));
    show_yes("the rest is told", rest.tv_sec == 0 && rest.tv_nsec > 0);
    setitimer(ITIMER_REAL, &timer, NULL);
    show("pause", pause());

    part("sigsuspend");
    sigset_t blocked, open_set;
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGALRM);
    sigemptyset(&open_set);
    sigprocmask(SIG_BLOCK, &blocked, NULL);
    count = 0;
    raise(SIGALRM);
    show("before", count);
    show("sigsuspend", sigsuspend(&open_set));
    show("after", count);
    sigprocmask(SIG_SETMASK, NULL, &open_set);
    show("the mask is back", sigismember(&open_set, SIGALRM));
    sigemptyset(&open_set);
    sigprocmask(SIG_SETMASK, &open_set, NULL);
}

static char alternate[65536];

static void tells_stack(int signal)
{
    char here;
    stack_t now;

    (void)signal;
    sigaltstack(NULL, &now);
    printf("  on the alternate stack: %d, SS_ONSTACK %d\n",
           &here >= alternate && &here < alternate + sizeof alternate, (now.ss_flags & SS_ONSTACK) != 0);
    now.ss_flags = 0;
    printf("  changing it from there: %s\n", sigaltstack(&now, NULL) == 0 ? "ok" : error_name(errno));
}

static void stacks(void)
{
    stack_t stack = {.ss_sp = alternate, .ss_size = sizeof alternate}, old;

    part("alternate stacks");
    show("too small", sigaltstack(&(stack_t){.ss_sp = alternate, .ss_size = 100}, NULL));
    show("bad flags", sigaltstack(&(stack_t){.ss_sp = alternate, .ss_size = 65536, .ss_flags = 0x40}, NULL));
    show("set", sigaltstack(&stack, &old));
    show_yes("there was none", old.ss_flags == SS_DISABLE);
    install(SIGUSR1, tells_stack, SA_ONSTACK);
    printf("with SA_ONSTACK\n");
    raise(SIGUSR1);
    install(SIGUSR1, tells_stack, 0);
    printf("without\n");
    raise(SIGUSR1);
    show("disable", sigaltstack(&(stack_t){.ss_flags = SS_DISABLE}, NULL));
}

static void changes_context(int signal, siginfo_t *info, void *context)
{
    ucontext_t *user = context;

    (void)signal;
    (void)info;
    user->uc_mcontext.gregs[REG_RBX] = 0x1234567890;
    user->uc_mcontext.gregs[REG_RIP] += 2; /* over the ud2 */
    sigaddset(&user->uc_sigmask, SIGUSR2);
}

static void contexts(void)
{
    struct sigaction action = {.sa_sigaction = changes_context, .sa_flags = SA_SIGINFO};
    unsigned long rbx;
    sigset_t set;

    part("a handler changes what it returns to");
    sigaction(SIGILL, &action, NULL);
    asm volatile("mov $1, %%rbx; ud2; mov %%rbx, %0" : "=r"(rbx)::"rbx");
    printf("rbx %lx\n", rbx);
    sigprocmask(SIG_SETMASK, NULL, &set);
    show("SIGUSR2 is blocked now", sigismember(&set, SIGUSR2));
    block(SIG_UNBLOCK, SIGUSR2);
}

static void registers_survive(void)
{
    unsigned long sum = 0;
    struct itimerval timer = {.it_value = {.tv_usec = 1000}, .it_interval = {.tv_usec = 1000}};

    part("a signal at any moment changes nothing");
    install(SIGALRM, counts, SA_RESTART);
    count = 0;
    setitimer(ITIMER_REAL, &timer, NULL);
    while (count < 10) {
        unsigned long a = 1, b = 2, c = 3;

        asm volatile("mov $1000, %%ecx\n1: lea 1(%0), %0; lea 2(%1), %1; add $3, %2; dec %%ecx; jnz 1b"
                     : "+r"(a), "+r"(b), "+r"(c)::"ecx", "cc");
        sum |= a ^ 1001;
        sum |= b ^ 2002;
        sum |= c ^ 3003;
    }
    timer = (struct itimerval){0};
    setitimer(ITIMER_REAL, &timer, NULL);
    printf("differences %lx\n", sum);
}

int main(void)
{
    basics();
    nesting();
    queueing();
    siginfo();
    restarts();
    stacks();
    contexts();
    registers_survive();
    return 0;
}

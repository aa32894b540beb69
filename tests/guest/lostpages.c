/*
 * Pages that cannot be read from swap again, and what a program sees of that when it is not an instruction of
 * its own that touches them: a system call's buffer, the stack on which a signal's handler is to run, the
 * frame to which a handler returns. SIGBUS in each case (tests/e2e/swap.py). In Quire only, with swap on a
 * disk that reads nothing.
 */
#include "guest.h"

enum { PAGES = 16, SIGNAL_STACK = 16 * 4096 };

static char *lost;

/* The pages are in swap, and stay there: nobody can read them. */
static void lose(void)
{
    unsigned char resident[PAGES];

    must(madvise(lost, PAGES * PAGE, 21 /* MADV_PAGEOUT */) == 0, "madvise");
    must(mincore(lost, PAGES * PAGE, resident) == 0, "mincore");
    for (unsigned i = 0; i < PAGES; i++)
        must(!(resident[i] & 1), "leaving memory");
}

static void fill(void)
{
    lost = map_anon_rw(PAGES * PAGE);
    for (size_t i = 0; i < PAGES * PAGE; i++)
        lost[i] = (char)(i * 2654435761u >> 13);
}

static void touch(void)
{
    fill();
    lose();
    _exit(*(volatile char *)lost == 0);
}

static void write_them(void)
{
    int file = scratch_file(0);

    fill();
    lose();
    _exit(write(file, lost, 10) < 0 ? 2 : 3);
}

static void read_into_them(void)
{
    int file = scratch_file(10);

    fill();
    lose();
    _exit(read(file, lost, 10) < 0 ? 2 : 3);
}

static void handler(int signal)
{
    _exit(signal == SIGUSR1 ? 4 : 5);
}

static void use_as_signal_stack(void (*function)(int))
{
    struct sigaction action = {.sa_handler = function, .sa_flags = SA_ONSTACK};
    stack_t stack = {.ss_size = SIGNAL_STACK};

    fill();
    stack.ss_sp = lost;
    must(sigaltstack(&stack, NULL) == 0 && sigaction(SIGUSR1, &action, NULL) == 0, "sigaction");
}

static void handle_on_them(void)
{
    use_as_signal_stack(handler);
    lose();
    raise(SIGUSR1);
    _exit(6);
}

/* The handler leaves without its stack, to which it could only return. */
static void return_to_them(void)
{
    fill();
    lose();
    __asm__ volatile("movq %0, %%rsp\n\t"
                     "movl %1, %%eax\n\t"
                     "syscall" ::"r"(lost + 8 * PAGE),
                     "i"(SYS_rt_sigreturn)
                     : "memory");
    _exit(7);
}

int main(void)
{
    show_status("touch", in_child(touch));
    show_status("write", in_child(write_them));
    show_status("read", in_child(read_into_them));
    show_status("handle a signal", in_child(handle_on_them));
    show_status("return from a handler", in_child(return_to_them));
    return 0;
}

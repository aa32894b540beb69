/* The stack: growth, limit, guard gap, no execution; MAP_GROWSDOWN. */
#include "guest.h"
#include <sys/resource.h>

enum { RW = PROT_READ | PROT_WRITE };

__attribute__((noinline)) static unsigned deep(unsigned depth)
{
    volatile char room[1024];

    room[0] = (char)depth;
    room[1023] = 1;
    if (depth == 0)
        return 0;
    return deep(depth - 1) + (unsigned)(unsigned char)room[1023];
}

static void overflow(void)
{
    struct rlimit limit = {.rlim_cur = 256 * 1024, .rlim_max = RLIM_INFINITY};

    setrlimit(RLIMIT_STACK, &limit);
    deep(100000);
}

static void caught_overflow(int signal)
{
    (void)signal;
    _exit(7);
}

static void overflow_with_handler(void)
{
    static char other[64 * 1024];
    stack_t stack = {.ss_sp = other, .ss_size = sizeof other};
    struct sigaction action = {.sa_handler = caught_overflow, .sa_flags = SA_ONSTACK};

    sigaltstack(&stack, NULL);
    sigaction(SIGSEGV, &action, NULL);
    overflow();
}

static void overflow_without_room(void)
{
    struct sigaction action = {.sa_handler = caught_overflow};

    sigaction(SIGSEGV, &action, NULL);
    overflow();
}

static void executes_stack(void)
{
    volatile unsigned char code[16] = {0xc3};

    try_call("return instruction on the stack", (void *)(uintptr_t)code, (void *)(uintptr_t)code);
}

static void grows_down(void)
{
    char *ground = map_anon(1024 * PAGE, PROT_NONE, MAP_PRIVATE);
    char *stack;

    part("MAP_GROWSDOWN");
    munmap(ground, 1024 * PAGE);
    stack = mmap(ground + 1000 * PAGE, 4 * PAGE, RW,
                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_GROWSDOWN | MAP_FIXED_NOREPLACE, -1, 0);
    show_yes("mapped", stack == ground + 1000 * PAGE);
    try_write("inside", stack, stack);
    try_write("one page below", stack - PAGE, stack);
    try_write("and one more", stack - 2 * PAGE, stack);
    try_read("zero there", stack - 2 * PAGE + 8, stack);
    try_write("20 pages below", stack - 22 * PAGE, stack);
    try_read("pages between are there", stack - 15 * PAGE, stack);

    part("guard gap");
    char *wall =
        mmap(ground + 900 * PAGE, PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    must(wall == ground + 900 * PAGE, "wall");
    must(munmap(wall, PAGE) == 0, "munmap");
    wall = mmap(ground + 600 * PAGE, PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    must(wall == ground + 600 * PAGE, "wall");
    try_write("257 pages above the neighbour", wall + 258 * PAGE, stack);
    try_write("inside the gap", wall + 200 * PAGE, stack);
    try_write("just above the neighbour", wall + PAGE, stack);
    try_write("the neighbour itself", wall, stack);
}

int main(void)
{
    part("growth");
    printf("depth 1000: %u\n", deep(1000));
    printf("depth 4000: %u\n", deep(4000));
    struct rlimit limit;
    show("getrlimit", getrlimit(RLIMIT_STACK, &limit));
    volatile char here = 0;
    (void)here;
    char *low = (char *)(((uintptr_t)&here - 6 * MIB) & ~(uintptr_t)4095);
    try_write("6 MiB below at once", low, low);

    part("overflow");
    show_status("without a handler", in_child(overflow));
    show_status("handler on another stack", in_child(overflow_with_handler));
    show_status("handler without a stack", in_child(overflow_without_room));

    part("execution");
    executes_stack();
    grows_down();
    return 0;
}

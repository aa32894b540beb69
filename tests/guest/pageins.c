/*
 * Page faults for pages that are in swap, at the moments that matter, each made to happen: the pages are sent
 * out by MADV_PAGEOUT, and mincore() says that they have gone.
 *
 *   pageins copies      system calls that copy from and to such pages
 *   pageins handlers    a signal handler that touches such pages, on a stack that is one, for such a fault
 *
 * In Quire only, with swap. Status 0: all was right.
 */
#include "guest.h"

#include <sys/uio.h>

enum { PAGES = 8, ROUNDS = 3 };

static void expect(bool right, const char *what)
{
    if (right)
        return;
    printf("wrong: %s\n", what);
    _exit(1);
}

static bool is_in(const char *area, size_t page)
{
    unsigned char in = 0;

    expect(mincore((void *)(uintptr_t)(area + page * PAGE), PAGE, &in) == 0, "mincore");
    return (in & 1) != 0;
}

static void send_out(char *area, size_t pages)
{
    expect(madvise(area, pages * PAGE, MADV_PAGEOUT) == 0, "MADV_PAGEOUT");
    for (size_t i = 0; i < pages; i++)
        expect(!is_in(area, i), "a page that is to be in swap is in memory");
}

/* Byte `at` of what every area here holds; no page of it compresses to nothing. */
static char pattern(size_t at)
{
    return (char)((at * 2654435761u) >> 13 | 1);
}

static char *filled(size_t pages)
{
    char *area = map_anon_rw(pages * PAGE);

    for (size_t i = 0; i < pages * PAGE; i++)
        area[i] = pattern(i);
    return area;
}

static void expect_pattern(const char *area, size_t from, size_t bytes, const char *what)
{
    for (size_t i = 0; i < bytes; i++)
        expect(area[i] == pattern(from + i), what);
}

/* ------------------------------------------------------------------ copies */

static void copies(void)
{
    char *from = filled(PAGES), *to = filled(PAGES), *pieces = filled(PAGES);
    struct iovec vector[2] = {{pieces + 100, PAGE}, {pieces + 4 * PAGE - 7, 2 * PAGE}};
    struct stat *info;
    int ends[2], file = open("/tmp/pageins", O_RDWR | O_CREAT | O_TRUNC, 0600);

    expect(file >= 0 && pipe(ends) == 0, "files");
    for (unsigned round = 0; round < ROUNDS; round++) {
        send_out(from, PAGES);
        expect(pwrite(file, from + 3, (PAGES - 1) * PAGE, 0) == (PAGES - 1) * PAGE, "write from swap");
        send_out(to, PAGES);
        expect(pread(file, to + 3, (PAGES - 1) * PAGE, 0) == (PAGES - 1) * PAGE, "read to swap");
        expect_pattern(to, 0, PAGES * PAGE, "what was read");
        send_out(pieces, PAGES);
        expect(preadv(file, vector, 2, 97) == 3 * PAGE, "readv");
        expect_pattern(vector[0].iov_base, 100, PAGE, "the first piece");
        expect_pattern(vector[1].iov_base, 100 + PAGE, 2 * PAGE, "the second piece");
        memcpy(pieces, from, PAGES * PAGE);
        send_out(from, 2); /* a page that a pipe's other end copies while it sleeps */
        expect(write(ends[1], from + PAGE - 5, 10) == 10, "write to a pipe");
        send_out(to, 2);
        expect(read(ends[0], to + PAGE - 5, 10) == 10, "read from a pipe");
        expect_pattern(to, 0, 2 * PAGE, "what came by the pipe");
        info = (struct stat *)(void *)to;
        send_out(to, 1);
        expect(fstat(file, info) == 0 && info->st_size == (PAGES - 1) * (long)PAGE, "fstat to swap");
        memcpy(to, from, PAGE);
    }
    close(file);
    unlink("/tmp/pageins");
}

/* ------------------------------------------------------------------ handlers */

static char *handlers_area;
static volatile unsigned handled;

/* Its frame is on a stack in swap, and it needs a page that is there, too. */
static void on_signal(int signal, siginfo_t *info, void *context)
{
    char local[2 * PAGE];

    (void)info;
    (void)context;
    expect(!is_in(handlers_area, 2), "the handler's page came early");
    local[0] = local[PAGE] = handlers_area[2 * PAGE];
    expect(local[PAGE] == pattern(2 * PAGE), "what the handler reads");
    handlers_area[3 * PAGE] = (char)signal;
    handled++;
}

/* The handler for a fault that is none of swap's, while pages are in swap: it mends what is wrong. */
static void on_denied(int signal, siginfo_t *info, void *context)
{
    on_signal(signal, info, context);
    expect(mprotect(handlers_area + 5 * PAGE, PAGE, PROT_READ | PROT_WRITE) == 0, "mprotect");
}

static void handlers(void)
{
    size_t stack_pages = 8;
    stack_t stack = {.ss_size = stack_pages * PAGE};
    struct sigaction action = {.sa_flags = SA_SIGINFO | SA_ONSTACK};

    handlers_area = filled(PAGES);
    stack.ss_sp = filled(stack_pages);
    expect(sigaltstack(&stack, NULL) == 0, "sigaltstack");
    for (unsigned round = 0; round < ROUNDS; round++) {
        action.sa_sigaction = on_signal;
        expect(sigaction(SIGUSR1, &action, NULL) == 0, "sigaction");
        send_out(handlers_area, PAGES);
        send_out(stack.ss_sp, stack_pages);
        expect(raise(SIGUSR1) == 0 && handled == 2 * round + 1, "the signal");
        expect(handlers_area[3 * PAGE] == SIGUSR1, "what the handler wrote");
        action.sa_sigaction = on_denied;
        expect(sigaction(SIGSEGV, &action, NULL) == 0, "sigaction");
        send_out(handlers_area, PAGES);
        expect(mprotect(handlers_area + 5 * PAGE, PAGE, PROT_NONE) == 0, "mprotect");
        send_out(stack.ss_sp, stack_pages);
        ((volatile char *)handlers_area)[5 * PAGE] = pattern(5 * PAGE);
        expect(handled == 2 * round + 2, "the fault's signal");
        expect(handlers_area[3 * PAGE] == SIGSEGV, "what the fault's handler wrote");
        handlers_area[3 * PAGE] = pattern(3 * PAGE);
        expect_pattern(handlers_area, 0, PAGES * PAGE, "the rest");
    }
}

int main(int count, char **arguments)
{
    const char *what = count > 1 ? arguments[1] : "";

    if (strcmp(what, "copies") == 0)
        copies();
    else if (strcmp(what, "handlers") == 0)
        handlers();
    else
        return fprintf(stderr, "usage: pageins copies | handlers\n"), 2;
    printf("%s: right\n", what);
    return 0;
}

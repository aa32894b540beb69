/*
 * Threads for a child of fork() that is being set up: bare.h.
 *
 * A thread needs a stack and a block of thread-local storage. The block is the dynamic linker's to make,
 * which allocates; so some are made when the process begins, and what they were like then is kept, for a
 * child's child needs them anew. What the C library does besides for a thread of its own (lists, robust
 * mutexes, pthread_join()) a thread that only serves faults can do without. The descriptor's fields are those
 * of x86-64's ABI for thread-local storage and glibc's stack protector; the identity, which mutexes note, is
 * where it is found in the first thread's.
 */
#include "bare.h"

#include <dlfcn.h>
#include <linux/sched.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "uffd.h"

enum { STACK_BYTES = 128 << 10, MOST_WORDS = 576, DESCRIPTOR_BYTES = 2304 };

struct descriptor {
    void *self;
    void *table; /* of the blocks; the dynamic linker's */
    void *again; /* self once more */
    int many_threads;
    uintptr_t unused, stack_guard, pointer_guard;
};

static struct bare {
    struct descriptor *descriptor; /* behind its block */
    uint8_t *kept;                 /* the block as it was */
    uint8_t *stack;
    void *(*run)(void *context);
    void *context;
    _Atomic uint32_t running; /* its identity; 0 when it has ended, as the kernel notes */
} bares[MOST_BARE];
static unsigned bare_count, bare_used;
static size_t block_bytes; /* before the descriptor */
static size_t identity_at; /* word of the descriptor */

static bool find_identity(void)
{
    const int *words = (const int *)__builtin_thread_pointer(), self = (int)syscall(SYS_gettid);

    for (identity_at = 0; identity_at < MOST_WORDS; identity_at++)
        if (words[identity_at] == self)
            return true;
    return false;
}

static bool make_one(struct bare *bare, void *(*allocate)(void *))
{
    size_t bytes = block_bytes + DESCRIPTOR_BYTES;

    bare->descriptor = allocate(NULL);
    bare->kept = malloc(bytes);
    bare->stack =
        mmap(NULL, STACK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
    if (!bare->descriptor || !bare->kept || bare->stack == MAP_FAILED)
        return false;
    memcpy(bare->kept, (uint8_t *)bare->descriptor - block_bytes, bytes);
    return true;
}

bool bare_prepare(unsigned count)
{
#ifdef __x86_64__
    void *(*allocate)(void *) = (void *(*)(void *))dlvsym(RTLD_DEFAULT, "_dl_allocate_tls", "GLIBC_PRIVATE");
    void (*measure)(size_t *, size_t *) =
        (void (*)(size_t *, size_t *))dlvsym(RTLD_DEFAULT, "_dl_get_tls_static_info", "GLIBC_PRIVATE");
    size_t bytes = 0, alignment = 0;

    if (bare_count > 0)
        return true;
    if (!allocate || !measure || !find_identity() || count > MOST_BARE)
        return false;
    measure(&bytes, &alignment);
    if (bytes <= DESCRIPTOR_BYTES)
        return false;
    block_bytes = bytes - DESCRIPTOR_BYTES;
    for (unsigned i = 0; i < count; i++)
        if (!make_one(&bares[i], allocate))
            return false;
    bare_count = count;
    return true;
#else
    return false;
#endif
}

static int begin(void *context)
{
    struct bare *bare = context;

    ((int *)bare->descriptor)[identity_at] = (int)syscall(SYS_gettid);
    bare->run(bare->context);
    syscall(SYS_exit, 0);
    __builtin_unreachable();
}

void bare_reset(void)
{
    bare_used = 0;
}

enum status bare_start(void *(*run)(void *context), void *context, unsigned *number)
{
    int flags = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM |
                CLONE_SETTLS | CLONE_PARENT_SETTID | CLONE_CHILD_CLEARTID;
    const struct descriptor *ours = __builtin_thread_pointer();
    struct bare *bare = &bares[bare_used];

    if (bare_used == bare_count)
        return ST_LIMIT;
    memcpy((uint8_t *)bare->descriptor - block_bytes, bare->kept, block_bytes + DESCRIPTOR_BYTES);
    bare->descriptor->self = bare->descriptor->again = bare->descriptor;
    bare->descriptor->many_threads = 1;
    bare->descriptor->stack_guard = ours->stack_guard;
    bare->descriptor->pointer_guard = ours->pointer_guard;
    bare->run = run;
    bare->context = context;
    if (clone(begin, bare->stack + STACK_BYTES, flags, bare, &bare->running, bare->descriptor,
              &bare->running) < 0)
        return ST_NO_MEMORY;
    *number = bare_used++;
    return ST_OK;
}

void bare_join(unsigned number)
{
    uint32_t running;

    while ((running = atomic_load(&bares[number].running)) != 0) /* the kernel wakes shared futexes */
        futex_wait(&bares[number].running, running, 1000000);
}

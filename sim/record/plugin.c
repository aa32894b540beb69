/*
 * The recorder: a plugin of QEMU's user mode, which runs within the recorded program's process and writes the
 * pages that the program refers to into memory that it shares with `quire trace record` (recording.h).
 *
 * References: each page that a block of instructions lies in, when the block begins (or gets there); each
 * page of each load and store, which of both. What the kernel reads and writes in system calls is not seen.
 *
 * Each thread has a filter: a small table, by the low bits of the page number, of the pages that it referred
 * to last. A reference to a page in the table is left out, unless it is the first write to it.
 *
 * A child of fork() records nothing: the trace is of one process. What exec() starts is not under QEMU.
 *
 * Locking: `lock` guards the queue, the free chunks, `live` and the making of threads. A thread's own
 * structure, chunk and place in threads[] are its own. `off` only ever becomes true.
 */
#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "sim/record/qemu_plugin.h"
#include "sim/record/recording.h"

/* Threads at a time: each has a chunk, and half of the chunks are for the queue. */
enum { THREADS_MOST = 1 << 16, LIVE_MOST = CHUNKS / 2 };

struct thread {
    struct chunk *chunk;
    uint64_t unfiltered; /* references since the last that the filter let through */
    uint64_t mask;       /* of the filter */
    uint64_t filter[];   /* as in the chunk: a page times two, plus one when it was written */
};

const int qemu_plugin_version = 1;

static struct recording *recording;
static _Atomic bool off; /* in a child, and when quire wants no more */
static bool filtered;
static uint32_t page_shift;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct thread *threads[THREADS_MOST]; /* by QEMU's number of the thread */
static uint32_t live;

/* ------------------------------------------------------------------ chunks */

static void futex_wait(_Atomic uint32_t *word, uint32_t value)
{
    syscall(SYS_futex, word, FUTEX_WAIT, value, NULL, NULL, 0);
}

static void futex_wake(_Atomic uint32_t *word)
{
    syscall(SYS_futex, word, FUTEX_WAKE, INT32_MAX, NULL, NULL, 0);
}

/* Under the lock. */
static void queue_chunk(struct chunk *chunk)
{
    uint32_t queued = atomic_load_explicit(&recording->queued, memory_order_relaxed);

    recording->queue[queued % CHUNKS] = (uint32_t)(chunk - recording->chunks);
    atomic_store_explicit(&chunk->state, CHUNK_FULL, memory_order_relaxed);
    atomic_store_explicit(&recording->queued, queued + 1, memory_order_release);
    futex_wake(&recording->queued);
}

/* Under the lock; waits until quire has emptied one. */
static struct chunk *take_chunk(void)
{
    static uint32_t next;

    while (true) {
        uint32_t taken = atomic_load_explicit(&recording->taken, memory_order_acquire);

        for (uint32_t i = 0; i < CHUNKS; i++) {
            struct chunk *chunk = &recording->chunks[(next + i) % CHUNKS];

            if (atomic_load_explicit(&chunk->state, memory_order_acquire) == CHUNK_FREE) {
                next = (next + i + 1) % CHUNKS;
                chunk->since = recording->chunks_taken++;
                atomic_store_explicit(&chunk->count, 0, memory_order_relaxed);
                chunk->unfiltered = 0;
                atomic_store_explicit(&chunk->state, CHUNK_FILLING, memory_order_release);
                return chunk;
            }
        }
        futex_wait(&recording->taken, taken);
    }
}

/* ------------------------------------------------------------------ threads */

/* NULL: there is no room for this thread. */
__attribute__((noinline)) static struct thread *make_thread(unsigned vcpu)
{
    uint32_t entries = recording->filter ? recording->filter : 1;
    struct thread *thread = NULL;

    pthread_mutex_lock(&lock);
    if (vcpu < THREADS_MOST && live < LIVE_MOST)
        thread = malloc(sizeof(*thread) + entries * sizeof(thread->filter[0]));
    if (thread) {
        live++;
        thread->unfiltered = 0;
        thread->mask = entries - 1;
        memset(thread->filter, 0xff, entries * sizeof(thread->filter[0]));
        thread->chunk = take_chunk();
        threads[vcpu] = thread;
    } else {
        recording->lost++;
    }
    pthread_mutex_unlock(&lock);
    return thread;
}

static void on_thread_end(qemu_plugin_id_t id, unsigned vcpu)
{
    struct thread *thread = vcpu < THREADS_MOST ? threads[vcpu] : NULL;

    if (!thread || off)
        return;
    pthread_mutex_lock(&lock);
    queue_chunk(thread->chunk);
    threads[vcpu] = NULL;
    live--;
    pthread_mutex_unlock(&lock);
    free(thread);
}

/* ------------------------------------------------------------------ references */

static void append(struct thread *thread, uint64_t reference)
{
    struct chunk *chunk = thread->chunk;
    uint32_t count = atomic_load_explicit(&chunk->count, memory_order_relaxed);

    chunk->references[count] = reference;
    chunk->unfiltered += thread->unfiltered;
    thread->unfiltered = 0;
    atomic_store_explicit(&chunk->count, count + 1, memory_order_release);
    if (count + 1 < CHUNK_REFERENCES)
        return;
    pthread_mutex_lock(&lock);
    queue_chunk(chunk);
    off = atomic_load_explicit(&recording->stop, memory_order_relaxed) != 0;
    thread->chunk = take_chunk();
    pthread_mutex_unlock(&lock);
}

/* The entry has the bit of a write when the page was written since it came there. */
static inline void refer(unsigned vcpu, uint64_t page, bool write)
{
    struct thread *thread = vcpu < THREADS_MOST ? threads[vcpu] : NULL;
    uint64_t reference = page << 1 | write, *entry;

    if (off || (__builtin_expect(!thread, 0) && !(thread = make_thread(vcpu))))
        return;
    thread->unfiltered++;
    entry = &thread->filter[page & thread->mask];
    if (filtered && (*entry == reference || *entry == (reference | 1)))
        return;
    *entry = reference;
    append(thread, reference);
}

static void on_instructions(unsigned vcpu, void *data)
{
    refer(vcpu, (uintptr_t)data, false);
}

static void on_access(unsigned vcpu, qemu_plugin_meminfo_t info, uint64_t address, void *data)
{
    uint64_t last = (address + ((uint64_t)1 << qemu_plugin_mem_size_shift(info)) - 1) >> page_shift;
    bool write = qemu_plugin_mem_is_store(info);

    for (uint64_t page = address >> page_shift; page <= last; page++)
        refer(vcpu, page, write);
}

/* A block of instructions is translated: it will tell of each page that it gets to, and of its accesses. */
static void on_translate(qemu_plugin_id_t id, struct qemu_plugin_tb *tb)
{
    uint64_t before = UINT64_MAX;

    for (size_t i = 0, count = qemu_plugin_tb_n_insns(tb); i < count; i++) {
        struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, i);
        uint64_t address = qemu_plugin_insn_vaddr(insn);
        uint64_t last = (address + qemu_plugin_insn_size(insn) - 1) >> page_shift;

        for (uint64_t page = address >> page_shift; page <= last; page++)
            if (page != before) {
                /* A page's number travels as the pointer that QEMU hands back. */
                qemu_plugin_register_vcpu_insn_exec_cb(insn, on_instructions, QEMU_PLUGIN_CB_NO_REGS,
                                                       (void *)(uintptr_t)page);
                before = page;
            }
        qemu_plugin_register_vcpu_mem_cb(insn, on_access, QEMU_PLUGIN_CB_NO_REGS, QEMU_PLUGIN_MEM_RW, NULL);
    }
}

/* ------------------------------------------------------------------ other events */

static bool is_exec(int64_t number)
{
    return number == SYS_execve || number == SYS_execveat;
}

static void on_syscall(qemu_plugin_id_t id, unsigned vcpu, int64_t number, uint64_t a1, uint64_t a2,
                       uint64_t a3, uint64_t a4, uint64_t a5, uint64_t a6, uint64_t a7, uint64_t a8)
{
    if (is_exec(number) && !off)
        recording->in_exec = 1;
}

/* An exec that comes back has failed. */
static void on_syscall_end(qemu_plugin_id_t id, unsigned vcpu, int64_t number, int64_t result)
{
    if (is_exec(number) && !off)
        recording->in_exec = 0;
}

static void in_child(void)
{
    off = true;
}

/* ------------------------------------------------------------------ the beginning */

/* "fd=N" says where the shared memory is. */
int qemu_plugin_install(qemu_plugin_id_t id, const struct qemu_info_t *info, int argc, char **argv)
{
    int fd = -1;

    if (argc != 1 || sscanf(argv[0], "fd=%d", &fd) != 1) /* NOLINT(cert-err34-c) */
        return EINVAL;
    recording = mmap(NULL, sizeof(*recording), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (recording == MAP_FAILED || recording->version != RECORDING_VERSION ||
        pthread_atfork(NULL, NULL, in_child))
        return EINVAL;
    close(fd);
    page_shift = recording->page_shift;
    filtered = recording->filter != 0;
    recording->began = 1;
    qemu_plugin_register_vcpu_tb_trans_cb(id, on_translate);
    qemu_plugin_register_vcpu_exit_cb(id, on_thread_end);
    qemu_plugin_register_vcpu_syscall_cb(id, on_syscall);
    qemu_plugin_register_vcpu_syscall_ret_cb(id, on_syscall_end);
    return 0;
}

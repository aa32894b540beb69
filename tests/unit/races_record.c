/*
 * The recorder and quire's side of it, in one process: threads refer to pages through the recorder's calls as
 * QEMU would make them, while the recording is drained. Every thread's references must be in the trace, in
 * their order, whatever the threads do to each other; some threads end early, so that chunks go round.
 */
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#include "sim/record/drain.h"
#include "sim/record/qemu_plugin.h"
#include "support.h"

enum { THREADS = 4, ROUNDS = 3, REFERENCES = 20000, PAGES_EACH = 1000 };

static qemu_plugin_mem_fn *on_access;
static qemu_plugin_vcpu_fn *on_end;
static qemu_plugin_tb_fn *on_translate;
static _Atomic int running;

/* ------------------------------------------------------------------ QEMU's side */

/* One block of one instruction that accesses memory. */
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *tb)
{
    return 1;
}

struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *tb, size_t index)
{
    return NULL;
}

uint64_t qemu_plugin_insn_vaddr(const struct qemu_plugin_insn *insn)
{
    return 0x400000;
}

size_t qemu_plugin_insn_size(const struct qemu_plugin_insn *insn)
{
    return 4;
}

/* An access's description is here: bit 0 whether it is a store, then the logarithm of its length. */
bool qemu_plugin_mem_is_store(qemu_plugin_meminfo_t info)
{
    return info & 1;
}

unsigned qemu_plugin_mem_size_shift(qemu_plugin_meminfo_t info)
{
    return info >> 1;
}

void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t id, qemu_plugin_tb_fn *call)
{
    on_translate = call;
}

void qemu_plugin_register_vcpu_insn_exec_cb(struct qemu_plugin_insn *insn, qemu_plugin_exec_fn *call,
                                            enum qemu_plugin_cb_flags flags, void *data)
{
}

void qemu_plugin_register_vcpu_mem_cb(struct qemu_plugin_insn *insn, qemu_plugin_mem_fn *call,
                                      enum qemu_plugin_cb_flags flags, enum qemu_plugin_mem_rw rw, void *data)
{
    on_access = call;
}

void qemu_plugin_register_vcpu_exit_cb(qemu_plugin_id_t id, qemu_plugin_vcpu_fn *call)
{
    on_end = call;
}

void qemu_plugin_register_vcpu_syscall_cb(qemu_plugin_id_t id, qemu_plugin_syscall_fn *call)
{
}

void qemu_plugin_register_vcpu_syscall_ret_cb(qemu_plugin_id_t id, qemu_plugin_syscall_end_fn *call)
{
}

/* ------------------------------------------------------------------ the test */

static uint64_t page_of(unsigned vcpu, unsigned i)
{
    return vcpu * PAGES_EACH + i * 7 % PAGES_EACH;
}

/* The last round's threads just stop, as when a program is killed. */
static void *refer(void *argument)
{
    unsigned vcpu = (unsigned)(uintptr_t)argument % THREADS, round = (unsigned)(uintptr_t)argument / THREADS;

    for (unsigned i = 0; i < REFERENCES; i++)
        on_access(vcpu, 3 << 1 | (i & 1), page_of(vcpu, i) * 4096 + 100, NULL);
    if (round < ROUNDS - 1)
        on_end(0, vcpu);
    running--;
    return NULL;
}

static void run_round(struct drain *drain, unsigned round)
{
    struct trace_error error;
    pthread_t threads[THREADS];

    running = THREADS;
    for (unsigned i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, refer, (void *)(uintptr_t)(round * THREADS + i)),
                         0);
    while (running > 0)
        assert_true(drain_some(drain, &error));
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
}

static void expect_trace(const char *path)
{
    struct trace_error error;
    struct trace *trace = trace_open(path, NULL, &error);
    unsigned next[THREADS] = {0};
    struct policy_block block;

    assert_non_null(trace);
    while (trace_next(trace, &block, &error) && block.count > 0)
        for (size_t i = 0; i < block.count; i++) {
            uint64_t page = trace_page_name(trace, block.references[i] >> 1);
            unsigned vcpu = (unsigned)(page / PAGES_EACH), at = next[vcpu]++ % REFERENCES;

            assert_int_equal(page, page_of(vcpu, at));
            assert_int_equal(block.references[i] & 1, at & 1);
        }
    for (unsigned i = 0; i < THREADS; i++)
        assert_int_equal(next[i], ROUNDS * REFERENCES);
    trace_close(trace);
}

static void test_threads(void **unused)
{
    char path[] = "/tmp/quire-record-XXXXXX", words[32], *argv[] = {words};
    int file = mkstemp(path);
    struct trace_error error;
    struct drain *drain = drain_create(path, 4096, 0, &error);
    struct drain_totals totals;

    assert_true(file >= 0);
    assert_non_null(drain);
    snprintf(words, sizeof(words), "fd=%d", dup(drain_fd(drain)));
    assert_int_equal(qemu_plugin_install(0, NULL, 1, argv), 0);
    on_translate(0, NULL);
    for (unsigned round = 0; round < ROUNDS; round++)
        run_round(drain, round);
    assert_true(drain_finish(drain, &totals, &error));
    assert_true(totals.began);
    assert_false(totals.in_exec);
    assert_int_equal(totals.lost, 0);
    assert_int_equal(totals.references, ROUNDS * THREADS * REFERENCES);
    assert_int_equal(totals.unfiltered, totals.references);
    assert_int_equal(totals.pages, THREADS * PAGES_EACH);
    expect_trace(path);
    unlink(path);
    close(file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_threads)};

    return cmocka_run_group_tests_name("recording", tests, NULL, NULL);
}

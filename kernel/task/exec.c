/*
 * exec: a process gets a new program.
 *
 * Stages over one context. Up to commit() nothing of the old program has changed, and every failure is an
 * errno; a complete new address space has been built beside the old one by then. From commit() on nothing can
 * fail but the wait for the other threads to leave, which comes first.
 *
 * The vfork() parent of the process may go on as soon as its memory is no longer in use.
 */
#include <asm-generic/errno.h>
#include <asm-generic/resource.h>
#include <linux/personality.h>

#include "base/check.h"
#include "kernel/boot/boot_info.h"
#include "kernel/fs/internal.h"
#include "kernel/klib.h"
#include "kernel/linux/ranges.h"
#include "kernel/linux/syscalls.h"
#include "kernel/mm/events.h"
#include "kernel/task/exec_internal.h"
#include "kernel/task/member.h"
#include "quire/slab.h"

enum {
    FIRST_BYTES = 256, /* that tell what a file is: an ELF header, or a script's first line */
    SCRIPTS_MAX = 4    /* scripts whose interpreter is a script */
};

struct exec {
    const struct exec_request *request;
    char *resolved; /* path of the program's file */
    struct exec_strings strings;
    struct exec_image program, interpreter;
    bool interpreted;
    struct space *space;
    struct exec_stack stack;
    struct signal_actions *spare_actions;
    char *spare_path; /* process->exe_path to be */
    uint64_t mmap_top, break_start;
    char first[FIRST_BYTES];
    size_t first_bytes;
    char script[FIRST_BYTES];
};

enum { FLAGS_FIRST = 0x202 }; /* interrupts on; bit 1 is always set */

/* ---------------------------------------------------------------- random places */

enum { MMAP_RANDOM_BITS = 28, STACK_RANDOM_BITS = 22, BREAK_RANDOM_BITS = 13 };
static const uint64_t PIE_BASE = 0x555555554000, MMAP_GAP = 128 << 20;

/* Some pages, at most 2^bits - 1 of them; 0 without randomisation. */
static uint64_t random_pages(unsigned bits)
{
    const struct process *process = process_current();
    uint64_t value;

    if (!process->aslr || (process->personality & ADDR_NO_RANDOMIZE))
        return 0;
    random_bytes(&value, sizeof(value));
    return (value & (((uint64_t)1 << bits) - 1)) << PAGE_SHIFT;
}

/* ---------------------------------------------------------------- what is it? */

static int read_first(struct exec *exec)
{
    struct object *object = exec->program.node->object;

    memset(exec->first, 0, sizeof(exec->first));
    return (int)errno_of(object_read(object, 0, exec->first, sizeof(exec->first), &exec->first_bytes));
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

/* Splits "#!interpreter argument" in exec->first; false: there is no interpreter. */
static bool parse_script(struct exec *exec, char **interpreter, char **argument)
{
    char *line = exec->first + 2, *end = memchr(exec->first, '\n', exec->first_bytes);

    if (!end) {
        if (exec->first_bytes == FIRST_BYTES)
            return false; /* it goes on: the name may be cut */
        end = exec->first + exec->first_bytes;
    }
    while (end > line && is_blank(end[-1]))
        end--;
    *end = '\0';
    while (is_blank(*line))
        line++;
    if (!*line)
        return false;
    *interpreter = line;
    while (*line && !is_blank(*line))
        line++;
    *argument = NULL;
    if (*line) {
        *line++ = '\0';
        while (is_blank(*line))
            line++;
        *argument = line;
    }
    return true;
}

/* The program is a script: go on with its interpreter. */
static int enter_script(struct exec *exec, const char *path)
{
    char *interpreter, *argument;
    int error;

    if (!parse_script(exec, &interpreter, &argument))
        return -ENOEXEC;
    error = exec_strings_insert_script(&exec->strings, interpreter, argument, path);
    if (error)
        return error;
    strlcpy(exec->script, interpreter, sizeof(exec->script));
    vnode_unref(exec->program.node);
    exec->program.node = NULL;
    return exec_open(NULL, exec->script, &exec->program.node, exec->resolved);
}

static int find_program(struct exec *exec)
{
    const char *path = exec->request->path;
    int error = exec_open(exec->request, path, &exec->program.node, exec->resolved);

    for (unsigned scripts = 0; !error; scripts++) {
        char previous[FIRST_BYTES];

        error = read_first(exec);
        if (error || exec->first_bytes < 2 || exec->first[0] != '#' || exec->first[1] != '!')
            break;
        if (scripts == SCRIPTS_MAX)
            return -ELOOP;
        strlcpy(previous, exec->script, sizeof(previous));
        error = enter_script(exec, scripts ? previous : path);
    }
    return error;
}

/* ---------------------------------------------------------------- the dynamic loader */

static int find_interpreter(struct exec *exec)
{
    const struct elf_image *elf = &exec->program.elf;
    struct exec_image *interpreter = &exec->interpreter;
    char first[sizeof(struct elf64_hdr)], *name;
    size_t done;
    int error;

    if (!elf->interpreter_bytes)
        return 0;
    name = path_buffer();
    if (!name)
        return -ENOMEM;
    error = (int)errno_of(object_read(exec->program.node->object, elf->interpreter_offset, name,
                                      elf->interpreter_bytes, &done));
    if (error == 0 && (done != elf->interpreter_bytes || name[done - 1] != '\0'))
        error = -ENOEXEC;
    if (error == 0)
        error = exec_open(NULL, name, &interpreter->node, NULL);
    path_buffer_free(name);
    if (error)
        return error;
    error = (int)errno_of(object_read(interpreter->node->object, 0, first, sizeof(first), &done));
    if (error)
        return error;
    error = exec_image_check(interpreter, first, done);
    exec->interpreted = !error;
    return error == -ENOEXEC ? -ELIBBAD : error;
}

/* ---------------------------------------------------------------- the new address space */

static uint64_t stack_limit(void)
{
    uint64_t limit = process_current()->limits[RLIMIT_STACK][0];

    return limit > MMAP_GAP * 64 ? MMAP_GAP * 64 : align_up(limit, PAGE_SIZE);
}

static void choose_layout(struct exec *exec)
{
    struct exec_image *program = &exec->program;
    uint64_t gap = stack_limit();

    exec->stack.top = SPACE_END - random_pages(STACK_RANDOM_BITS);
    exec->stack.limit_bytes = gap;
    if (gap < MMAP_GAP)
        gap = MMAP_GAP;
    exec->mmap_top = exec->stack.top - gap - random_pages(MMAP_RANDOM_BITS);
    space_set_layout(exec->space, vaddr(exec->mmap_top), vaddr(exec->stack.top - PAGE_SIZE),
                     vaddr(exec->stack.top), exec->stack.limit_bytes);
    program->bias = 0;
    if (program->elf.moves)
        program->bias = align_down(PIE_BASE + random_pages(MMAP_RANDOM_BITS), program->elf.alignment) -
                        align_down(program->elf.start, program->elf.alignment);
    exec->break_start = program->elf.end + program->bias;
}

static int build_space(struct exec *exec)
{
    int error = 0;

    if (space_create(&exec->space) != ST_OK)
        return -ENOMEM;
    choose_layout(exec);
    member_begin_program(exec->space, exec->request->path);
    space_set_limit(exec->space, process_current()->limits[RLIMIT_AS][0]);
    error = exec_image_map(&exec->program, exec->space);
    if (!error && exec->interpreted)
        error = exec_image_place(&exec->interpreter, exec->space);
    if (!error && exec->interpreted)
        error = exec_image_map(&exec->interpreter, exec->space);
    if (error)
        return error;
    space_init_break(exec->space, vaddr(exec->break_start + random_pages(BREAK_RANDOM_BITS)));
    exec->stack.program = &exec->program;
    exec->stack.interpreter = exec->interpreted ? &exec->interpreter : NULL;
    exec->stack.file_name = exec->request->path;
    error = exec_stack_build(&exec->stack, &exec->strings, exec->space);
    if (!error)
        space_set_layout(exec->space, vaddr(exec->mmap_top), vaddr(exec->stack.start), vaddr(exec->stack.end),
                         exec->stack.limit_bytes);
    return error;
}

/* ---------------------------------------------------------------- no way back */

/* Every other thread ends; the current one takes the number of the process. */
static int become_single(struct process *process)
{
    struct task *task = task_current();

    process_kill_other_threads(process);
    while (process->thread_count > 1) {
        struct waitq_entry entry;
        int result;

        waitq_add(&process->thread_wait, &entry);
        result = process->thread_count > 1 ? sched_sleep(UINT64_MAX, SLEEP_KILLABLE) : 0;
        waitq_remove(&entry);
        if (result == -EINTR)
            return -EINTR;
    }
    if (process->leader != task) {
        task_unhash(task);
        task->tid = process->pid;
        task_hash(task);
        process->leader = task;
    }
    return 0;
}

static void replace_space(struct exec *exec, struct process *process)
{
    struct task *task = task_current();
    struct space *old = process->space;

    if (old)
        thread_leaves_space(task);
    resident_leaves(process);
    ranges_clear(process);
    if (host_watched && old)
        record_forget(old);
    process->space = exec->space;
    resident_begins(process);
    exec->space = NULL;
    process->keeps_space = false;
    mmu_activate(space_mmu(process->space));
    vfork_end(task);
    if (old)
        space_unref(old);
}

static void name_process(struct exec *exec, struct process *process)
{
    const char *path = exec->request->path, *slash = strrchr(path, '/');
    struct vnode *old = process->exe;

    strlcpy(task_current()->name, slash ? slash + 1 : path, sizeof(task_current()->name));
    process->exe = exec->program.node;
    exec->program.node = NULL;
    if (old)
        vnode_unref(old);
    slab_free(process->exe_path);
    process->exe_path = exec->spare_path;
    exec->spare_path = NULL;
    process->args_start = exec->stack.args_at;
    process->args_end = exec->stack.args_at + exec->strings.args_bytes;
    process->environment_end = exec->stack.args_at + exec->strings.used;
}

static void reset_task(struct exec *exec, struct task *task)
{
    struct trap_frame *frame = task->frame;
    const struct exec_image *entered = exec->interpreted ? &exec->interpreter : &exec->program;

    memset(frame, 0, sizeof(*frame)); /* vector 0: no system call to return from */
    frame->rip = entered->elf.entry + entered->bias;
    frame->rsp = exec->stack.pointer;
    frame->cs = SEL_USER_CODE;
    frame->ss = SEL_USER_DATA;
    frame->rflags = FLAGS_FIRST;
    task->sigalt_start = task->sigalt_bytes = 0;
    task->sigalt_flags = 0;
    task->restart_ns = 0;
    task->forced_signo = 0; /* of memory that is gone */
    fs_base_set(0);
    user_gs_base_set(0);
    fpu_init_area(task->fpu);
    fpu_restore(task->fpu);
}

/* Root has all of them again; whoever is not keeps none, because files have none to give. */
static void exec_capabilities(struct process *process)
{
    struct capabilities *held = &process->capabilities;
    bool real = process->uid[CREDENTIAL_REAL] == 0, effective = process->uid[CREDENTIAL_EFFECTIVE] == 0;

    held->permitted = real || effective ? CAPABILITIES_ALL : 0;
    held->effective = effective ? CAPABILITIES_ALL : 0;
    process->keeps_capabilities = false;
    limits_apply(process, process->space);
}

static int commit(struct exec *exec)
{
    struct process *process = process_current();
    int error = become_single(process);

    if (error)
        return error;
    replace_space(exec, process);
    files_close_on_exec(process->files);
    signal_actions_exec(process, exec->spare_actions);
    exec->spare_actions = NULL;
    process_timers_exec(process);
    name_process(exec, process);
    if (host_watched)
        events_start(process, task_current()->name);
    exec_capabilities(process);
    process->execed = true;
    process->dumpable = true;
    process->exit_signal = SIGCHLD;
    reset_task(exec, task_current());
    return 0;
}

/* ---------------------------------------------------------------- all of it */

static size_t strings_limit(void)
{
    enum { LIMIT_LEAST = 128 * 1024, LIMIT_MOST = 6 * 1024 * 1024 };
    uint64_t quarter = process_current()->limits[RLIMIT_STACK][0] / 4;

    if (quarter > LIMIT_MOST)
        return LIMIT_MOST;
    return quarter < LIMIT_LEAST ? LIMIT_LEAST : quarter;
}

/* Takes everything that commit() needs and that there may be no memory for. */
static int prepare_commit(struct exec *exec)
{
    size_t bytes = strlen(exec->resolved) + 1;

    exec->spare_path = fs_alloc(bytes);
    if (!exec->spare_path)
        return -ENOMEM;
    memcpy(exec->spare_path, exec->resolved, bytes);
    if (!process_current()->actions->caught)
        return 0;
    exec->spare_actions = signal_actions_create();
    return exec->spare_actions ? 0 : -ENOMEM;
}

static int run_stages(struct exec *exec)
{
    const struct exec_request *request = exec->request;
    int error = request->strings ? exec_strings_take(&exec->strings, request)
                                 : exec_strings_read(&exec->strings, request->argv, request->envp);

    if (!error)
        error = find_program(exec);
    if (!error)
        error = exec_image_check(&exec->program, exec->first, exec->first_bytes);
    if (!error)
        error = find_interpreter(exec);
    if (!error)
        error = prepare_commit(exec);
    if (!error)
        error = build_space(exec);
    return error ? error : commit(exec);
}

static void clean_up(struct exec *exec)
{
    if (exec->space)
        space_unref(exec->space);
    if (exec->spare_actions)
        signal_actions_unref(exec->spare_actions);
    slab_free(exec->spare_path);
    exec_image_free(&exec->program);
    exec_image_free(&exec->interpreter);
    exec_strings_free(&exec->strings);
    path_buffer_free(exec->resolved);
}

long process_exec(const struct exec_request *request)
{
    struct exec exec;
    int error;

    exec.request = request;
    exec.interpreted = false;
    exec.space = NULL;
    exec.spare_actions = NULL;
    exec.spare_path = NULL;
    exec.program.node = exec.interpreter.node = NULL;
    exec.program.headers = exec.interpreter.headers = NULL;
    exec.script[0] = '\0';
    exec_strings_init(&exec.strings, strings_limit());
    exec.resolved = path_buffer();
    if (!exec.resolved)
        return -ENOMEM;
    error = run_stages(&exec);
    clean_up(&exec);
    return error;
}

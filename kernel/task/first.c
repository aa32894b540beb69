/*
 * The first process: what `quire boot` was asked to run. It starts the system's work and ends it.
 *
 * It begins as a kernel thread of its process, execs the program that /.quire/init names and leaves for user
 * mode. When it ends, whatever else runs is killed, files are written back, and the kernel goes with its
 * exit status.
 */
#include <asm-generic/errno.h>
#include <asm-generic/resource.h>
#include <linux/wait.h>

#include "base/check.h"
#include "kernel/boot/boot_info.h"
#include "kernel/dev/hostlink.h"
#include "kernel/fs/vfs.h"
#include "kernel/klib.h"
#include "kernel/linux/syscalls.h"
#include "kernel/mm/events.h"
#include "kernel/mm/report.h"
#include "kernel/task/exec_internal.h"
#include "kernel/task/group.h"
#include "quire/slab.h"

enum { STATUS_CANNOT_RUN = 126, STATUS_NOT_FOUND = 127 }; /* as a shell has it */

static const char default_path[] = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/* ---------------------------------------------------------------- what to run */

struct init {
    char *text; /* the whole file, ended by one more NUL */
    size_t bytes;
    const char *strings;
    unsigned argc, envc;
};

static bool parse_number(const char **at, const char *end, unsigned *out)
{
    enum { NUMBER_MOST = 1 << 20 };
    unsigned value = 0;

    while (*at < end && **at >= '0' && **at <= '9' && value < NUMBER_MOST)
        value = value * 10 + (unsigned)(*(*at)++ - '0');
    if (*at == end || **at != '\0')
        return false;
    ++*at;
    *out = value;
    return true;
}

static bool parse(struct init *init)
{
    const char *at = init->text, *end = at + init->bytes;
    unsigned strings = 0;

    if (!parse_number(&at, end, &init->argc) || !parse_number(&at, end, &init->envc) || init->argc == 0)
        return false;
    init->strings = at;
    while (at < end && strings < init->argc + init->envc) {
        at += strnlen(at, (size_t)(end - at)) + 1;
        strings++;
    }
    init->bytes = (size_t)(at - init->strings);
    return strings == init->argc + init->envc && at <= end + 1;
}

static int read_init(struct init *init)
{
    enum { BYTES_MOST = 4 << 20 };
    struct vnode *node;
    int error = path_walk(NULL, "/.quire/init", WALK_FOLLOW, &node, NULL);
    uint64_t size;

    if (error)
        return error;
    size = node->object ? object_size(node->object) : 0;
    init->text = size && size <= BYTES_MOST ? slab_alloc(size + 1) : NULL;
    if (!init->text)
        error = size ? -ENOMEM : -ENOEXEC;
    else if (object_read(node->object, 0, init->text, size, &init->bytes) != ST_OK)
        error = -EIO;
    else if (!parse(init))
        error = -ENOEXEC;
    vnode_unref(node);
    return error;
}

static const char *environment_value(const struct init *init, const char *name)
{
    const char *at = init->strings;
    size_t length = strlen(name);

    for (unsigned i = 0; i < init->argc + init->envc; i++, at += strlen(at) + 1)
        if (i >= init->argc && strncmp(at, name, length) == 0 && at[length] == '=')
            return at + length + 1;
    return NULL;
}

/* ---------------------------------------------------------------- running it */

static int exec_path(const struct init *init, const char *path)
{
    const struct exec_request request = {
        .path = path,
        .strings = init->strings,
        .strings_bytes = init->bytes,
        .argc = init->argc,
        .envc = init->envc,
    };

    return (int)process_exec(&request);
}

/* As execvp(3): a name without a slash is looked for in PATH. */
static int exec_search(const struct init *init, char *buffer)
{
    const char *name = init->strings, *path = environment_value(init, "PATH");
    int error = -ENOENT;

    if (strchr(name, '/'))
        return exec_path(init, name);
    for (path = path ? path : default_path; *path;) {
        const char *colon = strchr(path, ':');
        size_t length = colon ? (size_t)(colon - path) : strlen(path);

        if (length + strlen(name) + 2 <= PATH_BYTES) {
            snprintf(buffer, PATH_BYTES, "%.*s%s%s", (int)length, path, length ? "/" : "", name);
            int result = exec_path(init, buffer);

            if (result != -ENOENT && result != -ENOTDIR && result != -EACCES)
                return result;
            if (result == -EACCES)
                error = result;
        }
        path += length + (colon ? 1 : 0);
    }
    return error;
}

static const char *error_text(int error)
{
    switch (error) {
    case -ENOENT:
    case -ENOTDIR:
        return "not found";
    case -EACCES:
        return "permission denied";
    case -ENOEXEC:
        return exec_refusal();
    case -ELIBBAD:
        return "its loader cannot be used";
    case -ENOMEM:
        return "not enough memory";
    case -E2BIG:
        return "argument list too long";
    case -EIO:
        return "input/output error";
    default:
        return "cannot be run";
    }
}

static void complain(const struct init *init, int error)
{
    char text[256];
    int length = snprintf(text, sizeof(text), "quire: %.200s: %s\n",
                          init->strings ? init->strings : "/.quire/init", error_text(error));

    (void)hostlink_write(2, text, (size_t)length < sizeof(text) ? (size_t)length : sizeof(text) - 1);
    host_log("%s", text);
}

static void first_main(void *context)
{
    struct init init = {0};
    char *buffer = path_buffer();
    int error = buffer ? read_init(&init) : -ENOMEM;

    if (!error)
        error = exec_search(&init, buffer);
    if (error)
        complain(&init, error);
    slab_free(init.text);
    path_buffer_free(buffer);
    if (error)
        process_exit((error == -ENOENT || error == -ENOTDIR ? STATUS_NOT_FOUND : STATUS_CANNOT_RUN) << 8);
    report_first_user();
    trap_return(task_current()->frame);
}

/* Linux's limits of a process that nobody has limited. */
static void set_limits(struct process *process)
{
    enum { STACK_BYTES = 8 << 20, DESCRIPTORS = 1024, DESCRIPTORS_MOST = 4096, LOCKED_BYTES = 8 << 20 };
    enum { QUEUE_BYTES = 819200 };

    for (unsigned i = 0; i < RLIM_NLIMITS; i++)
        process->limits[i][0] = process->limits[i][1] = RLIM_INFINITY;
    process->limits[RLIMIT_STACK][0] = STACK_BYTES;
    process->limits[RLIMIT_CORE][0] = 0;
    process->limits[RLIMIT_NOFILE][0] = DESCRIPTORS;
    process->limits[RLIMIT_NOFILE][1] = DESCRIPTORS_MOST;
    process->limits[RLIMIT_MEMLOCK][0] = process->limits[RLIMIT_MEMLOCK][1] = LOCKED_BYTES;
    process->limits[RLIMIT_MSGQUEUE][0] = process->limits[RLIMIT_MSGQUEUE][1] = QUEUE_BYTES;
    process->limits[RLIMIT_NICE][0] = process->limits[RLIMIT_NICE][1] = 0;
    process->limits[RLIMIT_RTPRIO][0] = process->limits[RLIMIT_RTPRIO][1] = 0;
}

static int furnish(struct process *process)
{
    int error;

    process->actions = signal_actions_create();
    process->files = files_create();
    process->cwd_path = slab_alloc(2);
    if (!process->actions || !process->files || !process->cwd_path)
        return -ENOMEM;
    strlcpy(process->cwd_path, "/", 2);
    error = path_walk(NULL, "/", WALK_FOLLOW, &process->root, NULL);
    if (error)
        return error;
    process->cwd = vnode_ref(process->root);
    process->umask = 022;
    process->capabilities = (struct capabilities){CAPABILITIES_ALL, CAPABILITIES_ALL, 0};
    process->dumpable = true;
    process->aslr = !boot_option("noaslr", NULL, 0);
    process->start_ns = host_now_ns();
    set_limits(process);
    return 0;
}

int process_start_first(const struct boot_info *info)
{
    struct process *process = process_alloc();
    struct task *task = task_alloc("init");
    int error;

    if (!process || !task)
        return -ENOMEM;
    error = furnish(process);
    if (error)
        return error;
    process->pid = process->pgid = process->sid = number_take();
    process->leader = task;
    process->exit_signal = 0;
    first_process = process;
    process_add(process);
    fpu_init_area(task->fpu);
    task->function = first_main;
    task_attach(task, process, process->pid);
    error = stdio_open(process);
    if (error)
        return error;
    task_begin(task, kthread_enter);
    return 0;
}

/* ---------------------------------------------------------------- its end */

static void kill_other(struct process *process, void *context)
{
    unsigned *left = context;

    if (process == first_process || process->zombie)
        return;
    ++*left;
    (void)signal_send_process(process, SIGKILL, NULL);
}

/* At the end nobody waits for ever: so many times so long. */
enum { ROUNDS = 5000 };
static const uint64_t ROUND_NS = 1000 * 1000;

/* The others end in order, so that what they have mapped is written back. */
static void end_others(void)
{
    for (unsigned round = 0; round < ROUNDS; round++) {
        unsigned left = 0;

        process_for_each(kill_other, &left);
        if (left == 0)
            return;
        (void)sched_sleep(host_now_ns() + ROUND_NS, SLEEP_UNTIL_WOKEN);
    }
    host_log("quire: %u processes did not end", process_count() - 1);
}

/* A member that is no group's had programs, and they have ended. */
static const char *member_left_over(void)
{
    struct member_report look;

    for (uint32_t member = 1; member < MEMBERS_MAX; member++)
        if (member_look(member, &look) && !group_of_member(member))
            return "a member is left that has no programs";
    return NULL;
}

/*
 * check=1, for tests: every invariant of the core is walked, and nothing of the programs is left. What the
 * kernel's own threads have in hand just now goes soon.
 */
static void check_all(void)
{
    const char *left = NULL;

    vm_check_all();
    for (unsigned round = 0; round < ROUNDS; round++) {
        left = vm_left_over();
        if (!left)
            left = member_left_over();
        if (!left)
            break;
        (void)sched_sleep(host_now_ns() + ROUND_NS, SLEEP_UNTIL_WOKEN);
    }
    if (left)
        host_panic("the end: %s", left);
    vm_check_all();
    host_log("quire: all is checked, nothing is left over");
}

static int exit_status(const struct process *process)
{
    int status = process->exit_code;

    return (status & 0x7f) ? 128 + (status & 0x7f) : (status >> 8) & 0xff;
}

_Noreturn void first_process_end(void)
{
    struct process *process = first_process;

    report_note_end();
    end_others();
    process_release(process);
    if (objects_sync_all() != ST_OK)
        host_log("quire: not everything could be written back");
    if (boot_option_number("check", 0) != 0)
        check_all();
    events_end();
    hostlink_exit(exit_status(process));
    machine_exit(MACHINE_DONE);
}

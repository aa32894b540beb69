/*
 * Out of memory: the process that holds most memory ends, the others live. When it is a member that has its
 * maximum, and not the machine that is out of memory, one of the member's.
 */
#include "kernel/dev/hostlink.h"
#include "kernel/klib.h"
#include "kernel/mm/events.h"
#include "kernel/task/group.h"
#include "kernel/task/task_internal.h"
#include "quire/frame.h"

struct dying {
    uint32_t member; /* of these only; MEMBER_NOBODY: of all */
    bool any;
};

struct largest {
    uint32_t member; /* as above */
    struct process *process;
    int64_t points;
};

static const uint64_t PATIENCE_NS = (uint64_t)2 * 1000 * 1000 * 1000; /* for a process to end */
static const uint64_t LOOK_AGAIN_NS = 1000 * 1000;
static uint64_t last_ns;

static bool is_dying(const struct process *process)
{
    return process->exiting || (process->pending.set & signal_bit(SIGKILL));
}

static bool is_charged_to(const struct process *process, uint32_t member)
{
    return member == MEMBER_NOBODY || space_member(process->space) == member;
}

static void look_for_dying(struct process *process, void *context)
{
    struct dying *dying = context;

    if (!process->zombie && process->space && is_dying(process) && is_charged_to(process, dying->member))
        dying->any = true;
}

/* Somebody was ended a moment ago, and his memory is about to come back. What another member's comes to is no
 * use to one that has its maximum. */
static bool wait_for_dying(uint32_t member)
{
    struct dying dying = {.member = member};
    uint64_t now_ns = host_now_ns();

    if (last_ns == 0 || now_ns - last_ns > PATIENCE_NS)
        return false;
    process_for_each(look_for_dying, &dying);
    if (dying.any)
        (void)sched_sleep(now_ns + LOOK_AGAIN_NS, SLEEP_KILLABLE);
    return dying.any;
}

/* As Linux's oom_badness(): what it holds, and what was said of it. */
int64_t oom_points(const struct process *process, uint64_t total)
{
    struct space_counts counts = {0};

    if (process->space)
        space_count(process->space, &counts);
    return (int64_t)(counts.resident_pages + counts.swap_pages + counts.table_frames) +
           process->oom_adjust * (int64_t)total / OOM_ADJUST_MOST;
}

static void consider(struct process *process, void *context)
{
    struct largest *largest = context;
    int64_t points;

    if (!process->space || process->zombie || process->oom_adjust == OOM_ADJUST_LEAST)
        return;
    if (is_dying(process) || !is_charged_to(process, largest->member))
        return;
    points = oom_points(process, frame_table_count);
    if (!largest->process || points > largest->points)
        *largest = (struct largest){largest->member, process, points};
}

static uint32_t current_member(void)
{
    const struct process *process = process_current();

    return process && process->space ? space_member(process->space) : MEMBER_NOBODY;
}

/* The member, if it has all that it may. */
static uint32_t full_member(uint32_t member)
{
    struct member_report look;

    if (member == MEMBER_NOBODY || !member_look(member, &look) || look.frames <= look.maximum)
        return MEMBER_NOBODY;
    return member;
}

/* With a message; or waits for one that was ended. False: there is none that may be, or the current process
 * is about to end itself. */
static bool kill_largest(uint32_t member)
{
    enum { PAGES_PER_MEBIBYTE = 256 };
    struct largest largest = {.member = full_member(member)};
    struct space_counts counts;
    const char *name;
    char text[128];
    int length;

    if (process_current() && is_dying(process_current()))
        return false; /* it would wait for itself, and then for another's end */
    if (wait_for_dying(largest.member))
        return true;
    process_for_each(consider, &largest);
    if (!largest.process)
        return false;
    space_count(largest.process->space, &counts);
    name = largest.process->leader ? largest.process->leader->name : "?";
    length = snprintf(
        text, sizeof(text), "quire: out of memory: ended %d %s, which held %llu MiB\n", largest.process->pid,
        name, (unsigned long long)((counts.resident_pages + PAGES_PER_MEBIBYTE / 2) / PAGES_PER_MEBIBYTE));
    last_ns = host_now_ns();
    if (host_watched)
        events_note(EVENT_OOM, largest.process, 0, counts.resident_pages, 0);
    group_note_kill(largest.process);
    host_log("%s", text);
    (void)hostlink_write(2, text, (size_t)length < sizeof(text) ? (size_t)length : sizeof(text) - 1);
    (void)signal_send_process(largest.process, SIGKILL, NULL);
    return true;
}

bool host_memory_out(uint32_t member)
{
    if (!kill_largest(member == MEMBER_NOBODY ? current_member() : member))
        return false;
    sched_yield();
    return true;
}

/*
 * Members, classes by program names, load control. See member.h.
 *
 * Load control decides that a member goes out of memory (reclaim_balance()); its processes are held here:
 * each of their tasks sleeps before it would return to user mode, so none touches memory while its pages are
 * written. What a task does in the kernel meanwhile (a read that ends) may bring a page back; nobody is
 * charged for it.
 *
 * Whether a process is held is never noted but asked each time, of the member that it has then: a process
 * that begins another program in the kernel, or enters a group, leaves the one that is out. WORK_HOLD only
 * says that it is to be asked; every task of a member that is out has it.
 */
#include <asm-generic/errno.h>

#include "kernel/klib.h"
#include "kernel/mm/events.h"
#include "kernel/mm/paging_options.h"
#include "kernel/task/group.h"
#include "kernel/task/member.h"
#include "kernel/task/pressure.h"
#include "kernel/task/task_internal.h"

enum { NS_PER_US = 1000 };

static const uint64_t BALANCE_NS = (uint64_t)50 * 1000 * 1000, HOLD_NS = (uint64_t)10 * 1000 * 1000;

/* ------------------------------------------------------------------ classes */

/* The class that was said for the program's name. */
static void set_class(uint32_t member, const char *path)
{
    enum scope_class class;
    uint64_t minimum;

    if (paging_class_of(path, &class, &minimum) && member_set_class(member, class, minimum) != ST_OK)
        host_log("%s: %lu KiB cannot be guaranteed, it is an ordinary program", path,
                 minimum << PAGE_SHIFT >> 10);
}

void member_begin_program(struct space *space, const char *path)
{
    const struct process *process = process_current();
    uint32_t member;

    if (process && process->group) {
        space_set_member(space, process->group->member);
        return;
    }
    member = member_create();
    if (member == MEMBER_NOBODY)
        return; /* too many: what it touches is nobody's */
    set_class(member, path);
    space_set_member(space, member);
    member_unref(member);
}

/* ------------------------------------------------------------------ load control */

/* Its pages are on their way out. */
static uint32_t leaving = MEMBER_NOBODY;

struct by_member {
    uint32_t member;
    enum scope_swap what;
    uint64_t pages; /* the member's */
};

static bool is_of(const struct process *process, uint32_t member)
{
    return process->space && space_member(process->space) == member;
}

static bool is_held(const struct process *process)
{
    uint32_t member = process->space ? space_member(process->space) : MEMBER_NOBODY;

    return member != MEMBER_NOBODY && (member == leaving || member_is_out(member));
}

void member_hold(struct process *process)
{
    if (!reclaim_controls_load() || !is_held(process))
        return;
    list_for_each(node, &process->threads) task_add_work(container_of(node, struct task, thread), WORK_HOLD);
}

static void visit(struct process *process, void *context)
{
    const struct by_member *by = context;

    if (!is_of(process, by->member))
        return;
    if (host_watched)
        events_note(by->what == SWAP_OUT ? EVENT_SWAP_OUT : EVENT_SWAP_IN, process, 0, by->pages, 0);
    member_hold(process);
}

/* Looks again now and then: who lets it go does not have to find its tasks, and a signal that ends it counts.
 */
void member_hold_here(void)
{
    const struct process *process = process_current();

    while (is_held(process) && !process->exiting &&
           sched_sleep(host_now_ns() + HOLD_NS, SLEEP_KILLABLE) != -EINTR)
        ;
    task_clear_work(WORK_HOLD);
}

static void swap(uint32_t member, enum scope_swap what)
{
    struct by_member by = {.member = member, .what = what};
    struct member_report look;

    if (member_look(member, &look))
        by.pages = look.frames;
    if (what == SWAP_IN)
        reclaim_swap_in(member);
    else
        leaving = member;
    process_for_each(visit, &by);
    if (what == SWAP_OUT)
        reclaim_swap_out(member);
    leaving = MEMBER_NOBODY;
}

/* Sleeps for a while. The microseconds of it in which no program worked and none waited for memory. */
static uint64_t pause(void)
{
    uint64_t began_ns = host_now_ns(), used_ns = host_worked_ns() + pressure_waited_ns(), passed_ns;

    (void)sched_sleep(began_ns + BALANCE_NS, SLEEP_UNTIL_WOKEN);
    passed_ns = host_now_ns() - began_ns;
    used_ns = host_worked_ns() + pressure_waited_ns() - used_ns;
    return passed_ns > used_ns ? (passed_ns - used_ns) / NS_PER_US : 0;
}

static void control_load(void *context)
{
    for (;;) {
        uint64_t idle_us = pause();
        uint32_t member = MEMBER_NOBODY;
        enum scope_swap what;

        while ((what = reclaim_balance(idle_us, &member)) != SWAP_NOTHING) {
            swap(member, what);
            idle_us = 0;
        }
    }
}

bool member_control_load(void)
{
    return !reclaim_controls_load() || kthread_create("load", control_load, NULL);
}

/*
 * Members, classes by program names, load control. See member.h.
 *
 * Load control decides that a member goes out of memory (reclaim_balance()); its processes are held here:
 * each of their tasks sleeps before it would return to user mode, so none touches memory while its pages are
 * written. What a task does in the kernel meanwhile (a read that ends) may bring a page back; nobody is
 * charged for it.
 */
#include <asm-generic/errno.h>

#include "kernel/klib.h"
#include "kernel/mm/events.h"
#include "kernel/mm/paging_options.h"
#include "kernel/task/group.h"
#include "kernel/task/member.h"
#include "kernel/task/task_internal.h"

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

struct by_member {
    uint32_t member;
    bool hold;
    uint64_t pages; /* the member's */
};

static bool is_of(const struct process *process, uint32_t member)
{
    return process->space && space_member(process->space) == member;
}

static void hold_visit(struct process *process, void *context)
{
    const struct by_member *by = context;

    if (!is_of(process, by->member))
        return;
    process->held = by->hold;
    if (host_watched)
        events_note(by->hold ? EVENT_SWAP_OUT : EVENT_SWAP_IN, process, 0, by->pages, 0);
    list_for_each(node, &process->threads)
    {
        struct task *task = container_of(node, struct task, thread);

        if (by->hold)
            task_add_work(task, WORK_HOLD);
    }
}

/* Looks again now and then: who lets it go does not have to find its tasks, and a signal that ends it counts.
 */
void member_hold_here(void)
{
    const struct process *process = process_current();

    while (process->held && !process->exiting &&
           sched_sleep(host_now_ns() + HOLD_NS, SLEEP_KILLABLE) != -EINTR)
        ;
    task_clear_work(WORK_HOLD);
}

static void balance(void)
{
    uint32_t member = MEMBER_NOBODY;
    enum scope_swap what;

    while ((what = reclaim_balance(&member)) != SWAP_NOTHING) {
        struct by_member by = {.member = member, .hold = what == SWAP_OUT};

        struct member_report look;

        if (member_look(member, &look))
            by.pages = look.frames;
        if (what == SWAP_IN)
            reclaim_swap_in(member);
        process_for_each(hold_visit, &by);
        if (what == SWAP_OUT)
            reclaim_swap_out(member);
    }
}

static void control_load(void *context)
{
    for (;;) {
        (void)sched_sleep(host_now_ns() + BALANCE_NS, SLEEP_UNTIL_WOKEN);
        balance();
    }
}

bool member_control_load(void)
{
    return !reclaim_controls_load() || kthread_create("load", control_load, NULL);
}

/*
 * Out of memory: the process that holds most memory ends, the others live.
 */
#include "kernel/dev/hostlink.h"
#include "kernel/klib.h"
#include "kernel/task/task_internal.h"

struct largest {
    struct process *process;
    uint64_t pages;
};

static void consider(struct process *process, void *context)
{
    struct largest *largest = context;
    struct space_counts counts;

    if (!process->space || process->zombie)
        return;
    if (process->exiting || (process->pending.set & signal_bit(SIGKILL)))
        return; /* is on its way out already */
    space_count(process->space, &counts);
    if (largest->process && counts.resident_pages <= largest->pages)
        return;
    *largest = (struct largest){process, counts.resident_pages};
}

bool process_kill_largest(void)
{
    enum { PAGES_PER_MEBIBYTE = 256 };
    struct largest largest = {0};
    const char *name;
    char text[128];
    int length;

    process_for_each(consider, &largest);
    if (!largest.process)
        return false;
    name = largest.process->leader ? largest.process->leader->name : "?";
    length = snprintf(text, sizeof(text), "quire: out of memory: ended %d %s, which held %llu MiB\n",
                      largest.process->pid, name,
                      (unsigned long long)((largest.pages + PAGES_PER_MEBIBYTE / 2) / PAGES_PER_MEBIBYTE));
    host_log("%s", text);
    (void)hostlink_write(2, text, (size_t)length < sizeof(text) ? (size_t)length : sizeof(text) - 1);
    (void)signal_send_process(largest.process, SIGKILL, NULL);
    return true;
}

/*
 * Recording of references: a window of a few pages can be touched, every other page faults (src/vm/watch.c),
 * is noted, and takes the place of the page that came into the window first.
 *
 *     reference --in the window--> nothing happens
 *               --not------------> fault: noted, shown; the oldest page of the window is hidden
 *
 * So the recording is every reference of user mode but those to the last N pages: what a filter of N pages
 * with first-in-first-out leaves; and of those the first write. What the kernel copies from and to user
 * memory is noted before it does.
 *
 * Pages in the window are those of spaces that live: a space that goes is taken out of it first.
 */
#include "kernel/klib.h"
#include "kernel/mm/events.h"
#include "kernel/task/task.h"
#include "quire/watch.h"
#include "quire/work.h"

#define LEAF_BYTES ((uint64_t)2 << 20) /* of one leaf table */

static struct shown {
    struct space *space; /* NULL: nothing */
    uint64_t page;
    bool written; /* that was noted */
} window[RECORD_WINDOW_MOST];
static unsigned size, next;
static struct work_clock work;
static bool ending; /* a space goes: of its pages the reader knows by the end of the process */
static struct {
    uint64_t page;
    bool written;
} object_page; /* that a system call used last */

void record_init(unsigned wanted)
{
    size = wanted < RECORD_WINDOW_MOST ? wanted : RECORD_WINDOW_MOST;
    if (size != 0 && size < RECORD_WINDOW_LEAST)
        size = RECORD_WINDOW_LEAST;
    vm_watching = size != 0;
}

unsigned record_window(void)
{
    return size;
}

static struct shown *find(const struct space *space, uint64_t page)
{
    for (unsigned i = 0; i < size; i++)
        if (window[i].page == page && window[i].space == space)
            return &window[i];
    return NULL;
}

static bool in_window(struct space *space, struct vaddr page, void *context)
{
    (void)context;
    return find(space, page.v) != NULL;
}

static void admit(struct space *space, uint64_t page, bool written)
{
    struct shown *shown = &window[next];

    if (shown->space != NULL)
        space_hide(shown->space, vaddr(shown->page));
    *shown = (struct shown){space, page, written};
    next = (next + 1) % size;
}

bool record_reference(struct process *process, uint64_t address, enum access access)
{
    uint64_t page = align_down(address, PAGE_SIZE);
    bool writes = access == ACCESS_WRITE;
    struct page_seen seen;
    struct shown *shown;

    if (!space_see(process->space, vaddr(page), access, &seen))
        return false;
    shown = find(process->space, page);
    if (shown != NULL && (shown->written || !writes))
        return true;
    ending = false;
    if (seen.name != 0)
        events_note(EVENT_REFERENCE, process, seen.name, address, writes ? EVENT_WRITES : 0u);
    if (shown != NULL)
        shown->written = true;
    else
        admit(process->space, page, writes);
    return true;
}

void record_copy(uint64_t address, uint64_t bytes, enum access access)
{
    struct process *process = process_current();

    if (size == 0 || process == NULL || process->space == NULL || bytes == 0 || address >= SPACE_END)
        return;
    record_fault_begins(process);
    for (uint64_t page = align_down(address, PAGE_SIZE); page < address + bytes && page < SPACE_END;
         page += PAGE_SIZE)
        (void)record_reference(process, page < address ? address : page, access);
    events_throttle();
    record_fault_ends(process);
}

void record_faulted(struct space *space, uint64_t address)
{
    uint64_t start = align_down(address, LEAF_BYTES);

    space_hide_others(space, vaddr(start > SPACE_START ? start : SPACE_START),
                      vaddr(start + LEAF_BYTES < SPACE_END ? start + LEAF_BYTES : SPACE_END), in_window,
                      NULL);
}

void record_forget(const struct space *space)
{
    ending = true;
    for (unsigned i = 0; i < size; i++) {
        if (window[i].space != space)
            continue;
        space_hide(window[i].space, vaddr(window[i].page));
        window[i] = (struct shown){NULL, 0, false};
    }
}

/* ---------------------------------------------------------------- what user mode does not do */

/* A call that reads a page in many small parts has used it once. */
void record_object(uint64_t page, bool writes)
{
    if (page == object_page.page && (object_page.written || !writes))
        return;
    object_page.page = page;
    object_page.written = writes;
    events_note(EVENT_REFERENCE, process_current(), page, 0,
                EVENT_BY_KERNEL | (writes ? (unsigned)EVENT_WRITES : 0u));
}

bool record_gone(struct event *before, uint64_t page)
{
    if (ending)
        return true;
    if (before == NULL || before->kind != EVENT_GONE || before->page + before->value != page)
        return false;
    before->value++;
    return true;
}

/* ---------------------------------------------------------------- time */

void record_fault_begins(const struct process *process)
{
    work_fault_begins(&work, host_worked_ns(), process);
}

void record_fault_ends(const struct process *process)
{
    work_fault_ends(&work, host_worked_ns(), process);
}

uint64_t record_time_ns(void)
{
    return work_now(&work, host_worked_ns());
}

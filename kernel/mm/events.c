/*
 * The buffer of events: two batches, of which one is filled while a kernel thread sends the other.
 *
 *     fault, reclaim, ... --note--> filling --swap--> sending --link--> quire boot
 *
 * Noting never sleeps and never waits: where the batch is full the event is counted, and the next batch
 * begins with how many are missing. Who can sleep, at the end of a fault, waits while the batch is more than
 * half full; so only what happens in one long stretch inside of the kernel can be lost.
 *
 * A batch is sent when it is half full, or some milliseconds after its first event. Everything is under the
 * kernel lock.
 */
#include "kernel/mm/events.h"

#include "kernel/boot/boot.h"
#include "kernel/dev/hostlink.h"
#include "kernel/dev/virtio.h"
#include "kernel/klib.h"
#include "kernel/task/task.h"
#include "quire/frame.h"
#include "quire/link.h"
#include "quire/watch.h"

enum { BATCH_ORDER = 4, BATCH_BYTES = PAGE_SIZE << BATCH_ORDER };
enum {
    BATCH_EVENTS = (BATCH_BYTES - sizeof(struct link_header)) / sizeof(struct event),
    BATCH_HALF = BATCH_EVENTS / 2
};
_Static_assert(BATCH_EVENTS * sizeof(struct event) <= LINK_MAX, "a batch is a frame of the link");

static const uint64_t SEND_AFTER_NS = 20 * 1000 * 1000;

struct batch {
    struct link_header header;
    struct event events[BATCH_EVENTS];
};

bool host_watched;
static struct batch *filling, *spare; /* spare: NULL while it is being sent */
static unsigned count;                /* events in `filling` */
static uint64_t lost;                 /* since `filling` was begun */
static bool told;                     /* faults and the rest, not references alone */
static struct waitq arrived = WAITQ_INIT(arrived), room = WAITQ_INIT(room);

static void sender(void *context);
static void note(uint16_t kind, uint32_t process, uint64_t page, uint64_t value, unsigned detail);
static enum event_fault fault_end(enum status status);

static struct batch *batch_alloc(void)
{
    struct frame *frame = frame_alloc(BATCH_ORDER, FRAME_KERNEL, FRAME_ANY);

    return frame != NULL ? frame_data(frame) : NULL;
}

void events_init(void)
{
    uint64_t window = boot_option_number("record", 0);

    told = boot_option_number("events", 0) != 0;
    if ((!told && window == 0) || !hostlink_present())
        return;
    filling = batch_alloc();
    spare = batch_alloc();
    if (filling == NULL || spare == NULL || kthread_create("events", sender, NULL) == NULL)
        boot_give_up("too little memory for events: %lu KiB are free", frames_free() << PAGE_SHIFT >> 10);
    record_init((unsigned)window);
    (void)fault_end(ST_OK);
    host_watched = true;
}

/* ---------------------------------------------------------------- sending */

static void begin_batch(struct batch *batch)
{
    uint64_t missing = lost;

    filling = batch;
    count = 0;
    lost = 0;
    if (missing != 0)
        note(EVENT_LOST, 0, 0, missing, 0);
}

/* What has been noted so far goes to the host. False: there is nobody to take it. */
static bool send_batch(void)
{
    struct batch *batch = filling;
    unsigned events = count;
    long result;

    begin_batch(spare);
    spare = NULL;
    batch->header = (struct link_header){LINK_EVENTS, 0, events * (uint32_t)sizeof(struct event)};
    result = hostlink_send_frame(&batch->header);
    spare = batch;
    if (result < 0)
        host_watched = false;
    waitq_wake(&room);
    return result >= 0;
}

static void sender(void *context)
{
    (void)context;
    do {
        while (count == 0 || spare == NULL)
            (void)waitq_sleep(&arrived, UINT64_MAX, false);
        if (count < BATCH_HALF)
            (void)waitq_sleep(&arrived, host_now_ns() + SEND_AFTER_NS, false);
    } while (spare == NULL || send_batch());
}

void events_throttle(void)
{
    while (host_watched && count > BATCH_HALF && virtio_may_sleep())
        (void)waitq_sleep(&room, UINT64_MAX, false);
}

void events_end(void)
{
    if (!host_watched)
        return;
    host_watched = false;
    while (spare == NULL)
        (void)waitq_sleep(&room, UINT64_MAX, false);
    while (count != 0 && send_batch())
        ;
}

/* ---------------------------------------------------------------- noting */

static void note(uint16_t kind, uint32_t process, uint64_t page, uint64_t value, unsigned detail)
{
    if (kind == EVENT_GONE && record_gone(count != 0 ? &filling->events[count - 1] : NULL, page))
        return;
    if (count == BATCH_EVENTS) {
        lost++;
        return;
    }
    filling->events[count++] =
        (struct event){.time_ns = kind == EVENT_REFERENCE ? record_time_ns() : host_now_ns(),
                       .page = page,
                       .value = value,
                       .process = process,
                       .kind = kind,
                       .detail = (uint16_t)detail};
    if (count == 1 || count == BATCH_HALF)
        waitq_wake(&arrived);
}

void events_note(enum event_kind kind, const struct process *process, uint64_t page, uint64_t value,
                 unsigned detail)
{
    if (host_watched && (told || (record_window() != 0 && event_is_recorded(kind))))
        note((uint16_t)kind, process != NULL ? (uint32_t)process->pid : 0, page, value, detail);
}

void host_event(enum event_kind kind, uint64_t page, uint64_t value)
{
    const struct task *task = task_current();

    if (kind == EVENT_REFERENCE)
        record_object(page, value != 0);
    else
        events_note(kind, task != NULL ? task->process : NULL, page, value, 0);
}

void events_start(const struct process *process, const char *name)
{
    uint64_t text[2] = {0, 0}; /* the first bytes of its name */

    memcpy(text, name, strnlen(name, sizeof(text)));
    events_note(EVENT_START, process, text[0], text[1], 0);
    space_populated(process->space, SPACE_START, SPACE_END); /* its arguments are there already */
}

/* ---------------------------------------------------------------- faults */

/* How the fault that has just ended did, by the counter that has grown since the last look: nothing sleeps
 * between the end of a fault and this. */
static enum event_fault fault_end(enum status status)
{
    static const uint64_t *const ends[EVENT_FAULT_FAILED] = {
        [EVENT_FAULT_ZERO] = &vm_stats.fault_zero,
        [EVENT_FAULT_ZERO_READ] = &vm_stats.fault_zero_read,
        [EVENT_FAULT_HUGE] = &vm_stats.fault_huge,
        [EVENT_FAULT_MINOR] = &vm_stats.fault_minor,
        [EVENT_FAULT_MAJOR] = &vm_stats.fault_major,
        [EVENT_FAULT_COPY] = &vm_stats.fault_copy,
        [EVENT_FAULT_REUSE] = &vm_stats.fault_reuse,
        [EVENT_FAULT_PROTECTION] = &vm_stats.fault_protection,
        [EVENT_FAULT_UNMAPPED] = &vm_stats.fault_unmapped,
        [EVENT_FAULT_SPURIOUS] = &vm_stats.fault_spurious,
    };
    static uint64_t seen[EVENT_FAULT_FAILED];
    enum event_fault end = EVENT_FAULT_FAILED;
    bool major = *ends[EVENT_FAULT_MAJOR] != seen[EVENT_FAULT_MAJOR];

    for (unsigned i = 0; i < EVENT_FAULT_FAILED; i++) {
        if (*ends[i] != seen[i])
            end = (enum event_fault)i;
        seen[i] = *ends[i];
    }
    if (status != ST_OK && end != EVENT_FAULT_PROTECTION && end != EVENT_FAULT_UNMAPPED)
        return EVENT_FAULT_FAILED;
    return major ? EVENT_FAULT_MAJOR : end;
}

enum status events_fault(struct process *process, uint64_t address, enum access access)
{
    struct space *space = process->space;
    enum status status;

    record_fault_begins(process);
    if (record_window() != 0 && record_reference(process, address, access)) {
        events_throttle();
        record_fault_ends(process);
        return ST_OK;
    }
    status = address < SPACE_END ? space_fault(space, vaddr(address), access) : ST_NOT_MAPPED;
    events_note(EVENT_FAULT, process, 0, address, fault_end(status));
    if (status == ST_OK && record_window() != 0) {
        (void)record_reference(process, address, access);
        record_faulted(space, address);
    }
    events_throttle();
    record_fault_ends(process);
    return status;
}

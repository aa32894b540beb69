/*
 * Requests of the host that take longer than an interrupt may: page-table dumps and reports.
 *
 * A kernel thread answers them; it is made for the first request and ends when there are no more, so that
 * nobody pays for its stack who does not ask. A dump is written into frames first and then sent: sending
 * sleeps, and the tables must not change under the walk.
 */
#include <asm-generic/errno.h>

#include "kernel/dev/hostlink_internal.h"
#include "kernel/klib.h"
#include "kernel/mm/kernel_map.h"
#include "quire/pt.h"

enum { REQUESTS = 16, WHAT_BYTES = 32, TEXT_FRAMES_MAX = 256 };

/* A ring: requests [served, asked) wait. */
static struct request {
    bool report;
    unsigned number;
    char what[WHAT_BYTES];
} requests[REQUESTS];
static unsigned asked, served;
static bool running;

/* Text in frames, as much as there is memory for. */
struct text {
    struct frame *frames[TEXT_FRAMES_MAX];
    size_t length;
    bool cut;
};

static void work(void *context);
static void dump(unsigned number, const char *what);

/* ---------------------------------------------------------------- asking */

static void ask(bool report, unsigned number, const char *what)
{
    struct request *request = &requests[asked % REQUESTS];

    if (asked - served == REQUESTS)
        return; /* the host asks faster than it can be answered: it will ask again */
    request->report = report;
    request->number = number;
    strlcpy(request->what, what, WHAT_BYTES);
    asked++;
    if (!running)
        running = kthread_create("link", work, NULL) != NULL;
}

void link_ask_dump(unsigned number, const char *what)
{
    ask(false, number, what);
}

void link_ask_report(void)
{
    ask(true, 0, "");
}

static void work(void *context)
{
    (void)context;
    while (served != asked) {
        struct request request = requests[served % REQUESTS];

        served++;
        if (request.report)
            (void)hostlink_report();
        else
            dump(request.number, request.what);
    }
    running = false;
}

/* ---------------------------------------------------------------- text */

static void text_add(struct text *text, const char *bytes, size_t count)
{
    while (count != 0 && !text->cut) {
        size_t index = text->length / PAGE_SIZE, within = text->length % PAGE_SIZE;
        size_t chunk = count < PAGE_SIZE - within ? count : PAGE_SIZE - within;

        if (within == 0) {
            struct frame *frame = index < TEXT_FRAMES_MAX ? frame_alloc(0, FRAME_KERNEL, FRAME_ANY) : NULL;

            if (frame == NULL) {
                text->cut = true;
                return;
            }
            text->frames[index] = frame;
        }
        memcpy((char *)frame_data(text->frames[index]) + within, bytes, chunk);
        text->length += chunk;
        bytes += chunk;
        count -= chunk;
    }
}

static void text_line(void *context, const char *line)
{
    text_add(context, line, strlen(line));
    text_add(context, "\n", 1);
}

static void text_send(struct text *text, unsigned number)
{
    static const char cut[] = "... (no memory for the rest)\n";
    long sent = 0;

    for (size_t at = 0; at < text->length; at += PAGE_SIZE) {
        struct frame *frame = text->frames[at / PAGE_SIZE];
        size_t chunk = text->length - at < PAGE_SIZE ? text->length - at : PAGE_SIZE;

        if (sent >= 0)
            sent = link_send(LINK_DUMP, number, frame_data(frame), chunk);
        frame_free(frame);
    }
    if (text->cut && sent >= 0)
        (void)link_send(LINK_DUMP, number, cut, sizeof(cut) - 1);
    (void)link_send(LINK_DUMP, number, "", 0);
}

/* ---------------------------------------------------------------- what is dumped */

static void list_process(struct process *process, void *context)
{
    char line[64];

    snprintf(line, sizeof(line), "%d %s", process->pid,
             process->leader != NULL ? process->leader->name : "-");
    text_line(context, line);
}

static void dump_kernel(struct text *text)
{
    struct pt pt = pt_at(kernel_root, pt_reach_offset(PHYS_OFFSET), &pt_alloc_none);
    enum status status = pt_dump(&pt, text_line, text);

    if (status != ST_OK)
        text_line(text, status_name(status));
}

static void dump_process(struct text *text, const char *what)
{
    struct process *process;
    enum status status;
    int pid = 0;

    for (; *what >= '0' && *what <= '9' && pid < 100000000; what++)
        pid = pid * 10 + (*what - '0');
    process = *what == '\0' ? process_find(pid) : NULL;
    if (process == NULL || process->space == NULL) {
        text_line(text, "error: no such process");
        return;
    }
    status = space_dump(process->space, text_line, text);
    if (status != ST_OK)
        text_line(text, status_name(status));
}

static void dump(unsigned number, const char *what)
{
    static struct text text; /* one request at a time is answered */

    text.length = 0;
    text.cut = false;
    if (what[0] == '\0')
        process_for_each(list_process, &text);
    else if (strcmp(what, "kernel") == 0)
        dump_kernel(&text);
    else
        dump_process(&text, what);
    text_send(&text, number);
}

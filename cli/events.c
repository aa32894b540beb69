/*
 * Writes events: JSON lines that are there at the latest when poll() next waits, and recordings, which are
 * the events as they come (docs/TRACE-FORMAT.md).
 */
#include "cli/events.h"

#include <errno.h>
#include <string.h>

#include "quire/event.h"

static const char *const kinds[EVENT_KINDS] = {
    [EVENT_LOST] = "lost",
    [EVENT_FAULT] = "fault",
    [EVENT_PAGE_IN] = "page-in",
    [EVENT_PAGE_OUT] = "page-out",
    [EVENT_EVICT_CLEAN] = "evict-clean",
    [EVENT_EVICT_DIRTY] = "evict-dirty",
    [EVENT_REFAULT] = "refault",
    [EVENT_SWAP_OUT] = "swap-out",
    [EVENT_SWAP_IN] = "swap-in",
    [EVENT_OOM] = "oom",
    [EVENT_START] = "start",
    [EVENT_FORK] = "fork",
    [EVENT_EXIT] = "exit",
    [EVENT_SHORT] = "short",
};

/* What an event's value is called; NULL: it has none. */
static const char *const values[EVENT_KINDS] = {
    [EVENT_LOST] = "events",      [EVENT_PAGE_IN] = "more",   [EVENT_PAGE_OUT] = "more",
    [EVENT_REFAULT] = "distance", [EVENT_SWAP_OUT] = "pages", [EVENT_OOM] = "pages",
    [EVENT_FORK] = "parent",      [EVENT_EXIT] = "status",    [EVENT_SHORT] = "free",
};

static const char *const faults[EVENT_FAULTS] = {
    [EVENT_FAULT_ZERO] = "zero",         [EVENT_FAULT_ZERO_READ] = "zero_read",
    [EVENT_FAULT_HUGE] = "huge",         [EVENT_FAULT_MINOR] = "minor",
    [EVENT_FAULT_MAJOR] = "major",       [EVENT_FAULT_COPY] = "copy",
    [EVENT_FAULT_REUSE] = "reuse",       [EVENT_FAULT_PROTECTION] = "protection",
    [EVENT_FAULT_UNMAPPED] = "unmapped", [EVENT_FAULT_SPURIOUS] = "spurious",
    [EVENT_FAULT_FAILED] = "failed",
};

/* ------------------------------------------------------------------ the files */

static bool open_file(FILE **file, const char *option, const char *path)
{
    if (!path) {
        return true;
    }
    *file = strcmp(path, "-") == 0 ? stderr : fopen(path, "we");
    if (!*file) {
        say("boot: %s: %s: %s", option, path, strerror(errno));
    }
    return *file != NULL;
}

bool events_open(struct events *events, const struct boot_options *options)
{
    struct event_file_head head = {
        .version = EVENT_FILE_VERSION, .window = (uint32_t)options->record_window, .page_bytes = 4096};

    events->lines_path = options->events;
    events->recording_path = options->record;
    if (!open_file(&events->lines, "--events", options->events) ||
        !open_file(&events->recording, "--record", options->record)) {
        return false;
    }
    memcpy(head.magic, EVENT_FILE_MAGIC, sizeof(head.magic));
    if (events->recording) {
        fwrite(&head, sizeof(head), 1, events->recording);
    }
    return true;
}

static void check(struct events *events, FILE *file, const char *option, const char *path)
{
    if (file && ferror(file) && !events->failed) {
        say("boot: %s: %s: %s", option, path, strerror(errno));
        events->failed = true;
    }
}

static void close_file(struct events *events, FILE *file, const char *option, const char *path)
{
    if (!file) {
        return;
    }
    fflush(file);
    check(events, file, option, path);
    if (file != stderr && fclose(file) != 0 && !events->failed) {
        say("boot: %s: %s: %s", option, path, strerror(errno));
        events->failed = true;
    }
}

int events_close(struct events *events)
{
    close_file(events, events->lines, "--events", events->lines_path);
    close_file(events, events->recording, "--record", events->recording_path);
    events->lines = events->recording = NULL;
    if (events->lost > 0) {
        say("boot: %llu events found no room in the kernel, and are not in the file",
            (unsigned long long)events->lost);
    }
    return events->failed ? EXIT_USAGE : 0;
}

/* ------------------------------------------------------------------ a line */

/* A program's name, of which the event has 16 bytes. */
static void put_program(FILE *out, const struct event *event)
{
    char name[sizeof(event->page) + sizeof(event->value) + 1] = {0};

    memcpy(name, &event->page, sizeof(event->page));
    memcpy(name + sizeof(event->page), &event->value, sizeof(event->value));
    fputs(",\"program\":\"", out);
    for (const char *at = name; *at; at++) {
        unsigned char byte = (unsigned char)*at;

        if (byte < ' ' || byte == '"' || byte == '\\' || byte >= 0x7f) {
            fprintf(out, "\\u%04x", byte);
        } else {
            fputc(byte, out);
        }
    }
    fputc('"', out);
}

static void put_page(FILE *out, uint64_t page)
{
    if (page & EVENT_PAGE_FRAME) {
        fprintf(out, ",\"frame\":%llu", (unsigned long long)(page & ~EVENT_PAGE_PRIVATE));
    } else if (page & EVENT_PAGE_SLOT) {
        fprintf(out, ",\"slot\":%llu", (unsigned long long)(page & ~EVENT_PAGE_PRIVATE));
    } else if (page != 0) {
        fprintf(out, ",\"object\":%llu,\"index\":%llu", (unsigned long long)(page >> 32),
                (unsigned long long)(page & UINT32_MAX));
    }
}

static void put_line(FILE *out, const struct event *event)
{
    const char *kind = event->kind < EVENT_KINDS ? kinds[event->kind] : NULL;

    fprintf(out, "{\"time_ns\":%llu,\"event\":\"%s\",\"pid\":%u", (unsigned long long)event->time_ns,
            kind ? kind : "unknown", event->process);
    if (event->kind == EVENT_FAULT) {
        fprintf(out, ",\"kind\":\"%s\",\"address\":\"%#llx\"",
                event->detail < EVENT_FAULTS ? faults[event->detail] : "unknown",
                (unsigned long long)event->value);
    } else if (event->kind == EVENT_START) {
        put_program(out, event);
    } else {
        put_page(out, event->page);
        if (kind && values[event->kind]) {
            fprintf(out, ",\"%s\":%llu", values[event->kind], (unsigned long long)event->value);
        }
    }
    fputs("}\n", out);
}

/* ------------------------------------------------------------------ taking */

void events_take(struct events *events, const char *bytes, size_t count)
{
    struct event event;

    for (size_t at = 0; at + sizeof(event) <= count; at += sizeof(event)) {
        memcpy(&event, bytes + at, sizeof(event));
        if (event.kind == EVENT_LOST) {
            events->lost += event.value;
        }
        if (events->recording && event_is_recorded(event.kind)) {
            fwrite(&event, sizeof(event), 1, events->recording);
        }
        if (events->lines && event.kind != EVENT_REFERENCE && event.kind != EVENT_GONE) {
            put_line(events->lines, &event);
        }
    }
    if (events->lines) {
        fflush(events->lines);
    }
    check(events, events->lines, "--events", events->lines_path);
    check(events, events->recording, "--record", events->recording_path);
}

/*
 * What `quire boot --record` has written: events (quire/event.h), of which references, beginnings of programs
 * and forks matter here.
 *
 * A page of an object is one page, whoever refers to it. A private page belongs to a *life*: one run of one
 * program in one process; it is called by the life and the address. Pages that a child has from its parent by
 * fork are the parent's, until a reference to one says that it is shared no longer. A child of vfork lives
 * its parent's life until it begins a program.
 */
#include <stdlib.h>

#include "sim/bytes.h"
#include "sim/trace_internal.h"

/* A page's name is what an address divided by the page size could be: of 52 bits, when pages are of 4096
 * bytes. The first bit: the page is private. Then the life, or the object's number, and the page's. */
enum { NAME_BITS = 52, PAGE_NUMBER_BITS = 36, INDEX_BITS = 32, RECORDED_SHIFT = 12 };
enum { LIVES_MOST = 1 << (NAME_BITS - 1 - PAGE_NUMBER_BITS) };
#define OBJECTS_MOST ((uint64_t)1 << (NAME_BITS - 1 - INDEX_BITS))
#define NO_LIFE UINT32_MAX

struct life {
    uint32_t process;
    uint32_t parent; /* whose pages it began with; NO_LIFE: none */
    uint32_t lives;  /* whose life it is: its own number, or a parent's */
};

/* A private page that has been referred to: whose it was the last time. */
struct private_page {
    uint64_t key; /* life and address, plus 1; 0: free */
    uint32_t owner;
};

struct recorded {
    struct event_file_head head;
    unsigned shift; /* pages of the recording to pages of the trace */
    struct life *lives;
    uint32_t life_count, life_room;
    struct private_page *pages; /* open addressing, a power of two, at most half full */
    size_t page_count, page_room;
};

static bool no_memory(const struct trace *trace, struct trace_error *error)
{
    return trace_fail_at(error, trace->source->path, source_offset(trace->source),
                         "not enough memory, or more than %d programs were run", LIVES_MOST);
}

/* ------------------------------------------------------------------ lives */

static uint32_t life_add(struct recorded *recorded, uint32_t process, uint32_t parent)
{
    if (recorded->life_count == recorded->life_room) {
        uint32_t room = recorded->life_room ? recorded->life_room * 2 : 64;
        struct life *lives = room <= LIVES_MOST ? realloc(recorded->lives, room * sizeof(*lives)) : NULL;

        if (!lives)
            return NO_LIFE;
        recorded->lives = lives;
        recorded->life_room = room;
    }
    recorded->lives[recorded->life_count] = (struct life){process, parent, recorded->life_count};
    return recorded->life_count++;
}

/* The last one of this process; one that nobody has told of begins with nothing. */
static uint32_t life_of(struct recorded *recorded, uint32_t process)
{
    for (uint32_t i = recorded->life_count; i-- > 0;)
        if (recorded->lives[i].process == process)
            return recorded->lives[i].lives;
    return life_add(recorded, process, NO_LIFE);
}

/* ------------------------------------------------------------------ private pages */

static uint64_t key_of(uint32_t life, uint64_t page)
{
    return ((uint64_t)life << PAGE_NUMBER_BITS | page) + 1;
}

/* Where the key is, or would be. */
static struct private_page *page_slot(struct private_page *pages, size_t room, uint64_t key)
{
    size_t at = (key * UINT64_C(0x9e3779b97f4a7c15) >> 32) & (room - 1);

    while (pages[at].key != 0 && pages[at].key != key)
        at = (at + 1) & (room - 1);
    return &pages[at];
}

static bool pages_grow(struct recorded *recorded)
{
    size_t room = recorded->page_room ? recorded->page_room * 2 : 4096;
    struct private_page *pages = calloc(room, sizeof(*pages));

    if (!pages)
        return false;
    for (size_t i = 0; i < recorded->page_room; i++)
        if (recorded->pages[i].key != 0)
            *page_slot(pages, room, recorded->pages[i].key) = recorded->pages[i];
    free(recorded->pages);
    recorded->pages = pages;
    recorded->page_room = room;
    return true;
}

/* Whose page it is that this life has not referred to before. */
static uint32_t first_owner(const struct recorded *recorded, uint32_t life, uint64_t page, bool shared)
{
    for (uint32_t up = recorded->lives[life].parent; shared && up != NO_LIFE;
         up = recorded->lives[up].parent) {
        struct private_page *found = page_slot(recorded->pages, recorded->page_room, key_of(up, page));

        if (found->key != 0)
            return found->owner;
    }
    return life;
}

/* NO_LIFE: no memory. */
static uint32_t owner_of(struct recorded *recorded, uint32_t life, uint64_t page, bool shared)
{
    struct private_page *found;

    if (2 * (recorded->page_count + 1) > recorded->page_room && !pages_grow(recorded))
        return NO_LIFE;
    found = page_slot(recorded->pages, recorded->page_room, key_of(life, page));
    if (found->key == 0) {
        *found = (struct private_page){key_of(life, page), first_owner(recorded, life, page, shared)};
        recorded->page_count++;
    } else if (!shared) {
        found->owner = life; /* one of the two has a copy by now */
    }
    return found->owner;
}

/* ------------------------------------------------------------------ reading */

static void forget(struct recorded *recorded)
{
    free(recorded->lives);
    free(recorded->pages);
    recorded->lives = NULL;
    recorded->pages = NULL;
    recorded->life_count = recorded->life_room = 0;
    recorded->page_count = recorded->page_room = 0;
}

static bool read_head(struct trace *trace, struct trace_error *error)
{
    struct recorded *recorded = trace->recorded;
    struct trace_source *source = trace->source;

    if (source_left(source) < sizeof(recorded->head))
        return trace_fail_at(error, source->path, 0,
                             "the file ends after %zu bytes of its head, expected %zu", source_left(source),
                             sizeof(recorded->head));
    memcpy(&recorded->head, source->at, sizeof(recorded->head));
    if (memcmp(recorded->head.magic, EVENT_FILE_MAGIC, EVENT_FILE_MAGIC_BYTES) != 0 ||
        recorded->head.version != EVENT_FILE_VERSION ||
        recorded->head.page_bytes != (uint64_t)1 << RECORDED_SHIFT)
        return trace_fail_at(error, source->path, 0,
                             "a head of version %u with pages of %llu bytes, expected version %d and 4096",
                             recorded->head.version, (unsigned long long)recorded->head.page_bytes,
                             EVENT_FILE_VERSION);
    source->at += sizeof(recorded->head);
    return true;
}

bool recording_open(struct trace *trace, struct trace_error *error)
{
    if (trace->options.page_bytes < (uint64_t)1 << RECORDED_SHIFT)
        return trace_fail(error, trace->source->path, "pages of %llu bytes, expected 4096 or more",
                          (unsigned long long)trace->options.page_bytes);
    trace->recorded = calloc(1, sizeof(*trace->recorded));
    if (!trace->recorded)
        return trace_fail(error, trace->source->path, "not enough memory");
    trace->recorded->shift = (unsigned)__builtin_ctzll(trace->options.page_bytes) - (unsigned)RECORDED_SHIFT;
    return read_head(trace, error);
}

void recording_close(struct trace *trace)
{
    if (!trace->recorded)
        return;
    forget(trace->recorded);
    free(trace->recorded);
}

bool recording_rewind(struct trace *trace, struct trace_error *error)
{
    forget(trace->recorded);
    return read_head(trace, error);
}

uint32_t recording_window(const struct trace *trace)
{
    return trace->recorded->head.window;
}

static bool take_reference(struct trace *trace, const struct event *event, uint32_t *reference,
                           struct trace_error *error)
{
    struct recorded *recorded = trace->recorded;
    unsigned shift = recorded->shift;
    uint64_t name;

    if (event->page == EVENT_PAGE_PRIVATE) {
        uint64_t page = (event->value & (((uint64_t)1 << (PAGE_NUMBER_BITS + RECORDED_SHIFT)) - 1)) >>
                        RECORDED_SHIFT >> shift;
        uint32_t life = life_of(recorded, event->process);
        uint32_t owner =
            life == NO_LIFE ? NO_LIFE : owner_of(recorded, life, page, (event->detail & EVENT_SHARED) != 0);

        if (owner == NO_LIFE)
            return no_memory(trace, error);
        name = (uint64_t)1 << (NAME_BITS - 1 - shift) | (uint64_t)owner << (PAGE_NUMBER_BITS - shift) | page;
    } else {
        if (event->page >> INDEX_BITS >= OBJECTS_MOST)
            return trace_fail_at(error, trace->source->path, source_offset(trace->source),
                                 "a page of object %llu, expected one below %llu",
                                 (unsigned long long)(event->page >> INDEX_BITS),
                                 (unsigned long long)OBJECTS_MOST);
        name = event->page >> INDEX_BITS << (INDEX_BITS - shift) | (event->page & UINT32_MAX) >> shift;
    }
    return trace_refer(trace, name, (event->detail & EVENT_WRITES) != 0, reference) ||
           trace_refuse_page(trace, name, source_offset(trace->source), error);
}

static bool take_fork(struct trace *trace, const struct event *event, struct trace_error *error)
{
    struct recorded *recorded = trace->recorded;
    uint32_t parent = life_of(recorded, (uint32_t)event->value);
    uint32_t child = parent != NO_LIFE ? life_add(recorded, event->process, parent) : NO_LIFE;

    if (child == NO_LIFE)
        return no_memory(trace, error);
    if (event->detail != 0)
        recorded->lives[child].lives = parent;
    return true;
}

/* Everything but references. */
static bool take_event(struct trace *trace, const struct event *event, struct trace_error *error)
{
    switch (event->kind) {
    case EVENT_START:
        return life_add(trace->recorded, event->process, NO_LIFE) != NO_LIFE || no_memory(trace, error);
    case EVENT_FORK:
        return take_fork(trace, event, error);
    case EVENT_LOST:
        return trace_fail_at(error, trace->source->path, source_offset(trace->source),
                             "%llu events are missing here, expected a recording that lost none",
                             (unsigned long long)event->value);
    default:
        return event->kind < EVENT_KINDS ||
               trace_fail_at(error, trace->source->path, source_offset(trace->source),
                             "an event of kind %u, expected one below %d", event->kind, EVENT_KINDS);
    }
}

bool recording_read(struct trace *trace, size_t *count, struct trace_error *error)
{
    struct trace_source *source = trace->source;
    struct event event;

    for (*count = 0; *count < TRACE_BLOCK; source->at += sizeof(event)) {
        if (!source_need(source, sizeof(event), error))
            return false;
        if (source_left(source) == 0)
            return true;
        if (source_left(source) < sizeof(event))
            return trace_fail_at(error, source->path, source_offset(source),
                                 "the file ends after %zu bytes of an event, expected %zu",
                                 source_left(source), sizeof(event));
        memcpy(&event, source->at, sizeof(event));
        if (event.kind != EVENT_REFERENCE) {
            if (!take_event(trace, &event, error))
                return false;
        } else if (trace->options.process == 0 || trace->options.process == event.process) {
            if (!take_reference(trace, &event, &trace->block[*count], error))
                return false;
            ++*count;
        }
    }
    return true;
}

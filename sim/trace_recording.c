/*
 * What `quire boot --record` has written: events (quire/event.h), of which references, the ends of pages,
 * beginnings and ends of programs and forks matter here.
 *
 * A page is what the kernel says it is: a page of an object, or the private frame of that number. Who refers
 * to it, and where it lies, is no part of that; for people it is called by the object and its place in that,
 * or by the *life* (one run of one program in one process) and the address that first referred to it. A child
 * of vfork lives its parent's life until it begins a program.
 *
 * The private pages of a life end with it, unless a child that fork gave them to lives on. The trace gets a
 * mark when a page ends, and what is called so later is another page; and a mark when time has passed. Of
 * pages larger than the recording's no end is known.
 */
#include <stdlib.h>
#include <string.h>

#include "sim/bytes.h"
#include "sim/trace_internal.h"

/* A page's name is what an address divided by the page size could be: of 52 bits, when pages are of 4096
 * bytes. The first bit: the page is private. Then the life, or the object's number, and the page's. */
enum { NAME_BITS = 52, PAGE_NUMBER_BITS = 36, INDEX_BITS = 32, RECORDED_SHIFT = 12 };
enum { SPARE_MARKS = 4 }; /* of a block: what one event may need besides the pages that it ends */
enum { LIVES_MOST = 1 << (NAME_BITS - 1 - PAGE_NUMBER_BITS) };
#define OBJECTS_MOST ((uint64_t)1 << (NAME_BITS - 1 - INDEX_BITS))
#define NO_LIFE UINT32_MAX

struct life {
    uint32_t process;
    uint32_t parent; /* by fork; NO_LIFE: none */
    uint32_t lives;  /* whose life it is: its own number, or a parent's */
    uint32_t member; /* whose pages are charged together: a program's, from 1 on, and its children's */
    bool over;
};

/* A page that has been referred to. */
struct known_page {
    uint64_t key;    /* what the kernel calls it, plus 1; 0: free */
    uint32_t number; /* in the trace; POLICY_NO_PAGE: it has ended */
    uint32_t owner;  /* the life that a private page ends with; NO_LIFE: none */
};

/* Pages that end, and for which there was no room in the block yet: places of the table from `next` on, or
 * names. */
struct going {
    uint64_t next, left;
    bool by_name;
    uint32_t life;         /* all of this one's; NO_LIFE: */
    uint64_t first, count; /* those called so */
};

struct recorded {
    struct event_file_head head;
    unsigned shift; /* pages of the recording to pages of the trace */
    struct life *lives;
    uint32_t life_count, life_room;
    struct known_page *pages; /* open addressing, a power of two, at most half full */
    size_t page_count, page_room;
    uint64_t now_us;
    uint32_t members, who; /* how many there are; who the next references are said to be of */
    struct going going;
};

static bool no_memory(const struct trace *trace, struct trace_error *error)
{
    return trace_fail_at(error, trace->source->path, source_offset(trace->source),
                         "not enough memory, or more than %d programs were run", LIVES_MOST);
}

/* ------------------------------------------------------------------ lives */

static uint32_t life_add(struct recorded *recorded, uint32_t process, uint32_t parent)
{
    uint32_t member = parent != NO_LIFE ? recorded->lives[parent].member : recorded->members + 1;

    if (recorded->life_count == recorded->life_room) {
        uint32_t room = recorded->life_room ? recorded->life_room * 2 : 64;
        struct life *lives = room <= LIVES_MOST ? realloc(recorded->lives, room * sizeof(*lives)) : NULL;

        if (!lives)
            return NO_LIFE;
        recorded->lives = lives;
        recorded->life_room = room;
    }
    if (parent == NO_LIFE)
        recorded->members++;
    recorded->lives[recorded->life_count] =
        (struct life){process, parent, recorded->life_count, member, false};
    return recorded->life_count++;
}

/* The last one of this process; NO_LIFE: nobody has told of one. */
static uint32_t life_find(const struct recorded *recorded, uint32_t process)
{
    for (uint32_t i = recorded->life_count; i-- > 0;)
        if (recorded->lives[i].process == process)
            return i;
    return NO_LIFE;
}

/* Whose life the process lives; one that nobody has told of begins here. */
static uint32_t life_of(struct recorded *recorded, uint32_t process)
{
    uint32_t life = life_find(recorded, process);

    return life != NO_LIFE ? recorded->lives[life].lives : life_add(recorded, process, NO_LIFE);
}

/* The process's life is over. Its own number if its pages end, else NO_LIFE. */
static uint32_t life_end(struct recorded *recorded, uint32_t process)
{
    uint32_t life = life_find(recorded, process);

    if (life == NO_LIFE || recorded->lives[life].over)
        return NO_LIFE;
    recorded->lives[life].over = true;
    if (recorded->lives[life].lives != life)
        return NO_LIFE;
    for (uint32_t i = life + 1; i < recorded->life_count; i++)
        if (recorded->lives[i].parent == life && !recorded->lives[i].over)
            return NO_LIFE;
    return life;
}

/* ------------------------------------------------------------------ pages */

/* Where the key is, or would be. */
static struct known_page *page_slot(struct known_page *pages, size_t room, uint64_t key)
{
    size_t at = (key * UINT64_C(0x9e3779b97f4a7c15) >> 32) & (room - 1);

    while (pages[at].key != 0 && pages[at].key != key)
        at = (at + 1) & (room - 1);
    return &pages[at];
}

static bool pages_grow(struct recorded *recorded)
{
    size_t room = recorded->page_room ? recorded->page_room * 2 : 4096;
    struct known_page *pages = calloc(room, sizeof(*pages));

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

/* The page's entry; a new one has no number yet. NULL: no memory. */
static struct known_page *page_find(struct recorded *recorded, uint64_t page)
{
    struct known_page *found;

    if (2 * (recorded->page_count + 1) > recorded->page_room && !pages_grow(recorded))
        return NULL;
    found = page_slot(recorded->pages, recorded->page_room, page + 1);
    if (found->key == 0) {
        *found = (struct known_page){page + 1, POLICY_NO_PAGE, NO_LIFE};
        recorded->page_count++;
    }
    return found;
}

/* Gives the page a number under this name. False: there is none left. */
static bool page_number(struct trace *trace, struct known_page *page, uint64_t name)
{
    if (trace->recorded->shift != 0) {
        page->number = trace_names_number(&trace->names, name);
    } else if (trace_names_append(&trace->names, name)) {
        page->number = trace->names.count - 1;
    }
    return page->number != POLICY_NO_PAGE;
}

/* The page is no more. Without room for its mark it stays in memory until it is chosen. */
static void page_end(struct trace *trace, struct known_page *page, size_t at)
{
    if (page->number == POLICY_NO_PAGE)
        return;
    if (trace->recorded->shift == 0 && trace->mark_count < TRACE_MARKS - SPARE_MARKS)
        trace->marks[trace->mark_count++] = (struct policy_mark){.at = (uint32_t)at, .page = page->number};
    page->number = POLICY_NO_PAGE;
}

/* Is this one of those that are to end? */
static bool is_going(const struct recorded *recorded, const struct known_page *page)
{
    const struct going *going = &recorded->going;

    if (page->key == 0)
        return false;
    return going->life != NO_LIFE ? page->owner == going->life : page->key - 1 - going->first < going->count;
}

/* Those that are to end, as far as the block has room for them; a block that has no reference yet cannot end
 * here. True: all have. */
static bool pages_end(struct trace *trace, size_t at)
{
    struct recorded *recorded = trace->recorded;
    struct going *going = &recorded->going;

    for (; going->left > 0 && (trace->mark_count < TRACE_MARKS - SPARE_MARKS || at == 0);
         going->left--, going->next++) {
        struct known_page *page = &recorded->pages[going->next];

        if (going->by_name)
            page = page_slot(recorded->pages, recorded->page_room, going->first + going->next + 1);
        if (is_going(recorded, page))
            page_end(trace, page, at);
    }
    return going->left == 0;
}

static void life_dies(struct recorded *recorded, uint32_t life)
{
    recorded->going = (struct going){.life = life, .left = life != NO_LIFE ? recorded->page_room : 0};
}

/* `count` pages, by the names from `first` on. */
static void named_die(struct recorded *recorded, uint64_t first, uint64_t count)
{
    bool few = count < recorded->page_room;

    recorded->going = (struct going){.life = NO_LIFE,
                                     .first = first,
                                     .count = count,
                                     .by_name = few,
                                     .left = few ? count : recorded->page_room};
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
    recorded->going = (struct going){0};
    recorded->now_us = 0;
    recorded->members = 0;
    recorded->who = NO_LIFE;
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
    trace->marked = true;
    trace->recorded->who = NO_LIFE;
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
    if (trace->recorded->shift == 0)
        trace->names.count = 0; /* they are given out anew, to the same pages */
    return read_head(trace, error);
}

uint32_t recording_window(const struct trace *trace)
{
    return trace->recorded->head.window;
}

/* What people call the page. */
static uint64_t name_of(const struct recorded *recorded, const struct event *event, uint32_t life)
{
    unsigned shift = recorded->shift;
    uint64_t page = (event->value & (((uint64_t)1 << (PAGE_NUMBER_BITS + RECORDED_SHIFT)) - 1)) >>
                    RECORDED_SHIFT >> shift;

    if (life != NO_LIFE)
        return (uint64_t)1 << (NAME_BITS - 1 - shift) | (uint64_t)life << (PAGE_NUMBER_BITS - shift) | page;
    return event->page >> INDEX_BITS << (INDEX_BITS - shift) | (event->page & UINT32_MAX) >> shift;
}

static bool is_private(const struct event *event)
{
    return event->page >= EVENT_PAGE_PRIVATE;
}

static bool take_reference(struct trace *trace, const struct event *event, uint32_t *reference,
                           struct trace_error *error)
{
    struct recorded *recorded = trace->recorded;
    struct known_page *page;

    if (!is_private(event) && event->page >> INDEX_BITS >= OBJECTS_MOST)
        return trace_fail_at(error, trace->source->path, source_offset(trace->source),
                             "a page of object %llu, expected one below %llu",
                             (unsigned long long)(event->page >> INDEX_BITS),
                             (unsigned long long)OBJECTS_MOST);
    page = page_find(recorded, event->page);
    if (!page)
        return no_memory(trace, error);
    if (page->number == POLICY_NO_PAGE) {
        uint32_t life = is_private(event) ? life_of(recorded, event->process) : NO_LIFE;
        uint64_t name = name_of(recorded, event, life);

        if (is_private(event) && life == NO_LIFE)
            return no_memory(trace, error);
        if (!page_number(trace, page, name))
            return trace_refuse_page(trace, name, source_offset(trace->source), error);
        page->owner = life;
    }
    *reference = page->number << 1 | ((event->detail & EVENT_WRITES) != 0);
    return true;
}

/* Times are whole microseconds; where they stand still, or go back a little because two processes are at
 * work, nothing is said. */
static void take_time(struct trace *trace, const struct event *event, size_t at)
{
    uint64_t now_us = event->time_ns / 1000;

    if (now_us <= trace->recorded->now_us || trace->mark_count == TRACE_MARKS)
        return;
    trace->recorded->now_us = now_us;
    trace->marks[trace->mark_count++] =
        (struct policy_mark){.at = (uint32_t)at, .page = POLICY_NO_PAGE, .now_us = now_us};
}

static void put_member_mark(struct trace *trace, uint32_t kind, uint64_t what, size_t at)
{
    if (trace->options.members && trace->mark_count < TRACE_MARKS)
        trace->marks[trace->mark_count++] =
            (struct policy_mark){.at = (uint32_t)at, .page = kind, .now_us = what};
}

/* Whose the reference is, when that changes. What system calls use is nobody's. */
static void take_member(struct trace *trace, const struct event *event, size_t at)
{
    struct recorded *recorded = trace->recorded;
    uint32_t life = event->detail & EVENT_BY_KERNEL ? NO_LIFE : life_of(recorded, event->process);
    uint32_t who = life != NO_LIFE ? recorded->lives[life].member : 0;

    if (who == recorded->who)
        return;
    recorded->who = who;
    put_member_mark(trace, TRACE_MARK_MEMBER, (uint64_t)event->process << 32 | who, at);
}

/* The process's last life is over: so is its member, if nobody else lives in it. */
static void tell_members_end(struct trace *trace, uint32_t process, size_t at)
{
    struct recorded *recorded = trace->recorded;
    uint32_t life = life_find(recorded, process);
    uint32_t member = life != NO_LIFE ? recorded->lives[life].member : 0;

    for (uint32_t i = 0; i < recorded->life_count; i++)
        if (recorded->lives[i].member == member && !recorded->lives[i].over)
            return;
    if (member != 0)
        put_member_mark(trace, TRACE_MARK_MEMBER_ENDS, member, at);
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
static bool take_event(struct trace *trace, const struct event *event, size_t at, struct trace_error *error)
{
    struct recorded *recorded = trace->recorded;

    switch (event->kind) {
    case EVENT_START:
        life_dies(recorded, life_end(recorded, event->process));
        tell_members_end(trace, event->process, at);
        return life_add(recorded, event->process, NO_LIFE) != NO_LIFE || no_memory(trace, error);
    case EVENT_EXIT:
        life_dies(recorded, life_end(recorded, event->process));
        tell_members_end(trace, event->process, at);
        return true;
    case EVENT_GONE:
        named_die(recorded, event->page, event->value);
        return true;
    case EVENT_FORK:
        return take_fork(trace, event, error);
    case EVENT_LOST:
        return trace_fail_at(error, trace->source->path, source_offset(trace->source),
                             "%llu events are missing here, expected a recording that lost none",
                             (unsigned long long)event->value);
    case EVENT_SHORT:
        return trace_fail_at(error, trace->source->path, source_offset(trace->source),
                             "memory was short from here on, expected a recording with more (--memory)");
    default:
        return event->kind < EVENT_KINDS ||
               trace_fail_at(error, trace->source->path, source_offset(trace->source),
                             "an event of kind %u, expected one below %d", event->kind, EVENT_KINDS);
    }
}

/* There is a whole event at source->at; false: the end, or an error. */
static bool next_event(struct trace *trace, struct event *event, bool *good, struct trace_error *error)
{
    struct trace_source *source = trace->source;

    *good = source_need(source, sizeof(*event), error);
    if (!*good || source_left(source) == 0)
        return false;
    if (source_left(source) < sizeof(*event)) {
        *good = trace_fail_at(error, source->path, source_offset(source),
                              "the file ends after %zu bytes of an event, expected %zu", source_left(source),
                              sizeof(*event));
        return false;
    }
    memcpy(event, source->at, sizeof(*event));
    return true;
}

bool recording_read(struct trace *trace, size_t *count, struct trace_error *error)
{
    uint32_t process = trace->options.process;
    struct event event;
    bool good = true;

    *count = 0;
    while (pages_end(trace, *count) && (trace->mark_count < TRACE_MARKS - SPARE_MARKS || *count == 0) &&
           *count < TRACE_BLOCK && next_event(trace, &event, &good, error)) {
        if (event.kind != EVENT_REFERENCE) {
            good = take_event(trace, &event, *count, error);
        } else if (process == 0 || process == event.process) {
            take_time(trace, &event, *count);
            take_member(trace, &event, *count);
            good = take_reference(trace, &event, &trace->block[*count], error);
            ++*count;
        }
        if (!good)
            return false;
        trace->source->at += sizeof(event);
    }
    return good;
}

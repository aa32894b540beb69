/*
 * A page table as text, or as JSON: one line an entry, neighbours that continue each other in one line. As
 * text, indented by depth:
 *
 *   ffff888000000000-ffff8880ffffffff  L4[273]  table 0000000104000  w-u------  1 live
 *    ffff888000000000-ffff8880ffffffff L3[0]    4 x 1G -> 0000000000000-00000ffffffff  w--gad
 *
 * Flags: w write, x execute, u user, g global, n not cached, t write-through, a accessed, d dirty, s the
 * caller's. As JSON, an array of objects, with every flag:
 *
 *   {"start":"0xffff888000000000","last":"0xffff8880ffffffff","level":3,"index":0,"kind":"page","count":4,
 *    "bytes":1073741824,"to":"0x0","flags":["write","global"],"memory":0}
 */
#include "pt/pt_internal.h"

enum { LINE_MAX = 512 };

struct line {
    char text[LINE_MAX];
    unsigned length;
};

/* A run of entries that has not been written yet. */
struct dump {
    bool json, begun; /* begun: an object was written */
    pt_emit *emit;
    void *context;
    struct pt_visit first;
    struct pt_entry last; /* of the run */
    uint64_t count;       /* 0: no run */
};

static void put_char(struct line *line, char c)
{
    if (line->length < LINE_MAX - 1)
        line->text[line->length++] = c;
}

static void put_text(struct line *line, const char *text)
{
    while (*text)
        put_char(line, *text++);
}

static void put_hex(struct line *line, uint64_t value, unsigned digits)
{
    while (digits-- > 0)
        put_char(line, "0123456789abcdef"[(value >> (4 * digits)) & 15]);
}

static void put_number(struct line *line, uint64_t value)
{
    char digits[20];
    unsigned n = 0;

    do
        digits[n++] = (char)('0' + value % 10);
    while ((value /= 10) != 0);
    while (n > 0)
        put_char(line, digits[--n]);
}

static void pad_to(struct line *line, unsigned column)
{
    do
        put_char(line, ' ');
    while (line->length < column);
}

static void put_flags(struct line *line, struct pt_flags flags)
{
    static const struct {
        char letter;
        uint32_t flag;
    } letters[] = {{'w', PT_FLAG_WRITE},    {'x', PT_FLAG_EXEC},     {'u', PT_FLAG_USER},
                   {'g', PT_FLAG_GLOBAL},   {'n', PT_FLAG_NO_CACHE}, {'t', PT_FLAG_WRITE_THROUGH},
                   {'a', PT_FLAG_ACCESSED}, {'d', PT_FLAG_DIRTY},    {'s', PT_FLAG_SOFT_0}};

    for (unsigned i = 0; i < sizeof letters / sizeof *letters; i++)
        put_char(line, flags.bits & letters[i].flag ? letters[i].letter : '-');
}

static void put_size(struct line *line, unsigned level)
{
    unsigned shift = pt_level_shift(level);

    put_number(line, (uint64_t)1 << shift % 10);
    put_char(line, "BKMGTPE"[shift / 10]);
}

static void put_line(struct line *line, const struct dump *dump)
{
    const struct pt_visit *first = &dump->first;
    uint64_t bytes = dump->count << pt_level_shift(first->level);

    for (unsigned depth = first->level; depth < PT_LEVELS; depth++)
        put_text(line, "  ");
    put_hex(line, first->start.v, 16);
    put_char(line, '-');
    put_hex(line, first->start.v + bytes - 1, 16);
    put_text(line, " L");
    put_number(line, first->level);
    put_char(line, '[');
    put_number(line, first->index);
    put_char(line, ']');
    pad_to(line, 50);
    if (pt_entry_is_table(first->entry, first->level)) {
        put_text(line, "table ");
        put_hex(line, pt_entry_paddr(first->entry).v, 13);
        put_char(line, ' ');
        put_flags(line, pt_table_flags(first->entry));
        if (pt_entry_live(first->entry) != PT_LIVE_UNKNOWN) {
            put_char(line, ' ');
            put_number(line, (uint64_t)pt_entry_live(first->entry));
            put_text(line, " live");
        }
    } else {
        put_number(line, dump->count);
        put_text(line, " x ");
        put_size(line, first->level);
        if (pt_entry_present(first->entry)) {
            put_text(line, " -> ");
            put_hex(line, pt_entry_page_paddr(first->entry, first->level).v, 13);
            put_char(line, ' ');
            put_flags(line, pt_entry_flags(first->entry, first->level));
        } else {
            put_text(line, " mark ");
            put_hex(line, pt_entry_mark(first->entry).value, 16);
        }
    }
}

/* ------------------------------------------------------------------ as JSON */

static void put_key(struct line *line, const char *key)
{
    if (line->text[line->length - 1] != '{')
        put_char(line, ',');
    put_char(line, '"');
    put_text(line, key);
    put_text(line, "\":");
}

/* Numbers of 64 bits are strings: not every reader of JSON has so many. */
static void put_address(struct line *line, const char *key, uint64_t value)
{
    unsigned digits = 1;

    while (digits < 16 && value >> (4 * digits) != 0)
        digits++;
    put_key(line, key);
    put_text(line, "\"0x");
    put_hex(line, value, digits);
    put_char(line, '"');
}

static void put_count(struct line *line, const char *key, uint64_t value)
{
    put_key(line, key);
    put_number(line, value);
}

static void put_kind(struct line *line, const char *kind)
{
    put_key(line, "kind");
    put_char(line, '"');
    put_text(line, kind);
    put_char(line, '"');
}

static void put_flag_names(struct line *line, struct pt_flags flags)
{
    static const struct {
        const char *name;
        uint32_t flag;
    } names[] = {{"write", PT_FLAG_WRITE},       {"exec", PT_FLAG_EXEC},     {"no_read", PT_FLAG_NO_READ},
                 {"user", PT_FLAG_USER},         {"global", PT_FLAG_GLOBAL}, {"group", PT_FLAG_GROUP},
                 {"accessed", PT_FLAG_ACCESSED}, {"dirty", PT_FLAG_DIRTY},   {"soft0", PT_FLAG_SOFT_0},
                 {"soft1", PT_FLAG_SOFT_1},      {"soft2", PT_FLAG_SOFT_2},  {"soft3", PT_FLAG_SOFT_3},
                 {"soft4", PT_FLAG_SOFT_4},      {"soft5", PT_FLAG_SOFT_5},  {"soft6", PT_FLAG_SOFT_6},
                 {"soft7", PT_FLAG_SOFT_7},      {"soft8", PT_FLAG_SOFT_8},  {"soft9", PT_FLAG_SOFT_9}};
    bool more = false;

    put_key(line, "flags");
    put_char(line, '[');
    for (unsigned i = 0; i < sizeof names / sizeof *names; i++) {
        if (flags.bits & names[i].flag) {
            put_text(line, more ? ",\"" : "\"");
            put_text(line, names[i].name);
            put_char(line, '"');
            more = true;
        }
    }
    put_char(line, ']');
    put_count(line, "memory",
              (uint64_t)((flags.bits & PT_FLAG_WRITE_THROUGH) != 0) |
                  (uint64_t)((flags.bits & PT_FLAG_NO_CACHE) != 0) << 1 |
                  (uint64_t)((flags.bits & PT_FLAG_MEMORY_4) != 0) << 2);
    if (flags.bits & PT_FLAG_KEY)
        put_count(line, "key", pt_key_of(flags));
}

static void put_object(struct line *line, const struct dump *dump)
{
    const struct pt_visit *first = &dump->first;
    struct pt_entry entry = first->entry;

    put_text(line, dump->begun ? ",{" : "{");
    put_address(line, "start", first->start.v);
    put_address(line, "last", first->start.v + (dump->count << pt_level_shift(first->level)) - 1);
    put_count(line, "level", first->level);
    put_count(line, "index", first->index);
    if (pt_entry_is_table(entry, first->level)) {
        put_kind(line, "table");
        put_address(line, "to", pt_entry_paddr(entry).v);
        put_flag_names(line, pt_table_flags(entry));
        if (pt_entry_live(entry) != PT_LIVE_UNKNOWN)
            put_count(line, "live", (uint64_t)pt_entry_live(entry));
    } else {
        put_kind(line, pt_entry_present(entry) ? "page" : "mark");
        put_count(line, "count", dump->count);
        put_count(line, "bytes", pt_level_span(first->level));
        if (pt_entry_present(entry)) {
            put_address(line, "to", pt_entry_page_at(entry, first->level, first->index).v);
            put_flag_names(line, pt_entry_flags(entry, first->level));
        } else {
            put_address(line, "value", pt_entry_mark(entry).value);
        }
    }
    put_char(line, '}');
}

/* ------------------------------------------------------------------ runs */

static void write_run(struct dump *dump)
{
    struct line line = {.length = 0};

    if (dump->count == 0)
        return;
    if (dump->json)
        put_object(&line, dump);
    else
        put_line(&line, dump);
    dump->begun = true;
    line.text[line.length] = '\0';
    dump->emit(dump->context, line.text);
    dump->count = 0;
}

/* Does the entry follow on the run: the neighbour in memory, with the next frame or the same mark? */
static bool continues(const struct dump *dump, const struct pt_visit *visit)
{
    uint64_t span = pt_level_span(visit->level);

    if (dump->count == 0 || visit->level != dump->first.level ||
        pt_entry_is_table(visit->entry, visit->level) ||
        visit->start.v != dump->first.start.v + dump->count * span)
        return false;
    if (pt_entry_present(visit->entry) && pt_entry_present(dump->last)) {
        uint64_t next = pt_entry_page_at(dump->last, visit->level, visit->index - 1).v + span;

        return pt_entry_page_at(visit->entry, visit->level, visit->index).v == next &&
               pt_entry_flags(visit->entry, visit->level).bits ==
                   pt_entry_flags(dump->last, visit->level).bits;
    }
    return visit->entry.bits == dump->last.bits;
}

static bool dump_entry(void *context, const struct pt_visit *visit)
{
    struct dump *dump = context;

    if (!continues(dump, visit)) {
        write_run(dump);
        dump->first = *visit;
    }
    dump->last = visit->entry;
    dump->count++;
    return true;
}

enum status pt_dump(const struct pt *pt, pt_emit *emit, void *context)
{
    struct dump dump = {.emit = emit, .context = context};
    enum status status = pt_visit_all(pt, PT_LEVELS_ALL, dump_entry, &dump);

    write_run(&dump);
    return status;
}

enum status pt_dump_json(const struct pt *pt, pt_emit *emit, void *context)
{
    struct dump dump = {.emit = emit, .context = context, .json = true};
    enum status status;

    emit(context, "[");
    status = pt_visit_all(pt, PT_LEVELS_ALL, dump_entry, &dump);
    write_run(&dump);
    emit(context, "]");
    return status;
}

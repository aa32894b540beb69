/*
 * The shape of translation caches as the user writes it: "entries=64,ways=4,second=1536,second-ways=12".
 */
#include <string.h>

#include "sim/full/full.h"

/*
 * Intel 64 and IA-32 Architectures Optimization Reference Manual, "Skylake client microarchitecture", cache
 * hierarchy: DTLB 64 entries of 4 ways (4 KiB) and 32 of 4 (2 MiB), STLB 1536 of 12 shared. Its
 * paging-structure caches are not published; these are the sizes that T. W. Barr, A. L. Cox and S. Rixner,
 * "Translation Caching: Skip, Don't Walk (the Page Table)", ISCA 2010, found in an earlier Intel processor.
 * PCIDs have 12 bits.
 */
static const struct full_tlb skylake = {
    .entries = 64,
    .ways = 4,
    .huge_entries = 32,
    .huge_ways = 4,
    .second_entries = 1536,
    .second_ways = 12,
    .walk = {[2] = 32, [3] = 4, [4] = 2},
    .asids = 4096,
};
static const struct full_tlb plain = {.entries = 64, .huge_entries = 32};

enum { MOST_ENTRIES = 1 << 16 };

struct reader {
    const char *text, *at; /* the part that is being read */
    size_t length;
    const char *expected;
};

/* The part that begins here, up to a comma. */
static void part_begin(struct reader *reader, const char *at)
{
    reader->at = at;
    reader->length = strcspn(at, ",");
}

static bool part_is(const struct reader *reader, const char *name)
{
    return strlen(name) == reader->length && memcmp(reader->at, name, reader->length) == 0;
}

static unsigned *field_of(struct full_tlb *tlb, const char *name, size_t length)
{
    const struct {
        const char *name;
        unsigned *value;
    } fields[] = {
        {"entries", &tlb->entries},       {"ways", &tlb->ways},
        {"huge", &tlb->huge_entries},     {"huge-ways", &tlb->huge_ways},
        {"second", &tlb->second_entries}, {"second-ways", &tlb->second_ways},
        {"pde", &tlb->walk[2]},           {"pdpte", &tlb->walk[3]},
        {"pml4e", &tlb->walk[4]},         {"asids", &tlb->asids},
    };

    for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++)
        if (strlen(fields[i].name) == length && memcmp(fields[i].name, name, length) == 0)
            return fields[i].value;
    return NULL;
}

static bool parse_entries(const char *digits, size_t length, unsigned *out)
{
    unsigned value = 0;

    for (size_t i = 0; i < length; i++) {
        if (digits[i] < '0' || digits[i] > '9')
            return false;
        value = value * 10 + (unsigned)(digits[i] - '0');
        if (value > MOST_ENTRIES)
            return false;
    }
    *out = value;
    return length > 0;
}

static bool parse_part(struct reader *reader, struct full_tlb *tlb)
{
    size_t name = 0;
    unsigned *field;

    while (name < reader->length && reader->at[name] != '=')
        name++;
    field = field_of(tlb, reader->at, name);
    if (!field) {
        reader->expected = "entries, ways, huge, huge-ways, second, second-ways, pde, pdpte, pml4e or asids, "
                           "= and a number (or skylake, first)";
        return false;
    }
    reader->expected = "a number up to 65536";
    return name < reader->length && parse_entries(reader->at + name + 1, reader->length - name - 1, field);
}

static bool check_bank(struct reader *reader, unsigned entries, unsigned *ways)
{
    unsigned sets;

    if (entries == 0)
        return true;
    if (*ways == 0)
        *ways = entries;
    sets = entries / *ways;
    if (entries % *ways == 0 && (sets & (sets - 1)) == 0)
        return true;
    reader->expected = "entries that are a power of two times the ways";
    return false;
}

/* What can be said only of all together. */
static bool check_shape(struct reader *reader, struct full_tlb *tlb)
{
    part_begin(reader, reader->text);
    reader->length = strlen(reader->text);
    if (tlb->entries == 0 || tlb->huge_entries == 0) {
        reader->expected = "at least one entry, and one for huge pages";
        return false;
    }
    return check_bank(reader, tlb->entries, &tlb->ways) &&
           check_bank(reader, tlb->huge_entries, &tlb->huge_ways) &&
           check_bank(reader, tlb->second_entries, &tlb->second_ways);
}

static bool parse(struct reader *reader, struct full_tlb *tlb)
{
    *tlb = plain;
    part_begin(reader, reader->text);
    if (part_is(reader, "skylake")) {
        *tlb = skylake;
        if (reader->at[reader->length] == '\0')
            return true;
        part_begin(reader, reader->at + reader->length + 1);
    }
    for (;;) {
        if (!parse_part(reader, tlb))
            return false;
        if (reader->at[reader->length] == '\0')
            return check_shape(reader, tlb);
        part_begin(reader, reader->at + reader->length + 1);
    }
}

bool full_tlb_parse(const char *text, struct full_tlb *tlb, size_t *at, size_t *length, const char **expected)
{
    struct reader reader = {.text = text};
    bool good = parse(&reader, tlb);

    *at = (size_t)(reader.at - text);
    *length = reader.length;
    *expected = reader.expected;
    return good;
}

/*
 * served_pages.h. The hash need not withstand malice, only accidents: four lanes of multiplication and
 * rotation over the page's 512 words, folded to 32 bits.
 */
#include "served_pages.h"

#include <string.h>
#include <sys/mman.h>

enum { FIRST_EPOCH = 1 };

static uint32_t hash_of(const void *contents)
{
    const uint64_t *words = contents;
    uint64_t lane[4] = {1, 2, 3, 4}, all = 0;

    for (unsigned i = 0; i < PAGE_SIZE / sizeof(*words); i++) {
        uint64_t *to = &lane[i % 4];

        *to = (*to ^ words[i]) * 0x9e3779b97f4a7c15u;
        *to = *to << 29 | *to >> 35;
    }
    for (unsigned i = 0; i < 4; i++)
        all = (all ^ lane[i]) * 0xff51afd7ed558ccdu;
    all ^= all >> 32;
    return (uint32_t)all ? (uint32_t)all : 1;
}

enum status served_pages_init(struct served_pages *pages, uint64_t count)
{
    void *notes = mmap(NULL, count * sizeof(*pages->notes), PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    *pages = (struct served_pages){
        .notes = notes == MAP_FAILED ? NULL : notes, .count = count, .epoch = FIRST_EPOCH, .lowest = count};
    return pages->notes ? ST_OK : ST_NO_MEMORY;
}

void served_pages_destroy(struct served_pages *pages)
{
    if (pages->notes)
        munmap(pages->notes, pages->count * sizeof(*pages->notes));
}

static bool is_doubtful(const struct served_pages *pages, uint64_t page)
{
    return pages->notes[page].epoch > pages->doubt_low && pages->notes[page].epoch <= pages->doubt_high;
}

static bool is_unflushed(const struct served_pages *pages, uint64_t page)
{
    return pages->notes[page].epoch > pages->flushed && pages->notes[page].epoch > pages->doubt_high;
}

/* It is counted nowhere. */
static void uncount(struct served_pages *pages, uint64_t page)
{
    struct page_note *note = &pages->notes[page];

    if (is_doubtful(pages, page))
        pages->doubtful--;
    else if (is_unflushed(pages, page) && pages->flushing != 0 && note->epoch > pages->flushing)
        pages->newer--;
    else if (is_unflushed(pages, page))
        pages->unflushed--;
    note->epoch = 0;
}

static void count_as_unflushed(struct served_pages *pages, uint64_t page)
{
    uncount(pages, page);
    pages->notes[page].epoch = pages->epoch;
    if (pages->flushing != 0)
        pages->newer++;
    else
        pages->unflushed++;
    if (page < pages->lowest)
        pages->lowest = page;
    if (page >= pages->end)
        pages->end = page + 1;
}

void served_pages_written(struct served_pages *pages, uint64_t page, const void *contents)
{
    pages->notes[page].hash = hash_of(contents);
    count_as_unflushed(pages, page);
}

void served_pages_forget(struct served_pages *pages, uint64_t page)
{
    uncount(pages, page);
    pages->notes[page].hash = 0;
}

bool served_pages_read(struct served_pages *pages, uint64_t page, const void *contents)
{
    uint32_t hash = hash_of(contents);

    if (pages->notes[page].hash != 0 && pages->notes[page].hash != hash)
        return false;
    if (pages->notes[page].hash == 0)
        pages->notes[page].hash = hash;
    if (is_doubtful(pages, page))
        count_as_unflushed(pages, page);
    return true;
}

void served_pages_flush_begins(struct served_pages *pages)
{
    pages->flushing = pages->epoch++;
}

void served_pages_flushed(struct served_pages *pages)
{
    pages->flushed = pages->flushing;
    pages->flushing = 0;
    pages->unflushed = pages->newer;
    pages->newer = 0;
    if (pages->unflushed == 0 && pages->doubtful == 0) {
        pages->lowest = pages->count;
        pages->end = 0;
    }
}

void served_pages_flush_failed(struct served_pages *pages)
{
    pages->flushing = 0;
    pages->unflushed += pages->newer;
    pages->newer = 0;
}

void served_pages_connection_lost(struct served_pages *pages)
{
    if (pages->doubtful == 0)
        pages->doubt_low = pages->flushed > pages->doubt_high ? pages->flushed : pages->doubt_high;
    pages->doubtful += pages->unflushed + pages->newer;
    pages->doubt_high = pages->epoch++;
    pages->unflushed = pages->newer = 0;
    pages->flushing = 0;
}

uint32_t served_pages_doubtful(const struct served_pages *pages, uint64_t *from, uint32_t most)
{
    uint64_t page = *from > pages->lowest ? *from : pages->lowest;
    uint32_t count = 0;

    while (page < pages->end && !is_doubtful(pages, page))
        page++;
    *from = page;
    while (count < most && page + count < pages->end && is_doubtful(pages, page + count))
        count++;
    return count;
}

const char *served_pages_check(const struct served_pages *pages)
{
    uint64_t doubtful = 0, unflushed = 0;

    for (uint64_t page = 0; page < pages->count; page++) {
        bool counts = is_doubtful(pages, page) || is_unflushed(pages, page);

        doubtful += is_doubtful(pages, page);
        unflushed += is_unflushed(pages, page);
        if (counts && (page < pages->lowest || page >= pages->end))
            return "a page that may not last is outside of the bounds";
        if (is_unflushed(pages, page) && pages->notes[page].hash == 0)
            return "a page was written, and what is not known";
    }
    return doubtful != pages->doubtful                    ? "the count of doubtful pages"
           : unflushed != pages->unflushed + pages->newer ? "the count of unflushed pages"
                                                          : NULL;
}

/*
 * Cells. See cells.h.
 *
 * A cell begins with two bytes that say how many are in use behind them.
 */
#include "store/cells.h"

#include <string.h>

#include "base/check.h"

enum { SPAN_CELLS = 64, DIRECTORY_SPANS = 64 };

struct span {
    uint64_t used; /* bit n: cell n. Of a span that is not in use: the number of the next such */
    void *pages[CELL_SPAN_PAGES];
    struct list node; /* of cells->partial */
    uint32_t number;
    uint8_t size;                   /* in units, less one */
    uint8_t page_count, cell_count; /* 0: not in use */
};
_Static_assert(sizeof(struct span) == PAGE_SIZE / DIRECTORY_SPANS, "a page describes 64 spans");

/* ------------------------------------------------------------------ spans */

static struct span *span_at(const struct cells *cells, uint32_t number)
{
    return &cells->directory[(number - 1) / DIRECTORY_SPANS][(number - 1) % DIRECTORY_SPANS];
}

static unsigned cell_bytes(const struct span *span)
{
    return (span->size + 1u) * CELL_UNIT;
}

static uint64_t all_cells(const struct span *span)
{
    return UINT64_MAX >> (SPAN_CELLS - span->cell_count);
}

/* How many pages a span of that size has: those that waste the smallest part. */
static unsigned best_pages(unsigned bytes)
{
    unsigned best = 1;

    for (unsigned pages = 2; pages <= CELL_SPAN_PAGES; pages++) {
        unsigned waste = pages * (unsigned)PAGE_SIZE % bytes, least = best * (unsigned)PAGE_SIZE % bytes;

        if (pages * (unsigned)PAGE_SIZE / bytes <= SPAN_CELLS && waste * best < least * pages)
            best = pages;
    }
    return best;
}

static void *take_page(struct cells *cells)
{
    void *page;

    if (cells->pages == cells->most)
        return NULL;
    page = cells->memory->page_take(cells->memory->context);
    cells->pages += page != NULL;
    return page;
}

static void give_page(struct cells *cells, void *page)
{
    cells->memory->page_give(cells->memory->context, page);
    cells->pages--;
}

/* A description that is not in use; 0 without memory. */
static uint32_t take_number(struct cells *cells)
{
    uint32_t number = cells->free_first;

    if (number != 0) {
        cells->free_first = (uint32_t)span_at(cells, number)->used;
        return number;
    }
    if (cells->spans % DIRECTORY_SPANS == 0) {
        struct span *page = take_page(cells);

        if (page == NULL)
            return 0;
        cells->directory[cells->spans / DIRECTORY_SPANS] = page;
        memset(page, 0, PAGE_SIZE);
    }
    return ++cells->spans;
}

static void give_number(struct cells *cells, uint32_t number)
{
    struct span *span = span_at(cells, number);

    *span = (struct span){.used = cells->free_first};
    cells->free_first = number;
}

/* A span of that size without cells, on the list. False without memory. */
static bool span_make(struct cells *cells, unsigned size)
{
    uint32_t number = take_number(cells);
    struct span *span;

    if (number == 0)
        return false;
    span = span_at(cells, number);
    *span = (struct span){
        .number = number, .size = (uint8_t)size, .page_count = (uint8_t)best_pages((size + 1) * CELL_UNIT)};
    span->cell_count = (uint8_t)(span->page_count * (unsigned)PAGE_SIZE / cell_bytes(span));
    for (unsigned i = 0; i < span->page_count; i++) {
        span->pages[i] = take_page(cells);
        if (span->pages[i] != NULL)
            continue;
        while (i-- > 0)
            give_page(cells, span->pages[i]);
        give_number(cells, number);
        return false;
    }
    list_push_front(&cells->partial[size], &span->node);
    return true;
}

/* Its last cell has gone. */
static void span_end(struct cells *cells, struct span *span)
{
    list_remove(&span->node);
    for (unsigned i = 0; i < span->page_count; i++)
        give_page(cells, span->pages[i]);
    give_number(cells, span->number);
}

/* ------------------------------------------------------------------ cells */

/* Copies between `bytes` of memory and the cell, from `offset` in the span on. */
static void copy_in(const struct span *span, unsigned offset, const uint8_t *from, size_t bytes)
{
    while (bytes != 0) {
        unsigned within = offset & (unsigned)PAGE_MASK;
        size_t chunk = PAGE_SIZE - within < bytes ? PAGE_SIZE - within : bytes;

        memcpy((uint8_t *)span->pages[offset >> PAGE_SHIFT] + within, from, chunk);
        offset += (unsigned)chunk;
        from += chunk;
        bytes -= chunk;
    }
}

static void copy_out(const struct span *span, unsigned offset, uint8_t *to, size_t bytes)
{
    while (bytes != 0) {
        unsigned within = offset & (unsigned)PAGE_MASK;
        size_t chunk = PAGE_SIZE - within < bytes ? PAGE_SIZE - within : bytes;

        memcpy(to, (const uint8_t *)span->pages[offset >> PAGE_SHIFT] + within, chunk);
        offset += (unsigned)chunk;
        to += chunk;
        bytes -= chunk;
    }
}

/* ------------------------------------------------------------------ the interface */

enum status cells_init(struct cells *cells, const struct store_memory *memory, uint64_t most_pages)
{
    uint64_t described = UINT32_MAX / SPAN_CELLS; /* that handles can name */
    uint64_t directory = (most_pages < described ? most_pages : described) / DIRECTORY_SPANS + 1;

    *cells = (struct cells){.memory = memory, .most = most_pages < described ? most_pages : described};
    cells->directory_bytes = directory * sizeof(*cells->directory);
    cells->directory = memory->area_take(memory->context, cells->directory_bytes);
    for (unsigned size = 0; size < CELL_SIZES; size++)
        list_init(&cells->partial[size]);
    return cells->directory != NULL ? ST_OK : ST_NO_MEMORY;
}

void cells_destroy(struct cells *cells)
{
    for (uint32_t number = 1; number <= cells->spans; number++) {
        const struct span *span = span_at(cells, number);

        for (unsigned i = 0; i < span->page_count; i++)
            give_page(cells, span->pages[i]);
    }
    for (uint32_t page = 0; page * DIRECTORY_SPANS < cells->spans; page++)
        give_page(cells, cells->directory[page]);
    CHECK(cells->pages == 0);
    cells->memory->area_give(cells->memory->context, cells->directory, cells->directory_bytes);
}

uint32_t cells_put(struct cells *cells, const void *from, size_t bytes)
{
    unsigned size = (unsigned)((bytes + sizeof(uint16_t) + CELL_UNIT - 1) / CELL_UNIT) - 1;
    struct list *partial = &cells->partial[size];
    uint16_t length = (uint16_t)bytes;
    struct span *span;
    unsigned cell;

    CHECK_ALWAYS(bytes > 0 && bytes <= CELL_BYTES_MAX);
    if (list_empty(partial) && !span_make(cells, size))
        return 0;
    span = container_of(partial->next, struct span, node);
    cell = (unsigned)__builtin_ctzll(~span->used);
    span->used |= (uint64_t)1 << cell;
    if (span->used == all_cells(span))
        list_remove(&span->node);
    cells->used++;
    copy_in(span, cell * cell_bytes(span), (const uint8_t *)&length, sizeof(length));
    copy_in(span, cell * cell_bytes(span) + sizeof(length), from, bytes);
    return span->number * SPAN_CELLS + cell;
}

size_t cells_bytes(const struct cells *cells, uint32_t handle)
{
    const struct span *span = span_at(cells, handle / SPAN_CELLS);
    uint16_t length;

    CHECK(cells_is_used(cells, handle));
    copy_out(span, handle % SPAN_CELLS * cell_bytes(span), (uint8_t *)&length, sizeof(length));
    return length;
}

const void *cells_look(const struct cells *cells, uint32_t handle, void *spare, size_t *bytes)
{
    const struct span *span = span_at(cells, handle / SPAN_CELLS);
    unsigned start = handle % SPAN_CELLS * cell_bytes(span) + (unsigned)sizeof(uint16_t);

    *bytes = cells_bytes(cells, handle);
    if (start >> PAGE_SHIFT == (start + *bytes - 1) >> PAGE_SHIFT)
        return (const uint8_t *)span->pages[start >> PAGE_SHIFT] + (start & PAGE_MASK);
    copy_out(span, start, spare, *bytes);
    return spare;
}

void cells_drop(struct cells *cells, uint32_t handle)
{
    struct span *span = span_at(cells, handle / SPAN_CELLS);

    CHECK_ALWAYS(cells_is_used(cells, handle));
    if (span->used == all_cells(span))
        list_push_front(&cells->partial[span->size], &span->node);
    span->used &= ~((uint64_t)1 << handle % SPAN_CELLS);
    cells->used--;
    if (span->used == 0)
        span_end(cells, span);
}

bool cells_is_used(const struct cells *cells, uint32_t handle)
{
    uint32_t number = handle / SPAN_CELLS;

    return number != 0 && number <= cells->spans && span_at(cells, number)->page_count != 0 &&
           (span_at(cells, number)->used >> handle % SPAN_CELLS & 1) != 0;
}

/* ------------------------------------------------------------------ checks */

static bool is_listed(const struct cells *cells, const struct span *span)
{
    list_for_each(node, &cells->partial[span->size]) if (node == &span->node) return true;
    return false;
}

static const char *check_span(const struct cells *cells, const struct span *span)
{
    if (span->size >= CELL_SIZES || span->page_count > CELL_SPAN_PAGES ||
        span->cell_count * cell_bytes(span) > span->page_count * PAGE_SIZE)
        return "the shape of a span";
    if (span->used == 0 || (span->used & ~all_cells(span)) != 0)
        return "a span has no cells, or more than it has room for";
    if (is_listed(cells, span) != (span->used != all_cells(span)))
        return "not those with a free cell are listed";
    for (unsigned i = 0; i < span->page_count; i++)
        if (span->pages[i] == NULL)
            return "a span lacks a page";
    return NULL;
}

const char *cells_check(const struct cells *cells)
{
    uint64_t pages = (cells->spans + DIRECTORY_SPANS - 1) / DIRECTORY_SPANS, used = 0;
    uint32_t unused = 0, listed = 0;

    for (uint32_t number = 1; number <= cells->spans; number++) {
        const struct span *span = span_at(cells, number);
        const char *wrong = span->page_count != 0 ? check_span(cells, span) : NULL;

        if (wrong != NULL)
            return wrong;
        if (span->page_count != 0 && span->number != number)
            return "a span does not know its number";
        unused += span->page_count == 0;
        pages += span->page_count;
        used += span->page_count != 0 ? (unsigned)__builtin_popcountll(span->used) : 0;
    }
    for (uint32_t number = cells->free_first; number != 0 && listed <= unused;
         number = (uint32_t)span_at(cells, number)->used)
        listed++;
    if (listed != unused)
        return "not those that are not in use are free";
    return pages != cells->pages || pages > cells->most ? "the count of pages"
           : used != cells->used                        ? "the count of cells"
                                                        : NULL;
}

/*
 * The curve of faults by size, from stack distances: sim/curve.h.
 *
 * Until curve_finish(), faults[d] counts the references from depth d, and write_backs[c] by how much c frames
 * have more write-backs than c - 1 have.
 */
#include "sim/curve.h"

#include <stdlib.h>
#include <string.h>

#include "sim/stack.h"

void curve_destroy(struct curve *curve)
{
    free(curve->faults);
    free(curve->write_backs);
    free(curve->dirty_from);
    *curve = (struct curve){0};
}

/* A larger array with zeroes at its end; the old one stays as it is when there is no memory. */
static bool grow(void *array, size_t item, size_t old, size_t wanted)
{
    void *larger = realloc(*(void **)array, wanted * item);

    if (!larger)
        return false;
    memset((char *)larger + old * item, 0, (wanted - old) * item);
    *(void **)array = larger;
    return true;
}

static bool curve_grow(struct curve *curve, uint32_t pages)
{
    size_t wanted = (size_t)curve->size + curve->size / 2, old = curve->size ? (size_t)curve->size + 1 : 0;

    if (pages <= curve->size)
        return true;
    wanted = wanted > pages ? wanted : pages;
    if (!grow(&curve->faults, sizeof(*curve->faults), old, wanted + 1) ||
        !grow(&curve->write_backs, sizeof(*curve->write_backs), old, wanted + 1) ||
        !grow(&curve->dirty_from, sizeof(*curve->dirty_from), old, wanted + 1))
        return false;
    curve->size = (uint32_t)wanted;
    return true;
}

/* The memories that held the page dirty and are too small for `depth` have written it. */
static void write_back(struct curve *curve, uint32_t page, uint32_t depth)
{
    uint32_t from = curve->dirty_from[page];

    if (from == 0 || from >= depth)
        return;
    curve->write_backs[from]++;
    curve->write_backs[depth]--;
    curve->dirty_from[page] = depth;
}

bool curve_block(struct curve *curve, const struct policy_block *block, uint32_t pages,
                 const uint32_t *distances)
{
    if (!curve_grow(curve, pages))
        return false;
    for (size_t i = 0; i < block->count; i++) {
        uint32_t page = block->references[i] >> 1, depth = distances[i];

        curve->faults[depth]++;
        curve->pages += depth == STACK_COLD;
        write_back(curve, page, depth);
        if (block->references[i] & 1)
            curve->dirty_from[page] = 1;
    }
    curve->references += block->count;
    return true;
}

void curve_leave(struct curve *curve, uint32_t page, uint32_t depth)
{
    write_back(curve, page, depth);
}

void curve_finish(struct curve *curve)
{
    uint64_t faults = curve->references, write_backs = 0;

    if (curve->size == 0)
        return;
    curve->faults[0] = faults;
    for (uint32_t frames = 1; frames <= curve->pages; frames++) {
        faults -= curve->faults[frames];
        write_backs += curve->write_backs[frames];
        curve->faults[frames] = faults;
        curve->write_backs[frames] = write_backs;
    }
}

uint32_t curve_frames_for(const struct curve *curve, uint64_t faults)
{
    uint32_t least = 1, end = curve->pages + 1;

    while (least < end) {
        uint32_t middle = least + (end - least) / 2;

        if (curve->faults[middle] <= faults)
            end = middle;
        else
            least = middle + 1;
    }
    return least <= curve->pages ? least : 0;
}

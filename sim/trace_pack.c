/*
 * Packing of references.
 *
 * What is read from a file is not trusted: whatever the bytes, unpacking stays within its buffers and gives
 * references below the limit, or says that it cannot.
 */
#include "sim/trace_pack.h"

#include <stdlib.h>
#include <string.h>

#include "sim/bytes.h"
#include "sim/clones.h"

/* ------------------------------------------------------------------ packing */

void pack_room_free(struct pack_room *room)
{
    free(room->place);
    free(room->seen);
    free(room->dictionary);
    *room = (struct pack_room){0};
}

static bool room_grow(struct pack_room *room, uint32_t limit)
{
    size_t size = room->size ? room->size : 1 << 17;

    if (!room->dictionary)
        room->dictionary = malloc(PACK_DICTIONARY_MOST * sizeof(*room->dictionary));
    if (limit <= room->size)
        return room->dictionary != NULL;
    while (size < limit)
        size *= 2;
    uint32_t *place = realloc(room->place, size * sizeof(*place));

    if (place)
        room->place = place;
    uint64_t *seen = calloc(size / 64, sizeof(*seen));

    if (!place || !seen || !room->dictionary) {
        free(seen);
        return false;
    }
    free(room->seen);
    room->seen = seen;
    room->size = size;
    return true;
}

static int compare(const void *a, const void *b)
{
    uint32_t left = *(const uint32_t *)a, right = *(const uint32_t *)b;

    return (left > right) - (left < right);
}

/* The different references, ascending, and the place of each. Returns how many, 0 when they are too many. */
static size_t make_dictionary(struct pack_room *room, const uint32_t *references, size_t count)
{
    size_t different = 0;
    bool fits = true;

    for (size_t i = 0; i < count && fits; i++) {
        uint32_t reference = references[i];
        uint64_t bit = (uint64_t)1 << reference % 64;

        if (room->seen[reference / 64] & bit)
            continue;
        fits = different < PACK_DICTIONARY_MOST;
        if (fits) {
            room->seen[reference / 64] |= bit;
            room->dictionary[different++] = reference;
        }
    }
    qsort(room->dictionary, different, sizeof(*room->dictionary), compare);
    for (size_t i = 0; i < different; i++) {
        room->place[room->dictionary[i]] = (uint32_t)i;
        room->seen[room->dictionary[i] / 64] = 0;
    }
    return fits ? different : 0;
}

static size_t pack_16(const uint32_t *references, size_t count, unsigned char *to)
{
    for (size_t i = 0; i < count; i++) {
        uint16_t value = (uint16_t)references[i];

        memcpy(to + 2 * i, &value, sizeof(value));
    }
    return 2 * count;
}

/* How many different ones, each as the distance from the one before, then the places. */
static size_t pack_dictionary(const struct pack_room *room, size_t different, const uint32_t *references,
                              size_t count, unsigned char *to)
{
    uint32_t before = 0;
    unsigned char *at = to + 4;

    bytes_put32(to, (uint32_t)different);
    for (size_t i = 0; i < different; i++, at += 4) {
        bytes_put32(at, room->dictionary[i] - before);
        before = room->dictionary[i];
    }
    for (size_t i = 0; i < count; i++, at += 2) {
        uint16_t place = (uint16_t)room->place[references[i]];

        memcpy(at, &place, sizeof(place));
    }
    return (size_t)(at - to);
}

size_t pack_references(struct pack_room *room, const uint32_t *references, size_t count, uint32_t limit,
                       unsigned char *to, enum pack_encoding *encoding)
{
    *encoding = PACK_16;
    if (limit <= (uint32_t)UINT16_MAX + 1)
        return pack_16(references, count, to);
    if (!room_grow(room, limit))
        return 0;
    size_t different = make_dictionary(room, references, count);

    *encoding = PACK_DICTIONARY;
    if (different > 0 && 4 * different + 2 * count <= 4 * count)
        return pack_dictionary(room, different, references, count, to);
    *encoding = PACK_32;
    memcpy(to, references, count * sizeof(*references));
    return count * sizeof(*references);
}

/* ------------------------------------------------------------------ unpacking */

/* All places beyond the dictionary's end mean its first reference, so that none can be wrong. */
static bool read_dictionary(struct unpack *unpack, const unsigned char *bytes, size_t length, size_t count)
{
    uint64_t value = 0;
    size_t different = length >= 4 ? bytes_get32(bytes) : 0;

    if (different == 0 || different > PACK_DICTIONARY_MOST || length != 4 + 4 * different + 2 * count)
        return false;
    for (size_t i = 0; i < different; i++) {
        value += bytes_get32(bytes + 4 + 4 * i);
        if (value >= unpack->limit)
            return false;
        unpack->dictionary[i] = (uint32_t)value;
    }
    for (size_t i = different; i < PACK_DICTIONARY_MOST; i++)
        unpack->dictionary[i] = unpack->dictionary[0];
    unpack->at = bytes + 4 + 4 * different;
    return true;
}

bool unpack_start(struct unpack *unpack, enum pack_encoding encoding, const unsigned char *bytes,
                  size_t length, size_t count, uint32_t limit)
{
    unpack->encoding = encoding;
    unpack->at = bytes;
    unpack->left = count;
    unpack->limit = limit;
    switch (encoding) {
    case PACK_16:
        return length == 2 * count;
    case PACK_DICTIONARY:
        return read_dictionary(unpack, bytes, length, count);
    case PACK_32:
        return length == 4 * count;
    }
    return false;
}

static uint32_t get16(const unsigned char *at)
{
    uint16_t value;

    memcpy(&value, at, sizeof(value));
    return value;
}

/* The largest of them is returned. Steps of a fixed length become vector instructions. */
enum { STEP = 64 };

CLONES static uint32_t next_16(const unsigned char *at, uint32_t *to, size_t count)
{
    uint16_t most[STEP] = {0}, values[STEP];
    uint32_t all = 0;
    size_t i = 0;

    for (; i + STEP <= count; i += STEP) {
        memcpy(values, at + 2 * i, sizeof(values));
        for (size_t j = 0; j < STEP; j++) {
            to[i + j] = values[j];
            most[j] = values[j] > most[j] ? values[j] : most[j];
        }
    }
    for (; i < count; i++) {
        to[i] = get16(at + 2 * i);
        all = to[i] > all ? to[i] : all;
    }
    for (size_t j = 0; j < STEP; j++)
        all = most[j] > all ? most[j] : all;
    return all;
}

CLONES static uint32_t next_32(const unsigned char *at, uint32_t *to, size_t count)
{
    uint32_t most[STEP] = {0}, all = 0;
    size_t i = 0;

    memcpy(to, at, count * sizeof(*to));
    for (; i + STEP <= count; i += STEP)
        for (size_t j = 0; j < STEP; j++)
            most[j] = to[i + j] > most[j] ? to[i + j] : most[j];
    for (; i < count; i++)
        all = to[i] > all ? to[i] : all;
    for (size_t j = 0; j < STEP; j++)
        all = most[j] > all ? most[j] : all;
    return all;
}

bool unpack_next(struct unpack *unpack, uint32_t *to, size_t count)
{
    uint32_t most = 0;

    switch (unpack->encoding) {
    case PACK_16:
        most = next_16(unpack->at, to, count);
        break;
    case PACK_DICTIONARY:
        for (size_t i = 0; i < count; i++)
            to[i] = unpack->dictionary[get16(unpack->at + 2 * i)];
        break;
    case PACK_32:
        most = next_32(unpack->at, to, count);
        break;
    }
    unpack->at += count * (unpack->encoding == PACK_32 ? 4 : 2);
    unpack->left -= count;
    return most < unpack->limit;
}

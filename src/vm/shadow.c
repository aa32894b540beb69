/*
 * Shadows. See shadow.h.
 */
#include "vm/shadow.h"

#include "host/host.h"

struct shadow {
    uint32_t tag;  /* of the name; 0: none */
    uint32_t when; /* the number of pages that had gone */
};

static struct {
    struct shadow *at;
    size_t bytes;
    unsigned shift; /* 64 less the bits of an index */
    uint32_t gone;  /* goes round */
    uint64_t refaults, distance[REFAULT_BUCKETS];
} shadows;

void shadows_init(void)
{
    shadows.at = NULL;
}

void shadows_make(uint32_t frames)
{
    unsigned bits = 64 - (unsigned)__builtin_clzll(2 * (uint64_t)frames);

    if (shadows.at)
        return;
    shadows.bytes = sizeof(struct shadow) << bits;
    shadows.at = host_area_alloc(shadows.bytes);
    shadows.shift = 64 - bits;
    shadows.gone = 0;
    shadows.refaults = 0;
    for (unsigned i = 0; i < REFAULT_BUCKETS; i++)
        shadows.distance[i] = 0;
}

void shadows_end(void)
{
    if (shadows.at)
        host_area_free(shadows.at, shadows.bytes);
    shadows.at = NULL;
}

/* Fibonacci hashing (Knuth, The Art of Computer Programming 3, 6.4): the high bits find the place, the others
 * tell names of one place apart. */
static struct shadow *place_of(uint64_t name, uint32_t *tag)
{
    uint64_t hash = (name ^ name >> 32) * 0x9e3779b97f4a7c15u;

    *tag = (uint32_t)hash | 1;
    return &shadows.at[hash >> shadows.shift];
}

void shadow_leave(uint64_t name)
{
    uint32_t tag;
    struct shadow *shadow;

    if (!shadows.at)
        return;
    shadow = place_of(name, &tag);
    *shadow = (struct shadow){tag, shadows.gone++};
}

bool shadow_return(uint64_t name)
{
    uint32_t tag, distance;
    struct shadow *shadow;

    if (!shadows.at)
        return false;
    shadow = place_of(name, &tag);
    if (shadow->tag != tag)
        return false;
    distance = shadows.gone - shadow->when;
    shadow->tag = 0;
    host_tell(EVENT_REFAULT, name, distance);
    shadows.refaults++;
    shadows.distance[31 - __builtin_clz(distance | 1)]++;
    return true;
}

uint64_t shadow_returns(void)
{
    return shadows.refaults;
}

void shadows_look(struct reclaim_report *out)
{
    out->refaults = shadows.refaults;
    for (unsigned i = 0; i < REFAULT_BUCKETS; i++)
        out->refault_distance[i] = shadows.distance[i];
}

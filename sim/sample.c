/*
 * Sampling by pages: sim/sample.h.
 *
 *     references -> engine of part 1
 *         half of the pages -> engine of part 1/2
 *             half of those -> engine of part 1/4 ...
 *
 * Each stage numbers its pages densely again, so that a miniature memory is small in every respect.
 */
#include "sim/sample.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* A page's number in the next stage. */
enum { UNKNOWN, LEFT_OUT, FIRST_NUMBER };

enum { BLOCK = 8192 };

struct stage {
    struct engine *engine; /* NULL: no run takes this part */
    uint32_t *next; /* by this stage's number: UNKNOWN, LEFT_OUT, or FIRST_NUMBER and the next stage's */
    uint32_t size, pages;  /* of `next`; in this stage so far */
    uint32_t limit;        /* pages must stay below */
    uint32_t block[BLOCK]; /* of the next stage */
};

struct place {
    unsigned shift;
    size_t run; /* of its stage's engine */
};

struct sampler {
    uint64_t seed, references;
    unsigned last; /* stage with an engine */
    struct stage *stages[SAMPLE_SHIFTS + 1];
    struct place places[]; /* by run */
};

unsigned sample_shift(uint32_t frames, unsigned most_shift)
{
    unsigned shift = 0;

    while (shift < most_shift && shift < SAMPLE_SHIFTS && frames >> (shift + 1) >= SAMPLE_LEAST_FRAMES)
        shift++;
    return shift;
}

/* How many pages a stage must have room for: what is to be expected, and far more than chance adds. The few
 * that might come even so are left out. */
static uint32_t stage_limit(uint32_t pages, unsigned shift)
{
    uint64_t part = pages >> shift, limit = part + part / 2 + 1024;

    return limit < pages ? (uint32_t)limit : pages;
}

/* The engine of one stage: the runs with this shift. */
static bool stage_engine(struct sampler *sampler, unsigned shift, const struct engine_run *runs,
                         const unsigned *shifts, size_t count, uint32_t pages)
{
    struct engine_run *own = malloc((count ? count : 1) * sizeof(*own));
    size_t used = 0;

    if (!own)
        return false;
    for (size_t i = 0; i < count; i++)
        if (shifts[i] == shift) {
            own[used] = runs[i];
            own[used].frames = (runs[i].frames + (1u << shift >> 1)) >> shift;
            own[used].tick = runs[i].tick >> shift ? runs[i].tick >> shift : runs[i].tick > 0;
            own[used].seed += sampler->seed;
            sampler->places[i] = (struct place){shift, used++};
        }
    if (used > 0) {
        sampler->last = shift;
        sampler->stages[shift]->engine = engine_create(own, used, stage_limit(pages, shift));
    }
    free(own);
    return used == 0 || sampler->stages[shift]->engine;
}

struct sampler *sampler_create(const struct engine_run *runs, const unsigned *shifts, size_t count,
                               uint64_t seed, uint32_t pages)
{
    struct sampler *sampler = calloc(1, sizeof(*sampler) + count * sizeof(sampler->places[0]));

    if (!sampler)
        return NULL;
    sampler->seed = seed;
    for (unsigned shift = 0; shift <= SAMPLE_SHIFTS; shift++) {
        sampler->stages[shift] = calloc(1, sizeof(*sampler->stages[shift]));
        if (sampler->stages[shift])
            sampler->stages[shift]->limit = stage_limit(pages, shift);
        if (!sampler->stages[shift] || !stage_engine(sampler, shift, runs, shifts, count, pages)) {
            sampler_destroy(sampler);
            return NULL;
        }
    }
    sampler->stages[0]->pages = pages;
    return sampler;
}

void sampler_destroy(struct sampler *sampler)
{
    if (!sampler)
        return;
    for (unsigned shift = 0; shift <= SAMPLE_SHIFTS && sampler->stages[shift]; shift++) {
        engine_destroy(sampler->stages[shift]->engine);
        free(sampler->stages[shift]->next);
        free(sampler->stages[shift]);
    }
    free(sampler);
}

/* A coin for each page of a stage (the mixing of splitmix64, G. L. Steele and others, 2014). */
static bool coin(uint64_t seed, unsigned shift, uint32_t page)
{
    uint64_t x = (seed * (SAMPLE_SHIFTS + 1) + shift + 1) * 0x9e3779b97f4a7c15u + page;

    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return (x ^ x >> 31) & 1;
}

/* Room in `next` for the pages that are in the stage by now. */
static bool stage_grow(struct stage *stage)
{
    uint32_t wanted = stage->size + stage->size / 2;
    uint32_t *next;

    if (stage->pages <= stage->size)
        return true;
    wanted = wanted > stage->pages ? wanted : stage->pages;
    next = realloc(stage->next, (size_t)wanted * sizeof(*next));
    if (!next)
        return false;
    memset(next + stage->size, 0, (size_t)(wanted - stage->size) * sizeof(*next));
    stage->next = next;
    stage->size = wanted;
    return true;
}

/* The references of a stage's pages that are in the next stage too. */
static struct policy_block stage_filter(const struct sampler *sampler, unsigned shift,
                                        const struct policy_block *block)
{
    struct stage *stage = sampler->stages[shift];
    struct policy_block out = {.references = stage->block};
    uint32_t *pages = &sampler->stages[shift + 1]->pages, limit = sampler->stages[shift + 1]->limit;

    for (size_t i = 0; i < block->count; i++) {
        uint32_t reference = block->references[i], *next = &stage->next[reference >> 1];

        if (*next == UNKNOWN)
            *next = *pages < limit && coin(sampler->seed, shift, reference >> 1) ? FIRST_NUMBER + (*pages)++
                                                                                 : LEFT_OUT;
        stage->block[out.count] = (*next - FIRST_NUMBER) << 1 | (reference & 1);
        out.count += *next != LEFT_OUT;
    }
    return out;
}

static bool sampler_piece(struct sampler *sampler, struct policy_block block)
{
    for (unsigned shift = 0;; shift++) {
        struct stage *stage = sampler->stages[shift];

        if (stage->engine)
            engine_block(stage->engine, &block);
        if (shift == sampler->last)
            return true;
        if (!stage_grow(stage))
            return false;
        block = stage_filter(sampler, shift, &block);
    }
}

bool sampler_block(struct sampler *sampler, const struct policy_block *block)
{
    struct policy_block piece = {.references = block->references};

    for (size_t left = block->count; left > 0; left -= piece.count) {
        piece.count = left < BLOCK ? left : BLOCK;
        if (!sampler_piece(sampler, piece))
            return false;
        piece.references += piece.count;
    }
    sampler->references += block->count;
    return true;
}

void sampler_tally(const struct sampler *sampler, size_t run, struct policy_tally *tally)
{
    struct place place = sampler->places[run];

    *tally = *engine_tally(sampler->stages[place.shift]->engine, place.run);
    tally->references = sampler->references;
    tally->faults <<= place.shift;
    tally->evictions <<= place.shift;
    tally->write_backs <<= place.shift;
}

/* 97.5 % points of Student's t by degrees of freedom. */
static double student(size_t degrees)
{
    static const double points[] = {12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228};

    return degrees <= sizeof(points) / sizeof(points[0]) ? points[degrees - 1] : 2.1;
}

struct sample_estimate sample_combine(const double *values, size_t count)
{
    struct sample_estimate estimate = {0};
    double squares = 0;

    for (size_t i = 0; i < count; i++)
        estimate.mean += values[i] / (double)count;
    for (size_t i = 0; i < count; i++)
        squares += (values[i] - estimate.mean) * (values[i] - estimate.mean);
    if (count > 1)
        estimate.error = student(count - 1) * sqrt(squares / (double)(count - 1) / (double)count);
    return estimate;
}

/*
 * Curves of several policies: sim/curves.h.
 *
 * LRU's pass comes first, whether it is wanted or not: it is quick, and says how many pages there are, which
 * sizes and samples depend on. Then the others, as jobs over the threads: one for OPT, one for each policy
 * and seed.
 *
 * Locking: a job writes its own estimates only; `lock` guards the progress.
 */
#include "sim/curves.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "sim/curve.h"
#include "sim/feed.h"
#include "sim/sample.h"
#include "sim/stack.h"

enum { GRID = 48, GRID_OCTAVES = 9, GRID_A_DOUBLING = 4, SAMPLED_PAGES = 4096 };

/* What of the progress is the first pass. */
#define FIRST_PART 0.05

/* A lane: OPT (`line` is NULL), or a policy with one of the seeds. */
struct lane {
    struct curves_line *line;
    unsigned seed;
    struct stack_opt *opt;
    struct sampler *sampler;
    uint32_t *sizes; /* indices of those that the sampler has */
    size_t size_count;
};

struct survey {
    struct curves *curves;
    struct curve lru, opt;
    uint32_t grid[GRID];
    const uint32_t *sizes;
    size_t size_count;
    unsigned most_shift;
    struct lane *lanes;
    size_t lane_count;
    struct policy_tally *tallies; /* by line, seed, size */
    uint32_t *depths;             /* of a block: of the one lane that has a stack */
    struct stack_lru *stack;
};

static bool is_lru(const struct curves_line *line)
{
    return line->run.type == policy_find("lru", 3);
}

static bool is_opt(const struct curves_line *line)
{
    return line->run.type->needs == POLICY_FUTURE;
}

static bool lru_block(void *context, const struct policy_block *block, uint32_t pages,
                      struct trace_error *error)
{
    struct survey *survey = context;

    return (stack_lru_block(survey->stack, block, pages, survey->depths) &&
            curve_block(&survey->lru, block, pages, survey->depths)) ||
           pass_no_memory(survey->curves->path, error);
}

static void first_progress(void *context, double part)
{
    struct survey *survey = context;

    if (survey->curves->progress && part >= 0)
        survey->curves->progress(survey->curves->context, part * FIRST_PART);
}

static bool do_lru(struct survey *survey, struct trace_error *error)
{
    struct pass pass = {.path = survey->curves->path,
                        .options = survey->curves->options,
                        .block = lru_block,
                        .progress = first_progress,
                        .context = survey};

    survey->stack = stack_lru_create();
    survey->depths = malloc(TRACE_BLOCK * sizeof(*survey->depths));
    if (!survey->stack || !survey->depths)
        return pass_no_memory(survey->curves->path, error);
    if (!pass_run(&pass, &survey->curves->totals, error))
        return false;
    for (uint32_t page = 0; page < survey->lru.pages; page++)
        curve_leave(&survey->lru, page, stack_lru_depth(survey->stack, page));
    curve_finish(&survey->lru);
    return true;
}

/* OPT's lane takes a chunk in pieces of the size that `depths` has. */
static bool opt_block(struct survey *survey, struct lane *lane, struct policy_block block, uint32_t pages)
{
    for (size_t left = block.count; left > 0; left -= block.count) {
        block.count = left < TRACE_BLOCK ? left : TRACE_BLOCK;
        if (!stack_opt_block(lane->opt, &block, pages, survey->depths) ||
            !curve_block(&survey->opt, &block, pages, survey->depths))
            return false;
        block.references += block.count;
        block.distances += block.count;
    }
    return true;
}

static bool lane_block(void *context, size_t index, const struct policy_block *block, uint32_t pages,
                       struct trace_error *error)
{
    struct survey *survey = context;
    struct lane *lane = &survey->lanes[index];

    return (lane->line ? sampler_block(lane->sampler, block) : opt_block(survey, lane, *block, pages)) ||
           pass_no_memory(survey->curves->path, error);
}

static void second_progress(void *context, double part)
{
    struct survey *survey = context;

    if (survey->curves->progress)
        survey->curves->progress(survey->curves->context, FIRST_PART + part * (1 - FIRST_PART));
}

static struct policy_tally *tally_at(const struct survey *survey, const struct curves_line *line,
                                     unsigned seed, size_t size)
{
    size_t index = (size_t)(line - survey->curves->lines);

    return &survey->tallies[(index * survey->curves->seeds + seed) * survey->size_count + size];
}

/* The lane's sampler, for its sizes: what is simulated whole needs no second seed. */
static bool lane_sampler(struct survey *survey, struct lane *lane)
{
    struct engine_run *runs = calloc(survey->size_count, sizeof(*runs));
    unsigned *shifts = calloc(survey->size_count, sizeof(*shifts));

    lane->sizes = calloc(survey->size_count, sizeof(*lane->sizes));
    for (uint32_t i = 0; runs && shifts && lane->sizes && i < survey->size_count; i++) {
        unsigned shift = sample_shift(survey->sizes[i], survey->most_shift);

        if (shift == 0 && lane->seed > 0)
            continue;
        runs[lane->size_count] = lane->line->run;
        runs[lane->size_count].frames = survey->sizes[i];
        shifts[lane->size_count] = shift;
        lane->sizes[lane->size_count++] = i;
    }
    if (runs && shifts && lane->sizes)
        lane->sampler = sampler_create(runs, shifts, lane->size_count, lane->seed, survey->lru.pages);
    free(runs);
    free(shifts);
    return lane->sampler != NULL;
}

static bool lane_start(struct survey *survey, struct lane *lane)
{
    if (lane->line)
        return lane_sampler(survey, lane);
    lane->opt = stack_opt_create();
    return lane->opt != NULL;
}

static void lane_finish(struct survey *survey, const struct lane *lane)
{
    for (size_t i = 0; i < lane->size_count; i++)
        sampler_tally(lane->sampler, i, tally_at(survey, lane->line, lane->seed, lane->sizes[i]));
}

/* The second pass, for everything but LRU. */
static bool do_lanes(struct survey *survey, struct trace_error *error)
{
    struct feed feed = {.path = survey->curves->path,
                        .options = survey->curves->options,
                        .lanes = survey->lane_count,
                        .threads = survey->curves->threads,
                        .block = lane_block,
                        .progress = second_progress,
                        .context = survey};
    struct pass_totals totals;

    if (survey->lane_count == 0)
        return true;
    for (size_t i = 0; i < survey->lane_count; i++) {
        feed.future |= !survey->lanes[i].line;
        if (!lane_start(survey, &survey->lanes[i]))
            return pass_no_memory(survey->curves->path, error);
    }
    if (!feed_run(&feed, &totals, error))
        return false;
    for (size_t i = 0; i < survey->lane_count; i++)
        lane_finish(survey, &survey->lanes[i]);
    curve_finish(&survey->opt);
    return true;
}

static bool any_sampled_part(const struct survey *survey)
{
    for (size_t i = 0; i < survey->size_count; i++)
        if (sample_shift(survey->sizes[i], survey->most_shift) > 0)
            return true;
    return false;
}

static void plan_lanes(struct survey *survey)
{
    const struct curves *curves = survey->curves;
    unsigned seeds = any_sampled_part(survey) ? curves->seeds : 1;
    bool opt = false;

    for (size_t i = 0; i < curves->line_count; i++)
        opt |= is_opt(&curves->lines[i]);
    survey->lane_count += opt; /* all zeroes is OPT's */
    for (unsigned seed = 0; seed < seeds; seed++)
        for (size_t i = 0; i < curves->line_count; i++)
            if (!is_lru(&curves->lines[i]) && !is_opt(&curves->lines[i]))
                survey->lanes[survey->lane_count++] = (struct lane){.line = &curves->lines[i], .seed = seed};
}

size_t curves_grid(uint32_t pages, uint32_t *sizes, size_t most)
{
    size_t count = 0;

    if (pages <= most)
        while (count < pages) {
            sizes[count] = (uint32_t)count + 1;
            count++;
        }
    for (int step = GRID_OCTAVES * GRID_A_DOUBLING; pages > most && step >= 0 && count < most; step--) {
        double part = pow(2, -(double)step / GRID_A_DOUBLING);
        uint32_t size = (uint32_t)(pages * part + 0.5);

        if (size > 0 && (count == 0 || size > sizes[count - 1]))
            sizes[count++] = size;
    }
    return count;
}

/* How small the smallest part may be and leave enough pages to stand for all. */
static unsigned shift_by_pages(uint32_t pages)
{
    unsigned shift = 0;

    while (pages >> (shift + 1) >= SAMPLED_PAGES)
        shift++;
    return shift;
}

static bool survey_plan(struct survey *survey)
{
    struct curves *curves = survey->curves;

    survey->sizes = curves->sizes;
    survey->size_count = curves->size_count;
    if (!survey->sizes) {
        survey->sizes = survey->grid;
        survey->size_count = curves_grid(survey->lru.pages, survey->grid, GRID);
    }
    survey->most_shift =
        curves->most_shift == CURVES_SHIFT_BY_PAGES ? shift_by_pages(survey->lru.pages) : curves->most_shift;
    survey->tallies =
        calloc(curves->line_count * curves->seeds * survey->size_count + 1, sizeof(*survey->tallies));
    survey->lanes = calloc(curves->line_count * curves->seeds + 1, sizeof(*survey->lanes));
    if (survey->tallies && survey->lanes && survey->size_count > 0)
        plan_lanes(survey);
    return survey->tallies && survey->lanes;
}

static bool line_exact(struct curves_line *line, const struct curve *curve, bool counts_write_backs)
{
    line->points = calloc((size_t)curve->pages + 1, sizeof(*line->points));
    if (!line->points)
        return false;
    for (uint32_t frames = 1; frames <= curve->pages; frames++)
        line->points[line->count++] =
            (struct curves_point){.frames = frames,
                                  .faults = (double)curve->faults[frames],
                                  .write_backs = (double)curve->write_backs[frames]};
    line->exact = true;
    line->counts_write_backs = counts_write_backs;
    return true;
}

static struct curves_point sampled_point(const struct survey *survey, const struct curves_line *line,
                                         size_t size)
{
    struct curves_point point = {.frames = survey->sizes[size],
                                 .shift = sample_shift(survey->sizes[size], survey->most_shift)};
    size_t seeds = point.shift ? survey->curves->seeds : 1;
    double faults[CURVES_MOST_SEEDS], write_backs[CURVES_MOST_SEEDS];
    struct sample_estimate estimate;

    for (unsigned seed = 0; seed < seeds; seed++) {
        faults[seed] = (double)tally_at(survey, line, seed, size)->faults;
        write_backs[seed] = (double)tally_at(survey, line, seed, size)->write_backs;
    }
    estimate = sample_combine(faults, seeds);
    point.faults = estimate.mean;
    point.faults_error = estimate.error;
    estimate = sample_combine(write_backs, seeds);
    point.write_backs = estimate.mean;
    point.write_backs_error = estimate.error;
    return point;
}

static bool line_sampled(struct curves_line *line, const struct survey *survey)
{
    line->points = calloc(survey->size_count + 1, sizeof(*line->points));
    if (!line->points)
        return false;
    for (size_t size = 0; size < survey->size_count; size++)
        line->points[line->count++] = sampled_point(survey, line, size);
    line->counts_write_backs = true;
    return true;
}

static bool make_lines(const struct survey *survey)
{
    for (size_t i = 0; i < survey->curves->line_count; i++) {
        struct curves_line *line = &survey->curves->lines[i];
        bool done = is_lru(line)   ? line_exact(line, &survey->lru, true)
                    : is_opt(line) ? line_exact(line, &survey->opt, false)
                                   : line_sampled(line, survey);

        if (!done)
            return false;
    }
    return true;
}

static void survey_destroy(struct survey *survey)
{
    for (size_t i = 0; i < survey->lane_count; i++) {
        stack_opt_destroy(survey->lanes[i].opt);
        sampler_destroy(survey->lanes[i].sampler);
        free(survey->lanes[i].sizes);
    }
    stack_lru_destroy(survey->stack);
    curve_destroy(&survey->lru);
    curve_destroy(&survey->opt);
    free(survey->depths);
    free(survey->lanes);
    free(survey->tallies);
}

bool curves_do(struct curves *curves, struct trace_error *error)
{
    struct survey survey = {.curves = curves};
    bool done = do_lru(&survey, error);

    if (done && !survey_plan(&survey))
        done = pass_no_memory(curves->path, error);
    done = done && do_lanes(&survey, error);
    if (done && !make_lines(&survey))
        done = pass_no_memory(curves->path, error);
    survey_destroy(&survey);
    if (!done)
        curves_free(curves);
    return done;
}

void curves_free(struct curves *curves)
{
    for (size_t i = 0; i < curves->line_count; i++) {
        free(curves->lines[i].points);
        curves->lines[i].points = NULL;
        curves->lines[i].count = 0;
    }
}

const struct curves_point *curves_at(const struct curves_line *line, uint32_t frames)
{
    size_t begin = 0, end = line->count;

    while (begin < end) {
        size_t middle = begin + (end - begin) / 2;

        if (line->points[middle].frames <= frames)
            begin = middle + 1;
        else
            end = middle;
    }
    return begin > 0 ? &line->points[begin - 1] : NULL;
}

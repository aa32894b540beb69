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
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "sim/curve.h"
#include "sim/sample.h"
#include "sim/stack.h"
#include "sim/team.h"

enum { GRID = 48, GRID_OCTAVES = 9, GRID_A_DOUBLING = 4, SAMPLED_PAGES = 4096 };

/* What the jobs take, for the progress. */
enum { WEIGHT_LRU = 1, WEIGHT_OPT = 8, WEIGHT_SAMPLE = 4 };

/* A job: OPT (`sampled` is NULL), or a policy with one of the seeds. */
struct job {
    struct curves_line *sampled;
    unsigned seed;
    double weight, part;
};

struct survey {
    struct curves *curves;
    struct curve lru, opt;
    uint32_t grid[GRID];
    const uint32_t *sizes;
    size_t size_count;
    unsigned most_shift;
    struct job *jobs;
    size_t job_count;
    struct policy_tally *tallies; /* by line, seed, size */
    pthread_mutex_t lock;
};

static bool is_lru(const struct curves_line *line)
{
    return line->run.type == policy_find("lru", 3);
}

static bool is_opt(const struct curves_line *line)
{
    return line->run.type->needs == POLICY_FUTURE;
}

static void tell_progress(struct survey *survey, struct job *job, double part)
{
    double done = 0, all = 0;

    if (!survey->curves->progress || part < 0)
        return;
    pthread_mutex_lock(&survey->lock);
    job->part = part;
    for (size_t i = 0; i < survey->job_count; i++) {
        done += survey->jobs[i].part * survey->jobs[i].weight;
        all += survey->jobs[i].weight;
    }
    survey->curves->progress(survey->curves->context, done / all);
    pthread_mutex_unlock(&survey->lock);
}

/* A pass through one of the stacks. */
struct stack_pass {
    struct survey *survey;
    struct job *job;
    struct stack_lru *lru;
    struct stack_opt *opt; /* one of the two */
    struct curve *curve;
    uint32_t depths[TRACE_BLOCK];
};

static bool stack_pass_block(void *context, const struct policy_block *block, uint32_t pages,
                             struct trace_error *error)
{
    struct stack_pass *pass = context;
    bool done = pass->lru ? stack_lru_block(pass->lru, block, pages, pass->depths)
                          : stack_opt_block(pass->opt, block, pages, pass->depths);

    return (done && curve_block(pass->curve, block, pages, pass->depths)) ||
           pass_no_memory(pass->survey->curves->path, error);
}

static void stack_pass_progress(void *context, double part)
{
    struct stack_pass *pass = context;

    tell_progress(pass->survey, pass->job, part);
}

static struct pass pass_of(const struct survey *survey, void *context)
{
    return (struct pass){
        .path = survey->curves->path, .options = survey->curves->options, .context = context};
}

static bool do_lru(struct survey *survey, struct job *job, struct trace_error *error)
{
    struct stack_pass *work = calloc(1, sizeof(*work));
    struct pass pass = pass_of(survey, work);
    bool done;

    pass.block = stack_pass_block;
    pass.progress = stack_pass_progress;
    if (work)
        *work = (struct stack_pass){
            .survey = survey, .job = job, .lru = stack_lru_create(), .curve = &survey->lru};
    done = work && work->lru ? pass_run(&pass, &survey->curves->totals, error)
                             : pass_no_memory(survey->curves->path, error);
    for (uint32_t page = 0; done && page < survey->lru.pages; page++)
        curve_leave(&survey->lru, page, stack_lru_depth(work->lru, page));
    curve_finish(&survey->lru);
    if (work)
        stack_lru_destroy(work->lru);
    free(work);
    return done;
}

static bool do_opt(struct survey *survey, struct job *job, struct trace_error *error)
{
    struct stack_pass *work = calloc(1, sizeof(*work));
    struct pass pass = pass_of(survey, work);
    struct pass_totals totals;
    bool done;

    pass.future = true;
    pass.block = stack_pass_block;
    pass.progress = stack_pass_progress;
    if (work)
        *work = (struct stack_pass){
            .survey = survey, .job = job, .opt = stack_opt_create(), .curve = &survey->opt};
    done = work && work->opt ? pass_run(&pass, &totals, error) : pass_no_memory(survey->curves->path, error);
    curve_finish(&survey->opt);
    if (work)
        stack_opt_destroy(work->opt);
    free(work);
    return done;
}

/* A pass with a sample. */
struct sample_pass {
    struct survey *survey;
    struct job *job;
    struct sampler *sampler;
};

static bool sample_pass_block(void *context, const struct policy_block *block, uint32_t pages,
                              struct trace_error *error)
{
    struct sample_pass *pass = context;

    return sampler_block(pass->sampler, block) || pass_no_memory(pass->survey->curves->path, error);
}

static void sample_pass_progress(void *context, double part)
{
    struct sample_pass *pass = context;

    tell_progress(pass->survey, pass->job, part);
}

static struct policy_tally *tally_at(const struct survey *survey, const struct curves_line *line,
                                     unsigned seed, size_t size)
{
    size_t index = (size_t)(line - survey->curves->lines);

    return &survey->tallies[(index * survey->curves->seeds + seed) * survey->size_count + size];
}

/* The sizes that a job takes: what is simulated whole needs no second seed. */
static size_t job_runs(const struct survey *survey, const struct job *job, struct engine_run *runs,
                       unsigned *shifts, size_t *sizes)
{
    size_t count = 0;

    for (size_t i = 0; i < survey->size_count; i++) {
        unsigned shift = sample_shift(survey->sizes[i], survey->most_shift);

        if (shift == 0 && job->seed > 0)
            continue;
        runs[count] = job->sampled->run;
        runs[count].frames = survey->sizes[i];
        shifts[count] = shift;
        sizes[count++] = i;
    }
    return count;
}

static bool do_sample(struct survey *survey, struct job *job, struct trace_error *error)
{
    size_t most = survey->size_count, count;
    struct engine_run *runs = calloc(most, sizeof(*runs));
    unsigned *shifts = calloc(most, sizeof(*shifts));
    size_t *sizes = calloc(most, sizeof(*sizes));
    struct sample_pass work = {.survey = survey, .job = job};
    struct pass pass = pass_of(survey, &work);
    struct pass_totals totals;
    bool done = runs && shifts && sizes;

    pass.block = sample_pass_block;
    pass.progress = sample_pass_progress;
    if (done) {
        count = job_runs(survey, job, runs, shifts, sizes);
        work.sampler = sampler_create(runs, shifts, count, job->seed, survey->lru.pages);
        done = work.sampler && pass_run(&pass, &totals, error);
        for (size_t i = 0; done && i < count; i++)
            sampler_tally(work.sampler, i, tally_at(survey, job->sampled, job->seed, sizes[i]));
    }
    if (!work.sampler)
        pass_no_memory(survey->curves->path, error);
    sampler_destroy(work.sampler);
    free(runs);
    free(shifts);
    free(sizes);
    return done;
}

static bool job_do(void *context, size_t index, struct trace_error *error)
{
    struct survey *survey = context;
    struct job *job = &survey->jobs[index + 1];

    return job->sampled ? do_sample(survey, job, error) : do_opt(survey, job, error);
}

static bool any_sampled_part(const struct survey *survey)
{
    for (size_t i = 0; i < survey->size_count; i++)
        if (sample_shift(survey->sizes[i], survey->most_shift) > 0)
            return true;
    return false;
}

static void add_job(struct survey *survey, struct job job)
{
    survey->jobs[survey->job_count++] = job;
}

/* After the first one, LRU's. */
static void plan_jobs(struct survey *survey)
{
    const struct curves *curves = survey->curves;
    unsigned seeds = any_sampled_part(survey) ? curves->seeds : 1;
    bool opt = false;

    for (size_t i = 0; i < curves->line_count; i++)
        opt |= is_opt(&curves->lines[i]);
    if (opt)
        add_job(survey, (struct job){.weight = WEIGHT_OPT});
    for (unsigned seed = 0; seed < seeds; seed++)
        for (size_t i = 0; i < curves->line_count; i++)
            if (!is_lru(&curves->lines[i]) && !is_opt(&curves->lines[i]))
                add_job(survey,
                        (struct job){.sampled = &curves->lines[i], .seed = seed, .weight = WEIGHT_SAMPLE});
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
    if (!survey->tallies)
        return false;
    if (survey->size_count > 0)
        plan_jobs(survey);
    return true;
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

bool curves_do(struct curves *curves, struct trace_error *error)
{
    struct survey survey = {.curves = curves, .lock = PTHREAD_MUTEX_INITIALIZER};
    bool done = false;

    survey.jobs = calloc(curves->line_count * curves->seeds + 2, sizeof(*survey.jobs));
    if (survey.jobs) {
        add_job(&survey, (struct job){.weight = WEIGHT_LRU});
        done = do_lru(&survey, &survey.jobs[0], error);
        if (done && !(done = survey_plan(&survey)))
            pass_no_memory(curves->path, error);
        done = done && team_run(curves->threads, survey.job_count - 1, job_do, &survey, error);
        if (done && !(done = make_lines(&survey)))
            pass_no_memory(curves->path, error);
    } else {
        pass_no_memory(curves->path, error);
    }
    curve_destroy(&survey.lru);
    curve_destroy(&survey.opt);
    free(survey.jobs);
    free(survey.tallies);
    pthread_mutex_destroy(&survey.lock);
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

/*
 * quire sim --working-set: W(t, tau) over time, its mean for every tau, and how much memory keeps the rate of
 * faults under a given figure: fixed memory under LRU, or as much as the working set needs at each time.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/picture.h"
#include "cli/progress.h"
#include "cli/sim.h"
#include "sim/curve.h"
#include "sim/pass.h"
#include "sim/stack.h"
#include "sim/working_set.h"

/* What is learnt of one trace. */
struct study {
    const struct sim_request *request;
    const struct sim_trace *trace;
    struct working_set *set;
    struct stack_lru *stack;
    struct curve curve;
    struct pass_totals totals;
    struct progress progress;
    uint32_t depths[TRACE_BLOCK];
};

static bool study_block(void *context, const struct policy_block *block, uint32_t pages,
                        struct trace_error *error)
{
    struct study *study = context;

    return (working_set_block(study->set, block, pages) &&
            stack_lru_block(study->stack, block, pages, study->depths) &&
            curve_block(&study->curve, block, pages, study->depths)) ||
           pass_no_memory(study->trace->name, error);
}

static void show_progress(void *context, double part)
{
    progress_show(&((struct study *)context)->progress, part);
}

static bool study_read(struct study *study, struct trace_error *error)
{
    const struct sim_request *request = study->request;
    struct pass pass = {.path = study->trace->path,
                        .options = &request->options,
                        .block = study_block,
                        .progress = show_progress,
                        .context = study};

    study->set = working_set_create(request->taus, request->tau_count);
    study->stack = stack_lru_create();
    if (!study->set || !study->stack)
        return pass_no_memory(study->trace->name, error);
    if (!pass_run(&pass, &study->totals, error))
        return false;
    working_set_finish(study->set);
    curve_finish(&study->curve);
    return true;
}

static void study_free(struct study *study)
{
    working_set_destroy(study->set);
    stack_lru_destroy(study->stack);
    curve_destroy(&study->curve);
    free(study);
}

static double ratio(const struct study *study, uint64_t faults)
{
    return study->totals.references ? (double)faults / (double)study->totals.references : 0;
}

/* What memory keeps the faults under the figure. */
struct need {
    uint32_t frames;             /* fixed, under LRU; 0: none does */
    bool by_window;              /* a window does */
    struct working_set_mean set; /* that window */
};

static struct need study_need(const struct study *study)
{
    uint64_t faults = (uint64_t)(study->request->most_faults * (double)study->totals.references);
    struct need need = {.frames = curve_frames_for(&study->curve, faults)};

    need.by_window = working_set_for(study->set, faults, &need.set);
    return need;
}

static uint64_t page_bytes(const struct study *study)
{
    return study->totals.page_bytes;
}

static void print_windows(const struct study *study)
{
    char tau[32], pages[32], bytes[32], faults[32];

    printf("\n  %15s  %15s  %10s  %15s  %10s\n", "tau, references", "mean W, pages", "memory", "faults",
           "miss ratio");
    for (size_t i = 0; i < study->request->tau_count; i++) {
        struct working_set_mean mean = working_set_mean(study->set, i);

        snprintf(pages, sizeof(pages), "%.2f", mean.pages);
        printf("  %15s  %15s  %10s  %15s  %10.6f\n", sim_count(tau, mean.tau), pages,
               sim_bytes(bytes, (uint64_t)(mean.pages * (double)page_bytes(study))),
               sim_count(faults, mean.faults), ratio(study, mean.faults));
    }
}

static void print_need(const struct study *study)
{
    struct need need = study_need(study);
    char bytes[32], count[32], tau[32];

    printf("\n  At most %g faults a reference:\n", study->request->most_faults);
    if (need.frames == 0) {
        printf("    no memory is enough: %s pages come for the first time, %g of the references\n",
               sim_count(count, study->curve.pages), ratio(study, study->curve.pages));
        return;
    }
    printf("    %s of memory (%s frames) with LRU\n", sim_bytes(bytes, need.frames * page_bytes(study)),
           sim_count(count, need.frames));
    if (need.by_window)
        printf("    %s on average (%.2f pages) with the working set of the last %s references\n",
               sim_bytes(bytes, (uint64_t)(need.set.pages * (double)page_bytes(study))), need.set.pages,
               sim_count(tau, need.set.tau));
}

static void print_head(const struct study *study)
{
    char references[32], pages[32], page[32], all[32];

    printf("%s: %s references to %s pages of %s, %s\n", study->trace->name,
           sim_count(references, study->totals.references), sim_count(pages, study->totals.pages),
           sim_bytes(page, page_bytes(study)), sim_bytes(all, study->totals.pages * page_bytes(study)));
}

static void label_count(double value, char out[32])
{
    if (value >= 1e7)
        snprintf(out, 32, "%.4gM", value / 1e6);
    else
        sim_count(out, (uint64_t)value);
}

static struct picture make_picture(const struct study *study)
{
    const struct sim_request *request = study->request;
    struct picture picture = {.title = study->trace->name,
                              .x_title = "time, references",
                              .y_title = "W(t, tau), pages",
                              .x_label = label_count,
                              .y_label = label_count,
                              .line_count = request->tau_count};
    size_t count = working_set_points(study->set);

    picture.lines = must_alloc((request->tau_count + 1) * sizeof(*picture.lines));
    for (size_t line = 0; line < request->tau_count; line++) {
        struct picture_point *points = must_alloc((count + 1) * sizeof(*points));
        char tau[32];

        for (size_t i = 0; i < count; i++) {
            const struct working_set_point *point = working_set_point(study->set, i);

            points[i] = (struct picture_point){.x = (double)point->time, .y = point->pages[line]};
        }
        picture.lines[line] = (struct picture_line){
            must_format("tau = %s", sim_count(tau, request->taus[line])), points, count};
    }
    return picture;
}

static bool draw(const struct study *study, bool on_terminal)
{
    struct picture picture = make_picture(study);
    bool done = true;

    if (on_terminal) {
        putchar('\n');
        picture_text(&picture, (unsigned)study->request->columns, stdout);
    }
    if (study->request->svg)
        done = sim_write_svg(study->request->svg, &picture);
    for (size_t i = 0; i < picture.line_count; i++) {
        free(picture.lines[i].points);
        free((char *)picture.lines[i].name);
    }
    free(picture.lines);
    return done;
}

static json_t *json_mean(const struct study *study, struct working_set_mean mean)
{
    return json_pack("{s:I, s:f, s:I, s:f}", "tau", (json_int_t)mean.tau, "mean_pages", mean.pages, "faults",
                     (json_int_t)mean.faults, "miss_ratio", ratio(study, mean.faults));
}

static json_t *json_window(const struct study *study, size_t tau)
{
    json_t *window = json_mean(study, working_set_mean(study->set, tau)), *points = json_array();

    for (size_t i = 0; i < working_set_points(study->set); i++) {
        const struct working_set_point *point = working_set_point(study->set, i);

        json_array_append_new(points, json_pack("{s:I, s:I}", "time", (json_int_t)point->time, "pages",
                                                (json_int_t)point->pages[tau]));
    }
    json_object_set_new(window, "points", points);
    return window;
}

static json_t *json_need(const struct study *study)
{
    struct need need = study_need(study);
    json_t *lru = need.frames ? json_pack("{s:I, s:I}", "frames", (json_int_t)need.frames, "memory",
                                          (json_int_t)(need.frames * page_bytes(study)))
                              : json_null();
    json_t *window = need.by_window ? json_mean(study, need.set) : json_null();

    return json_pack("{s:f, s:o, s:o}", "fault_rate", study->request->most_faults, "lru", lru, "working_set",
                     window);
}

static json_t *json_study(const struct study *study)
{
    json_t *windows = json_array(), *curve = json_array();

    for (size_t i = 0; i < study->request->tau_count; i++)
        json_array_append_new(windows, json_window(study, i));
    for (size_t i = 0; i < working_set_means(study->set); i++)
        json_array_append_new(curve, json_mean(study, working_set_mean_at(study->set, i)));
    return json_pack("{s:s, s:I, s:I, s:I, s:o, s:o, s:o}", "trace", study->trace->name, "references",
                     (json_int_t)study->totals.references, "pages", (json_int_t)study->totals.pages,
                     "page_size", (json_int_t)page_bytes(study), "windows", windows, "curve", curve, "need",
                     json_need(study));
}

static void print_csv(const struct study *study)
{
    for (size_t tau = 0; tau < study->request->tau_count; tau++)
        for (size_t i = 0; i < working_set_points(study->set); i++) {
            const struct working_set_point *point = working_set_point(study->set, i);

            sim_csv_text(study->trace->name);
            printf(",%llu,%llu,%u\n", (unsigned long long)study->request->taus[tau],
                   (unsigned long long)point->time, point->pages[tau]);
        }
}

static bool study_show(const struct study *study, size_t index, json_t *sets)
{
    const struct sim_request *request = study->request;
    bool words = !request->json && !request->csv;

    if (request->json) {
        json_array_append_new(sets, json_study(study));
    } else if (request->csv) {
        print_csv(study);
    } else {
        if (index > 0)
            putchar('\n');
        print_head(study);
        print_windows(study);
        print_need(study);
    }
    return draw(study, words && working_set_points(study->set) > 0);
}

static bool study_trace(const struct sim_request *request, size_t index, json_t *sets)
{
    struct study *study = must_alloc(sizeof(*study));
    struct trace_error error;
    bool done;

    *study = (struct study){.request = request, .trace = &request->traces[index]};
    progress_begin(&study->progress);
    done = study_read(study, &error);
    progress_end(&study->progress);
    if (done)
        done = study_show(study, index, sets);
    else
        sim_fail(request, &error);
    study_free(study);
    return done;
}

int sim_working_set(const struct sim_request *request)
{
    json_t *sets = json_array();

    if (request->csv)
        printf("trace,tau,time,pages\n");
    for (size_t i = 0; i < request->trace_count; i++)
        if (!study_trace(request, i, sets)) {
            json_decref(sets);
            return EXIT_USAGE;
        }
    if (request->json)
        return sim_print_json(json_pack("{s:o}", "working_sets", sets));
    json_decref(sets);
    return sim_finish_output();
}

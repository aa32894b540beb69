/*
 * quire sim --curve: the miss ratio of each policy at every size of memory, as a table, pictures, CSV or
 * JSON.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/picture.h"
#include "cli/progress.h"
#include "cli/sim.h"
#include "sim/curves.h"

enum { TABLE_SIZES = 20, COLUMN = 17, FIRST_COLUMNS = 22 };

/* The curves of one trace. */
struct answer {
    const struct sim_request *request;
    const struct sim_trace *trace;
    struct curves curves;
    uint32_t *sizes;
    struct progress progress;
};

static void show_progress(void *context, double part)
{
    progress_show(&((struct answer *)context)->progress, part);
}

static double ratio(const struct answer *answer, double faults)
{
    return answer->curves.totals.references ? faults / (double)answer->curves.totals.references : 0;
}

static uint64_t bytes_of(const struct answer *answer, uint32_t frames)
{
    return frames * answer->curves.totals.page_bytes;
}

static const char *name_of(const struct answer *answer, size_t line)
{
    return answer->request->policies[line].text;
}

static int by_size(const void *a, const void *b)
{
    uint32_t first = *(const uint32_t *)a, second = *(const uint32_t *)b;

    return first < second ? -1 : first > second;
}

/* The sizes that were asked for, ascending, each once. False: one is too small, which has been said. */
static bool wanted_sizes(struct answer *answer)
{
    const struct sim_request *request = answer->request;
    size_t count = 0;

    answer->sizes = must_alloc((request->size_count + 1) * sizeof(*answer->sizes));
    for (size_t i = 0; i < request->size_count; i++) {
        answer->sizes[i] = sim_frames(request->sizes[i], answer->trace->page_bytes);
        if (answer->sizes[i] == 0)
            return false;
    }
    qsort(answer->sizes, request->size_count, sizeof(*answer->sizes), by_size);
    for (size_t i = 0; i < request->size_count; i++)
        if (i == 0 || answer->sizes[i] != answer->sizes[i - 1])
            answer->sizes[count++] = answer->sizes[i];
    answer->curves.sizes = count ? answer->sizes : NULL;
    answer->curves.size_count = count;
    return true;
}

static bool answer_make(struct answer *answer, struct curves_line *lines)
{
    const struct sim_request *request = answer->request;
    struct trace_error error;
    bool done;

    for (size_t i = 0; i < request->policy_count; i++) {
        lines[i] = (struct curves_line){
            .run = {.type = request->policies[i].type, .seed = request->seed, .tick = request->tick}};
        memcpy(lines[i].run.options, request->policies[i].options, sizeof(lines[i].run.options));
    }
    answer->curves = (struct curves){.path = answer->trace->path,
                                     .options = &request->options,
                                     .lines = lines,
                                     .line_count = request->policy_count,
                                     .most_shift = request->sample_shift,
                                     .seeds = (unsigned)request->seeds,
                                     .threads = (unsigned)request->threads,
                                     .progress = show_progress,
                                     .context = answer};
    if (!wanted_sizes(answer))
        return false;
    progress_begin(&answer->progress);
    done = curves_do(&answer->curves, &error);
    progress_end(&answer->progress);
    if (!done)
        sim_fail(request, &error);
    return done;
}

static void answer_free(struct answer *answer)
{
    curves_free(&answer->curves);
    free(answer->curves.lines);
    free(answer->sizes);
}

/* Of a line with every size only those where something changes, and the last. */
static bool is_worth_a_row(const struct curves_line *line, size_t i)
{
    const struct curves_point *point = &line->points[i];

    return !line->exact || i == 0 || i + 1 == line->count || point->faults != point[-1].faults ||
           (line->counts_write_backs && point->write_backs != point[-1].write_backs);
}

static json_t *json_point(const struct answer *answer, const struct curves_line *line,
                          const struct curves_point *point)
{
    return json_pack("{s:I, s:I, s:o, s:o, s:o, s:o, s:o}", "frames", (json_int_t)point->frames, "memory",
                     (json_int_t)bytes_of(answer, point->frames), "faults", sim_json_count(point->faults),
                     "miss_ratio", json_real(ratio(answer, point->faults)), "error",
                     json_real(ratio(answer, point->faults_error)), "write_backs",
                     line->counts_write_backs ? sim_json_count(point->write_backs) : json_null(), "sample",
                     json_real(1.0 / (1u << point->shift)));
}

static json_t *json_line(const struct answer *answer, size_t index)
{
    const struct curves_line *line = &answer->curves.lines[index];
    const struct pass_totals *totals = &answer->curves.totals;
    json_t *points = json_array();

    for (size_t i = 0; i < line->count; i++)
        if (is_worth_a_row(line, i))
            json_array_append_new(points, json_point(answer, line, &line->points[i]));
    return json_pack("{s:s, s:s, s:b, s:I, s:I, s:I, s:I, s:o}", "trace", answer->trace->name, "policy",
                     name_of(answer, index), "exact", line->exact, "references",
                     (json_int_t)totals->references, "writes", (json_int_t)totals->writes, "pages",
                     (json_int_t)totals->pages, "page_size", (json_int_t)totals->page_bytes, "points",
                     points);
}

static void print_csv(const struct answer *answer)
{
    for (size_t index = 0; index < answer->curves.line_count; index++) {
        const struct curves_line *line = &answer->curves.lines[index];

        for (size_t i = 0; i < line->count; i++) {
            const struct curves_point *point = &line->points[i];

            if (!is_worth_a_row(line, i))
                continue;
            sim_csv_text(answer->trace->name);
            putchar(',');
            sim_csv_text(name_of(answer, index));
            printf(",%u,%llu,%.15g,%.12g,%.6g,", point->frames,
                   (unsigned long long)bytes_of(answer, point->frames), point->faults,
                   ratio(answer, point->faults), ratio(answer, point->faults_error));
            if (line->counts_write_backs)
                printf("%.15g", point->write_backs);
            printf(",%g\n", 1.0 / (1u << point->shift));
        }
    }
}

static void print_head(const struct answer *answer)
{
    const struct pass_totals *totals = &answer->curves.totals;
    char references[32], writes[32], pages[32], page[32], all[32];

    printf("%s: %s references (%s writes) to %s pages of %s, %s\n", answer->trace->name,
           sim_count(references, totals->references), sim_count(writes, totals->writes),
           sim_count(pages, totals->pages), sim_bytes(page, totals->page_bytes),
           sim_bytes(all, bytes_of(answer, totals->pages)));
}

static void print_cell(const struct answer *answer, const struct curves_line *line, uint32_t frames)
{
    const struct curves_point *point = curves_at(line, frames);
    char text[48] = "-";

    if (point && point->faults_error > 0)
        snprintf(text, sizeof(text), "%.4f +-%.4f", ratio(answer, point->faults),
                 ratio(answer, point->faults_error));
    else if (point)
        snprintf(text, sizeof(text), "%.6f", ratio(answer, point->faults));
    printf("%*s", COLUMN, text);
}

/* The policies [first, end) beside each other. */
static void print_columns(const struct answer *answer, const uint32_t *sizes, size_t count, size_t first,
                          size_t end)
{
    char bytes[32], frames[32];

    printf("\n  %8s %*s", "memory", FIRST_COLUMNS - 11, "frames");
    for (size_t i = first; i < end; i++)
        printf("%*s", COLUMN, name_of(answer, i));
    putchar('\n');
    for (size_t size = 0; size < count; size++) {
        printf("  %8s %*s", sim_bytes(bytes, bytes_of(answer, sizes[size])), FIRST_COLUMNS - 11,
               sim_count(frames, sizes[size]));
        for (size_t i = first; i < end; i++)
            print_cell(answer, &answer->curves.lines[i], sizes[size]);
        putchar('\n');
    }
}

static void print_rows(const struct answer *answer)
{
    uint32_t grid[64];
    const uint32_t *sizes = answer->curves.sizes;
    size_t count = answer->curves.size_count, columns;

    if (!sizes) {
        size_t all = curves_grid(answer->curves.totals.pages, grid, sizeof(grid) / sizeof(grid[0]));

        if (all > TABLE_SIZES) /* every other, and the last one */
            for (count = 0; count * 2 < all; count++)
                grid[count] = grid[all - 1 - 2 * ((all - 1) / 2 - count)];
        else
            count = all;
        sizes = grid;
    }
    columns = (answer->request->columns - FIRST_COLUMNS) / COLUMN;
    columns = columns ? columns : 1;
    for (size_t first = 0; first < answer->curves.line_count; first += columns) {
        size_t end =
            first + columns < answer->curves.line_count ? first + columns : answer->curves.line_count;

        print_columns(answer, sizes, count, first, end);
    }
}

static void label_ratio(double value, char out[32])
{
    snprintf(out, 32, "%.3g", value);
}

static void label_bytes(double value, char out[32])
{
    sim_bytes(out, (uint64_t)value);
}

static struct picture make_picture(const struct answer *answer)
{
    struct picture picture = {.title = answer->trace->name,
                              .x_title = "memory",
                              .y_title = "miss ratio",
                              .log_x = true,
                              .x_label = label_bytes,
                              .y_label = label_ratio,
                              .line_count = answer->curves.line_count};

    picture.lines = must_alloc((picture.line_count + 1) * sizeof(*picture.lines));
    for (size_t index = 0; index < picture.line_count; index++) {
        const struct curves_line *line = &answer->curves.lines[index];
        struct picture_point *points = must_alloc((line->count + 1) * sizeof(*points));

        for (size_t i = 0; i < line->count; i++)
            points[i] = (struct picture_point){(double)bytes_of(answer, line->points[i].frames),
                                               ratio(answer, line->points[i].faults),
                                               ratio(answer, line->points[i].faults_error)};
        picture.lines[index] = (struct picture_line){name_of(answer, index), points, line->count};
    }
    return picture;
}

/* The pictures that are wanted. */
static bool draw(const struct answer *answer, bool on_terminal)
{
    struct picture picture = make_picture(answer);
    bool done = true;

    if (on_terminal) {
        putchar('\n');
        picture_text(&picture, (unsigned)answer->request->columns, stdout);
    }
    if (answer->request->svg)
        done = sim_write_svg(answer->request->svg, &picture);
    for (size_t i = 0; i < picture.line_count; i++)
        free(picture.lines[i].points);
    free(picture.lines);
    return done;
}

static bool answer_trace(const struct sim_request *request, size_t index, json_t *curves)
{
    struct answer answer = {.request = request, .trace = &request->traces[index]};
    struct curves_line *lines = must_alloc((request->policy_count + 1) * sizeof(*lines));
    bool done = answer_make(&answer, lines);

    if (done && request->json) {
        for (size_t i = 0; i < answer.curves.line_count; i++)
            json_array_append_new(curves, json_line(&answer, i));
    } else if (done && request->csv) {
        print_csv(&answer);
    } else if (done) {
        if (index > 0)
            putchar('\n');
        print_head(&answer);
        if (answer.curves.totals.pages > 0)
            print_rows(&answer);
    }
    done = done && draw(&answer, !request->json && !request->csv && answer.curves.totals.pages > 0);
    answer_free(&answer);
    return done;
}

int sim_curve(const struct sim_request *request)
{
    json_t *curves = json_array();

    if (request->csv)
        printf("trace,policy,frames,memory,faults,miss_ratio,error,write_backs,sample\n");
    for (size_t i = 0; i < request->trace_count; i++)
        if (!answer_trace(request, i, curves)) {
            json_decref(curves);
            return EXIT_USAGE;
        }
    if (request->json)
        return sim_print_json(json_pack("{s:o}", "curves", curves));
    json_decref(curves);
    return sim_finish_output();
}

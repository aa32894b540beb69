/*
 * quire sim --mix: several traces as processes, for each size and policy.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/paging_options.h"
#include "cli/progress.h"
#include "cli/sim.h"
#include "sim/engine.h"
#include "sim/mix.h"

struct mixed {
    const struct sim_request *request;
    struct mix_process *processes;
    char **names;
    uint32_t count;
    uint64_t page_bytes;
    struct scope_config scope;
    struct mix_result *results;
    struct mix_total total;
    json_t *runs;
    bool printed;
};

bool sim_mix_check(const struct sim_request *request)
{
    const struct sim_mix_request *mix = &request->mix;

    if (!mix->mix && !mix->replay &&
        (mix->scope || mix->allocation || mix->load_control || mix->classes.count > 0)) {
        say("sim: --scope, --allocation, --class, --load-control: expected --mix or --replay with them");
        return false;
    }
    if (mix->mix && request->full.tlb) {
        say("sim: --tlb: expected no --mix: with --tlb several traces are processes as they are");
        return false;
    }
    if ((mix->mix || request->full.tlb) && (request->curve || request->working_set)) {
        say("sim: %s: expected neither --curve nor --working-set with it", mix->mix ? "--mix" : "--tlb");
        return false;
    }
    if (request->full.huge_pages && !request->full.tlb) {
        say("sim: --huge-pages: expected --tlb with it");
        return false;
    }
    if (mix->quantum == 0 || mix->window == 0) {
        say("sim: %s: expected a number above 0", mix->quantum == 0 ? "--quantum" : "--window");
        return false;
    }
    return true;
}

/* ------------------------------------------------------------------ options */

static bool check_scope(struct mixed *mixed)
{
    const struct sim_mix_request *mix = &mixed->request->mix;

    return paging_check_scope("sim", mix->scope, mix->allocation, &mixed->scope);
}

static struct mix_process *find_process(struct mixed *mixed, const char *name, size_t length)
{
    for (uint32_t i = 0; i < mixed->count; i++)
        if (strlen(mixed->names[i]) == length && memcmp(mixed->names[i], name, length) == 0)
            return &mixed->processes[i];
    return NULL;
}

static bool bad_class(const struct mixed *mixed, const char *text)
{
    say("sim: --class: expected NAME=vvip:SIZE, NAME=vip:SIZE or NAME=ordinary, got '%s'; the names are:",
        text);
    for (uint32_t i = 0; i < mixed->count; i++)
        fprintf(stderr, "  %s\n", mixed->names[i]);
    return false;
}

/* NAME=CLASS[:SIZE] */
static bool check_class(struct mixed *mixed, const char *text)
{
    struct scope_class_word word;
    struct mix_process *process = NULL;
    uint64_t pages;

    if (scope_parse_class(text, &word) == ST_OK)
        process = find_process(mixed, text, word.name_length);
    if (!process)
        return bad_class(mixed, text);
    pages = word.bytes / mixed->page_bytes + (word.bytes % mixed->page_bytes != 0);
    process->class = word.class;
    process->minimum = pages < POLICY_MAX_PAGES ? (uint32_t)pages : POLICY_MAX_PAGES;
    return true;
}

static bool check_classes(struct mixed *mixed)
{
    const struct strings *classes = &mixed->request->mix.classes;

    for (size_t i = 0; i < classes->count; i++)
        if (!check_class(mixed, classes->items[i]))
            return false;
    return true;
}

/* ------------------------------------------------------------------ processes */

/* The file's name without folders and endings; "#2" behind the second of that name. */
static char *process_name(const struct mixed *mixed, const char *path)
{
    const char *slash = strrchr(path, '/'), *base = slash ? slash + 1 : path;
    size_t length = strcspn(base, ".");
    unsigned same = 1;

    length = length > 0 ? length : strlen(base);
    for (uint32_t i = 0; i < mixed->count; i++)
        same += strncmp(mixed->names[i], base, length) == 0 &&
                (mixed->names[i][length] == '\0' || mixed->names[i][length] == '#');
    return same == 1 ? must_format("%.*s", (int)length, base)
                     : must_format("%.*s#%u", (int)length, base, same);
}

static bool open_process(struct mixed *mixed, const struct sim_trace *given)
{
    struct mix_process *process = &mixed->processes[mixed->count];
    struct trace_error error;

    if (given->page_bytes != mixed->page_bytes) {
        say("sim: %s: its pages have %llu bytes, those of %s %llu: expected the same (--page-size)",
            given->name, (unsigned long long)given->page_bytes, mixed->request->traces[0].name,
            (unsigned long long)mixed->page_bytes);
        return false;
    }
    process->trace = trace_open(given->path, &mixed->request->options, &error);
    if (!process->trace)
        return sim_fail(mixed->request, &error) == 0;
    mixed->names[mixed->count] = process_name(mixed, given->name);
    mixed->count++;
    return mix_count_pages(process->trace, &process->pages, &error) || sim_fail(mixed->request, &error) == 0;
}

static bool open_processes(struct mixed *mixed)
{
    const struct sim_request *request = mixed->request;

    if (request->trace_count > MIX_PROCESSES) {
        say("sim: --mix: expected at most %d traces, got %zu", MIX_PROCESSES, request->trace_count);
        return false;
    }
    mixed->processes = must_alloc(request->trace_count * sizeof(*mixed->processes));
    mixed->names = must_alloc(request->trace_count * sizeof(*mixed->names));
    mixed->results = must_alloc(request->trace_count * sizeof(*mixed->results));
    memset(mixed->processes, 0, request->trace_count * sizeof(*mixed->processes));
    mixed->page_bytes = request->traces[0].page_bytes;
    for (size_t i = 0; i < request->trace_count; i++)
        if (!open_process(mixed, &request->traces[i]))
            return false;
    return true;
}

static void mixed_free(struct mixed *mixed)
{
    for (uint32_t i = 0; i < mixed->count; i++) {
        trace_close(mixed->processes[i].trace);
        free(mixed->names[i]);
    }
    free(mixed->processes);
    free(mixed->names);
    free(mixed->results);
    json_decref(mixed->runs);
}

/* ------------------------------------------------------------------ output */

static double ratio(double part, double whole)
{
    return whole > 0 ? part / whole : 0;
}

/* How much of the modelled time goes into references, and not into waiting for pages. */
static double busy(const struct sim_request *request, const struct policy_tally *tally)
{
    return ratio((double)tally->references * request->costs.reference / 1e9,
                 sim_seconds(&request->costs, tally));
}

static json_t *json_tally(const struct mixed *mixed, const struct policy_tally *tally)
{
    const struct sim_request *request = mixed->request;

    return json_pack("{s:I, s:I, s:o, s:I, s:I, s:o, s:o}", "references", (json_int_t)tally->references,
                     "faults", (json_int_t)tally->faults, "miss_ratio",
                     json_real(ratio((double)tally->faults, (double)tally->references)), "evictions",
                     (json_int_t)tally->evictions, "write_backs", (json_int_t)tally->write_backs,
                     "modelled_seconds", sim_json_number(sim_seconds(&request->costs, tally)), "busy",
                     sim_json_number(busy(request, tally)));
}

static double mean_frames(const struct mix_result *result)
{
    return ratio((double)result->frame_time, (double)result->tally.references);
}

static json_t *json_process(const struct mixed *mixed, uint32_t i)
{
    const struct mix_process *process = &mixed->processes[i];
    const struct mix_result *result = &mixed->results[i];
    json_t *json =
        json_pack("{s:s, s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:o, s:I}", "name", mixed->names[i], "trace",
                  mixed->request->traces[i].name, "class", scope_class_names[process->class], "minimum",
                  (json_int_t)process->minimum, "pages", (json_int_t)process->pages, "lost",
                  (json_int_t)result->lost, "swap_outs", (json_int_t)result->swap_outs, "swapped_pages",
                  (json_int_t)result->swapped, "most_frames", (json_int_t)result->most_frames, "mean_frames",
                  json_real(mean_frames(result)), "finished", (json_int_t)result->finished);
    json_t *tally = json_tally(mixed, &result->tally);

    json_object_update(json, tally);
    json_decref(tally);
    return json;
}

json_t *sim_mix_traces(const struct sim_request *request)
{
    char *all = must_copy(request->traces[0].name);
    json_t *json;

    for (size_t i = 1; i < request->trace_count; i++) {
        char *longer = must_format("%s+%s", all, request->traces[i].name);

        free(all);
        all = longer;
    }
    json = json_string(all);
    free(all);
    return json;
}

static void add_json(struct mixed *mixed, const struct sim_policy *policy)
{
    const struct sim_mix_request *mix = &mixed->request->mix;
    json_t *processes = json_array();
    json_t *tally = json_tally(mixed, &mixed->total.tally), *run;

    for (uint32_t i = 0; i < mixed->count; i++)
        json_array_append_new(processes, json_process(mixed, i));
    run = json_pack(
        "{s:o, s:s, s:I, s:I, s:I, s:s, s:s?, s:I, s:b, s:I, s:I, s:I, s:I, s:o}", "trace",
        sim_mix_traces(mixed->request), "policy", policy->text, "frames", (json_int_t)mixed->scope.frames,
        "memory", (json_int_t)(mixed->scope.frames * mixed->page_bytes), "page_size",
        (json_int_t)mixed->page_bytes, "scope", scope_kind_names[mixed->scope.kind], "allocation",
        mixed->scope.kind == SCOPE_LOCAL ? scope_rule_names[mixed->scope.rule] : NULL, "quantum",
        (json_int_t)mix->quantum, "load_control", mix->load_control, "lost", (json_int_t)mixed->total.lost,
        "swap_outs", (json_int_t)mixed->total.swap_outs, "swap_ins", (json_int_t)mixed->total.swap_ins,
        "swapped_pages", (json_int_t)mixed->total.swapped, "processes", processes);
    json_object_update(run, tally);
    json_decref(tally);
    json_array_append_new(mixed->runs, run);
}

static void print_csv_line(const struct mixed *mixed, const struct sim_policy *policy, const char *name,
                           const char *class, const struct mix_result *result)
{
    const struct policy_tally *tally = &result->tally;

    sim_csv_text(name);
    printf(",%s,", class);
    sim_csv_text(policy->text);
    printf(",%u,%llu,%llu,%llu,%.12g,%llu,%llu,%llu,%llu,%llu,%.12g\n", mixed->scope.frames,
           (unsigned long long)(mixed->scope.frames * mixed->page_bytes),
           (unsigned long long)tally->references, (unsigned long long)tally->faults,
           ratio((double)tally->faults, (double)tally->references), (unsigned long long)tally->evictions,
           (unsigned long long)tally->write_backs, (unsigned long long)result->lost,
           (unsigned long long)result->swap_outs, (unsigned long long)result->swapped,
           sim_seconds(&mixed->request->costs, tally));
}

/* All together, in the form of one. */
static struct mix_result sum_of(const struct mix_total *total)
{
    return (struct mix_result){
        .tally = total->tally, .lost = total->lost, .swap_outs = total->swap_outs, .swapped = total->swapped};
}

static void print_csv(struct mixed *mixed, const struct sim_policy *policy)
{
    struct mix_result sum = sum_of(&mixed->total);

    if (!mixed->printed)
        puts("process,class,policy,frames,memory,references,faults,miss_ratio,evictions,write_backs,lost,"
             "swap_outs,"
             "swapped_pages,modelled_seconds");
    for (uint32_t i = 0; i < mixed->count; i++)
        print_csv_line(mixed, policy, mixed->names[i], scope_class_names[mixed->processes[i].class],
                       &mixed->results[i]);
    print_csv_line(mixed, policy, "all", "", &sum);
}

static void print_line(const struct mixed *mixed, int width, const char *name, const char *class,
                       const struct mix_result *result)
{
    char references[32], faults[32], write_backs[32], lost[32], swaps[32], time[32];
    const struct policy_tally *tally = &result->tally;

    printf("  %-*s  %-8s  %15s  %13s  %10.6f  %11s  %11s  %8s  %9s  %5.1f %%", width, name, class,
           sim_count(references, tally->references), sim_count(faults, tally->faults),
           ratio((double)tally->faults, (double)tally->references),
           sim_count(write_backs, tally->write_backs), sim_count(lost, result->lost),
           sim_count(swaps, result->swap_outs), sim_time(time, sim_seconds(&mixed->request->costs, tally)),
           100 * busy(mixed->request, tally));
    if (result->most_frames > 0)
        printf("  %11.1f  %11s", mean_frames(result), sim_count(lost, result->most_frames));
    putchar('\n');
}

static void print_words(struct mixed *mixed, const struct sim_policy *policy)
{
    struct mix_result sum = sum_of(&mixed->total);
    char bytes[32], frames[32], demand[32];
    int width = (int)strlen("process");

    for (uint32_t i = 0; i < mixed->count; i++)
        if ((int)strlen(mixed->names[i]) > width)
            width = (int)strlen(mixed->names[i]);
    printf("%s%s of memory, %s frames, %s, %s scope%s%s%s\n", mixed->printed ? "\n" : "",
           sim_bytes(bytes, mixed->scope.frames * mixed->page_bytes), sim_count(frames, mixed->scope.frames),
           policy->text, scope_kind_names[mixed->scope.kind], mixed->scope.kind == SCOPE_LOCAL ? ", " : "",
           mixed->scope.kind == SCOPE_LOCAL ? scope_rule_names[mixed->scope.rule] : "",
           mixed->request->mix.load_control ? ", load control" : "");
    printf("\n  %-*s  %-8s  %15s  %13s  %10s  %11s  %11s  %8s  %9s  %7s  %11s  %11s\n", width, "process",
           "class", "references", "faults", "miss ratio", "write-backs", "lost", "swapped", "time", "busy",
           "mean frames", "most frames");
    for (uint32_t i = 0; i < mixed->count; i++)
        print_line(mixed, width, mixed->names[i], scope_class_names[mixed->processes[i].class],
                   &mixed->results[i]);
    print_line(mixed, width, "all", "", &sum);
    if (mixed->request->mix.load_control)
        printf("\n  Load control swapped processes out %s times; the working sets in memory had up to %s "
               "pages.\n",
               sim_count(frames, mixed->total.swap_outs), sim_count(demand, mixed->total.most_demand));
}

/* ------------------------------------------------------------------ running */

static void show_progress(void *context, double part)
{
    progress_show(context, part);
}

static bool run_one(struct mixed *mixed, const struct sim_policy *policy)
{
    const struct sim_request *request = mixed->request;
    struct mix_config config = {
        .type = policy->type,
        .seed = request->seed,
        .tick = request->tick ? request->tick : engine_standard_tick(mixed->scope.frames),
        .scope = mixed->scope,
        .quantum = request->mix.quantum,
        .load_control = request->mix.load_control,
        .window = request->mix.window,
        .progress = show_progress,
    };
    struct progress progress;
    struct trace_error error;
    bool done;

    memcpy(config.options, policy->options, sizeof(config.options));
    config.context = &progress;
    progress_begin(&progress);
    done = mix_run(&config, mixed->processes, mixed->count, mixed->results, &mixed->total, &error);
    progress_end(&progress);
    if (!done)
        return sim_fail(mixed->request, &error) == 0;
    if (request->json)
        add_json(mixed, policy);
    else if (request->csv)
        print_csv(mixed, policy);
    else
        print_words(mixed, policy);
    mixed->printed = true;
    return true;
}

static bool run_sizes(struct mixed *mixed)
{
    const struct sim_request *request = mixed->request;

    for (size_t size = 0; size < request->size_count; size++) {
        mixed->scope.frames = sim_frames(request->sizes[size], mixed->page_bytes);
        if (mixed->scope.frames == 0)
            return false;
        for (size_t policy = 0; policy < request->policy_count; policy++)
            if (!run_one(mixed, &request->policies[policy]))
                return false;
    }
    return true;
}

int sim_mix(const struct sim_request *request)
{
    struct mixed mixed = {.request = request, .runs = json_array()};
    int status = EXIT_USAGE;

    mixed.scope.turn = request->mix.turn;
    if (check_scope(&mixed) && open_processes(&mixed) && check_classes(&mixed) && run_sizes(&mixed))
        status = request->json ? sim_print_json(json_pack("{s:O}", "runs", mixed.runs)) : sim_finish_output();
    mixed_free(&mixed);
    return status;
}

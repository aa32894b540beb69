/*
 * quire sim --tlb: the traces on the core itself, with a TLB of the shape asked for.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/progress.h"
#include "cli/sim.h"
#include "sim/engine.h"
#include "sim/full/full.h"

static bool parse_shape(const struct sim_request *request, struct full_tlb *tlb)
{
    const char *expected;
    size_t at, length;

    if (full_tlb_parse(request->full.tlb, tlb, &at, &length, &expected))
        return true;
    say("sim: --tlb: '%.*s': expected %s", (int)length, request->full.tlb + at, expected);
    return false;
}

/* Page sizes are those of the machine. */
static bool check_page_size(const struct sim_request *request, bool *huge)
{
    *huge = request->full.huge_pages || request->page_size == (uint64_t)2 << 20;
    if (request->page_size == 0 || request->page_size == FULL_PAGE || *huge)
        return true;
    say("sim: --page-size: the machine has pages of 4K, and of 2M: expected one of them with --tlb");
    return false;
}

static bool open_traces(const struct sim_request *request, struct full_process *processes, uint32_t *count)
{
    struct trace_options options = request->options;
    struct trace_error error;

    options.page_bytes = FULL_PAGE;
    if (options.address_bits == 0)
        options.address_bits = FULL_ADDRESS_BITS;
    for (*count = 0; *count < request->trace_count; ++*count) {
        processes[*count].trace = trace_open(request->traces[*count].path, &options, &error);
        if (!processes[*count].trace)
            return sim_fail(request, &error) == 0;
    }
    return true;
}

/* ------------------------------------------------------------------ output */

static double per_thousand(uint64_t part, const struct full_result *result)
{
    return result->tally.references > 0 ? 1e3 * (double)part / (double)result->tally.references : 0;
}

static json_t *json_run(const struct sim_request *request, const struct full_config *config,
                        const struct sim_policy *policy, const struct full_result *result)
{
    json_t *run =
        json_pack("{s:o, s:s?, s:I, s:s, s:b, s:I, s:I, s:o, s:I, s:I}", "trace", sim_mix_traces(request),
                  "policy", config->frames > 0 ? policy->text : NULL, "frames", (json_int_t)config->frames,
                  "tlb", request->full.tlb, "huge_pages", config->huge_pages, "references",
                  (json_int_t)result->tally.references, "faults", (json_int_t)result->tally.faults,
                  "miss_ratio", json_real(per_thousand(result->tally.faults, result) / 1e3), "evictions",
                  (json_int_t)result->tally.evictions, "write_backs", (json_int_t)result->tally.write_backs);
    json_t *tlb = json_pack(
        "{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "tlb_hits",
        (json_int_t)result->tlb_hits, "second_level_hits", (json_int_t)result->second_hits, "walks",
        (json_int_t)result->walks, "walk_reads", (json_int_t)result->walk_reads, "pde_hits",
        (json_int_t)result->walk_cache_hits[2], "pdpte_hits", (json_int_t)result->walk_cache_hits[3],
        "pml4e_hits", (json_int_t)result->walk_cache_hits[4], "switches", (json_int_t)result->switches,
        "lost_spaces", (json_int_t)result->lost_spaces, "flushes", (json_int_t)result->flushes, "tables",
        (json_int_t)result->tables, "pages", (json_int_t)result->pages, "huge_pages_made",
        (json_int_t)result->huge_pages);

    json_object_update(run, tlb);
    json_decref(tlb);
    return run;
}

static void print_count(const char *name, uint64_t count, const struct full_result *result)
{
    char text[32];

    printf("  %-36s  %16s  %12.4f\n", name, sim_count(text, count), per_thousand(count, result));
}

static void print_head(const struct sim_request *request, const struct full_config *config,
                       const struct sim_policy *policy)
{
    char frames[32];

    for (size_t i = 0; i < request->trace_count; i++)
        printf("%s%s", i ? ", " : "", request->traces[i].name);
    printf(": TLB %s, pages of %s", request->full.tlb, config->huge_pages ? "2M" : "4K");
    if (config->frames > 0)
        printf(", %s frames, %s", sim_count(frames, config->frames), policy->text);
    printf("\n\n  %-36s  %16s  %12s\n", "", "count", "in a thousand");
}

static void print_words(const struct sim_request *request, const struct full_config *config,
                        const struct sim_policy *policy, const struct full_result *result)
{
    char pages[32], tables[32], huge[32];

    print_head(request, config, policy);
    print_count("references", result->tally.references, result);
    print_count("TLB hits", result->tlb_hits, result);
    if (config->tlb.second_entries > 0)
        print_count("  of these, in the second level", result->second_hits, result);
    print_count("walks", result->walks, result);
    print_count("  entries of tables read", result->walk_reads, result);
    print_count("  begun below a cached PDE", result->walk_cache_hits[2], result);
    print_count("  begun below a cached PDPTE", result->walk_cache_hits[3], result);
    print_count("  begun below a cached PML4E", result->walk_cache_hits[4], result);
    print_count("faults", result->tally.faults, result);
    print_count("evictions", result->tally.evictions, result);
    print_count("write-backs", result->tally.write_backs, result);
    print_count("flushes", result->flushes, result);
    if (request->trace_count > 1) {
        print_count("switches of processes", result->switches, result);
        print_count("  that cost a process its entries", result->lost_spaces, result);
    }
    printf("\n  %s pages of 4K were used; %s huge pages; %s page tables\n", sim_count(pages, result->pages),
           sim_count(huge, result->huge_pages), sim_count(tables, result->tables));
}

/* ------------------------------------------------------------------ running */

struct fulls {
    const struct sim_request *request;
    struct full_config config;
    struct full_process *processes;
    uint32_t count;
    json_t *runs;
    bool printed;
};

static void show_progress(void *context, double part)
{
    progress_show(context, part);
}

static bool run_one(struct fulls *fulls, const struct sim_policy *policy, uint32_t frames)
{
    struct full_result result;
    struct progress progress;
    struct trace_error error;
    bool done;

    fulls->config.progress = show_progress;
    fulls->config.context = &progress;
    fulls->config.frames = frames;
    fulls->config.type = policy->type;
    fulls->config.tick = fulls->request->tick ? fulls->request->tick : engine_standard_tick(frames);
    memcpy(fulls->config.options, policy->options, sizeof(fulls->config.options));
    for (uint32_t i = 0; fulls->printed && i < fulls->count; i++)
        if (!trace_rewind(fulls->processes[i].trace, &error))
            return sim_fail(fulls->request, &error) == 0;
    progress_begin(&progress);
    done = full_run(&fulls->config, fulls->processes, fulls->count, &result, &error);
    progress_end(&progress);
    if (!done)
        return sim_fail(fulls->request, &error) == 0;
    if (fulls->request->json) {
        json_array_append_new(fulls->runs, json_run(fulls->request, &fulls->config, policy, &result));
    } else {
        if (fulls->printed)
            putchar('\n');
        print_words(fulls->request, &fulls->config, policy, &result);
    }
    fulls->printed = true;
    return true;
}

/* Without a size of memory there is room for everything, and no policy is asked. */
static bool run_all(struct fulls *fulls)
{
    const struct sim_request *request = fulls->request;

    if (request->size_count == 0)
        return run_one(fulls, &request->policies[0], 0);
    for (size_t size = 0; size < request->size_count; size++) {
        uint32_t frames = sim_frames(request->sizes[size], FULL_PAGE);

        if (frames == 0)
            return false;
        for (size_t policy = 0; policy < request->policy_count; policy++)
            if (!run_one(fulls, &request->policies[policy], frames))
                return false;
    }
    return true;
}

int sim_full(const struct sim_request *request)
{
    struct fulls fulls = {.request = request, .runs = json_array()};
    int status = EXIT_USAGE;

    if (request->csv) {
        say("sim: --csv: expected --json with --tlb");
        json_decref(fulls.runs);
        return EXIT_USAGE;
    }
    fulls.config.seed = request->seed;
    fulls.config.quantum = request->mix.quantum;
    fulls.processes = must_alloc((request->trace_count + 1) * sizeof(*fulls.processes));
    if (parse_shape(request, &fulls.config.tlb) && check_page_size(request, &fulls.config.huge_pages) &&
        open_traces(request, fulls.processes, &fulls.count) && run_all(&fulls))
        status = request->json ? sim_print_json(json_pack("{s:O}", "runs", fulls.runs)) : sim_finish_output();
    for (uint32_t i = 0; i < fulls.count; i++)
        trace_close(fulls.processes[i].trace);
    free(fulls.processes);
    json_decref(fulls.runs);
    return status;
}

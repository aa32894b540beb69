/*
 * quire sim --replay: recordings of `quire boot --record`, paged as the kernel would page them.
 */
#include <stdio.h>
#include <string.h>

#include "cli/paging_options.h"
#include "cli/sim.h"
#include "sim/replay.h"

struct replaying {
    const struct sim_request *request;
    struct scope_config scope;
    struct replay_result result;
    json_t *runs;
    bool printed;
};

bool sim_replay_check(const struct sim_request *request)
{
    const struct sim_mix_request *mix = &request->mix;

    if (!mix->replay) {
        if (mix->low == 0 && mix->known == 0)
            return true;
        say("sim: --low, --known: expected --replay with them");
        return false;
    }
    if (request->csv) {
        say("sim: --replay: expected --json or words, not --csv");
        return false;
    }
    if (mix->mix || mix->load_control || mix->classes.count > 0 || request->full.tlb || request->curve ||
        request->working_set) {
        say("sim: --replay: expected none of --mix, --class, --load-control, --tlb, --curve, --working-set "
            "with it");
        return false;
    }
    if (request->ahead > POLICY_MAX_PAGES || mix->low > POLICY_MAX_PAGES || mix->known > POLICY_MAX_PAGES) {
        say("sim: --ahead, --low, --known: expected numbers of pages up to %u", POLICY_MAX_PAGES);
        return false;
    }
    return true;
}

static bool check(struct replaying *replaying)
{
    const struct sim_request *request = replaying->request;

    if (!paging_check_scope("sim", request->mix.scope, request->mix.allocation, &replaying->scope))
        return false;
    if (replaying->scope.kind == SCOPE_LOCAL &&
        (replaying->scope.rule == SCOPE_PFF || !replaying->scope.strict)) {
        say("sim: --replay --allocation: expected equal:strict or proportional:strict (other rules go by the "
            "time "
            "that faults take, which a recording does not have)");
        return false;
    }
    for (size_t i = 0; i < request->policy_count; i++)
        if (request->policies[i].type->needs != POLICY_BITS) {
            say("sim: --replay: expected a policy that runs on reference bits, got '%s'",
                request->policies[i].text);
            return false;
        }
    return true;
}

/* ------------------------------------------------------------------ output */

static json_t *json_member(const struct replay_member *member, uint32_t number)
{
    return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "member", (json_int_t)number, "process",
                     (json_int_t)member->process, "first_touches", (json_int_t)member->first, "page_ins",
                     (json_int_t)member->back, "evictions", (json_int_t)member->evictions, "write_backs",
                     (json_int_t)member->write_backs, "most_frames", (json_int_t)member->most_frames);
}

static void add_json(struct replaying *replaying, const struct sim_trace *trace,
                     const struct sim_policy *policy, uint32_t frames)
{
    const struct replay_result *result = &replaying->result;
    const struct sim_mix_request *mix = &replaying->request->mix;
    json_t *members = json_array();

    for (uint32_t i = 0; i < result->count; i++)
        json_array_append_new(members, json_member(&result->members[i], i));
    json_array_append_new(
        replaying->runs,
        json_pack("{s:s, s:s, s:I, s:I, s:I, s:s, s:s?, s:I, s:I, s:I, s:I, s:I, s:I, s:o}", "trace",
                  trace->name, "policy", policy->text, "frames", (json_int_t)frames, "low",
                  (json_int_t)mix->low, "ahead", (json_int_t)replaying->request->ahead, "scope",
                  scope_kind_names[replaying->scope.kind], "allocation",
                  replaying->scope.kind == SCOPE_LOCAL ? scope_rule_names[replaying->scope.rule] : NULL,
                  "references", (json_int_t)result->references, "first_touches", (json_int_t)result->first,
                  "page_ins", (json_int_t)result->back, "evictions", (json_int_t)result->evictions,
                  "write_backs", (json_int_t)result->write_backs, "ticks", (json_int_t)result->ticks,
                  "members", members));
}

static void print_member(const char *name, uint64_t first, uint64_t back, uint64_t evictions,
                         uint64_t write_backs)
{
    char texts[4][32];

    printf("  %-14s  %13s  %13s  %13s  %13s\n", name, sim_count(texts[0], first), sim_count(texts[1], back),
           sim_count(texts[2], evictions), sim_count(texts[3], write_backs));
}

static void print_words(struct replaying *replaying, const struct sim_trace *trace,
                        const struct sim_policy *policy, uint32_t frames)
{
    const struct replay_result *result = &replaying->result;
    char text[32];

    printf("%s%s, %s, %s frames, %s scope%s%s\n\n", replaying->printed ? "\n" : "", trace->name, policy->text,
           sim_count(text, frames), scope_kind_names[replaying->scope.kind],
           replaying->scope.kind == SCOPE_LOCAL ? ", " : "",
           replaying->scope.kind == SCOPE_LOCAL ? scope_rule_names[replaying->scope.rule] : "");
    printf("  %-14s  %13s  %13s  %13s  %13s\n", "member", "first touches", "page-ins", "evictions",
           "write-backs");
    for (uint32_t i = 1; i < result->count; i++) {
        const struct replay_member *member = &result->members[i];

        snprintf(text, sizeof(text), "%u, process %u", i, member->process);
        print_member(text, member->first, member->back, member->evictions, member->write_backs);
    }
    print_member("all", result->first, result->back, result->evictions, result->write_backs);
    replaying->printed = true;
}

/* ------------------------------------------------------------------ running */

static bool replay_one(struct replaying *replaying, const struct sim_trace *given,
                       const struct sim_policy *policy, uint32_t frames)
{
    const struct sim_request *request = replaying->request;
    struct replay_config config = {.type = policy->type,
                                   .seed = request->seed,
                                   .tick_us = request->tick,
                                   .frames = frames,
                                   .low = (uint32_t)request->mix.low,
                                   .ahead = request->ahead ? (uint32_t)request->ahead : REPLAY_BATCH,
                                   .known = (uint32_t)request->mix.known,
                                   .scope = replaying->scope};
    struct trace_options options = request->options;
    struct trace_error error;
    struct trace_info info;
    struct trace *trace;
    bool done;

    memcpy(config.options, policy->options, sizeof(config.options));
    options.members = true;
    trace = trace_open(given->path, &options, &error);
    if (!trace)
        return sim_fail(request, &error) == 0;
    trace_get_info(trace, &info);
    if (info.format != TRACE_RECORDING) {
        say("sim: --replay: %s: expected a recording of `quire boot --record`", given->name);
        trace_close(trace);
        return false;
    }
    done = replay_run(&config, trace, &replaying->result, &error) || sim_fail(request, &error) == 0;
    trace_close(trace);
    return done;
}

static bool replay_all(struct replaying *replaying)
{
    const struct sim_request *request = replaying->request;

    for (size_t trace = 0; trace < request->trace_count; trace++)
        for (size_t size = 0; size < request->size_count; size++)
            for (size_t policy = 0; policy < request->policy_count; policy++) {
                const struct sim_trace *given = &request->traces[trace];
                const struct sim_policy *by = &request->policies[policy];
                uint32_t frames = sim_frames(request->sizes[size], given->page_bytes);

                if (frames == 0 || !replay_one(replaying, given, by, frames))
                    return false;
                if (request->json)
                    add_json(replaying, given, by, frames);
                else
                    print_words(replaying, given, by, frames);
            }
    return true;
}

int sim_replay(const struct sim_request *request)
{
    struct replaying replaying = {.request = request, .runs = json_array()};
    bool done = check(&replaying) && replay_all(&replaying);

    if (!done || !request->json) {
        json_decref(replaying.runs);
        return done ? sim_finish_output() : EXIT_USAGE;
    }
    return sim_print_json(json_pack("{s:o}", "runs", replaying.runs));
}

/*
 * Checks what `quire sim` was asked for, and works it out: policies with their options, sizes, costs.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "cli/paging_options.h"
#include "cli/sim.h"
#include "sim/curves.h"
#include "sim/sample.h"
#include "sim/team.h"

enum { LEAST_PAGE = 1 << 10, MOST_PAGE = 1 << 30, STANDARD_COLUMNS = 80 };

/* The name with every option, in the order of the policy's table: "clock:load=set". */
static char *full_name(const struct sim_policy *policy)
{
    const struct policy_type *type = policy->type;
    char *name = must_copy(type->name);

    for (unsigned i = 0; i < POLICY_OPTIONS && type->options[i].name; i++) {
        char *longer = must_format("%s%c%s=%llu", name, i ? ',' : ':', type->options[i].name,
                                   (unsigned long long)policy->options[i]);

        free(name);
        name = longer;
    }
    return name;
}

static void add_policy(struct sim_request *request, const char *text, const struct policy_type *type,
                       const struct policy_config *config)
{
    struct sim_policy policy = {.text = must_copy(text), .type = type};

    memcpy(policy.options, config->options, sizeof(policy.options));
    policy.full = full_name(&policy);
    for (size_t i = 0; i < request->policy_count; i++)
        if (strcmp(request->policies[i].full, policy.full) == 0) {
            free(policy.text);
            free(policy.full);
            return;
        }
    request->policies =
        must_realloc(request->policies, (request->policy_count + 1) * sizeof(*request->policies));
    request->policies[request->policy_count++] = policy;
}

static bool check_policy(struct sim_request *request, const char *text)
{
    struct policy_config config = {0};
    struct policy_error error;
    const struct policy_type *type;

    if (strcmp(text, "all") == 0) {
        for (size_t i = 0; policy_types[i]; i++) {
            policy_standard(policy_types[i], &config);
            add_policy(request, policy_types[i]->name, policy_types[i], &config);
        }
        return true;
    }
    if (policy_parse(text, &type, &config, &error) == ST_OK) {
        add_policy(request, text, type, &config);
        return true;
    }
    paging_say_policy("sim", text, type, &error, ", all");
    return false;
}

/* Commas part policies and the options of one: a part with '=' and no ':' before it belongs to the last. */
static bool is_option(const char *part)
{
    return part[strcspn(part, ":=")] == '=';
}

static bool check_policies(struct sim_request *request)
{
    const struct strings *words = &request->policy_words;
    bool good = true;

    for (size_t i = 0; good && i < words->count;) {
        char *text = must_copy(words->items[i++]);

        while (i < words->count && is_option(words->items[i])) {
            char *longer = must_format("%s%c%s", text, strchr(text, ':') ? ',' : ':', words->items[i++]);

            free(text);
            text = longer;
        }
        good = check_policy(request, text);
        free(text);
    }
    return good && (words->count > 0 || check_policy(request, "lru"));
}

/* Each size once. */
static void add_size(struct sim_request *request, struct sim_size size)
{
    for (size_t i = 0; i < request->size_count; i++)
        if (request->sizes[i].bytes == size.bytes && request->sizes[i].frames == size.frames)
            return;
    request->sizes = must_realloc(request->sizes, (request->size_count + 1) * sizeof(*request->sizes));
    request->sizes[request->size_count++] = size;
}

static bool check_sizes(struct sim_request *request)
{
    for (size_t i = 0; i < request->memory_words.count; i++) {
        struct sim_size size = {0};

        if (!parse_size(request->memory_words.items[i], &size.bytes) || size.bytes == 0) {
            say("sim: --memory: expected sizes such as 512K,16M, got '%s'", request->memory_words.items[i]);
            return false;
        }
        add_size(request, size);
    }
    for (size_t i = 0; i < request->frames_words.count; i++) {
        uint64_t frames;

        if (!parse_number(request->frames_words.items[i], &frames) || frames == 0 ||
            frames > POLICY_MAX_PAGES) {
            say("sim: --frames: expected numbers of pages from 1 to %u, got '%s'", POLICY_MAX_PAGES,
                request->frames_words.items[i]);
            return false;
        }
        add_size(request, (struct sim_size){.frames = (uint32_t)frames});
    }
    return true;
}

uint32_t sim_frames(struct sim_size size, uint64_t page_bytes)
{
    uint64_t frames = size.frames ? size.frames : size.bytes / page_bytes;
    char bytes[32], page[32];

    if (frames == 0)
        say("sim: --memory: %s is less than one page of %s", sim_bytes(bytes, size.bytes),
            sim_bytes(page, page_bytes));
    return frames > POLICY_MAX_PAGES ? POLICY_MAX_PAGES : (uint32_t)frames;
}

static bool check_page_size(struct sim_request *request)
{
    uint64_t size = request->page_size;

    if (size != 0 && (size < LEAST_PAGE || size > MOST_PAGE || (size & (size - 1)) != 0)) {
        say("sim: --page-size: expected a power of two from 1K to 1G, got %llu", (unsigned long long)size);
        return false;
    }
    if (request->address_bits > 64) {
        say("sim: --address-bits: expected at most 64, got %llu", (unsigned long long)request->address_bits);
        return false;
    }
    request->options.page_bytes = size;
    request->options.address_bits = (unsigned)request->address_bits;
    return true;
}

static bool check_format(struct sim_request *request)
{
    if (!request->format || trace_format_find(request->format, &request->options.format))
        return true;
    say("sim: --format: expected %s, got '%s'", trace_formats, request->format);
    return false;
}

static bool parse_cost(const char *text, size_t length, double *nanoseconds)
{
    static const struct {
        const char *name;
        double nanoseconds;
    } units[] = {{"ns", 1}, {"us", 1e3}, {"ms", 1e6}, {"s", 1e9}};
    char *end;
    double number = strtod(text, &end);

    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
        if (end > text && number >= 0 && number < 1e12 &&
            strlen(units[i].name) == (size_t)(text + length - end) &&
            memcmp(end, units[i].name, strlen(units[i].name)) == 0) {
            *nanoseconds = number * units[i].nanoseconds;
            return true;
        }
    return false;
}

/* "reference=100ns,read=100us,write=100us", or some of them. */
static bool check_costs(struct sim_request *request)
{
    const char *text = request->costs_text ? request->costs_text : "";

    request->costs = (struct sim_costs){.reference = 100, .read = 100e3, .write = 100e3};
    while (*text) {
        size_t length = strcspn(text, ","), name = strcspn(text, "=,");
        double *cost = strncmp(text, "reference=", 10) == 0 ? &request->costs.reference
                       : strncmp(text, "read=", 5) == 0     ? &request->costs.read
                       : strncmp(text, "write=", 6) == 0    ? &request->costs.write
                                                            : NULL;

        if (!cost || !parse_cost(text + name + 1, length - name - 1, cost)) {
            say("sim: --costs: '%.*s': expected reference=, read= or write= and a time such as 100ns, 80us, "
                "8ms",
                (int)length, text);
            return false;
        }
        text += length + (text[length] != '\0');
    }
    return true;
}

double sim_seconds(const struct sim_costs *costs, const struct policy_tally *tally)
{
    return ((double)tally->references * costs->reference + (double)tally->faults * costs->read +
            (double)tally->write_backs * costs->write) /
           1e9;
}

/* "1/8" or "0.125": rounded down to a power of two. */
static bool check_sample(struct sim_request *request)
{
    const char *text = request->sample;
    double part, below = 1;
    char *end;

    request->sample_shift = CURVES_SHIFT_BY_PAGES;
    if (!text)
        return true;
    part = strtod(text, &end);
    if (end > text && *end == '/')
        below = strtod(end + 1, &end);
    part /= below;
    if (*end != '\0' || !(part >= 1.0 / (1 << SAMPLE_SHIFTS)) || part > 1) {
        say("sim: --sample: expected a part such as 1/8, at least 1/%d, got '%s'", 1 << SAMPLE_SHIFTS, text);
        return false;
    }
    request->sample_shift = (unsigned)ceil(-log2(part));
    return true;
}

static bool check_modes(struct sim_request *request)
{
    if (request->json && request->csv) {
        say("sim: --csv: expected one of --json and --csv");
        return false;
    }
    if (request->curve && request->working_set) {
        say("sim: --working-set: expected one of --curve and --working-set");
        return false;
    }
    if (request->svg && !request->curve && !request->working_set) {
        say("sim: --svg: expected --curve or --working-set, of which there is a picture");
        return false;
    }
    if (request->svg && request->words.count > 1) {
        say("sim: --svg: expected one trace for a picture, got %zu", request->words.count);
        return false;
    }
    if (request->threads > TEAM_THREADS) {
        say("sim: --jobs: expected at most %d, got %llu", TEAM_THREADS, (unsigned long long)request->threads);
        return false;
    }
    if (request->threads == 0)
        request->threads = team_processors();
    if (request->seeds < 2 || request->seeds > CURVES_MOST_SEEDS) {
        say("sim: --seeds: expected a number from 2 to %d, got %llu", CURVES_MOST_SEEDS,
            (unsigned long long)request->seeds);
        return false;
    }
    if (request->size_count == 0 && !request->curve && !request->working_set && !request->full.tlb) {
        say("sim: expected --memory or --frames with sizes of memory");
        return false;
    }
    return sim_mix_check(request) && sim_replay_check(request);
}

static bool check_taus(struct sim_request *request)
{
    static const uint64_t standard[] = {1000, 10000, 100000, 1000000};

    for (; request->tau_count < request->tau_words.count; request->tau_count++) {
        const char *text = request->tau_words.items[request->tau_count];

        if (request->tau_count == WORKING_SET_TAUS ||
            !parse_number(text, &request->taus[request->tau_count]) ||
            request->taus[request->tau_count] == 0) {
            say("sim: --tau: expected up to %d numbers of references, got '%s'", WORKING_SET_TAUS, text);
            return false;
        }
    }
    if (request->tau_count == 0) {
        request->tau_count = sizeof(standard) / sizeof(standard[0]);
        memcpy(request->taus, standard, sizeof(standard));
    }
    return true;
}

/* "0.001" or "0.1%". */
static bool check_fault_rate(struct sim_request *request)
{
    const char *text = request->fault_rate ? request->fault_rate : "0.001";
    char *end;

    request->most_faults = strtod(text, &end);
    if (end > text && strcmp(end, "%") == 0) {
        request->most_faults /= 100;
        end++;
    }
    if (*end == '\0' && request->most_faults > 0 && request->most_faults <= 1)
        return true;
    say("sim: --fault-rate: expected faults a reference, such as 0.001 or 0.1%%, got '%s'", text);
    return false;
}

/* Of the terminal, for pictures and tables. */
static void find_columns(struct sim_request *request)
{
    struct winsize size;

    request->columns = STANDARD_COLUMNS;
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col >= STANDARD_COLUMNS)
        request->columns = size.ws_col;
}

bool sim_request_check(struct sim_request *request)
{
    find_columns(request);
    return check_policies(request) && check_sizes(request) && check_page_size(request) &&
           check_format(request) && check_costs(request) && check_modes(request) && check_sample(request) &&
           check_taus(request) && check_fault_rate(request) && sim_traces_open(request);
}

void sim_request_free(struct sim_request *request)
{
    for (size_t i = 0; i < request->policy_count; i++) {
        free(request->policies[i].text);
        free(request->policies[i].full);
    }
    sim_traces_close(request);
    free(request->policies);
    free(request->sizes);
    strings_free(&request->words);
    strings_free(&request->policy_words);
    strings_free(&request->memory_words);
    strings_free(&request->frames_words);
    strings_free(&request->tau_words);
    strings_free(&request->mix.classes);
}

/*
 * quire pagesize: what each page size costs a program, measured on a trace, beside the classic formula.
 */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/sim.h"
#include "sim/engine.h"
#include "sim/page_size.h"

enum { LEAST_PAGE = 1 << 10, MOST_PAGE = 2 << 20, ADDRESS_GRAIN = 64, MOST_SIZES = 40 };

struct pagesize {
    /* From the command line. */
    struct strings words, size_words;
    const char *policy, *format;
    uint64_t size, entry, grain, memory;
    bool json;

    /* Worked out. */
    struct trace_options options;
    struct trace *trace;
    const struct policy_type *type;
    struct policy_config policy_config;
    struct page_sizes sizes;
    uint64_t page_sizes[MOST_SIZES];
    struct page_size_row rows[MOST_SIZES];
    struct policy_tally tallies[MOST_SIZES]; /* references 0: memory is less than a page */
    size_t count;
};

static void pagesize_specs(struct pagesize *pagesize, struct option_spec specs[10])
{
    const struct option_spec all[] = {
        {"--page-size", OPTION_COMMAS, &pagesize->size_words, "LIST",
         "the sizes: 4K,64K or 1K..2M, the default"},
        {"--entry", OPTION_SIZE, &pagesize->entry, "BYTES", "of an entry of a page table; default 8"},
        {"--grain", OPTION_SIZE, &pagesize->grain, "BYTES",
         "what counts as used around an address; default 64, or the trace's page"},
        {"--memory", OPTION_SIZE, &pagesize->memory, "SIZE", "count the faults in so much memory as well"},
        {"--policy", OPTION_TEXT, &pagesize->policy, "NAME", "of the replacement for that; default lru"},
        {"--format", OPTION_TEXT, &pagesize->format, "NAME", "of the trace, if it is not to be guessed"},
        {"--size", OPTION_SIZE, &pagesize->size, "SIZE", "no trace: the formula for a process of that size"},
        {"--json", OPTION_FLAG, &pagesize->json, NULL, "one JSON object"},
        {0}};

    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
        specs[i] = all[i];
}

void cmd_pagesize_help(void)
{
    struct pagesize pagesize = {0};
    struct option_spec specs[10];

    pagesize_specs(&pagesize, specs);
    printf("usage: quire pagesize TRACE [OPTION...]\n"
           "       quire pagesize --size SIZE [--entry BYTES]\n"
           "\n"
           "What each page size costs a program: bytes that its pages hold and it does not use, and page\n"
           "tables; beside the classic formula, s * e / p + p / 2 for a process of s bytes and entries of\n"
           "e bytes, which is least for p = sqrt(2 * s * e).\n"
           "\n");
    options_print(specs);
    printf("\n"
           "  quire pagesize cc1.qtrace --memory 8M --policy clock\n"
           "  quire pagesize --size 1M                the formula alone: 4K is best\n");
}

/* ------------------------------------------------------------------ options */

static bool power_of_two(uint64_t value)
{
    return value != 0 && (value & (value - 1)) == 0;
}

static bool bad_size(const char *text)
{
    say("pagesize: --page-size: expected powers of two from 1K to 2M, as in 4K,64K or 1K..2M, got '%s'",
        text);
    return false;
}

static bool page_size(const char *text, uint64_t *bytes)
{
    return parse_size(text, bytes) && power_of_two(*bytes) && *bytes >= LEAST_PAGE && *bytes <= MOST_PAGE;
}

/* "4K", or "1K..2M". */
static bool add_size(struct pagesize *pagesize, const char *text)
{
    const char *dots = strstr(text, "..");
    char *first = dots ? must_format("%.*s", (int)(dots - text), text) : must_copy(text);
    uint64_t least = 0, most = 0;
    bool good = page_size(first, &least) && page_size(dots ? dots + 2 : text, &most) && least <= most;

    free(first);
    for (; good && least <= most; least *= 2) {
        good = pagesize->count < MOST_SIZES;
        if (good)
            pagesize->page_sizes[pagesize->count++] = least;
    }
    return good || bad_size(text);
}

static bool check_policy(struct pagesize *pagesize)
{
    const char *text = pagesize->policy ? pagesize->policy : "lru";
    struct policy_error error;

    if (policy_parse(text, &pagesize->type, &pagesize->policy_config, &error) != ST_OK) {
        say("pagesize: --policy: %s: '%.*s': expected %s", text, (int)error.length, text + error.at,
            error.expected);
        return false;
    }
    if (pagesize->type->needs == POLICY_FUTURE) {
        say("pagesize: --policy: %s needs the future, which is not known here; expected another", text);
        return false;
    }
    return true;
}

static bool check(struct pagesize *pagesize)
{
    if (!power_of_two(pagesize->entry) || pagesize->entry > 64) {
        say("pagesize: --entry: expected a power of two up to 64, got %llu",
            (unsigned long long)pagesize->entry);
        return false;
    }
    if (pagesize->grain != 0 && (!power_of_two(pagesize->grain) || pagesize->grain > MOST_PAGE)) {
        say("pagesize: --grain: expected a power of two up to 2M, got %llu",
            (unsigned long long)pagesize->grain);
        return false;
    }
    for (size_t i = 0; i < pagesize->size_words.count; i++)
        if (!add_size(pagesize, pagesize->size_words.items[i]))
            return false;
    if (pagesize->words.count != (pagesize->size == 0)) {
        say("pagesize: expected the name of one trace, or --size");
        return false;
    }
    if (pagesize->format && !trace_format_find(pagesize->format, &pagesize->options.format)) {
        say("pagesize: --format: expected %s, got '%s'", trace_formats, pagesize->format);
        return false;
    }
    return check_policy(pagesize);
}

/* The sizes that can be told apart from the grain, if the user has not said which. */
static bool choose_sizes(struct pagesize *pagesize, uint64_t grain)
{
    char bytes[32];

    for (size_t i = 0; i < pagesize->count; i++)
        if (pagesize->page_sizes[i] < grain) {
            say("pagesize: --page-size: %llu: the trace has pages of %s, and does not say what is used in "
                "them",
                (unsigned long long)pagesize->page_sizes[i], sim_bytes(bytes, grain));
            return false;
        }
    if (pagesize->size_words.count == 0)
        for (uint64_t size = grain > LEAST_PAGE ? grain : LEAST_PAGE; size <= MOST_PAGE; size *= 2)
            pagesize->page_sizes[pagesize->count++] = size;
    return true;
}

/* ------------------------------------------------------------------ the trace */

static bool fail(const struct trace_error *error)
{
    say("pagesize: %s", error->text);
    return false;
}

/* Of addresses, the grain is chosen; numbers of pages have the page's size. */
static bool open_trace(struct pagesize *pagesize)
{
    const char *path = pagesize->words.items[0];
    struct trace_error error;
    struct trace_info info;

    pagesize->trace = trace_open(path, &pagesize->options, &error);
    if (!pagesize->trace)
        return fail(&error);
    trace_get_info(pagesize->trace, &info);
    if (pagesize->options.page_bytes == 0 && info.format == TRACE_LACKEY) {
        trace_close(pagesize->trace);
        pagesize->options.page_bytes = ADDRESS_GRAIN;
        pagesize->trace = trace_open(path, &pagesize->options, &error);
        if (!pagesize->trace)
            return fail(&error);
        trace_get_info(pagesize->trace, &info);
    }
    pagesize->grain = info.page_bytes;
    return choose_sizes(pagesize, pagesize->grain);
}

struct paged {
    struct engine *engine; /* NULL: memory is less than a page */
    uint32_t *numbers;
};

static bool make_paged(struct pagesize *pagesize, size_t i, struct paged *paged)
{
    struct engine_run run = {.type = pagesize->type, .seed = 1};
    uint64_t frames = pagesize->memory / pagesize->page_sizes[i];

    *paged = (struct paged){0};
    if (frames == 0)
        return true;
    run.frames = frames < POLICY_MAX_PAGES ? (uint32_t)frames : POLICY_MAX_PAGES;
    memcpy(run.options, pagesize->policy_config.options, sizeof(run.options));
    paged->numbers = must_alloc((pagesize->sizes.count + 1) * sizeof(uint32_t));
    page_sizes_number(&pagesize->sizes, pagesize->page_sizes[i], paged->numbers);
    paged->engine = engine_create(&run, 1, (uint32_t)pagesize->rows[i].pages);
    if (!paged->engine)
        say("pagesize: not enough memory for the policy");
    return paged->engine != NULL;
}

/* The same references, to pages of that size. */
static void run_block(const struct paged *paged, const struct policy_block *block)
{
    uint32_t references[TRACE_BLOCK];

    if (!paged->engine)
        return;
    for (size_t i = 0; i < block->count; i++)
        references[i] = paged->numbers[block->references[i] >> 1] << 1 | (block->references[i] & 1);
    engine_block(paged->engine, &(struct policy_block){.references = references, .count = block->count});
}

static bool run_all(struct pagesize *pagesize, const struct paged *paged)
{
    struct policy_block block = {.count = 1};
    struct trace_error error;

    if (!trace_rewind(pagesize->trace, &error))
        return fail(&error);
    while (block.count > 0) {
        if (!trace_next(pagesize->trace, &block, &error))
            return fail(&error);
        for (size_t i = 0; i < pagesize->count; i++)
            run_block(&paged[i], &block);
    }
    return true;
}

static bool count_faults(struct pagesize *pagesize)
{
    struct paged paged[MOST_SIZES] = {0};
    bool good = true;

    for (size_t i = 0; good && i < pagesize->count; i++)
        good = make_paged(pagesize, i, &paged[i]);
    good = good && run_all(pagesize, paged);
    for (size_t i = 0; i < pagesize->count; i++) {
        if (paged[i].engine) {
            pagesize->tallies[i] = *engine_tally(paged[i].engine, 0);
            engine_destroy(paged[i].engine);
        }
        free(paged[i].numbers);
    }
    return good;
}

static bool measure(struct pagesize *pagesize)
{
    struct trace_error error;

    if (!open_trace(pagesize))
        return false;
    if (!page_sizes_read(&pagesize->sizes, pagesize->trace, pagesize->grain, &error))
        return fail(&error);
    pagesize->size = page_sizes_used(&pagesize->sizes);
    for (size_t i = 0; i < pagesize->count; i++)
        page_sizes_measure(&pagesize->sizes, pagesize->page_sizes[i], (unsigned)pagesize->entry,
                           &pagesize->rows[i]);
    return pagesize->memory == 0 || count_faults(pagesize);
}

/* ------------------------------------------------------------------ output */

static double formula(const struct pagesize *pagesize, size_t i)
{
    return page_size_overhead((double)pagesize->size, (double)pagesize->entry,
                              (double)pagesize->page_sizes[i]);
}

static uint64_t measured(const struct page_size_row *row)
{
    return row->fragmentation + row->entries;
}

/* The row that costs least, measured or by the formula. */
static size_t best_row(const struct pagesize *pagesize, bool by_formula)
{
    size_t best = 0;

    for (size_t i = 1; i < pagesize->count; i++)
        if (by_formula ? formula(pagesize, i) < formula(pagesize, best)
                       : measured(&pagesize->rows[i]) < measured(&pagesize->rows[best]))
            best = i;
    return best;
}

static json_t *json_row(const struct pagesize *pagesize, size_t i)
{
    const struct page_size_row *row = &pagesize->rows[i];
    double table = page_size_table_cost((double)pagesize->size, (double)pagesize->entry,
                                        (double)pagesize->page_sizes[i]);
    json_t *json =
        json_pack("{s:I, s:o, s:o, s:o}", "page_size", (json_int_t)pagesize->page_sizes[i], "formula_table",
                  json_real(table), "formula_fragmentation", json_real((double)pagesize->page_sizes[i] / 2),
                  "formula_overhead", json_real(formula(pagesize, i)));

    if (!pagesize->trace)
        return json;
    json_object_set_new(json, "pages", json_integer((json_int_t)row->pages));
    json_object_set_new(json, "runs", json_integer((json_int_t)row->runs));
    json_object_set_new(json, "memory", json_integer((json_int_t)(row->pages * row->page_bytes)));
    json_object_set_new(json, "fragmentation", json_integer((json_int_t)row->fragmentation));
    json_object_set_new(json, "entries", json_integer((json_int_t)row->entries));
    json_object_set_new(json, "tables", json_integer((json_int_t)row->tables));
    json_object_set_new(json, "overhead", json_integer((json_int_t)measured(row)));
    if (pagesize->tallies[i].references > 0) {
        json_object_set_new(json, "faults", json_integer((json_int_t)pagesize->tallies[i].faults));
        json_object_set_new(json, "write_backs", json_integer((json_int_t)pagesize->tallies[i].write_backs));
        json_object_set_new(json, "bytes_read",
                            json_integer((json_int_t)(pagesize->tallies[i].faults * row->page_bytes)));
    }
    return json;
}

static int print_json(const struct pagesize *pagesize)
{
    json_t *rows = json_array(), *json;

    for (size_t i = 0; i < pagesize->count; i++)
        json_array_append_new(rows, json_row(pagesize, i));
    json = json_pack(
        "{s:I, s:I, s:o, s:I, s:o}", "size", (json_int_t)pagesize->size, "entry", (json_int_t)pagesize->entry,
        "best", json_real(page_size_best((double)pagesize->size, (double)pagesize->entry)), "best_page_size",
        (json_int_t)pagesize->page_sizes[best_row(pagesize, true)], "rows", rows);
    if (pagesize->trace) {
        json_object_set_new(json, "trace", json_string(pagesize->words.items[0]));
        json_object_set_new(json, "grain", json_integer((json_int_t)pagesize->grain));
        json_object_set_new(json, "best_measured",
                            json_integer((json_int_t)pagesize->page_sizes[best_row(pagesize, false)]));
    }
    return sim_print_json(json);
}

static void print_measured_row(const struct pagesize *pagesize, size_t i)
{
    const struct page_size_row *row = &pagesize->rows[i];
    char pages[32], runs[32], fragmentation[32], entries[32], tables[32], faults[32];

    printf("  %11s  %8s  %13s  %5.1f %%  %12s  %12s", sim_count(pages, row->pages),
           sim_count(runs, row->runs), sim_count(fragmentation, row->fragmentation),
           100 * (double)row->fragmentation / (double)(row->pages * row->page_bytes),
           sim_count(entries, row->entries), sim_count(tables, row->tables));
    if (pagesize->memory > 0)
        printf("  %12s",
               pagesize->tallies[i].references > 0 ? sim_count(faults, pagesize->tallies[i].faults) : "-");
}

static void print_head(const struct pagesize *pagesize)
{
    char size[32], grain[32], memory[32];

    if (pagesize->trace)
        printf("%s: %s used, in pieces of %s; entries of %llu bytes\n", pagesize->words.items[0],
               sim_bytes(size, pagesize->size), sim_bytes(grain, pagesize->grain),
               (unsigned long long)pagesize->entry);
    else
        printf("a process of %s; entries of %llu bytes\n", sim_bytes(size, pagesize->size),
               (unsigned long long)pagesize->entry);
    if (pagesize->memory > 0)
        printf("faults: in %s of memory, %s\n", sim_bytes(memory, pagesize->memory),
               pagesize->policy ? pagesize->policy : "lru");
    printf("\n  %9s", "page size");
    if (pagesize->trace)
        printf("  %11s  %8s  %13s  %7s  %12s  %12s", "pages", "runs", "unused bytes", "", "entries",
               "tables");
    if (pagesize->memory > 0)
        printf("  %12s", "faults");
    printf("  %14s  %10s  %14s\n", "formula: s*e/p", "p/2", "together");
}

static int print_words(const struct pagesize *pagesize)
{
    char bytes[32], table[32], half[32], sum[32];

    print_head(pagesize);
    for (size_t i = 0; i < pagesize->count; i++) {
        double page = (double)pagesize->page_sizes[i];

        printf("  %9s", sim_bytes(bytes, pagesize->page_sizes[i]));
        if (pagesize->trace)
            print_measured_row(pagesize, i);
        printf("  %14s  %10s  %14s\n",
               sim_count(table, (uint64_t)page_size_table_cost((double)pagesize->size,
                                                               (double)pagesize->entry, page)),
               sim_count(half, (uint64_t)page / 2), sim_count(sum, (uint64_t)formula(pagesize, i)));
    }
    printf("\n  Best by the formula: sqrt(2 * s * e) = %.0f bytes; of these sizes %s.",
           page_size_best((double)pagesize->size, (double)pagesize->entry),
           sim_bytes(bytes, pagesize->page_sizes[best_row(pagesize, true)]));
    if (pagesize->trace)
        printf(" By unused bytes and entries measured: %s.",
               sim_bytes(bytes, pagesize->page_sizes[best_row(pagesize, false)]));
    putchar('\n');
    return sim_finish_output();
}

static int pagesize_do(struct pagesize *pagesize)
{
    if (pagesize->words.count > 0 ? !measure(pagesize) : !choose_sizes(pagesize, LEAST_PAGE))
        return EXIT_USAGE;
    return pagesize->json ? print_json(pagesize) : print_words(pagesize);
}

int cmd_pagesize(int argc, char **argv)
{
    struct pagesize pagesize = {.entry = 8};
    struct option_spec specs[10];
    int status = EXIT_USAGE;

    pagesize_specs(&pagesize, specs);
    if (options_parse_mixed("pagesize", specs, argc, argv, &pagesize.words) && check(&pagesize)) {
        pagesize.options.page_bytes = pagesize.grain;
        status = pagesize_do(&pagesize);
    }
    if (pagesize.trace)
        trace_close(pagesize.trace);
    page_sizes_free(&pagesize.sizes);
    strings_free(&pagesize.words);
    strings_free(&pagesize.size_words);
    return status;
}

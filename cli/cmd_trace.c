/*
 * quire trace: makes traces of page references (cli/record.c records a program's), converts them to our
 * format, and says what they hold.
 */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cli/options.h"
#include "cli/progress.h"
#include "cli/record.h"
#include "sim/trace.h"
#include "sim/trace_writer.h"

enum { SPECS = 12 };

/* What the options of all three say. */
struct trace_request {
    uint64_t page_size, address_bits, process;
    const char *format;
    struct trace_options options;
    bool json, check;
    struct strings words;
};

static int convert(int argc, char **argv);
static int info(int argc, char **argv);

static const struct {
    const char *name;
    int (*run)(int argc, char **argv);
} verbs_of_trace[] = {{"convert", convert}, {"info", info}, {"record", record}};

static void reading_specs(struct trace_request *request, struct option_spec *specs)
{
    const struct option_spec all[] = {{"--format", OPTION_TEXT, &request->format, "NAME",
                                       "of what is read: quire, text, raw64, lackey, oracle, csv, recording"},
                                      {"--page-size", OPTION_SIZE, &request->page_size, "SIZE",
                                       "of a page; default 4K, or the trace's own"},
                                      {"--address-bits", OPTION_NUMBER, &request->address_bits, "N",
                                       "addresses beyond are errors; default 64"},
                                      {"--process", OPTION_NUMBER, &request->process, "PID",
                                       "of a recording: this process's references only"},
                                      {"--columns", OPTION_TEXT, &request->options.csv_columns, "LIST",
                                       "of csv: time-col=2,obj-id-col=5,..."},
                                      {0}};

    memcpy(specs, all, sizeof(all));
}

void cmd_trace_help(void)
{
    struct trace_request request = {0};
    struct option_spec specs[SPECS];

    reading_specs(&request, specs);
    printf("usage: quire trace record [-o FILE] [OPTION...] [--] PROGRAM [ARGUMENT...]\n"
           "       quire trace convert [OPTION...] IN OUT\n"
           "       quire trace info [--check] [--json] [OPTION...] FILE...\n"
           "\n"
           "record runs a program under QEMU's user mode and writes the pages that it refers to, in the\n"
           "order in which it does; all its threads, not the programs that it starts.\n"
           "convert writes a trace in our own format, which `quire sim` reads quickest.\n"
           "A recording of `quire boot --record` has the references of all processes; a page that several\n"
           "share is one page. --process takes those of one, for `quire sim --mix`.\n"
           "info says what a trace holds; --check reads all of it.\n"
           "\n"
           "convert and info:\n");
    options_print(specs);
    printf("\nrecord:\n");
    record_help();
    printf("\n"
           "  quire trace record -o sort.qtrace -- sort -u words.txt\n"
           "  quire trace convert --page-size 16K sort.qtrace sort-16k.qtrace\n"
           "  quire trace info sort.qtrace\n");
}

int cmd_trace(int argc, char **argv)
{
    for (size_t i = 0; argc > 1 && i < sizeof(verbs_of_trace) / sizeof(verbs_of_trace[0]); i++)
        if (strcmp(argv[1], verbs_of_trace[i].name) == 0)
            return verbs_of_trace[i].run(argc - 1, argv + 1);
    say("trace: %s%sexpected convert, info or record; `quire help trace` explains them",
        argc > 1 ? argv[1] : "", argc > 1 ? ": " : "");
    return EXIT_USAGE;
}

static bool take_options(const char *verb, struct trace_request *request)
{
    uint64_t size = request->page_size;

    if (request->format && !trace_format_find(request->format, &request->options.format)) {
        say("%s: --format: expected %s, got '%s'", verb, trace_formats, request->format);
        return false;
    }
    if (!trace_page_size_fits(size)) {
        say("%s: --page-size: expected a power of two from 1K to 1G, got %llu", verb,
            (unsigned long long)size);
        return false;
    }
    if (request->address_bits > 64) {
        say("%s: --address-bits: expected at most 64, got %llu", verb,
            (unsigned long long)request->address_bits);
        return false;
    }
    if (request->process > INT32_MAX) {
        say("%s: --process: expected the number of a process, got %llu", verb,
            (unsigned long long)request->process);
        return false;
    }
    request->options.process = (uint32_t)request->process;
    request->options.page_bytes = size;
    request->options.address_bits = (unsigned)request->address_bits;
    return true;
}

bool trace_page_size_fits(uint64_t size)
{
    return size == 0 || (size >= 1 << 10 && size <= 1 << 30 && (size & (size - 1)) == 0);
}

/* ------------------------------------------------------------------ convert */

static struct progress progress;

static void show_progress(const struct trace *trace)
{
    progress_show(&progress, trace_progress(trace));
}

static bool copy(const char *from, const char *to, const struct trace_options *options,
                 struct trace_error *error)
{
    struct trace *trace = trace_open(from, options, error);
    struct trace_info known;
    bool good = false;

    if (!trace)
        return false;
    trace_get_info(trace, &known);
    const struct trace_writer_options writing = {.page_bytes = known.page_bytes, .filter = known.filter};
    struct trace_writer *writer = writer_create(to, &writing, error);

    if (writer && writer_copy(writer, trace, show_progress, error)) {
        trace_get_info(trace, &known);
        good = writer_finish(writer, known.unfiltered, error);
    } else {
        writer_abandon(writer);
    }
    trace_close(trace);
    return good;
}

static int convert(int argc, char **argv)
{
    struct trace_request request = {0};
    struct option_spec specs[SPECS];
    struct trace_error error;
    int status = EXIT_USAGE;

    reading_specs(&request, specs);
    if (options_parse_mixed("trace convert", specs, argc, argv, &request.words) &&
        take_options("trace convert", &request)) {
        if (request.words.count != 2) {
            say("trace convert: expected two files, IN and OUT, got %zu", request.words.count);
        } else {
            progress_begin(&progress);
            bool good = copy(request.words.items[0], request.words.items[1], &request.options, &error);

            progress_end(&progress);
            if (good)
                status = 0;
            else
                say("trace convert: %s", error.text);
        }
    }
    strings_free(&request.words);
    return status;
}

/* ------------------------------------------------------------------ info */

struct findings {
    const char *path;
    struct trace_info info;
    uint64_t bytes;
    bool hashed, checked;
    char hash[65];
};

/* Our own format says it at once; other traces are read. */
static bool look(struct trace *trace, bool check, struct findings *found, struct trace_error *error)
{
    struct trace_error no_matter;
    unsigned char hash[32];
    struct stat file;

    trace_get_info(trace, &found->info);
    if (check || found->info.pages == 0) {
        progress_begin(&progress);
        bool good = trace_check(trace, show_progress, error);

        progress_end(&progress);
        if (!good)
            return false;
        trace_get_info(trace, &found->info);
        found->info.pages = trace_pages(trace);
        found->checked = true;
    }
    found->hashed = trace_hash(trace, hash, &no_matter);
    for (size_t i = 0; found->hashed && i < sizeof(hash); i++)
        snprintf(found->hash + 2 * i, 3, "%02x", hash[i]);
    if (stat(found->path, &file) == 0 && S_ISREG(file.st_mode))
        found->bytes = (uint64_t)file.st_size;
    return true;
}

/* Thousands are set apart. */
static const char *grouped(char text[32], uint64_t number)
{
    char plain[24];
    int digits = snprintf(plain, sizeof(plain), "%llu", (unsigned long long)number);
    char *to = text;

    for (int i = 0; i < digits; i++) {
        if (i > 0 && (digits - i) % 3 == 0)
            *to++ = ',';
        *to++ = plain[i];
    }
    *to = '\0';
    return text;
}

static void print_number(const char *name, uint64_t number, const char *words)
{
    char text[32];

    printf("  %-12s %18s%s%s\n", name, grouped(text, number), *words ? "  " : "", words);
}

static void print_found(const struct findings *found)
{
    const struct trace_info *i = &found->info;
    char words[80];

    printf("%s\n  %-12s %18s\n", found->path, "format", trace_format_name(i->format));
    if (found->bytes > 0) {
        snprintf(words, sizeof(words), "%.2f a reference", (double)found->bytes / (double)i->references);
        print_number("bytes", found->bytes, words);
    }
    print_number("page size", i->page_bytes, "");
    print_number("references", i->references, "");
    print_number("writes", i->writes, i->writes ? "of these" : "");
    snprintf(words, sizeof(words), "%.1f MiB", (double)i->pages * (double)i->page_bytes / (1 << 20));
    print_number("pages", i->pages, words);
    if (i->unfiltered > 0) {
        snprintf(words, sizeof(words), "before a filter of %u entries", i->filter);
        print_number("recorded", i->unfiltered, i->filter ? words : "");
    }
    if (found->hashed)
        printf("  %-12s %s\n", "hash", found->hash);
    if (found->checked)
        printf("  %-12s %18s\n", "read", "all of it");
}

static json_t *found_json(const struct findings *found)
{
    const struct trace_info *i = &found->info;

    return json_pack("{s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:s?, s:b}", "trace", found->path,
                     "format", trace_format_name(i->format), "bytes", (json_int_t)found->bytes, "page_size",
                     (json_int_t)i->page_bytes, "references", (json_int_t)i->references, "writes",
                     (json_int_t)i->writes, "pages", (json_int_t)i->pages, "filter", (json_int_t)i->filter,
                     "unfiltered", (json_int_t)i->unfiltered, "hash", found->hashed ? found->hash : NULL,
                     "checked", found->checked);
}

static bool info_one(const char *path, const struct trace_request *request, json_t *list)
{
    struct findings found = {.path = path};
    struct trace_error error;
    struct trace *trace = trace_open(path, &request->options, &error);
    bool good = trace && look(trace, request->check, &found, &error);

    trace_close(trace);
    if (!good)
        say("trace info: %s", error.text);
    else if (request->json)
        json_array_append_new(list, found_json(&found));
    else
        print_found(&found);
    return good;
}

static int info_all(const struct trace_request *request)
{
    json_t *whole = json_pack("{s:[]}", "traces");
    bool good = true;

    for (size_t i = 0; i < request->words.count && good; i++)
        good = info_one(request->words.items[i], request, json_object_get(whole, "traces"));
    if (good && request->json) {
        json_dumpf(whole, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(6));
        putchar('\n');
    }
    json_decref(whole);
    if (good && fflush(stdout) != 0) {
        say("trace info: standard output: %s", strerror(errno));
        return 1;
    }
    return good ? 0 : EXIT_USAGE;
}

static int info(int argc, char **argv)
{
    struct trace_request request = {0};
    struct option_spec specs[SPECS];
    int status = EXIT_USAGE;

    reading_specs(&request, specs);
    size_t count = 0;

    while (specs[count].name)
        count++;
    specs[count++] = (struct option_spec){"--check", OPTION_FLAG, &request.check, NULL, ""};
    specs[count++] = (struct option_spec){"--json", OPTION_FLAG, &request.json, NULL, ""};
    specs[count] = (struct option_spec){0};
    if (options_parse_mixed("trace info", specs, argc, argv, &request.words) &&
        take_options("trace info", &request)) {
        if (request.words.count == 0)
            say("trace info: expected a trace");
        else
            status = info_all(&request);
    }
    strings_free(&request.words);
    return status;
}

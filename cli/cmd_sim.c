/*
 * quire sim: how a trace of page references would be paged, in how much memory, by which policy.
 */
#include <stdio.h>

#include "cli/sim.h"

/* Groups of options, in the order of the help. */
enum { SPECS = 48 };

static void sim_specs(struct sim_request *request, struct option_spec specs[SPECS])
{
    const struct option_spec all[] = {
        {"--policy", OPTION_COMMAS, &request->policy_words, "LIST",
         "policies, or all: lru,clock:load=clear (`quire policies`); default lru"},
        {"--memory", OPTION_COMMAS, &request->memory_words, "LIST", "sizes of memory: 512K,16M,1G"},
        {"--frames", OPTION_COMMAS, &request->frames_words, "LIST", "the same in pages: 3,100"},
        {"--page-size", OPTION_SIZE, &request->page_size, "SIZE",
         "of a page; default 4K, or the trace's own"},
        {"--format", OPTION_TEXT, &request->format, "NAME", "of the traces, if it is not to be guessed"},
        {"--address-bits", OPTION_NUMBER, &request->address_bits, "N",
         "addresses must be below 2^N; default 64"},
        {"--columns", OPTION_TEXT, &request->options.csv_columns, "LIST",
         "of csv: time-col=2,obj-id-col=5,..."},
        {"--tick", OPTION_NUMBER, &request->tick, "N",
         "references in an interval of nru, nfu, aging, ...; default: the frames, at least 1024"},
        {"--ahead", OPTION_NUMBER, &request->ahead, "N",
         "pages that leave together when no frame is free, as with the kernel's cleaner; default 1"},
        {"--seed", OPTION_NUMBER, &request->seed, "N", "of what is random; default 1"},
        {"--costs", OPTION_TEXT, &request->costs_text, "LIST",
         "of the modelled time; default reference=100ns,read=100us,write=100us"},
        {"--curve", OPTION_FLAG, &request->curve, NULL,
         "the miss ratio at every size: exact for lru and opt, by sampling for others"},
        {"--sample", OPTION_TEXT, &request->sample, "PART",
         "the smallest part of the pages that is sampled: 1/8; default: about 4096 pages"},
        {"--seeds", OPTION_NUMBER, &request->seeds, "N",
         "samples, from which the error is estimated; default 5"},
        {"--working-set", OPTION_FLAG, &request->working_set, NULL,
         "W(t, tau), its mean, and the memory that keeps faults under --fault-rate"},
        {"--tau", OPTION_COMMAS, &request->tau_words, "LIST",
         "windows in references, at most 8; default 1000,10000,100000,1000000"},
        {"--fault-rate", OPTION_TEXT, &request->fault_rate, "RATE",
         "faults a reference, as 0.001 or 0.1%; default 0.001"},
        {"--svg", OPTION_TEXT, &request->svg, "FILE", "write the picture there"},
        {"--jobs", OPTION_NUMBER, &request->threads, "N", "threads; default: one a processor"},
        {"--db", OPTION_TEXT, &request->database, "FILE",
         "where results are kept, or none; default ~/.cache/quire/results.sqlite"},
        SIM_MIX_SPECS(request),
        {"--json", OPTION_FLAG, &request->json, NULL, "one JSON object"},
        {"--csv", OPTION_FLAG, &request->csv, NULL, "comma-separated values"},
        {0}};

    _Static_assert(sizeof(all) <= SPECS * sizeof(specs[0]), "more options than there is room for");
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
        specs[i] = all[i];
}

void cmd_sim_help(void)
{
    struct sim_request request = {0};
    struct option_spec specs[SPECS];

    sim_specs(&request, specs);
    printf("usage: quire sim TRACE... --policy LIST --memory LIST [OPTION...]\n"
           "\n"
           "Counts the faults and write-backs of each policy in each size of memory. TRACE is a file of\n"
           "page references, or - for standard input: text (page numbers in white space, w behind a\n"
           "write), raw 64-bit page numbers, valgrind's lackey, libCacheSim's formats, or our own, which\n"
           "is by far the quickest (`quire trace convert`).\n"
           "\n");
    options_print(specs);
    printf("\n"
           "  quire sim cc1.qtrace --policy all --memory 1M,4M,16M\n"
           "  quire sim cc1.qtrace --curve --policy lru,opt,clock --svg curve.svg\n"
           "  echo 1 2 3 4 1 2 5 1 2 3 4 5 | quire sim - --policy fifo --frames 3,4\n");
}

int cmd_sim(int argc, char **argv)
{
    struct sim_request request = {.seed = 1, .seeds = 5, .mix = SIM_MIX_STANDARD};
    struct option_spec specs[SPECS];
    int status = EXIT_USAGE;

    sim_specs(&request, specs);
    if (options_parse_mixed("sim", specs, argc, argv, &request.words) && sim_request_check(&request))
        status = request.mix.mix       ? sim_mix(&request)
                 : request.mix.replay  ? sim_replay(&request)
                 : request.full.tlb    ? sim_full(&request)
                 : request.working_set ? sim_working_set(&request)
                 : request.curve       ? sim_curve(&request)
                                       : sim_table(&request);
    sim_request_free(&request);
    return status;
}

/*
 * What `quire sim --mix` and `quire sim --tlb` were asked for besides (cli/sim.h).
 */
#ifndef CLI_SIM_MIX_H
#define CLI_SIM_MIX_H

#include <jansson.h>

#include "cli/options.h"

struct sim_mix_request {
    bool mix, replay, load_control;
    const char *scope, *allocation;
    struct strings classes;
    uint64_t quantum, window, turn;
    uint64_t low, known; /* with --replay: pages */
};

struct sim_full_request {
    const char *tlb;
    bool huge_pages;
};

/* Their lines of the table of options; the standard values are set. */
#define SIM_MIX_SPECS(request)                                                                               \
    {"--mix", OPTION_FLAG, &(request)->mix.mix, NULL, "the traces are processes that share the memory"},     \
        {"--replay", OPTION_FLAG, &(request)->mix.replay, NULL, "page recordings as the kernel does"},       \
        {"--low", OPTION_NUMBER, &(request)->mix.low, "N",                                                   \
         "with it: frames that are free when the cleaner begins; default 0"},                                \
        {"--known", OPTION_NUMBER, &(request)->mix.known, "N",                                               \
         "with it: pages when policies learn of them; default 7/8 of the frames"},                           \
        {"--quantum", OPTION_NUMBER, &(request)->mix.quantum, "N", "references in a turn; default 10000"},   \
        {"--scope", OPTION_TEXT, &(request)->mix.scope, "SCOPE",                                             \
         "whose pages may go: global (everybody's, the default) or local"},                                  \
        {"--allocation", OPTION_TEXT, &(request)->mix.allocation, "RULE",                                    \
         "local scope: equal (default), proportional, or pff:low=N,high=N,window=N"},                        \
        {"--class", OPTION_LIST, &(request)->mix.classes, "NAME=CLASS",                                      \
         "a process's: vvip:16M (guaranteed), vip:16M (protected), ordinary"},                               \
        {"--load-control", OPTION_FLAG, &(request)->mix.load_control, NULL,                                  \
         "swap processes out while the working sets do not fit"},                                            \
        {"--window", OPTION_NUMBER, &(request)->mix.window, "N",                                             \
         "references over which they are measured; default 100000"},                                         \
        {"--turn", OPTION_NUMBER, &(request)->mix.turn, "N",                                                 \
         "after so many references one that waits comes in; 0: when it fits; default 2000000"},              \
        {"--tlb", OPTION_TEXT, &(request)->full.tlb, "SHAPE",                                                \
         "run on the core and a software MMU: entries=64,ways=4,..., or skylake"},                           \
    {                                                                                                        \
        "--huge-pages", OPTION_FLAG, &(request)->full.huge_pages, NULL, "with --tlb: pages of 2 MiB"         \
    }

#define SIM_MIX_STANDARD                                                                                     \
    {                                                                                                        \
        .quantum = 10000, .window = 100000, .turn = 2000000                                                  \
    }

struct sim_request;

/* Is what was asked for possible together? False: a message has been printed. */
bool sim_mix_check(const struct sim_request *request);
/* Their paths, with a plus between them: what stands for "trace" where there are several. */
json_t *sim_mix_traces(const struct sim_request *request);
int sim_mix(const struct sim_request *request);
/* The same for --replay. */
bool sim_replay_check(const struct sim_request *request);
int sim_replay(const struct sim_request *request);
int sim_full(const struct sim_request *request);

#endif

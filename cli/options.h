/*
 * Options of a verb, described in a table.
 *
 * `--name value` and `--name=value` mean the same; `--` or the first word that is no option ends them.
 */
#ifndef CLI_OPTIONS_H
#define CLI_OPTIONS_H

#include "cli/cli.h"

enum option_kind {
    OPTION_FLAG,    /* bool */
    OPTION_TEXT,    /* const char * */
    OPTION_SIZE,    /* uint64_t, bytes; K, M, G */
    OPTION_NUMBER,  /* uint64_t */
    OPTION_SECONDS, /* int64_t, milliseconds; decimals */
    OPTION_LIST,    /* struct strings, one more each time */
    OPTION_COMMAS   /* the same, and a comma parts several */
};

struct option_spec {
    const char *name; /* with the dashes */
    enum option_kind kind;
    void *value;
    const char *argument; /* how the help names the value, NULL for a flag */
    const char *help;
};

/* The index of the first word behind the options, or -1 when a message has been printed. */
int options_parse(const char *verb, const struct option_spec *specs, int argc, char **argv);
/* The same for a verb whose words may stand between its options; they are added to `words`. False: a message
 * has been printed. */
bool options_parse_mixed(const char *verb, const struct option_spec *specs, int argc, char **argv,
                         struct strings *words);
void options_print(const struct option_spec *specs);

/* Number with K, M or G (powers of 1024); false: not one. */
bool parse_size(const char *text, uint64_t *bytes);
/* Decimal digits, nothing else; false: not so, or too large. */
bool parse_number(const char *text, uint64_t *number);

#endif

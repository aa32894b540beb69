/*
 * Which pages go and whose: the options --policy, --scope, --allocation, --class, --load-control and
 * --read-ahead, with the same words wherever they are taken.
 */
#ifndef CLI_PAGING_OPTIONS_H
#define CLI_PAGING_OPTIONS_H

#include "cli/cli.h"
#include "quire/policy.h"
#include "quire/scope.h"

struct paging_options {
    const char *policy, *scope, *allocation; /* as given; NULL: not */
    struct strings classes;
    bool load_control;
    uint64_t read_ahead; /* pages; PAGING_NOT_GIVEN */
};
#define PAGING_NOT_GIVEN UINT64_MAX

/* All for a machine with so much memory. False: a message has been printed, after the verb's name. */
bool paging_check(const char *verb, const struct paging_options *options, uint64_t memory_bytes,
                  bool has_swap);
/* As words of a kernel's command line, with a space before each. The caller frees it. */
char *paging_words(const struct paging_options *options);

/* Single ones. Either text may be NULL: global scope; equal parts. False as above. */
bool paging_check_scope(const char *verb, const char *scope, const char *allocation,
                        struct scope_config *config);
/* Says what policy_parse() found wrong with `text`. `type`: what it found of it, NULL: nothing. `more`: what
 * is also a name here, such as ", all". */
void paging_say_policy(const char *verb, const char *text, const struct policy_type *type,
                       const struct policy_error *error, const char *more);

#endif

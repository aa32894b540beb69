/*
 * Options of paging. See paging_options.h.
 */
#include "kernel/mm/paging_options.h"

#include "kernel/boot/boot.h"
#include "kernel/klib.h"
#include "kernel/task/task.h"
#include "quire/swap.h"

enum {
    WORD_BYTES = 640, /* more than all of them together have */
    TURN_MICROSECONDS =
        250000 /* of work: some ten times what it takes to swap a program of 10 MB out and in */
};

/* Also used for classes later, one at a time. */
static char word[WORD_BYTES];

/* How many class= there are: every exec asks for them, and mostly there is none to look for. */
static unsigned classes;

static const struct policy_type *read_policy(struct policy_config *config)
{
    const struct policy_type *type;
    struct policy_error error;

    if (!boot_option("policy", word, sizeof word))
        return NULL;
    if (policy_parse(word, &type, config, &error) != ST_OK)
        boot_give_up("policy=%s: expected %s", word, error.expected);
    return type;
}

static void read_scope(struct scope_config *config)
{
    struct scope_error error;

    *config = (struct scope_config){.kind = SCOPE_GLOBAL, .turn = TURN_MICROSECONDS};
    if (!boot_option("scope", word, sizeof word))
        return;
    if (scope_parse_kind(word, &config->kind, &error) != ST_OK)
        boot_give_up("scope=%s: expected %s", word, error.expected);
    if (!boot_option("allocation", word, sizeof word))
        strlcpy(word, scope_rule_names[SCOPE_EQUAL], sizeof word);
    if (scope_parse_rule(word, config, &error) != ST_OK)
        boot_give_up("allocation=%s: expected %s", word, error.expected);
}

static void check_classes(void)
{
    struct scope_class_word parsed;

    for (classes = 0; boot_option_nth("class", classes, word, sizeof word); classes++)
        if (scope_parse_class(word, &parsed) != ST_OK)
            boot_give_up("class=%s: expected PROGRAM=vvip:SIZE, PROGRAM=vip:SIZE or PROGRAM=ordinary", word);
}

void paging_options_init(void)
{
    struct policy_config config = {0};
    const struct policy_type *type = read_policy(&config);
    struct scope_config scope;
    enum status status;

    read_scope(&scope);
    status = reclaim_configure(type, type != NULL ? &config : NULL, &scope);

    if (status != ST_OK)
        boot_give_up("policy=%s cannot be used here: %s", type != NULL ? type->name : "",
                     status_name(status));
    check_classes();
    if (boot_option("load-control", NULL, 0))
        reclaim_control_load();
    if (boot_option("read-ahead", NULL, 0))
        swap_set_read_ahead((unsigned)boot_option_number("read-ahead", 1));
}

bool paging_class_of(const char *program, enum scope_class *class, uint64_t *minimum_frames)
{
    struct scope_class_word parsed;
    const char *slash = classes != 0 ? strrchr(program, '/') : NULL;
    const char *name = slash != NULL ? slash + 1 : program;

    for (unsigned n = 0; n < classes && boot_option_nth("class", n, word, sizeof word); n++) {
        if (scope_parse_class(word, &parsed) != ST_OK || strlen(name) != parsed.name_length ||
            memcmp(word, name, parsed.name_length) != 0)
            continue;
        *class = parsed.class;
        *minimum_frames = (parsed.bytes + PAGE_MASK) >> PAGE_SHIFT;
        return true;
    }
    return false;
}

/* ---------------------------------------------------------------- threads */

static _Noreturn void cleaner(void *context)
{
    (void)context;
    for (;;)
        reclaim_background();
}

void paging_threads_start(void)
{
    if (kthread_create("cleaner", cleaner, NULL) == NULL)
        boot_give_up("too little memory for the cleaner's thread: %lu KiB are free",
                     frames_free() << PAGE_SHIFT >> 10);
}

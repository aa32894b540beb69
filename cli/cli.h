/*
 * What the verbs of `quire` share: exit statuses, messages, the table of verbs.
 */
#ifndef CLI_H
#define CLI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Exit statuses of quire itself; those of timeout(1), env(1) and the shells. Any other is the program's. */
enum {
    EXIT_USAGE = 2,          /* an option or a file that was given is not right */
    EXIT_TIMEOUT = 124,      /* --timeout has passed */
    EXIT_MACHINE = 125,      /* the machine failed: a kernel panic, or QEMU could not go on */
    EXIT_NOT_RUNNABLE = 126, /* the program was found and cannot be run */
    EXIT_NOT_FOUND = 127,    /* there is no such program */
    EXIT_SIGNAL = 128        /* plus the number of the signal that ended it */
};

struct verb {
    const char *name;
    const char *summary;
    int (*run)(int argc, char **argv); /* argv[0] is the verb */
    void (*help)(void);
};
extern const struct verb verbs[];
extern const size_t verb_count;
const struct verb *verb_find(const char *name);

int cmd_boot(int argc, char **argv);
void cmd_boot_help(void);
int cmd_dump(int argc, char **argv);
void cmd_dump_help(void);
int cmd_policies(int argc, char **argv);
void cmd_policies_help(void);
int cmd_help(int argc, char **argv);
void cmd_help_help(void);
int cmd_pagesize(int argc, char **argv);
void cmd_pagesize_help(void);
int cmd_run(int argc, char **argv);
void cmd_run_help(void);
int cmd_top(int argc, char **argv);
void cmd_top_help(void);
int cmd_sim(int argc, char **argv);
void cmd_sim_help(void);
int cmd_trace(int argc, char **argv);
void cmd_trace_help(void);

/* "quire: " and the message on standard error, as one line. */
void say(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* While the terminal is raw a line ends in CR LF; the terminal's code sets this. */
void say_raw_lines(bool raw);

/* Memory that is there: these end the command when there is none. */
void *must_alloc(size_t bytes);
void *must_realloc(void *old, size_t bytes);
char *must_copy(const char *text);
char *must_format(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* A growing list of strings, NULL at its end. */
struct strings {
    char **items;
    size_t count, size;
};
void strings_add(struct strings *list, char *item); /* takes the string over */
void strings_free(struct strings *list);

/* Milliseconds of a clock that only goes forward. */
int64_t now_ms(void);

#endif

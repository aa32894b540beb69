/*
 * quire help: what the verbs are, and what one does.
 */
#include <stdio.h>

#include "cli/cli.h"

void cmd_help_help(void)
{
    printf("usage: quire help [VERB]\n\nPrints what VERB does and its options.\n");
}

int cmd_help(int argc, char **argv)
{
    if (argc > 1) {
        const struct verb *verb = verb_find(argv[1]);

        if (!verb) {
            say("help: %s: no such verb; `quire help` lists them", argv[1]);
            return EXIT_USAGE;
        }
        verb->help();
        return 0;
    }
    printf("usage: quire VERB [OPTION...] [ARGUMENT...]\n"
           "       quire --version\n"
           "\n"
           "A virtual-memory system: a kernel that runs Linux programs in as little memory as\n"
           "you give it, and shows how they are paged.\n"
           "\n");
    for (size_t i = 0; i < verb_count; i++) {
        printf("  %-8s %s\n", verbs[i].name, verbs[i].summary);
    }
    printf("\n"
           "  quire boot                              an interactive shell\n"
           "  quire boot --share . -- ls -l /share    a program, with this folder at /share\n"
           "  quire help boot                         all options\n");
    return 0;
}

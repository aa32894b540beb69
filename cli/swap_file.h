/*
 * Where `quire boot` keeps the pages that a machine swaps out: --swap SIZE[:FILE] and --swap-compress.
 */
#ifndef CLI_SWAP_FILE_H
#define CLI_SWAP_FILE_H

#include "cli/cli.h"

struct swap_options {
    const char *disk;     /* --swap, as given; NULL: none */
    const char *compress; /* --swap-compress, as given; NULL: none */

    /* What swap_file_check() makes of them. */
    uint64_t bytes;          /* of the disk; 0: none */
    const char *file;        /* NULL: a temporary one */
    uint64_t compress_bytes; /* that compressed pages may take of the machine's memory; 0: none */
    uint64_t ram_bytes;      /* of the machine's memory, that pages are kept in as they are; 0: none */
};

/* False: a message has been printed. */
bool swap_file_check(struct swap_options *options, uint64_t memory_bytes);

/* The disk's file, open and of the right size, which no other machine has; -1 when a message has been
 * printed. As long as the descriptor, or a copy of it, is open the file stays ours; a temporary one then
 * goes. */
int swap_file_open(const struct swap_options *options);

#endif

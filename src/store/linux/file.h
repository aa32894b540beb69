/*
 * A file as a store, under Linux. Its last page may be shorter than others: what is behind the end of the
 * file reads as zeroes and is not written.
 */
#ifndef QUIRE_STORE_FILE_H
#define QUIRE_STORE_FILE_H

#include "quire/store.h"

enum store_file_mode {
    STORE_FILE_OPEN,      /* there is one; made longer if need be */
    STORE_FILE_CREATE,    /* there is none */
    STORE_FILE_READ_ONLY, /* there is one, and writes end in ST_DENIED */
    STORE_FILE_NAMELESS   /* `path` is a folder */
};

/* `bytes`: how long it is to be at least; 0: as it is. ST_DENIED: somebody else has it locked; ST_INVALID:
 * not a regular file, or empty; ST_NO_SPACE; ST_IO_ERROR. *why: in words, with errno where that says more. */
MUST_USE enum status store_file(const char *path, enum store_file_mode mode, uint64_t bytes,
                                struct store **store, const char **why);

#endif

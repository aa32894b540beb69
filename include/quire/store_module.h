/*
 * Store modules: kinds of stores in shared libraries of their own, which are loaded when quire_store_open()
 * is given a name that needs them. So a program pays for a library (libnbd, hiredis, libzstd) only when it
 * uses it, and a store of your own needs no change of Quire: "module:/path/to/it.so:REST".
 *
 * A module defines one object, `quire_store_module`. It is loaded once and stays.
 */
#ifndef QUIRE_STORE_MODULE_H
#define QUIRE_STORE_MODULE_H

#include "quire/store.h"
#include "quire/store_compressed.h"

enum { QUIRE_STORE_MODULE_VERSION = 1 };

/* What quire_store_open() was asked for. */
struct store_opening {
    const char *name; /* as the user wrote it; of "module:PATH:REST", the REST */
    uint64_t bytes;   /* how long it must be at least; 0: as long as it is */
    char *why;        /* in words for the user, when it fails */
    size_t why_bytes;
};

struct quire_store_module {
    uint32_t version; /* QUIRE_STORE_MODULE_VERSION as it was when the module was compiled */
    const char *name;
    /* A store, or a status and the reason. NULL when the module has none. */
    enum status (*open)(const struct store_opening *opening, struct store **store);
    /* A way to make pages small, for "NAME:256M". NULL when the module has none. */
    const struct store_packer *(*packer)(void);
};

extern const struct quire_store_module quire_store_module;

#endif

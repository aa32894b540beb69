/*
 * Stores by their names, as on a command line: quire_store_open(). docs/RUNTIME.md lists the names.
 *
 *      KIND:REST            file, swap and lz4 are here; any other KIND is the module quire-store-KIND.so,
 * which gets the whole name, or when it is a packer, is for compressed memory ("zstd:256M") module:PATH:REST
 * the shared library PATH, which gets REST
 *
 * Modules are sought in the folder $QUIRE_MODULES, else in that of the code that runs here and in its folders
 * `quire` and `runtime`, then where they are installed. One that was loaded stays.
 */
#include "pager.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "quire/store_module.h"
#include "store/linux/compressed_memory.h"
#include "store/lz4.h"

#ifndef QUIRE_MODULE_FOLDER
#define QUIRE_MODULE_FOLDER "/usr/local/lib/quire"
#endif

enum { MOST_DEPTH = 4 /* of stores behind stores */, MOST_PATH = 512, MOST_KIND = 16 };

struct asked {
    const char *name; /* KIND:REST */
    const char *rest;
    uint64_t bytes;
    unsigned depth;
    struct quire_error *error;
};

static enum status open_named(const struct asked *asked, struct store **store);

/* ------------------------------------------------------------------ modules */

static const struct quire_store_module *module_in(void *library, const char *path, struct quire_error *error)
{
    const struct quire_store_module *module = dlsym(library, "quire_store_module");

    if (!module)
        error_say(error, "%s: it has no object 'quire_store_module', so it is no store", path);
    else if (module->version != QUIRE_STORE_MODULE_VERSION)
        error_say(error, "%s: made for version %u of store modules; expected %u", path, module->version,
                  QUIRE_STORE_MODULE_VERSION);
    else
        return module;
    return NULL;
}

/* The folder of the library, or the program, that this is a part of; "" when it is not known. */
static void own_folder(char *folder)
{
    static const char here;
    Dl_info info = {0};
    ssize_t length;
    char *end;

    folder[0] = '\0';
    if (dladdr(&here, &info) && info.dli_fname && strchr(info.dli_fname, '/'))
        snprintf(folder, MOST_PATH, "%s", info.dli_fname);
    else if ((length = readlink("/proc/self/exe", folder, MOST_PATH - 1)) >= 0)
        folder[length] = '\0';
    if ((end = strrchr(folder, '/')))
        *end = '\0';
}

static void *load(const char *folder, const char *within, const char *kind)
{
    char path[MOST_PATH + 64];

    snprintf(path, sizeof(path), "%s%s/quire-store-%s.so", folder, within, kind);
    /* A file that is there and cannot be loaded is told of by dlerror(). */
    return access(path, F_OK) == 0 ? dlopen(path, RTLD_NOW | RTLD_LOCAL) : NULL;
}

static void *find_library(const char *kind)
{
    const char *asked = getenv("QUIRE_MODULES");
    char own[MOST_PATH];
    void *library;

    (void)dlerror();
    if (asked)
        return load(asked, "", kind);
    own_folder(own);
    if ((library = load(own, "", kind)) || (library = load(own, "/quire", kind)) ||
        (library = load(own, "/runtime", kind)))
        return library;
    return load(QUIRE_MODULE_FOLDER, "", kind);
}

static const struct quire_store_module *find_module(const char *kind, struct quire_error *error)
{
    void *library = find_library(kind);
    const char *why = library ? NULL : dlerror();

    if (library)
        return module_in(library, kind, error);
    error_say(error, "there is no kind of stores '%s' (%s%s)", kind,
              why ? "" : "expected file, swap, lz4, zstd, nbd, redis, module, or one in $QUIRE_MODULES",
              why ? why : "");
    return NULL;
}

static enum status open_in_module(const struct quire_store_module *module, const char *name, uint64_t bytes,
                                  struct store **store, struct quire_error *error)
{
    char why[200] = "it cannot be opened";
    struct store_opening opening = {.name = name, .bytes = bytes, .why = why, .why_bytes = sizeof(why)};
    enum status status = module->open(&opening, store);

    if (status != ST_OK)
        error_say(error, "%s: %s", name, why);
    return status;
}

/* PATH:REST */
static enum status open_users_own(const struct asked *asked, struct store **store)
{
    const struct quire_store_module *module;
    const char *end = strchr(asked->rest, ':');
    char path[MOST_PATH];
    void *library;

    if (!end || (size_t)(end - asked->rest) >= sizeof(path)) {
        error_say(asked->error, "%s: expected module:PATH:REST", asked->name);
        return ST_INVALID;
    }
    snprintf(path, sizeof(path), "%.*s", (int)(end - asked->rest), asked->rest);
    library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!library) {
        error_say(asked->error, "%s", dlerror());
        return ST_UNSUPPORTED;
    }
    module = module_in(library, path, asked->error);
    if (!module || !module->open)
        return ST_UNSUPPORTED;
    return open_in_module(module, end + 1, asked->bytes, store, asked->error);
}

/* ------------------------------------------------------------------ compressed memory */

/* "256M", up to `end`. 0: that is no size. */
static uint64_t size_of(const char *text, const char *end)
{
    static const char units[] = "KMGT";
    char *after;
    uint64_t size = strtoull(text, &after, 10);
    const char *unit = after < end && *after ? strchr(units, *after) : NULL;
    unsigned shift = unit ? 10 * (unsigned)(unit - units + 1) : 0;

    return after != text && *text != '-' && after + (unit != NULL) == end && size >> (63 - shift) == 0
               ? size << shift
               : 0;
}

/* MEMORY[+NAME] */
static enum status open_compressed(const struct asked *asked, const struct store_packer *packer,
                                   struct store **store)
{
    const char *plus = strchr(asked->rest, '+');
    const char *end = plus ? plus : asked->rest + strlen(asked->rest);
    uint64_t memory_pages = size_of(asked->rest, end) / PAGE_SIZE;
    struct compressed_memory_config config = {.packer = packer,
                                              .pages =
                                                  asked->bytes / PAGE_SIZE + (asked->bytes % PAGE_SIZE != 0),
                                              .memory_pages = (uint32_t)memory_pages,
                                              .closes_behind = true};
    enum status status = ST_OK;

    if (memory_pages == 0 || memory_pages > UINT32_MAX || asked->bytes == 0) {
        error_say(asked->error, "%s: expected %s:MEMORY or %s:MEMORY+STORE, MEMORY as 256M, and a length",
                  asked->name, packer->name, packer->name);
        return ST_INVALID;
    }
    if (plus)
        status = open_named(
            &(struct asked){
                .name = plus + 1, .bytes = asked->bytes, .depth = asked->depth + 1, .error = asked->error},
            &config.behind);
    if (status != ST_OK)
        return status;
    status = store_compressed_memory(&config, store);
    if (status != ST_OK) {
        error_say(asked->error, "%s: %s", asked->name, status_name(status));
        if (config.behind)
            store_close(config.behind);
    }
    return status;
}

/* ------------------------------------------------------------------ files */

static bool take_suffix(char *path, const char *suffix)
{
    size_t length = strlen(path), end = strlen(suffix);

    if (length <= end || strcmp(path + length - end, suffix) != 0)
        return false;
    path[length - end] = '\0';
    return true;
}

/* PATH[?create|?read-only]; made when there is none, and a length is given. */
static enum status open_file(const struct asked *asked, struct store **store)
{
    enum quire_file_mode mode = QUIRE_FILE_OPEN;
    char path[MOST_PATH];

    if ((size_t)snprintf(path, sizeof(path), "%s", asked->rest) >= sizeof(path) || !*asked->rest) {
        error_say(asked->error, "%s: expected file:PATH", asked->name);
        return ST_INVALID;
    }
    if (take_suffix(path, "?create"))
        mode = QUIRE_FILE_CREATE;
    else if (take_suffix(path, "?read-only"))
        mode = QUIRE_FILE_READ_ONLY;
    else if (asked->bytes > 0 && access(path, F_OK) != 0)
        mode = QUIRE_FILE_CREATE;
    return quire_file(path, mode, asked->bytes, store, asked->error);
}

/* ------------------------------------------------------------------ names */

static enum status open_by_module(const struct asked *asked, const char *kind, struct store **store)
{
    const struct quire_store_module *module = find_module(kind, asked->error);

    if (!module)
        return ST_UNSUPPORTED;
    if (module->packer)
        return open_compressed(asked, module->packer(), store);
    return open_in_module(module, asked->name, asked->bytes, store, asked->error);
}

/* "nbd" of "nbds+unix://": what is before '+'; the s of TLS is no other kind. */
static bool kind_of(const char *name, char kind[MOST_KIND])
{
    size_t length = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-");

    if (length == 0 || length >= MOST_KIND || (name[length] != ':' && name[length] != '+') ||
        !strchr(name, ':'))
        return false;
    memcpy(kind, name, length);
    kind[length] = '\0';
    if (strcmp(kind, "nbds") == 0)
        kind[3] = '\0';
    return true;
}

static enum status open_named(const struct asked *given, struct store **store)
{
    struct asked asked = *given;
    char kind[MOST_KIND];

    if (!kind_of(asked.name, kind) || asked.depth > MOST_DEPTH) {
        error_say(asked.error,
                  "store '%s': expected KIND:…, as in file:/path, swap:/folder, lz4:256M, zstd:256M, "
                  "nbd://host/export, redis://host/name, module:/path.so:…",
                  asked.name);
        return ST_INVALID;
    }
    asked.rest = strchr(asked.name, ':') + 1;
    if (strcmp(kind, "file") == 0)
        return open_file(&asked, store);
    if (strcmp(kind, "swap") == 0 && asked.bytes > 0)
        return quire_swap(asked.rest, asked.bytes, store, asked.error);
    if (strcmp(kind, "swap") == 0) {
        error_say(asked.error, "%s: expected a length", asked.name);
        return ST_INVALID;
    }
    if (strcmp(kind, "lz4") == 0)
        return open_compressed(&asked, &store_lz4, store);
    if (strcmp(kind, "module") == 0)
        return open_users_own(&asked, store);
    return open_by_module(&asked, kind, store);
}

enum status quire_store_open(const char *name, uint64_t bytes, struct store **store,
                             struct quire_error *error)
{
    return open_named(&(struct asked){.name = name, .bytes = bytes, .error = error}, store);
}

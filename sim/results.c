/*
 * Results in SQLite: sim/results.h.
 *
 * One table, result, without a row twice. 64-bit numbers without a sign are kept as SQLite's signed ones of
 * the same bits. The file says which layout it has (PRAGMA user_version); one of another layout is left
 * alone.
 */
#include "sim/results.h"

#include <errno.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "sim/policy_version.h"

enum { LAYOUT_BEFORE = 1, LAYOUT, BUSY_MS = 10000 };

#define KEY_COLUMNS "trace, policy, frames, seed, tick, ahead, version"
#define VALUE_COLUMNS "pages, reference_count, write_count, faults, evictions, write_backs, counters"

static const char make_table[] = "CREATE TABLE IF NOT EXISTS result ("
                                 "trace BLOB NOT NULL, policy TEXT NOT NULL, frames INTEGER NOT NULL,"
                                 "seed INTEGER NOT NULL, tick INTEGER NOT NULL, ahead INTEGER NOT NULL,"
                                 "version TEXT NOT NULL,"
                                 "pages INTEGER NOT NULL, reference_count INTEGER NOT NULL,"
                                 "write_count INTEGER NOT NULL, faults INTEGER NOT NULL,"
                                 "evictions INTEGER NOT NULL, write_backs INTEGER NOT NULL,"
                                 "counters TEXT NOT NULL, trace_name TEXT NOT NULL,"
                                 "made TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP,"
                                 "PRIMARY KEY (" KEY_COLUMNS ")) WITHOUT ROWID;"
                                 "PRAGMA user_version = 2;";
static const char find_row[] = "SELECT " VALUE_COLUMNS " FROM result WHERE trace = ? AND policy = ? AND"
                               " frames = ? AND seed = ? AND tick = ? AND ahead = ? AND version = ?";
static const char store_row[] = "INSERT OR REPLACE INTO result (" KEY_COLUMNS ", " VALUE_COLUMNS
                                ", trace_name) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
enum { KEY_COUNT = 7, VALUE_COUNT = 7, COUNTERS_COLUMN = 6, COUNTERS_TEXT = 1024 };

/* Names of counters that came from the file. */
struct name {
    struct name *next;
    char text[];
};

struct results {
    sqlite3 *file;
    sqlite3_stmt *find, *store;
    struct name *names;
    char *path;
};

static bool results_fail(const struct results *results, struct trace_error *error)
{
    snprintf(error->text, sizeof(error->text), "%s: %s", results->path, sqlite3_errmsg(results->file));
    return false;
}

static bool execute(struct results *results, const char *sql, struct trace_error *error)
{
    return sqlite3_exec(results->file, sql, NULL, NULL, NULL) == SQLITE_OK || results_fail(results, error);
}

char *results_standard_path(void)
{
    const char *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    char *path = NULL;
    int length = -1;

    if (cache && cache[0] == '/') /* the specification: others are to be ignored */
        length = asprintf(&path, "%s/quire/results.sqlite", cache);
    else if (home && home[0] == '/')
        length = asprintf(&path, "%s/.cache/quire/results.sqlite", home);
    return length < 0 ? NULL : path;
}

/* Those above the file. What cannot be made is found out when the file is opened. */
static void make_folders(const char *path)
{
    char folder[4096];

    for (size_t i = 1; path[i] && i < sizeof(folder); i++)
        if (path[i] == '/') {
            memcpy(folder, path, i);
            folder[i] = '\0';
            mkdir(folder, 0777);
        }
}

static bool layout_of(struct results *results, int *layout, struct trace_error *error)
{
    sqlite3_stmt *statement;
    bool done = sqlite3_prepare_v2(results->file, "PRAGMA user_version", -1, &statement, NULL) == SQLITE_OK &&
                sqlite3_step(statement) == SQLITE_ROW;

    *layout = done ? sqlite3_column_int(statement, 0) : -1;
    sqlite3_finalize(statement);
    return done || results_fail(results, error);
}

static bool results_prepare(struct results *results, struct trace_error *error)
{
    int layout;

    sqlite3_busy_timeout(results->file, BUSY_MS);
    if (!layout_of(results, &layout, error))
        return false;
    if (layout == LAYOUT_BEFORE) {
        /* It knew less of what a result depends on. */
        if (!execute(results, "DROP TABLE result", error))
            return false;
        layout = 0;
    }
    if (layout != 0 && layout != LAYOUT) {
        snprintf(error->text, sizeof(error->text),
                 "%s: its layout of results has number %d, expected %d; choose another file with --db",
                 results->path, layout, LAYOUT);
        return false;
    }
    if (layout == 0 && !execute(results, make_table, error))
        return false;
    return (sqlite3_prepare_v2(results->file, find_row, -1, &results->find, NULL) == SQLITE_OK &&
            sqlite3_prepare_v2(results->file, store_row, -1, &results->store, NULL) == SQLITE_OK) ||
           results_fail(results, error);
}

struct results *results_open(const char *path, struct trace_error *error)
{
    struct results *results = calloc(1, sizeof(*results));

    snprintf(error->text, sizeof(error->text), "%s: out of memory", path);
    if (!results)
        return NULL;
    results->path = strdup(path);
    if (!results->path) {
        free(results);
        return NULL;
    }
    make_folders(path);
    if (sqlite3_open_v2(path, &results->file,
                        SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX,
                        NULL) == SQLITE_OK) {
        if (results_prepare(results, error))
            return results;
    } else {
        results_fail(results, error);
    }
    results_close(results);
    return NULL;
}

void results_close(struct results *results)
{
    if (!results)
        return;
    sqlite3_finalize(results->find);
    sqlite3_finalize(results->store);
    sqlite3_close(results->file);
    while (results->names) {
        struct name *name = results->names;

        results->names = name->next;
        free(name);
    }
    free(results->path);
    free(results);
}

static void bind_key(sqlite3_stmt *statement, const struct results_key *key)
{
    sqlite3_reset(statement);
    sqlite3_bind_blob(statement, 1, key->trace, sizeof(key->trace), SQLITE_TRANSIENT);
    sqlite3_bind_text(statement, 2, key->policy, -1, SQLITE_TRANSIENT);
    sqlite3_bind_int64(statement, 3, key->frames);
    sqlite3_bind_int64(statement, 4, (sqlite3_int64)key->seed);
    sqlite3_bind_int64(statement, 5, (sqlite3_int64)key->tick);
    sqlite3_bind_int64(statement, 6, (sqlite3_int64)key->ahead);
    sqlite3_bind_text(statement, 7, POLICY_VERSION, -1, SQLITE_STATIC);
}

/* The name, from now on the results'. NULL: no memory. */
static const char *name_keep(struct results *results, const char *text, size_t length)
{
    struct name *name = results->names;

    for (; name; name = name->next)
        if (strlen(name->text) == length && memcmp(name->text, text, length) == 0)
            return name->text;
    name = malloc(sizeof(*name) + length + 1);
    if (!name)
        return NULL;
    memcpy(name->text, text, length);
    name->text[length] = '\0';
    name->next = results->names;
    results->names = name;
    return name->text;
}

/* "name=value name=value" */
static void counters_read(struct results *results, const char *text, struct results_value *value)
{
    while (text && *text && value->counter_count < ENGINE_COUNTERS) {
        size_t length = strcspn(text, "=");
        const char *name = name_keep(results, text, length);
        char *end;

        if (!name || !text[length])
            return;
        value->counters[value->counter_count++] =
            (struct policy_counter){name, strtoull(text + length + 1, &end, 10)};
        text = *end == ' ' ? end + 1 : NULL;
    }
}

static void counters_write(const struct results_value *value, char text[COUNTERS_TEXT])
{
    size_t at = 0;

    text[0] = '\0';
    for (size_t i = 0; i < value->counter_count && at < COUNTERS_TEXT; i++)
        at += (size_t)snprintf(text + at, COUNTERS_TEXT - at, "%s%s=%llu", i ? " " : "",
                               value->counters[i].name, (unsigned long long)value->counters[i].value);
}

static uint64_t column(sqlite3_stmt *statement, int index)
{
    return (uint64_t)sqlite3_column_int64(statement, index);
}

bool results_find(struct results *results, const struct results_key *key, struct results_value *value,
                  bool *found, struct trace_error *error)
{
    sqlite3_stmt *row = results->find;
    int step;

    bind_key(row, key);
    step = sqlite3_step(row);
    *found = step == SQLITE_ROW;
    if (*found) {
        *value = (struct results_value){.pages = (uint32_t)column(row, 0), .writes = column(row, 2)};
        value->tally = (struct policy_tally){column(row, 1), column(row, 3), column(row, 4), column(row, 5)};
        counters_read(results, (const char *)sqlite3_column_text(row, COUNTERS_COLUMN), value);
    }
    sqlite3_reset(row);
    return step == SQLITE_ROW || step == SQLITE_DONE || results_fail(results, error);
}

bool results_begin(struct results *results, struct trace_error *error)
{
    return execute(results, "BEGIN IMMEDIATE", error);
}

bool results_commit(struct results *results, struct trace_error *error)
{
    return execute(results, "COMMIT", error);
}

bool results_store(struct results *results, const struct results_key *key, const char *trace_name,
                   const struct results_value *value, struct trace_error *error)
{
    const uint64_t numbers[] = {value->pages,        value->tally.references, value->writes,
                                value->tally.faults, value->tally.evictions,  value->tally.write_backs};
    sqlite3_stmt *row = results->store;
    char counters[COUNTERS_TEXT];
    int step;

    bind_key(row, key);
    for (int i = 0; i < COUNTERS_COLUMN; i++)
        sqlite3_bind_int64(row, KEY_COUNT + 1 + i, (sqlite3_int64)numbers[i]);
    counters_write(value, counters);
    sqlite3_bind_text(row, KEY_COUNT + VALUE_COUNT, counters, -1, SQLITE_TRANSIENT);
    sqlite3_bind_text(row, KEY_COUNT + VALUE_COUNT + 1, trace_name, -1, SQLITE_TRANSIENT);
    step = sqlite3_step(row);
    sqlite3_reset(row);
    return step == SQLITE_DONE || results_fail(results, error);
}

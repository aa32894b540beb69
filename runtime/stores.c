/*
 * The stores that quire/quire.h offers: those of src/store, with errors in words.
 */
#include "pager.h"

#include <errno.h>
#include <string.h>

#include "store/linux/compressed_memory.h"
#include "store/linux/file.h"
#include "store/lz4.h"

static enum status opened(enum status status, const char *path, const char *why, int error,
                          struct quire_error *out)
{
    if (status == ST_IO_ERROR || status == ST_NO_SPACE)
        error_say(out, "%s: %s: %s", path, why, strerror(error));
    else if (status != ST_OK)
        error_say(out, "%s: %s", path, why);
    return status;
}

enum status quire_file(const char *path, enum quire_file_mode mode, uint64_t bytes, struct store **store,
                       struct quire_error *error)
{
    const char *why = "no memory";
    enum store_file_mode as = mode == QUIRE_FILE_CREATE      ? STORE_FILE_CREATE
                              : mode == QUIRE_FILE_READ_ONLY ? STORE_FILE_READ_ONLY
                                                             : STORE_FILE_OPEN;
    enum status status = store_file(path, as, bytes, store, &why);

    return opened(status, path, why, errno, error);
}

enum status quire_swap(const char *folder, uint64_t bytes, struct store **store, struct quire_error *error)
{
    const char *why = "no memory";
    enum status status = store_file(folder, STORE_FILE_NAMELESS, bytes, store, &why);

    return opened(status, folder, why, errno, error);
}

enum status quire_compressed(uint64_t bytes, uint64_t memory_bytes, struct store *behind,
                             struct store **store, struct quire_error *error)
{
    uint64_t pages = bytes / PAGE_SIZE + (bytes % PAGE_SIZE != 0), memory_pages = memory_bytes / PAGE_SIZE;
    struct compressed_memory_config config = {
        .packer = &store_lz4, .pages = pages, .memory_pages = (uint32_t)memory_pages, .behind = behind};
    enum status status = memory_pages > UINT32_MAX ? ST_INVALID : store_compressed_memory(&config, store);

    if (status != ST_OK)
        error_say(error, "compressed memory: %llu bytes in %llu: %s", (unsigned long long)bytes,
                  (unsigned long long)memory_bytes,
                  status == ST_INVALID
                      ? "expected at least a page of each, under 16 TiB, and a store behind as long"
                      : status_name(status));
    return status;
}

/*
 * A store of your own: every page in two files, so that the program goes on when one of the disks does not. A
 * read that fails in one file is made from the other; a write counts when it is in one at least, and a file
 * that missed a write is not read any more.
 *
 *      cc -std=gnu17 -O2 -fPIC -shared mirror.c $(pkg-config --cflags quire) -o quire-store-mirror.so
 *
 * and then, by a program or on the command line, with the two files' names:
 *
 *      quire_store_open("module:/path/to/quire-store-mirror.so:/disk1/data,/disk2/data", 1 << 30, &store,
 * &error)
 *
 * The runtime calls submit and poll from several threads at once, and transfer in a signal's handler as well,
 * which interrupts anything: nothing here allocates, and no lock is held. What one page's requests need is in
 * the request.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include <quire/store_module.h>

enum { COPIES = 2, MOST_PATH = 256 };

struct mirror {
    struct store store; /* first, so that one is the other */
    int file[COPIES];
    _Atomic bool bad[COPIES]; /* it missed a write */
};

static struct mirror *mirror_of(struct store *store)
{
    return (struct mirror *)store;
}

/* ST_OK when all of the page was moved: what comes in part is no page. */
static enum status move_page(int file, enum store_op op, void *page, uint64_t at)
{
    size_t done = 0;

    while (done < PAGE_SIZE) {
        char *place = (char *)page + done;
        off_t offset = (off_t)(at + done);
        ssize_t moved = op == STORE_READ ? pread(file, place, PAGE_SIZE - done, offset)
                                         : pwrite(file, place, PAGE_SIZE - done, offset);

        if (moved < 0 && errno == EINTR)
            continue;
        if (moved < 0)
            return errno == ENOSPC || errno == EDQUOT ? ST_NO_SPACE : ST_IO_ERROR;
        if (moved == 0)
            return ST_IO_ERROR; /* the file has become shorter */
        done += (size_t)moved;
    }
    return ST_OK;
}

static enum status read_page(struct mirror *mirror, void *page, uint64_t at)
{
    for (unsigned i = 0; i < COPIES; i++)
        if (!atomic_load(&mirror->bad[i]) && move_page(mirror->file[i], STORE_READ, page, at) == ST_OK)
            return ST_OK;
    return ST_IO_ERROR;
}

static enum status write_page(struct mirror *mirror, void *page, uint64_t at)
{
    enum status of[COPIES];
    unsigned well = 0;

    for (unsigned i = 0; i < COPIES; i++) {
        of[i] =
            atomic_load(&mirror->bad[i]) ? ST_IO_ERROR : move_page(mirror->file[i], STORE_WRITE, page, at);
        well += of[i] == ST_OK;
    }
    for (unsigned i = 0; i < COPIES && well > 0; i++)
        if (of[i] != ST_OK)
            atomic_store(&mirror->bad[i], true);
    /* In none of them: the runtime keeps the page, and will try again. */
    return well > 0 ? ST_OK : of[0] == ST_NO_SPACE ? ST_NO_SPACE : ST_IO_ERROR;
}

/* What was written lasts when it does in one file that has all of it. */
static enum status flush(struct mirror *mirror)
{
    unsigned well = 0;

    for (unsigned i = 0; i < COPIES; i++)
        well += !atomic_load(&mirror->bad[i]) && fdatasync(mirror->file[i]) == 0;
    return well > 0 ? ST_OK : ST_IO_ERROR;
}

static enum status transfer(struct store *store, const struct store_request *request)
{
    struct mirror *mirror = mirror_of(store);
    enum status status = ST_OK;

    if (!store_request_fits(store, request))
        return ST_INVALID;
    if (request->op == STORE_FLUSH)
        return flush(mirror);
    for (uint32_t i = 0; i < request->count && status == ST_OK; i++) {
        uint64_t at = (request->first + i) * PAGE_SIZE;

        if (request->op == STORE_READ)
            status = read_page(mirror, request->pages[i], at);
        else if (request->op == STORE_WRITE)
            status = write_page(mirror, request->pages[i], at);
    }
    return status;
}

/* Here every request is over at once. A store with a queue would return, and end the request in poll. */
static void submit(struct store *store, struct store_request *request)
{
    request->done(request, transfer(store, request));
}

static unsigned poll_none(struct store *store, uint64_t wait_ns)
{
    (void)store;
    (void)wait_ns;
    return 0;
}

static void close_all(struct store *store)
{
    struct mirror *mirror = mirror_of(store);

    for (unsigned i = 0; i < COPIES; i++)
        if (mirror->file[i] >= 0)
            close(mirror->file[i]);
    free(mirror);
}

static const struct store_type mirror_type = {
    .name = "mirror", .submit = submit, .poll = poll_none, .close = close_all, .transfer = transfer};

/* A file of at least so many bytes that nobody else has. */
static enum status open_copy(const struct store_opening *opening, const char *path, int *file)
{
    off_t have;

    *file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    have = *file < 0 ? -1 : lseek(*file, 0, SEEK_END);
    if (have < 0 || (have < (off_t)opening->bytes && ftruncate(*file, (off_t)opening->bytes) != 0)) {
        snprintf(opening->why, opening->why_bytes, "%s: %s", path, strerror(errno));
        return ST_IO_ERROR;
    }
    if (flock(*file, LOCK_EX | LOCK_NB) != 0) {
        snprintf(opening->why, opening->why_bytes, "%s: another process uses it", path);
        return ST_DENIED;
    }
    return ST_OK;
}

/* The name is "PATH,PATH". */
static enum status mirror_open(const struct store_opening *opening, struct store **store)
{
    struct mirror *mirror = calloc(1, sizeof(*mirror));
    const char *comma = strchr(opening->name, ',');
    enum status status = ST_INVALID;
    char first[MOST_PATH];

    if (!mirror)
        return ST_NO_MEMORY;
    mirror->store.type = &mirror_type;
    mirror->store.pages = opening->bytes / PAGE_SIZE + (opening->bytes % PAGE_SIZE != 0);
    mirror->file[0] = mirror->file[1] = -1;
    if (comma && comma - opening->name < MOST_PATH && mirror->store.pages > 0) {
        snprintf(first, sizeof(first), "%.*s", (int)(comma - opening->name), opening->name);
        status = open_copy(opening, first, &mirror->file[0]);
        if (status == ST_OK)
            status = open_copy(opening, comma + 1, &mirror->file[1]);
    } else {
        snprintf(opening->why, opening->why_bytes, "expected PATH,PATH and a length");
    }
    if (status == ST_OK)
        *store = &mirror->store;
    else
        close_all(&mirror->store);
    return status;
}

const struct quire_store_module quire_store_module = {
    .version = QUIRE_STORE_MODULE_VERSION, .name = "mirror", .open = mirror_open};

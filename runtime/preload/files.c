/*
 * Files that the program maps, each a region of its own: private ones, and shared ones that are only read.
 * Shared ones that are written to are Linux's: a program that is killed would lose what Linux keeps.
 *
 *      private     pages come from the file, and go to a nameless swap file once they were written to
 *      shared      pages come from the file; nobody writes to them
 *
 * A page is read through Linux's page cache, so it holds what the file held then. When the program changes
 * the file by a system call (calls.c), shared pages of that place are dropped and read anew. Another
 * process's changes are looked for when the program gets a lock on the file (fcntl), by its time of change:
 * so programs that share a file in order, as SQLite does, see each other. Others do not: --no-files is for
 * them.
 *
 * A page behind the end of the file is SIGBUS, as with Linux.
 *
 * Locking: files_lock, with signals blocked, around every change of the table; files_meet() reads without.
 */
#include "preload.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { MOST_FILES = 128, HIGH_DESCRIPTOR = 512 };

struct file {
    struct store store; /* the file; first, so a store is its file */
    _Atomic uintptr_t start, end;
    uintptr_t unmapped_below, unmapped_from; /* the program has unmapped what is outside of that */
    struct store *swap;                      /* of a private one, else NULL */
    int fd;                                  /* our own */
    dev_t device;
    ino_t inode;
    uint64_t offset;
    struct timespec changed; /* when it was last, as far as we have seen */
    int protection;
};

static struct file files[MOST_FILES];
static pthread_mutex_t files_lock = PTHREAD_MUTEX_INITIALIZER;
static _Atomic uint32_t files_used; /* none is taken from here on */
_Atomic uint32_t files_count;
_Atomic uintptr_t paged_files_start = UINTPTR_MAX, paged_files_end;

/* ------------------------------------------------------------------ the file as a store */

/* Page by page: at the end of the file the last is padded with zeroes, and behind it there is none. */
static enum status read_page(const struct file *file, uint64_t page, uint8_t *to)
{
    size_t done = 0;

    while (done < PAGE_SIZE) {
        long got = syscall(SYS_pread64, file->fd, to + done, PAGE_SIZE - done, page * PAGE_SIZE + done);

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0 || (got == 0 && done == 0))
            return got < 0 ? ST_IO_ERROR : ST_BEYOND_END;
        if (got == 0)
            break;
        done += (size_t)got;
    }
    memset(to + done, 0, PAGE_SIZE - done);
    return ST_OK;
}

static enum status file_transfer(struct store *store, const struct store_request *request)
{
    enum status status = request->op == STORE_WRITE ? ST_DENIED : ST_OK;

    for (uint32_t i = 0; i < request->count && status == ST_OK && request->op == STORE_READ; i++)
        status = read_page((const struct file *)store, request->first + i, request->pages[i]);
    return status;
}

static void file_submit(struct store *store, struct store_request *request)
{
    request->done(request, file_transfer(store, request));
}

static unsigned file_poll(struct store *store, uint64_t wait_ns)
{
    return 0;
}

static void file_close(struct store *store)
{
} /* the descriptor is closed with the region */

static const struct store_type file_type = {.name = "mapped file",
                                            .submit = file_submit,
                                            .poll = file_poll,
                                            .close = file_close,
                                            .transfer = file_transfer};

/* ------------------------------------------------------------------ mapping */

static struct file *file_at(const void *address, size_t length)
{
    uintptr_t start = (uintptr_t)address;

    for (uint32_t i = 0; i < atomic_load(&files_used); i++) {
        struct file *file = &files[i];

        if (atomic_load(&file->start) != 0 && start < atomic_load(&file->end) &&
            start + length > atomic_load(&file->start))
            return file;
    }
    return NULL;
}

bool files_part(uintptr_t start, size_t *bytes)
{
    const struct file *file = file_at((const void *)start, 1);
    uintptr_t end = file ? atomic_load(&file->end) : 0;

    if (end > start && *bytes > end - start)
        *bytes = end - start;
    return end > start;
}

bool files_meet(const void *address, size_t length)
{
    return file_at(address, length) != NULL;
}

static bool is_for_us(int protection, int flags, int fd, off_t offset, struct stat *stat)
{
    int kind = flags & MAP_TYPE;

    if (!settings.files || (protection & PROT_EXEC) || (offset & (off_t)PAGE_MASK) || offset < 0 ||
        (flags & (MAP_HUGETLB | MAP_LOCKED | MAP_32BIT | MAP_DENYWRITE)) ||
        (kind != MAP_PRIVATE && (protection & PROT_WRITE)))
        return false;
    return fstat(fd, stat) == 0 && S_ISREG(stat->st_mode) && stat->st_size > offset &&
           (fcntl(fd, F_GETFL) & O_ACCMODE) != O_WRONLY;
}

static struct store *open_swap(size_t length)
{
    bool named = strncmp(settings.store, "swap:", 5) == 0;
    struct store *swap = NULL;

    return library.quire_store_open(named ? settings.store : "swap:/var/tmp", length, &swap, NULL) == ST_OK
               ? swap
               : NULL;
}

static void release(struct file *file)
{
    if (file->swap)
        file->swap->type->close(file->swap);
    else if (file->fd >= 0)
        atomic_fetch_sub(&files_count, 1);
    if (file->fd >= 0)
        syscall(SYS_close, file->fd);
    file->swap = NULL;
    file->fd = -1;
}

static int protect(void *address, size_t length, int protection)
{
    return paged_by_protection ? 0 : raw_mprotect(address, length, protection);
}

/* With the lock. The mapping's pages are those of the store from the offset on. */
static void *map_file(struct file *file, size_t length, int protection)
{
    struct quire_mapping mapping = {.store = file->swap ? file->swap : &file->store,
                                    .length = length,
                                    .flags = paged_by_protection && !file->swap ? QUIRE_READ_ONLY : 0};
    void *address;

    if (file->swap) {
        mapping.base = &file->store;
        mapping.base_offset = file->offset;
    } else {
        mapping.offset = file->offset;
    }
    if (library.quire_map(pager, &mapping, &address, NULL) != ST_OK)
        return MAP_FAILED;
    if (protect(address, length, protection) != 0 && library.quire_discard(address) == ST_OK)
        return MAP_FAILED;
    return address;
}

static struct file *free_entry(void)
{
    uint32_t i = 0;

    while (i < MOST_FILES && atomic_load(&files[i].start) != 0)
        i++;
    if (i == MOST_FILES)
        return NULL;
    if (i >= atomic_load(&files_used))
        atomic_store(&files_used, i + 1);
    return &files[i];
}

static void note_range(uintptr_t start, uintptr_t end)
{
    if (start < atomic_load(&paged_files_start))
        atomic_store(&paged_files_start, start);
    if (end > atomic_load(&paged_files_end))
        atomic_store(&paged_files_end, end);
}

static void *map_locked(size_t length, int protection, int flags, int fd, off_t offset,
                        const struct stat *stat)
{
    struct file *file = free_entry();
    void *address = MAP_FAILED;

    if (!file)
        return MAP_FAILED;
    file->store = (struct store){&file_type, ((uint64_t)offset + length) / PAGE_SIZE + 1};
    file->fd = (int)syscall(SYS_fcntl, fd, F_DUPFD_CLOEXEC, HIGH_DESCRIPTOR);
    file->device = stat->st_dev;
    file->inode = stat->st_ino;
    file->offset = (uint64_t)offset;
    file->changed = stat->st_mtim;
    file->protection = protection;
    file->swap = NULL;
    if (file->fd < 0)
        return MAP_FAILED;
    if ((flags & MAP_TYPE) == MAP_PRIVATE && !(file->swap = open_swap(length))) {
        syscall(SYS_close, file->fd);
        return MAP_FAILED;
    }
    if (!file->swap)
        atomic_fetch_add(&files_count, 1);
    address = map_file(file, length, protection);
    if (address == MAP_FAILED) {
        release(file);
        return MAP_FAILED;
    }
    file->unmapped_below = (uintptr_t)address;
    file->unmapped_from = (uintptr_t)address + length;
    note_range((uintptr_t)address, (uintptr_t)address + length);
    atomic_store(&file->end, (uintptr_t)address + length);
    atomic_store(&file->start, (uintptr_t)address);
    return address;
}

void *files_mmap(size_t length, int protection, int flags, int fd, off_t offset)
{
    size_t whole = whole_pages(length);
    struct stat stat;
    sigset_t saved;
    void *address;

    if (!is_for_us(protection, flags, fd, offset, &stat))
        return MAP_FAILED;
    lock_table(&files_lock, &saved);
    address = map_locked(whole, protection, flags, fd, offset, &stat);
    unlock_table(&files_lock, &saved);
    return address;
}

/* ------------------------------------------------------------------ what is done to them */

static int end_file(struct file *file)
{
    if (library.quire_discard((void *)atomic_load(&file->start)) != ST_OK)
        return fails(EAGAIN);
    atomic_store(&file->start, 0);
    release(file);
    return 0;
}

/* Parts may be unmapped at either end; what is unmapped in the middle cannot be reached, and goes with the
 * rest. */
static int unmap_part(struct file *file, uintptr_t start, uintptr_t end)
{
    if (protect((void *)start, end - start, PROT_NONE) != 0)
        return -1;
    if (start <= file->unmapped_below && end > file->unmapped_below)
        file->unmapped_below = end;
    if (end >= file->unmapped_from && start < file->unmapped_from)
        file->unmapped_from = start;
    return file->unmapped_below >= file->unmapped_from ? end_file(file) : 0;
}

int files_munmap(void *address, size_t length)
{
    uintptr_t start = (uintptr_t)address, end = start + length;
    struct file *file;
    int failed;
    sigset_t saved;

    lock_table(&files_lock, &saved);
    file = file_at(address, length);
    if (!file || start < atomic_load(&file->start) || end > atomic_load(&file->end))
        failed = fails(EINVAL);
    else
        failed = unmap_part(file, start, end);
    unlock_table(&files_lock, &saved);
    return failed;
}

int files_mprotect(void *address, size_t length, int protection)
{
    struct file *file = file_at(address, length);

    if (!file->swap && (protection & PROT_WRITE))
        return fails(EACCES);
    file->protection |= protection;
    return protect(address, length, protection);
}

int files_madvise(void *address, size_t length, int advice)
{
    struct file *file = file_at(address, length);

    switch (advice) {
    case MADV_DONTNEED:
        if (file->swap) /* what was written to would have to be forgotten */
            return fails(EINVAL);
        return library.quire_refresh(address, length) == ST_OK ? 0 : fails(EIO);
    case MADV_WILLNEED:
        return library.quire_advise(address, length, QUIRE_WILL_NEED) == ST_OK ? 0 : fails(EIO);
    case MADV_RANDOM:
    case MADV_SEQUENTIAL:
    case MADV_NORMAL:
        (void)!library.quire_advise(address, length,
                                    advice == MADV_RANDOM       ? QUIRE_RANDOM
                                    : advice == MADV_SEQUENTIAL ? QUIRE_SEQUENTIAL
                                                                : QUIRE_NORMAL);
        return 0;
    default:
        return 0;
    }
}

/* A shared one is mapped anew; a private one would have to be copied, which the caller can do as well. */
void *files_mremap(void *old, size_t old_length, size_t length, int flags)
{
    struct file *file = file_at(old, old_length);
    void *address = MAP_FAILED;

    if ((uintptr_t)old == atomic_load(&file->start) && !file->swap && flags == MREMAP_MAYMOVE)
        address = files_mmap(length, file->protection, MAP_SHARED, file->fd, (off_t)file->offset);
    if (address == MAP_FAILED)
        errno = ENOMEM;
    else
        files_munmap(old, old_length);
    return address;
}

/* ------------------------------------------------------------------ fork; signals are blocked */

void files_hold(bool hold)
{
    if (hold)
        pthread_mutex_lock(&files_lock);
    else
        pthread_mutex_unlock(&files_lock);
}

/* Protections of parts of a file are lost: a page that was PROT_NONE or read-only may be as the whole is. */
bool files_inherit(void)
{
    bool good = true;

    for (uint32_t i = 0; i < atomic_load(&files_used) && good; i++) {
        uintptr_t start = atomic_load(&files[i].start);
        uint64_t length = atomic_load(&files[i].end) - start;

        if (start != 0)
            good = (!files[i].swap || fork_inherit(start, length)) &&
                   protect((void *)start, length, files[i].protection) == 0;
    }
    return good;
}

/* ------------------------------------------------------------------ changes of the files */

static void refresh(struct file *file, uint64_t offset, uint64_t bytes)
{
    uintptr_t start = atomic_load(&file->start);
    uint64_t length = atomic_load(&file->end) - start, from = file->offset, end = offset + bytes;

    if (end <= from || offset >= from + length)
        return;
    offset = offset > from ? (offset - from) & ~(uint64_t)PAGE_MASK : 0;
    end = end - from < length ? end - from : length;
    (void)!library.quire_refresh((void *)(start + offset), end - offset);
}

/* Every shared mapping of the file. */
static void
each_of(int fd, void (*visit)(struct file *file, const struct stat *stat, uint64_t offset, uint64_t bytes),
        uint64_t offset, uint64_t bytes)
{
    int error = errno;
    struct stat stat;
    sigset_t saved;

    if (fstat(fd, &stat) != 0 || !S_ISREG(stat.st_mode)) {
        errno = error;
        return;
    }
    lock_table(&files_lock, &saved);
    for (uint32_t i = 0; i < atomic_load(&files_used); i++)
        if (atomic_load(&files[i].start) != 0 && !files[i].swap && files[i].device == stat.st_dev &&
            files[i].inode == stat.st_ino)
            visit(&files[i], &stat, offset, bytes);
    unlock_table(&files_lock, &saved);
    errno = error;
}

static void on_change(struct file *file, const struct stat *stat, uint64_t offset, uint64_t bytes)
{
    refresh(file, offset, bytes);
    file->changed = stat->st_mtim;
}

static void on_lock(struct file *file, const struct stat *stat, uint64_t offset, uint64_t bytes)
{
    if (stat->st_mtim.tv_sec == file->changed.tv_sec && stat->st_mtim.tv_nsec == file->changed.tv_nsec)
        return;
    refresh(file, 0, UINT64_MAX >> 1);
    file->changed = stat->st_mtim;
}

void files_changed(int fd, uint64_t offset, uint64_t bytes)
{
    each_of(fd, on_change, offset, bytes);
}

void files_locked(int fd)
{
    each_of(fd, on_lock, 0, 0);
}

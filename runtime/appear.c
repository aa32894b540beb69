/*
 * How pages come to be seen by the program, become write-protected and open again, and go: by userfaultfd, or
 * where there is none, by mprotect() of the region.
 *
 *                          userfaultfd                          mprotect
 *      comes               UFFDIO_COPY                          written to the memfd, then PROT_READ or more
 *      protected, open     UFFDIO_WRITEPROTECT                  PROT_READ, PROT_READ | PROT_WRITE
 *      goes                (the hole is a missing page)         PROT_NONE, before the hole is punched
 *
 * With mprotect a page that is not there is PROT_NONE, so an access to it is SIGSEGV and never zeroes.
 * Neighbours of one protection are one mapping of the kernel's, of which a process may have vm.max_map_count:
 * a page in memory costs two at most, itself and the gap behind it. So the budget is limited
 * (PROTECT_MAPS_A_PAGE), and none of these calls fails for want of a mapping.
 *
 * All functions are async-signal-safe, and no place where a thread can be cancelled (so system calls are made
 * by syscall()), but for pages_watch() and protect_most_frames().
 */
#include "pager.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { PROTECT_MAPS_A_PAGE = 2, MAPS_LEFT = 4096 /* for the program, and for regions */ };

static bool by_userfaultfd(const struct quire_pager *pager)
{
    return pager->way == QUIRE_WAY_USERFAULTFD;
}

static enum status protect(struct place first, uint32_t count, int protection)
{
    return mprotect(place_address(first), count * PAGE_SIZE, protection) == 0 ? ST_OK : ST_NO_MEMORY;
}

static int protection_of(const struct region *region, bool open)
{
    return open && !(region->mapping.flags & QUIRE_READ_ONLY) ? PROT_READ | PROT_WRITE : PROT_READ;
}

static void make_hole(struct place first, uint32_t count)
{
    while (syscall(SYS_fallocate, first.region->memory, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                   first.page * PAGE_SIZE, count * PAGE_SIZE) != 0 &&
           errno == EINTR)
        ;
}

static enum status write_memory(struct place first, const uint8_t *contents, size_t bytes)
{
    for (size_t done = 0; done < bytes;) {
        long wrote = syscall(SYS_pwrite64, first.region->memory, contents + done, bytes - done,
                             first.page * PAGE_SIZE + done);

        if (wrote < 0 && errno == EINTR)
            continue;
        if (wrote <= 0)
            return ST_NO_MEMORY;
        done += (size_t)wrote;
    }
    return ST_OK;
}

static enum status put_and_protect(struct place first, const uint8_t *contents, uint32_t count, bool open)
{
    enum status status = write_memory(first, contents, count * PAGE_SIZE);

    if (status == ST_OK)
        status = protect(first, count, protection_of(first.region, open));
    if (status != ST_OK)
        make_hole(first, count);
    return status;
}

enum status pages_show(struct place first, const uint8_t *contents, uint32_t count, bool open)
{
    struct quire_pager *pager = first.region->pager;

    return by_userfaultfd(pager)
               ? uffd_copy(pager->uffd, place_address(first), contents, count * PAGE_SIZE, !open)
               : put_and_protect(first, contents, count, open);
}

enum status pages_protect(struct place first, uint32_t count, bool open)
{
    struct quire_pager *pager = first.region->pager;

    return by_userfaultfd(pager) ? uffd_protect(pager->uffd, place_address(first), count * PAGE_SIZE, !open)
                                 : protect(first, count, protection_of(first.region, open));
}

void pages_remove(struct place first, uint32_t count)
{
    /* Cannot fail: see above. If it did, the pages' next reader would see zeroes; better none. */
    if (!by_userfaultfd(first.region->pager) && protect(first, count, PROT_NONE) != ST_OK)
        abort();
    make_hole(first, count);
}

enum status pages_watch(struct region *region)
{
    uint64_t bytes = region->pages * PAGE_SIZE;

    if (by_userfaultfd(region->pager))
        return uffd_register(region->pager->uffd, region->start, bytes);
    return mprotect(region->start, bytes, PROT_NONE) == 0 ? ST_OK : ST_NO_MEMORY;
}

uint32_t protect_most_frames(void)
{
    int fd = open("/proc/sys/vm/max_map_count", O_RDONLY | O_CLOEXEC);
    char text[16] = "65530"; /* Linux's own */
    ssize_t got = fd < 0 ? 0 : read(fd, text, sizeof(text) - 1);
    long most;

    if (fd >= 0)
        close(fd);
    if (got > 0)
        text[got] = '\0';
    most = atol(text);
    return most > MAPS_LEFT && most <= INT32_MAX ? (uint32_t)(most - MAPS_LEFT) / PROTECT_MAPS_A_PAGE : 0;
}

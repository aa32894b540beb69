/*
 * How pages come to be seen by the program, become write-protected and open again, and go: by userfaultfd, or
 * where there is none, by mprotect() of the region.
 *
 *                          userfaultfd                          mprotect
 *      comes               UFFDIO_COPY                          written to the memfd, then PROT_READ or more
 *      protected, open     UFFDIO_WRITEPROTECT                  PROT_READ, PROT_READ | PROT_WRITE
 *      goes                (the hole is a missing page)         PROT_NONE, before the hole is punched
 *
 * Anonymous memory has no memfd: a page that is thrown away by process_madvise(), many in a call and with one
 * flush of the TLBs for all, is a missing page again. It is in memory only as long as it is mapped, so
 * windows cannot be unmapped to see what is used.
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
#include <sys/uio.h>
#include <unistd.h>

#ifndef MADV_DONTNEED_LOCKED
#define MADV_DONTNEED_LOCKED 24
#endif

enum { PROTECT_MAPS_A_PAGE = 2, MAPS_LEFT = 4096 /* for the program, and for regions */ };

static bool by_userfaultfd(const struct quire_pager *pager)
{
    return pager->way == QUIRE_WAY_USERFAULTFD || pager->way == QUIRE_WAY_ANONYMOUS;
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

static void remove_run(struct place first, uint32_t count)
{
    /* Cannot fail: see above. If it did, the pages' next reader would see zeroes; better none. */
    if (!by_userfaultfd(first.region->pager) && protect(first, count, PROT_NONE) != ST_OK)
        abort();
    make_hole(first, count);
}

/* Locked memory too. What an older kernel does not take as a whole (Linux 6.13 does), goes one by one: nobody
 * brings a page in that is LEAVING, so twice is no harm. */
static void throw_away(const struct quire_pager *pager, const struct iovec *ranges, uint32_t count,
                       size_t bytes)
{
    if (syscall(SYS_process_madvise, pager->self, ranges, count, MADV_DONTNEED_LOCKED, 0) == (long)bytes)
        return;
    for (uint32_t i = 0; i < count; i++)
        if (madvise(ranges[i].iov_base, ranges[i].iov_len, MADV_DONTNEED_LOCKED) != 0)
            abort(); /* else the next write to it would be seen by nobody */
}

static void remove_anonymous(const struct place *places, uint32_t count)
{
    struct iovec ranges[BATCH_PAGES];

    while (count > 0) {
        uint32_t used = 0, taken = 0, run;

        for (; taken < count && used < BATCH_PAGES; taken += run) {
            run = places_run(&places[taken], count - taken);
            ranges[used++] = (struct iovec){place_address(places[taken]), run * PAGE_SIZE};
        }
        throw_away(places->region->pager, ranges, used, taken * PAGE_SIZE);
        places += taken;
        count -= taken;
    }
}

void places_remove(const struct place *places, uint32_t count)
{
    if (count > 0 && places->region->pager->way == QUIRE_WAY_ANONYMOUS) {
        remove_anonymous(places, count);
        return;
    }
    for (uint32_t i = 0, run; i < count; i += run) {
        run = places_run(&places[i], count - i);
        remove_run(places[i], run);
    }
}

/* The program may write to them meanwhile (page.h says which may be): no race that a sanitizer should tell
 * of. */
__attribute__((no_sanitize("thread", "address"))) static void copy_words(void *to, const void *from,
                                                                         size_t bytes)
{
    volatile uint64_t *out = to;
    const volatile uint64_t *in = from;

    for (size_t i = 0; i < bytes / sizeof(*in); i++)
        out[i] = in[i];
}

bool pages_copy_out(struct place first, uint32_t count, uint8_t *to)
{
    size_t bytes = count * PAGE_SIZE;

    if (first.region->memory < 0) {
        copy_words(to, place_address(first), bytes);
        return true;
    }
    for (size_t done = 0; done < bytes;) {
        long got = syscall(SYS_pread64, first.region->memory, to + done, bytes - done,
                           first.page * PAGE_SIZE + done);

        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return false;
        done += (size_t)got;
    }
    return true;
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

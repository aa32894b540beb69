/*
 * What `quire sim` wants of a running pager: a text of references (docs/TRACE-FORMAT.md), one a line: the
 * page's number, address by page size, and w behind those that write. A page that comes because somebody
 * touched it is a reference, and so are a first write and each page that a scan finds used. What happens
 * between two scans to a page in memory is one reference at most: the trace shows what the policy saw.
 *
 * Each is a system call of its own, which appends: so it may be made in a signal's handler.
 */
#include "pager.h"

#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { LONGEST_LINE = 32 };

void record_reference(struct place place, bool write)
{
    char line[LONGEST_LINE];
    unsigned at = LONGEST_LINE;
    uint64_t page = (uintptr_t)place_address(place) / PAGE_SIZE;

    if (place.region->pager->record < 0)
        return;
    line[--at] = '\n';
    if (write) {
        line[--at] = 'w';
        line[--at] = ' ';
    }
    for (; page > 0; page >>= 4)
        line[--at] = "0123456789abcdef"[page & 15];
    line[--at] = 'x';
    line[--at] = '0';
    if (syscall(SYS_write, place.region->pager->record, line + at, LONGEST_LINE - at) !=
        (long)(LONGEST_LINE - at))
        count_add(place.region->pager, COUNT_NOT_RECORDED, 1);
}

enum status record_open(struct quire_pager *pager, const char *path, struct quire_error *error)
{
    if (!path || !*path)
        return ST_OK;
    pager->record = descriptor_high(open(path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600));
    if (pager->record >= 0)
        return ST_OK;
    error_say(error, "record: %s: it cannot be created", path);
    return ST_INVALID;
}

/*
 * procfs: the pages of a process: pagemap and clear_refs (Linux's Documentation/admin-guide/mm/pagemap.rst).
 */
#include <linux/errno.h>

#include "kernel/fs/procfs.h"
#include "kernel/klib.h"

/* An entry of pagemap. A swapped page has its slot where Linux has type and offset: type 0. */
#define PAGEMAP_OFFSET_SHIFT 5
#define PAGEMAP_SOLE ((uint64_t)1 << 56)
#define PAGEMAP_OF_FILE ((uint64_t)1 << 61)
#define PAGEMAP_SWAPPED ((uint64_t)1 << 62)
#define PAGEMAP_PRESENT ((uint64_t)1 << 63)

enum { PAGES_AT_ONCE = 64, CLEAR_ALL = 1, CLEAR_LAST = 5 };

static uint64_t entry_of(const struct space_page *page, bool with_frame)
{
    uint64_t entry = 0;

    if (page->present)
        entry = PAGEMAP_PRESENT | (with_frame ? page->frame.v : 0);
    else if (page->slot != 0)
        entry = PAGEMAP_SWAPPED | (with_frame ? (uint64_t)page->slot << PAGEMAP_OFFSET_SHIFT : 0);
    return entry | (page->sole ? PAGEMAP_SOLE : 0) | (page->of_object ? PAGEMAP_OF_FILE : 0);
}

/* One 64-bit word a page of user memory, by its address. Numbers of frames are for CAP_SYS_ADMIN. */
long proc_pagemap(const struct proc_subject *subject, struct uio *uio, uint64_t offset)
{
    const bool with_frame = process_may(process_current(), CAP_SYS_ADMIN);
    struct space_page pages[PAGES_AT_ONCE];
    uint64_t entries[PAGES_AT_ONCE];
    uint64_t page = offset / sizeof entries[0], end = SPACE_END >> PAGE_SHIFT;
    long done = 0;

    if (offset % sizeof entries[0] != 0 || uio->left % sizeof entries[0] != 0)
        return -EINVAL;
    while (subject->space != NULL && uio->left != 0 && page < end) {
        uint64_t count = uio->left / sizeof entries[0];
        size_t put;

        if (count > PAGES_AT_ONCE)
            count = PAGES_AT_ONCE;
        if (count > end - page)
            count = end - page;
        space_look(subject->space, vaddr(page << PAGE_SHIFT), (unsigned)count, pages);
        for (uint64_t i = 0; i < count; i++)
            entries[i] = entry_of(&pages[i], with_frame);
        put = uio_put(uio, entries, count * sizeof entries[0]);
        if (put < count * sizeof entries[0])
            return done != 0 ? done : -EFAULT;
        done += (long)put;
        page += count;
    }
    return done;
}

/* 1, 2, 3: all pages, private ones, files' ones: all at once here. 4: soft-dirty bits, which there are none
 * of. 5: the peak of VmHWM. */
long proc_clear_refs(const char *written, const struct proc_subject *subject)
{
    int64_t which;
    long error = proc_number(written, CLEAR_ALL, CLEAR_LAST, &which);

    if (error != 0 || subject->space == NULL)
        return error;
    if (which == CLEAR_LAST)
        subject->process->resident_peak = 0;
    else if (which < CLEAR_LAST - 1)
        space_forget_references(subject->space, vaddr(SPACE_START), vaddr(SPACE_END));
    return 0;
}

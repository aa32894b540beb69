/*
 * procfs: the regions of a process's space, as maps and smaps.
 */
#include "kernel/fs/procfs.h"
#include "kernel/klib.h"

enum { NAME_COLUMN = 73 /* where Linux puts the file's name */, HUGE_BYTES = 2 << 20 };

static const char *region_name(const struct space_region *region, const struct space_counts *counts)
{
    const struct object_label *label = region->object != NULL ? object_label(region->object) : NULL;

    if (label != NULL)
        return label->path;
    if (region->object != NULL)
        return "/dev/zero (deleted)"; /* shared anonymous memory, as Linux shows it */
    if (region->start.v < counts->break_end && region->end.v > counts->break_start)
        return "[heap]";
    if (region->start.v < counts->stack_end && region->end.v > counts->stack_start)
        return "[stack]";
    return NULL;
}

static void region_line(struct text *text, const struct space_region *region,
                        const struct space_counts *counts)
{
    const struct object_label *label = region->object != NULL ? object_label(region->object) : NULL;
    const char *name = region_name(region, counts);
    size_t line = text->length;

    text_printf(
        text, "%08lx-%08lx %c%c%c%c %08lx %02lx:%02lx %lu ", region->start.v, region->end.v,
        (region->access & ACCESS_READ) != 0 ? 'r' : '-', (region->access & ACCESS_WRITE) != 0 ? 'w' : '-',
        (region->access & ACCESS_EXEC) != 0 ? 'x' : '-', (region->flags & SPACE_SHARED) != 0 ? 's' : 'p',
        region->object != NULL ? region->first_page << PAGE_SHIFT : 0,
        label != NULL ? label->dev >> 8 & 0xfff : 0, label != NULL ? label->dev & 0xff : 0,
        label != NULL ? label->ino : 0);
    if (name != NULL) {
        text_pad(text, line, NAME_COLUMN);
        text_add(text, name, strlen(name));
    }
    text_add(text, "\n", 1);
}

void proc_maps(struct text *text, const struct proc_subject *subject)
{
    struct space_region region;
    struct space_counts counts;

    if (subject->space == NULL)
        return;
    space_count(subject->space, &counts);
    for (uint64_t at = 0; !text->failed && space_next_region(subject->space, vaddr(at), &region);
         at = region.end.v)
        region_line(text, &region, &counts);
}

/* ---------------------------------------------------------------- smaps */

static void smaps_line(struct text *text, const char *name, uint64_t bytes)
{
    text_printf(text, "%-16s%8lu kB\n", name, bytes >> 10);
}

static void smaps_pages(struct text *text, const char *name, uint64_t pages)
{
    smaps_line(text, name, pages << PAGE_SHIFT);
}

static void usage_lines(struct text *text, const struct space_usage *usage)
{
    smaps_pages(text, "Rss:", usage->resident_pages);
    smaps_line(text, "Pss:", usage->proportional_bytes);
    smaps_line(text, "Pss_Dirty:", usage->proportional_dirty_bytes);
    smaps_pages(text, "Shared_Clean:", usage->shared_clean_pages);
    smaps_pages(text, "Shared_Dirty:", usage->shared_dirty_pages);
    smaps_pages(text, "Private_Clean:", usage->private_clean_pages);
    smaps_pages(text, "Private_Dirty:", usage->private_dirty_pages);
    smaps_pages(text, "Referenced:", usage->referenced_pages);
    smaps_pages(text, "Anonymous:", usage->anon_pages);
    smaps_pages(text, "LazyFree:", usage->lazy_pages);
    smaps_pages(text, "AnonHugePages:", usage->huge_pages);
    smaps_line(text, "ShmemPmdMapped:", 0);
    smaps_line(text, "FilePmdMapped:", 0);
    smaps_line(text, "Shared_Hugetlb:", 0);
    smaps_line(text, "Private_Hugetlb:", 0);
    smaps_pages(text, "Swap:", usage->swapped_pages);
    smaps_pages(text, "SwapPss:", usage->swapped_pages);
    smaps_line(text, "Locked:", usage->locked_bytes);
}

/* Linux's two letters each; what may become of a mapping as far as its own flags say. */
static void flags_line(struct text *text, const struct space_region *region)
{
    bool shared = (region->flags & SPACE_SHARED) != 0;

    text_printf(
        text, "VmFlags: %s%s%s%smr %sme %s%s%ssd \n", (region->access & ACCESS_READ) != 0 ? "rd " : "",
        (region->access & ACCESS_WRITE) != 0 ? "wr " : "", (region->access & ACCESS_EXEC) != 0 ? "ex " : "",
        shared ? "sh " : "", (region->flags & SPACE_NEVER_WRITE) != 0 ? "" : "mw ", shared ? "ms " : "",
        (region->flags & SPACE_GROWS_DOWN) != 0 ? "gd " : "",
        (region->flags & SPACE_LOCKED) != 0 ? "lo " : "");
}

void proc_smaps(struct text *text, const struct proc_subject *subject)
{
    struct space_region region;
    struct space_counts counts;
    struct space_usage usage;

    if (subject->space == NULL)
        return;
    space_count(subject->space, &counts);
    for (uint64_t at = 0; !text->failed && space_next_region(subject->space, vaddr(at), &region);
         at = region.end.v) {
        region_line(text, &region, &counts);
        space_measure(subject->space, region.start, region.end, &usage);
        smaps_line(text, "Size:", region.end.v - region.start.v);
        smaps_pages(text, "KernelPageSize:", 1);
        smaps_pages(text, "MMUPageSize:", 1);
        usage_lines(text, &usage);
        text_printf(text, "THPeligible:    %d\n",
                    region.object == NULL && region.end.v - region.start.v >= HUGE_BYTES);
        flags_line(text, &region);
    }
}

void proc_smaps_rollup(struct text *text, const struct proc_subject *subject)
{
    struct space_region region;
    struct space_usage usage;
    uint64_t start = 0, end = 0;
    size_t line = text->length;

    if (subject->space == NULL)
        return;
    for (uint64_t at = 0; space_next_region(subject->space, vaddr(at), &region); at = end = region.end.v)
        if (end == 0)
            start = region.start.v;
    text_printf(text, "%08lx-%08lx ---p 00000000 00:00 0 ", start, end);
    text_pad(text, line, NAME_COLUMN);
    text_printf(text, "[rollup]\n");
    space_measure(subject->space, vaddr(0), vaddr(SPACE_END), &usage);
    usage_lines(text, &usage);
}

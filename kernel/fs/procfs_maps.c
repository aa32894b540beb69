/*
 * procfs: the regions of a process's space, as maps and smaps.
 */
#include "kernel/fs/procfs.h"
#include "kernel/klib.h"

enum { NAME_COLUMN = 73 }; /* where Linux puts the file's name */

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

typedef void region_visit(struct text *text, const struct space_region *region,
                          const struct space_counts *counts);

static void for_each_region(struct text *text, const struct proc_subject *subject, region_visit *visit)
{
    struct space_region region;
    struct space_counts counts;

    if (subject->space == NULL)
        return;
    space_count(subject->space, &counts);
    for (uint64_t at = 0; !text->failed && space_next_region(subject->space, vaddr(at), &region);
         at = region.end.v)
        visit(text, &region, &counts);
}

void proc_maps(struct text *text, const struct proc_subject *subject)
{
    for_each_region(text, subject, region_line);
}

static void smaps_line(struct text *text, const char *name, uint64_t pages)
{
    text_printf(text, "%-16s%8lu kB\n", name, pages << (PAGE_SHIFT - 10));
}

/* Pages are counted as private or shared by the mapping, not by who else maps them. */
static void region_counts(struct text *text, const struct space_region *region,
                          const struct space_counts *counts)
{
    bool shared = (region->flags & SPACE_SHARED) != 0;
    uint64_t clean = region->resident_pages - region->dirty_pages;

    region_line(text, region, counts);
    smaps_line(text, "Size:", (region->end.v - region->start.v) >> PAGE_SHIFT);
    smaps_line(text, "KernelPageSize:", 1);
    smaps_line(text, "MMUPageSize:", 1);
    smaps_line(text, "Rss:", region->resident_pages);
    smaps_line(text, "Pss:", region->resident_pages);
    smaps_line(text, "Shared_Clean:", shared ? clean : 0);
    smaps_line(text, "Shared_Dirty:", shared ? region->dirty_pages : 0);
    smaps_line(text, "Private_Clean:", shared ? 0 : clean);
    smaps_line(text, "Private_Dirty:", shared ? 0 : region->dirty_pages);
    smaps_line(text, "Referenced:", region->resident_pages);
    smaps_line(text, "Anonymous:", region->object == NULL ? region->resident_pages : 0);
    smaps_line(text, "Swap:", 0);
    smaps_line(text, "Locked:", 0);
}

void proc_smaps(struct text *text, const struct proc_subject *subject)
{
    for_each_region(text, subject, region_counts);
}

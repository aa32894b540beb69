/*
 * The user half of a space's page table as text, with what its marks mean (src/vm/entry.h). pt_dump() shows
 * the same tree, but knows no marks.
 *
 *     0000000000400000-00000000005fffff  L2[2]     table 000000061b000
 *       0000000000401000-000000000041ffff  L1[1]     31 x 4K -> 0000003baf000 r-x private a--
 *       0000000000420000-0000000000427fff  L1[32]    8 x 4K mark r-x private, page 32 of object 5
 * /bin/busybox
 *
 * Neighbours that continue each other are one line. a: accessed, d: dirty, w: written to without a fault.
 */
#include "kernel/dev/hostlink_internal.h"
#include "kernel/fs/internal.h"
#include "kernel/klib.h"
#include "quire/pt.h"
#include "vm/object_internal.h"

enum { LINE_BYTES = 192 };

/* Entries that have been seen and not yet written: `count` from `first` on. */
struct run {
    pt_emit *emit;
    void *context;
    struct pt_visit first;
    struct pt_entry last;
    uint64_t count;
};

static const char *access_text(unsigned access)
{
    static const char *const texts[8] = {"---", "r--", "-w-", "rw-", "--x", "r-x", "-wx", "rwx"};

    return texts[access & 7];
}

static void describe_mark(char *to, size_t size, struct pt_entry mark)
{
    const struct object_label *label;
    const char *access = access_text(mark_access(mark));
    const char *down = entry_grows_down(mark) ? ", grows down" : "";
    const char *locked = entry_is_locked(mark) ? ", locked" : "";

    switch (mark_kind(mark)) {
    case MARK_ANON:
        snprintf(to, size, "mark %s private, zeroes%s%s", access, down, locked);
        break;
    case MARK_PRIVATE:
    case MARK_SHARED:
        label = object_label(object_by_id(mark_object_id(mark)));
        snprintf(to, size, "mark %s %s, page %lu of object %u%s%s%s", access,
                 mark_kind(mark) == MARK_SHARED ? "shared" : "private", mark_index(mark),
                 mark_object_id(mark), label != NULL ? ", " : "", label != NULL ? label->path : "", locked);
        break;
    case MARK_HELD:
        snprintf(to, size, "mark --- private, frame %013lx%s", held_paddr(mark).v, locked);
        break;
    case MARK_SWAP:
        snprintf(to, size, "mark %s private, swap slot %u%s", access, entry_slot(mark), locked);
        break;
    default:
        snprintf(to, size, "mark %016lx", mark.bits);
        break;
    }
}

static void describe_page(char *to, size_t size, struct pt_entry page)
{
    snprintf(to, size, "-> %013lx %s %s %c%c%c%s", pt_entry_page_paddr(page, 1).v,
             access_text(page_access(page)), (page.bits & PAGE_SHARED) != 0 ? "shared" : "private",
             (page.bits & PT_ACCESSED) != 0 ? 'a' : '-', (page.bits & PT_DIRTY) != 0 ? 'd' : '-',
             (page.bits & PT_WRITE) != 0 ? 'w' : '-', entry_is_locked(page) ? " locked" : "");
}

static void write_run(struct run *run)
{
    static const char *const sizes[PT_LEVELS + 1] = {"", "4K", "2M", "1G", "512G"};
    const struct pt_visit *first = &run->first;
    uint64_t bytes = run->count << pt_level_shift(first->level);
    unsigned indent = 2 * (PT_LEVELS - first->level);
    char line[LINE_BYTES + 96], what[LINE_BYTES];

    if (run->count == 0)
        return;
    if (pt_entry_is_table(first->entry, first->level))
        snprintf(what, sizeof what, "table %013lx", pt_entry_paddr(first->entry).v);
    else if (pt_entry_present(first->entry))
        describe_page(what, sizeof what, first->entry);
    else
        describe_mark(what, sizeof what, first->entry);
    if (pt_entry_is_table(first->entry, first->level))
        snprintf(line, sizeof line, "%*s%016lx-%016lx L%u[%u] %s", (int)indent, "", first->start.v,
                 first->start.v + bytes - 1, first->level, first->index, what);
    else
        snprintf(line, sizeof line, "%*s%016lx-%016lx L%u[%u] %lu x %s %s", (int)indent, "", first->start.v,
                 first->start.v + bytes - 1, first->level, first->index, run->count, sizes[first->level],
                 what);
    run->emit(run->context, line);
    run->count = 0;
}

/* Is the entry the neighbour in memory, with the next frame, the next page of the object or the same mark? */
static bool continues(const struct run *run, const struct pt_visit *visit)
{
    uint64_t span = pt_level_span(visit->level);

    if (run->count == 0 || visit->level != run->first.level ||
        pt_entry_is_table(visit->entry, visit->level) ||
        visit->start.v != run->first.start.v + run->count * span)
        return false;
    if (pt_entry_present(visit->entry))
        return pt_entry_present(run->last) && visit->entry.bits == run->last.bits + span;
    return entry_is_mark(run->last) && visit->entry.bits == mark_advance(run->last, span >> PAGE_SHIFT).bits;
}

static bool visit_entry(void *context, const struct pt_visit *visit)
{
    struct run *run = context;

    if (!continues(run, visit)) {
        write_run(run);
        run->first = *visit;
    }
    run->last = visit->entry;
    run->count++;
    return true;
}

enum status space_dump(struct space *space, void (*emit)(void *context, const char *line), void *context)
{
    struct run run = {.emit = emit, .context = context};
    struct pt pt = pt_at(space_root(space), pt_reach_offset(PHYS_OFFSET), &pt_alloc_none);
    enum status status =
        pt_visit_range(&pt, vaddr(0), vaddr(SPACE_END - 1), PT_LEVELS_ALL, visit_entry, &run);

    write_run(&run);
    return status;
}

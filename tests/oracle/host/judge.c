/*
 * Asking the MMU, and comparing its answers with what the library says: see world.h.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "world.h"

static char complaint[512];

/* ------------------------------------------------------------------ what there is */

static bool look_at_page(void *context, const struct pt_visit *visit)
{
    struct world *world = context;
    struct pt_flags flags = pt_entry_flags(visit->entry, visit->level);

    if (!pt_entry_is_page(visit->entry, visit->level))
        return true;
    world->pages[world->page_count++] = (struct world_page){.start = visit->start.v,
                                                            .level = visit->level,
                                                            .accessed = (flags.bits & PT_FLAG_ACCESSED) != 0,
                                                            .dirty = (flags.bits & PT_FLAG_DIRTY) != 0};
    if (world->page_count == WORLD_PAGES) {
        fprintf(stderr, "more than %u pages\n", WORLD_PAGES);
        abort();
    }
    return true;
}

void world_look(struct world *world)
{
    world->page_count = 0;
    if (pt_visit_all(&world->pt, PT_LEVELS_ALL, look_at_page, world) != ST_OK)
        world->page_count = 0;
}

/* The page that the address is in, NULL. */
static struct world_page *page_of(const struct world *world, uint64_t address)
{
    unsigned from = 0, to = world->page_count;

    address = world_place(address);
    while (from < to) {
        unsigned middle = from + (to - from) / 2;
        struct world_page *page = &world->pages[middle];

        if (address < page->start)
            to = middle;
        else if (address - page->start >= pt_level_span(page->level))
            from = middle + 1;
        else
            return page;
    }
    return NULL;
}

/* ------------------------------------------------------------------ asking */

/* What the memory at a physical page says when it is read or run. */
static uint32_t number_of(uint64_t physical)
{
    return (uint32_t)(physical >> PAGE_SHIFT) * 2654435761u + 77;
}

static bool is_for_pages(const struct world *world, uint64_t physical)
{
    uint64_t offset;

    return machine_offset(physical, world->image->size, &offset) && offset >= PAGES_OFFSET;
}

static void page_prepare(const struct world *world, uint64_t physical)
{
    unsigned char *page = image_at(world->image, align_down(physical, PAGE_SIZE));
    uint64_t number = number_of(physical);

    memcpy(page + PAGE_READ_AT, &number, sizeof number);
    machine_code(page + PAGE_EXEC_AT, (uint32_t)number);
}

/* A place in, right before or right behind a page. */
static uint64_t random_inside(struct world *world, uint64_t span)
{
    const uint64_t places[] = {0, span - PAGE_SIZE, 0 - PAGE_SIZE, span};
    uint64_t which = world_random(world, 5);

    return which < 4 ? places[which] : world_random(world, span);
}

static uint64_t random_address(struct world *world)
{
    const struct world_page *page;

    switch (world_random(world, 8)) {
    case 0:
    case 1:
    case 2:
        if (world->history_count > 0)
            return world->history[world_random(world, world->history_count)];
        /* fall through */
    case 3:
    case 4:
    case 5:
        if (world->page_count == 0)
            return world_random(world, ~(uint64_t)0);
        page = &world->pages[world_random(world, world->page_count)];
        return world_address(world, page->start) + random_inside(world, pt_level_span(page->level));
    case 6:
        return world->windows[world_random(world, WORLD_WINDOWS)] + world_random(world, 4 * HUGE_SIZE) -
               2 * HUGE_SIZE;
    default:
        return world_random(world, ~(uint64_t)0) * (1 + world_random(world, 1 << 12));
    }
}

/* What nobody may be let try: the guest's own memory, and memory where no page may be. */
static bool may_ask(const struct world *world, uint64_t address, enum status status,
                    const struct pt_translation *found)
{
    if (!world_may_touch(address))
        return false;
    if (PT_ROOT_HALVES == 1 && pt_canonical(vaddr(address)) && address != world_address(world, address))
        return false; /* the other half */
    return status != ST_OK || is_for_pages(world, found->paddr.v);
}

static bool ask_one(struct world *world, struct probe *probe, unsigned number)
{
    static const unsigned place[] = {
        [PROBE_READ] = PAGE_READ_AT, [PROBE_WRITE] = PAGE_WRITE_AT, [PROBE_EXEC] = PAGE_EXEC_AT};
    uint64_t page = align_down(random_address(world), PAGE_SIZE);
    struct pt_translation found;
    enum status status = pt_translate(&world->pt, vaddr(page), &found);

    if (!may_ask(world, page, status, &found))
        return false;
    *probe =
        (struct probe){.access = (uint32_t)world_random(world, 3), .user = (uint32_t)world_random(world, 2)};
    probe->address = page + place[probe->access];
    if (probe->access == PROBE_WRITE) {
        probe->address += 8 * world_random(world, (PAGE_SIZE - PAGE_WRITE_AT) / 8);
        probe->value = (uint64_t)number << 32 | world_random(world, 1u << 31);
    }
    if (status == ST_OK)
        page_prepare(world, found.paddr.v);
    world->history[number % WORLD_HISTORY] = page;
    if (world->history_count <= number && world->history_count < WORLD_HISTORY)
        world->history_count++;
    return true;
}

void world_ask(struct world *world, unsigned count)
{
    struct scene *scene = world->image->scene;

    scene->probe_count = 0;
    while (scene->probe_count < count)
        scene->probe_count +=
            ask_one(world, &scene->probes[scene->probe_count], (unsigned)scene->probe_count);
}

/* ------------------------------------------------------------------ judging */

static const char *const access_names[] = {"read", "write", "exec"};

static const char *complain(const struct world *world, const struct probe *probe, const struct want *want,
                            enum status status, const struct pt_translation *found, const char *what)
{
    snprintf(complaint, sizeof complaint,
             "probe %ld, %s %s of %#lx: %s; the MMU: outcome %lu, got %#lx, cause %lu, code %#lx, at %#lx; "
             "wanted: outcome "
             "%u, cause %lu, code %#lx, at %#lx; the library: %s, entry %#lx at level %u, flags %#x, "
             "physical %#lx",
             (long)(probe - world->image->scene->probes), probe->user ? "user" : "supervisor",
             access_names[probe->access % 3], probe->address, what, probe->outcome, probe->got, probe->cause,
             probe->code, probe->at, want->outcome, want->cause, want->code, want->at, status_name(status),
             found->entry.bits, found->level, found->flags.bits, found->paddr.v);
    return complaint;
}

/* Did a write reach the memory that the library names? A later write to the same place, through whatever
 * address, hides an earlier one. */
static bool was_written(const struct world *world, const struct probe *probe, uint64_t physical)
{
    const struct scene *scene = world->image->scene;
    uint64_t found;

    memcpy(&found, image_at(world->image, physical), sizeof found);
    if (found == probe->value)
        return true;
    for (const struct probe *later = probe + 1; later < scene->probes + scene->probe_count; later++)
        if (later->access == PROBE_WRITE && later->outcome == PROBE_DONE && later->value == found)
            return true;
    return false;
}

static const char *judge_done(struct world *world, const struct probe *probe,
                              const struct pt_translation *found)
{
    struct world_page *page = page_of(world, probe->address);

    world->done++;
    if (probe->access == PROBE_WRITE ? !was_written(world, probe, found->paddr.v)
                                     : (uint32_t)probe->got != number_of(found->paddr.v))
        return "another memory";
    if (!page)
        return "no page";
    page->touched = true;
    page->written = page->written || probe->access == PROBE_WRITE;
    if (!machine_same_memory(world->image->scene, probe, found))
        return "another type of memory";
    if (!(found->flags.bits & PT_FLAG_ACCESSED))
        return "not marked accessed";
    if (probe->access == PROBE_WRITE && !(found->flags.bits & PT_FLAG_DIRTY))
        return "not marked dirty";
    return NULL;
}

static const char *judge_one(struct world *world, const struct probe *probe)
{
    struct pt_translation found = {.level = 0};
    enum status status = pt_translate(&world->pt, vaddr(probe->address), &found);
    struct want want = machine_want(world->image->scene, probe, status, &found);
    struct world_page *page = page_of(world, probe->address);
    const char *wrong = NULL;

    if (page)
        page->tried = true;
    if (probe->outcome != want.outcome)
        wrong = "another outcome";
    else if (want.outcome == PROBE_DONE)
        wrong = judge_done(world, probe, &found);
    else if (!machine_same_fault(probe, &want))
        wrong = "another fault";
    else
        world->faults++;
    return wrong ? complain(world, probe, &want, status, &found, wrong) : NULL;
}

/* Accesses are marked. Where one was only tried, an MMU may leave the mark as well (QEMU's does in pages of 1
 * GiB of x86-64); elsewhere there is none, and writes are told exactly. */
static bool marks_fit(const struct world_page *page, struct pt_flags flags)
{
    bool accessed = (flags.bits & PT_FLAG_ACCESSED) != 0, dirty = (flags.bits & PT_FLAG_DIRTY) != 0;

    return (accessed || !(page->accessed || page->touched)) && (!accessed || page->accessed || page->tried) &&
           dirty == (page->dirty || page->written);
}

static bool judge_mark(void *context, const struct pt_visit *visit)
{
    struct world *world = context;
    struct pt_flags flags = pt_entry_flags(visit->entry, visit->level);
    const struct world_page *page = page_of(world, visit->start.v);

    if (!pt_entry_is_page(visit->entry, visit->level) || !world_may_touch(visit->start.v))
        return true;
    if (page && marks_fit(page, flags))
        return true;
    snprintf(complaint, sizeof complaint,
             "the page at %#lx has entry %#lx; its marks were %d%d, tried, done, written: %d%d%d",
             visit->start.v, visit->entry.bits, page && page->accessed, page && page->dirty,
             page && page->tried, page && page->touched, page && page->written);
    return false;
}

const char *world_judge(struct world *world)
{
    const struct scene *scene = world->image->scene;

    complaint[0] = 0;
    for (uint64_t i = 0; i < scene->probe_count; i++) {
        const char *wrong = judge_one(world, &scene->probes[i]);

        if (wrong)
            return wrong;
    }
    if (pt_visit_all(&world->pt, PT_LEVELS_ALL, judge_mark, world) != ST_OK)
        return "visiting all";
    return complaint[0] ? complaint : world_check(world);
}

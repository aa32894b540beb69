/*
 * The machine of pt_model.h: frames, an MMU, and page tables reached in every way.
 */
#include "pt_model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *const machine_way_names[WAY_COUNT] = {"offset", "slots", "slots in the same table", "recursive",
                                                  "function"};

struct machine *machine_create(void)
{
    struct machine *machine = calloc(1, sizeof *machine);

    machine->memory = aligned_alloc(PAGE_SIZE, MACHINE_FRAMES * PAGE_SIZE);
    machine->fail_after = ~(uint64_t)0;
    return machine;
}

void machine_destroy(struct machine *machine)
{
    if (machine->shown_now != 0) {
        fprintf(stderr, "%u frames are still shown\n", machine->shown_now);
        abort();
    }
    free(machine->memory);
    free(machine);
}

void *machine_at(const struct machine *machine, uint64_t physical)
{
    if (physical < MACHINE_BASE || physical - MACHINE_BASE >= MACHINE_FRAMES * PAGE_SIZE) {
        fprintf(stderr, "no such frame: %#lx\n", physical);
        abort();
    }
    return machine->memory + (physical - MACHINE_BASE);
}

/* ------------------------------------------------------------------ the allocator */

static bool take(void *context, struct paddr *out)
{
    struct machine *machine = context;

    if (machine->takes >= machine->fail_after || machine->taken == MACHINE_FRAMES)
        return false;
    machine->takes++;
    while (machine->state[machine->next % MACHINE_FRAMES])
        machine->next++;
    unsigned i = machine->next++ % MACHINE_FRAMES;
    machine->state[i] = 1;
    machine->taken++;
    /* rubbish that looks like present entries */
    memset(machine->memory + i * PAGE_SIZE, 0x77, PAGE_SIZE);
    *out = paddr(MACHINE_BASE + i * PAGE_SIZE);
    return true;
}

static void give(void *context, struct paddr frame)
{
    struct machine *machine = context;
    uint64_t i = (frame.v - MACHINE_BASE) / PAGE_SIZE;

    if (i >= MACHINE_FRAMES || !machine->state[i] || frame.v % PAGE_SIZE) {
        fprintf(stderr, "freed twice, or never taken: %#lx\n", frame.v);
        abort();
    }
    machine->state[i] = 0;
    machine->taken--;
    memset(machine->memory + i * PAGE_SIZE, 0x55, PAGE_SIZE);
}

struct pt_alloc machine_alloc(struct machine *machine)
{
    return (struct pt_alloc){.take = take, .give = give, .context = machine};
}

/* ------------------------------------------------------------------ the MMU */

bool machine_walk(const struct machine *machine, uint64_t root, uint64_t address, uint64_t *physical,
                  uint64_t *entry, unsigned *level)
{
    uint64_t table = root;

    for (*level = PT_LEVELS;; --*level) {
        unsigned shift = 12 + 9 * (*level - 1);
        const uint64_t *entries = machine_at(machine, table);

        *entry = entries[(address >> shift) & 511];

        struct mmu_entry read = mmu_read(*entry, *level);

        if (read.kind == MMU_PAGE)
            *physical = read.physical + address % read.bytes;
        if (read.kind != MMU_TABLE)
            return read.kind == MMU_PAGE;
        table = read.physical;
    }
}

static void *resolve(void *context, struct vaddr page)
{
    struct machine *machine = context;
    uint64_t physical, entry;
    unsigned level;

    for (unsigned i = 0; i < machine->cached; i++)
        if (machine->cache[i].page == page.v)
            return machine->cache[i].at;
    if (!machine_walk(machine, machine->cr3, page.v, &physical, &entry, &level)) {
        fprintf(stderr, "the library's access to %#lx faults at level %u\n", page.v, level);
        abort();
    }
    if (machine->cached == MACHINE_CACHE)
        machine->cached = 0;
    machine->cache[machine->cached].page = page.v;
    machine->cache[machine->cached].at = machine_at(machine, physical);
    return machine->cache[machine->cached++].at;
}

static void forget(void *context, struct vaddr page)
{
    struct machine *machine = context;

    for (unsigned i = 0; i < machine->cached; i++)
        if (machine->cache[i].page == page.v)
            machine->cache[i--] = machine->cache[--machine->cached];
}

/* A caller's functions. What is not shown, is shown too often, or stays shown when the machine ends, is an
 * error of the library. */
static void *show(void *context, struct paddr frame)
{
    struct machine *machine = context;
    void *at = machine_at(machine, frame.v);

    machine->shown[(frame.v - MACHINE_BASE) / PAGE_SIZE]++;
    if (++machine->shown_now > PT_OPEN_TABLES) {
        fprintf(stderr, "more than %d frames are shown\n", PT_OPEN_TABLES);
        abort();
    }
    return at;
}

static void hide(void *context, void *at)
{
    struct machine *machine = context;
    size_t i = (size_t)((unsigned char *)at - machine->memory) / PAGE_SIZE;

    if (machine->shown[i] == 0 || (size_t)((unsigned char *)at - machine->memory) % PAGE_SIZE != 0) {
        fprintf(stderr, "hidden, but not shown: frame %zu\n", i);
        abort();
    }
    machine->shown[i]--;
    machine->shown_now--;
}

/* ------------------------------------------------------------------ tables */

static struct pt_reach reach_offset(const struct machine *machine)
{
    return pt_reach_offset((uint64_t)(uintptr_t)machine->memory - MACHINE_BASE);
}

static void must(enum status status)
{
    if (status != ST_OK) {
        fprintf(stderr, "setting up: %s\n", status_name(status));
        abort();
    }
}

/* A level-1 table that maps itself, at MACHINE_WINDOW of the page table. It is no longer counted: what the
 * slots hold changes all the time. */
static void add_window(struct machine *machine, struct pt *pt)
{
    struct pt_entry *parent = NULL, *table = machine_at(machine, pt->root.v);

    must(pt_make_tables(pt, vaddr(MACHINE_WINDOW), PAGE_SIZE, 1));
    for (unsigned level = PT_LEVELS; level > 1; level--) {
        parent = &table[pt_index(vaddr(MACHINE_WINDOW), level)];
        table = machine_at(machine, pt_entry_paddr(*parent).v);
    }
    table[MACHINE_SLOT_SELF] =
        pt_entry_page(pt_entry_paddr(*parent), pt_flags(PT_FLAG_WRITE | PT_FLAG_ACCESSED | PT_FLAG_DIRTY), 1);
    *parent = pt_entry_with_live(*parent, PT_LIVE_UNKNOWN);
}

struct pt machine_table(struct machine *machine, enum machine_way way, struct pt_alloc *alloc)
{
    struct pt pt, kernel;

    must(pt_create(&pt, reach_offset(machine), alloc));
    if (way == WAY_RECURSIVE) {
        must(pt_make_recursive(&pt, MACHINE_RECURSIVE_INDEX));
        machine->cr3 = pt.root.v;
        pt.reach = (pt_reach_recursive)(MACHINE_RECURSIVE_INDEX, forget, machine);
        pt.reach.resolve = resolve;
    } else if (way == WAY_SLOTS || way == WAY_SLOTS_SAME_ROOT) {
        kernel = pt;
        if (way == WAY_SLOTS)
            must(pt_create(&kernel, reach_offset(machine), alloc));
        add_window(machine, &kernel);
        machine->cr3 = kernel.root.v;
        pt.reach = pt_reach_slots(vaddr(MACHINE_WINDOW), MACHINE_SLOT_SELF, forget, machine);
        pt.reach.resolve = resolve;
    } else if (way == WAY_FUNCTION) {
        pt.reach = pt_reach_function(show, hide, machine);
    }
    return pt;
}

/*
 * Traces on the core itself: sim/full/full.h.
 *
 * A process's page n is at the address n * 4 KiB. If the trace has pages in the first 64 KiB, which are never
 * given out, all of its addresses are 2 MiB higher: what lies together in a huge page still does. All of user
 * memory is one anonymous mapping, which costs a few marks; what is touched gets tables and frames.
 *
 * A page comes in as a kernel would read it from its store: by a fault, and clean. Under a limit the victim's
 * contents are dropped (nobody reads them here), and it is counted whether they would have been written.
 *
 * Invariant: a page is POLICY_RESIDENT when an entry of a table maps it, if there is a policy.
 */
#include "sim/full/full.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host/sim/sim.h"
#include "pt/fmt/x86_64.h"
#include "sim/trace_cursor.h"

#define MOST_MEMORY ((uint64_t)16 << 30)
#define SPARE_MEMORY ((uint64_t)16 << 20) /* for the frame table's beginning, caches and small structures */

enum { PROGRESS_ROUNDS = 64 };

struct process {
    struct trace_cursor cursor;
    struct space *space;
    uint64_t *addresses; /* by page */
    uint32_t first;      /* its first number in the policy */
    bool ended;
};

struct full {
    const struct full_config *config;
    struct full_result *result;
    struct trace_error *error;
    struct process *processes;
    uint32_t count, running;
    uint32_t pages;        /* of all */
    uint64_t regions;      /* of 2 MiB, with a page each at least */
    struct policy *policy; /* NULL: nothing ever goes */
    struct policy_host host;
    void *memory; /* the policy's */
    uint8_t *state;
    uint32_t *owner; /* of each page: the process */
    uint64_t until_tick;
    struct vm_stats before;
    bool booted;
};

static bool fail(struct full *full, const char *what)
{
    snprintf(full->error->text, sizeof(full->error->text), "%s", what);
    return false;
}

/* ------------------------------------------------------------------ entries of tables */

/* The entry that maps the address, or NULL. */
static struct pt_entry *leaf_of(const struct space *space, uint64_t address)
{
    struct paddr table = space_root(space);

    for (unsigned level = PT_LEVELS; level > 0; level--) {
        struct pt_entry *entry = (struct pt_entry *)host_at(table) + pt_index(vaddr(address), level);

        if (!pt_entry_present(*entry))
            return NULL;
        if (pt_entry_is_page(*entry, level))
            return entry;
        table = pt_entry_paddr(*entry);
    }
    return NULL;
}

static struct process *owner_of(const struct full *full, uint32_t page)
{
    return &full->processes[full->owner[page]];
}

static uint64_t address_of(const struct process *process, uint32_t page)
{
    return process->addresses[page - process->first];
}

/* policy_host: what the MMU has noted since the last time. */
static void harvest(void *context, struct policy *policy, uint32_t page)
{
    const struct full *full = context;
    const struct process *process = owner_of(full, page);
    struct pt_entry *entry = leaf_of(process->space, address_of(process, page));

    if (!entry)
        return;
    if (entry->bits & PT_ACCESSED)
        policy->state[page] |= POLICY_REFERENCED;
    if (entry->bits & PT_DIRTY)
        policy->state[page] |= POLICY_DIRTY;
    entry->bits &= ~PT_ACCESSED;
}

/* The contents are as good as written; the next write must set the bit anew, so the translation goes. */
static void clean(void *context, struct policy *policy, uint32_t page)
{
    struct full *full = context;
    const struct process *process = owner_of(full, page);
    struct pt_entry *entry = leaf_of(process->space, address_of(process, page));

    full->result->tally.write_backs += (policy->state[page] & POLICY_DIRTY) != 0;
    policy->state[page] &= (uint8_t)~POLICY_DIRTY;
    if (entry)
        entry->bits &= ~PT_DIRTY;
    host_flush_page(space_mmu(process->space), vaddr(address_of(process, page)));
}

/* ------------------------------------------------------------------ faults */

static bool evict(struct full *full, uint32_t page)
{
    const struct process *process = owner_of(full, page);
    uint64_t address = address_of(process, page);
    struct pt_entry *entry = leaf_of(process->space, address);
    bool dirty = (full->state[page] & POLICY_DIRTY) != 0 || (entry && (entry->bits & PT_DIRTY) != 0);

    full->state[page] &= (uint8_t)~POLICY_DIRTY;
    full->result->tally.evictions++;
    full->result->tally.write_backs += dirty;
    if (space_advise(process->space, vaddr(address), FULL_PAGE, ADVICE_DONT_NEED) != ST_OK)
        return fail(full, "the core could not drop a page");
    return true;
}

static bool make_room(struct full *full, uint32_t page)
{
    struct policy *policy = full->policy;

    if (policy->resident >= policy->frames && !evict(full, policy_victim(policy, page)))
        return false;
    policy_insert(policy, page);
    return true;
}

/* Brings the page in, and makes the access. */
static bool fault(struct full *full, struct process *process, uint64_t address, enum access access)
{
    struct pt_entry *entry;
    struct paddr out;

    if (space_fault(process->space, vaddr(address), ACCESS_WRITE) != ST_OK)
        return fail(full, "the core could not serve a page fault");
    full->result->tally.faults++;
    entry = leaf_of(process->space, address);
    if (entry)
        entry->bits &= ~PT_DIRTY;
    if (!mmu_access(space_mmu(process->space), vaddr(address), access, &out, NULL))
        return fail(full, "the core served a page fault, and the access faults again");
    return true;
}

static bool refer(struct full *full, struct process *process, uint32_t reference)
{
    uint64_t address = process->addresses[reference >> 1];
    enum access access = reference & 1 ? ACCESS_WRITE : ACCESS_READ;
    struct paddr out;

    if (mmu_access(space_mmu(process->space), vaddr(address), access, &out, NULL))
        return true;
    if (full->policy && !make_room(full, process->first + (reference >> 1)))
        return false;
    return fault(full, process, address, access);
}

/* ------------------------------------------------------------------ turns */

static bool run_piece(struct full *full, struct process *process, size_t count)
{
    const uint32_t *references = cursor_references(&process->cursor);

    for (size_t i = 0; i < count; i++) {
        if (!refer(full, process, references[i]))
            return false;
        if (full->policy)
            full->policy->now++;
    }
    cursor_take(&process->cursor, count);
    full->result->tally.references += count;
    if (full->policy && full->config->tick > 0 && (full->until_tick -= count) == 0) {
        policy_tick(full->policy);
        full->until_tick = full->config->tick;
    }
    return true;
}

static bool run_turn(struct full *full, struct process *process)
{
    uint64_t left = full->config->quantum;

    while (left > 0 && !process->ended) {
        uint64_t wanted = full->config->tick > 0 && full->until_tick < left ? full->until_tick : left;
        size_t count;

        if (!cursor_fill(&process->cursor, wanted, &count, full->error) || !run_piece(full, process, count))
            return false;
        process->ended = count == 0;
        left -= count;
    }
    full->running -= process->ended;
    return true;
}

/* Every so many rounds of turns. */
static void show_progress(const struct full *full, uint64_t round)
{
    double parts = 0;

    if (!full->config->progress || round % PROGRESS_ROUNDS != 0)
        return;
    for (uint32_t i = 0; i < full->count; i++)
        parts += full->processes[i].ended ? 1 : cursor_progress(&full->processes[i].cursor);
    full->config->progress(full->config->context, parts / full->count);
}

static bool run_all(struct full *full)
{
    for (uint64_t round = 0; full->running > 0; round++) {
        show_progress(full, round);
        for (uint32_t i = 0; i < full->count; i++)
            if (!full->processes[i].ended && !run_turn(full, &full->processes[i]))
                return false;
    }
    return true;
}

/* ------------------------------------------------------------------ what the traces need */

static int compare_regions(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a >> HUGE_SHIFT, y = *(const uint64_t *)b >> HUGE_SHIFT;

    return x < y ? -1 : x > y;
}

static uint64_t count_regions(const uint64_t *addresses, uint32_t pages)
{
    uint64_t *sorted = malloc(pages * sizeof(*sorted)), regions = 0;

    if (!sorted)
        return UINT64_MAX;
    memcpy(sorted, addresses, pages * sizeof(*sorted));
    qsort(sorted, pages, sizeof(*sorted), compare_regions);
    for (uint32_t i = 0; i < pages; i++)
        regions += i == 0 || compare_regions(&sorted[i - 1], &sorted[i]) != 0;
    free(sorted);
    return regions;
}

/* By how much addresses are shifted. */
static uint64_t shift_of(const struct trace *trace, uint32_t pages)
{
    for (uint32_t page = 0; page < pages; page++)
        if (trace_page_name(trace, page) < SPACE_START / FULL_PAGE)
            return HUGE_SIZE;
    return 0;
}

static bool place_pages(struct full *full, struct process *process, uint32_t pages)
{
    uint64_t shift = shift_of(process->cursor.trace, pages), regions;

    process->addresses = malloc((pages + 1) * sizeof(*process->addresses));
    if (!process->addresses)
        return fail(full, "not enough memory for the pages");
    for (uint32_t page = 0; page < pages; page++) {
        uint64_t name = trace_page_name(process->cursor.trace, page);

        if (name >= (SPACE_END - shift) / FULL_PAGE)
            return fail(full, "a page's address is beyond those of a process: expected at most 47 bits");
        process->addresses[page] = name * FULL_PAGE + shift;
    }
    regions = count_regions(process->addresses, pages);
    if (regions == UINT64_MAX)
        return fail(full, "not enough memory for the pages");
    full->regions += regions;
    return true;
}

/* Reads the trace through: its pages must be known before there is a machine for them. */
static bool measure(struct full *full, struct process *process)
{
    struct policy_block block = {.count = 1};
    struct trace_info info;
    uint32_t pages;

    while (block.count > 0)
        if (!trace_next(process->cursor.trace, &block, full->error))
            return false;
    trace_get_info(process->cursor.trace, &info);
    if (info.page_bytes != FULL_PAGE)
        return fail(full, "the pages of the trace are not of 4 KiB, as those of the machine are");
    pages = trace_pages(process->cursor.trace);
    if (pages >= POLICY_MAX_PAGES - full->pages)
        return fail(full, "the traces have too many pages: expected fewer than 2147483648 in all");
    if (!place_pages(full, process, pages))
        return false;
    process->first = full->pages;
    full->pages += pages;
    return trace_rewind(process->cursor.trace, full->error);
}

/* Bytes of physical memory: frames, a table for each region at each level at most, and the frame table. */
static uint64_t memory_needed(const struct full *full)
{
    const struct full_config *config = full->config;
    uint64_t frames = config->frames > 0 && config->frames < full->pages ? config->frames : full->pages;
    uint64_t tables = full->regions * (PT_LEVELS - 1) + full->count * 2;

    if (config->huge_pages) /* a quarter must stay free, or the core makes small ones */
        frames = (full->regions + 4) * (HUGE_SIZE / PAGE_SIZE) * 3 / 2;
    return align_up((frames + tables) * PAGE_SIZE * 9 / 8 + SPARE_MEMORY, HUGE_SIZE);
}

/* ------------------------------------------------------------------ making and ending it */

static struct sim_tlb_config tlb_config(const struct full_tlb *tlb)
{
    struct sim_tlb_config config = {
        .small = {tlb->entries, tlb->ways},
        .huge = {tlb->huge_entries, tlb->huge_ways},
        .second = {tlb->second_entries, tlb->second_ways},
        .asids = tlb->asids,
    };

    _Static_assert((int)FULL_WALK_LEVELS == (int)SIM_WALK_LEVELS, "the same levels");
    memcpy(config.walk, tlb->walk, sizeof(config.walk));
    return config;
}

static bool make_space(struct full *full, struct process *process)
{
    struct space_map all = {.hint = vaddr(SPACE_START),
                            .length_bytes = SPACE_END - SPACE_START,
                            .access = ACCESS_READ | ACCESS_WRITE | ACCESS_EXEC,
                            .flags = SPACE_FIXED};
    struct vaddr at;

    if (space_create(&process->space) != ST_OK)
        return fail(full, "the core could not make an address space");
    if (space_map(process->space, &all, &at) != ST_OK ||
        space_advise(process->space, at, all.length_bytes,
                     full->config->huge_pages ? ADVICE_HUGE : ADVICE_NO_HUGE) != ST_OK)
        return fail(full, "the core could not map the memory of a process");
    return true;
}

static bool boot(struct full *full)
{
    struct sim_tlb_config tlb = tlb_config(&full->config->tlb);
    uint64_t bytes = memory_needed(full);

    if (bytes > MOST_MEMORY)
        return fail(full, "the trace touches more than 16 GiB of memory: expected --memory with less, and no "
                          "huge pages");
    sim_boot(bytes);
    full->booted = true;
    if (vm_init(sim_kernel_root()) != ST_OK)
        return fail(full, "the core could not be started");
    for (uint32_t i = 0; i < full->count; i++)
        if (!make_space(full, &full->processes[i]))
            return false;
    sim_tlb_configure(&tlb);
    full->before = vm_stats;
    return true;
}

static bool make_policy(struct full *full)
{
    const struct full_config *config = full->config;
    uint32_t frames = config->frames < full->pages ? config->frames : full->pages;
    struct policy_config made = {.pages = full->pages,
                                 .frames = frames,
                                 .most_frames = frames,
                                 .seed = config->seed,
                                 .host = &full->host};

    if (config->frames == 0)
        return true;
    memcpy(made.options, config->options, sizeof(made.options));
    full->host = (struct policy_host){.harvest = harvest, .clean = clean, .context = full};
    made.state = full->state = calloc(full->pages, 1);
    full->owner = calloc(full->pages, sizeof(*full->owner));
    /* In whole blocks of the alignment that policies expect. */
    full->memory = aligned_alloc(64, align_up(policy_bytes(config->type, &made), 64));
    if (!full->state || !full->owner || !full->memory)
        return fail(full, "not enough memory for the policy");
    memset(full->memory, 0, align_up(policy_bytes(config->type, &made), 64));
    for (uint32_t i = 0; i < full->count; i++) {
        uint32_t end = i + 1 < full->count ? full->processes[i + 1].first : full->pages;

        for (uint32_t page = full->processes[i].first; page < end; page++)
            full->owner[page] = i;
    }
    full->policy = policy_create(config->type, &made, full->memory);
    return true;
}

static bool make(struct full *full, const struct full_process *processes)
{
    full->processes = calloc(full->count + 1, sizeof(*full->processes));
    if (!full->processes)
        return fail(full, "not enough memory for the processes");
    for (uint32_t i = 0; i < full->count; i++) {
        full->processes[i].cursor.trace = processes[i].trace;
        if (!measure(full, &full->processes[i]))
            return false;
    }
    full->running = full->count;
    full->until_tick = full->config->tick;
    return make_policy(full) && boot(full);
}

static void unmake(struct full *full)
{
    for (uint32_t i = 0; full->processes && i < full->count; i++) {
        if (full->processes[i].space)
            space_unref(full->processes[i].space);
        free(full->processes[i].addresses);
    }
    if (full->booted)
        sim_shutdown();
    free(full->processes);
    free(full->memory);
    free(full->owner);
    free(full->state);
}

/* This table and those below it by which a page is reached; the edges of the large mapping have others. */
static uint64_t count_tables(struct paddr table, unsigned level)
{
    const struct pt_entry *entries = host_at(table);
    uint64_t below = 0;
    bool used = false;

    for (unsigned i = 0; i < (level == PT_LEVELS ? PT_ENTRIES / 2 : PT_ENTRIES); i++) {
        if (!pt_entry_present(entries[i]))
            continue;
        if (pt_entry_is_page(entries[i], level))
            used = true;
        else
            below += count_tables(pt_entry_paddr(entries[i]), level - 1);
    }
    return used || below > 0 ? below + 1 : 0;
}

static void report(const struct full *full)
{
    struct full_result *result = full->result;
    struct sim_mmu_counts counts;

    sim_mmu_count(&counts);
    result->tlb_hits = counts.hits;
    result->second_hits = counts.second_hits;
    result->walks = counts.walks;
    result->walk_reads = counts.walk_reads;
    memcpy(result->walk_cache_hits, counts.walk_cache_hits, sizeof(result->walk_cache_hits));
    result->switches = counts.switches;
    result->lost_spaces = counts.lost_spaces;
    result->flushes =
        counts.flushed_pages + counts.flushed_ranges + counts.flushed_spaces + counts.flushed_all;
    result->huge_pages = vm_stats.fault_huge - full->before.fault_huge;
    result->pages = full->pages;
    for (uint32_t i = 0; i < full->count; i++) {
        result->tables += count_tables(space_root(full->processes[i].space), PT_LEVELS);
    }
}

bool full_run(const struct full_config *config, const struct full_process *processes, uint32_t count,
              struct full_result *result, struct trace_error *error)
{
    struct full full = {.config = config, .result = result, .error = error, .count = count};
    bool done;

    memset(result, 0, sizeof(*result));
    if (config->quantum == 0)
        return fail(&full, "expected a quantum above 0");
    if (config->huge_pages && config->frames > 0)
        return fail(&full, "huge pages are not taken out of memory again: expected no limit with them");
    if (config->frames > 0 && config->type->needs != POLICY_BITS)
        return fail(&full, "the MMU gives reference bits, and this policy needs every reference");
    done = make(&full, processes) && run_all(&full);
    if (done)
        report(&full);
    unmake(&full);
    return done;
}

/*
 * The translation caches of the software MMU: host/sim/tlb.h.
 */
#include "host/sim/tlb.h"

#include <stdlib.h>

#include "base/check.h"

/* What hosted tests run on: small, so that entries come and go. */
const struct sim_tlb_config sim_tlb_standard = {
    .small = {64, 2},
    .huge = {4, 4},
    .walk = {[2] = 8},
};

struct sim_tlb sim_tlbs[HOST_MAX_CPUS];
struct sim_mmu_counts sim_flushes;
static struct sim_tlb_config shape;

void tlb_lock(struct sim_tlb *tlb)
{
    while (__atomic_exchange_n(&tlb->taken, 1, __ATOMIC_ACQUIRE) != 0)
        sim_spin();
}

void tlb_unlock(struct sim_tlb *tlb)
{
    __atomic_store_n(&tlb->taken, 0, __ATOMIC_RELEASE);
}

/* ------------------------------------------------------------------ shape */

static bool power_of_two(uint64_t value)
{
    return value != 0 && (value & (value - 1)) == 0;
}

static bool bank_possible(struct sim_tlb_bank bank)
{
    return bank.entries == 0 || (bank.entries <= SIM_TLB_MOST && bank.ways != 0 &&
                                 bank.entries % bank.ways == 0 && power_of_two(bank.entries / bank.ways));
}

bool sim_tlb_possible(const struct sim_tlb_config *config)
{
    for (unsigned level = 2; level <= PT_LEVELS; level++)
        if (config->walk[level] > SIM_TLB_MOST)
            return false;
    return config->small.entries > 0 && config->huge.entries > 0 && config->asids <= SIM_TLB_MOST &&
           bank_possible(config->small) && bank_possible(config->huge) && bank_possible(config->second);
}

static void *make(size_t count, size_t size)
{
    void *memory = calloc(count, size);

    CHECK_ALWAYS(memory != NULL);
    return memory;
}

static void make_bank(struct tlb_bank *bank, struct sim_tlb_bank wanted)
{
    free(bank->entries);
    *bank = (struct tlb_bank){0};
    if (wanted.entries == 0)
        return;
    bank->entries = make(wanted.entries, sizeof(*bank->entries));
    bank->ways = wanted.ways;
    bank->set_mask = wanted.entries / wanted.ways - 1;
}

static void make_tlb(struct sim_tlb *tlb)
{
    make_bank(&tlb->small, shape.small);
    make_bank(&tlb->huge, shape.huge);
    make_bank(&tlb->second, shape.second);
    for (unsigned level = 2; level <= PT_LEVELS; level++) {
        free(tlb->walks[level]);
        tlb->walks[level] =
            shape.walk[level] > 0 ? make(shape.walk[level], sizeof(*tlb->walks[level])) : NULL;
    }
    free(tlb->asids);
    tlb->asids = shape.asids > 0 ? make(shape.asids, sizeof(*tlb->asids)) : NULL;
    tlb->current = 0;
    tlb->levels = 0;
    tlb->counts = (struct sim_mmu_counts){0};
}

void sim_tlb_configure(const struct sim_tlb_config *config)
{
    CHECK_ALWAYS(sim_tlb_possible(config));
    shape = *config;
    sim_flushes = (struct sim_mmu_counts){0};
    for (unsigned cpu = 0; cpu < HOST_MAX_CPUS; cpu++) {
        tlb_lock(&sim_tlbs[cpu]);
        make_tlb(&sim_tlbs[cpu]);
        tlb_unlock(&sim_tlbs[cpu]);
    }
}

/* ------------------------------------------------------------------ spaces */

/* The tag comes to the front of those that have entries; the last of them may have to go. */
static void use_asid(struct sim_tlb *tlb, uint32_t tag)
{
    uint32_t at = 0;

    while (at < shape.asids - 1 && tlb->asids[at] != tag && tlb->asids[at] != 0)
        at++;
    if (tlb->asids[at] != tag && tlb->asids[at] != 0) {
        tlb_drop_space(tlb, tlb->asids[at]);
        tlb->counts.lost_spaces++;
    }
    memmove(&tlb->asids[1], &tlb->asids[0], at * sizeof(tlb->asids[0]));
    tlb->asids[0] = tag;
}

void tlb_enter(struct sim_tlb *tlb, uint32_t tag)
{
    if (tlb->current == tag)
        return;
    tlb->counts.switches += tlb->current != 0;
    tlb->current = tag;
    if (shape.asids > 0)
        use_asid(tlb, tag);
}

/* ------------------------------------------------------------------ translations */

static uint64_t key_of(struct vaddr address, unsigned level)
{
    return align_down(address.v, pt_level_span(level)) | level;
}

static struct tlb_entry *set_of(const struct tlb_bank *bank, struct vaddr address, unsigned level)
{
    uint64_t page = address.v >> (PAGE_SHIFT + PT_INDEX_BITS * (level - 1));

    return &bank->entries[(page & bank->set_mask) * bank->ways];
}

static struct tlb_entry *bank_find(const struct tlb_bank *bank, uint32_t tag, struct vaddr address,
                                   unsigned level)
{
    struct tlb_entry *set;
    uint64_t key = key_of(address, level);

    if (bank->ways == 0)
        return NULL;
    set = set_of(bank, address, level);
    for (unsigned way = 0; way < bank->ways; way++)
        if (set[way].key == key && set[way].tag == tag)
            return &set[way];
    return NULL;
}

/* Where a translation goes: where it is already, or is empty, or was used least recently. */
static struct tlb_entry *bank_place(const struct tlb_bank *bank, uint32_t tag, struct vaddr address,
                                    unsigned level)
{
    struct tlb_entry *set = set_of(bank, address, level), *best = &set[0];
    uint64_t key = key_of(address, level);

    for (unsigned way = 0; way < bank->ways; way++) {
        if (set[way].key == key && set[way].tag == tag)
            return &set[way];
        if (best->key != 0 && (set[way].key == 0 || set[way].used < best->used))
            best = &set[way];
    }
    return best;
}

static struct tlb_bank *first_of(struct sim_tlb *tlb, unsigned level)
{
    return level == 1 ? &tlb->small : &tlb->huge;
}

/* In the second level, and then in the first as well. */
static struct tlb_entry *find_in_second(struct sim_tlb *tlb, struct vaddr address, unsigned level)
{
    struct tlb_entry *entry = bank_find(&tlb->second, tlb->current, address, level), *place;

    if (entry == NULL)
        return NULL;
    entry->used = ++tlb->clock;
    place = bank_place(first_of(tlb, level), tlb->current, address, level);
    *place = *entry;
    tlb->counts.second_hits++;
    return place;
}

struct tlb_entry *tlb_find(struct sim_tlb *tlb, struct vaddr address)
{
    for (unsigned level = 1; level <= PT_PAGE_LEVELS; level++) {
        struct tlb_entry *entry;

        if ((tlb->levels & 1u << level) == 0)
            continue;
        entry = bank_find(first_of(tlb, level), tlb->current, address, level);
        if (entry != NULL) {
            entry->used = ++tlb->clock;
            return entry;
        }
    }
    for (unsigned level = 1; level <= 2 && tlb->second.ways != 0; level++) {
        struct tlb_entry *entry =
            (tlb->levels & 1u << level) != 0 ? find_in_second(tlb, address, level) : NULL;

        if (entry != NULL)
            return entry;
    }
    return NULL;
}

void tlb_insert(struct sim_tlb *tlb, struct vaddr address, unsigned level, uint64_t to, uint64_t rights)
{
    struct tlb_entry entry = {key_of(address, level), to, rights, ++tlb->clock, tlb->current};

    tlb->levels |= 1u << level;
    *bank_place(first_of(tlb, level), tlb->current, address, level) = entry;
    if (tlb->second.ways != 0 && level <= 2)
        *bank_place(&tlb->second, tlb->current, address, level) = entry;
}

/* ------------------------------------------------------------------ walk caches */

const struct walk_entry *tlb_find_walk(struct sim_tlb *tlb, struct vaddr address, unsigned *level)
{
    for (*level = 2; *level <= PT_LEVELS; ++*level) {
        uint64_t key = key_of(address, *level);

        for (unsigned i = 0; i < shape.walk[*level]; i++) {
            struct walk_entry *entry = &tlb->walks[*level][i];

            if (entry->key == key && entry->tag == tlb->current) {
                entry->used = ++tlb->clock;
                tlb->counts.walk_cache_hits[*level]++;
                return entry;
            }
        }
    }
    return NULL;
}

void tlb_insert_walk(struct sim_tlb *tlb, struct vaddr address, unsigned level, uint64_t table,
                     uint64_t rights)
{
    struct walk_entry *best = tlb->walks[level];

    if (shape.walk[level] == 0)
        return;
    for (unsigned i = 0; i < shape.walk[level] && best->key != 0; i++) {
        struct walk_entry *entry = &tlb->walks[level][i];

        if (entry->key == 0 || entry->used < best->used)
            best = entry;
    }
    *best = (struct walk_entry){key_of(address, level), table, rights, ++tlb->clock, tlb->current};
}

/* ------------------------------------------------------------------ forgetting */

/* tag 0: everybody's. */
static void drop_walks(struct sim_tlb *tlb, uint32_t tag)
{
    for (unsigned level = 2; level <= PT_LEVELS; level++)
        for (unsigned i = 0; i < shape.walk[level]; i++)
            if (tag == 0 || tlb->walks[level][i].tag == tag)
                tlb->walks[level][i].key = 0;
}

void tlb_drop(struct sim_tlb *tlb, uint32_t tag, struct vaddr address)
{
    for (unsigned level = 1; level <= PT_PAGE_LEVELS; level++) {
        struct tlb_entry *first = bank_find(first_of(tlb, level), tag, address, level);
        struct tlb_entry *second = level <= 2 ? bank_find(&tlb->second, tag, address, level) : NULL;

        if (first != NULL)
            first->key = 0;
        if (second != NULL)
            second->key = 0;
    }
    drop_walks(tlb, tag);
}

static void drop_in_bank(struct tlb_bank *bank, uint32_t tag)
{
    for (size_t i = 0; i < ((size_t)bank->set_mask + 1) * bank->ways; i++)
        if (tag == 0 || bank->entries[i].tag == tag)
            bank->entries[i].key = 0;
}

void tlb_drop_space(struct sim_tlb *tlb, uint32_t tag)
{
    drop_in_bank(&tlb->small, tag);
    drop_in_bank(&tlb->huge, tag);
    drop_in_bank(&tlb->second, tag);
    drop_walks(tlb, tag);
}

void tlb_drop_all(struct sim_tlb *tlb)
{
    tlb_drop_space(tlb, 0);
    tlb->levels = 0;
}

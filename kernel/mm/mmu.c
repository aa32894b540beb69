/*
 * Translation caches: which space's tables are in CR3, and what is flushed when.
 *
 * With PCIDs (Intel SDM vol. 3A, 4.10) a space keeps its translations while others run. A space's PCID is
 * good while its generation is the current one; when all PCIDs are given out a new generation begins, and
 * everything is flushed once. A change to a space that is not loaded sets its generation to 0: it is flushed
 * when it is loaded next, which costs nothing now. Without PCIDs a load of CR3 flushes what is not global.
 *
 * One CPU is booted; on several, the functions below send the change to those that may hold the space.
 */
#include "base/check.h"
#include "kernel/mm/kernel_map.h"
#include "quire/space.h"

#define CR3_KEEP ((uint64_t)1 << 63)

enum { PCID_KERNEL = 0, PCID_MAX = 4095, CR4_PGE = 1 << 7 };

/* Flushing more single pages than this costs more than filling the cache again. */
enum { FLUSH_PAGES_MAX = 32 };

static uint64_t generation = 1;
static uint32_t pcid_next = PCID_KERNEL + 1;

void host_mmu_init(struct host_mmu *mmu, struct paddr root)
{
    *mmu = (struct host_mmu){.root = root};
}

void host_mmu_destroy(struct host_mmu *mmu)
{
    if (cpu_here()->mmu == mmu)
        mmu_activate(NULL);
}

/* Everything but global pages, of every PCID. */
static void flush_all_now(void)
{
    if (!cpu_features.pcid) {
        cr3_write(cr3_read());
        return;
    }
    /* A change of CR4.PGE flushes all PCIDs and the global pages. */
    uint64_t cr4 = cr4_read();

    cr4_write(cr4 ^ CR4_PGE);
    cr4_write(cr4);
}

static void pcid_assign(struct host_mmu *mmu)
{
    if (pcid_next > PCID_MAX) {
        generation++;
        pcid_next = PCID_KERNEL + 1;
        flush_all_now();
    }
    mmu->pcid = pcid_next++;
    mmu->generation = generation;
}

void mmu_activate(struct host_mmu *mmu)
{
    struct cpu *cpu = cpu_here();

    if (cpu->mmu == mmu)
        return;
    cpu->mmu = mmu;
    if (mmu == NULL) {
        cr3_write(kernel_root.v);
        return;
    }
    if (!cpu_features.pcid) {
        vm_stats.switches_flushed++;
        cr3_write(mmu->root.v);
        return;
    }
    if (mmu->generation == generation) {
        vm_stats.switches_kept++;
        cr3_write(mmu->root.v | mmu->pcid | CR3_KEEP);
        return;
    }
    vm_stats.switches_flushed++;
    pcid_assign(mmu);
    cr3_write(mmu->root.v | mmu->pcid);
}

/* NULL is the kernel's half, which is global: invlpg reaches it from every space. */
void host_flush_page(struct host_mmu *mmu, struct vaddr page)
{
    vm_stats.flush_pages++;
    if (mmu == NULL || mmu == cpu_here()->mmu)
        invlpg(page.v);
    else
        mmu->generation = 0;
}

void host_flush_range(struct host_mmu *mmu, struct vaddr start, uint64_t pages)
{
    if (pages > FLUSH_PAGES_MAX && mmu != NULL) {
        host_flush_space(mmu);
        return;
    }
    vm_stats.flush_ranges++;
    if (mmu != NULL && mmu != cpu_here()->mmu) {
        mmu->generation = 0;
        return;
    }
    for (uint64_t i = 0; i < pages; i++)
        invlpg(start.v + i * PAGE_SIZE);
}

void host_flush_space(struct host_mmu *mmu)
{
    vm_stats.flush_spaces++;
    if (mmu != cpu_here()->mmu)
        mmu->generation = 0;
    else if (mmu != NULL)
        cr3_write(mmu->root.v | (cpu_features.pcid ? mmu->pcid : 0));
    else
        flush_all_now();
}

void host_flush_all(void)
{
    struct host_mmu *mmu = cpu_here()->mmu;

    vm_stats.flush_all++;
    generation++;
    pcid_next = PCID_KERNEL + 1;
    flush_all_now();
    if (mmu != NULL && cpu_features.pcid) {
        pcid_assign(mmu);
        cr3_write(mmu->root.v | mmu->pcid);
    }
}

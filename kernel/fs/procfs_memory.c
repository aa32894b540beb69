/*
 * procfs: memory as a whole: meminfo, vmstat, swaps, and the settings of /proc/sys/vm. Names are Linux's
 * where there is such a thing.
 */
#include <linux/errno.h>

#include "kernel/fs/procfs.h"
#include "kernel/klib.h"
#include "kernel/linux/commit.h"
#include "quire/slab.h"
#include "quire/swap.h"

/* ---------------------------------------------------------------- meminfo */

static void line(struct text *text, const char *name, uint64_t pages)
{
    char label[32];

    snprintf(label, sizeof label, "%s:", name);
    text_printf(text, "%-16s%8lu kB\n", label, pages << (PAGE_SHIFT - 10));
}

static void line_swap(struct text *text)
{
    struct swap_counts swap;

    swap_count(&swap);
    line(text, "SwapTotal", swap.slots);
    line(text, "SwapFree", swap.slots - swap.used - swap.bad);
}

static uint64_t swap_cached(void)
{
    struct swap_counts swap;

    swap_count(&swap);
    return swap.cached;
}

void proc_meminfo(struct text *text, const struct proc_subject *subject)
{
    struct frame_counts counts;
    uint64_t total, cached, file, anon, locked = vm_locked_pages();

    (void)slab_trim(); /* slabs that are wholly free are kept for speed only: they count as free */
    frames_count(&counts);
    total = counts.total - counts.by_use[FRAME_RESERVED];
    file = counts.by_use[FRAME_FILE];
    anon = counts.by_use[FRAME_ANON];
    cached = file + counts.by_use[FRAME_SHARED];
    line(text, "MemTotal", total);
    line(text, "MemFree", counts.by_use[FRAME_FREE]);
    line(text, "MemAvailable", counts.by_use[FRAME_FREE] + file);
    line(text, "Buffers", 0);
    line(text, "Cached", cached);
    line(text, "SwapCached", swap_cached());
    line(text, "Active", anon + cached);
    line(text, "Inactive", 0);
    line(text, "Active(anon)", anon + counts.by_use[FRAME_SHARED]);
    line(text, "Inactive(anon)", 0);
    line(text, "Active(file)", file);
    line(text, "Inactive(file)", 0);
    line(text, "Unevictable", locked);
    line(text, "Mlocked", locked);
    line_swap(text);
    line(text, "Dirty", 0);
    line(text, "Writeback", 0);
    line(text, "AnonPages", anon);
    line(text, "Mapped", cached);
    line(text, "Shmem", counts.by_use[FRAME_SHARED]);
    line(text, "KReclaimable", 0);
    line(text, "Slab", counts.by_use[FRAME_SLAB]);
    line(text, "SReclaimable", 0);
    line(text, "SUnreclaim", counts.by_use[FRAME_SLAB]);
    text_printf(text, "KernelStack:    %8lu kB\n", (unsigned long)process_count() * (KSTACK_BYTES >> 10));
    line(text, "PageTables", counts.by_use[FRAME_TABLE]);
    line(text, "CommitLimit", commit_limit());
    line(text, "Committed_AS", committed());
    text_printf(text,
                "VmallocTotal:   34359738367 kB\nVmallocUsed:           0 kB\nVmallocChunk:          0 kB\n");
    text_printf(text, "HugePages_Total:       0\nHugePages_Free:        0\nHugePages_Rsvd:        0\n"
                      "HugePages_Surp:        0\nHugepagesize:       2048 kB\nHugetlb:               0 kB\n");
}

/* ---------------------------------------------------------------- vmstat */

static void count(struct text *text, const char *name, uint64_t value)
{
    text_printf(text, "%s %lu\n", name, value);
}

void proc_vmstat(struct text *text, const struct proc_subject *subject)
{
    struct frame_counts counts;
    struct swap_counts swap;

    frames_count(&counts);
    swap_count(&swap);
    count(text, "nr_free_pages", counts.by_use[FRAME_FREE]);
    count(text, "nr_anon_pages", counts.by_use[FRAME_ANON]);
    count(text, "nr_file_pages", counts.by_use[FRAME_FILE] + counts.by_use[FRAME_SHARED]);
    count(text, "nr_shmem", counts.by_use[FRAME_SHARED]);
    count(text, "nr_page_table_pages", counts.by_use[FRAME_TABLE]);
    count(text, "nr_mlock", vm_locked_pages());
    count(text, "nr_swapcached", swap.cached);
    count(text, "pgpgin", (vm_stats.page_ins + swap.page_ins) << (PAGE_SHIFT - 10));
    count(text, "pgpgout", (vm_stats.write_backs + swap.page_outs) << (PAGE_SHIFT - 10));
    count(text, "pswpin", swap.page_ins);
    count(text, "pswpout", swap.page_outs);
    count(text, "pgfault", vm_stats.faults);
    count(text, "pgmajfault", vm_stats.fault_major);
    count(text, "pglazyfree", vm_stats.lazy_frees);
    count(text, "pglazyfreed", vm_stats.lazy_freed);
    count(text, "pgsteal_direct", vm_stats.drops);
    count(text, "pgscan_direct", vm_stats.reclaim_scans);
    count(text, "swap_ra", swap.read_ahead);
    count(text, "swap_ra_hit", swap.read_ahead_hits);
    count(text, "thp_fault_alloc", vm_stats.fault_huge);
    count(text, "thp_split_page", vm_stats.huge_splits);
}

void proc_swaps(struct text *text, const struct proc_subject *subject)
{
    struct swap_counts swap;

    text_printf(text, "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n");
    swap_count(&swap);
    if (swap.slots != 0)
        text_printf(text, "/dev/vda                                partition\t%lu\t\t%lu\t\t-2\n",
                    swap.slots << (PAGE_SHIFT - 10), swap.used << (PAGE_SHIFT - 10));
}

/* ---------------------------------------------------------------- settings */

static void overcommit_memory(struct text *text, const struct proc_subject *subject)
{
    text_printf(text, "%d\n", (int)overcommit_mode());
}

static long take_overcommit_memory(const char *written, const struct proc_subject *subject)
{
    int64_t mode;
    long error = proc_number(written, COMMIT_GUESS, COMMIT_NEVER, &mode);

    if (error == 0)
        overcommit_set_mode((enum overcommit)mode);
    return error;
}

static void ratio(struct text *text, const struct proc_subject *subject)
{
    text_printf(text, "%lu\n", overcommit_ratio());
}

static long take_ratio(const char *written, const struct proc_subject *subject)
{
    int64_t percent;
    long error = proc_number(written, 0, INT32_MAX, &percent);

    if (error == 0)
        overcommit_set_ratio((uint64_t)percent);
    return error;
}

static void overcommit_kbytes(struct text *text, const struct proc_subject *subject)
{
    text_printf(text, "%lu\n", overcommit_pages() << (PAGE_SHIFT - 10));
}

static long take_overcommit_kbytes(const char *written, const struct proc_subject *subject)
{
    int64_t kbytes;
    long error = proc_number(written, 0, INT64_MAX, &kbytes);

    if (error == 0)
        overcommit_set_pages((uint64_t)kbytes >> (PAGE_SHIFT - 10));
    return error;
}

static void drop_caches(struct text *text, const struct proc_subject *subject)
{
    text_printf(text, "0\n");
}

/* 1: clean pages of files; 2: free slabs; 3: both. */
static long take_drop_caches(const char *written, const struct proc_subject *subject)
{
    int64_t what;
    long error = proc_number(written, 1, 4, &what);

    if (error == 0 && (what & 1) != 0)
        (void)objects_drop_all();
    if (error == 0 && (what & 2) != 0)
        (void)slab_trim();
    return error;
}

static void mmap_min_addr(struct text *text, const struct proc_subject *subject)
{
    text_printf(text, "%lu\n", SPACE_START);
}

static void max_map_count(struct text *text, const struct proc_subject *subject)
{
    text_printf(text, "2147483647\n"); /* the page table has no regions to count */
}

const struct proc_entry proc_vm_entries[] = {
    PROC_SETTING("overcommit_memory", overcommit_memory, take_overcommit_memory),
    PROC_SETTING("overcommit_ratio", ratio, take_ratio),
    PROC_SETTING("overcommit_kbytes", overcommit_kbytes, take_overcommit_kbytes),
    PROC_SETTING("drop_caches", drop_caches, take_drop_caches),
    PROC_TEXT("mmap_min_addr", mmap_min_addr),
    PROC_TEXT("max_map_count", max_map_count),
    {.name = NULL},
};

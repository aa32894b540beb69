#include "kernel/mm/report.h"

#include "kernel/boot/boot.h"
#include "kernel/klib.h"
#include "kernel/linux/syscalls.h"
#include "kernel/mm/report_write.h"
#include "kernel/mm/samples.h"
#include "kernel/x86/x86.h"
#include "quire/space.h"

static uint64_t first_user_tsc;

void report_first_user(void)
{
    if (first_user_tsc == 0)
        first_user_tsc = rdtsc();
}

/* Of the moment when the first process ended. */
static struct {
    bool taken;
    struct frame_counts frames;
    uint64_t tables;
} at_end;

void report_note_end(void)
{
    frames_count(&at_end.frames);
    at_end.tables = vm_stats.table_frames;
    at_end.taken = true;
    samples_end();
}

static void put_frames(struct report *w)
{
    static const char *const uses[FRAME_USES] = {
        [FRAME_RESERVED] = "reserved", [FRAME_FREE] = "free",          [FRAME_KERNEL] = "kernel",
        [FRAME_TABLE] = "table",       [FRAME_SLAB] = "slab",          [FRAME_ANON] = "anonymous",
        [FRAME_FILE] = "file",         [FRAME_SHARED] = "memory_file",
    };
    struct frame_counts counts = at_end.frames;

    if (!at_end.taken)
        frames_count(&counts);
    report_begin(w, "frames");
    report_number(w, "total", counts.total);
    for (unsigned use = 0; use < FRAME_USES; use++)
        report_number(w, uses[use], counts.by_use[use]);
    report_number(w, "zeroed", counts.zeroed);
    report_number(w, "reserve", counts.reserve);
    report_end(w);
}

static void put_faults(struct report *w)
{
    report_begin(w, "faults");
    report_number(w, "all", vm_stats.faults);
    report_number(w, "zero", vm_stats.fault_zero);
    report_number(w, "zero_read", vm_stats.fault_zero_read);
    report_number(w, "huge", vm_stats.fault_huge);
    report_number(w, "minor", vm_stats.fault_minor);
    report_number(w, "major", vm_stats.fault_major);
    report_number(w, "around", vm_stats.fault_around);
    report_number(w, "copy", vm_stats.fault_copy);
    report_number(w, "reuse", vm_stats.fault_reuse);
    report_number(w, "protection", vm_stats.fault_protection);
    report_number(w, "unmapped", vm_stats.fault_unmapped);
    report_number(w, "spurious", vm_stats.fault_spurious);
    report_number(w, "stack", vm_stats.fault_stack);
    report_number(w, "kernel", vm_stats.fault_kernel);
    report_end(w);
}

static void put_paging(struct report *w)
{
    report_begin(w, "paging");
    report_number(w, "page_ins", vm_stats.page_ins);
    report_number(w, "page_in_reads", vm_stats.page_in_reads);
    report_number(w, "write_backs", vm_stats.write_backs);
    report_number(w, "write_back_writes", vm_stats.write_back_writes);
    report_number(w, "drops", vm_stats.drops);
    report_number(w, "reclaim_scans", vm_stats.reclaim_scans);
    report_number(w, "copies", vm_stats.fault_copy);
    report_number(w, "reuses", vm_stats.fault_reuse);
    report_number(w, "huge_splits", vm_stats.huge_splits);
    report_end(w);
}

static void put_tables(struct report *w)
{
    report_begin(w, "tables");
    report_number(w, "frames", at_end.taken ? at_end.tables : vm_stats.table_frames);
    report_number(w, "frames_peak", vm_stats.table_frames_peak);
    report_number(w, "shares", vm_stats.table_shares);
    report_number(w, "copies", vm_stats.table_copies);
    report_end(w);
}

static void put_tlb(struct report *w)
{
    report_begin(w, "tlb");
    report_number(w, "flush_pages", vm_stats.flush_pages);
    report_number(w, "flush_ranges", vm_stats.flush_ranges);
    report_number(w, "flush_spaces", vm_stats.flush_spaces);
    report_number(w, "flush_all", vm_stats.flush_all);
    report_number(w, "switches_kept", vm_stats.switches_kept);
    report_number(w, "switches_flushed", vm_stats.switches_flushed);
    report_end(w);
}

static void put_unknown(const char *name, unsigned number, uint64_t count, void *context)
{
    struct report *w = context;

    report_put(w, "%s{\"number\":%u,\"name\":\"%s\",\"count\":%lu}", w->comma ? "," : "", number,
               name == NULL ? "?" : name, count);
    w->comma = true;
}

static void put_unknown_calls(struct report *w)
{
    report_begin_list(w, "unknown_system_calls");
    syscall_unknown_for_each(put_unknown, w);
    report_end_list(w);
}

/* Counts of the TSC; under --icount one is one instruction since reset. */
static void put_boot(struct report *w)
{
    report_begin(w, "boot");
    report_number(w, "tsc_hz", cpu_here()->tsc_hz);
    report_number(w, "kernel_entry_tsc", boot_tsc);
    report_number(w, "first_user_tsc", first_user_tsc);
    report_number(w, "now_tsc", rdtsc());
    report_number(w, "uptime_ns", host_now_ns());
    report_end(w);
}

size_t report_write(char *to, size_t size)
{
    struct report w = {to, size, 0, false};

    report_put(&w, "{");
    report_text(&w, "kernel", "quire");
    put_boot(&w);
    put_frames(&w);
    put_faults(&w);
    put_paging(&w);
    put_tables(&w);
    report_swap(&w);
    report_reclaim(&w);
    report_samples(&w);
    put_tlb(&w);
    put_unknown_calls(&w);
    report_put(&w, "}");
    return w.length;
}

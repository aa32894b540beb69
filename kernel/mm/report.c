#include "kernel/mm/report.h"
#include "kernel/boot/boot.h"
#include "kernel/klib.h"
#include "kernel/linux/syscalls.h"
#include "kernel/x86/x86.h"
#include "quire/space.h"

struct writer {
    char *to;
    size_t size;
    size_t length;
    bool comma; /* the next member needs one before it */
};

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
}

static void put(struct writer *w, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void put(struct writer *w, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    int length = vsnprintf(w->to + w->length, w->size - w->length, format, args);

    va_end(args);
    w->length += (size_t)length;
    if (w->length >= w->size)
        w->length = w->size - 1; /* cut */
}

static void put_name(struct writer *w, const char *name)
{
    put(w, "%s\"%s\":", w->comma ? "," : "", name);
    w->comma = true;
}

static void put_number(struct writer *w, const char *name, uint64_t value)
{
    put_name(w, name);
    put(w, "%lu", value);
}

static void put_text(struct writer *w, const char *name, const char *value)
{
    put_name(w, name);
    put(w, "\"%s\"", value);
}

static void begin(struct writer *w, const char *name)
{
    put_name(w, name);
    put(w, "{");
    w->comma = false;
}

static void end(struct writer *w)
{
    put(w, "}");
    w->comma = true;
}

static void put_frames(struct writer *w)
{
    static const char *const uses[FRAME_USES] = {
        [FRAME_RESERVED] = "reserved", [FRAME_FREE] = "free",          [FRAME_KERNEL] = "kernel",
        [FRAME_TABLE] = "table",       [FRAME_SLAB] = "slab",          [FRAME_ANON] = "anonymous",
        [FRAME_FILE] = "file",         [FRAME_SHARED] = "memory_file",
    };
    struct frame_counts counts = at_end.frames;

    if (!at_end.taken)
        frames_count(&counts);
    begin(w, "frames");
    put_number(w, "total", counts.total);
    for (unsigned use = 0; use < FRAME_USES; use++)
        put_number(w, uses[use], counts.by_use[use]);
    put_number(w, "zeroed", counts.zeroed);
    put_number(w, "reserve", counts.reserve);
    end(w);
}

static void put_faults(struct writer *w)
{
    begin(w, "faults");
    put_number(w, "all", vm_stats.faults);
    put_number(w, "zero", vm_stats.fault_zero);
    put_number(w, "zero_read", vm_stats.fault_zero_read);
    put_number(w, "huge", vm_stats.fault_huge);
    put_number(w, "minor", vm_stats.fault_minor);
    put_number(w, "major", vm_stats.fault_major);
    put_number(w, "around", vm_stats.fault_around);
    put_number(w, "copy", vm_stats.fault_copy);
    put_number(w, "reuse", vm_stats.fault_reuse);
    put_number(w, "protection", vm_stats.fault_protection);
    put_number(w, "unmapped", vm_stats.fault_unmapped);
    put_number(w, "spurious", vm_stats.fault_spurious);
    put_number(w, "stack", vm_stats.fault_stack);
    put_number(w, "kernel", vm_stats.fault_kernel);
    end(w);
}

static void put_paging(struct writer *w)
{
    begin(w, "paging");
    put_number(w, "page_ins", vm_stats.page_ins);
    put_number(w, "page_in_reads", vm_stats.page_in_reads);
    put_number(w, "write_backs", vm_stats.write_backs);
    put_number(w, "write_back_writes", vm_stats.write_back_writes);
    put_number(w, "drops", vm_stats.drops);
    put_number(w, "reclaim_scans", vm_stats.reclaim_scans);
    put_number(w, "copies", vm_stats.fault_copy);
    put_number(w, "reuses", vm_stats.fault_reuse);
    put_number(w, "huge_splits", vm_stats.huge_splits);
    end(w);
}

static void put_tables(struct writer *w)
{
    begin(w, "tables");
    put_number(w, "frames", at_end.taken ? at_end.tables : vm_stats.table_frames);
    put_number(w, "frames_peak", vm_stats.table_frames_peak);
    put_number(w, "shares", vm_stats.table_shares);
    put_number(w, "copies", vm_stats.table_copies);
    end(w);
}

static void put_tlb(struct writer *w)
{
    begin(w, "tlb");
    put_number(w, "flush_pages", vm_stats.flush_pages);
    put_number(w, "flush_ranges", vm_stats.flush_ranges);
    put_number(w, "flush_spaces", vm_stats.flush_spaces);
    put_number(w, "flush_all", vm_stats.flush_all);
    put_number(w, "switches_kept", vm_stats.switches_kept);
    put_number(w, "switches_flushed", vm_stats.switches_flushed);
    end(w);
}

static void put_unknown(const char *name, unsigned number, uint64_t count, void *context)
{
    struct writer *w = context;

    put(w, "%s{\"number\":%u,\"name\":\"%s\",\"count\":%lu}", w->comma ? "," : "", number,
        name == NULL ? "?" : name, count);
    w->comma = true;
}

static void put_unknown_calls(struct writer *w)
{
    put_name(w, "unknown_system_calls");
    put(w, "[");
    w->comma = false;
    syscall_unknown_for_each(put_unknown, w);
    put(w, "]");
    w->comma = true;
}

/* Counts of the TSC; under --icount one is one instruction since reset. */
static void put_boot(struct writer *w)
{
    begin(w, "boot");
    put_number(w, "tsc_hz", cpu_here()->tsc_hz);
    put_number(w, "kernel_entry_tsc", boot_tsc);
    put_number(w, "first_user_tsc", first_user_tsc);
    put_number(w, "now_tsc", rdtsc());
    put_number(w, "uptime_ns", host_now_ns());
    end(w);
}

size_t report_write(char *to, size_t size)
{
    struct writer w = {to, size, 0, false};

    put(&w, "{");
    put_text(&w, "kernel", "quire");
    put_boot(&w);
    put_frames(&w);
    put_faults(&w);
    put_paging(&w);
    put_tables(&w);
    put_tlb(&w);
    put_unknown_calls(&w);
    put(&w, "}");
    return w.length;
}

/*
 * What the report's figures mean, for its readers. A figure that is not here is shown without words.
 */
#include <string.h>

#include "cli/report.h"

static const struct {
    const char *section, *name, *words;
} explanations[] = {
    {"boot", "tsc_hz", "ticks a second; with --icount one is one instruction"},
    {"boot", "kernel_entry_tsc", "since reset: the firmware"},
    {"boot", "first_user_tsc", "since reset: the program's first instruction"},
    {"boot", "now_tsc", "since reset"},
    {"boot", "uptime_ns", "of the kernel"},
    {"frames", "total", "of 4 KiB"},
    {"frames", "reserved", "firmware, holes"},
    {"frames", "kernel", "image, stacks, frame table"},
    {"frames", "table", "page tables of processes"},
    {"frames", "slab", "small structures"},
    {"frames", "anonymous", "private memory of processes"},
    {"frames", "file", "pages of the share"},
    {"frames", "memory_file", "pages of files in memory (/, /tmp)"},
    {"frames", "zeroed", "free, and zeroed ahead"},
    {"frames", "reserve", "kept for reclaim and its I/O"},
    {"faults", "all", "every page fault"},
    {"faults", "zero", "first touch of private memory"},
    {"faults", "zero_read", "read of untouched memory: the page of zeroes"},
    {"faults", "huge", "2 MiB at once"},
    {"faults", "minor", "page of a file, in memory (by then)"},
    {"faults", "major", "of a file, waited until it was read"},
    {"faults", "around", "further pages mapped by the way"},
    {"faults", "copy", "write to a shared private page: copied"},
    {"faults", "reuse", "the same, and nobody else had it"},
    {"faults", "protection", "access that was denied"},
    {"faults", "unmapped", "access to nothing"},
    {"faults", "spurious", "already possible"},
    {"faults", "stack", "the stack grew"},
    {"faults", "kernel", "taken by the kernel in a copy"},
    {"paging", "page_ins", "pages read from the share"},
    {"paging", "page_in_reads", "in so many reads"},
    {"paging", "write_backs", "dirty pages written to the share"},
    {"paging", "write_back_writes", "in so many writes"},
    {"paging", "drops", "clean pages that left memory"},
    {"paging", "reclaim_scans", "pages looked at for that"},
    {"paging", "copies", "copy-on-write that copied"},
    {"paging", "reuses", "copy-on-write that did not have to"},
    {"paging", "huge_splits", "2 MiB pages cut into small ones"},
    {"swap", "slots", "pages that there is room for"},
    {"swap", "used", "now"},
    {"swap", "cached", "of these in memory, too"},
    {"swap", "zero", "of these pages of zeroes, which are not written"},
    {"swap", "bad", "slots that could not be written"},
    {"swap", "page_outs", "pages written"},
    {"swap", "write_requests", "in so many writes"},
    {"swap", "page_ins", "pages read"},
    {"swap", "read_requests", "in so many reads"},
    {"swap", "read_ahead", "pages that nobody had asked for"},
    {"swap", "read_ahead_hits", "of these, wanted later"},
    {"swap", "cache_hits", "faults that found their page still there"},
    {"compressed", "pages", "in memory, compressed, now"},
    {"compressed", "zero", "of zeroes, which take none"},
    {"compressed", "bytes", "that the compressed ones take"},
    {"compressed", "memory_pages", "of memory, for these"},
    {"compressed", "too_large", "pages that did not become small enough"},
    {"compressed", "no_room", "pages for which there was no memory"},
    {"compressed", "behind_reads", "pages read from the disk behind"},
    {"compressed", "behind_writes", "pages written to it"},
    {"reclaim", "frames", "that pages can have"},
    {"reclaim", "enrolled", "pages that the policy knows, now"},
    {"reclaim", "nobodys", "of these, charged to no process"},
    {"reclaim", "low", "free frames at which the cleaner begins"},
    {"reclaim", "high", "and ends"},
    {"reclaim", "evicted_clean", "left memory, nothing was written"},
    {"reclaim", "evicted_dirty", "had to be written"},
    {"reclaim", "cleaned", "written ahead of need"},
    {"reclaim", "returned", "wanted again before they had gone"},
    {"reclaim", "direct", "evictions by who needed a frame"},
    {"reclaim", "background", "by the cleaner"},
    {"reclaim", "refaults", "pages that came back"},
    {"reclaim", "swap_outs", "processes that left as a whole (load control)"},
    {"reclaim", "swap_ins", "and came back"},
    {"policy", "harvests", "looks at a page's reference bits"},
    {"policy", "flushes", "of TLBs for that"},
    {"sharing", "pages", "of files, mapped by others too, that an ending process had at most"},
    {"sharing", "mappings", "all mappings of these"},
    {"sharing", "unmapped_pages", "taken from several page tables at once"},
    {"sharing", "unmapped_entries", "entries that mapped these"},
    {"tables", "frames", "page tables of processes, now"},
    {"tables", "frames_peak", "at most"},
    {"tables", "shares", "tables that fork shared"},
    {"tables", "copies", "shared tables that had to be copied"},
    {"tlb", "flush_pages", "single pages"},
    {"tlb", "flush_ranges", "ranges"},
    {"tlb", "flush_spaces", "whole address spaces"},
    {"tlb", "flush_all", "everything"},
    {"tlb", "switches_kept", "changes of space that kept translations"},
    {"tlb", "switches_flushed", "changes of space that lost them"},
};

const char *report_words(const char *section, const char *name)
{
    for (size_t i = 0; i < sizeof(explanations) / sizeof(explanations[0]); i++) {
        if (strcmp(explanations[i].section, section) == 0 && strcmp(explanations[i].name, name) == 0) {
            return explanations[i].words;
        }
    }
    return "";
}

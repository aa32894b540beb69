/*
 * The report of `quire run`: what paging did, and what was left to Linux; in words, or as one JSON object on
 * a line.
 */
#include "gate.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { HIGH_DESCRIPTOR = 512 }; /* out of the way of programs that count on the next one */

static unsigned long long number(uint64_t value)
{
    return value;
}

static double mib(uint64_t bytes)
{
    return (double)bytes / (1 << 20);
}

static void write_json(FILE *file, const struct quire_stats *stats)
{
    const struct {
        const char *name;
        uint64_t value;
    } numbers[] = {
        {"memory_bytes", stats->memory_bytes},
        {"resident_bytes", stats->resident_bytes},
        {"mapped_bytes", memory_mapped_bytes()},
        {"faults", stats->faults},
        {"zero_faults", stats->zero_faults},
        {"write_faults", stats->write_faults},
        {"read_ahead", stats->read_ahead},
        {"evictions", stats->evictions},
        {"write_backs", stats->write_backs},
        {"read_errors", stats->read_errors},
        {"write_errors", stats->write_errors},
        {"waits", stats->waits},
        {"reserve_waits", stats->reserve_waits},
        {"scans", stats->scans},
        {"referenced", stats->referenced},
        {"calls_found", gate_sites.found},
        {"calls_changed", gate_sites.changed},
        {"calls_held", atomic_load(&gate_held_calls)},
        {"calls_partly_held", atomic_load(&gate_partly_calls)},
    };

    fprintf(file, "{\"way\": \"%s\", \"policy\": \"%s\"", stats->way, stats->policy);
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
        fprintf(file, ", \"%s\": %llu", numbers[i].name, number(numbers[i].value));
    for (unsigned i = 0; i < LEFTS; i++)
        fprintf(file, "%s\"%s\": {\"calls\": %llu, \"bytes\": %llu}", i == 0 ? ", \"left\": {" : ", ",
                left_names[i], number(atomic_load(&left_counts[i].calls)),
                number(atomic_load(&left_counts[i].bytes)));
    fprintf(file, "}}\n");
}

static void write_words(FILE *file, const struct quire_stats *stats)
{
    fprintf(file, "paged by %s, policy %s: %.1f of %.1f MiB in memory, of %.1f MiB mapped\n", stats->way,
            stats->policy, mib(stats->resident_bytes), mib(stats->memory_bytes), mib(memory_mapped_bytes()));
    fprintf(file,
            "%llu faults (%llu zeroes), %llu first writes, %llu pages ahead, %llu evicted, %llu written\n",
            number(stats->faults), number(stats->zero_faults), number(stats->write_faults),
            number(stats->read_ahead), number(stats->evictions), number(stats->write_backs));
    if (stats->read_errors + stats->write_errors > 0)
        fprintf(file, "%llu errors of reading, %llu of writing\n", number(stats->read_errors),
                number(stats->write_errors));
    if (gate_sites.found > 0)
        fprintf(
            file,
            "%llu system calls held pages, %llu could not hold all; %u of %u calls of the C library seen\n",
            number(atomic_load(&gate_held_calls)), number(atomic_load(&gate_partly_calls)),
            gate_sites.changed, gate_sites.found);
    fprintf(file, "left to Linux:");
    for (unsigned i = 0; i < LEFTS; i++)
        if (atomic_load(&left_counts[i].calls) > 0)
            fprintf(file, " %s %llu (%.1f MiB)", left_names[i], number(atomic_load(&left_counts[i].calls)),
                    mib(atomic_load(&left_counts[i].bytes)));
    fprintf(file, "\n");
}

static int standard_error = -1; /* as it was at the start: many programs close it at their end */

void report_start(void)
{
    if (strcmp(settings.report, "-") == 0)
        standard_error = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, HIGH_DESCRIPTOR);
}

void report_write(void)
{
    FILE *file = standard_error >= 0 ? fdopen(standard_error, "w") : fopen(settings.report, "we");
    struct quire_stats stats;

    if (!file) {
        fprintf(stderr, "quire: run: --report: %s: %s\n", settings.report, strerror(errno));
        return;
    }
    library.quire_stats(pager, &stats);
    if (settings.json)
        write_json(file, &stats);
    else
        write_words(file, &stats);
    fclose(file);
}

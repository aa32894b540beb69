/*
 * vmbench: what one operation on memory costs, counted by the time-stamp counter.
 *
 * Under `-icount shift=0` one instruction is one tick, so a figure is instructions an operation, in the
 * kernel and in the program together, less the measuring loop's own (measured empty).
 */
#ifndef QUIRE_BENCH_VMBENCH_H
#define QUIRE_BENCH_VMBENCH_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE ((size_t)4096)
#define KIB ((size_t)1024)
#define MIB ((size_t)1024 * 1024)

/* What a row has measured. */
struct sample {
    uint64_t ticks;
    uint64_t operations; /* the result is ticks per operation */
    uint64_t turns;      /* of measuring loops: each costs loop_ticks, which are taken off */
    uint64_t intervals;  /* begin/end pairs: each costs interval_ticks */
};

struct row {
    const char *name;
    void (*run)(struct sample *sample);
};

extern const struct row fault_rows[];
extern const struct row map_rows[];
extern const struct row process_rows[];
extern const struct row swap_rows[]; /* only where there is swap */

static inline uint64_t ticks_now(void)
{
    uint32_t low, high;

    __asm__ volatile("lfence; rdtsc; lfence" : "=a"(low), "=d"(high)::"memory");
    return (uint64_t)high << 32 | low;
}

static inline void sample_begin(struct sample *sample)
{
    sample->ticks -= ticks_now();
}

static inline void sample_end(struct sample *sample, uint64_t operations, uint64_t turns)
{
    sample->ticks += ticks_now();
    sample->operations += operations;
    sample->turns += turns;
    sample->intervals++;
}

/* The body of every measuring loop that touches pages; the compiler may not merge or move it. */
static inline void touch_read(const char *at)
{
    __asm__ volatile("movb (%0), %%al" ::"r"(at) : "rax", "memory");
}

static inline void touch_write(char *at)
{
    __asm__ volatile("movb $1, (%0)" ::"r"(at) : "memory");
}

/* Times the touches: one operation a page. */
void sample_reads(struct sample *sample, const char *area, size_t bytes);
void sample_writes(struct sample *sample, char *area, size_t bytes);

/* Ends the program with the name of what did not work. */
void must(int worked, const char *what);
/* Private memory, 2 MiB-aligned, in 4 KiB pages or as the system likes. */
enum pages { PAGES_SMALL, PAGES_DEFAULT };
char *area_create(size_t bytes, enum pages pages);
void area_destroy(char *area, size_t bytes);
/* A file of so many bytes that is in the page cache, open for reading and writing, without a name. */
int cached_file(size_t bytes);

#endif

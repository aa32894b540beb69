/*
 * A page table beside a flat map.
 *
 * A machine of a few thousand frames with an MMU in software, written from the manual and not from src/pt;
 * the library's table under test in its memory; and an array with a cell for each 4 KiB page of some windows
 * of the address space, which is changed by the plainest of loops. After each step both must say the same.
 * The MMU caches what it has once translated until it is told to forget, so that a missing flush is seen.
 *
 * Every step first runs with an allocator that fails at the first, the second, ... frame, which must change
 * nothing.
 */
#ifndef TEST_PT_MODEL_H
#define TEST_PT_MODEL_H

#include "pt_mmu.h"

enum { MACHINE_FRAMES = 1 << 13, MACHINE_CACHE = 512 };
#define MACHINE_BASE ((uint64_t)0x4000000) /* the physical address of the first frame */

struct machine {
    unsigned char *memory;
    uint64_t cr3;
    /* the allocator */
    unsigned char state[MACHINE_FRAMES]; /* 0 free, 1 taken */
    unsigned next, taken;
    uint64_t fail_after; /* take() fails after this many; ~0: never */
    uint64_t takes;
    /* the translations of the pages that are used to reach tables */
    struct {
        uint64_t page;
        unsigned char *at;
    } cache[MACHINE_CACHE];
    unsigned cached;
    /* the frames that show() has shown, each to be hidden as often */
    unsigned char shown[MACHINE_FRAMES];
    unsigned shown_now;
};

/* How a test reaches tables. */
enum machine_way { WAY_OFFSET, WAY_SLOTS, WAY_SLOTS_SAME_ROOT, WAY_RECURSIVE, WAY_FUNCTION, WAY_COUNT };
extern const char *const machine_way_names[WAY_COUNT];

struct machine *machine_create(void);
void machine_destroy(struct machine *machine);
/* An empty page table to be reached in this way, in the machine's CR3 where the way asks for it. */
struct pt machine_table(struct machine *machine, enum machine_way way, struct pt_alloc *alloc);
struct pt_alloc machine_alloc(struct machine *machine);
/* The bytes of a frame. */
void *machine_at(const struct machine *machine, uint64_t physical);

/* The MMU's walk: false when nothing is mapped; `*entry` is the last entry read, `*level` its level. */
bool machine_walk(const struct machine *machine, uint64_t root, uint64_t address, uint64_t *physical,
                  uint64_t *entry, unsigned *level);

/* Where recursive and slot ways are set up. */
enum { MACHINE_RECURSIVE_INDEX = PT_RECURSIVE_WINDOWS ? 503 : 510, MACHINE_SLOT_SELF = 7 };
#define MACHINE_WINDOW (PT_LEVELS == 3 ? (uint64_t)0xffffffe000000000 : (uint64_t)0xffffc00000000000)

/* Interprets `data` as a sequence of operations on a table reached in `way`. Aborts with a message when table
 * and model differ. */
void pt_model_run(enum machine_way way, const unsigned char *data, size_t size);

#endif

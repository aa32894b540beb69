/*
 * The inside of the flat map (pt_model.h): cells, what CPUs hold, and one step of a sequence.
 */
#ifndef TEST_PT_MODEL_INTERNAL_H
#define TEST_PT_MODEL_INTERNAL_H

#include "pt_model.h"
#include "quire/pt_tlb.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum cell_kind { CELL_EMPTY, CELL_PAGE, CELL_MARK };

struct cell {
    uint64_t value; /* physical address, or mark */
    uint32_t flags;
    uint32_t kind;
};

/* Around a boundary of 1 GiB, of 512 GiB, in the upper half, and room for pages of 1 GiB. */
struct window {
    uint64_t start, pages;
};
static const struct window windows[] = {{0x40000000 - 0x400000, 2048},
                                        {(PT_LEVELS == 3 ? 0x2000000000 : 0x8000000000) - 0x400000, 2048},
                                        {PT_LEVELS == 3 ? 0xffffffd000000000 : 0xffff900000000000, 2048},
                                        {0x80000000, 2 * 262144 + 2048}};
enum { WINDOWS = 4 };

enum { MODEL_LISTED = 1500 };

struct model {
    struct machine *machine;
    struct pt pt;
    struct pt_alloc alloc;
    struct pt_flusher flusher;
    struct cell *cells[WINDOWS];
    /* What a CPU may hold: translations of pages used before the step, and tables that were linked. */
    struct held {
        uint64_t page, physical;
    } held[64];
    unsigned held_count;
    /* How a live MMU that wants breaks before makes knows the pages that have not been broken yet. */
    struct known {
        uint64_t page, physical, group;
        uint32_t flags;
        unsigned level;
    } known[64];
    unsigned known_count;
    bool tables_held;
    unsigned char was_linked[MACHINE_FRAMES];
    uint64_t given_sum, given_pages; /* by give_page(), or of what marks have replaced */
    struct pt_tlb tlb;
    /* of the step */
    struct paddr frames[MODEL_LISTED];
    uint64_t *accessed, *dirty;
    struct pt_harvest harvest;
    const unsigned char *data;
    size_t size;
    unsigned steps;
    char step_text[256];
};

_Noreturn void model_differ(const struct model *model, const char *what, uint64_t address);

#define AGREE(model, condition, address)                                                                     \
    do {                                                                                                     \
        if (!(condition))                                                                                    \
            model_differ(model, #condition, address);                                                        \
    } while (0)

/* A range inside one window: where, and its first cell. */
struct span {
    unsigned window;
    uint64_t first, count; /* pages */
    struct vaddr start;
};

static inline struct cell *cell_at(struct model *model, const struct span *span, uint64_t i)
{
    return &model->cells[span->window][span->first + i];
}

static inline uint64_t address_of(const struct span *span, uint64_t i)
{
    return span->start.v + i * PAGE_SIZE;
}

/* The MMU's word for the address, whatever CPUs hold. */
bool model_walk(const struct model *model, uint64_t address, struct known *out);

/* ------------------------------------------------------------------ pt_model_steps.c */

/* One operation, chosen from the input, that can be tried again and again. */
struct step {
    struct span span;
    unsigned kind;
    struct pt_map map;
    unsigned options;
    struct pt_flags set, clear;
    enum pt_size size;
    enum { RANGE, PAGE, CURSOR } by; /* which of the calls that do the same */
};
enum {
    STEP_MAP,
    STEP_MARK,
    STEP_UNMAP,
    STEP_UNMAP_GIVE,
    STEP_PROTECT,
    STEP_SPLIT,
    STEP_CLEAN,
    STEP_TABLES,
    STEP_LIST,
    STEP_PUT_MARK,
    STEP_FILL_MARK,
    STEP_HARVEST,
    STEP_MERGE,
    STEP_ITERATE,
    STEP_CLONE,
    STEPS
};

/* What may stand in its way. */
struct obstacles {
    bool unaligned, conflict, hole, huge, mapped, unsupported;
    bool uniform; /* every 2 MiB of it could be one page */
    struct cell first;
};

/* Chooses the next one from the input. */
void step_choose(struct model *model, struct step *step);
/* What stands in the way of the step, found before it is tried. */
struct obstacles step_foresee(struct model *model, const struct step *step);
/* Does it, with the library. May be called again after a failure. */
enum status step_attempt(struct model *model, struct step *step);
/* Is this the right answer when memory suffices? Two may be right when two things are wrong. */
bool step_expected(const struct model *model, const struct step *step, const struct obstacles *found,
                   enum status status);
/* The same in the flat map. */
void step_apply(struct model *model, const struct step *step);

#endif

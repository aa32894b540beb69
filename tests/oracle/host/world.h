/*
 * The page table under test, in the machine's memory: what is changed between the guest's turns, and what the
 * guest is to try then.
 */
#ifndef TESTS_ORACLE_WORLD_H
#define TESTS_ORACLE_WORLD_H

#include "image.h"
#include "machine.h"

enum { WORLD_WINDOWS = 6, WORLD_HISTORY = 1024, WORLD_PAGES = 1 << 16 };

/* A page as it was before the guest's turn. */
struct world_page {
    uint64_t start;
    unsigned level;
    bool accessed, dirty;
    bool tried, touched, written; /* by this turn's probes: at all, with success, with success by a write */
};

struct world {
    bool groups; /* odd seeds map groups of pages that are one translation, where the format has them */
    struct image *image;
    struct machine_mode mode;
    bool upper; /* addresses are of the upper half; pages are written down by where they are in the root */
    struct pt pt;
    struct pt_flusher flusher; /* writes promises down for the guest */
    uint64_t random;
    uint64_t windows[WORLD_WINDOWS];
    uint64_t history[WORLD_HISTORY]; /* addresses that were tried before: the MMU may remember them */
    unsigned history_count;
    struct world_page *pages;
    unsigned page_count;
    unsigned operations, changes; /* tried; successful */
    unsigned done, faults;        /* probes */
};

/* A new root with the guest's own memory mapped, if it needs that. */
void world_create(struct world *world, struct image *image, uint64_t seed);
uint64_t world_random(struct world *world, uint64_t below);
/* Where a root is for one half of the addresses: the place in the root, and the address of it in the half
 * that is looked at. Elsewhere both are the address. */
uint64_t world_place(uint64_t address);
uint64_t world_address(const struct world *world, uint64_t address);
/* Not the guest's own memory: nothing of the lowest 8 GiB. */
bool world_may_touch(uint64_t address);

/* A promise's kind in the words of the guest. */
enum scene_flush_kind scene_kind(enum pt_flush_kind kind);

/* Random changes; their flush promises are in the scene. */
void world_change(struct world *world, unsigned count);
/* Writes down what there is (world->pages) before the guest's turn. */
void world_look(struct world *world);
/* Random probes in the scene, and what they must find in memory. */
void world_ask(struct world *world, unsigned count);
/* Compares what came of them with what the library says; NULL: the same, else what is wrong. */
const char *world_judge(struct world *world);
/* The page table's invariants; NULL or what is wrong. */
const char *world_check(const struct world *world);

#endif

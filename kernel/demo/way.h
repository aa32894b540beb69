/*
 * The ways to reach a table's frame, each on the real MMU and with nothing else to fall back on.
 *
 * way_open() makes a level-4 table that shares only the kernel's image and stacks with the kernel's own: the
 * map of the complete physical memory is not in it. Its tables, and a pool of frames for further ones, can be
 * reached in one way only. Between way_enter() and way_leave() the CPU uses it: then nothing may be touched
 * that lies in the map of the physical memory (frame_alloc(), slab cells, the log over the link); klib, the
 * image's variables and the stack are there.
 */
#ifndef KERNEL_DEMO_WAY_H
#define KERNEL_DEMO_WAY_H

#include "quire/frame.h"
#include "quire/pt.h"

enum way_kind { WAY_IDENTITY, WAY_OFFSET, WAY_COMPLETE, WAY_TEMPORARY, WAY_RECURSIVE, WAYS };

enum { WAY_POOL_ORDER = 6, WAY_POOL = 1 << WAY_POOL_ORDER };

/* Where things are in such a table. */
#define WAY_OFFSET_START ((uint64_t)10 << 40)   /* the article's 10 TiB */
#define WAY_COMPLETE_START ((uint64_t)20 << 40) /* physical address 0 */
#define WAY_WINDOW ((uint64_t)30 << 40)         /* the level-1 table of slots */
#define WAY_TRY ((uint64_t)0xffffe00000000000)  /* free for what is tried out */
enum { WAY_RECURSIVE_INDEX = 510, WAY_SLOT_SELF = 8 };

struct way {
    enum way_kind kind;
    struct pt pt;          /* for use inside */
    struct pt outside;     /* the same tables, by the kernel's map of the physical memory */
    struct pt_alloc alloc; /* frames of the pool */
    struct pt_flusher flusher;
    struct frame *frames;  /* the pool: contiguous */
    uint64_t free;         /* one bit a frame */
    uint64_t flushes;      /* calls of the flusher */
    uint64_t memory_bytes; /* COMPLETE: how much is mapped */
    uint64_t kernel_cr3;
};

/* "identity", "offset", "complete", "temporary", "recursive"; the words of the command line. */
extern const char *const way_names[WAYS];
/* The access= of the command line; false when there is none. WAYS when it names none of them. */
bool way_chosen(enum way_kind *out);

/* ST_NO_MEMORY; nothing is left behind then. */
MUST_USE enum status way_open(struct way *way, enum way_kind kind, const struct memory_map *map);
void way_close(struct way *way);
void way_enter(struct way *way);
void way_leave(struct way *way);

/* A frame of the pool for data; ~0 when none is left. way_page() is where it can be read while outside. */
struct paddr way_frame(struct way *way);
static inline uint64_t *way_page(struct paddr frame)
{
    return host_at(frame);
}
unsigned way_frames_free(const struct way *way);

/* The frame of the table of `level` on the way to `at`, read step by step as the article does it; 0: there is
 * none. */
struct paddr way_table(struct paddr root, struct vaddr at, unsigned level);

#endif

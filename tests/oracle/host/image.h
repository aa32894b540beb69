/*
 * The machine's memory, a file that QEMU has mapped as well, and the frames of it that tables are made of.
 *
 * A frame that comes back is not handed out again before image_settle(): the guest must have flushed first.
 */
#ifndef TESTS_ORACLE_IMAGE_H
#define TESTS_ORACLE_IMAGE_H

#include "quire/pt.h"
#include "tests/oracle/scene.h"

enum { IMAGE_TABLES = (PAGES_OFFSET - TABLES_OFFSET) / 4096 };

struct image {
    unsigned char *bytes;
    uint64_t size;
    unsigned char state[IMAGE_TABLES]; /* of each frame for tables: free, taken, or given back just now */
    unsigned next, taken;
    struct pt_alloc alloc;
    struct scene *scene;
};

/* Maps the file at `path`, which has the size that the machine has memory. Exits with a message and status 2.
 */
void image_open(struct image *image, const char *path);
/* Where a physical address is, NULL where there is no memory. */
void *image_at(const struct image *image, uint64_t physical);
/* So that pt_reach_offset() reaches tables. */
uint64_t image_reach(const struct image *image);
/* Frames that were given back are free now. */
void image_settle(struct image *image);

#endif

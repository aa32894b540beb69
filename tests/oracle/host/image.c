/*
 * The machine's memory and the frames for tables: see image.h.
 */
#include "image.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "machine.h"

enum { FRAME_FREE, FRAME_TAKEN, FRAME_GIVEN };

static bool take(void *context, struct paddr *out)
{
    struct image *image = context;

    for (unsigned tried = 0; tried < IMAGE_TABLES; tried++) {
        unsigned i = image->next++ % IMAGE_TABLES;

        if (image->state[i] == FRAME_FREE) {
            image->state[i] = FRAME_TAKEN;
            image->taken++;
            *out = paddr(machine_base + TABLES_OFFSET + (uint64_t)i * PAGE_SIZE);
            memset(image_at(image, out->v), 0x77, PAGE_SIZE); /* looks like entries */
            return true;
        }
    }
    return false;
}

static void give(void *context, struct paddr frame)
{
    struct image *image = context;
    uint64_t i = (frame.v - machine_base - TABLES_OFFSET) / PAGE_SIZE;

    if (i >= IMAGE_TABLES || image->state[i] != FRAME_TAKEN) {
        fprintf(stderr, "given back twice, or never taken: %#lx\n", frame.v);
        abort();
    }
    image->state[i] = FRAME_GIVEN;
    image->taken--;
}

void image_settle(struct image *image)
{
    for (unsigned i = 0; i < IMAGE_TABLES; i++) {
        if (image->state[i] == FRAME_GIVEN) {
            image->state[i] = FRAME_FREE;
            memset(image_at(image, machine_base + TABLES_OFFSET + (uint64_t)i * PAGE_SIZE), 0x77, PAGE_SIZE);
        }
    }
}

void *image_at(const struct image *image, uint64_t physical)
{
    uint64_t offset;

    return machine_offset(physical, image->size, &offset) ? image->bytes + offset : NULL;
}

uint64_t image_reach(const struct image *image)
{
    return (uint64_t)(uintptr_t)image->bytes - machine_base;
}

void image_open(struct image *image, const char *path)
{
    struct stat status;
    int fd = open(path, O_RDWR | O_CLOEXEC);

    *image = (struct image){.alloc = {.take = take, .give = give, .context = image}};
    if (fd < 0 || fstat(fd, &status) != 0 || status.st_size < 2 * PAGES_OFFSET) {
        fprintf(stderr, "%s: expected the file with the machine's memory\n", path);
        exit(2);
    }
    image->size = (uint64_t)status.st_size;
    image->bytes = mmap(NULL, image->size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, 0);
    close(fd);
    if (image->bytes == MAP_FAILED) {
        perror(path);
        exit(2);
    }
    image->scene = (struct scene *)(void *)(image->bytes + SCENE_OFFSET);
}

/*
 * The MMU's word against the library's: random page tables in the memory of a machine in QEMU, whose guest
 * tries them.
 *
 * usage: oracle-FORMAT MEMORY SEED STEPS PROBES DUMP
 *   MEMORY  the file that is the machine's memory
 *   DUMP    a file to write the last page table to, as pt_dump() prints it
 *
 * Each step changes the table, lets the guest flush what was promised, and has it try addresses. Says `ok` or
 * `not ok`. The machine is left with the last table loaded, for who wants to ask QEMU about it.
 */
#include <stdio.h>
#include <stdlib.h>

#include "turn.h"
#include "world.h"

enum { CHANGES = 6 };

static const char *run_step(struct world *world, unsigned changes, unsigned probes)
{
    struct scene *scene = world->image->scene;
    const char *wrong;

    world_look(world);
    world_change(world, changes);
    wrong = world_check(world);
    if (wrong)
        return wrong;
    world_look(world);
    world_ask(world, probes);
    scene->work = WORK_PROBE;
    turn_begin(scene);
    wrong = turn_wait(scene);
    image_settle(world->image);
    return wrong ? wrong : world_judge(world);
}

static void write_line(void *context, const char *line)
{
    fprintf(context, "%s\n", line);
}

static void write_dump(const struct world *world, const char *path)
{
    FILE *file = fopen(path, "w");

    if (!file || pt_dump(&world->pt, write_line, file) != ST_OK || fclose(file) != 0) {
        perror(path);
        exit(2);
    }
}

static int run(struct image *image, uint64_t seed, unsigned steps, unsigned probes, const char *dump)
{
    struct world world;
    const char *wrong = NULL;
    unsigned step = 0;

    world_create(&world, image, seed);
    machine_control(image->scene, &world.pt, world.mode);
    while (step < steps && !wrong) {
        wrong = run_step(&world, step == 0 ? 5 * CHANGES : CHANGES, probes);
        step++;
    }
    if (wrong)
        printf("not ok - seed %lu, step %u: %s\n", seed, step, wrong);
    else
        printf("ok - seed %lu: %u changes of %u, %u accesses done, %u faulted\n", seed, world.changes,
               world.operations, world.done, world.faults);
    write_dump(&world, dump);
    free(world.pages);
    return wrong != NULL;
}

int main(int argc, char **argv)
{
    static struct image image;

    if (argc != 6) {
        fprintf(stderr, "usage: %s MEMORY SEED STEPS PROBES DUMP\n", argv[0]);
        return 2;
    }
    image_open(&image, argv[1]);
    return run(&image, strtoul(argv[2], NULL, 0), (unsigned)strtoul(argv[3], NULL, 0),
               (unsigned)strtoul(argv[4], NULL, 0) % (SCENE_PROBES + 1), argv[5]);
}

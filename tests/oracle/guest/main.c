/*
 * The guest's turn: load, flush, try; or hammer. See scene.h.
 */
#include "guest.h"

static uint64_t load(const uint64_t *at)
{
    return __atomic_load_n(at, __ATOMIC_ACQUIRE);
}

static void store(uint64_t *at, uint64_t value)
{
    __atomic_store_n(at, value, __ATOMIC_RELEASE);
}

static void probe_all(struct scene *scene)
{
    for (uint64_t i = 0; i < scene->flush_count; i++)
        guest_flush(&scene->flushes[i]);
    for (uint64_t i = 0; i < scene->probe_count; i++) {
        store(&scene->running, i);
        guest_probe(&scene->probes[i]);
    }
}

/* Each page's word gets the number of the round, unless the page cannot be written right now. */
static void hammer(struct scene *scene)
{
    while (!load(&scene->hammer_stop)) {
        uint64_t round = load(&scene->hammer_rounds) + 1;

        for (uint64_t i = 0; i < scene->hammer_pages; i++) {
            uint64_t wanted = load(&scene->flush_wanted);
            struct probe probe = {.address = scene->hammer_first + i * 4096 + PAGE_WRITE_AT,
                                  .access = PROBE_WRITE,
                                  .value = round};

            if (wanted != scene->flush_done) {
                guest_flush(&scene->flushes[0]);
                store(&scene->flush_done, wanted);
            }
            guest_probe(&probe);
            if (probe.outcome == PROBE_FAULT)
                store(&scene->hammer_faults, scene->hammer_faults + 1);
        }
        store(&scene->hammer_rounds, round);
    }
}

_Noreturn void guest_main(struct scene *scene)
{
    for (;;) {
        while (load(&scene->turn) != TURN_GUEST)
            guest_pause();
        guest_load(scene);
        if (scene->work == WORK_HAMMER)
            hammer(scene);
        else
            probe_all(scene);
        store(&scene->turn, TURN_HOST);
    }
}

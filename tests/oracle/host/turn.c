/*
 * Giving the guest its turn: see turn.h. A guest that does not answer within TURN_SECONDS is given up.
 */
#include "turn.h"

#include <stdio.h>
#include <time.h>

enum { TURN_SECONDS = 60 };

static char what[200];

void turn_begin(struct scene *scene)
{
    __atomic_store_n(&scene->turn, TURN_GUEST, __ATOMIC_RELEASE);
}

void turn_pause(void)
{
    const struct timespec millisecond = {.tv_nsec = 1000000};

    nanosleep(&millisecond, NULL);
}

const char *turn_wait(const struct scene *scene)
{
    time_t deadline = time(NULL) + TURN_SECONDS;

    while (__atomic_load_n(&scene->turn, __ATOMIC_ACQUIRE) != TURN_HOST) {
        uint64_t running = __atomic_load_n(&scene->running, __ATOMIC_ACQUIRE);
        const struct probe *probe = &scene->probes[running % SCENE_PROBES];

        turn_pause();
        if (__atomic_load_n(&scene->panic[0], __ATOMIC_ACQUIRE)) {
            snprintf(what, sizeof what,
                     "the guest met trap %lu, code %#lx, address %#lx, at %#lx; probe %lu at %#lx",
                     scene->panic[0] - 1, scene->panic[1], scene->panic[2], scene->panic[3], running,
                     probe->address);
            return what;
        }
        if (time(NULL) > deadline) {
            snprintf(what, sizeof what, "the guest does not answer; probe %lu, access %u, user %u, at %#lx",
                     running, probe->access, probe->user, probe->address);
            return what;
        }
    }
    return NULL;
}

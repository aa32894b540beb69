/*
 * Jobs over several threads: sim/team.h.
 *
 * Locking: `next` and `failed` are atomic; `error` belongs to the thread that set `failed`.
 */
#include "sim/team.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

struct team {
    team_job_fn *run;
    void *context;
    size_t jobs;
    atomic_size_t next;
    atomic_bool failed;
    struct trace_error error;
};

unsigned team_processors(void)
{
    cpu_set_t set;
    int count = sched_getaffinity(0, sizeof(set), &set) == 0 ? CPU_COUNT(&set) : 1;

    return count < 1 ? 1 : count > TEAM_THREADS ? TEAM_THREADS : (unsigned)count;
}

static void *team_work(void *argument)
{
    struct team *team = argument;
    struct trace_error error;
    size_t job;

    while (!atomic_load(&team->failed) && (job = atomic_fetch_add(&team->next, 1)) < team->jobs)
        if (!team->run(team->context, job, &error) && !atomic_exchange(&team->failed, true))
            team->error = error;
    return NULL;
}

bool team_run(unsigned threads, size_t jobs, team_job_fn *run, void *context, struct trace_error *error)
{
    struct team team = {.run = run, .context = context, .jobs = jobs};
    pthread_t others[TEAM_THREADS];
    unsigned started = 0;

    /* A thread that cannot be had is done without. */
    while (started + 1 < threads && started + 1 < jobs && started < TEAM_THREADS &&
           pthread_create(&others[started], NULL, team_work, &team) == 0)
        started++;
    team_work(&team);
    while (started > 0)
        pthread_join(others[--started], NULL);
    if (atomic_load(&team.failed))
        *error = team.error;
    return !atomic_load(&team.failed);
}

/*
 * Jobs over several threads: each thread takes the next job until none is left or one has failed.
 */
#ifndef QUIRE_SIM_TEAM_H
#define QUIRE_SIM_TEAM_H

#include "sim/trace.h"

enum { TEAM_THREADS = 256 };

/* Does job `job` of the context; it may run at the same time as any other. */
typedef bool team_job_fn(void *context, size_t job, struct trace_error *error);

/* As many threads as this process may use processors, at most TEAM_THREADS. */
unsigned team_processors(void);

/* At most `threads` at a time, this one among them. False when a job failed, with the first such job's error;
 * jobs that had begun have then ended, others were not begun. */
bool team_run(unsigned threads, size_t jobs, team_job_fn *run, void *context, struct trace_error *error);

#endif

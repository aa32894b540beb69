/*
 * Whose frames there are, over time, for the report: a sample of all processes now and then.
 */
#ifndef KERNEL_MM_SAMPLES_H
#define KERNEL_MM_SAMPLES_H

struct process;

/* "samples=1" on the command line: begin. Before there is a process. */
void samples_init(void);
/* The process ends: its last figures. Does nothing when there are no samples. */
void samples_process_ends(const struct process *process);
/* No more of them. */
void samples_end(void);

#endif

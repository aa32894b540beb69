/*
 * Who is charged for memory: a program, with the children that it forks, is a member (quire/reclaim.h), and
 * its class is what was said of its name. And load control: programs that are held while they are out of
 * memory.
 */
#ifndef KERNEL_MEMBER_H
#define KERNEL_MEMBER_H

#include "kernel/task/task.h"
#include "quire/reclaim.h"

/* The space of a program that begins in no group gets a member of its own, of the program's class. A minimum
 * that cannot be guaranteed is logged, and the program is an ordinary one. */
void member_begin_program(struct space *space, const char *path);

/* Starts load control if it is asked for. False: no memory for its thread. */
bool member_control_load(void);

/* The process is new, or has become another member's: holds it if that one is out of memory. */
void member_hold(struct process *process);

/* The current task's process is held: sleeps until it is let go, or is to end. (work_pending()) */
void member_hold_here(void);

#endif

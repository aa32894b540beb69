/*
 * What the command line says of paging: policy=, scope=, allocation=, class=, load-control, read-ahead= (the
 * words of `quire boot`, which has checked them).
 */
#ifndef KERNEL_PAGING_OPTIONS_H
#define KERNEL_PAGING_OPTIONS_H

#include "quire/reclaim.h"

/* After vm_init() and before there is a process; once. Gives up booting on a word that is wrong. */
void paging_options_init(void);
/* The threads that page: the cleaner. After the scheduler; once. */
void paging_threads_start(void);

/* The class that class=PROGRAM=... gives a program, by the last part of its path. False: none; then ordinary.
 */
bool paging_class_of(const char *program, enum scope_class *class, uint64_t *minimum_frames);

#endif

/*
 * The guest's program: what each machine gives (x86_64.c, riscv64.c, aarch64.c) to the part that all share
 * (main.c).
 */
#ifndef TESTS_ORACLE_GUEST_H
#define TESTS_ORACLE_GUEST_H

#include "tests/oracle/scene.h"

/* Loads scene->control into the MMU. Also when it has changed. */
void guest_load(const struct scene *scene);
/* Keeps one promise, and does not flush more than it names where the machine can. */
void guest_flush(const struct scene_flush *flush);
/* Makes the access, and writes down what came of it. */
void guest_probe(struct probe *probe);
/* For a loop that waits. */
void guest_pause(void);

/* From the first instructions. */
_Noreturn void guest_main(struct scene *scene);

#endif

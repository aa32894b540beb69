/*
 * What the host must know of a machine: where its memory is, what its MMU is told, and what its manual says
 * of an access, given what the *library* says of the address. machine_x86_64.c, machine_riscv64.c,
 * machine_aarch64.c.
 */
#ifndef TESTS_ORACLE_MACHINE_H
#define TESTS_ORACLE_MACHINE_H

#include "quire/pt.h"
#include "tests/oracle/scene.h"

extern const uint64_t machine_base; /* of memory */
extern const bool
    machine_identity; /* the guest runs in the tables: its memory must be mapped at its own address */

/* The offset in the file of physical memory; false: no memory there. `size` is that of the file. */
bool machine_offset(uint64_t physical, uint64_t size, uint64_t *offset);
/* A physical address for pages by its place in memory. */
uint64_t machine_physical(uint64_t offset, uint64_t size);

/* How the MMU is set up besides the root. */
struct machine_mode {
    uint64_t choice; /* random bits to choose from */
};
/* The addresses that are looked at are those of the upper half (only where a root is for one half). */
bool machine_is_upper(struct machine_mode mode);
/* Fills scene->control. The root may change while the guest runs, the rest of the first call stays. */
void machine_control(struct scene *scene, const struct pt *pt, struct machine_mode mode);

/* Instructions that put the number into the register of results and trap. At most 48 bytes. */
void machine_code(unsigned char *at, uint32_t number);

/* What must come of the access. */
struct want {
    enum probe_outcome outcome;
    uint64_t cause, code, at;
};
/* `status` and `found` are what pt_translate() gave for the address. */
struct want machine_want(const struct scene *scene, const struct probe *probe, enum status status,
                         const struct pt_translation *found);
/* Does a fault's code say the same? Bits that no table decides are left out. */
bool machine_same_fault(const struct probe *probe, const struct want *want);
/* An access that was done: does the MMU say the same of the memory's type, if it says anything? */
bool machine_same_memory(const struct scene *scene, const struct probe *probe,
                         const struct pt_translation *found);

#endif

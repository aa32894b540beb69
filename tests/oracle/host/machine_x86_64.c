/*
 * x86-64 in QEMU (-M q35): memory up to 2 GiB, the rest from 4 GiB on. Intel SDM vol. 3A, 4.6 "Access rights"
 * and 4.7 "Page-fault exceptions".
 */
#include "machine.h"

#include <string.h>

const uint64_t machine_base = 0;
const bool machine_identity = true;

#define LOW_BYTES ((uint64_t)2 << 30)
#define HIGH_BASE ((uint64_t)4 << 30)

enum { VECTOR_PROTECTION = 13, VECTOR_PAGE = 14 };
enum { CODE_PRESENT = 1, CODE_WRITE = 2, CODE_USER = 4, CODE_FETCH = 16, CODE_KEY = 32 };
#define CR4_PAE ((uint64_t)1 << 5)
#define CR4_PGE ((uint64_t)1 << 7)
#define CR4_LA57 ((uint64_t)1 << 12)
#define CR4_SMEP ((uint64_t)1 << 20)
#define CR4_SMAP ((uint64_t)1 << 21)
#define CR4_PKE ((uint64_t)1 << 22)
#define PKRU_SOME 0x5b8e36d0 /* every pair of bits is there, key 0 allows all */

bool machine_offset(uint64_t physical, uint64_t size, uint64_t *offset)
{
    *offset = physical < LOW_BYTES ? physical : physical - HIGH_BASE + LOW_BYTES;
    return (physical < LOW_BYTES || physical >= HIGH_BASE) && *offset < size;
}

uint64_t machine_physical(uint64_t offset, uint64_t size)
{
    (void)size;
    return offset < LOW_BYTES ? offset : offset - LOW_BYTES + HIGH_BASE;
}

void machine_control(struct scene *scene, const struct pt *pt, struct machine_mode mode)
{
    scene->control[0] = pt->root.v;
    scene->control[1] = CR4_PAE | CR4_PGE | (PT_LEVELS == 5 ? CR4_LA57 : 0) |
                        (mode.choice & 1 ? CR4_SMEP : 0) | (mode.choice & 2 ? CR4_SMAP : 0) |
                        (mode.choice & 4 ? CR4_PKE : 0);
    scene->control[2] = PKRU_SOME;
}

void machine_code(unsigned char *at, uint32_t number)
{
    at[0] = 0xb8; /* mov $number, %eax */
    memcpy(at + 1, &number, sizeof number);
    at[5] = 0xcd; /* int $0x80 */
    at[6] = 0x80;
}

/* Data of pages that user mode may see can be forbidden to all by their key (4.6.2). */
static bool key_forbids(const struct scene *scene, const struct probe *probe, struct pt_flags flags)
{
    uint64_t denied = scene->control[2] >> 2 * pt_key_of(flags); /* bit 0 all, bit 1 writes */

    return (scene->control[1] & CR4_PKE) && (flags.bits & PT_FLAG_USER) && probe->access != PROBE_EXEC &&
           (denied & (probe->access == PROBE_WRITE ? 3 : 1));
}

/* Do the rights of the walk allow the access? */
static bool allowed(const struct scene *scene, const struct probe *probe, struct pt_flags flags)
{
    bool of_user = (flags.bits & PT_FLAG_USER) != 0;

    if (probe->user && !of_user)
        return false;
    if (probe->access == PROBE_EXEC)
        return (flags.bits & PT_FLAG_EXEC) && (probe->user || !of_user || !(scene->control[1] & CR4_SMEP));
    if (!probe->user && of_user && (scene->control[1] & CR4_SMAP))
        return false;
    return probe->access == PROBE_READ || (flags.bits & PT_FLAG_WRITE); /* CR0.WP is set */
}

struct want machine_want(const struct scene *scene, const struct probe *probe, enum status status,
                         const struct pt_translation *found)
{
    struct want want = {.outcome = PROBE_FAULT, .cause = VECTOR_PAGE, .at = probe->address};

    if (status == ST_NOT_CANONICAL) {
        want.cause = VECTOR_PROTECTION;
        return want;
    }
    if (status == ST_OK && key_forbids(scene, probe, found->flags))
        want.code = CODE_KEY;
    else if (status == ST_OK && allowed(scene, probe, found->flags))
        return (struct want){.outcome = PROBE_DONE};
    want.code |= (status == ST_OK ? CODE_PRESENT : 0) | (probe->access == PROBE_WRITE ? CODE_WRITE : 0) |
                 (probe->user ? CODE_USER : 0) | (probe->access == PROBE_EXEC ? CODE_FETCH : 0);
    return want;
}

/* A general protection fault names no address. */
bool machine_same_fault(const struct probe *probe, const struct want *want)
{
    return probe->cause == want->cause && probe->code == want->code &&
           (probe->cause != VECTOR_PAGE || probe->at == want->at);
}

/*
 * AArch64 in QEMU (-M virt): memory from 1 GiB on, in one piece. Arm ARM (DDI 0487): D8.4 "Memory access
 * control", D8.5 "Hardware updates to the translation tables", D17.2 ESR_EL1, PAR_EL1, TCR_EL1.
 *
 * A root is for one half of the addresses; the guest itself needs the lower half. So the root is in TTBR0,
 * and in TTBR1 as well when the upper half is looked at: the guest uses the lower addresses then, and the
 * library and its probes the upper.
 */
#include "machine.h"

#include <string.h>

const uint64_t machine_base = (uint64_t)1 << 30;
const bool machine_identity = true;

enum { CLASS_FETCH_USER = 0x20, CLASS_FETCH = 0x21, CLASS_DATA = 0x25 };
enum { FAULT_TRANSLATION = 4, FAULT_ACCESS_FLAG = 8, FAULT_PERMISSION = 12, FAULT_WRITE = 64 };
/* Sizes of both halves 48 bits; write-back, inner shareable walks; 4 KiB; 48-bit physical addresses. */
#define TCR_BASE ((uint64_t)0x3510 | (uint64_t)0xb510 << 16 | (uint64_t)5 << 32)
#define TCR_NO_TTBR1 ((uint64_t)1 << 23)
#define TCR_MARK_ACCESSED ((uint64_t)1 << 39)
#define TCR_MARK_DIRTY ((uint64_t)1 << 40)
#define MAIR_OTHERS ((uint64_t)0xee4f0c04 << 32) /* types 4 to 7 */

bool machine_is_upper(struct machine_mode mode)
{
    return (mode.choice & 1) != 0;
}

void machine_control(struct scene *scene, const struct pt *pt, struct machine_mode mode)
{
    scene->control[0] = pt->root.v;
    scene->control[1] = pt->root.v;
    scene->control[2] = TCR_BASE | (machine_is_upper(mode) ? 0 : TCR_NO_TTBR1) |
                        (mode.choice & 2 ? TCR_MARK_ACCESSED : 0) |
                        (mode.choice & 4 ? TCR_MARK_ACCESSED | TCR_MARK_DIRTY : 0);
    scene->control[3] = PT_MAIR | MAIR_OTHERS;
}

/* movz w0; movk w0, lsl 16; svc #0 */
void machine_code(unsigned char *at, uint32_t number)
{
    uint32_t code[] = {0x52800000 | (number & 0xffff) << 5, 0x72a00000 | (number >> 16) << 5, 0xd4000001};

    memcpy(at, code, sizeof code);
}

/* A page that may be written and is clean faults where the hardware does not mark it dirty. */
static bool allowed(const struct scene *scene, const struct probe *probe, struct pt_flags flags)
{
    bool of_user = (flags.bits & PT_FLAG_USER) != 0;
    bool marked = (flags.bits & PT_FLAG_DIRTY) || (scene->control[2] & TCR_MARK_DIRTY);

    if (probe->access == PROBE_EXEC)
        return (flags.bits & PT_FLAG_EXEC) && of_user == probe->user;
    if (probe->user && !of_user)
        return false;
    return probe->access == PROBE_READ || ((flags.bits & PT_FLAG_WRITE) && marked);
}

struct want machine_want(const struct scene *scene, const struct probe *probe, enum status status,
                         const struct pt_translation *found)
{
    bool exec = probe->access == PROBE_EXEC;
    struct want want = {.outcome = PROBE_FAULT, .at = probe->address};
    unsigned level =
        status == ST_NOT_CANONICAL ? 0 : PT_LEVELS - found->level; /* the manual counts from the root */

    want.cause = !exec ? CLASS_DATA : probe->user ? CLASS_FETCH_USER : CLASS_FETCH;
    want.code = level | (probe->access == PROBE_WRITE ? FAULT_WRITE : 0);
    if (status != ST_OK)
        want.code |= FAULT_TRANSLATION;
    else if (!(found->flags.bits & PT_FLAG_ACCESSED) && !(scene->control[2] & TCR_MARK_ACCESSED))
        want.code |= FAULT_ACCESS_FLAG;
    else if (!allowed(scene, probe, found->flags))
        want.code |= FAULT_PERMISSION;
    else
        return (struct want){.outcome = PROBE_DONE};
    return want;
}

bool machine_same_fault(const struct probe *probe, const struct want *want)
{
    return probe->cause == want->cause && (probe->code & 0x7f) == want->code && probe->at == want->at;
}

/* The attributes that the MMU found are those of MAIR for the page's memory type. */
bool machine_same_memory(const struct scene *scene, const struct probe *probe,
                         const struct pt_translation *found)
{
    uint32_t bits = found->flags.bits;
    unsigned type = (bits & PT_FLAG_WRITE_THROUGH ? 1 : 0) + (bits & PT_FLAG_NO_CACHE ? 2 : 0) +
                    (bits & PT_FLAG_MEMORY_4 ? 4 : 0);

    return probe->access != PROBE_READ || probe->details >> 56 == (scene->control[3] >> 8 * type & 0xff);
}

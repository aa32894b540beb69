/*
 * RISC-V in QEMU (-M virt): memory from 2 GiB on, in one piece. RISC-V Privileged Architecture, "Virtual
 * Address Translation Process".
 */
#include "machine.h"

#include <string.h>

const uint64_t machine_base = (uint64_t)2 << 30;
const bool machine_identity = false; /* the guest stays in machine mode */

enum { CAUSE_FETCH = 12, CAUSE_LOAD = 13, CAUSE_STORE = 15 };
enum { SATP_MODE_SV39 = 8 }; /* Sv48 is 9, Sv57 is 10 */
#define MSTATUS_SUM ((uint64_t)1 << 18)
#define MSTATUS_MXR ((uint64_t)1 << 19)

void machine_control(struct scene *scene, const struct pt *pt, struct machine_mode mode)
{
    scene->control[0] = (uint64_t)(SATP_MODE_SV39 + PT_LEVELS - 3) << 60 | pt->root.v >> PAGE_SHIFT;
    scene->control[1] = (mode.choice & 1 ? MSTATUS_SUM : 0) | (mode.choice & 2 ? MSTATUS_MXR : 0);
}

/* lui a0; addiw a0, a0; ebreak */
void machine_code(unsigned char *at, uint32_t number)
{
    uint32_t high = (number + 0x800) & 0xfffff000, low = number << 20;
    uint32_t code[] = {0x00000537 | high, 0x0005051b | low, 0x00100073};

    memcpy(at, code, sizeof code);
}

static bool allowed(const struct scene *scene, const struct probe *probe, struct pt_flags flags)
{
    bool of_user = (flags.bits & PT_FLAG_USER) != 0, exec = (flags.bits & PT_FLAG_EXEC) != 0;
    bool read = !(flags.bits & PT_FLAG_NO_READ);

    if (probe->user && !of_user)
        return false;
    if (!probe->user && of_user && (probe->access == PROBE_EXEC || !(scene->control[1] & MSTATUS_SUM)))
        return false;
    if (probe->access == PROBE_EXEC)
        return exec;
    if (probe->access == PROBE_READ)
        return read || (exec && (scene->control[1] & MSTATUS_MXR));
    return (flags.bits & PT_FLAG_WRITE) != 0;
}

struct want machine_want(const struct scene *scene, const struct probe *probe, enum status status,
                         const struct pt_translation *found)
{
    static const uint64_t causes[] = {
        [PROBE_READ] = CAUSE_LOAD, [PROBE_WRITE] = CAUSE_STORE, [PROBE_EXEC] = CAUSE_FETCH};

    if (status == ST_OK && allowed(scene, probe, found->flags))
        return (struct want){.outcome = PROBE_DONE};
    return (struct want){.outcome = PROBE_FAULT, .cause = causes[probe->access], .at = probe->address};
}

bool machine_same_fault(const struct probe *probe, const struct want *want)
{
    return probe->cause == want->cause && probe->at == want->at;
}

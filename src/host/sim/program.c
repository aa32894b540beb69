/*
 * What a program does with memory: access it through the MMU, and on a page fault ask the core and try again.
 */
#include "base/check.h"
#include "host/sim/sim.h"

static enum status transfer(struct space *space, uint64_t address, unsigned char *buffer, size_t bytes,
                            enum access access, size_t *done)
{
    enum { FAULTS_IN_ROW_MAX = 10000 }; /* a program that faults for ever is a broken handler */
    size_t at = 0;
    unsigned in_row = 0;
    enum status status = ST_OK;

    while (at < bytes) {
        uint64_t here = address + at;
        size_t part = (size_t)(PAGE_SIZE - (here & PAGE_MASK));

        if (part > bytes - at)
            part = bytes - at;
        if (mmu_transfer(space_mmu(space), vaddr(here), access, buffer + at, part)) {
            at += part;
            in_row = 0;
            continue;
        }
        status = space_fault(space, vaddr(here), access);
        if (status != ST_OK)
            break;
        if (++in_row > FAULTS_IN_ROW_MAX)
            host_panic("space_fault says ST_OK, but address %#llx keeps faulting", (unsigned long long)here);
    }
    if (done != NULL)
        *done = at;
    return status;
}

enum status sim_read(struct space *space, uint64_t from, void *to, size_t bytes, size_t *done)
{
    return transfer(space, from, to, bytes, ACCESS_READ, done);
}

enum status sim_write(struct space *space, uint64_t to, const void *from, size_t bytes, size_t *done)
{
    return transfer(space, to, (unsigned char *)(uintptr_t)from, bytes, ACCESS_WRITE, done);
}

enum status sim_fetch(struct space *space, uint64_t from, unsigned char *to)
{
    return transfer(space, from, to, 1, ACCESS_EXEC, NULL);
}

/*
 * Areas of the kernel's own memory (host.h), larger than a block of frames can be relied on to be: single
 * frames, mapped side by side.
 *
 *   AREA_REGION + n * SLOT_BYTES:   area n, unmapped behind its end
 *
 * Runs under the kernel lock.
 */
#include "kernel/mm/kernel_map.h"
#include "kernel/mm/layout.h"

#define SLOT_BYTES ((uint64_t)1 << 30)
_Static_assert(AREA_REGION + HOST_AREAS_MAX * SLOT_BYTES <= MMIO_REGION, "areas end where devices begin");

static uint64_t used; /* bit n: area n is */
_Static_assert(HOST_AREAS_MAX == 64, "a bit each");

static void unmap(uint64_t start, uint64_t bytes)
{
    for (uint64_t at = start; at < start + bytes; at += PAGE_SIZE) {
        struct paddr to = kernel_translate(vaddr(at));

        kernel_unmap(vaddr(at), PAGE_SIZE);
        frame_free(frame_at(to));
    }
}

static bool map(uint64_t start, uint64_t bytes)
{
    for (uint64_t at = start; at < start + bytes; at += PAGE_SIZE) {
        struct frame *frame = frame_alloc(0, FRAME_KERNEL, FRAME_ZERO);

        if (frame != NULL && kernel_map(vaddr(at), frame_paddr(frame), PAGE_SIZE, KERNEL_DATA_BITS) == ST_OK)
            continue;
        if (frame != NULL)
            frame_free(frame);
        unmap(start, at - start);
        return false;
    }
    return true;
}

void *host_area_alloc(size_t bytes)
{
    uint64_t length = align_up(bytes, PAGE_SIZE);
    unsigned slot;

    if (used == UINT64_MAX || length > SLOT_BYTES)
        return NULL;
    slot = (unsigned)__builtin_ctzll(~used);
    if (!map(AREA_REGION + slot * SLOT_BYTES, length))
        return NULL;
    used |= (uint64_t)1 << slot;
    return (void *)(AREA_REGION + slot * SLOT_BYTES);
}

void host_area_free(void *area, size_t bytes)
{
    unmap((uint64_t)area, align_up(bytes, PAGE_SIZE));
    used &= ~((uint64_t)1 << ((uint64_t)area - AREA_REGION) / SLOT_BYTES);
}

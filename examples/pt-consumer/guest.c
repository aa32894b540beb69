/*
 * RISC-V Sv39.
 */
#define PT_FORMAT sv39

#include "arena.h"
#include "consumer.h"

#include "quire/pt.h"

static struct arena arena;

/* 64 KiB of a device, as one translation where the CPU has Svnapot. Where does `address` lead to? */
enum status guest_table(uint64_t address, uint64_t *physical)
{
    const struct pt_alloc alloc = {.take = arena_take, .give = arena_give, .context = &arena, .zeroed = true};
    struct pt_map request = {.start = vaddr(0xffffffd000000000),
                             .to = paddr(0x10000000),
                             .length_bytes = 0x10000,
                             .flags = pt_flags(PT_FLAG_WRITE | PT_FLAG_ACCESSED | PT_FLAG_DIRTY |
                                               PT_MEMORY_DEVICE | PT_FLAG_GROUP)};
    struct pt_translation translation;
    struct pt pt;
    enum status status = pt_create(&pt, pt_reach_offset(arena_offset(&arena)), &alloc);

    if (status == ST_OK)
        status = pt_flush_ignore(pt_map(&pt, &request));
    if (status == ST_OK)
        status = pt_translate(&pt, vaddr(address), &translation);
    if (status == ST_OK)
        *physical = translation.paddr.v;
    return status;
}

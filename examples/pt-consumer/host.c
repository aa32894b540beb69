/*
 * x86-64, 4 levels: what the library speaks when nothing else is said.
 */
#include "arena.h"
#include "consumer.h"

#include "quire/pt.h"

static struct arena arena;

/* 1 GiB at 64 TiB, as it comes. Where does `address` lead to? */
enum status host_table(uint64_t address, uint64_t *physical)
{
    const struct pt_alloc alloc = {.take = arena_take, .give = arena_give, .context = &arena, .zeroed = true};
    struct pt_map request = {.start = vaddr((uint64_t)64 << 40),
                             .to = paddr(0x40000000),
                             .length_bytes = GIANT_SIZE,
                             .flags = pt_flags(PT_FLAG_WRITE)};
    struct pt_translation translation;
    struct pt pt;
    enum status status = pt_create(&pt, pt_reach_offset(arena_offset(&arena)), &alloc);

    if (status == ST_OK)
        status = pt_flush_ignore(pt_map(&pt, &request)); /* no CPU uses it yet */
    if (status == ST_OK)
        status = pt_translate(&pt, vaddr(address), &translation);
    if (status == ST_OK)
        *physical = translation.paddr.v;
    return status;
}

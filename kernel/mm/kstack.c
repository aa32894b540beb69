/*
 * Kernel stacks, each with an unmapped page below it:
 *
 *   KSTACK_REGION + n * SLOT:   guard page | KSTACK_BYTES of stack | guard page of n + 1 | ...
 *
 * A stack that is given back keeps its frames and is handed out again, up to KEPT_MAX; those behind are
 * unmapped. A stack's slot number is all that has to be remembered: a kept stack's lowest word links to the
 * next kept one, and numbers of unmapped slots are in a bitmap. Runs under the kernel lock.
 */
#include "kernel/mm/kernel_map.h"
#include "kernel/x86/x86.h"
#include "pt/fmt/x86_64.h"

#define SLOT_BYTES (KSTACK_BYTES + PAGE_SIZE)

/* Slot 0 is the boot stack. */
enum { SLOTS = 4096, KEPT_MAX = 4, WORD_BITS = 64 };

static uint64_t used[SLOTS / WORD_BITS] = {1};
static unsigned first_free_word; /* no slot below this word is free */
static uint64_t kept;            /* top of the last one given back; 0: none */
static unsigned kept_count;

static uint64_t top_of(unsigned slot)
{
    return KSTACK_REGION + (slot + 1) * SLOT_BYTES;
}

static unsigned slot_of(uint64_t top)
{
    return (unsigned)((top - KSTACK_REGION) / SLOT_BYTES) - 1;
}

static uint64_t *link_of(uint64_t top)
{
    return (uint64_t *)(top - KSTACK_BYTES);
}

uint64_t kstack_boot(void)
{
    return top_of(0);
}

bool kstack_is_guard(uint64_t address)
{
    return address >= KSTACK_REGION && address < top_of(SLOTS - 1) &&
           (address - KSTACK_REGION) % SLOT_BYTES < PAGE_SIZE;
}

/* SLOTS when every one is used. */
static unsigned slot_take(void)
{
    for (unsigned word = first_free_word; word < SLOTS / WORD_BITS; word++) {
        if (used[word] != UINT64_MAX) {
            unsigned bit = (unsigned)__builtin_ctzll(~used[word]);

            used[word] |= (uint64_t)1 << bit;
            first_free_word = word;
            return word * WORD_BITS + bit;
        }
    }
    return SLOTS;
}

bool kstack_all_used(void)
{
    for (unsigned word = first_free_word; word < SLOTS / WORD_BITS; word++)
        if (used[word] != UINT64_MAX)
            return false;
    return kept == 0;
}

static void slot_give(unsigned slot)
{
    used[slot / WORD_BITS] &= ~((uint64_t)1 << (slot % WORD_BITS));
    if (slot / WORD_BITS < first_free_word)
        first_free_word = slot / WORD_BITS;
}

/* Unmaps and frees the stack's first `pages` pages. */
static void stack_destroy(unsigned slot, unsigned pages)
{
    uint64_t start = top_of(slot) - KSTACK_BYTES;

    for (unsigned i = 0; i < pages; i++) {
        struct vaddr at = vaddr(start + i * PAGE_SIZE);
        struct paddr to = kernel_translate(at);

        kernel_unmap(at, PAGE_SIZE);
        frame_free(frame_at(to));
    }
    slot_give(slot);
}

static bool stack_make(unsigned slot)
{
    uint64_t start = top_of(slot) - KSTACK_BYTES;

    for (unsigned i = 0; i < KSTACK_BYTES / PAGE_SIZE; i++) {
        struct frame *frame = frame_alloc(0, FRAME_KERNEL, FRAME_ANY);

        if (frame == NULL || kernel_map(vaddr(start + i * PAGE_SIZE), frame_paddr(frame), PAGE_SIZE,
                                        KERNEL_DATA_BITS) != ST_OK) {
            if (frame != NULL)
                frame_free(frame);
            stack_destroy(slot, i);
            return false;
        }
    }
    return true;
}

uint64_t kstack_alloc(void)
{
    uint64_t top = kept;

    if (top != 0) {
        kept = *link_of(top);
        kept_count--;
        return top;
    }
    unsigned slot = slot_take();

    return slot < SLOTS && stack_make(slot) ? top_of(slot) : 0;
}

void kstack_free(uint64_t top)
{
    if (kept_count == KEPT_MAX) {
        stack_destroy(slot_of(top), KSTACK_BYTES / PAGE_SIZE);
        return;
    }
    *link_of(top) = kept;
    kept = top;
    kept_count++;
}

uint64_t kstack_trim(void)
{
    uint64_t frames = 0;

    while (kept != 0) {
        uint64_t top = kept;

        kept = *link_of(top);
        kept_count--;
        stack_destroy(slot_of(top), KSTACK_BYTES / PAGE_SIZE);
        frames += KSTACK_BYTES / PAGE_SIZE;
    }
    return frames;
}

/*
 * The table of slots: which are free, and which is taken next.
 *
 *   taken   |1111111111111111|0000000000000000|1011000010000000| ...     a bit a slot, 64 to a word
 *                             ^hand
 *
 * Slots are taken in a row from the hand on. Where the row meets a slot in use it goes on in a word that is
 * empty, if there is one, so that what leaves together lies together and is written by one request and read
 * by one; else wherever a slot is free. (Clusters of slots: McKusick et al., "The Design and Implementation
 * of the 4.4BSD Operating System", 5.12; Linux's mm/swapfile.c does the same with 256 slots.)
 */
#include "quire/slab.h"
#include "vm/pages.h"
#include "vm/space_internal.h"
#include "vm/swap_internal.h"

struct swap swap;

void swap_init(void)
{
    swap = (struct swap){.read_ahead = SWAP_CLUSTER};
    ahead_init();
    lock_init(&swap.lock, RANK_SWAP);
}

enum status swap_on(const struct swap_store *store, uint64_t slots)
{
    uint64_t words = slots / WORD_SLOTS + 1;
    uint64_t *taken;
    struct swap_slot **pieces;

    if (slots == 0 || slots >= (uint64_t)1 << 31 || swap.slots != 0)
        return ST_INVALID;
    taken = slab_alloc(words * sizeof *taken);
    pieces = slab_alloc(((slots >> PIECE_BITS) + 1) * sizeof(struct swap_slot *));
    if (!taken || !pieces) {
        slab_free(taken);
        slab_free(pieces);
        return ST_NO_MEMORY;
    }
    taken[0] = 1;
    for (uint64_t slot = slots + 1; slot < words * WORD_SLOTS; slot++)
        taken[slot / WORD_SLOTS] |= (uint64_t)1 << (slot % WORD_SLOTS);
    swap.taken = taken;
    swap.pieces = pieces;
    swap.words = (uint32_t)words;
    for (uint32_t word = 0; word < swap.words; word++)
        swap.empty_words += taken[word] == 0;
    swap.hand = 1;
    swap.store = *store;
    __atomic_store_n(&swap.slots, (uint32_t)slots, __ATOMIC_RELEASE);
    return ST_OK;
}

bool swap_is_on(void)
{
    return __atomic_load_n(&swap.slots, __ATOMIC_ACQUIRE) != 0;
}

void swap_set_read_ahead(unsigned pages)
{
    lock_take(&swap.lock);
    swap.read_ahead = pages < 1 ? 1 : pages > SWAP_CLUSTER ? SWAP_CLUSTER : pages;
    lock_drop(&swap.lock);
}

void swap_count(struct swap_counts *out)
{
    lock_take(&swap.lock);
    *out = (struct swap_counts){
        .slots = swap.slots,
        .used = swap.used,
        .cached = swap.cached,
        .bad = swap.bad,
        .zero = swap.zero,
        .page_outs = vm_stats.swap_outs,
        .write_requests = vm_stats.swap_writes,
        .write_errors = vm_stats.swap_write_errors,
        .page_ins = vm_stats.swap_ins,
        .read_requests = vm_stats.swap_reads,
        .read_errors = vm_stats.swap_read_errors,
        .read_ahead = vm_stats.swap_ahead,
        .read_ahead_hits = vm_stats.swap_ahead_hits,
        .cache_hits = vm_stats.swap_cache_hits,
    };
    lock_drop(&swap.lock);
}

/* ------------------------------------------------------------------ descriptors */

/* The slots of a word that are in use; the first and the last word have bits that are no slots. */
static uint64_t word_in_use(uint32_t word)
{
    uint64_t bits = swap.taken[word];

    if (word == 0)
        bits &= ~(uint64_t)1;
    if (word == swap.slots / WORD_SLOTS)
        bits &= ((uint64_t)2 << (swap.slots % WORD_SLOTS)) - 1;
    return bits;
}

static bool piece_is_empty(uint32_t slot)
{
    uint32_t word = slot >> PIECE_BITS << PIECE_BITS >> WORD_BITS;

    for (unsigned i = 0; i < PIECE_SLOTS / WORD_SLOTS && word + i < swap.words; i++)
        if (word_in_use(word + i) != 0)
            return false;
    return true;
}

/* The descriptors around `slot`; pages cannot leave memory without them, hence the reserve. */
static bool piece_make(uint32_t slot)
{
    struct swap_slot **piece = &swap.pieces[slot >> PIECE_BITS];
    struct frame *frame;

    if (*piece)
        return true;
    frame = frame_alloc(0, FRAME_KERNEL, FRAME_ZERO | FRAME_EMERGENCY);
    if (frame)
        __atomic_store_n(piece, frame_data(frame), __ATOMIC_RELAXED);
    return frame != NULL;
}

static void piece_end(uint32_t slot)
{
    struct swap_slot **piece = &swap.pieces[slot >> PIECE_BITS];

    if (!piece_is_empty(slot))
        return;
    frame_free(frame_at(host_paddr(*piece)));
    *piece = NULL;
}

/* ------------------------------------------------------------------ taking and freeing */

/* The first slot of the next word, from the hand's on, that is empty, or has a free slot if none is. */
static uint32_t next_word(void)
{
    uint32_t word = swap.hand / WORD_SLOTS;

    for (uint32_t left = swap.words; left > 0; left--) {
        word = word + 1 < swap.words ? word + 1 : 0;
        if (swap.empty_words > 0 ? swap.taken[word] == 0 : ~swap.taken[word] != 0)
            return word * WORD_SLOTS;
    }
    return swap.hand / WORD_SLOTS * WORD_SLOTS;
}

/* The first free slot of the word of `slot`, from `slot` on; 0: there is none. */
static uint32_t free_in_word(uint32_t slot)
{
    uint64_t open = ~swap.taken[slot / WORD_SLOTS] & ~(uint64_t)0 << (slot % WORD_SLOTS);

    return open ? slot / WORD_SLOTS * WORD_SLOTS + (uint32_t)__builtin_ctzll(open) : 0;
}

/* Free slots in a row from the hand on, at most `wanted`. */
static unsigned run_at_hand(unsigned wanted)
{
    unsigned run = 0;

    while (run < wanted && swap.hand + run <= swap.slots && !slot_is_taken(swap.hand + run))
        run++;
    return run;
}

uint32_t slot_take(unsigned begin_run)
{
    uint32_t slot;
    uint64_t *word;

    if (swap.used == swap.slots)
        return 0;
    if (swap.hand > swap.slots)
        swap.hand = 1;
    if (begin_run > 1 && swap.empty_words > 0 && run_at_hand(begin_run) < begin_run)
        swap.hand = next_word();
    slot = free_in_word(swap.hand);
    if (slot == 0)
        slot = free_in_word(next_word());
    if (slot == 0 || !piece_make(slot))
        return 0;
    word = &swap.taken[slot / WORD_SLOTS];
    swap.empty_words -= *word == 0;
    *word |= (uint64_t)1 << (slot % WORD_SLOTS);
    swap.used++;
    swap.hand = slot + 1;
    *slot_at(slot) = (struct swap_slot){0};
    return slot;
}

void slot_free(uint32_t slot)
{
    struct swap_slot *s = slot_at(slot);
    uint64_t *word = &swap.taken[slot / WORD_SLOTS];

    CHECK(s->count == 0 && s->frame == 0);
    if (s->flags & SLOT_WRITING) {
        s->flags |= SLOT_DOOMED;
        return;
    }
    members_swapped_pages(s->member, -1);
    s->member = MEMBER_NOBODY;
    if (s->flags & SLOT_BAD) {
        s->flags = SLOT_BAD;
        return;
    }
    if (s->flags & SLOT_ZERO)
        swap.zero--;
    else if (swap.store.discard)
        swap.store.discard(swap.store.context, slot, 1);
    *word &= ~((uint64_t)1 << (slot % WORD_SLOTS));
    swap.empty_words += *word == 0;
    swap.used--;
    if (word_in_use(slot / WORD_SLOTS) == 0)
        piece_end(slot);
    pages_forget_slot(slot);
}

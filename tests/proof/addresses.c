/*
 * What the arithmetic of addresses in src/pt promises, for Frama-C's WP (tools/check-proof): contracts of the
 * very functions of the library, once for each format. Nothing here is compiled.
 *
 * In front of it comes, made by tools/check-proof, what `&`, `|`, `^` and shifts by constants are in numbers,
 * each of which z3 has proved for all words of 64 bits before WP takes it for granted.
 */
#include <stdint.h>

#define WORD 0xffffffffffffffff
#define SPAN_1 0x1000
#define SPAN_2 0x200000
#define SPAN_3 0x40000000
#define SPAN_4 0x8000000000
#define SPAN_5 0x1000000000000

/* ------------------------------------------------------------------ include/quire/types.h */

/*@ assigns \nothing;
    behavior level_1: assumes power_of_two == SPAN_1; ensures \result == value - value % SPAN_1;
    behavior level_2: assumes power_of_two == SPAN_2; ensures \result == value - value % SPAN_2;
    behavior level_3: assumes power_of_two == SPAN_3; ensures \result == value - value % SPAN_3;
    behavior level_4: assumes power_of_two == SPAN_4; ensures \result == value - value % SPAN_4;
    behavior level_5: assumes power_of_two == SPAN_5; ensures \result == value - value % SPAN_5;
*/
static inline uint64_t align_down(uint64_t value, uint64_t power_of_two);

/* Short of the last page of all addresses. */
/*@ assigns \nothing;
    behavior level_1: assumes power_of_two == SPAN_1 && value <= WORD - SPAN_1;
        ensures \result == (value + SPAN_1 - 1) - (value + SPAN_1 - 1) % SPAN_1;
    behavior level_2: assumes power_of_two == SPAN_2 && value <= WORD - SPAN_2;
        ensures \result == (value + SPAN_2 - 1) - (value + SPAN_2 - 1) % SPAN_2;
    behavior level_3: assumes power_of_two == SPAN_3 && value <= WORD - SPAN_3;
        ensures \result == (value + SPAN_3 - 1) - (value + SPAN_3 - 1) % SPAN_3;
*/
static inline uint64_t align_up(uint64_t value, uint64_t power_of_two);

/*@ assigns \nothing;
    behavior level_1: assumes power_of_two == SPAN_1; ensures \result <==> value % SPAN_1 == 0;
    behavior level_2: assumes power_of_two == SPAN_2; ensures \result <==> value % SPAN_2 == 0;
    behavior level_3: assumes power_of_two == SPAN_3; ensures \result <==> value % SPAN_3 == 0;
*/
static inline _Bool is_aligned(uint64_t value, uint64_t power_of_two);

#include "quire/types.h"

/* A frame's number and its address, there and back. */
/*@ assigns \nothing; ensures \result.v == p.v / SPAN_1; */
static inline struct pfn pfn_of(struct paddr p);
/*@ requires f.v * SPAN_1 <= WORD; assigns \nothing; ensures \result.v == f.v * SPAN_1; */
static inline struct paddr paddr_of(struct pfn f);

/* ------------------------------------------------------------------ src/pt/fmt */

/*@ requires 1 <= level <= 5; assigns \nothing; ensures \result == 12 + 9 * (level - 1); */
static inline unsigned pt_level_shift(unsigned level);

/*@ requires 1 <= level <= 5; assigns \nothing;
    ensures level == 1 ==> \result == SPAN_1;
    ensures level == 2 ==> \result == SPAN_2;
    ensures level == 3 ==> \result == SPAN_3;
    ensures level == 4 ==> \result == SPAN_4;
    ensures level == 5 ==> \result == SPAN_5;
*/
static inline uint64_t pt_level_span(unsigned level);

/*@ requires 1 <= level <= 5; assigns \nothing; ensures 0 <= \result < 512;
    behavior level_1: assumes level == 1; ensures \result == (address.v / SPAN_1) % 512;
    behavior level_2: assumes level == 2; ensures \result == (address.v / SPAN_2) % 512;
    behavior level_3: assumes level == 3; ensures \result == (address.v / SPAN_3) % 512;
    behavior level_4: assumes level == 4; ensures \result == (address.v / SPAN_4) % 512;
    behavior level_5: assumes level == 5; ensures \result == (address.v / SPAN_5) % 512;
    complete behaviors; disjoint behaviors;
*/
static inline unsigned pt_index(struct vaddr address, unsigned level);

/* HALF: the bytes of one half of the addresses. */
/*@ predicate in_a_half(integer address) = address < HALF || address > WORD - HALF; */

/*@ assigns \nothing; ensures \result <==> in_a_half(address.v); */
static inline _Bool pt_sign_extended(struct vaddr address);
/*@ assigns \nothing; ensures \result <==> in_a_half(address.v); */
static inline _Bool pt_canonical(struct vaddr address);

#include "quire/pt.h"

/* ------------------------------------------------------------------ src/pt/pt_internal.h */

/* Runs of entries, with vectors that Frama-C does not know, are not looked at. */
#define PT_RUN_H

/* Behind what the entry of `level` stands for. */
/*@ requires 1 <= level <= 5; assigns \nothing;
    behavior level_1: assumes level == 1 && address.v <= WORD - SPAN_1; ensures \result == address.v -
   address.v % SPAN_1 + SPAN_1; behavior level_2: assumes level == 2 && address.v <= WORD - SPAN_2; ensures
   \result == address.v - address.v % SPAN_2 + SPAN_2; behavior level_3: assumes level == 3 && address.v <=
   WORD - SPAN_3; ensures \result == address.v - address.v % SPAN_3 + SPAN_3;
*/
PT_INLINE uint64_t path_next(struct vaddr address, unsigned level);

/* Short of the last page of all addresses; alignment is is_aligned()'s. */
/*@ requires \valid(last); assigns *last;
    behavior empty: assumes length_bytes == 0; ensures \result == ST_INVALID;
    behavior good: assumes 0 < length_bytes && start.v + length_bytes <= WORD && align == SPAN_1;
        ensures *last == start.v + length_bytes - 1;
        ensures \result == ST_OK ==> start.v % SPAN_1 == 0 && length_bytes % SPAN_1 == 0;
        ensures \result == ST_OK ==> in_a_half(start.v) && in_a_half(start.v + length_bytes - 1);
    behavior wraps: assumes start.v + length_bytes - 1 > WORD; ensures \result != ST_OK;
*/
PT_INLINE enum status range_check(struct vaddr start, uint64_t length_bytes, uint64_t align, uint64_t *last);

#include "pt/pt_internal.h"

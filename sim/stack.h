/*
 * Stack distances: in how little memory would this reference have been no fault?
 *
 * R. L. Mattson, J. Gecsei, D. R. Slutz, I. L. Traiger, "Evaluation Techniques for Storage Hierarchies", IBM
 * Systems Journal 9(2), 1970: under LRU and under OPT the pages in c frames are always among those in c + 1
 * (inclusion), so all sizes of memory are one stack, and a page's depth in it, from 1, is the least number of
 * frames that holds it. One pass gives the faults at every size.
 *
 * Memory grows with the pages of a trace, not with its length.
 */
#ifndef QUIRE_SIM_STACK_H
#define QUIRE_SIM_STACK_H

#include <stdbool.h>
#include <stdint.h>

#include "quire/policy.h"

#define STACK_COLD 0 /* the distance of a page that comes for the first time */

/* LRU's stack. */
struct stack_lru;
struct stack_lru *stack_lru_create(void); /* NULL: no memory */
void stack_lru_destroy(struct stack_lru *stack);
/*
 * Fills in distances[0 … block->count - 1]; `pages`: the numbers are below, and it only grows. False: no
 * memory; nothing has changed.
 */
MUST_USE bool stack_lru_block(struct stack_lru *stack, const struct policy_block *block, uint32_t pages,
                              uint32_t *distances);
/* Where the page is now; STACK_COLD: it has not come yet. */
uint32_t stack_lru_depth(const struct stack_lru *stack, uint32_t page);
/* NULL, or what is wrong. */
const char *stack_lru_check(const struct stack_lru *stack);

/* OPT's stack: the same, of blocks with distances of their own (of when the page comes again). */
struct stack_opt;
struct stack_opt *stack_opt_create(void);
void stack_opt_destroy(struct stack_opt *stack);
MUST_USE bool stack_opt_block(struct stack_opt *stack, const struct policy_block *block, uint32_t pages,
                              uint32_t *distances);
const char *stack_opt_check(const struct stack_opt *stack);

#endif

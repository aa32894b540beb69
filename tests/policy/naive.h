/*
 * Naive policies: each says what the policy of the same name says, written from the paper as plainly as can
 * be, with lists that are searched from end to end. Hosted, slow, obvious. lockstep.h runs both side by side.
 *
 * A naive policy is a file reference/<name>.c with one struct naive_type, and a line in reference/naives.h.
 * It sees the state of a page as booleans that are always up to date; it may clear `referenced` and calls
 * naive_clean(). Who is resident is kept for it, as policy.c does for a policy: `resident` of the page that
 * comes or goes changes after insert(), victim() and remove().
 */
#ifndef TESTS_POLICY_NAIVE_H
#define TESTS_POLICY_NAIVE_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "policy/policy_internal.h" /* for its random numbers */
#include "quire/policy.h"

struct naive_page {
    bool resident, referenced, dirty, pinned;
};

struct naive_list {
    uint32_t *items;
    size_t count, size;
};

struct naive;

struct naive_type {
    const char *name; /* of the policy */
    size_t size;      /* of its own structure, which begins with a struct naive and is zeroed */
    void (*init)(struct naive *naive); /* may be NULL, as the last four */
    void (*insert)(struct naive *naive, uint32_t page);
    uint32_t (*victim)(struct naive *naive, uint32_t incoming);
    void (*remove)(struct naive *naive, uint32_t page); /* resident, remembered or unknown */
    void (*touch)(struct naive *naive, uint32_t page);  /* of a resident page */
    void (*resize)(struct naive *naive);
    void (*tick)(struct naive *naive);
    void (*destroy)(struct naive *naive);
};

struct naive {
    const struct naive_type *type;
    const struct policy_config *config; /* its options, its seed */
    struct naive_page *pages;           /* by number; config->pages of them */
    uint32_t frames, resident;
    uint64_t now;
    uint32_t distance;         /* as of struct policy */
    struct naive_list cleaned; /* pages that were handed to naive_clean() and are not written yet */
};

extern const struct naive_type *const naive_types[]; /* ends with NULL */
const struct naive_type *naive_find(const char *policy);
struct naive *naive_create(const struct naive_type *type, const struct policy_config *config);
void naive_destroy(struct naive *naive);
void naive_clean(struct naive *naive, uint32_t page);

#define NAIVE_NOT_FOUND SIZE_MAX

/* A list in an array; the front is item 0. */
void naive_push_back(struct naive_list *list, uint32_t item);
void naive_push_front(struct naive_list *list, uint32_t item);
void naive_put(struct naive_list *list, size_t index, uint32_t item); /* before what is there */
uint32_t naive_take(struct naive_list *list, size_t index);           /* out of it */
size_t naive_search(const struct naive_list *list, uint32_t item);    /* NAIVE_NOT_FOUND */
bool naive_drop(struct naive_list *list, uint32_t item);              /* if it is there */
void naive_list_free(struct naive_list *list);

#endif

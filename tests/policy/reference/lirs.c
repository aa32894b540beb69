/*
 * LIRS (Jiang and Zhang, 2002, section 3.3, and the authors' own program): the stack S, the list Q, pruning.
 */
#include "lists.h"

enum { HIR_PERCENT };

struct lirs {
    struct naive base;
    struct naive_list s, q;
    bool *lir; /* by page */
};

static size_t lir_limit(const struct naive *naive)
{
    size_t hir = naive->frames * naive->config->options[HIR_PERCENT] / 100;

    if (hir < 2)
        hir = naive->frames <= 2 ? 1 : 2;
    return naive->frames - hir;
}

static size_t lir_count(const struct naive *naive)
{
    size_t count = 0;

    for (uint32_t page = 0; page < naive->config->pages; page++)
        count += ((struct lirs *)naive)->lir[page];
    return count;
}

static void lirs_init(struct naive *naive)
{
    ((struct lirs *)naive)->lir = calloc(naive->config->pages, sizeof(bool));
}

static void prune(struct lirs *lirs)
{
    while (lirs->s.count > 0 && !lirs->lir[lirs->s.items[lirs->s.count - 1]])
        naive_pop(&lirs->s);
}

/* LIR pages at the bottom of S become HIR pages at the end of Q. */
static void keep_limit(struct naive *naive)
{
    struct lirs *lirs = (struct lirs *)naive;

    while (lir_count(naive) > lir_limit(naive)) {
        uint32_t page = naive_pop(&lirs->s);

        lirs->lir[page] = false;
        naive_push_front(&lirs->q, page);
        prune(lirs);
    }
}

static void to_lir(struct naive *naive, uint32_t page)
{
    struct lirs *lirs = (struct lirs *)naive;

    naive_to_front(&lirs->s, page);
    lirs->lir[page] = true;
    keep_limit(naive);
    prune(lirs);
}

static void lirs_touch(struct naive *naive, uint32_t page)
{
    struct lirs *lirs = (struct lirs *)naive;

    if (lirs->s.count > 0 && lirs->s.items[0] == page)
        return; /* the same page again */
    if (lirs->lir[page]) {
        naive_to_front(&lirs->s, page);
        prune(lirs);
    } else if (naive_has(&lirs->s, page)) {
        naive_drop(&lirs->q, page);
        to_lir(naive, page);
    } else {
        naive_to_front(&lirs->q, page);
        naive_push_front(&lirs->s, page);
        prune(lirs);
    }
}

static void lirs_insert(struct naive *naive, uint32_t page)
{
    struct lirs *lirs = (struct lirs *)naive;

    if (naive_has(&lirs->s, page)) {
        to_lir(naive, page);
        return;
    }
    naive_push_front(&lirs->s, page);
    if (lir_count(naive) < lir_limit(naive))
        lirs->lir[page] = true;
    else
        naive_push_front(&lirs->q, page);
    prune(lirs);
}

static uint32_t lirs_victim(struct naive *naive, uint32_t incoming)
{
    struct lirs *lirs = (struct lirs *)naive;
    uint32_t page = naive_oldest(naive, &lirs->q);

    if (page != POLICY_NO_PAGE) {
        naive_drop(&lirs->q, page);
        return page;
    }
    for (size_t i = lirs->s.count; i-- > 0;) {
        page = lirs->s.items[i];
        if (!lirs->lir[page] || naive->pages[page].pinned)
            continue;
        lirs->lir[page] = false;
        naive_take(&lirs->s, i);
        prune(lirs);
        return page;
    }
    return POLICY_NO_PAGE;
}

static void lirs_remove(struct naive *naive, uint32_t page)
{
    struct lirs *lirs = (struct lirs *)naive;

    naive_drop(&lirs->s, page);
    naive_drop(&lirs->q, page);
    lirs->lir[page] = false;
    prune(lirs);
}

static void lirs_destroy(struct naive *naive)
{
    struct lirs *lirs = (struct lirs *)naive;

    naive_list_free(&lirs->s);
    naive_list_free(&lirs->q);
    free(lirs->lir);
}

const struct naive_type naive_lirs = {
    .name = "lirs",
    .size = sizeof(struct lirs),
    .init = lirs_init,
    .insert = lirs_insert,
    .touch = lirs_touch,
    .victim = lirs_victim,
    .remove = lirs_remove,
    .resize = keep_limit,
    .destroy = lirs_destroy,
};

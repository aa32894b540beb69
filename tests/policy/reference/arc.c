/*
 * ARC (Megiddo and Modha, 2003, figure 4), with a real number for p.
 */
#include "lists.h"

#define CLOSE (1.0 / 65536) /* what a sum of ratios may be off */

struct arc {
    struct naive base;
    struct naive_list t1, t2, b1, b2;
    double p;
    struct naive_list returning; /* pages that were found there and have not come yet */
    bool from_b2;
};

static double ratio(const struct naive_list *other, const struct naive_list *mine)
{
    return other->count > mine->count ? (double)other->count / (double)mine->count : 1;
}

/* Cases II and III: is x in B1 or B2? */
static bool look_up(struct naive *naive, uint32_t x)
{
    struct arc *arc = (struct arc *)naive;

    if (naive_has(&arc->b1, x)) {
        arc->p += ratio(&arc->b2, &arc->b1);
        arc->p = arc->p < naive->frames ? arc->p : naive->frames;
        arc->from_b2 = false;
    } else if (naive_has(&arc->b2, x)) {
        arc->p -= ratio(&arc->b1, &arc->b2);
        arc->p = arc->p > 0 ? arc->p : 0;
        arc->from_b2 = true;
    } else {
        return false;
    }
    naive_drop(&arc->b1, x);
    naive_drop(&arc->b2, x);
    naive_push_front(&arc->returning, x);
    return true;
}

static void arc_insert(struct naive *naive, uint32_t x)
{
    struct arc *arc = (struct arc *)naive;

    look_up(naive, x);
    naive_push_front(naive_drop(&arc->returning, x) ? &arc->t2 : &arc->t1, x);
}

/* Case I. */
static void arc_touch(struct naive *naive, uint32_t x)
{
    struct arc *arc = (struct arc *)naive;

    naive_drop(&arc->t1, x);
    naive_to_front(&arc->t2, x);
}

static uint32_t replace(struct naive *naive, bool x_in_b2)
{
    struct arc *arc = (struct arc *)naive;
    double over = (double)arc->t1.count - arc->p;
    bool first = over > CLOSE || (x_in_b2 && over >= -CLOSE);
    uint32_t page;

    if (naive_oldest(naive, first ? &arc->t1 : &arc->t2) == POLICY_NO_PAGE)
        first = !first;
    page = naive_oldest(naive, first ? &arc->t1 : &arc->t2);
    naive_drop(first ? &arc->t1 : &arc->t2, page);
    naive_push_front(first ? &arc->b1 : &arc->b2, page);
    return page;
}

static size_t all(const struct arc *arc)
{
    return arc->t1.count + arc->t2.count + arc->b1.count + arc->b2.count;
}

/* Case IV: x is nowhere. */
static uint32_t replace_for_new(struct naive *naive)
{
    struct arc *arc = (struct arc *)naive;
    size_t c = naive->frames;

    if (arc->t1.count + arc->b1.count >= c) {
        uint32_t page = naive_oldest(naive, &arc->t1);

        if (arc->b1.count == 0 && page != POLICY_NO_PAGE) {
            naive_drop(&arc->t1, page);
            return page;
        }
        if (arc->b1.count > 0)
            naive_pop(&arc->b1);
    } else if (all(arc) >= 2 * c && arc->b2.count > 0) {
        naive_pop(&arc->b2);
    }
    return replace(naive, false);
}

static uint32_t arc_victim(struct naive *naive, uint32_t incoming)
{
    struct arc *arc = (struct arc *)naive;

    if (!naive_either(naive, &arc->t1, &arc->t2))
        return POLICY_NO_PAGE;
    return look_up(naive, incoming) ? replace(naive, arc->from_b2) : replace_for_new(naive);
}

static void arc_remove(struct naive *naive, uint32_t page)
{
    struct arc *arc = (struct arc *)naive;

    naive_drop(&arc->returning, page);
    naive_drop(&arc->t1, page);
    naive_drop(&arc->t2, page);
    naive_drop(&arc->b1, page);
    naive_drop(&arc->b2, page);
}

static void arc_resize(struct naive *naive)
{
    struct arc *arc = (struct arc *)naive;

    while (arc->b1.count > 0 && arc->t1.count + arc->b1.count > naive->frames)
        naive_pop(&arc->b1);
    while (arc->b2.count > 0 && all(arc) > 2 * (size_t)naive->frames)
        naive_pop(&arc->b2);
    arc->p = arc->p < naive->frames ? arc->p : naive->frames;
}

static void arc_destroy(struct naive *naive)
{
    struct arc *arc = (struct arc *)naive;

    naive_list_free(&arc->returning);
    naive_list_free(&arc->t1);
    naive_list_free(&arc->t2);
    naive_list_free(&arc->b1);
    naive_list_free(&arc->b2);
}

const struct naive_type naive_arc = {
    .name = "arc",
    .size = sizeof(struct arc),
    .insert = arc_insert,
    .touch = arc_touch,
    .victim = arc_victim,
    .remove = arc_remove,
    .resize = arc_resize,
    .destroy = arc_destroy,
};

/*
 * CAR (Bansal and Modha, 2004, figure 2). The clocks T1 and T2 are lists with the hand at the oldest page.
 */
#include "lists.h"

#define CLOSE (1.0 / 65536) /* what a sum of ratios may be off */

struct car {
    struct naive base;
    struct naive_list t1, t2, b1, b2;
    double p;
    struct naive_list returning; /* pages that were found there and have not come yet */
    struct naive_list *from;
};

static void look_up(struct car *car, uint32_t x)
{
    car->from = naive_has(&car->b1, x) ? &car->b1 : naive_has(&car->b2, x) ? &car->b2 : NULL;
    if (!car->from)
        return;
    naive_drop(car->from, x);
    naive_push_front(&car->returning, x);
}

/* Lines 13 and 17: x, which was taken out above, still counts. */
static void adapt(struct naive *naive)
{
    struct car *car = (struct car *)naive;
    double b1 = (double)car->b1.count, b2 = (double)car->b2.count;

    if (car->from == &car->b1) {
        car->p += b2 / (b1 + 1) > 1 ? b2 / (b1 + 1) : 1;
        car->p = car->p < naive->frames ? car->p : naive->frames;
    } else if (car->from == &car->b2) {
        car->p -= b1 / (b2 + 1) > 1 ? b1 / (b2 + 1) : 1;
        car->p = car->p > 0 ? car->p : 0;
    }
    car->from = NULL;
}

static void car_insert(struct naive *naive, uint32_t x)
{
    struct car *car = (struct car *)naive;

    look_up(car, x);
    adapt(naive);
    naive_push_front(naive_drop(&car->returning, x) ? &car->t2 : &car->t1, x);
}

/* Lines 22 to 39. */
static uint32_t replace(struct naive *naive)
{
    struct car *car = (struct car *)naive;

    for (size_t left = 3 * (car->t1.count + car->t2.count); left > 0; left--) {
        double least = car->p > 1 ? car->p : 1;
        bool first = car->t2.count == 0 || (double)car->t1.count + CLOSE >= least;
        struct naive_list *clock = first ? &car->t1 : &car->t2;
        uint32_t page = naive_pop(clock);

        if (naive->pages[page].pinned) {
            naive_push_front(clock, page);
        } else if (naive->pages[page].referenced) {
            naive->pages[page].referenced = false;
            naive_push_front(&car->t2, page);
        } else {
            naive_push_front(first ? &car->b1 : &car->b2, page);
            return page;
        }
    }
    for (int first = 1; first >= 0; first--) {
        uint32_t page = naive_oldest(naive, first ? &car->t1 : &car->t2);

        if (page == POLICY_NO_PAGE)
            continue;
        naive_drop(first ? &car->t1 : &car->t2, page);
        naive_push_front(first ? &car->b1 : &car->b2, page);
        return page;
    }
    return POLICY_NO_PAGE;
}

static size_t all(const struct car *car)
{
    return car->t1.count + car->t2.count + car->b1.count + car->b2.count;
}

static uint32_t car_victim(struct naive *naive, uint32_t incoming)
{
    struct car *car = (struct car *)naive;
    size_t c = naive->frames;
    uint32_t page;

    if (!naive_either(naive, &car->t1, &car->t2))
        return POLICY_NO_PAGE;
    look_up(car, incoming);
    page = replace(naive);
    if (!car->from) {
        if (car->b1.count > 0 && car->t1.count + car->b1.count >= c)
            naive_pop(&car->b1);
        else if (car->b2.count > 0 && all(car) >= 2 * c)
            naive_pop(&car->b2);
    }
    adapt(naive);
    return page;
}

static void car_remove(struct naive *naive, uint32_t page)
{
    struct car *car = (struct car *)naive;

    naive_drop(&car->returning, page);
    naive_drop(&car->t1, page);
    naive_drop(&car->t2, page);
    naive_drop(&car->b1, page);
    naive_drop(&car->b2, page);
}

static void car_resize(struct naive *naive)
{
    struct car *car = (struct car *)naive;

    while (car->b1.count > 0 && car->t1.count + car->b1.count > naive->frames)
        naive_pop(&car->b1);
    while (car->b2.count > 0 && all(car) > 2 * (size_t)naive->frames)
        naive_pop(&car->b2);
    car->p = car->p < naive->frames ? car->p : naive->frames;
}

static void car_destroy(struct naive *naive)
{
    struct car *car = (struct car *)naive;

    naive_list_free(&car->returning);
    naive_list_free(&car->t1);
    naive_list_free(&car->t2);
    naive_list_free(&car->b1);
    naive_list_free(&car->b2);
}

const struct naive_type naive_car = {
    .name = "car",
    .size = sizeof(struct car),
    .insert = car_insert,
    .victim = car_victim,
    .remove = car_remove,
    .resize = car_resize,
    .destroy = car_destroy,
};

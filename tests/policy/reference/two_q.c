/*
 * 2Q (Johnson and Shasha, 1994, "full version"): A1in, A1out, Am and reclaimfor(X).
 */
#include "lists.h"

enum { IN_PERCENT, OUT_PERCENT };

struct two_q {
    struct naive base;
    struct naive_list a1in, a1out, am;
    struct naive_list returning; /* pages that were found there and have not come yet */
};

static size_t k_in(const struct naive *naive)
{
    return naive->frames * naive->config->options[IN_PERCENT] / 100;
}

static size_t k_out(const struct naive *naive)
{
    return naive->frames * naive->config->options[OUT_PERCENT] / 100;
}

static void look_up(struct naive *naive, uint32_t page)
{
    struct two_q *two_q = (struct two_q *)naive;

    if (naive_drop(&two_q->a1out, page))
        naive_push_front(&two_q->returning, page);
}

static void two_q_insert(struct naive *naive, uint32_t page)
{
    struct two_q *two_q = (struct two_q *)naive;

    look_up(naive, page);
    naive_push_front(naive_drop(&two_q->returning, page) ? &two_q->am : &two_q->a1in, page);
}

static void two_q_touch(struct naive *naive, uint32_t page)
{
    struct two_q *two_q = (struct two_q *)naive;

    if (naive_has(&two_q->am, page))
        naive_to_front(&two_q->am, page);
}

static void two_q_resize(struct naive *naive)
{
    struct two_q *two_q = (struct two_q *)naive;

    while (two_q->a1out.count > k_out(naive))
        naive_pop(&two_q->a1out);
}

static uint32_t two_q_victim(struct naive *naive, uint32_t incoming)
{
    struct two_q *two_q = (struct two_q *)naive;
    bool from_in;
    uint32_t page;

    if (!naive_either(naive, &two_q->a1in, &two_q->am))
        return POLICY_NO_PAGE;
    look_up(naive, incoming);
    from_in = two_q->a1in.count > k_in(naive) ? naive_oldest(naive, &two_q->a1in) != POLICY_NO_PAGE
                                              : naive_oldest(naive, &two_q->am) == POLICY_NO_PAGE;
    page = naive_oldest(naive, from_in ? &two_q->a1in : &two_q->am);
    naive_drop(from_in ? &two_q->a1in : &two_q->am, page);
    if (from_in)
        naive_push_front(&two_q->a1out, page);
    two_q_resize(naive);
    return page;
}

static void two_q_remove(struct naive *naive, uint32_t page)
{
    struct two_q *two_q = (struct two_q *)naive;

    naive_drop(&two_q->returning, page);
    naive_drop(&two_q->a1in, page);
    naive_drop(&two_q->a1out, page);
    naive_drop(&two_q->am, page);
}

static void two_q_destroy(struct naive *naive)
{
    struct two_q *two_q = (struct two_q *)naive;

    naive_list_free(&two_q->returning);
    naive_list_free(&two_q->a1in);
    naive_list_free(&two_q->a1out);
    naive_list_free(&two_q->am);
}

const struct naive_type naive_two_q = {
    .name = "2q",
    .size = sizeof(struct two_q),
    .insert = two_q_insert,
    .touch = two_q_touch,
    .victim = two_q_victim,
    .remove = two_q_remove,
    .resize = two_q_resize,
    .destroy = two_q_destroy,
};

/*
 * S3-FIFO (Yang and others, 2023, algorithm 1, and the authors' own program for who gives): S, M and G.
 */
#include "lists.h"

enum { SMALL_PERCENT, GHOST_PERCENT, PROMOTE };

struct s3_fifo {
    struct naive base;
    struct naive_list s, m, g;
    unsigned *freq;              /* by page, 0 … 3 */
    struct naive_list returning; /* pages that were found there and have not come yet */
};

static size_t share(const struct naive *naive, unsigned option)
{
    return naive->frames * naive->config->options[option] / 100;
}

static void s3_init(struct naive *naive)
{
    struct s3_fifo *s3 = (struct s3_fifo *)naive;

    s3->freq = calloc(naive->config->pages, sizeof(unsigned));
}

static void look_up(struct s3_fifo *s3, uint32_t page)
{
    if (naive_drop(&s3->g, page))
        naive_push_front(&s3->returning, page);
}

static void s3_insert(struct naive *naive, uint32_t page)
{
    struct s3_fifo *s3 = (struct s3_fifo *)naive;

    look_up(s3, page);
    naive_push_front(naive_drop(&s3->returning, page) ? &s3->m : &s3->s, page);
    s3->freq[page] = 0;
}

static void s3_touch(struct naive *naive, uint32_t page)
{
    struct s3_fifo *s3 = (struct s3_fifo *)naive;

    if (s3->freq[page] < 3)
        s3->freq[page]++;
}

static void s3_resize(struct naive *naive)
{
    struct s3_fifo *s3 = (struct s3_fifo *)naive;

    while (s3->g.count > share(naive, GHOST_PERCENT))
        naive_pop(&s3->g);
}

static uint32_t evict_s(struct naive *naive)
{
    struct s3_fifo *s3 = (struct s3_fifo *)naive;

    for (size_t i = s3->s.count; i-- > 0;) {
        uint32_t t = s3->s.items[i];

        if (s3->freq[t] >= naive->config->options[PROMOTE]) {
            naive_take(&s3->s, i);
            naive_push_front(&s3->m, t);
            s3->freq[t] = 0;
        } else if (!naive->pages[t].pinned) {
            naive_take(&s3->s, i);
            naive_push_front(&s3->g, t);
            s3_resize(naive);
            return t;
        }
    }
    return POLICY_NO_PAGE;
}

static uint32_t evict_m(struct naive *naive)
{
    struct s3_fifo *s3 = (struct s3_fifo *)naive;

    for (size_t left = 4 * s3->m.count; left > 0; left--) {
        uint32_t t = naive_pop(&s3->m);

        if (s3->freq[t] == 0 && !naive->pages[t].pinned)
            return t;
        naive_push_front(&s3->m, t);
        s3->freq[t] -= s3->freq[t] > 0;
    }
    return POLICY_NO_PAGE;
}

static uint32_t s3_victim(struct naive *naive, uint32_t incoming)
{
    struct s3_fifo *s3 = (struct s3_fifo *)naive;
    uint32_t page = POLICY_NO_PAGE;

    if (!naive_either(naive, &s3->s, &s3->m))
        return POLICY_NO_PAGE;
    look_up(s3, incoming);
    if (s3->m.count <= naive->frames - share(naive, SMALL_PERCENT))
        page = evict_s(naive);
    if (page == POLICY_NO_PAGE)
        page = evict_m(naive);
    return page == POLICY_NO_PAGE ? evict_s(naive) : page;
}

static void s3_remove(struct naive *naive, uint32_t page)
{
    struct s3_fifo *s3 = (struct s3_fifo *)naive;

    naive_drop(&s3->returning, page);
    naive_drop(&s3->s, page);
    naive_drop(&s3->m, page);
    naive_drop(&s3->g, page);
}

static void s3_destroy(struct naive *naive)
{
    struct s3_fifo *s3 = (struct s3_fifo *)naive;

    naive_list_free(&s3->returning);
    naive_list_free(&s3->s);
    naive_list_free(&s3->m);
    naive_list_free(&s3->g);
    free(s3->freq);
}

const struct naive_type naive_s3_fifo = {
    .name = "s3-fifo",
    .size = sizeof(struct s3_fifo),
    .init = s3_init,
    .insert = s3_insert,
    .touch = s3_touch,
    .victim = s3_victim,
    .remove = s3_remove,
    .resize = s3_resize,
    .destroy = s3_destroy,
};

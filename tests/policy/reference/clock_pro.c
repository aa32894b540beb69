/*
 * CLOCK-Pro (Jiang, Chen and Zhang, 2005, section 4): one clock with hot pages, cold pages and non-resident
 * cold pages in their test period, as a list in the hands' direction; the hands are pages.
 */
#include "lists.h"

struct clock_pro {
    struct naive base;
    struct naive_list clock;
    bool *hot, *test;            /* by page */
    struct naive_list returning; /* pages that were found in their test period and have not come yet */
    uint32_t hot_hand, cold_hand, test_hand;
    uint32_t m_c;
    size_t looks; /* at reference bits, left for this call */
};

static void pro_init(struct naive *naive)
{
    struct clock_pro *pro = (struct clock_pro *)naive;

    pro->hot = calloc(naive->config->pages, sizeof(bool));
    pro->test = calloc(naive->config->pages, sizeof(bool));
    pro->m_c = naive->frames;
}

static uint32_t after(const struct clock_pro *pro, uint32_t page)
{
    return pro->clock.items[(naive_search(&pro->clock, page) + 1) % pro->clock.count];
}

static void leave(struct clock_pro *pro, uint32_t page)
{
    uint32_t next = after(pro, page);

    pro->hot_hand = pro->hot_hand == page ? next : pro->hot_hand;
    pro->cold_hand = pro->cold_hand == page ? next : pro->cold_hand;
    pro->test_hand = pro->test_hand == page ? next : pro->test_hand;
    naive_drop(&pro->clock, page);
}

/* The list head is just before HAND_hot. */
static void put_at_head(struct clock_pro *pro, uint32_t page)
{
    if (pro->clock.count == 0) {
        pro->hot_hand = pro->cold_hand = pro->test_hand = page;
        naive_push_back(&pro->clock, page);
    } else {
        naive_put(&pro->clock, naive_search(&pro->clock, pro->hot_hand), page);
    }
}

static bool look(struct naive *naive, uint32_t page)
{
    struct clock_pro *pro = (struct clock_pro *)naive;
    bool referenced = naive->pages[page].referenced;

    if (pro->looks == 0)
        return false;
    pro->looks--;
    naive->pages[page].referenced = false;
    return referenced;
}

static size_t hot_pages(const struct clock_pro *pro)
{
    size_t count = 0;

    for (size_t i = 0; i < pro->clock.count; i++)
        count += pro->hot[pro->clock.items[i]];
    return count;
}

static size_t gone_pages(const struct clock_pro *pro)
{
    size_t count = 0;

    for (size_t i = 0; i < pro->clock.count; i++)
        count += pro->test[pro->clock.items[i]] && !pro->base.pages[pro->clock.items[i]].resident;
    return count;
}

/* A cold page's test period ends, without another access. */
static void end_test(struct naive *naive, uint32_t page)
{
    struct clock_pro *pro = (struct clock_pro *)naive;

    if (!pro->test[page])
        return;
    pro->test[page] = false;
    if (pro->m_c > 1)
        pro->m_c--;
    if (!naive->pages[page].resident)
        leave(pro, page);
}

static void hand_hot(struct naive *naive)
{
    struct clock_pro *pro = (struct clock_pro *)naive;

    while (hot_pages(pro) > naive->frames - pro->m_c || (hot_pages(pro) > 0 && !pro->hot[pro->hot_hand])) {
        uint32_t page = pro->hot_hand;

        pro->hot_hand = after(pro, page);
        if (!pro->hot[page])
            end_test(naive, page);
        else if (!look(naive, page))
            pro->hot[page] = false;
    }
}

static void hand_test(struct naive *naive, size_t most)
{
    struct clock_pro *pro = (struct clock_pro *)naive;

    while (gone_pages(pro) > most) {
        uint32_t page = pro->test_hand;

        pro->test_hand = after(pro, page);
        end_test(naive, page);
    }
}

/* A cold page was accessed in its test period and is hot now. */
static void accessed_in_test(struct naive *naive)
{
    struct clock_pro *pro = (struct clock_pro *)naive;

    if (pro->m_c < naive->frames)
        pro->m_c++;
    hand_hot(naive);
}

static void look_up(struct naive *naive, uint32_t page)
{
    struct clock_pro *pro = (struct clock_pro *)naive;

    if (!naive_has(&pro->clock, page))
        return;
    leave(pro, page);
    pro->test[page] = false;
    naive_push_front(&pro->returning, page);
}

static void pro_insert(struct naive *naive, uint32_t page)
{
    struct clock_pro *pro = (struct clock_pro *)naive;

    pro->looks = 2 * pro->clock.count;
    look_up(naive, page);
    pro->hot[page] = naive_drop(&pro->returning, page);
    put_at_head(pro, page);
    pro->test[page] = !pro->hot[page];
    if (pro->hot[page])
        accessed_in_test(naive);
}

static uint32_t hand_cold(struct naive *naive)
{
    struct clock_pro *pro = (struct clock_pro *)naive;

    for (size_t left = 4 * pro->clock.count; left > 0; left--) {
        uint32_t page = pro->cold_hand;

        pro->cold_hand = after(pro, page);
        if (!naive->pages[page].resident || naive->pages[page].pinned || pro->hot[page])
            continue;
        if (!look(naive, page))
            return page;
        leave(pro, page);
        put_at_head(pro, page);
        if (pro->test[page]) {
            pro->test[page] = false;
            pro->hot[page] = true;
            accessed_in_test(naive);
        } else {
            pro->test[page] = true;
        }
    }
    return POLICY_NO_PAGE;
}

static uint32_t any(struct naive *naive)
{
    struct clock_pro *pro = (struct clock_pro *)naive;
    uint32_t page = pro->hot_hand;

    for (size_t i = 0; i < pro->clock.count; i++, page = after(pro, page))
        if (naive->pages[page].resident && !naive->pages[page].pinned)
            return page;
    return POLICY_NO_PAGE;
}

static uint32_t pro_victim(struct naive *naive, uint32_t incoming)
{
    struct clock_pro *pro = (struct clock_pro *)naive;
    uint32_t page;

    if (any(naive) == POLICY_NO_PAGE)
        return POLICY_NO_PAGE;
    pro->looks = 2 * pro->clock.count;
    look_up(naive, incoming);
    page = hand_cold(naive);
    if (page == POLICY_NO_PAGE)
        page = any(naive);
    if (pro->test[page])
        hand_test(naive, naive->frames - 1);
    if (!pro->test[page])
        leave(pro, page);
    pro->hot[page] = false;
    return page;
}

static void pro_remove(struct naive *naive, uint32_t page)
{
    struct clock_pro *pro = (struct clock_pro *)naive;

    if (naive_has(&pro->clock, page))
        leave(pro, page);
    pro->hot[page] = pro->test[page] = false;
    naive_drop(&pro->returning, page);
}

static void pro_resize(struct naive *naive)
{
    struct clock_pro *pro = (struct clock_pro *)naive;

    pro->looks = 2 * pro->clock.count;
    if (pro->m_c > naive->frames)
        pro->m_c = naive->frames;
    hand_hot(naive);
    hand_test(naive, naive->frames);
}

static void pro_destroy(struct naive *naive)
{
    struct clock_pro *pro = (struct clock_pro *)naive;

    naive_list_free(&pro->clock);
    naive_list_free(&pro->returning);
    free(pro->hot);
    free(pro->test);
}

const struct naive_type naive_clock_pro = {
    .name = "clock-pro",
    .size = sizeof(struct clock_pro),
    .init = pro_init,
    .insert = pro_insert,
    .victim = pro_victim,
    .remove = pro_remove,
    .resize = pro_resize,
    .destroy = pro_destroy,
};

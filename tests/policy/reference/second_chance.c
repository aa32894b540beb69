/*
 * Second chance, after Tanenbaum: FIFO among the pages that were not referenced since they were last looked
 * at; when all were, FIFO.
 */
#include "../naive.h"

struct second_chance {
    struct naive base;
    struct naive_list queue;
};

static void chance_insert(struct naive *naive, uint32_t page)
{
    naive_push_back(&((struct second_chance *)naive)->queue, page);
    naive->pages[page].referenced |= naive->config->options[0] != 0;
}

static uint32_t chance_victim(struct naive *naive, uint32_t incoming)
{
    struct naive_list *queue = &((struct second_chance *)naive)->queue;

    for (size_t i = 0; i < 2 * (size_t)naive->resident; i++) {
        uint32_t page = naive_take(queue, 0);

        if (!naive->pages[page].pinned) {
            if (!naive->pages[page].referenced)
                return page;
            naive->pages[page].referenced = false;
        }
        naive_push_back(queue, page);
    }
    return POLICY_NO_PAGE;
}

static void chance_remove(struct naive *naive, uint32_t page)
{
    naive_drop(&((struct second_chance *)naive)->queue, page);
}

static void chance_destroy(struct naive *naive)
{
    naive_list_free(&((struct second_chance *)naive)->queue);
}

const struct naive_type naive_second_chance = {
    .name = "second-chance",
    .size = sizeof(struct second_chance),
    .insert = chance_insert,
    .victim = chance_victim,
    .remove = chance_remove,
    .destroy = chance_destroy,
};

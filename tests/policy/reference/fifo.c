/*
 * FIFO: a list in the order of arrival. The first page that is not pinned goes; pinned ones before it have
 * queued up again.
 */
#include "../naive.h"

struct fifo {
    struct naive base;
    struct naive_list queue;
};

static void fifo_insert(struct naive *naive, uint32_t page)
{
    naive_push_back(&((struct fifo *)naive)->queue, page);
}

static uint32_t fifo_victim(struct naive *naive, uint32_t incoming)
{
    struct naive_list *queue = &((struct fifo *)naive)->queue;

    for (size_t i = 0; i < naive->resident; i++) {
        uint32_t page = naive_take(queue, 0);

        if (!naive->pages[page].pinned)
            return page;
        naive_push_back(queue, page);
    }
    return POLICY_NO_PAGE;
}

static void fifo_remove(struct naive *naive, uint32_t page)
{
    naive_drop(&((struct fifo *)naive)->queue, page);
}

static void fifo_destroy(struct naive *naive)
{
    naive_list_free(&((struct fifo *)naive)->queue);
}

const struct naive_type naive_fifo = {
    .name = "fifo",
    .size = sizeof(struct fifo),
    .insert = fifo_insert,
    .victim = fifo_victim,
    .remove = fifo_remove,
    .destroy = fifo_destroy,
};

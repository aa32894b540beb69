/*
 * What naive policies share, and the table of them.
 */
#include "naive.h"

#include "base/check.h"

#define NAIVE(name) extern const struct naive_type naive_##name;
#include "reference/naives.h"
#undef NAIVE

const struct naive_type *const naive_types[] = {
#define NAIVE(name) &naive_##name,
#include "reference/naives.h"
#undef NAIVE
    NULL,
};

const struct naive_type *naive_find(const char *policy)
{
    for (const struct naive_type *const *type = naive_types; *type; type++)
        if (strcmp((*type)->name, policy) == 0)
            return *type;
    return NULL;
}

struct naive *naive_create(const struct naive_type *type, const struct policy_config *config)
{
    struct naive *naive = calloc(1, type->size);
    struct naive_page *pages = calloc(config->pages, sizeof(*pages));

    CHECK_ALWAYS(naive && pages);
    naive->type = type;
    naive->config = config;
    naive->pages = pages;
    naive->frames = config->frames;
    if (type->init)
        type->init(naive);
    return naive;
}

void naive_destroy(struct naive *naive)
{
    if (naive->type->destroy)
        naive->type->destroy(naive);
    naive_list_free(&naive->cleaned);
    free(naive->pages);
    free(naive);
}

void naive_clean(struct naive *naive, uint32_t page)
{
    naive_push_back(&naive->cleaned, page);
}

void naive_put(struct naive_list *list, size_t index, uint32_t item)
{
    if (list->count == list->size) {
        list->size = list->size * 2 + 8;
        list->items = realloc(list->items, list->size * sizeof(*list->items));
        CHECK_ALWAYS(list->items);
    }
    memmove(list->items + index + 1, list->items + index, (list->count - index) * sizeof(*list->items));
    list->items[index] = item;
    list->count++;
}

void naive_push_back(struct naive_list *list, uint32_t item)
{
    naive_put(list, list->count, item);
}

void naive_push_front(struct naive_list *list, uint32_t item)
{
    naive_put(list, 0, item);
}

uint32_t naive_take(struct naive_list *list, size_t index)
{
    uint32_t item;

    CHECK_ALWAYS(index < list->count);
    item = list->items[index];
    list->count--;
    memmove(list->items + index, list->items + index + 1, (list->count - index) * sizeof(*list->items));
    return item;
}

size_t naive_search(const struct naive_list *list, uint32_t item)
{
    for (size_t i = 0; i < list->count; i++)
        if (list->items[i] == item)
            return i;
    return NAIVE_NOT_FOUND;
}

bool naive_drop(struct naive_list *list, uint32_t item)
{
    size_t index = naive_search(list, item);

    if (index != NAIVE_NOT_FOUND)
        naive_take(list, index);
    return index != NAIVE_NOT_FOUND;
}

void naive_list_free(struct naive_list *list)
{
    free(list->items);
    *list = (struct naive_list){0};
}

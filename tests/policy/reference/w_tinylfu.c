/*
 * W-TinyLFU (Einziger, Friedman and Manes, 2017): window, segmented main memory, a sketch that decides. The
 * sketch is four rows of counters, with the hash functions of src/policy/w_tinylfu.c.
 */
#include "lists.h"

enum { WINDOW_PERCENT, PROTECTED_PERCENT };
enum { ROWS = 4, MOST = 15 };

struct w_tinylfu {
    struct naive base;
    struct naive_list window, probation, protected;
    unsigned char *row[ROWS];
    size_t width, added;
    unsigned bits;
};

static size_t window_limit(const struct naive *naive)
{
    size_t limit = naive->frames * naive->config->options[WINDOW_PERCENT] / 100;

    return limit > 0 ? limit : 1;
}

static size_t protected_limit(const struct naive *naive)
{
    return (naive->frames - window_limit(naive)) * naive->config->options[PROTECTED_PERCENT] / 100;
}

static void tiny_init(struct naive *naive)
{
    struct w_tinylfu *tiny = (struct w_tinylfu *)naive;

    for (tiny->bits = 3; ((size_t)1 << tiny->bits) < naive->config->most_frames; tiny->bits++)
        continue;
    tiny->width = (size_t)4 << tiny->bits;
    for (int i = 0; i < ROWS; i++)
        tiny->row[i] = calloc(tiny->width, 1);
}

static unsigned char *counter(struct w_tinylfu *tiny, int row, uint32_t page)
{
    static const uint64_t factor[ROWS] = {0x9e3779b97f4a7c15, 0xc2b2ae3d27d4eb4f, 0x165667b19e3779f9,
                                          0xd6e8feb86659fd93};
    uint64_t hash = ((uint64_t)page + 1) * factor[row];

    return &tiny->row[row][(hash >> (64 - tiny->bits)) * 4 + (hash / (1 << 20)) % 4];
}

static unsigned frequency(struct w_tinylfu *tiny, uint32_t page)
{
    unsigned least = MOST;

    for (int i = 0; i < ROWS; i++)
        if (*counter(tiny, i, page) < least)
            least = *counter(tiny, i, page);
    return least;
}

static void count(struct naive *naive, uint32_t page)
{
    struct w_tinylfu *tiny = (struct w_tinylfu *)naive;
    unsigned least = frequency(tiny, page);

    if (least == MOST)
        return;
    for (int i = 0; i < ROWS; i++)
        if (*counter(tiny, i, page) == least)
            ++*counter(tiny, i, page);
    if (++tiny->added < 10 * (size_t)naive->frames)
        return;
    for (int i = 0; i < ROWS; i++)
        for (size_t j = 0; j < tiny->width; j++)
            tiny->row[i][j] /= 2;
    tiny->added /= 2;
}

static void move_oldest(struct naive_list *from, struct naive_list *to, size_t limit)
{
    while (from->count > limit)
        naive_push_front(to, naive_pop(from));
}

static void tiny_resize(struct naive *naive)
{
    struct w_tinylfu *tiny = (struct w_tinylfu *)naive;

    move_oldest(&tiny->protected, &tiny->probation, protected_limit(naive));
    move_oldest(&tiny->window, &tiny->probation, window_limit(naive));
}

static void tiny_touch(struct naive *naive, uint32_t page)
{
    struct w_tinylfu *tiny = (struct w_tinylfu *)naive;

    count(naive, page);
    if (naive_has(&tiny->window, page)) {
        naive_to_front(&tiny->window, page);
        return;
    }
    naive_drop(&tiny->probation, page);
    naive_to_front(&tiny->protected, page);
    move_oldest(&tiny->protected, &tiny->probation, protected_limit(naive));
}

static void tiny_insert(struct naive *naive, uint32_t page)
{
    struct w_tinylfu *tiny = (struct w_tinylfu *)naive;

    count(naive, page);
    naive_push_front(&tiny->window, page);
    move_oldest(&tiny->window, &tiny->probation, window_limit(naive));
}

static uint32_t choose(struct naive *naive)
{
    struct w_tinylfu *tiny = (struct w_tinylfu *)naive;
    uint32_t victim = naive_oldest(naive, &tiny->probation), candidate;

    if (victim == POLICY_NO_PAGE)
        victim = naive_oldest(naive, &tiny->protected);
    if (tiny->window.count >= window_limit(naive)) {
        candidate = tiny->window.items[tiny->window.count - 1];
        if (!naive->pages[candidate].pinned) {
            if (victim == POLICY_NO_PAGE || frequency(tiny, candidate) <= frequency(tiny, victim))
                return candidate;
            move_oldest(&tiny->window, &tiny->probation, window_limit(naive) - 1);
            return victim;
        }
    }
    victim = naive_oldest(naive, &tiny->probation);
    if (victim == POLICY_NO_PAGE)
        victim = naive_oldest(naive, &tiny->window);
    return victim != POLICY_NO_PAGE ? victim : naive_oldest(naive, &tiny->protected);
}

static void tiny_remove(struct naive *naive, uint32_t page)
{
    struct w_tinylfu *tiny = (struct w_tinylfu *)naive;

    naive_drop(&tiny->window, page);
    naive_drop(&tiny->probation, page);
    naive_drop(&tiny->protected, page);
}

static uint32_t tiny_victim(struct naive *naive, uint32_t incoming)
{
    uint32_t page = choose(naive);

    tiny_remove(naive, page);
    return page;
}

static void tiny_destroy(struct naive *naive)
{
    struct w_tinylfu *tiny = (struct w_tinylfu *)naive;

    naive_list_free(&tiny->window);
    naive_list_free(&tiny->probation);
    naive_list_free(&tiny->protected);
    for (int i = 0; i < ROWS; i++)
        free(tiny->row[i]);
}

const struct naive_type naive_w_tinylfu = {
    .name = "w-tinylfu",
    .size = sizeof(struct w_tinylfu),
    .init = tiny_init,
    .insert = tiny_insert,
    .touch = tiny_touch,
    .victim = tiny_victim,
    .remove = tiny_remove,
    .resize = tiny_resize,
    .destroy = tiny_destroy,
};

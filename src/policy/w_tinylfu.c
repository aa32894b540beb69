/*
 * W-TinyLFU: a page comes into a small window (1 % of memory, LRU). The page that the window gives up goes on
 * into the main memory only if it was referenced more often, of late, than the page that would have to go for
 * it. Main is segmented LRU: PROBATION, whose oldest is that page, and PROTECTED (at most 80 % of it) for
 * pages that were referenced in PROBATION.
 *
 * G. Einziger, R. Friedman and B. Manes, "TinyLFU: A Highly Efficient Cache Admission Policy", ACM
 * Transactions on Storage 2017. How often a page was referenced, also before it came, is an estimate: a
 * count-min sketch with conservative update (Estan and Varghese, 2002), four 4-bit counters for a page; all
 * are halved when as many references were counted as ten times the frames.
 *
 * Departure: no doorkeeper in front of the sketch. With nothing that may go where the paper looks, the oldest
 * page of all that may does, of PROBATION, WINDOW and PROTECTED in this order.
 *
 * Invariants: the lists hold the resident pages, told apart by two bits of the state byte.
 */
#include "order.h"
#include "run.h"

enum { WINDOW_PERCENT, PROTECTED_PERCENT };   /* options */
enum { WINDOW, PROBATION, PROTECTED, HEADS }; /* lists; their heads are past the pages */
enum { TINY_LIST = 0x30, TINY_LIST_SHIFT = 4 };
enum { SKETCH_ROWS = 4, SKETCH_ROW_BITS = 16, SKETCH_LEAST = 8, SKETCH_MOST = 15, SAMPLE = 10 };

struct tiny {
    struct policy base;
    struct order_link *links;
    uint32_t count[HEADS];
    uint32_t window_limit, protected_limit;
    uint64_t window_percent, protected_percent;
    uint64_t *sketch; /* words of four counters for each of the four rows */
    unsigned sketch_shift;
    uint64_t counted, sample;
    uint64_t admitted, refused;
};

static struct tiny *tiny_of(struct policy *policy)
{
    return (struct tiny *)policy;
}

/* A word (16 counters) a frame, in a power of two. */
static uint64_t sketch_words(const struct policy_config *config)
{
    uint64_t words = SKETCH_LEAST;

    while (words < config->most_frames)
        words *= 2;
    return words;
}

static size_t tiny_bytes(const struct policy_config *config)
{
    return sizeof(struct tiny) + order_bytes(config, HEADS) + sketch_words(config) * sizeof(uint64_t);
}

static unsigned list_of(const struct policy *policy, uint32_t page)
{
    return (unsigned)(policy->state[page] & TINY_LIST) >> TINY_LIST_SHIFT;
}

static void put(struct policy *policy, unsigned list, uint32_t page)
{
    policy->state[page] &= (uint8_t)~TINY_LIST;
    policy->state[page] |= (uint8_t)(list << TINY_LIST_SHIFT);
    order_add(tiny_of(policy)->links, policy->pages + list, page);
    tiny_of(policy)->count[list]++;
}

static void take(struct policy *policy, uint32_t page)
{
    tiny_of(policy)->count[list_of(policy, page)]--;
    order_remove(tiny_of(policy)->links, page);
}

/* The oldest protected pages are on probation again. */
static void keep_protected_limit(struct policy *policy)
{
    struct tiny *tiny = tiny_of(policy);

    while (tiny->count[PROTECTED] > tiny->protected_limit) {
        uint32_t page = order_oldest(tiny->links, policy->pages + PROTECTED);

        take(policy, page);
        put(policy, PROBATION, page);
    }
}

static void keep_window_limit(struct policy *policy, uint32_t limit)
{
    struct tiny *tiny = tiny_of(policy);

    while (tiny->count[WINDOW] > limit) {
        uint32_t page = order_oldest(tiny->links, policy->pages + WINDOW);

        take(policy, page);
        put(policy, PROBATION, page);
    }
}

static void tiny_resize(struct policy *policy)
{
    struct tiny *tiny = tiny_of(policy);
    uint64_t window = policy->frames * tiny->window_percent / 100;

    tiny->window_limit = window > 0 ? (uint32_t)window : 1;
    tiny->protected_limit = (uint32_t)((policy->frames - tiny->window_limit) * tiny->protected_percent / 100);
    tiny->sample = (uint64_t)policy->frames * SAMPLE;
    keep_protected_limit(policy);
    keep_window_limit(policy, tiny->window_limit);
}

static void tiny_init(struct policy *policy, const struct policy_config *config)
{
    struct tiny *tiny = tiny_of(policy);
    uint8_t *memory = (uint8_t *)(tiny + 1);
    uint64_t words = sketch_words(config);

    tiny->links = order_carve(&memory, config, HEADS);
    tiny->sketch = policy_carve(&memory, words * sizeof(uint64_t));
    tiny->sketch_shift = 64 - (unsigned)__builtin_ctzll(words);
    tiny->window_percent = config->options[WINDOW_PERCENT];
    tiny->protected_percent = config->options[PROTECTED_PERCENT];
    tiny_resize(policy);
}

/* Multiplicative hashing (Knuth, volume 3, section 6.4), an odd factor for each row. */
static const uint64_t row_factor[SKETCH_ROWS] = {0x9e3779b97f4a7c15, 0xc2b2ae3d27d4eb4f, 0x165667b19e3779f9,
                                                 0xd6e8feb86659fd93};

struct counter {
    uint64_t *word;
    unsigned shift;
};

static inline struct counter sketch_counter(const struct tiny *tiny, uint32_t page, unsigned row)
{
    uint64_t hash = (page + (uint64_t)1) * row_factor[row];

    return (struct counter){&tiny->sketch[hash >> tiny->sketch_shift],
                            row * SKETCH_ROW_BITS + (unsigned)(hash >> 20 & 3) * 4};
}

static inline unsigned counter_value(struct counter counter)
{
    return (unsigned)(*counter.word >> counter.shift) & SKETCH_MOST;
}

static unsigned sketch_estimate(const struct tiny *tiny, uint32_t page)
{
    unsigned least = SKETCH_MOST;

    for (unsigned row = 0; row < SKETCH_ROWS; row++) {
        unsigned value = counter_value(sketch_counter(tiny, page, row));

        least = value < least ? value : least;
    }
    return least;
}

static __attribute__((noinline)) void sketch_halve(struct tiny *tiny)
{
    uint64_t words = (uint64_t)1 << (64 - tiny->sketch_shift);

    for (uint64_t i = 0; i < words; i++)
        tiny->sketch[i] = tiny->sketch[i] >> 1 & 0x7777777777777777;
    tiny->counted /= 2;
}

/* Those of the page's counters that are the least are raised. */
static inline void sketch_add(struct tiny *tiny, uint32_t page)
{
    struct counter counter[SKETCH_ROWS];
    unsigned value[SKETCH_ROWS], least = SKETCH_MOST;

    for (unsigned row = 0; row < SKETCH_ROWS; row++) {
        counter[row] = sketch_counter(tiny, page, row);
        value[row] = counter_value(counter[row]);
        least = value[row] < least ? value[row] : least;
    }
    if (least == SKETCH_MOST)
        return;
    for (unsigned row = 0; row < SKETCH_ROWS; row++)
        *counter[row].word += (uint64_t)(value[row] == least) << counter[row].shift;
    if (++tiny->counted >= tiny->sample)
        sketch_halve(tiny);
}

static void tiny_touch(struct policy *policy, uint32_t page)
{
    struct tiny *tiny = tiny_of(policy);
    unsigned list = list_of(policy, page);

    sketch_add(tiny, page);
    if (list != PROBATION) {
        order_move(tiny->links, policy->pages + list, page);
        return;
    }
    take(policy, page);
    put(policy, PROTECTED, page);
    keep_protected_limit(policy);
}

static void tiny_insert(struct policy *policy, uint32_t page)
{
    struct tiny *tiny = tiny_of(policy);

    sketch_add(tiny, page);
    put(policy, WINDOW, page);
    keep_window_limit(policy, tiny->window_limit);
}

/* The window's oldest page or main's: who is known to be referenced less. */
static uint32_t tiny_loser(struct policy *policy, uint32_t candidate)
{
    struct tiny *tiny = tiny_of(policy);
    uint32_t page = order_oldest_free(policy, tiny->links, policy->pages + PROBATION);

    if (page == POLICY_NO_PAGE)
        page = order_oldest_free(policy, tiny->links, policy->pages + PROTECTED);
    if (page == POLICY_NO_PAGE || sketch_estimate(tiny, candidate) <= sketch_estimate(tiny, page)) {
        tiny->refused++;
        return candidate;
    }
    tiny->admitted++;
    keep_window_limit(policy, tiny->window_limit - 1);
    return page;
}

static uint32_t tiny_victim(struct policy *policy, uint32_t incoming)
{
    static const uint8_t order[] = {PROBATION, WINDOW, PROTECTED};
    struct tiny *tiny = tiny_of(policy);
    uint32_t page = POLICY_NO_PAGE;

    if (tiny->count[WINDOW] >= tiny->window_limit) {
        uint32_t candidate = order_oldest(tiny->links, policy->pages + WINDOW);

        if (!policy_is_pinned(policy, candidate))
            page = tiny_loser(policy, candidate);
    }
    for (unsigned i = 0; page == POLICY_NO_PAGE && i < sizeof(order); i++)
        page = order_oldest_free(policy, tiny->links, policy->pages + order[i]);
    if (page != POLICY_NO_PAGE)
        take(policy, page);
    return page;
}

static void tiny_remove(struct policy *policy, uint32_t page)
{
    if (policy_is_resident(policy, page))
        take(policy, page);
}

static size_t tiny_counters(const struct policy *policy, struct policy_counter *out, size_t most)
{
    const struct tiny *tiny = (const struct tiny *)policy;
    const struct policy_counter all[] = {
        {"admitted", tiny->admitted}, {"refused", tiny->refused}, {"protected", tiny->count[PROTECTED]}};

    return policy_copy_counters(all, sizeof(all) / sizeof(all[0]), out, most);
}

static const char *tiny_check(const struct policy *policy)
{
    const struct tiny *tiny = (const struct tiny *)policy;

    for (unsigned list = 0; list < HEADS; list++)
        if (!order_holds(policy, tiny->links, policy->pages + list, POLICY_RESIDENT | TINY_LIST,
                         (uint8_t)(POLICY_RESIDENT | list << TINY_LIST_SHIFT), tiny->count[list]))
            return "a list does not hold the pages that are marked as its own";
    if (tiny->count[WINDOW] > tiny->window_limit || tiny->count[PROTECTED] > tiny->protected_limit)
        return "the window or the protected pages have more than their share";
    return NULL;
}

__attribute__((flatten)) static void tiny_run(struct policy *policy, const struct policy_block *block,
                                              struct policy_tally *tally)
{
    policy_run(policy, block, tally, tiny_touch, tiny_insert, tiny_victim);
}

const struct policy_type policy_w_tinylfu = {
    .name = "w-tinylfu",
    .title = "a small window; who leaves it stays if referenced more than who would go",
    .source = "Einziger, Friedman and Manes, TinyLFU: A Highly Efficient Cache Admission Policy, 2017",
    .needs = POLICY_EVERY_REFERENCE,
    .page_bytes = sizeof(struct order_link),
    .frame_bytes = 2 * sizeof(uint64_t),
    .options = {{"window", 1, 0, 99, NULL, "percent of memory for pages that have just come"},
                {"protected", 80, 0, 100, NULL, "percent of the rest for pages that were referenced there"}},
    .bytes = tiny_bytes,
    .init = tiny_init,
    .insert = tiny_insert,
    .touch = tiny_touch,
    .victim = tiny_victim,
    .remove = tiny_remove,
    .resize = tiny_resize,
    .counters = tiny_counters,
    .check = tiny_check,
    .run = tiny_run,
};

/*
 * Members: who competes for the frames of a pager (quire_member_create()), the scope over them, and what is
 * told about them.
 *
 * The first one, `members[0]`, is for regions of no member in particular. It takes part in the scope as long
 * as it has regions, the others from their creation to their end. A member's number is its place in
 * pager->members and in the scope's array.
 *
 * The scope's frames are those that pages can have in the long run: the budget without what the evicting
 * thread keeps free. Time is the processor time of the whole process, in microseconds, as the kernel counts
 * the time of programs: the runtime does not know which thread works for which region. For the same reason
 * nobody is idle.
 *
 * Invariants (members_check, scope_check): a member's frames are its resident pages that its pool knows; of a
 * budget of its own, those in memory are taken; members that are not used have nothing.
 *
 * Locking: round, then regions_lock, then order, for what changes which members there are.
 */
#include "pager.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#define DEFAULT_NAME "default"
#define MEMBER_TEXT "a name of 1 to 31 ASCII characters without blanks, quotes and backslashes"

/* ------------------------------------------------------------------ words */

static enum status parse_rule(struct scope_config *config, const char *text, struct quire_error *error)
{
    struct scope_error wrong;

    if (scope_parse_rule(text, config, &wrong) == ST_OK)
        return ST_OK;
    error_say(error, "allocation '%s': '%.*s': expected %s", text, (int)wrong.length, text + wrong.at,
              wrong.expected);
    return ST_INVALID;
}

enum status members_parse(struct quire_pager *pager, const struct quire_options *options,
                          struct quire_error *error)
{
    struct scope_config config = {.kind = SCOPE_GLOBAL};
    struct scope_error wrong;
    enum status status;

    if (options->scope && scope_parse_kind(options->scope, &config.kind, &wrong) != ST_OK) {
        error_say(error, "scope '%s': expected %s", options->scope, wrong.expected);
        return ST_INVALID;
    }
    if (options->allocation && config.kind != SCOPE_LOCAL) {
        error_say(error, "allocation '%s': expected scope local with it", options->allocation);
        return ST_INVALID;
    }
    status = parse_rule(&config, options->allocation ? options->allocation : "equal", error);
    pager->scope.config = config;
    return status;
}

static bool is_name(const char *name)
{
    size_t length = name ? strlen(name) : 0;

    if (length == 0 || length >= MEMBER_NAME_BYTES)
        return false;
    for (size_t i = 0; i < length; i++)
        if (name[i] <= ' ' || name[i] > '~' || name[i] == '"' || name[i] == '\\')
            return false;
    return true;
}

/* What a member is created with, in frames. */
struct terms {
    char name[MEMBER_NAME_BYTES];
    enum scope_class class;
    uint32_t minimum, low, maximum;
};

static uint32_t frames_of(uint64_t bytes)
{
    return bytes / PAGE_SIZE < UINT32_MAX ? (uint32_t)((bytes + PAGE_MASK) / PAGE_SIZE) : UINT32_MAX;
}

/* "vvip:16M", "vip:16M", "ordinary": the words of `--class NAME=…`. */
static enum status parse_class(struct terms *terms, const char *text, struct quire_error *error)
{
    struct scope_class_word word;
    char whole[MEMBER_NAME_BYTES + 32];

    if (!text)
        return ST_OK;
    if (snprintf(whole, sizeof(whole), "x=%s", text) >= (int)sizeof(whole) || strchr(text, '=') ||
        scope_parse_class(whole, &word) != ST_OK) {
        error_say(error, "member '%s': class '%s': expected vvip:SIZE, vip:SIZE or ordinary", terms->name,
                  text);
        return ST_INVALID;
    }
    terms->class = word.class;
    terms->minimum = frames_of(word.bytes);
    return ST_OK;
}

static enum status parse_terms(struct terms *terms, const struct quire_pager *pager,
                               const struct quire_member_options *options, struct quire_error *error)
{
    enum status status;

    *terms = (struct terms){.class = CLASS_ORDINARY};
    if (!is_name(options->name)) {
        error_say(error, "member '%s': expected " MEMBER_TEXT, options->name ? options->name : "");
        return ST_INVALID;
    }
    strcpy(terms->name, options->name);
    status = parse_class(terms, options->class, error);
    if (status != ST_OK)
        return status;
    terms->low = frames_of(options->protected_bytes);
    terms->maximum = frames_of(options->maximum_bytes);
    if (terms->low > 0 && terms->class != CLASS_VVIP) {
        error_say(error, "member '%s': protected_bytes: expected class vvip with it; vip:SIZE protects",
                  terms->name);
        return ST_INVALID;
    }
    if (terms->maximum > 0 && (terms->maximum < LEAST_BOUND || terms->maximum > pager->frames)) {
        error_say(error, "member '%s': maximum: %llu bytes: expected 256 KiB to the pager's memory, or 0",
                  terms->name, (unsigned long long)options->maximum_bytes);
        return ST_INVALID;
    }
    if (terms->maximum > 0 && (terms->minimum > terms->maximum || terms->low > terms->maximum)) {
        error_say(error, "member '%s': class '%s': more is protected than its maximum, %llu bytes",
                  terms->name, options->class, (unsigned long long)options->maximum_bytes);
        return ST_INVALID;
    }
    return ST_OK;
}

/* ------------------------------------------------------------------ targets */

static bool is_local(const struct quire_pager *pager)
{
    return pager->scope.config.kind == SCOPE_LOCAL;
}

/* Under local scope and `strict` nobody has more than its target; at least what one access may need. */
static uint32_t bound_of(const struct quire_member *member)
{
    const struct quire_pager *pager = member->pager;
    uint32_t bound = member->maximum > 0 ? member->maximum : pager->frames, target;

    if (!pager->scope.config.strict)
        return bound;
    target = pager->scoped[member->number].target;
    target = target > LEAST_BOUND ? target : LEAST_BOUND;
    return target < bound ? target : bound;
}

/* The member's target, or maximum, may have changed. */
static void follow_bound(struct quire_member *member)
{
    if (member->own && bound_of(member) != member->own->frames) {
        budget_set(member->own, bound_of(member));
        evict_wake(member->pager);
    }
    if (is_local(member->pager))
        pool_fit(&member->storage, member->pager->scoped[member->number].target);
    else if (member->maximum > 0)
        pool_fit(&member->storage, member->maximum);
}

static void follow_targets(struct quire_pager *pager)
{
    for (uint32_t i = 0; i < pager->members_count && is_local(pager); i++)
        if (pager->members[i].used && pager->scoped[i].place == MEMBER_IN)
            follow_bound(&pager->members[i]);
}

static uint64_t process_us(void)
{
    struct timespec time;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    return (uint64_t)time.tv_sec * 1000000 + (uint64_t)time.tv_nsec / 1000;
}

/* Page-fault frequency looks at every member's rate. */
static void measure(struct quire_pager *pager)
{
    uint64_t now = process_us(), passed = now - pager->measured_us;

    pager->measured_us = now;
    pager->scope.now += passed;
    for (uint32_t i = 0; i < pager->scope.count; i++)
        if (pager->scoped[i].place == MEMBER_IN) {
            pager->scoped[i].time += passed;
            (void)scope_measure(&pager->scope, i);
        }
}

void members_upkeep(struct quire_pager *pager)
{
    if (!is_local(pager))
        return;
    if (pager->scope.config.rule == SCOPE_PFF)
        measure(pager);
    follow_targets(pager);
}

/* ------------------------------------------------------------------ charging */

void member_charge(struct quire_member *member, enum member_change how)
{
    struct scope_member *scoped = &member->pager->scoped[member->number];

    scoped->frames++;
    if (how == MEMBER_BACK) {
        member->given_back++;
        return;
    }
    member->debt++;
    if (how == MEMBER_CAME)
        scoped->faults++;
    else
        member->ahead++;
}

void member_uncharge(struct quire_member *member, uint32_t pages)
{
    member->pager->scoped[member->number].frames -= pages;
}

void members_are_even(struct quire_pager *pager)
{
    for (uint32_t i = 0; i < pager->members_count; i++)
        pager->members[i].debt = 0;
}

/* ------------------------------------------------------------------ lives */

static struct quire_member *unused_member(struct quire_pager *pager)
{
    for (uint32_t i = 1; i < MOST_MEMBERS; i++)
        if (!pager->members[i].used)
            return &pager->members[i];
    return NULL;
}

static bool has_own_pool(const struct quire_pager *pager, const struct terms *terms, uint32_t number)
{
    return number == 0 || is_local(pager) || terms->maximum > 0;
}

/* By its class and minimum. */
static void set_guaranteed(struct quire_member *member)
{
    const struct scope_member *scoped = &member->pager->scoped[member->number];
    uint32_t frames = scoped->class == CLASS_VVIP ? scoped->minimum : 0;

    atomic_fetch_add(&member->pager->guaranteed, frames - member->guaranteed); /* modulo 2^32 */
    atomic_store(&member->guaranteed, frames);
}

static enum status join(struct quire_member *member, const struct terms *terms)
{
    struct quire_pager *pager = member->pager;
    struct scope_member *scoped = &pager->scoped[member->number], was = *scoped;
    enum status status;

    *scoped = (struct scope_member){.class = terms->class,
                                    .minimum = terms->minimum,
                                    .low = terms->low,
                                    .time = was.time,
                                    .window = was.time,
                                    .faults = was.faults,
                                    .measured = was.faults,
                                    .began = pager->scope.now};
    status = scope_join(&pager->scope, member->number);
    if (status != ST_OK)
        *scoped = was;
    return status;
}

static void say_does_not_fit(const struct quire_member *member, struct quire_error *error)
{
    error_say(
        error,
        "member '%s': what members are guaranteed, and a frame for each other, is more than the %llu KiB "
        "that pages can have",
        member->name, (unsigned long long)(member->pager->scope.config.frames * PAGE_SIZE >> 10));
}

/* In a place that is free. Under order. */
static enum status member_make(struct quire_member *member, struct quire_pager *pager,
                               const struct terms *terms, struct quire_error *error)
{
    uint32_t number = (uint32_t)(member - pager->members);
    enum status status = ST_OK;

    memset(member, 0, sizeof(*member));
    pager->scoped[number] = (struct scope_member){.place = MEMBER_GONE};
    member->pager = pager;
    member->number = number;
    member->maximum = terms->maximum;
    strcpy(member->name, terms->name);
    member->pool = &pager->members[0].storage;
    if (has_own_pool(pager, terms, number)) {
        member->pool = &member->storage;
        status =
            pool_make(&member->storage, pager, terms->maximum > 0 ? terms->maximum : pager->frames, error);
    }
    if (status == ST_OK && number > 0 && (status = join(member, terms)) != ST_OK) {
        say_does_not_fit(member, error);
        pool_end(&member->storage);
    }
    if (status != ST_OK)
        return status;
    if (terms->maximum > 0 || pager->scope.config.strict) {
        budget_set(&member->budget, bound_of(member));
        member->own = &member->budget;
    }
    set_guaranteed(member);
    member->used = true;
    if (number >= pager->members_count)
        pager->members_count = number + 1;
    follow_targets(pager);
    return ST_OK;
}

enum status members_begin(struct quire_pager *pager, struct quire_error *error)
{
    struct scope_config config = pager->scope.config;
    enum status status;

    config.frames = pager->frames - pager->budget.high;
    config.idle = 0;
    status = scope_init(&pager->scope, &config, pager->scoped, 0);
    pager->measured_us = process_us();
    return status == ST_OK
               ? member_make(&pager->members[0], pager, &(struct terms){.name = DEFAULT_NAME}, error)
               : status;
}

void members_end(struct quire_pager *pager)
{
    for (uint32_t i = 0; i < MOST_MEMBERS; i++)
        pool_end(&pager->members[i].storage);
}

static bool name_is_taken(const struct quire_pager *pager, const char *name)
{
    for (uint32_t i = 0; i < pager->members_count; i++)
        if (pager->members[i].used && strcmp(pager->members[i].name, name) == 0)
            return true;
    return false;
}

static enum status create(struct quire_pager *pager, const struct terms *terms, struct quire_member **made,
                          struct quire_error *error)
{
    struct quire_member *member = unused_member(pager);

    if (name_is_taken(pager, terms->name)) {
        error_say(error, "member '%s': there is one of that name", terms->name);
        return ST_INVALID;
    }
    if (!member) {
        error_say(error, "member '%s': expected at most %d members", terms->name, MOST_MEMBERS - 1);
        return ST_LIMIT;
    }
    *made = member;
    return member_make(member, pager, terms, error);
}

/* Nobody looks at which members there are: the evicting thread, whoever maps. */
static void hold(struct quire_pager *pager, bool hold)
{
    if (hold) {
        pthread_mutex_lock(&pager->round);
        regions_hold(true);
        pthread_mutex_lock(&pager->order);
    } else {
        pthread_mutex_unlock(&pager->order);
        regions_hold(false);
        pthread_mutex_unlock(&pager->round);
    }
}

enum status quire_member_create(struct quire_pager *pager, const struct quire_member_options *options,
                                struct quire_member **made, struct quire_error *error)
{
    struct terms terms;
    struct quire_member *member = NULL;
    enum status status = parse_terms(&terms, pager, options, error);

    if (status != ST_OK)
        return status;
    hold(pager, true);
    status = create(pager, &terms, &member, error);
    hold(pager, false);
    if (status == ST_OK)
        *made = member;
    return status;
}

/* Class and bounds. ST_LIMIT: nothing has changed. Under order. */
static enum status change(struct quire_member *member, const struct terms *terms, struct quire_error *error)
{
    struct quire_pager *pager = member->pager;
    struct scope_member *scoped = &pager->scoped[member->number];
    uint32_t low = scoped->low;
    enum status status;

    if ((member->maximum > 0) != (terms->maximum > 0)) {
        error_say(error, "member '%s': maximum: expected %s: it was created %s one", member->name,
                  member->maximum > 0 ? "one" : "none", member->maximum > 0 ? "with" : "without");
        return ST_INVALID;
    }
    scoped->low = terms->low;
    status = scope_reclass(&pager->scope, member->number, terms->class, terms->minimum);
    if (status != ST_OK) {
        scoped->low = low;
        say_does_not_fit(member, error);
        return status;
    }
    member->maximum = terms->maximum;
    set_guaranteed(member);
    follow_bound(member);
    follow_targets(pager);
    return ST_OK;
}

enum status quire_member_change(struct quire_member *member, const struct quire_member_options *options,
                                struct quire_error *error)
{
    struct quire_member_options named = *options;
    struct terms terms;
    enum status status;

    named.name = member->name;
    if (member->number == 0) {
        error_say(error, "member '%s': expected one of quire_member_create()", member->name);
        return ST_INVALID;
    }
    status = parse_terms(&terms, member->pager, &named, error);
    if (status != ST_OK)
        return status;
    hold(member->pager, true);
    status = change(member, &terms, error);
    hold(member->pager, false);
    return status;
}

enum status quire_member_end(struct quire_member *member)
{
    struct quire_pager *pager = member->pager;
    enum status status = ST_INVALID;

    hold(pager, true);
    if (member->number > 0 && member->used && member->regions == 0) {
        member->used = false;
        atomic_fetch_sub(&pager->guaranteed, member->guaranteed);
        pool_end(&member->storage);
        scope_leave(&pager->scope, member->number);
        follow_targets(pager);
        status = ST_OK;
    }
    hold(pager, false);
    return status;
}

enum status members_copy(struct quire_pager *pager, const struct quire_pager *parents,
                         struct quire_error *error)
{
    enum status status = ST_OK;

    for (uint32_t i = 1; i < parents->members_count && status == ST_OK; i++) {
        const struct quire_member *parent = &parents->members[i];
        struct terms terms = {.class = parents->scoped[i].class,
                              .minimum = parents->scoped[i].minimum,
                              .low = parents->scoped[i].low,
                              .maximum = parent->maximum};

        if (!parent->used)
            continue;
        strcpy(terms.name, parent->name);
        status = member_make(&pager->members[i], pager, &terms, error);
    }
    return status;
}

/* ------------------------------------------------------------------ their regions */

/* Its size has changed, by which proportional allocation goes. */
static void set_size(struct quire_member *member, uint64_t pages)
{
    struct quire_pager *pager = member->pager;

    member->mapped_pages = pages;
    pager->scoped[member->number].pages = pages < UINT32_MAX ? (uint32_t)pages : UINT32_MAX;
    if (is_local(pager))
        scope_resize(&pager->scope, pager->scope.config.frames);
    follow_targets(pager);
}

enum status member_enter(struct quire_member *member, uint64_t pages)
{
    struct quire_pager *pager = member->pager;
    enum status status = ST_OK;

    pthread_mutex_lock(&pager->order);
    if (member->number == 0 && member->regions == 0)
        status = join(member, &(struct terms){.class = CLASS_ORDINARY});
    if (status == ST_OK) {
        member->regions++;
        set_size(member, member->mapped_pages + pages);
    }
    pthread_mutex_unlock(&pager->order);
    return status;
}

void member_leave(struct quire_member *member, uint64_t pages)
{
    struct quire_pager *pager = member->pager;

    pthread_mutex_lock(&pager->order);
    set_size(member, member->mapped_pages - pages);
    if (--member->regions == 0 && member->number == 0)
        scope_leave(&pager->scope, 0);
    follow_targets(pager);
    pthread_mutex_unlock(&pager->order);
}

/* ------------------------------------------------------------------ telling */

static void tell(const struct quire_member *member, struct quire_member_stats *stats)
{
    const struct quire_pager *pager = member->pager;
    const struct scope_member *scoped = &pager->scoped[member->number];

    *stats = (struct quire_member_stats){
        .name = member->name,
        .class = scope_class_names[scoped->class],
        .guaranteed_bytes = scoped->class == CLASS_VVIP ? scoped->minimum * PAGE_SIZE : 0,
        .protected_bytes = scope_protected(scoped) * PAGE_SIZE,
        .maximum_bytes = member->maximum * PAGE_SIZE,
        .target_bytes = is_local(pager) ? scoped->target * PAGE_SIZE : 0,
        .resident_bytes = scoped->frames * PAGE_SIZE,
        .regions = member->regions,
        .mapped_bytes = member->mapped_pages * PAGE_SIZE,
        .faults = scoped->faults,
        .read_ahead = member->ahead,
        .evictions = member->evicted - member->given_back,
        .written = member->dirty,
        .lost = member->lost,
        .lost_protected = member->lost_protected,
        .fault_rate = is_local(pager) && pager->scope.config.rule == SCOPE_PFF ? scoped->rate : 0,
    };
}

void quire_member_stats(struct quire_member *member, struct quire_member_stats *stats)
{
    struct quire_pager *pager = member->pager;

    pthread_mutex_lock(&pager->order);
    order_drain(pager);
    tell(member, stats);
    pthread_mutex_unlock(&pager->order);
}

bool member_look(struct quire_pager *pager, uint32_t number, struct quire_member_stats *stats,
                 char name[MEMBER_NAME_BYTES])
{
    bool used;

    pthread_mutex_lock(&pager->order);
    order_drain(pager);
    used = pager->members[number].used;
    if (used) {
        tell(&pager->members[number], stats);
        strcpy(name, stats->name);
        stats->name = name;
    }
    pthread_mutex_unlock(&pager->order);
    return used;
}

/* ------------------------------------------------------------------ checking */

static const char *check_member(const struct quire_member *member, uint64_t resident)
{
    const struct scope_member *scoped = &member->pager->scoped[member->number];

    if (scoped->frames != pool_count(member->pool, member))
        return "a member's frames are not the pages that its pool knows";
    if (scoped->frames != resident)
        return "a member's frames are not its pages in memory";
    if (member->own && atomic_load(&member->own->taken) != resident)
        return "what is taken of a member's own budget is not what it has in memory";
    if (scoped->place != (member->number > 0 || member->regions > 0 ? MEMBER_IN : MEMBER_GONE))
        return "a member that lives is not in memory, or one without regions is";
    return member->pool == &member->storage ? pool_check(member->pool) : NULL;
}

const char *members_check(struct quire_pager *pager, const uint64_t resident[MOST_MEMBERS])
{
    struct scope scope = pager->scope;
    const char *wrong;

    scope.config.frames = pager->frames; /* between two rounds the reserve is used */
    wrong = scope_check(&scope);
    for (uint32_t i = 0; i < pager->members_count && !wrong; i++)
        if (pager->members[i].used)
            wrong = check_member(&pager->members[i], resident[i]);
        else if (resident[i] > 0 || pager->scoped[i].frames > 0 || pager->scoped[i].place != MEMBER_GONE)
            wrong = "a member that has ended has something left";
    return wrong;
}

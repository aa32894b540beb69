/*
 * Several members in one pager of the runtime: whose pages go, by maximum, class, scope and allocation rule;
 * what is refused; and that every byte is right whosever it is, also while members come and go.
 */
#include "runtime_support.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "quire/policy.h"
#include "quire/scope.h"
#include "store/linux/memory.h"

enum { WORDS = PAGE_SIZE / sizeof(uint64_t) };

/* Of each kind: anonymous memory, bits, every reference; with ghosts and without. */
static const char *const policies[] = {"fifo", "clock", "car", "2q", "sieve", "arc", "clock-pro", "lru"};
enum { POLICIES = sizeof(policies) / sizeof(policies[0]) };

static struct quire_pager *open_scoped(uint64_t memory_bytes, const char *policy, const char *scope,
                                       const char *allocation)
{
    return open_pager_with(&(struct quire_options){.memory_bytes = memory_bytes,
                                                   .policy = policy,
                                                   .seed = 1,
                                                   .deadline_ms = 20000,
                                                   .scope = scope,
                                                   .allocation = allocation});
}

/* A member with one region. */
struct party {
    struct quire_member *member;
    struct store *store;
    uint64_t *memory, *shadow;
    uint64_t length;
};

static struct quire_member *create(struct quire_pager *pager, const char *name, const char *class,
                                   uint64_t maximum)
{
    struct quire_member_options options = {.name = name, .class = class, .maximum_bytes = maximum};
    struct quire_member *member = NULL;
    struct quire_error error;

    if (quire_member_create(pager, &options, &member, &error) != ST_OK)
        fail_msg("%s", error.text);
    return member;
}

static void *map_of(struct quire_pager *pager, struct quire_member *member, struct store *store,
                    uint64_t length)
{
    struct quire_mapping mapping = {.store = store, .length = length, .member = member};
    struct quire_error error;
    void *address = NULL;

    if (quire_map(pager, &mapping, &address, &error) != ST_OK)
        fail_msg("%s", error.text);
    return address;
}

static struct party party_of(struct quire_pager *pager, struct quire_member *member, uint64_t length)
{
    struct party party = {.member = member,
                          .store = store_memory(length / PAGE_SIZE),
                          .length = length,
                          .shadow = calloc(1, length)};

    party.memory = map_of(pager, member, party.store, length);
    assert_ok(quire_advise(party.memory, length, QUIRE_RANDOM));
    return party;
}

static struct party join(struct quire_pager *pager, const char *name, const char *class, uint64_t maximum,
                         uint64_t length)
{
    return party_of(pager, create(pager, name, class, maximum), length);
}

static struct quire_member_stats stats_of(const struct party *party)
{
    struct quire_member_stats stats;

    quire_member_stats(party->member, &stats);
    return stats;
}

/* One word of each page of a part. */
static void touch(struct party *party, uint64_t bytes, uint64_t value)
{
    for (uint64_t at = 0; at < bytes / sizeof(uint64_t); at += WORDS)
        party->memory[at] = party->shadow[at] = value + at;
}

static void look_at(const struct party *party, uint64_t bytes)
{
    const volatile uint64_t *memory = party->memory;

    for (uint64_t at = 0; at < bytes / sizeof(uint64_t); at += WORDS)
        if (memory[at] != party->shadow[at])
            fail_msg("%s", words_differ(party->memory, party->shadow, bytes));
}

static void end(struct party *party)
{
    const char *wrong = words_differ(party->memory, party->shadow, party->length);

    if (wrong)
        fail_msg("%s", wrong);
    assert_ok(quire_unmap(party->memory));
    if (party->member)
        assert_ok(quire_member_end(party->member));
    store_close(party->store);
    free(party->shadow);
}

static void check(struct quire_pager *pager)
{
    const char *wrong = quire_check(pager);

    if (wrong)
        fail_msg("%s", wrong);
}

/* ------------------------------------------------------------------ maxima */

static void at_maximum(const char *policy, const char *scope)
{
    struct quire_pager *pager = open_scoped(4 * MIB, policy, scope, NULL);
    struct party big = join(pager, "big", NULL, 0, MIB);
    struct party small = join(pager, "small", NULL, 512 * KIB, 2 * MIB);
    struct quire_member_stats stats;

    touch(&big, MIB, 1);
    for (unsigned i = 0; i < 4; i++) {
        touch(&small, 2 * MIB, i);
        stats = stats_of(&small);
        assert_true(stats.resident_bytes <= 512 * KIB && stats.resident_bytes >= 400 * KIB);
    }
    assert_int_equal(stats.maximum_bytes, 512 * KIB);
    assert_true(stats.evictions > 3 * 512 && stats.lost == 0);
    stats = stats_of(&big);
    assert_true(stats.evictions == 0 && stats.faults == MIB / PAGE_SIZE && stats.resident_bytes == MIB);
    check(pager);
    end(&small);
    end(&big);
    close_all(pager, NULL);
}

static void test_a_member_at_its_maximum_pages_only_itself(void **state)
{
    for (unsigned i = 0; i < POLICIES; i++) {
        at_maximum(policies[i], NULL);
        at_maximum(policies[i], "local");
    }
}

/* Under global scope those with maxima give by their part of memory. */
static void test_one_with_a_maximum_gives_like_others(void **state)
{
    struct quire_pager *pager = open_scoped(2 * MIB, "clock", "global", NULL);
    struct party bounded = join(pager, "bounded", NULL, MIB, 768 * KIB);
    struct party other = party_of(pager, NULL, 16 * MIB);

    touch(&bounded, 768 * KIB, 1);
    for (unsigned i = 0; i < 3; i++)
        touch(&other, 16 * MIB, i);
    assert_true(stats_of(&bounded).lost > 0 && stats_of(&bounded).lost_protected == 0);
    check(pager);
    end(&bounded);
    end(&other);
    close_all(pager, NULL);
}

/* Its pins come out of its maximum. */
static void test_pins_within_the_maximum(void **state)
{
    struct quire_pager *pager = open_pager(4 * MIB, "clock");
    struct party small = join(pager, "small", NULL, 512 * KIB, 2 * MIB);
    struct party other = party_of(pager, NULL, 2 * MIB);

    assert_int_equal(quire_pin(small.memory, 512 * KIB, ACCESS_READ), ST_LIMIT);
    assert_ok(quire_pin(small.memory, 256 * KIB, ACCESS_READ));
    assert_ok(quire_pin(other.memory, MIB, ACCESS_WRITE));
    touch(&small, 2 * MIB, 3);
    check(pager);
    quire_unpin(small.memory, 256 * KIB);
    quire_unpin(other.memory, MIB);
    end(&small);
    end(&other);
    close_all(pager, NULL);
}

/* Who cannot write his pages fills his own maximum, and others go on. */
static void test_a_full_store_is_the_members_own_trouble(void **state)
{
    struct quire_pager *pager = open_pager(2 * MIB, "clock");
    struct quire_member *stuck = create(pager, "stuck", NULL, 512 * KIB);
    struct faulty *faulty = faulty_store(MIB / PAGE_SIZE, false);
    struct party other = party_of(pager, NULL, 8 * MIB);
    uint8_t *memory = map_of(pager, stuck, &faulty->base, MIB);
    uint64_t at = 0;

    atomic_store(&faulty->fail_writes, 1);
    while (at < MIB && !write_is_sigbus(memory + at))
        at += PAGE_SIZE;
    assert_true(at >= 400 * KIB && at <= 512 * KIB);
    for (unsigned i = 0; i < 2; i++)
        touch(&other, 8 * MIB, i);
    assert_true(write_is_sigbus(memory + at));
    atomic_store(&faulty->fail_writes, 0);
    for (unsigned tries = 0; tries < 1000 && write_is_sigbus(memory + at); tries++)
        usleep(10000); /* until a round of eviction has seen that the store takes pages again */
    assert_false(write_is_sigbus(memory + at));
    assert_ok(quire_discard(memory));
    assert_ok(quire_member_end(stuck));
    end(&other);
    close_all(pager, &faulty->base);
}

/* ------------------------------------------------------------------ classes */

static void vvip_keeps(const char *policy, const char *scope, uint64_t maximum)
{
    struct quire_pager *pager = open_scoped(2 * MIB, policy, scope, NULL);
    struct party vvip = join(pager, "vvip", "vvip:1M", maximum, MIB);
    struct party eater = join(pager, "eater", "ordinary", 0, 4 * MIB);
    struct quire_member_stats stats;

    touch(&vvip, MIB, 7);
    for (unsigned i = 0; i < 3; i++) {
        touch(&eater, 4 * MIB, i);
        look_at(&vvip, MIB);
    }
    stats = stats_of(&vvip);
    assert_string_equal(stats.class, "vvip");
    assert_true(stats.guaranteed_bytes == MIB && stats.protected_bytes == MIB);
    assert_true(stats.lost == 0 && stats.lost_protected == 0 && stats.evictions == 0);
    assert_int_equal(stats.faults, MIB / PAGE_SIZE);
    check(pager);
    end(&eater);
    end(&vvip);
    close_all(pager, NULL);
}

static void test_a_vvip_loses_no_page_to_who_eats_everything(void **state)
{
    for (unsigned i = 0; i < POLICIES; i++) {
        vvip_keeps(policies[i], "global", 0);
        vvip_keeps(policies[i], "local", 0);
    }
    vvip_keeps("car", "global", 1280 * KIB); /* a pool of its own */
}

static void vip_keeps(const char *policy, const char *scope)
{
    struct quire_pager *pager = open_scoped(2 * MIB, policy, scope, NULL);
    struct party vip = join(pager, "vip", "vip:1M", 0, MIB);
    struct party eater = join(pager, "eater", NULL, 0, 4 * MIB);
    struct party vvip;

    touch(&vip, MIB, 7);
    touch(&eater, 4 * MIB, 1);
    touch(&eater, 4 * MIB, 2);
    assert_true(stats_of(&vip).lost == 0 && stats_of(&vip).guaranteed_bytes == 0);
    end(&eater); /* and now nobody else has anything */
    vvip = join(pager, "vvip", "vvip:1536K", 0, 1536 * KIB);
    for (uint64_t i = 0; i < 3; i++)
        touch(&vvip, 1536 * KIB, i);
    assert_true(stats_of(&vvip).lost == 0);
    assert_true(stats_of(&vip).lost > 0 && stats_of(&vip).lost_protected > 0);
    check(pager);
    end(&vvip);
    end(&vip);
    close_all(pager, NULL);
}

static void test_a_vip_gives_when_nobody_else_has_anything(void **state)
{
    for (unsigned i = 0; i < POLICIES; i++) {
        vip_keeps(policies[i], "global");
        vip_keeps(policies[i], "local");
    }
}

/* A vvip's memory between what is guaranteed and what is protected goes after the ordinary ones'. */
static void test_protected_beyond_what_is_guaranteed(void **state)
{
    struct quire_pager *pager = open_pager(2 * MIB, "clock");
    struct quire_member_options options = {.name = "vvip", .class = "vvip:256K", .protected_bytes = MIB};
    struct quire_member *member;
    struct party vvip, eater = join(pager, "eater", NULL, 0, 4 * MIB);

    assert_ok(quire_member_create(pager, &options, &member, NULL));
    vvip = party_of(pager, member, MIB);
    touch(&vvip, MIB, 1);
    touch(&eater, 4 * MIB, 2);
    assert_true(stats_of(&vvip).lost == 0 && stats_of(&vvip).protected_bytes == MIB);
    assert_int_equal(stats_of(&vvip).guaranteed_bytes, 256 * KIB);
    end(&vvip);
    end(&eater);
    close_all(pager, NULL);
}

/* Others' pins leave room for what is guaranteed. */
static void test_nobody_pins_away_what_is_guaranteed(void **state)
{
    struct quire_pager *pager = open_pager(2 * MIB, "clock");
    struct party vvip = join(pager, "vvip", "vvip:1M", 0, MIB);
    struct party other = party_of(pager, NULL, 2 * MIB);

    assert_int_equal(quire_pin(other.memory, MIB, ACCESS_READ), ST_LIMIT);
    assert_ok(quire_pin(other.memory, 512 * KIB, ACCESS_READ));
    assert_ok(quire_pin(vvip.memory, MIB, ACCESS_READ));
    quire_unpin(vvip.memory, MIB);
    quire_unpin(other.memory, 512 * KIB);
    end(&vvip);
    end(&other);
    close_all(pager, NULL);
}

/* ------------------------------------------------------------------ allocation */

enum { PARTIES = 3 };

/* Frames that pages can have in the long run: runtime/member.c. */
static uint32_t shared_frames(uint64_t memory_bytes)
{
    uint32_t frames = (uint32_t)(memory_bytes / PAGE_SIZE), reserve = frames * 3 / 100;

    return frames - 2 * (reserve > 8 ? reserve : 8);
}

/* What the simulator would give to members of these sizes and classes. */
static void expected_targets(struct scope_member *members, const char *allocation, uint64_t memory_bytes)
{
    static struct scope scope;
    struct scope_config config = {.kind = SCOPE_LOCAL};
    struct scope_error error;

    assert_ok(scope_parse_rule(allocation, &config, &error));
    config.frames = shared_frames(memory_bytes);
    assert_ok(scope_init(&scope, &config, members, PARTIES));
}

static void shares_follow(const char *policy, const char *allocation, const char *class)
{
    static const uint64_t lengths[PARTIES] = {2 * MIB, MIB, 4 * MIB};
    static const char *const names[PARTIES] = {"a", "b", "c"};
    struct quire_pager *pager = open_scoped(2 * MIB, policy, "local", allocation);
    struct scope_member members[PARTIES] = {0};
    struct party parties[PARTIES];

    for (unsigned i = 0; i < PARTIES; i++) {
        parties[i] = join(pager, names[i], i == 1 ? class : NULL, 0, lengths[i]);
        members[i].pages = (uint32_t)(lengths[i] / PAGE_SIZE);
    }
    if (class) {
        members[1].class = CLASS_VVIP;
        members[1].minimum = (uint32_t)(MIB / PAGE_SIZE);
    }
    expected_targets(members, allocation, 2 * MIB);
    for (unsigned i = 0; i < 2 * PARTIES; i++)
        touch(&parties[i % PARTIES], lengths[i % PARTIES], i);
    for (unsigned i = 0; i < PARTIES; i++) {
        struct quire_member_stats stats = stats_of(&parties[i]);
        uint64_t target = members[i].target * PAGE_SIZE;

        assert_int_equal(stats.target_bytes, target);
        /* The reserve is lent, or being made. */
        assert_in_range(stats.resident_bytes, target > 2 * MIB / 8 ? target - 2 * MIB / 8 : 0,
                        target + 2 * MIB / 8);
    }
    check(pager);
    for (unsigned i = 0; i < PARTIES; i++)
        end(&parties[i]);
    close_all(pager, NULL);
}

static void test_shares_are_those_of_the_simulator(void **state)
{
    for (unsigned i = 0; i < POLICIES; i++) {
        shares_follow(policies[i], "equal", NULL);
        shares_follow(policies[i], "equal:strict", NULL);
    }
    shares_follow("clock", "proportional", NULL);
    shares_follow("clock", "proportional:strict", NULL);
    shares_follow("clock", "equal", "vvip:1M");
    shares_follow("car", "proportional", "vvip:1M");
}

/* Alone at work: all of memory, or, strictly, its target. */
static void test_frames_are_lent(void **state)
{
    for (unsigned strict = 0; strict < 2; strict++) {
        struct quire_pager *pager = open_scoped(2 * MIB, "clock", "local", strict ? "equal:strict" : "equal");
        struct party works = join(pager, "works", NULL, 0, 8 * MIB);
        struct party waits = join(pager, "waits", NULL, 0, 8 * MIB);
        struct quire_member_stats stats;

        touch(&works, 8 * MIB, 1);
        stats = stats_of(&works);
        if (strict)
            assert_true(stats.resident_bytes <= stats.target_bytes);
        else
            assert_true(stats.resident_bytes > 3 * stats.target_bytes / 2);
        touch(&waits, 8 * MIB, 1); /* and gives it back */
        assert_true(stats_of(&waits).resident_bytes + 2 * MIB / 8 >= stats_of(&waits).target_bytes);
        check(pager);
        end(&works);
        end(&waits);
        close_all(pager, NULL);
    }
}

static void test_page_fault_frequency_moves_frames(void **state)
{
    struct quire_pager *pager = open_scoped(2 * MIB, "clock", "local", "pff:low=100,high=1000,window=2000");
    struct party busy = join(pager, "busy", NULL, 0, 1536 * KIB);
    struct party calm = join(pager, "calm", NULL, 0, 2 * MIB);
    uint64_t before = stats_of(&busy).target_bytes;

    touch(&calm, 2 * MIB, 1);
    for (unsigned i = 0; i < 400 && stats_of(&busy).target_bytes < 1400 * KIB; i++)
        touch(&busy, 1536 * KIB, i);
    assert_true(before <= MIB && stats_of(&busy).target_bytes >= 1400 * KIB);
    assert_true(stats_of(&calm).target_bytes < before);
    check(pager);
    end(&busy);
    end(&calm);
    close_all(pager, NULL);
}

/* ------------------------------------------------------------------ lives */

static void test_members_come_and_go(void **state)
{
    struct quire_pager *pager = open_scoped(4 * MIB, "clock", "local", NULL);
    struct quire_member_options options = {.name = "one-too-many"};
    struct quire_member *members[63], *none = NULL;
    struct quire_error error;
    struct party party;

    for (unsigned turn = 0; turn < 2; turn++) {
        for (unsigned i = 0; i < 63; i++) {
            char name[16];

            snprintf(name, sizeof(name), "m%u", i);
            members[i] = create(pager, name, NULL, i % 2 ? 512 * KIB : 0);
        }
        assert_int_equal(quire_member_create(pager, &options, &none, &error), ST_LIMIT);
        assert_string_equal(error.text, "member 'one-too-many': expected at most 63 members");
        party = party_of(pager, members[40 + turn], 2 * MIB);
        touch(&party, 2 * MIB, turn);
        assert_int_equal(quire_member_end(party.member), ST_INVALID);
        check(pager);
        for (unsigned i = 0; i < 63; i++)
            if (members[i] != party.member)
                assert_ok(quire_member_end(members[i]));
        check(pager);
        touch(&party, 2 * MIB, turn + 1);
        end(&party);
    }
    close_all(pager, NULL);
}

/* The frames of a region that is discarded are everybody's again; its member starts afresh. */
static void test_discard_gives_the_members_frames_back(void **state)
{
    for (unsigned i = 0; i < POLICIES; i++) {
        struct quire_pager *pager = open_pager(2 * MIB, policies[i]);
        struct party kept = join(pager, "kept", NULL, 0, 256 * KIB);
        struct party party = join(pager, "goes", "vip:256K", MIB, 4 * MIB);
        struct quire_stats stats;

        touch(&kept, 256 * KIB, 1);
        touch(&party, 4 * MIB, 1);
        assert_ok(quire_discard(party.memory));
        assert_int_equal(stats_of(&party).resident_bytes, 0);
        assert_int_equal(stats_of(&party).mapped_bytes, 0);
        quire_stats(pager, &stats);
        assert_int_equal(stats.resident_bytes, stats_of(&kept).resident_bytes);
        check(pager);
        store_close(party.store);
        party.store = store_memory(4 * MIB / PAGE_SIZE);
        party.memory = map_of(pager, party.member, party.store, 4 * MIB);
        memset(party.shadow, 0, 4 * MIB);
        look_at(&party, 4 * MIB);
        end(&party);
        end(&kept);
        close_all(pager, NULL);
    }
}

/* A view is charged to whom its region is, unless it is said otherwise. */
static void test_snapshots_have_members(void **state)
{
    struct quire_pager *pager = open_pager(4 * MIB, "car");
    struct party party = join(pager, "party", NULL, MIB, 4 * MIB);
    struct quire_member *report = create(pager, "report", NULL, 512 * KIB);
    struct store *stores[2] = {store_memory(4 * MIB / PAGE_SIZE), store_memory(4 * MIB / PAGE_SIZE)};
    struct quire_mapping mapping = {.store = stores[0]};
    uint64_t *then = malloc(4 * MIB), *views[2];

    touch(&party, 4 * MIB, 1);
    memcpy(then, party.shadow, 4 * MIB);
    assert_ok(quire_snapshot(party.memory, &mapping, (void **)&views[0], NULL));
    mapping = (struct quire_mapping){.store = stores[1], .member = report};
    assert_ok(quire_snapshot(party.memory, &mapping, (void **)&views[1], NULL));
    touch(&party, 4 * MIB, 2);
    for (unsigned i = 0; i < 2; i++)
        assert_null(words_differ(views[i], then, 4 * MIB));
    assert_int_equal(stats_of(&party).regions, 2);
    assert_int_equal(quire_member_end(report), ST_INVALID);
    check(pager);
    for (unsigned i = 0; i < 2; i++) {
        assert_ok(quire_discard(views[i]));
        store_close(stores[i]);
    }
    assert_ok(quire_member_end(report));
    free(then);
    end(&party);
    close_all(pager, NULL);
}

/* Class and maximum can change while it works. */
static void change_while_it_works(const char *scope, const char *allocation)
{
    struct quire_pager *pager = open_scoped(4 * MIB, "car", scope, allocation);
    struct party party = join(pager, "party", "vip:256K", MIB, 4 * MIB);
    struct party other = join(pager, "other", "vvip:1M", 0, 4 * MIB);
    struct quire_member_options options = {.class = "ordinary", .maximum_bytes = 512 * KIB};
    struct quire_error error;

    work_on(party.memory, party.shadow, 4 * MIB, 1, 1000, 1);
    assert_in_range(stats_of(&party).resident_bytes, 800 * KIB, MIB);
    assert_ok(quire_member_change(party.member, &options, &error));
    work_on(party.memory, party.shadow, 4 * MIB, 1, 500, 2);
    assert_true(stats_of(&party).resident_bytes <= 512 * KIB);
    assert_string_equal(stats_of(&party).class, "ordinary");
    check(pager);
    options = (struct quire_member_options){.class = "vvip:1M", .maximum_bytes = 2 * MIB};
    assert_ok(quire_member_change(party.member, &options, &error));
    work_on(party.memory, party.shadow, 4 * MIB, 1, 1500, 3);
    assert_in_range(stats_of(&party).resident_bytes, MIB, 2 * MIB);
    options.class = "vvip:3M";
    options.maximum_bytes = 4 * MIB;
    assert_int_equal(quire_member_change(party.member, &options, &error), ST_LIMIT);
    assert_int_equal(stats_of(&party).maximum_bytes, 2 * MIB);
    options.maximum_bytes = 0;
    assert_int_equal(quire_member_change(party.member, &options, &error), ST_INVALID);
    assert_string_equal(error.text, "member 'party': maximum: expected one: it was created with one");
    assert_int_equal(stats_of(&party).guaranteed_bytes, MIB);
    assert_int_equal(quire_pin(party.memory, 2 * MIB, ACCESS_READ), ST_LIMIT);
    check(pager);
    end(&party);
    end(&other);
    close_all(pager, NULL);
}

static void test_terms_change(void **state)
{
    change_while_it_works("global", NULL);
    change_while_it_works("local", "equal");
    change_while_it_works("local", "proportional:strict");
}

struct visitor {
    struct quire_pager *pager;
    _Atomic bool stop;
    unsigned number, visits;
};

static void *come_and_go(void *context)
{
    struct visitor *visitor = context;
    char name[16];

    snprintf(name, sizeof(name), "visitor%u", visitor->number);
    for (; visitor->visits == 0 || !atomic_load(&visitor->stop); visitor->visits++) {
        struct party party = join(visitor->pager, name, visitor->visits % 2 ? "vip:128K" : NULL,
                                  visitor->visits % 3 ? 256 * KIB : 0, 512 * KIB);

        touch(&party, 512 * KIB, visitor->visits);
        (void)stats_of(&party);
        end(&party);
    }
    return NULL;
}

static void work_beside_visitors(const char *policy, const char *scope, const char *allocation)
{
    struct quire_pager *pager = open_scoped(MIB, policy, scope, allocation);
    struct party party = join(pager, "stays", "vvip:256K", 0, 2 * MIB);
    struct visitor visitors[2];
    pthread_t threads[2];

    for (unsigned i = 0; i < 2; i++) {
        visitors[i] = (struct visitor){.pager = pager, .number = i};
        assert_int_equal(pthread_create(&threads[i], NULL, come_and_go, &visitors[i]), 0);
    }
    work_on(party.memory, party.shadow, party.length, 2, 700, 9);
    for (unsigned i = 0; i < 2; i++) {
        atomic_store(&visitors[i].stop, true);
        pthread_join(threads[i], NULL);
        assert_true(visitors[i].visits > 0);
    }
    assert_int_equal(stats_of(&party).lost_protected, 0);
    end(&party);
    close_all(pager, NULL);
}

static void test_work_while_members_come_and_go(void **state)
{
    work_beside_visitors("clock", "global", NULL);
    work_beside_visitors("clock", "local", "proportional:strict");
    work_beside_visitors("clock", "local", "pff:window=1000");
    for (unsigned i = 0; i < POLICIES; i++)
        work_beside_visitors(policies[i], "local", "equal");
}

/* What remembers pages that have gone forgets some when it gets smaller, and none that is about to come. */
static void test_pools_shrink_and_grow(void **state)
{
    for (const struct policy_type *const *type = policy_types; *type; type++) {
        struct quire_pager *pager;
        struct party stays;

        if ((*type)->needs == POLICY_FUTURE || (*type)->ghosts == POLICY_ALL_GHOSTS)
            continue; /* there is no table of all pages to walk */
        pager = open_scoped(MIB, (*type)->name, "local", "equal:strict");
        stays = join(pager, "stays", NULL, 0, MIB);
        for (unsigned i = 0; i < 6; i++) {
            struct party party = join(pager, "comes", NULL, 0, MIB);

            work_on(stays.memory, stays.shadow, stays.length, 1, 500, i);
            work_on(party.memory, party.shadow, party.length, 1, 300, i);
            check(pager);
            end(&party);
        }
        end(&stays);
        close_all(pager, NULL);
    }
}

/* ------------------------------------------------------------------ what is refused */

static void options_refused(const char *scope, const char *allocation, const char *why)
{
    struct quire_options options = {.memory_bytes = MIB, .scope = scope, .allocation = allocation};
    struct quire_pager *pager;
    struct quire_error error;

    assert_int_equal(quire_open(&options, &pager, &error), ST_INVALID);
    assert_string_equal(error.text, why);
}

static void test_scopes_and_rules_that_are_none(void **state)
{
    options_refused("here", NULL, "scope 'here': expected global or local");
    options_refused(NULL, "equal", "allocation 'equal': expected scope local with it");
    options_refused("global", "equal", "allocation 'equal': expected scope local with it");
    options_refused(
        "local", "fair",
        "allocation 'fair': 'fair': expected equal, proportional or pff, with :strict or without");
    options_refused(
        "local", "pff:low=9,high=5",
        "allocation 'pff:low=9,high=5': 'pff:low=9,high=5': expected low at most as large as high, "
        "and a window above 0");
}

static void member_refused(struct quire_pager *pager, struct quire_member_options options,
                           enum status expected, const char *why)
{
    struct quire_member *member = NULL;
    struct quire_error error = {""};

    assert_int_equal(quire_member_create(pager, &options, &member, &error), expected);
    assert_string_equal(error.text, why);
    assert_null(member);
    check(pager);
}

#define NAME_TEXT "expected a name of 1 to 31 ASCII characters without blanks, quotes and backslashes"
#define CLASS_TEXT "expected vvip:SIZE, vip:SIZE or ordinary"
#define OPTIONS(...)                                                                                         \
    (struct quire_member_options)                                                                            \
    {                                                                                                        \
        __VA_ARGS__                                                                                          \
    }

static void test_members_that_are_refused(void **state)
{
    struct quire_pager *pager = open_pager(2 * MIB, "clock"), *other = open_pager(MIB, "clock");
    struct quire_member *there = create(pager, "there", "vvip:512K", 0);
    struct store *store = store_memory(16);
    struct quire_mapping mapping = {.store = store, .length = PAGE_SIZE, .member = there};
    struct quire_error error;
    void *address;

    member_refused(pager, OPTIONS(.name = NULL), ST_INVALID, "member '': " NAME_TEXT);
    member_refused(pager, OPTIONS(.name = "a b"), ST_INVALID, "member 'a b': " NAME_TEXT);
    member_refused(pager, OPTIONS(.name = "thirty-two characters, far longer"), ST_INVALID,
                   "member 'thirty-two characters, far longer': " NAME_TEXT);
    member_refused(pager, OPTIONS(.name = "there"), ST_INVALID, "member 'there': there is one of that name");
    member_refused(pager, OPTIONS(.name = "default"), ST_INVALID,
                   "member 'default': there is one of that name");
    member_refused(pager, OPTIONS(.name = "x", .class = "royal:1M"), ST_INVALID,
                   "member 'x': class 'royal:1M': " CLASS_TEXT);
    member_refused(pager, OPTIONS(.name = "x", .class = "vip"), ST_INVALID,
                   "member 'x': class 'vip': " CLASS_TEXT);
    member_refused(pager, OPTIONS(.name = "x", .class = "y=vip:1M"), ST_INVALID,
                   "member 'x': class 'y=vip:1M': " CLASS_TEXT);
    member_refused(pager, OPTIONS(.name = "x", .class = "vip:1M", .protected_bytes = MIB), ST_INVALID,
                   "member 'x': protected_bytes: expected class vvip with it; vip:SIZE protects");
    member_refused(pager, OPTIONS(.name = "x", .maximum_bytes = PAGE_SIZE), ST_INVALID,
                   "member 'x': maximum: 4096 bytes: expected 256 KiB to the pager's memory, or 0");
    member_refused(pager, OPTIONS(.name = "x", .maximum_bytes = 3 * MIB), ST_INVALID,
                   "member 'x': maximum: 3145728 bytes: expected 256 KiB to the pager's memory, or 0");
    member_refused(pager, OPTIONS(.name = "x", .class = "vip:2M", .maximum_bytes = MIB), ST_INVALID,
                   "member 'x': class 'vip:2M': more is protected than its maximum, 1048576 bytes");
    member_refused(pager, OPTIONS(.name = "x", .class = "vvip:1500K"), ST_LIMIT,
                   "member 'x': what members are guaranteed, and a frame for each other, is more than the "
                   "1928 KiB that pages can have");
    assert_int_equal(quire_map(other, &mapping, &address, &error), ST_INVALID);
    assert_string_equal(error.text, "mapping: expected a member of this pager");
    store_close(store);
    close_all(other, NULL);
    close_all(pager, NULL);
}

/* All is guaranteed to others: no frame is left for regions of no member. */
static void test_no_frame_is_left(void **state)
{
    struct quire_pager *pager = open_pager(2 * MIB, "clock");
    struct quire_member *all = create(pager, "all", "vvip:1928K", 0);
    struct store *store = store_memory(16);
    struct quire_mapping mapping = {.store = store, .length = PAGE_SIZE};
    void *address;

    assert_int_equal(quire_map(pager, &mapping, &address, NULL), ST_LIMIT);
    check(pager);
    mapping.member = all;
    assert_ok(quire_map(pager, &mapping, &address, NULL));
    close_all(pager, store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_member_at_its_maximum_pages_only_itself),
        cmocka_unit_test(test_one_with_a_maximum_gives_like_others),
        cmocka_unit_test(test_pins_within_the_maximum),
        cmocka_unit_test(test_a_full_store_is_the_members_own_trouble),
        cmocka_unit_test(test_a_vvip_loses_no_page_to_who_eats_everything),
        cmocka_unit_test(test_a_vip_gives_when_nobody_else_has_anything),
        cmocka_unit_test(test_protected_beyond_what_is_guaranteed),
        cmocka_unit_test(test_nobody_pins_away_what_is_guaranteed),
        cmocka_unit_test(test_shares_are_those_of_the_simulator),
        cmocka_unit_test(test_frames_are_lent),
        cmocka_unit_test(test_page_fault_frequency_moves_frames),
        cmocka_unit_test(test_members_come_and_go),
        cmocka_unit_test(test_discard_gives_the_members_frames_back),
        cmocka_unit_test(test_snapshots_have_members),
        cmocka_unit_test(test_terms_change),
        cmocka_unit_test(test_work_while_members_come_and_go),
        cmocka_unit_test(test_pools_shrink_and_grow),
        cmocka_unit_test(test_scopes_and_rules_that_are_none),
        cmocka_unit_test(test_members_that_are_refused),
        cmocka_unit_test(test_no_frame_is_left),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

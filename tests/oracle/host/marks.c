/*
 * Accessed and dirty marks that an MMU sets while the library changes the same entries are never lost.
 *
 * usage: marks-FORMAT MEMORY SEED SECONDS
 *
 * The guest's CPU writes to some pages without end; this program's CPU changes their entries in the same
 * memory at the same time, and has the guest flush when a promise is to be kept. What a page held when it was
 * last clean is remembered. When the guest cannot write to a page any more, it holds that, or its entry is
 * marked dirty, or was when it was taken out.
 */
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "turn.h"
#include "world.h"

enum { PAGES = SCENE_HAMMERED, FLUSH_SECONDS = 60 };

struct marks {
    struct world world;
    struct scene *scene;
    uint64_t first; /* address of the first page */
    uint64_t saved[PAGES];
    bool dirty[PAGES]; /* an entry that was taken out said so */
    uint64_t seen;     /* dirty pages found, by any means */
    uint64_t looks;
};

static _Noreturn void fail(const char *what, uint64_t page)
{
    printf("not ok - page %lu: %s\n", page, what);
    exit(1);
}

static void must(enum status status, const char *what)
{
    if (status != ST_OK) {
        printf("not ok - %s: %s\n", what, status_name(status));
        exit(1);
    }
}

/* A second CPU flushes: asked, and waited for. */
static void flush_by_guest(void *context, struct vaddr start, uint64_t pages, enum pt_flush_kind kind)
{
    struct scene *scene = context;
    uint64_t wanted = scene->flush_wanted + 1;
    time_t deadline = time(NULL) + FLUSH_SECONDS;

    scene->flushes[0] = (struct scene_flush){start.v, pages, scene_kind(kind)};
    __atomic_store_n(&scene->flush_wanted, wanted, __ATOMIC_RELEASE);
    while (__atomic_load_n(&scene->flush_done, __ATOMIC_ACQUIRE) != wanted) {
        sched_yield();
        if (time(NULL) > deadline)
            fail("the guest does not flush", 0);
    }
}

static struct paddr memory_of(uint64_t page)
{
    return paddr(machine_base + PAGES_OFFSET + page * PAGE_SIZE);
}

static uint64_t contents(const struct marks *marks, uint64_t page)
{
    const uint64_t *at = image_at(marks->world.image, memory_of(page).v + PAGE_WRITE_AT);

    return __atomic_load_n(at, __ATOMIC_ACQUIRE);
}

static struct vaddr address_of(const struct marks *marks, uint64_t page)
{
    return vaddr(marks->first + page * PAGE_SIZE);
}

/* ------------------------------------------------------------------ what is done to pages from..from+count
 */

/* Flags that the guest does not care for come and go, and nothing is flushed. */
static void change_flags(struct marks *marks, uint64_t from, uint64_t count)
{
    struct pt_flags soft = pt_flags(PT_FLAG_SOFT_0), none = pt_flags(0);

    for (unsigned i = 0; i < 50; i++)
        must(pt_flush_ignore(pt_protect(&marks->world.pt, address_of(marks, from), count * PAGE_SIZE,
                                        i & 1 ? none : soft, i & 1 ? soft : none, PT_STRICT)),
             "protect");
}

/* Accessed marks go; nothing is flushed. */
static void age(struct marks *marks, uint64_t from, uint64_t count)
{
    struct pt_harvest harvest = {.start = address_of(marks, from),
                                 .length_bytes = count * PAGE_SIZE,
                                 .clear = pt_flags(PT_FLAG_ACCESSED)};

    must(pt_flush_ignore(pt_harvest(&marks->world.pt, &harvest)), "harvest");
}

/* Dirty marks go, with the flush; what the page holds then is saved. */
static void clean(struct marks *marks, uint64_t from, uint64_t count)
{
    uint64_t dirty[(PAGES + 63) / 64] = {0};
    struct pt_harvest harvest = {.start = address_of(marks, from),
                                 .length_bytes = count * PAGE_SIZE,
                                 .clear = pt_flags(PT_FLAG_DIRTY),
                                 .dirty = dirty};

    must(pt_flush_now(pt_harvest(&marks->world.pt, &harvest), &marks->world.flusher), "harvest");
    for (uint64_t i = 0; i < count; i++) {
        if (dirty[i / 64] >> i % 64 & 1) {
            marks->saved[from + i] = contents(marks, from + i);
            marks->seen++;
        }
    }
}

/* The guest cannot write to the page. */
static void look(struct marks *marks, uint64_t page, bool dirty)
{
    uint64_t now = contents(marks, page);

    marks->looks++;
    if (now != marks->saved[page] && !dirty)
        fail("was written, and has no mark", page);
    if (contents(marks, page) != now)
        fail("is written, and may not be", page);
}

/* Writing is forbidden, looked at, and allowed. */
static void forbid(struct marks *marks, uint64_t from, uint64_t count)
{
    struct pt_flags write = pt_flags(PT_FLAG_WRITE), none = pt_flags(0);
    struct pt *pt = &marks->world.pt;

    must(pt_flush_now(pt_protect(pt, address_of(marks, from), count * PAGE_SIZE, none, write, PT_STRICT),
                      &marks->world.flusher),
         "protect");
    for (uint64_t i = from; i < from + count; i++) {
        struct pt_translation found;

        must(pt_translate(pt, address_of(marks, i), &found), "translate");
        look(marks, i, (found.flags.bits & PT_FLAG_DIRTY) != 0);
    }
    must(pt_flush_now(pt_protect(pt, address_of(marks, from), count * PAGE_SIZE, write, none, PT_STRICT),
                      &marks->world.flusher),
         "protect");
}

static void take_out(void *context, const struct pt_visit *was)
{
    struct marks *marks = context;

    marks->dirty[(was->start.v - marks->first) / PAGE_SIZE] =
        (pt_entry_flags(was->entry, was->level).bits & PT_FLAG_DIRTY) != 0;
}

/* Pages become marks, are looked at, and come back clean: what they hold counts as saved. */
static void swap_out(struct marks *marks, uint64_t from, uint64_t count)
{
    struct pt_mark mark = {77};
    struct pt *pt = &marks->world.pt;

    must(pt_flush_now(
             pt_put_mark(pt, address_of(marks, from), count * PAGE_SIZE, mark, PT_STRICT, take_out, marks),
             &marks->world.flusher),
         "put a mark");
    for (uint64_t i = from; i < from + count; i++) {
        look(marks, i, marks->dirty[i]);
        marks->saved[i] = contents(marks, i);
        must(pt_flush_now(
                 pt_fill_mark(pt, address_of(marks, i), mark, memory_of(i), pt_flags(PT_FLAG_WRITE), NULL),
                 &marks->world.flusher),
             "fill a mark");
    }
}

/* ------------------------------------------------------------------ */

static void prepare(struct marks *marks, struct image *image, uint64_t seed)
{
    struct world *world = &marks->world;
    struct pt_map map = {.to = memory_of(0),
                         .length_bytes = PAGES * PAGE_SIZE,
                         .flags = pt_flags(PT_FLAG_WRITE),
                         .size = PT_SIZE_4K};

    world_create(world, image, seed);
    marks->scene = image->scene;
    /* In two tables. */
    marks->first = world_address(world, 16 * GIANT_SIZE - PAGES / 2 * PAGE_SIZE);
    map.start = vaddr(marks->first);
    must(pt_flush_ignore(pt_map(&world->pt, &map)), "map");
    machine_control(marks->scene, &world->pt, world->mode);
    world->flusher = (struct pt_flusher){.flush = flush_by_guest, .context = marks->scene};
    marks->scene->work = WORK_HAMMER;
    marks->scene->hammer_first = marks->first;
    marks->scene->hammer_pages = PAGES;
}

static void work(struct marks *marks)
{
    static void (*const kinds[])(struct marks *, uint64_t, uint64_t) = {
        change_flags, change_flags, age, clean, clean, forbid, swap_out};
    uint64_t from = world_random(&marks->world, PAGES);
    uint64_t count = 1 + world_random(&marks->world, PAGES - from);

    kinds[world_random(&marks->world, sizeof kinds / sizeof *kinds)](marks, from, count);
}

static int finish(struct marks *marks)
{
    struct scene *scene = marks->scene;
    const char *wrong;

    __atomic_store_n(&scene->hammer_stop, 1, __ATOMIC_RELEASE);
    wrong = turn_wait(scene);
    if (!wrong)
        wrong = world_check(&marks->world);
    if (!wrong &&
        (scene->hammer_rounds < 10 || scene->hammer_faults == 0 || marks->seen < 100 || marks->looks < 100))
        wrong = "too little happened";
    printf("%s - %s: %lu rounds of writes with %lu faults, %lu dirty pages seen, %lu looks\n",
           wrong ? "not ok" : "ok", wrong ? wrong : "no mark is lost", scene->hammer_rounds,
           scene->hammer_faults, marks->seen, marks->looks);
    return wrong != NULL;
}

int main(int argc, char **argv)
{
    static struct image image;
    static struct marks marks;
    time_t end;

    if (argc != 4) {
        fprintf(stderr, "usage: %s MEMORY SEED SECONDS\n", argv[0]);
        return 2;
    }
    image_open(&image, argv[1]);
    prepare(&marks, &image, strtoul(argv[2], NULL, 0));
    turn_begin(marks.scene);
    while (__atomic_load_n(&marks.scene->hammer_rounds, __ATOMIC_ACQUIRE) == 0 && !marks.scene->panic[0])
        turn_pause();
    for (end = time(NULL) + (time_t)strtoul(argv[3], NULL, 0); time(NULL) < end;)
        for (unsigned i = 0; i < 20; i++)
            work(&marks);
    return finish(&marks);
}

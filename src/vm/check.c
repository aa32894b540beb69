/*
 * The whole, checked: every walker of the core one after the other, and what is still there when no program
 * is.
 *
 * What is left over is found by what could still reach it. When no space is alive nothing maps a page, so no
 * private frame, no view and no table but the kernel's has anybody; the pages and the slots of objects have
 * theirs, which is why they are counted by objects (a file of the initramfs may well be in swap, and have
 * been read ahead from there into frames that are private until the object takes them).
 */
#include "quire/reclaim.h"
#include "quire/slab.h"
#include "vm/members.h"
#include "vm/object_internal.h"
#include "vm/pages.h"
#include "vm/space_internal.h"
#include "vm/table.h"
#include "vm/view.h"

static void check_space(struct space *space, void *context)
{
    space_check(space);
}

static void begin_quota(struct object *object, void *context)
{
    if (object->quota)
        object->quota->checked = 0;
}

/* The dying count until they have ended. */
static void check_quota(struct object *object, void *context)
{
    const struct object_quota *quota = object->quota;

    CHECK_ALWAYS(!quota || quota->checked == quota->used || (objects_dying && quota->checked < quota->used));
}

/* Each held meanwhile, because its lock comes before the directory's. Their groups have what they count. */
static void check_objects(void)
{
    uint32_t above = 0;
    struct object *object;

    object_for_each(begin_quota, NULL);
    while ((object = object_next(above)) != NULL) {
        above = object->id;
        object_check(object);
        object_unref(object);
    }
    object_for_each(check_quota, NULL);
}

void vm_check_all(void)
{
    spaces_for_each(check_space, NULL);
    check_objects();
    reclaim_check();
    swap_check();
    slab_check();
    frames_check();
}

/* ------------------------------------------------------------------ what is left over */

static void count_space(struct space *space, void *context)
{
    ++*(uint64_t *)context;
}

struct pages_of_objects {
    uint64_t resident, mapped;
};

static void count_object(struct object *object, void *context)
{
    struct pages_of_objects *found = context;

    found->resident += object_resident(object);
    found->mapped += object_mapped(object);
}

/* The tables that were allocated for the kernel's own map; its first ones are no frames of anybody. A
 * recursive entry leads back to the root. */
static uint64_t tables_below(struct paddr table, unsigned level)
{
    const struct pt_entry *entries = host_at(table);
    uint64_t count = 0;

    for (unsigned i = level == PT_LEVELS ? USER_ROOT_ENTRIES : 0; i < PT_ENTRIES; i++) {
        struct paddr below = pt_entry_paddr(entries[i]);

        if (!pt_entry_is_table(entries[i], level) || below.v == vm_kernel_root.v)
            continue;
        count += (frame_at(below)->use == FRAME_TABLE) + tables_below(below, level - 1);
    }
    return count;
}

static uint64_t kernel_tables(void)
{
    return (frame_at(vm_kernel_root)->use == FRAME_TABLE) + tables_below(vm_kernel_root, PT_LEVELS);
}

const char *vm_left_over(void)
{
    uint64_t spaces = 0;
    struct pages_of_objects pages = {0};
    struct frame_counts frames;
    struct pages_counts evicting;

    spaces_for_each(count_space, &spaces);
    object_for_each(count_object, &pages);
    frames_count(&frames);
    pages_count(&evicting);
    if (spaces != 0)
        return "a space is left";
    if (evicting.leaving != 0)
        return "a page is on its way out";
    if (frames.by_use[FRAME_ANON] != swap_unmapped_frames())
        return "private frames are left";
    if (frames.by_use[FRAME_FILE] + frames.by_use[FRAME_SHARED] != pages.resident)
        return "frames are left that no object has";
    if (pages.mapped != 0)
        return "an object counts pages that entries refer to";
    if (views_any())
        return "views are left";
    if (frames.by_use[FRAME_TABLE] != kernel_tables())
        return "page tables are left";
    swap_check_marks();
    return NULL;
}

/*
 * The sweep: enrols what policies do not know yet, by a walk over objects and spaces.
 *
 * Once when memory first falls short, and again when no victim is found, for what was missed: pages that came
 * while the first sweep began, and those that a full pool turned away.
 *
 * Locking: a page's object, or the table of an entry that maps it, is locked while it is enrolled; the lists
 * of objects and spaces are, while they are walked.
 */
#include "vm/members.h"
#include "vm/pages.h"
#include "vm/table_internal.h"

/* ------------------------------------------------------------------ objects */

static void sweep_object(struct object *object)
{
    uint64_t index = 0;
    void *value;

    lock_take(&object->lock);
    for (; (value = radix_next(&object->pages, &index)) != NULL; index++)
        if (!tag_slot(value) && !(frame_flags(value) & FRAME_BUSY)) /* whoever fills it enrols it */
            pages_insert(value, 0);
    lock_drop(&object->lock);
}

static void sweep_objects(void)
{
    struct object *object;

    for (uint32_t above = 0; (object = object_next(above)) != NULL; object_unref(object)) {
        above = object->id;
        sweep_object(object);
    }
}

/* ------------------------------------------------------------------ spaces */

uint64_t pages_sweep(void)
{
    uint64_t before = pages_enrolled();

    sweep_objects();
    return pages_enrolled() - before;
}

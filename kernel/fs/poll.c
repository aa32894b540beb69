/*
 * Waiting for several files at once.
 */
#include <asm/poll.h>

#include "base/check.h"
#include "kernel/fs/internal.h"
#include "kernel/fs/poll.h"
#include "quire/slab.h"

unsigned file_poll(struct file *file, struct waitq_entry *entry)
{
    if (file->ops->poll == NULL)
        return POLLIN | POLLOUT | POLLRDNORM | POLLWRNORM;
    return file->ops->poll(file, entry);
}

bool poll_waits_begin(struct poll_waits *waits, unsigned count)
{
    waits->waits = waits->inline_waits;
    waits->used = 0;
    waits->count = count;
    if (count > POLL_WAITS_INLINE) {
        waits->waits = fs_alloc(count * sizeof *waits->waits);
        if (waits->waits == NULL)
            return false;
    }
    task_current()->woken = false;
    return true;
}

struct waitq_entry *poll_waits_next(struct poll_waits *waits, struct file *file)
{
    struct poll_wait *wait = &waits->waits[waits->used++];

    CHECK(waits->used <= waits->count);
    list_init(&wait->entry.node); /* a file that never changes does not add it to a queue */
    wait->file = file_ref(file);
    return &wait->entry;
}

void poll_waits_end(struct poll_waits *waits)
{
    for (unsigned i = 0; i < waits->used; i++) {
        waitq_remove(&waits->waits[i].entry);
        file_unref(waits->waits[i].file);
    }
    if (waits->waits != waits->inline_waits)
        slab_free(waits->waits);
}

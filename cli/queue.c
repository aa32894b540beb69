/*
 * A queue of bytes: one block, used from `start` to `end`. Moves its content to the front before it grows.
 */
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/queue.h"

static void queue_make_room(struct queue *queue, size_t count)
{
    size_t length = queue_length(queue);

    if (queue->size - queue->end >= count) {
        return;
    }
    if (queue->start > 0) {
        memmove(queue->bytes, queue_front(queue), length);
        queue->start = 0;
        queue->end = length;
    }
    if (queue->size - length < count) {
        queue->size = (length + count) * 2;
        queue->bytes = must_realloc(queue->bytes, queue->size);
    }
}

void queue_put(struct queue *queue, const void *bytes, size_t count)
{
    if (count == 0) {
        return;
    }
    queue_make_room(queue, count);
    memcpy(queue->bytes + queue->end, bytes, count);
    queue->end += count;
}

void queue_drop(struct queue *queue, size_t count)
{
    queue->start += count;
    if (queue->start == queue->end) {
        queue->start = queue->end = 0;
    }
}

void queue_free(struct queue *queue)
{
    free(queue->bytes);
    *queue = (struct queue){0};
}

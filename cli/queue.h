/*
 * A queue of bytes that grows.
 */
#ifndef CLI_QUEUE_H
#define CLI_QUEUE_H

#include <stddef.h>

struct queue {
    char *bytes;
    size_t start, end, size;
};

void queue_put(struct queue *queue, const void *bytes, size_t count);
/* Drops `count` bytes at the front. */
void queue_drop(struct queue *queue, size_t count);
void queue_free(struct queue *queue);

static inline size_t queue_length(const struct queue *queue)
{
    return queue->end - queue->start;
}

static inline char *queue_front(const struct queue *queue)
{
    return queue->bytes + queue->start;
}

#endif

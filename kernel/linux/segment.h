/*
 * System V shared memory: segments, and where processes have attached them (segment.c).
 *
 * All functions run under the kernel lock. Results are 0 or -errno.
 */
#ifndef KERNEL_LINUX_SEGMENT_H
#define KERNEL_LINUX_SEGMENT_H

#include "kernel/task/task.h"

#define SHM_BYTES_MOST (UINT64_MAX - (1ull << 24)) /* Linux's SHMMAX, and SHMALL in pages */
enum {
    SHM_SEGMENTS_MOST = 4096, /* Linux's SHMMNI */
    SHM_INDEX_BITS = 15,      /* of an id; above it a sequence number */
    SHM_DEST = 01000,         /* mode: it goes with its last attachment */
    SHM_LOCKED = 02000,       /* mode: SHM_LOCK */
};

struct shm_segment {
    int id, key;
    struct object *object;
    uint64_t bytes; /* as asked for; the object has whole pages */
    uint32_t uid, gid, creator_uid, creator_gid;
    uint32_t mode; /* 0777, SHM_DEST, SHM_LOCKED */
    uint64_t attaches;
    int creator_pid, last_pid;
    int64_t attach_ns, detach_ns, change_ns; /* since 1970; 0: never */
};

/* A segment with this key, or NULL. */
struct shm_segment *shm_by_key(int key);
/* With this id: NULL when there is none (any more). */
struct shm_segment *shm_by_id(int id);
/* The segment at an index, or NULL; the highest index in use (-1: none). */
struct shm_segment *shm_by_index(int index);
int shm_index_highest(void);
/* Segments, and their pages, resident and all. */
struct shm_totals {
    unsigned segments;
    uint64_t pages, resident_pages;
};
void shm_count(struct shm_totals *totals);

/* A new one of the current process's: -ENOSPC (too many), -ENOMEM. */
long shm_create(int key, uint64_t bytes, uint32_t mode, struct shm_segment **out);
/* It goes as soon as nobody has it attached. */
void shm_remove(struct shm_segment *segment);
/* Of the segment's mode bits `wanted` (4, 2) must be the current process's; -EACCES. */
long shm_permission(const struct shm_segment *segment, unsigned wanted);

/* The current process has mapped the whole segment at `start`. -ENOMEM: it is to be unmapped again. */
long shm_attached(struct shm_segment *segment, uint64_t start);
/* What is attached where `start` is where the segment's page 0 is or was: its lowest rest [*from, *end).
 * False: nothing is. */
bool shm_find_attached(const struct process *process, uint64_t start, uint64_t *from, uint64_t *end);

/* [start, end) of the process is unmapped or mapped over. -ENOMEM: nothing has changed. */
long shm_forget(struct process *process, uint64_t start, uint64_t end);
/* What is attached in [from, from + bytes) is also at `to` now. -ENOMEM: a part of it is not noted. */
long shm_copied(struct process *process, uint64_t from, uint64_t bytes, uint64_t to);
/* fork: the child has what the parent has. -ENOMEM: a part of it. */
long shm_inherit(const struct process *parent, struct process *child);
/* The process's memory is gone. */
void shm_clear(struct process *process);

#endif

/*
 * quire-preload.so: what `quire run` puts into a program. It stands between the program, its C library and
 * Linux, and gives large anonymous memory and mapped files to libquire.
 *
 *      program, libraries                      another namespace of the dynamic linker
 *      ------------------                      ---------------------------------------
 *      mmap() malloc() brk() ...
 *         |  libc: the bodies of its           libquire, its threads, its stores
 *         |  mmap, munmap, brk ... jump        |  a C library of its own, which nobody
 *         v  here                              v  has changed: its memory is Linux's
 *      quire-preload ------ quire_*() -------> libquire
 *
 * So nothing that serves a fault ever allocates from memory that could fault, and no lock of the program's
 * C library is taken by the pager's threads.
 *
 * Anonymous memory lives in one region, the *arena*, fresh and backed by the store; extents.h says which
 * parts of it the program has mapped, and the rest of it is PROT_NONE. What is not taken into it is left to
 * Linux and counted.
 *
 * Locking: `memory_lock` (memory.c), with signals blocked, around every change of the arena.
 */
#ifndef QUIRE_PRELOAD_H
#define QUIRE_PRELOAD_H

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "quire/quire.h"

/* libquire's functions, as they are in its namespace. */
#define LIBRARY_FUNCTIONS(FUNCTION)                                                                          \
    FUNCTION(quire_open)                                                                                     \
    FUNCTION(quire_map)                                                                                      \
    FUNCTION(quire_discard)                                                                                  \
    FUNCTION(quire_clear)                                                                                    \
    FUNCTION(quire_refresh)                                                                                  \
    FUNCTION(quire_advise)                                                                                   \
    FUNCTION(quire_stats)                                                                                    \
    FUNCTION(quire_store_open)                                                                               \
    FUNCTION(quire_pin)                                                                                      \
    FUNCTION(quire_unpin)                                                                                    \
    FUNCTION(quire_chain)                                                                                    \
    FUNCTION(quire_way)                                                                                      \
    FUNCTION(quire_fork_prepare)                                                                             \
    FUNCTION(quire_fork_begin)                                                                               \
    FUNCTION(quire_fork_end)                                                                                 \
    FUNCTION(quire_fork_child)                                                                               \
    FUNCTION(quire_inherit)                                                                                  \
    FUNCTION(quire_inherited)
struct library {
#define LIBRARY_MEMBER(name) __typeof__(name) *name;
    LIBRARY_FUNCTIONS(LIBRARY_MEMBER)
#undef LIBRARY_MEMBER
};
extern struct library library;

/* What `quire run` asks for, from the environment (start.c). */
struct settings {
    uint64_t memory_bytes, arena_bytes, threshold_bytes, seed, deadline_ms;
    const char *policy, *store, *library, *report, *record;
    bool files, json;
    enum quire_way way;
    unsigned handlers; /* HANDLERS_AUTO until the pager is open */
};
enum { HANDLERS_AUTO = -1, HANDLERS_STANDARD = 4 };
extern struct settings settings;
extern struct quire_pager *pager;

/* Why something stayed with Linux. */
enum left {
    LEFT_SMALL,      /* under the threshold */
    LEFT_FIXED,      /* at an address of the program's choice */
    LEFT_SHARED,     /* anonymous memory, or a file, that is shared */
    LEFT_STACK,      /* stacks, and what grows down */
    LEFT_EXECUTABLE, /* code */
    LEFT_SPECIAL,    /* huge pages, locked memory, devices */
    LEFT_FILE,       /* files, when they are not to be paged or cannot be */
    LEFT_FULL,       /* the arena has no room */
    LEFTS
};
struct left_count {
    _Atomic uint64_t calls, bytes; /* of mmap(), since the start */
};
extern struct left_count left_counts[LEFTS];
extern const char *const left_names[LEFTS];

/* ---- what memory.c and files.c share */

/* A table's lock, with all signals blocked: a handler of the program's may come to us, too. */
static inline void lock_table(pthread_mutex_t *lock, sigset_t *saved)
{
    sigset_t all;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, saved);
    pthread_mutex_lock(lock);
}

static inline void unlock_table(pthread_mutex_t *lock, const sigset_t *saved)
{
    pthread_mutex_unlock(lock);
    pthread_sigmask(SIG_SETMASK, saved, NULL);
}

static inline int fails(int error)
{
    errno = error;
    return -1;
}

static inline size_t whole_pages(size_t length)
{
    return (length + PAGE_MASK) & ~(size_t)PAGE_MASK;
}

/* ---- what paging did (report.c), to where `quire run --report` says */

void report_start(void);
void report_write(void);

/* ---- the calls themselves (raw.c) */

/* errno is set, as by the C library's. */
void *raw_mmap(void *address, size_t length, int protection, int flags, int fd, off_t offset);
int raw_munmap(void *address, size_t length);
void *raw_mremap(void *old, size_t old_length, size_t length, int flags, void *address);
int raw_mprotect(void *address, size_t length, int protection);
int raw_madvise(void *address, size_t length, int advice);
int raw_msync(void *address, size_t length, int flags);

/* The body of a function of the C library becomes a jump to ours. False: it cannot be. */
bool patch_function(const char *name, const void *ours);

/* ---- what the program's calls become (memory.c) */

MUST_USE bool memory_start(void *arena);
void *memory_mmap(void *address, size_t length, int protection, int flags, int fd, off_t offset);
int memory_munmap(void *address, size_t length);
void *memory_mremap(void *old, size_t old_length, size_t length, int flags, ...);
int memory_mprotect(void *address, size_t length, int protection);
int memory_madvise(void *address, size_t length, int advice);
int memory_msync(void *address, size_t length, int flags);
int memory_brk(void *address);

/* Around fork(): nobody changes the arena. The second gives its extents to the child's own region. */
void memory_hold(bool hold);
bool memory_inherit(void);

/* ---- fork (fork.c) */

/* The C library's fork() makes a child that has all of the program's memory. */
bool fork_start(void);
/* In the child: a range of a region has what the parent's has. */
bool fork_inherit(uintptr_t start, size_t length);
/* What the pager is opened with (start.c). */
struct quire_options pager_options(void);

/* ---- mapped files (files.c) */

/* As memory_hold() and memory_inherit(). */
void files_hold(bool hold);
bool files_inherit(void);

/* MAP_FAILED: it is to be left to Linux. */
void *files_mmap(size_t length, int protection, int flags, int fd, off_t offset);
/* Does the range touch a mapped file of ours? */
bool files_meet(const void *address, size_t length);
/* For such ranges; as Linux's. */
int files_munmap(void *address, size_t length);
int files_mprotect(void *address, size_t length, int protection);
int files_madvise(void *address, size_t length, int advice);
void *files_mremap(void *old, size_t old_length, size_t length, int flags);
/* The file has been changed by a system call: `bytes` from `offset` on. */
void files_changed(int fd, uint64_t offset, uint64_t bytes);
/* The program has got a lock on the file: others may have changed it. */
void files_locked(int fd);
extern _Atomic uint32_t files_count; /* mapped files that system calls could change */

/* ---- what is paged, for who looks at each system call (gate.h) */

extern uintptr_t paged_arena_start;
extern uint64_t paged_arena_bytes;
extern _Atomic uintptr_t paged_files_start, paged_files_end; /* mapped files have been within, ever */
extern bool
    paged_by_protection; /* protections are libquire's: those that the program asks for are not kept */
/* The part of the bytes from `start` on that is in the mapped file that is there. False: none is. */
bool files_part(uintptr_t start, size_t *bytes);

/* Bytes of the arena that the program has mapped. */
uint64_t memory_mapped_bytes(void);

#endif

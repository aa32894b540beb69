/*
 * mmap() and its kin, as the program calls them: what is large, private and anonymous is a part of the arena;
 * what is not within the arena is Linux's, and the call is passed on.
 *
 *      mmap        a free part of the arena becomes readable and writable
 *      munmap      PROT_NONE, then its pages are cleared: nobody reads them again, and the store forgets them
 *      mprotect    Linux's mprotect(): the arena is an ordinary mapping of a memfd
 *      madvise     DONTNEED and FREE clear, WILLNEED reads, PAGEOUT and COLD write and drop; what Linux may
 * ignore is ignored mremap      grows where it is if what is behind is free (large parts are placed with as
 * much room behind them), else a new part, and a copy brk         the end of a part that is set aside at the
 * first call: the heap
 *
 * mmap(MAP_FIXED) within the arena is a change of what is there; across its border it is refused.
 *
 * Locking: memory_lock, with all signals blocked, so a handler may call mmap() too. Pages are cleared under
 * it; copied without.
 */
#include "preload.h"

#include <linux/mman.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "extents.h"

#ifndef MADV_COLD
#define MADV_COLD 20
#endif
#ifndef MADV_PAGEOUT
#define MADV_PAGEOUT 21
#endif

enum { MOST_EXTENTS = 1 << 17 };
#define ROOM_FROM ((uint64_t)4 << 20) /* parts from here on get room to grow */
#define HEAP_PART 4                   /* of the arena the heap may have a quarter */

static struct extents extents;
static pthread_mutex_t memory_lock = PTHREAD_MUTEX_INITIALIZER;
static uintptr_t heap_start, heap_now, heap_end; /* 0: none */
uintptr_t paged_arena_start;
uint64_t paged_arena_bytes;
bool paged_by_protection;

struct left_count left_counts[LEFTS];
const char *const left_names[LEFTS] = {
    [LEFT_SMALL] = "small",
    [LEFT_FIXED] = "fixed",
    [LEFT_SHARED] = "shared",
    [LEFT_STACK] = "stack",
    [LEFT_EXECUTABLE] = "executable",
    [LEFT_SPECIAL] = "special",
    [LEFT_FILE] = "file",
    [LEFT_FULL] = "full",
};

/* Does the range touch the arena? Wrong for lengths that wrap around: those Linux refuses. */
static bool meets_arena(const void *address, size_t length)
{
    uintptr_t start = (uintptr_t)address;

    return start < extents.end && start + length > extents.start;
}

static bool is_within_arena(const void *address, size_t length)
{
    uintptr_t start = (uintptr_t)address;

    return start >= extents.start && start <= extents.end && length <= extents.end - start;
}
static void *map_fails(int error)
{
    errno = error;
    return MAP_FAILED;
}

static int errno_of(enum status status)
{
    switch (status) {
    case ST_OK:
        return 0;
    case ST_NO_MEMORY:
        return ENOMEM;
    case ST_NO_SPACE:
        return ENOSPC;
    case ST_LIMIT:
        return EAGAIN;
    case ST_IO_ERROR:
        return EIO;
    default:
        return EINVAL;
    }
}

/* ------------------------------------------------------------------ parts of the arena, under the lock */

static int part_protect(uintptr_t start, uintptr_t end, int protection)
{
    return paged_by_protection ? 0 : raw_mprotect((void *)start, end - start, protection);
}

static void *part_map(uintptr_t start, size_t length, int protection)
{
    if (!extents_set(&extents, start, start + length, protection))
        return map_fails(ENOMEM);
    if (part_protect(start, start + length, protection) != 0) {
        extents_unset(&extents, start, start + length);
        return MAP_FAILED;
    }
    return (void *)start;
}

/* Mapped or not. The pages are zeroes afterwards and nobody can reach them. What cannot be cleared (a call is
 * under way there) stays mapped, for nobody: it may not be had again as zeroes. */
static int part_unmap(uintptr_t start, uintptr_t end)
{
    enum status status;

    if (part_protect(start, end, PROT_NONE) != 0)
        return -1;
    status = library.quire_clear((void *)start, end - start);
    if (status != ST_OK)
        return extents_set(&extents, start, end, PROT_NONE) ? fails(errno_of(status)) : fails(ENOMEM);
    return extents_unset(&extents, start, end) ? 0 : fails(ENOMEM);
}

static void *part_place(const void *wish, size_t length, int protection)
{
    uintptr_t at = (uintptr_t)wish;

    if (!is_within_arena(wish, length) || (at & PAGE_MASK) || !extents_are_free(&extents, at, at + length))
        at = extents_find(&extents, length, length >= ROOM_FROM ? length : 0);
    return at ? part_map(at, length, protection) : MAP_FAILED;
}

/* ------------------------------------------------------------------ mmap */

static void *leave(enum left why, void *address, size_t length, int protection, int flags, int fd,
                   off_t offset)
{
    atomic_fetch_add_explicit(&left_counts[why].calls, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&left_counts[why].bytes, length, memory_order_relaxed);
    return raw_mmap(address, length, protection, flags, fd, offset);
}

/* LEFTS: it is ours. */
static enum left why_left(size_t length, int protection, int flags)
{
    if (length < settings.threshold_bytes)
        return LEFT_SMALL;
    if (!(flags & MAP_ANONYMOUS))
        return LEFT_FILE;
    if ((flags & MAP_TYPE) != MAP_PRIVATE)
        return LEFT_SHARED;
    if (flags & (MAP_STACK | MAP_GROWSDOWN))
        return LEFT_STACK;
    if (protection & PROT_EXEC)
        return LEFT_EXECUTABLE;
    if (flags & (MAP_HUGETLB | MAP_LOCKED | MAP_32BIT))
        return LEFT_SPECIAL;
    return flags & (MAP_FIXED | MAP_FIXED_NOREPLACE) ? LEFT_FIXED : LEFTS;
}

/* MAP_FIXED within the arena. */
static void *map_over(void *address, size_t length, int protection, int flags)
{
    uintptr_t start = (uintptr_t)address;

    if (!(flags & MAP_ANONYMOUS) || (flags & MAP_TYPE) != MAP_PRIVATE || (start & PAGE_MASK))
        return map_fails(EINVAL);
    if ((flags & MAP_FIXED_NOREPLACE) && !extents_are_free(&extents, start, start + length))
        return map_fails(EEXIST);
    if (!extents_are_free(&extents, start, start + length) && part_unmap(start, start + length) != 0)
        return MAP_FAILED;
    return part_map(start, length, protection);
}

static void *map_fixed(void *address, size_t length, int protection, int flags, int fd, off_t offset)
{
    sigset_t saved;
    void *mapped;

    if (!meets_arena(address, length))
        return leave(LEFT_FIXED, address, length, protection, flags, fd, offset);
    if (!is_within_arena(address, length))
        return map_fails(flags & MAP_FIXED_NOREPLACE ? EEXIST : EINVAL);
    lock_table(&memory_lock, &saved);
    mapped = map_over(address, length, protection, flags);
    unlock_table(&memory_lock, &saved);
    return mapped;
}

void *memory_mmap(void *address, size_t length, int protection, int flags, int fd, off_t offset)
{
    enum left why = why_left(length, protection, flags);
    size_t whole = whole_pages(length);
    sigset_t saved;
    void *mapped;

    if (length == 0 || whole < length)
        return raw_mmap(address, length, protection, flags, fd, offset);
    if (flags & (MAP_FIXED | MAP_FIXED_NOREPLACE))
        return map_fixed(address, whole, protection, flags, fd, offset);
    if (why == LEFT_FILE && (mapped = files_mmap(length, protection, flags, fd, offset)) != MAP_FAILED)
        return mapped;
    if (why != LEFTS)
        return leave(why, address, length, protection, flags, fd, offset);
    lock_table(&memory_lock, &saved);
    mapped = part_place(address, whole, protection);
    unlock_table(&memory_lock, &saved);
    return mapped != MAP_FAILED ? mapped : leave(LEFT_FULL, address, length, protection, flags, fd, offset);
}

/* ------------------------------------------------------------------ what is done to ranges */

/* Whose the range is, in whole pages. */
enum whose { LINUX, FILES, ARENA };

static enum whose whose(const void *address, size_t length, size_t *whole)
{
    *whole = whole_pages(length);
    if (*whole < length || *whole == 0) /* nothing, or it wraps around: Linux has a word for that */
        return LINUX;
    if (meets_arena(address, *whole))
        return ARENA;
    return files_meet(address, *whole) ? FILES : LINUX;
}

int memory_munmap(void *address, size_t length)
{
    size_t whole;
    enum whose owner = whose(address, length, &whole);
    uintptr_t start = (uintptr_t)address;
    sigset_t saved;
    int failed;

    if (owner == LINUX || (start & PAGE_MASK))
        return raw_munmap(address, length);
    if (owner == FILES)
        return files_munmap(address, whole);
    if (!is_within_arena(address, whole)) /* nobody maps across the border in one piece */
        return fails(EINVAL);
    lock_table(&memory_lock, &saved);
    failed = extents_are_free(&extents, start, start + whole) ? 0 : part_unmap(start, start + whole);
    unlock_table(&memory_lock, &saved);
    return failed;
}

int memory_mprotect(void *address, size_t length, int protection)
{
    size_t whole;
    enum whose owner = whose(address, length, &whole);
    uintptr_t start = (uintptr_t)address;
    sigset_t saved;
    int failed;

    if (owner != ARENA)
        return owner == FILES ? files_mprotect(address, whole, protection)
                              : raw_mprotect(address, length, protection);
    lock_table(&memory_lock, &saved);
    if (start & PAGE_MASK)
        failed = fails(EINVAL);
    else if (!extents_cover(&extents, start, start + whole))
        failed = fails(ENOMEM);
    else if ((failed = part_protect(start, start + whole, protection)) == 0 &&
             !extents_set(&extents, start, start + whole, protection))
        failed = fails(ENOMEM);
    unlock_table(&memory_lock, &saved);
    return failed;
}

static int advise(uintptr_t start, size_t length, int advice)
{
    switch (advice) {
    case MADV_DONTNEED:
    case MADV_FREE:
        return errno_of(library.quire_clear((void *)start, length));
    case MADV_WILLNEED:
    case MADV_POPULATE_READ:
    case MADV_POPULATE_WRITE:
        return errno_of(library.quire_advise((void *)start, length, QUIRE_WILL_NEED));
    case MADV_COLD:
    case MADV_PAGEOUT:
        return errno_of(library.quire_advise((void *)start, length, QUIRE_DONE_WITH));
    case MADV_NORMAL:
    case MADV_RANDOM:
    case MADV_SEQUENTIAL:
    case MADV_MERGEABLE:
    case MADV_UNMERGEABLE:
    case MADV_HUGEPAGE:
    case MADV_NOHUGEPAGE:
    case MADV_DONTDUMP:
    case MADV_DODUMP:
    case MADV_DOFORK:
        return 0;
    default: /* those that change what the contents mean */
        return EINVAL;
    }
}

int memory_madvise(void *address, size_t length, int advice)
{
    size_t whole;
    enum whose owner = whose(address, length, &whole);
    uintptr_t start = (uintptr_t)address;
    sigset_t saved;
    int error;

    if (owner != ARENA)
        return owner == FILES ? files_madvise(address, whole, advice) : raw_madvise(address, length, advice);
    if (start & PAGE_MASK)
        return fails(EINVAL);
    lock_table(&memory_lock, &saved);
    error = extents_cover(&extents, start, start + whole) ? advise(start, whole, advice) : ENOMEM;
    unlock_table(&memory_lock, &saved);
    return error ? fails(error) : 0;
}

int memory_msync(void *address, size_t length, int flags)
{
    /* Anonymous memory, and files that nobody writes through: nothing is to be done. */
    return meets_arena(address, length) || files_meet(address, length) ? 0
                                                                       : raw_msync(address, length, flags);
}

/* ------------------------------------------------------------------ mremap */

/* With the lock. The new end is `end`; false: something is in the way, or the arena's end. */
static bool grow_in_place(uintptr_t start, uintptr_t old_end, uintptr_t end)
{
    const struct extent *extent = extents_at(&extents, old_end - 1);

    return extent && end <= extents.end && end > start && extents_are_free(&extents, old_end, end) &&
           part_map(old_end, end - old_end, extent->protection) != MAP_FAILED;
}

/* Pages of zeroes are not written: the new part has them already. */
static void copy_pages(uint8_t *to, const uint8_t *from, size_t length)
{
    for (size_t at = 0; at < length; at += PAGE_SIZE) {
        const uint64_t *words = (const uint64_t *)(const void *)(from + at);
        size_t i = 0;

        while (i < PAGE_SIZE / sizeof(*words) && words[i] == 0)
            i++;
        if (i < PAGE_SIZE / sizeof(*words))
            memcpy(to + at, from + at, PAGE_SIZE);
    }
}

static void *move_part(uintptr_t start, size_t old_length, size_t length)
{
    sigset_t saved;
    const struct extent *extent;
    int protection;
    void *moved;

    lock_table(&memory_lock, &saved);
    extent = extents_at(&extents, start);
    protection = extent ? extent->protection : PROT_NONE;
    moved = extent ? part_place(NULL, length, PROT_READ | PROT_WRITE) : MAP_FAILED;
    unlock_table(&memory_lock, &saved);
    if (moved == MAP_FAILED)
        return map_fails(ENOMEM);
    if (!(protection & PROT_READ)) {
        memory_munmap(moved, length);
        return map_fails(EFAULT);
    }
    copy_pages(moved, (const uint8_t *)start, old_length);
    if (protection != (PROT_READ | PROT_WRITE) && memory_mprotect(moved, length, protection) != 0)
        return MAP_FAILED;
    memory_munmap((void *)start, old_length);
    return moved;
}

static void *resize_part(uintptr_t start, size_t old_length, size_t length, int flags)
{
    sigset_t saved;
    bool done = true;

    if ((start & PAGE_MASK) || (flags & ~MREMAP_MAYMOVE) || old_length == 0)
        return map_fails(EINVAL);
    lock_table(&memory_lock, &saved);
    if (!extents_cover(&extents, start, start + old_length)) {
        unlock_table(&memory_lock, &saved);
        return map_fails(EFAULT);
    }
    if (length < old_length)
        done = part_unmap(start + length, start + old_length) == 0;
    else if (length > old_length)
        done = grow_in_place(start, start + old_length, start + length);
    unlock_table(&memory_lock, &saved);
    if (done)
        return (void *)start;
    return flags & MREMAP_MAYMOVE ? move_part(start, old_length, length) : map_fails(ENOMEM);
}

/* Memory of Linux's that grows beyond the threshold; only who asked for it can know what it is, so it stays.
 */
void *memory_mremap(void *old, size_t old_length, size_t length, int flags, ...)
{
    size_t old_whole = whole_pages(old_length), whole = whole_pages(length);
    void *address = NULL;
    va_list arguments;

    if (flags & MREMAP_FIXED) {
        va_start(arguments, flags);
        address = va_arg(arguments, void *);
        va_end(arguments);
        if (meets_arena(address, whole))
            return map_fails(EINVAL);
    }
    if (files_meet(old, old_whole))
        return files_mremap(old, old_whole, whole, flags);
    if (!meets_arena(old, old_whole)) {
        if (whole >= settings.threshold_bytes && whole > old_whole) {
            atomic_fetch_add_explicit(&left_counts[LEFT_SMALL].calls, 1, memory_order_relaxed);
            atomic_fetch_add_explicit(&left_counts[LEFT_SMALL].bytes, whole - old_whole,
                                      memory_order_relaxed);
        }
        return raw_mremap(old, old_length, length, flags, address);
    }
    if (!is_within_arena(old, old_whole) || whole == 0)
        return map_fails(EINVAL);
    return resize_part((uintptr_t)old, old_whole, whole, flags);
}

/* ------------------------------------------------------------------ the heap */

extern void *__curbrk; /* the C library's: where sbrk() believes the heap to end */

int memory_brk(void *address)
{
    uintptr_t wanted = (uintptr_t)address, from = whole_pages(heap_now), to = whole_pages(wanted);
    sigset_t saved;
    int failed = 0;

    if (heap_start == 0) {
        __curbrk = (void *)syscall(SYS_brk, address);
        return (uintptr_t)__curbrk < wanted ? fails(ENOMEM) : 0;
    }
    if (wanted == 0)
        return 0;
    if (wanted < heap_start || wanted > heap_end)
        return fails(ENOMEM);
    lock_table(&memory_lock, &saved);
    if (to > from)
        failed = part_map(from, to - from, PROT_READ | PROT_WRITE) == MAP_FAILED;
    else if (to < from)
        failed = part_unmap(to, from);
    if (!failed)
        heap_now = wanted;
    unlock_table(&memory_lock, &saved);
    __curbrk = (void *)heap_now;
    return failed ? fails(ENOMEM) : 0;
}

/* The heap goes on in the arena, if that lies above: malloc() wants addresses that grow. What the program has
 * of the old one stays as it is. */
static void move_heap(void)
{
    uint64_t bytes = (settings.arena_bytes / HEAP_PART) & ~(uint64_t)PAGE_MASK;

    if (extents.start <= (uintptr_t)syscall(SYS_brk, NULL) || !patch_function("brk", memory_brk))
        return;
    /* The heap has the end of the arena, behind what extents_find() finds. */
    heap_end = extents.end;
    heap_start = heap_now = extents.open_end = extents.end - bytes;
    __curbrk = (void *)heap_start;
}

/* ------------------------------------------------------------------ fork; signals are blocked */

void memory_hold(bool hold)
{
    if (hold)
        pthread_mutex_lock(&memory_lock);
    else
        pthread_mutex_unlock(&memory_lock);
}

bool memory_inherit(void)
{
    bool good = part_protect(extents.start, extents.end, PROT_NONE) == 0;

    for (size_t i = 0; i < extents.count && good; i++) {
        const struct extent *extent = &extents.items[i];

        good = fork_inherit(extent->start, extent->end - extent->start) &&
               part_protect(extent->start, extent->end, extent->protection) == 0;
    }
    return good;
}

/* ------------------------------------------------------------------ the start */

uint64_t memory_mapped_bytes(void)
{
    uint64_t bytes;
    sigset_t saved;

    lock_table(&memory_lock, &saved);
    bytes = extents_bytes(&extents);
    unlock_table(&memory_lock, &saved);
    return bytes;
}

bool memory_start(void *arena)
{
    static const struct {
        const char *name;
        const void *ours;
    } functions[] = {
        {"mmap", memory_mmap},         {"munmap", memory_munmap},   {"mremap", memory_mremap},
        {"mprotect", memory_mprotect}, {"madvise", memory_madvise}, {"msync", memory_msync},
    };

    extents.items = raw_mmap(NULL, MOST_EXTENTS * sizeof(*extents.items), PROT_READ | PROT_WRITE,
                             MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (extents.items == MAP_FAILED)
        return false;
    extents.most = MOST_EXTENTS;
    extents.start = (uintptr_t)arena;
    extents.end = extents.open_end = extents.start + settings.arena_bytes;
    if (part_protect(extents.start, extents.end, PROT_NONE) != 0)
        return false;
    paged_arena_start = extents.start;
    paged_arena_bytes = settings.arena_bytes;
    for (size_t i = 0; i < sizeof(functions) / sizeof(functions[0]); i++)
        if (!patch_function(functions[i].name, functions[i].ours))
            return false;
    move_heap();
    return true;
}

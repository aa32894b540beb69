/*
 * Descriptor tables.
 *
 * Two bitmaps say which descriptors are open and which close on exec; slots[fd] is NULL exactly where the bit
 * of `open` is 0. The first FILES_INLINE descriptors need no memory of their own. A table only grows. A call
 * that uses a file holds a reference to it, so another thread may close the descriptor meanwhile.
 */
#include <linux/errno.h>
#include <linux/resource.h>

#include "base/check.h"
#include "kernel/fs/internal.h"
#include "kernel/klib.h"
#include "quire/slab.h"

enum { FILES_INLINE = 32, FILES_DEFAULT_MAX = 1024, FILES_WORD = 64 };

struct files {
    unsigned refs;
    unsigned capacity; /* FILES_INLINE, or a multiple of FILES_WORD */
    struct file **slots;
    uint64_t *open;
    uint64_t *close_on_exec;
    struct file *inline_slots[FILES_INLINE];
    uint64_t inline_open, inline_close_on_exec;
};

static inline bool bit_test(const uint64_t *map, unsigned bit)
{
    return (map[bit / FILES_WORD] >> (bit % FILES_WORD) & 1) != 0;
}

static inline void bit_put(uint64_t *map, unsigned bit, bool value)
{
    uint64_t mask = (uint64_t)1 << (bit % FILES_WORD);

    map[bit / FILES_WORD] = value ? map[bit / FILES_WORD] | mask : map[bit / FILES_WORD] & ~mask;
}

static unsigned words_of(unsigned capacity)
{
    return (capacity + FILES_WORD - 1) / FILES_WORD;
}

struct files *files_create(void)
{
    struct files *files = fs_alloc(sizeof *files);

    if (files == NULL)
        return NULL;
    files->refs = 1;
    files->capacity = FILES_INLINE;
    files->slots = files->inline_slots;
    files->open = &files->inline_open;
    files->close_on_exec = &files->inline_close_on_exec;
    return files;
}

/* One allocation holds the slots and both bitmaps. */
static bool files_grow(struct files *files, unsigned capacity)
{
    unsigned words = words_of(capacity), old_words = words_of(files->capacity);
    struct file **slots = fs_alloc(capacity * sizeof *slots + 2 * words * sizeof(uint64_t));
    uint64_t *maps;

    if (slots == NULL)
        return false;
    maps = (uint64_t *)(void *)(slots + capacity);
    memcpy(slots, files->slots, files->capacity * sizeof *slots);
    memcpy(maps, files->open, old_words * sizeof *maps);
    memcpy(maps + words, files->close_on_exec, old_words * sizeof *maps);
    if (files->slots != files->inline_slots)
        slab_free(files->slots);
    files->slots = slots;
    files->open = maps;
    files->close_on_exec = maps + words;
    files->capacity = capacity;
    return true;
}

static unsigned files_highest(const struct files *files)
{
    for (unsigned word = words_of(files->capacity); word-- > 0;)
        if (files->open[word] != 0)
            return word * FILES_WORD + (FILES_WORD - 1 - (unsigned)__builtin_clzll(files->open[word]));
    return 0;
}

struct files *files_copy(const struct files *from)
{
    struct files *files = files_create();
    unsigned highest, words;

    if (files == NULL)
        return NULL;
    highest = files_highest(from);
    if (highest >= FILES_INLINE && !files_grow(files, (unsigned)align_up(highest + 1, FILES_WORD))) {
        slab_free(files);
        return NULL;
    }
    words = words_of(highest + 1);
    for (unsigned word = 0; word < words; word++) {
        files->open[word] = from->open[word];
        files->close_on_exec[word] = from->close_on_exec[word];
        for (uint64_t bits = from->open[word]; bits != 0; bits &= bits - 1) {
            unsigned fd = word * FILES_WORD + (unsigned)__builtin_ctzll(bits);

            files->slots[fd] = file_ref(from->slots[fd]);
        }
    }
    return files;
}

struct files *files_ref(struct files *files)
{
    files->refs++;
    return files;
}

static void files_put(struct file *file)
{
    struct vnode *node = file->vnode;

    if (node != NULL && node->locks != NULL)
        locks_process_closed(node);
    file_unref(file);
}

int files_next(const struct files *files, int from)
{
    for (unsigned fd = from < 0 ? 0 : (unsigned)from; fd < files->capacity;) {
        uint64_t bits = files->open[fd / FILES_WORD] >> (fd % FILES_WORD);

        if (bits != 0)
            return (int)(fd + (unsigned)__builtin_ctzll(bits));
        fd = (fd / FILES_WORD + 1) * FILES_WORD;
    }
    return -1;
}

int files_close(struct files *files, int fd)
{
    struct file *file;
    int error = 0;

    if ((unsigned)fd >= files->capacity || (file = files->slots[fd]) == NULL)
        return -EBADF;
    files->slots[fd] = NULL;
    bit_put(files->open, (unsigned)fd, false);
    if (file->ops->flush != NULL)
        error = file->ops->flush(file);
    files_put(file);
    return error;
}

void files_unref(struct files *files)
{
    if (files == NULL || --files->refs != 0)
        return;
    for (int fd = files_next(files, 0); fd >= 0; fd = files_next(files, fd + 1))
        files_close(files, fd);
    if (files->slots != files->inline_slots)
        slab_free(files->slots);
    slab_free(files);
}

void files_close_on_exec(struct files *files)
{
    for (int fd = files_next(files, 0); fd >= 0; fd = files_next(files, fd + 1))
        if (bit_test(files->close_on_exec, (unsigned)fd))
            files_close(files, fd);
}

struct file *files_get(struct files *files, int fd)
{
    struct file *file;

    if ((unsigned)fd >= files->capacity || (file = files->slots[fd]) == NULL)
        return NULL;
    return file_ref(file);
}

struct file *file_get(int fd)
{
    return files_get(process_current()->files, fd);
}

static uint64_t files_limit(void)
{
    struct process *process = process_current();

    return process == NULL ? FILES_DEFAULT_MAX : process->limits[RLIMIT_NOFILE][0];
}

/* The lowest free descriptor >= lowest, which may lie behind the capacity. */
static unsigned files_free(const struct files *files, unsigned lowest)
{
    for (unsigned fd = lowest; fd < files->capacity;) {
        uint64_t bits = ~files->open[fd / FILES_WORD] >> (fd % FILES_WORD);

        if (bits != 0)
            return fd + (unsigned)__builtin_ctzll(bits);
        fd = (fd / FILES_WORD + 1) * FILES_WORD;
    }
    return lowest > files->capacity ? lowest : files->capacity;
}

static bool files_make_room(struct files *files, unsigned fd)
{
    unsigned capacity = files->capacity * 2;

    if (fd < files->capacity)
        return true;
    if (capacity <= fd)
        capacity = fd + 1;
    return files_grow(files, (unsigned)align_up(capacity, FILES_WORD));
}

int files_install(struct files *files, struct file *file, int lowest, bool close_on_exec)
{
    unsigned fd = files_free(files, (unsigned)lowest);

    if (fd >= files_limit()) {
        file_unref(file);
        return -EMFILE;
    }
    if (!files_make_room(files, fd)) {
        file_unref(file);
        return -ENOMEM;
    }
    if (files->slots[fd] != NULL) /* another thread took it while memory was reclaimed */
        return files_install(files, file, lowest, close_on_exec);
    files->slots[fd] = file;
    bit_put(files->open, fd, true);
    bit_put(files->close_on_exec, fd, close_on_exec);
    return (int)fd;
}

int files_install_at(struct files *files, struct file *file, int fd, bool close_on_exec)
{
    struct file *old;

    if (fd < 0 || (uint64_t)fd >= files_limit()) {
        file_unref(file);
        return -EBADF;
    }
    if (!files_make_room(files, (unsigned)fd)) {
        file_unref(file);
        return -ENOMEM;
    }
    old = files->slots[fd];
    files->slots[fd] = file;
    bit_put(files->open, (unsigned)fd, true);
    bit_put(files->close_on_exec, (unsigned)fd, close_on_exec);
    if (old != NULL)
        files_put(old);
    return fd;
}

bool files_flag(const struct files *files, int fd)
{
    return (unsigned)fd < files->capacity && bit_test(files->close_on_exec, (unsigned)fd);
}

void files_set_flag(struct files *files, int fd, bool close_on_exec)
{
    if ((unsigned)fd < files->capacity && files->slots[fd] != NULL)
        bit_put(files->close_on_exec, (unsigned)fd, close_on_exec);
}

unsigned files_capacity(const struct files *files)
{
    return files->capacity;
}

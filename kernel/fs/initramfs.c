/*
 * The initramfs: a cpio archive ("new ASCII format", magic 070701 or 070702) unpacked into a tmpfs.
 *
 *     header (110 bytes of hexadecimal) | name, NUL | padding to 4 | data | padding to 4 | next header ...
 *
 * File data that begins at a page boundary is not copied: its frames, which the boot code has kept out of the
 * allocator's hands, become pages of the file's object. Only the last, partial page is copied. What is left
 * of the archive's memory goes to the allocator. (Format: cpio(5).)
 *
 * The archive is trusted no further than its bounds: a broken one gives -EINVAL, and what was unpacked stays.
 */
#include <linux/errno.h>

#include "base/check.h"
#include "kernel/fs/internal.h"
#include "kernel/fs/tmpfs.h"
#include "kernel/klib.h"
#include "kernel/linux/syscalls.h"
#include "quire/slab.h"

enum { CPIO_HEADER_BYTES = 110, CPIO_FIELD_BYTES = 8, CPIO_MAGIC_BYTES = 6 };
enum cpio_field {
    CPIO_INO,
    CPIO_MODE,
    CPIO_UID,
    CPIO_GID,
    CPIO_NLINK,
    CPIO_MTIME,
    CPIO_FILESIZE,
    CPIO_DEVMAJOR,
    CPIO_DEVMINOR,
    CPIO_RDEVMAJOR,
    CPIO_RDEVMINOR,
    CPIO_NAMESIZE,
    CPIO_CHECK,
    CPIO_FIELDS
};

/* The archive as a whole, and the entry that is being unpacked. */
struct cpio {
    const char *at, *end;
    struct vnode *root;
    uint32_t fields[CPIO_FIELDS];
    const char *name;
    const char *data;
    size_t data_bytes;
};

static bool cpio_field(const char *text, uint32_t *out)
{
    uint32_t value = 0;

    for (unsigned i = 0; i < CPIO_FIELD_BYTES; i++) {
        char c = text[i];
        uint32_t digit;

        if (c >= '0' && c <= '9')
            digit = (uint32_t)(c - '0');
        else if (c >= 'a' && c <= 'f')
            digit = (uint32_t)(c - 'a') + 10;
        else if (c >= 'A' && c <= 'F')
            digit = (uint32_t)(c - 'A') + 10;
        else
            return false;
        value = value << 4 | digit;
    }
    *out = value;
    return true;
}

static const char *cpio_align(const struct cpio *cpio, const char *at, const char *start)
{
    size_t offset = align_up((uint64_t)(at - start), 4);

    return offset > (size_t)(cpio->end - start) ? cpio->end : start + offset;
}

/* Reads the header at cpio->at and moves behind the data. 1: an entry; 0: the end; -EINVAL. */
static int cpio_next(struct cpio *cpio, const char *start)
{
    const char *header;
    size_t name_bytes;

    while (cpio->at < cpio->end && *cpio->at == '\0') /* archives may be joined, with zeroes between */
        cpio->at++;
    header = cpio->at;
    if (cpio->end - header < CPIO_HEADER_BYTES)
        return header == cpio->end ? 0 : -EINVAL;
    if (memcmp(header, "07070", 5) != 0 || (header[5] != '1' && header[5] != '2'))
        return -EINVAL;
    for (unsigned i = 0; i < CPIO_FIELDS; i++)
        if (!cpio_field(header + CPIO_MAGIC_BYTES + i * CPIO_FIELD_BYTES, &cpio->fields[i]))
            return -EINVAL;
    name_bytes = cpio->fields[CPIO_NAMESIZE];
    cpio->name = header + CPIO_HEADER_BYTES;
    if (name_bytes == 0 || name_bytes > PATH_BYTES || name_bytes > (size_t)(cpio->end - cpio->name) ||
        cpio->name[name_bytes - 1] != '\0')
        return -EINVAL;
    cpio->data = cpio_align(cpio, cpio->name + name_bytes, start);
    cpio->data_bytes = cpio->fields[CPIO_FILESIZE];
    if (cpio->data_bytes > (size_t)(cpio->end - cpio->data))
        return -EINVAL;
    cpio->at = cpio_align(cpio, cpio->data + cpio->data_bytes, start);
    return strcmp(cpio->name, "TRAILER!!!") == 0 ? 0 : 1;
}

/* ---------------------------------------------------------------- one file's data */

static int fill_copy(struct object *object, uint64_t offset, const char *from, size_t bytes)
{
    size_t done;

    return bytes == 0 ? 0 : (int)errno_of(object_write(object, offset, from, bytes, &done));
}

static int fill_object(struct object *object, const char *data, size_t bytes)
{
    struct paddr place = host_paddr(data);
    uint64_t pages = is_aligned(place.v, PAGE_SIZE) ? bytes >> PAGE_SHIFT : 0;
    int error = (int)errno_of(object_resize(object, bytes));

    for (uint64_t i = 0; i < pages && error == 0; i++) {
        struct frame *frame = frame_claim(pfn((place.v >> PAGE_SHIFT) + i), FRAME_SHARED);

        if (frame != NULL)
            error = (int)errno_of(object_adopt(object, i, frame));
        else
            error = fill_copy(object, i << PAGE_SHIFT, data + (i << PAGE_SHIFT), PAGE_SIZE);
    }
    if (error == 0)
        error = fill_copy(object, pages << PAGE_SHIFT, data + (pages << PAGE_SHIFT),
                          bytes - (pages << PAGE_SHIFT));
    return error;
}

/* ---------------------------------------------------------------- one entry */

/* The directory that `path` is in, made with its parents when it is missing; and the last component. */
static int entry_parent(struct vnode *root, const char *path, struct vnode **out, char *last)
{
    struct vnode *dir = vnode_ref(root);

    for (;;) {
        const char *end;
        struct vnode *next;
        int error;

        while (*path == '/' || (path[0] == '.' && (path[1] == '/' || path[1] == '\0')))
            path++;
        end = strchr(path, '/');
        if ((end == NULL ? strlen(path) : (size_t)(end - path)) >= NAME_BYTES) {
            vnode_unref(dir);
            return -ENAMETOOLONG;
        }
        if (end == NULL) {
            strlcpy(last, path, NAME_BYTES);
            *out = dir;
            return 0;
        }
        memcpy(last, path, (size_t)(end - path));
        last[end - path] = '\0';
        error = vnode_lookup(dir, last, &next);
        if (error == -ENOENT)
            error = dir->ops->mkdir(dir, last, 0755, &next);
        vnode_unref(dir);
        if (error != 0)
            return error;
        if (next->type != S_IFDIR) {
            vnode_unref(next);
            return -ENOTDIR;
        }
        dir = next;
        path = end;
    }
}

/* Hard links: entries with the same inode number; the data comes with one of them (the last, as GNU cpio
 * writes them). Few archives have any, so a short list does. */
enum { LINKS_KEPT = 64 };
struct hard_links {
    unsigned count;
    struct {
        uint32_t ino, major, minor;
        struct vnode *node;
    } kept[LINKS_KEPT];
};
static struct hard_links *links; /* while unpacking */

static struct vnode *links_find(const struct cpio *cpio)
{
    for (unsigned i = 0; links != NULL && i < links->count; i++)
        if (links->kept[i].ino == cpio->fields[CPIO_INO] &&
            links->kept[i].major == cpio->fields[CPIO_DEVMAJOR] &&
            links->kept[i].minor == cpio->fields[CPIO_DEVMINOR])
            return links->kept[i].node;
    return NULL;
}

static void links_add(const struct cpio *cpio, struct vnode *node)
{
    unsigned i;

    if (links == NULL)
        links = fs_alloc(sizeof *links);
    if (links == NULL || links->count == LINKS_KEPT)
        return;
    i = links->count++;
    links->kept[i].ino = cpio->fields[CPIO_INO];
    links->kept[i].major = cpio->fields[CPIO_DEVMAJOR];
    links->kept[i].minor = cpio->fields[CPIO_DEVMINOR];
    links->kept[i].node = vnode_ref(node);
}

static void links_free(void)
{
    for (unsigned i = 0; links != NULL && i < links->count; i++)
        vnode_unref(links->kept[i].node);
    slab_free(links);
    links = NULL;
}

static int entry_regular(const struct cpio *cpio, struct vnode *dir, const char *name, struct vnode **node)
{
    struct vnode *linked = cpio->fields[CPIO_NLINK] > 1 ? links_find(cpio) : NULL;
    int error;

    if (linked != NULL) {
        error = dir->ops->link(dir, name, linked);
        *node = error == 0 ? vnode_ref(linked) : NULL;
    } else {
        error = dir->ops->create(dir, name, cpio->fields[CPIO_MODE], 0, node);
        if (error == 0 && cpio->fields[CPIO_NLINK] > 1)
            links_add(cpio, *node);
    }
    if (error == 0 && cpio->data_bytes != 0)
        error = fill_object((*node)->object, cpio->data, cpio->data_bytes);
    return error;
}

static int entry_symlink(const struct cpio *cpio, struct vnode *dir, const char *name, struct vnode **node)
{
    char *target;
    int error;

    if (cpio->data_bytes == 0 || cpio->data_bytes >= PATH_BYTES)
        return -EINVAL;
    target = path_buffer();
    if (target == NULL)
        return -ENOMEM;
    memcpy(target, cpio->data, cpio->data_bytes);
    target[cpio->data_bytes] = '\0';
    error = dir->ops->symlink(dir, name, target);
    path_buffer_free(target);
    return error != 0 ? error : vnode_lookup(dir, name, node);
}

static int entry_unpack(const struct cpio *cpio)
{
    uint32_t mode = cpio->fields[CPIO_MODE];
    struct vnode *dir, *node = NULL;
    char name[NAME_BYTES];
    int error = entry_parent(cpio->root, cpio->name, &dir, name);

    if (error != 0)
        return error;
    if (name[0] == '\0') { /* "." */
        vnode_unref(dir);
        return 0;
    }
    switch (mode & S_IFMT) {
    case S_IFREG:
        error = entry_regular(cpio, dir, name, &node);
        break;
    case S_IFDIR:
        error = dir->ops->mkdir(dir, name, mode, &node);
        break;
    case S_IFLNK:
        error = entry_symlink(cpio, dir, name, &node);
        break;
    default:
        error = dir->ops->create(dir, name, mode,
                                 dev_make(cpio->fields[CPIO_RDEVMAJOR], cpio->fields[CPIO_RDEVMINOR]), &node);
    }
    if (error == 0) {
        tmpfs_set_owner(node, cpio->fields[CPIO_UID], cpio->fields[CPIO_GID]);
        tmpfs_set_times(node, (int64_t)cpio->fields[CPIO_MTIME] * 1000000000);
    }
    vnode_unref(node);
    vnode_unref(dir);
    return error == -EEXIST ? 0 : error; /* the first of two wins, as with directories named twice */
}

int initramfs_unpack(struct vnode *root, struct paddr start, struct paddr end)
{
    const char *first = host_at(start);
    struct cpio cpio = {.at = first, .end = first + (end.v - start.v), .root = root};
    int more, error = 0;

    while ((more = cpio_next(&cpio, first)) == 1 && error == 0) {
        error = entry_unpack(&cpio);
        if (error != 0)
            host_log("initramfs: %s: error %d", cpio.name, -error);
    }
    links_free();
    if (more < 0)
        host_log("initramfs: the archive is broken at byte %lu", (unsigned long)(cpio.at - first));
    frames_release_kept(pfn_of(start), pfn(align_up(end.v, PAGE_SIZE) >> PAGE_SHIFT));
    return more < 0 ? -EINVAL : error;
}

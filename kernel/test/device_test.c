/*
 * The devices in the booted kernel: the PCI bus, and the file system over 9P with the folder that is shared
 * with this kernel (`quire boot --share`). "The host" is here a second client of the same share that uses the
 * messages of 9P directly: what it does to files goes past the file system's caches.
 *
 * They run before there is a task that could sleep, so every wait for a device polls.
 */
#include <asm-generic/errno.h>
#include <linux/fcntl.h>
#include <linux/fs.h>
#include <linux/virtio_ids.h>

#include "kernel/dev/devices.h"
#include "kernel/dev/hostlink.h"
#include "kernel/dev/p9fs_internal.h"
#include "kernel/dev/virtio.h"
#include "kernel/klib.h"
#include "kernel/test/test.h"
#include "quire/slab.h"

enum { CHUNK = 500 };
#define ALL_PAGES ((uint64_t)1 << 20)

static struct vnode *share, *folder; /* folder: a directory of our own in it */

/* ---------------------------------------------------------------- helpers */

static char pattern(unsigned seed, uint64_t at)
{
    return (char)(at * 7 + seed + (at >> 9));
}

/* Opens it as open(2) does, once it has been looked up. */
static bool file_begin(struct vnode *node, unsigned flags, struct file *file)
{
    memset(file, 0, sizeof *file);
    file->ops = &object_file_ops;
    file->flags = flags;
    file->vnode = node;
    return node->ops->open(node, file) == 0;
}

static void file_close(struct file *file)
{
    if (file->ops->release != NULL)
        file->ops->release(file);
    vnode_unref(file->vnode);
}

static bool file_create(const char *name, struct file *file)
{
    struct vnode *node;

    return folder->ops->create(folder, name, S_IFREG | 0600, 0, &node) == 0 && file_begin(node, O_RDWR, file);
}

static bool file_open(const char *name, struct file *file)
{
    struct vnode *node;

    return folder->ops->lookup(folder, name, &node) == 0 && file_begin(node, O_RDONLY, file);
}

static bool put(struct file *file, unsigned seed, uint64_t at, size_t bytes)
{
    struct object *object = file->vnode->object;
    char chunk[CHUNK];
    size_t done;

    if (object_size(object) < at + bytes && object_resize(object, at + bytes) != ST_OK)
        return false;
    for (; bytes != 0; at += done, bytes -= done) {
        size_t count = bytes < CHUNK ? bytes : CHUNK;

        for (size_t i = 0; i < count; i++)
            chunk[i] = pattern(seed, at + i);
        if (object_write(object, at, chunk, count, &done) != ST_OK || done != count)
            return false;
    }
    return true;
}

/* Are these bytes there? Seed 0: zeroes. */
static bool holds(struct file *file, unsigned seed, uint64_t at, size_t bytes)
{
    char chunk[CHUNK];
    size_t done;

    for (; bytes != 0; at += done, bytes -= done) {
        size_t count = bytes < CHUNK ? bytes : CHUNK;

        if (object_read(file->vnode->object, at, chunk, count, &done) != ST_OK || done != count)
            return false;
        for (size_t i = 0; i < count; i++)
            if (chunk[i] != (seed == 0 ? 0 : pattern(seed, at + i)))
                return false;
    }
    return true;
}

/* Everything goes to the server, nothing stays. */
static bool forget(struct file *file)
{
    struct object *object = file->vnode->object;

    if (object_sync(object, 0, ALL_PAGES) != ST_OK)
        return false;
    (void)object_drop(object, 0, ALL_PAGES);
    return object_resident(object) == 0;
}

static bool resize(struct file *file, uint64_t size)
{
    struct vattr attr = {.size = size};

    return file->vnode->ops->setattr(file->vnode, &attr, VATTR_SIZE) == 0;
}

static bool missing(const char *name)
{
    struct vnode *node;

    return folder->ops->lookup(folder, name, &node) == -ENOENT;
}

static bool remove_file(const char *name)
{
    return folder->ops->unlink(folder, name) == 0 && missing(name);
}

static struct p9_client *client(void)
{
    return p9_node(share)->fs->client;
}

/* The host replaces the contents of a file by `bytes` bytes, all `byte`, and gives it a time of its own. */
static bool host_writes(const char *name, char byte, uint32_t bytes)
{
    struct frame *frame = frame_alloc(0, FRAME_KERNEL, FRAME_ANY);
    uint32_t fid = p9_new_fid(client());
    struct p9_attr attr = {.size = bytes, .mtime_ns = (int64_t)bytes * 1000000000};
    struct p9_qid qid;
    bool good;

    if (frame == NULL)
        return false;
    memset(frame_data(frame), byte, PAGE_SIZE);
    good = p9_walk(client(), p9_node(folder)->fid, fid, name, &qid) == 0 &&
           p9_setattr(client(), fid, &attr, P9_SET_SIZE) == 0 && p9_open(client(), fid, O_WRONLY) == 0;
    for (uint32_t at = 0; good && at < bytes; at += (uint32_t)PAGE_SIZE) {
        uint32_t count = bytes - at < PAGE_SIZE ? bytes - at : (uint32_t)PAGE_SIZE;

        good = p9_write(client(), fid, at, &frame, count) == (long)count;
    }
    good = good && p9_setattr(client(), fid, &attr, P9_SET_MTIME) == 0;
    p9_clunk(client(), fid);
    frame_free(frame);
    return good;
}

static void wait_until_stale(void)
{
    uint64_t until = host_now_ns() + 2 * P9FS_FRESH_NS;

    while (host_now_ns() < until)
        __builtin_ia32_pause();
}

/* ---------------------------------------------------------------- the bus */

static unsigned functions_seen, links_seen;

static void see_function(const struct pci_device *pci, void *context)
{
    (void)context;
    functions_seen++;
    links_seen += virtio_is(pci, VIRTIO_ID_CONSOLE);
}

static void test_bus(void)
{
    pci_for_each(see_function, NULL);
    EXPECT(functions_seen >= 3);
    EXPECT(links_seen == 1);
    devices_init();
    EXPECT(hostlink_present());
}

static void test_attach(void)
{
    struct vnode *none;

    EXPECT(p9fs_create("no such tag", &none) == -ENODEV);
    EXPECT(p9fs_create("share", &share) == 0);
    EXPECT(share->type == S_IFDIR);
    if (share->ops->mkdir(share, "kernel-test", 0755, &folder) == -EEXIST) /* of a run that was stopped */
        EXPECT(share->ops->lookup(share, "kernel-test", &folder) == 0);
    EXPECT(folder->parent == share);
}

/* ---------------------------------------------------------------- files */

static void test_names(void)
{
    char name[400];
    struct vnode *node;

    EXPECT(missing("nothing"));
    memset(name, 'n', sizeof name);
    name[300] = '\0';
    EXPECT(folder->ops->lookup(folder, name, &node) == -ENAMETOOLONG);
    name[255] = '\0';
    EXPECT(folder->ops->mkdir(folder, name, 0700, &node) == 0);
    vnode_unref(node);
    EXPECT(folder->ops->unlink(folder, name) == -EISDIR);
    EXPECT(folder->ops->rmdir(folder, name) == 0);
    EXPECT(missing(name));
}

static void test_data(void)
{
    struct file file;
    struct vattr attr;

    EXPECT(file_create("data", &file));
    EXPECT(put(&file, 1, 0, 300000)); /* more than one message carries */
    file_close(&file);
    EXPECT(file_open("data", &file));
    EXPECT(object_size(file.vnode->object) == 300000);
    EXPECT(forget(&file) && holds(&file, 1, 0, 300000));
    EXPECT(file.vnode->ops->getattr(file.vnode, &attr) == 0);
    EXPECT(attr.size == 300000 && attr.mode == (S_IFREG | 0600) && attr.nlink == 1);
    EXPECT(resize(&file, 5000) && resize(&file, 9000));
    EXPECT(forget(&file) && holds(&file, 1, 0, 5000) && holds(&file, 0, 5000, 4000));
    file_close(&file);
    EXPECT(remove_file("data"));
}

static void test_times(void)
{
    struct vattr attr = {.mtime_ns = 1000000000500000000};
    struct file file;

    EXPECT(file_create("times", &file));
    EXPECT(put(&file, 1, 0, 6000));
    EXPECT(file.vnode->ops->setattr(file.vnode, &attr, VATTR_MTIME) == 0);
    file_close(&file); /* writes nothing any more, or the time would be now */
    EXPECT(file_open("times", &file));
    EXPECT(file.vnode->ops->getattr(file.vnode, &attr) == 0 && attr.mtime_ns == 1000000000500000000);
    file_close(&file);
    EXPECT(remove_file("times"));
}

static void test_unlinked(void)
{
    struct file file, other;
    struct vattr attr;

    EXPECT(file_create("gone", &file));
    EXPECT(put(&file, 1, 0, 20000));
    EXPECT(remove_file("gone"));
    EXPECT(forget(&file) && holds(&file, 1, 0, 20000));
    EXPECT(resize(&file, 5000) && resize(&file, 15000));
    EXPECT(forget(&file) && holds(&file, 1, 0, 5000) && holds(&file, 0, 5000, 10000));
    EXPECT(put(&file, 2, 18000, 1000));
    EXPECT(forget(&file) && holds(&file, 0, 5000, 13000) && holds(&file, 2, 18000, 1000));
    EXPECT(file.vnode->ops->getattr(file.vnode, &attr) == 0 && attr.nlink == 0);
    EXPECT(file_create("gone", &other)); /* another of that name is another file */
    EXPECT(other.vnode != file.vnode);
    EXPECT(put(&other, 3, 0, 3000));
    EXPECT(resize(&file, 100) && holds(&file, 1, 0, 100));
    EXPECT(forget(&other) && holds(&other, 3, 0, 3000));
    file_close(&file);
    file_close(&other);
    EXPECT(remove_file("gone"));
}

static void test_rename(void)
{
    struct file from, over, again;

    EXPECT(file_create("from", &from) && file_create("over", &over));
    EXPECT(put(&from, 1, 0, 9000) && put(&over, 2, 0, 12000));
    EXPECT(folder->ops->rename(folder, "from", folder, "over", RENAME_NOREPLACE) == -EEXIST);
    EXPECT(folder->ops->rename(folder, "from", folder, "over", 0) == 0);
    EXPECT(missing("from"));
    EXPECT(forget(&over) && holds(&over, 2, 0, 12000)); /* open, and nowhere else */
    EXPECT(forget(&from) && holds(&from, 1, 0, 9000));
    EXPECT(file_open("over", &again));
    EXPECT(again.vnode == from.vnode);
    file_close(&again);
    file_close(&over);
    file_close(&from);
    EXPECT(remove_file("over"));
}

static void test_links(void)
{
    static char target[4001], back[4096];
    struct file first, second;
    struct vnode *link;
    struct vattr attr;

    EXPECT(file_create("first", &first) && put(&first, 1, 0, 5000));
    EXPECT(folder->ops->link(folder, "second", first.vnode) == 0);
    EXPECT(file_open("second", &second));
    EXPECT(second.vnode == first.vnode);
    EXPECT(second.vnode->ops->getattr(second.vnode, &attr) == 0 && attr.nlink == 2);
    EXPECT(remove_file("first"));
    file_close(&first);
    EXPECT(forget(&second) && holds(&second, 1, 0, 5000));
    file_close(&second);
    EXPECT(remove_file("second"));
    for (size_t length = 1; length <= 4000; length += 3999) {
        memset(target, 't', length);
        target[length] = '\0';
        EXPECT(folder->ops->symlink(folder, "link", target) == 0);
        EXPECT(folder->ops->lookup(folder, "link", &link) == 0 && link->type == S_IFLNK);
        EXPECT(link->ops->readlink(link, back, sizeof back) == (long)length);
        EXPECT(memcmp(back, target, length) == 0);
        vnode_unref(link);
        EXPECT(remove_file("link"));
    }
}

/* ---------------------------------------------------------------- directories */

enum { ENTRIES = 200, AT_ONCE = 17 };
static struct {
    unsigned count, round;
    uint64_t cookie;
    bool wrong;
} reading;

static bool see_entry(void *context, const char *name, size_t length, uint64_t ino, unsigned dtype,
                      uint64_t next)
{
    (void)context;
    if (reading.round == AT_ONCE)
        return false;
    reading.wrong |= length < 2 || name[0] != 'e' || ino == 0 || dtype != S_IFDIR >> 12;
    reading.round++;
    reading.count++;
    reading.cookie = next;
    return true;
}

static void test_directory(void)
{
    struct vnode *dir, *node;
    char name[16];

    EXPECT(folder->ops->mkdir(folder, "dir", 0755, &dir) == 0);
    for (unsigned i = 0; i < ENTRIES; i++) {
        snprintf(name, sizeof name, "entry %u", i);
        EXPECT(dir->ops->mkdir(dir, name, 0700, &node) == 0);
        vnode_unref(node);
    }
    EXPECT(folder->ops->rmdir(folder, "dir") == -ENOTEMPTY);
    do {
        reading.round = 0;
        EXPECT(dir->ops->readdir(dir, reading.cookie, see_entry, NULL) == 0);
    } while (reading.round != 0 && reading.count <= ENTRIES);
    EXPECT(reading.count == ENTRIES && !reading.wrong);
    EXPECT(dir->ops->lookup(dir, "entry 7", &node) == 0);
    EXPECT(dir->ops->rename(dir, "entry 7", folder, "moved", 0) == 0);
    EXPECT(node->parent == folder);
    EXPECT(folder->ops->rename(folder, "moved", dir, "entry 7", 0) == 0);
    EXPECT(node->parent == dir);
    vnode_unref(node);
    for (unsigned i = 0; i < ENTRIES; i++) {
        snprintf(name, sizeof name, "entry %u", i);
        EXPECT(dir->ops->rmdir(dir, name) == 0);
    }
    vnode_unref(dir);
    EXPECT(folder->ops->rmdir(folder, "dir") == 0);
}

/* ---------------------------------------------------------------- the host */

static void test_host_changes(void)
{
    struct file file;

    EXPECT(file_create("changes", &file) && put(&file, 1, 0, 10000));
    file_close(&file);
    EXPECT(file_open("changes", &file) && holds(&file, 1, 0, 10000));
    file_close(&file);
    EXPECT(host_writes("changes", 'x', 6000));
    wait_until_stale();
    EXPECT(file_open("changes", &file));
    EXPECT(object_size(file.vnode->object) == 6000);
    char byte = 0;
    size_t done;
    EXPECT(object_read(file.vnode->object, 5999, &byte, 1, &done) == ST_OK && byte == 'x');
    file_close(&file);
    EXPECT(remove_file("changes"));
}

static void test_host_shrinks(void)
{
    struct file file;
    char byte;
    size_t done;

    EXPECT(file_create("shrinks", &file) && put(&file, 1, 0, 100000));
    file_close(&file);
    EXPECT(file_open("shrinks", &file) && forget(&file) && holds(&file, 1, 0, 100));
    EXPECT(host_writes("shrinks", 'x', 5000));
    EXPECT(object_drop(file.vnode->object, 0, ALL_PAGES) > 0);
    EXPECT(object_read(file.vnode->object, 90000, &byte, 1, &done) == ST_IO_ERROR);
    wait_until_stale();
    EXPECT(p9fs_refresh(p9_node(file.vnode)) == 0 && object_size(file.vnode->object) == 5000);
    EXPECT(object_read(file.vnode->object, 4999, &byte, 1, &done) == ST_OK && byte == 'x');
    file_close(&file);
    EXPECT(remove_file("shrinks"));
}

static void test_host_removes(void)
{
    struct file file;

    EXPECT(file_create("removed", &file) && put(&file, 1, 0, 10000));
    EXPECT(p9_unlink(client(), p9_node(folder)->fid, "removed", P9_UNLINK_FILE) == 0);
    wait_until_stale();
    EXPECT(missing("removed"));
    EXPECT(forget(&file) && holds(&file, 1, 0, 10000));
    file_close(&file);
}

/* ---------------------------------------------------------------- no memory */

enum { CLUNKS = 8, CELL_BYTES = 2000 };

struct taken {
    struct taken *next;
};

/* All memory, and all cells of the size that a request needs. */
static void take_all(struct taken **frames, struct taken **cells)
{
    struct frame *frame;
    struct taken *cell;

    while ((frame = frame_alloc(0, FRAME_KERNEL, FRAME_ANY)) != NULL) {
        struct taken *taken = frame_data(frame);

        taken->next = *frames;
        *frames = taken;
    }
    while ((cell = slab_alloc(CELL_BYTES)) != NULL) {
        cell->next = *cells;
        *cells = cell;
    }
}

static void give_all(struct taken *frames, struct taken *cells)
{
    while (frames != NULL) {
        struct taken *next = frames->next;

        frame_free(frame_at(host_paddr(frames)));
        frames = next;
    }
    while (cells != NULL) {
        struct taken *next = cells->next;

        slab_free(cells);
        cells = next;
    }
}

/* Nobody waits for the answer to a clunk, and there are few requests: whoever needs the next one looks for
 * them himself. */
static void test_clunks_without_memory(void)
{
    struct taken *frames = NULL, *cells = NULL;
    uint32_t fids[CLUNKS];

    for (unsigned i = 0; i < CLUNKS; i++) {
        fids[i] = p9_new_fid(client());
        EXPECT(p9_walk(client(), p9_node(share)->fid, fids[i], NULL, NULL) == 0);
    }
    take_all(&frames, &cells);
    for (unsigned i = 0; i < CLUNKS; i++)
        p9_clunk(client(), fids[i]);
    give_all(frames, cells);
}

/* ---------------------------------------------------------------- the end */

/* The server keeps one fid for each node that is held or idle, and no more. */
static void test_fids(void)
{
    vnode_unref(folder);
    EXPECT(share->ops->rmdir(share, "kernel-test") == 0);
    EXPECT(p9_fids(client()) == 1 + p9_node(share)->fs->idle_count);
}

static void test_device_fails(void)
{
    struct vnode *node;
    struct vattr attr;

    virtio_fail(p9_device(client()), "a test wants it so");
    EXPECT(share->ops->lookup(share, "anything", &node) == -EIO);
    wait_until_stale();
    EXPECT(share->ops->getattr(share, &attr) == -EIO);
}

const struct kernel_test device_tests[] = {
    {"the PCI bus and the link are found", test_bus},
    {"the share is attached", test_attach},
    {"names: missing, long, too long", test_names},
    {"data written is read again from the host", test_data},
    {"a time that was set stays after the file is closed", test_times},
    {"an unlinked file is used through its open fid", test_unlinked},
    {"a file renamed over an open one", test_rename},
    {"hard and symbolic links", test_links},
    {"a directory is read in parts, and directories move", test_directory},
    {"a file that the host has changed is read afresh", test_host_changes},
    {"data that the host has cut off are an error", test_host_shrinks},
    {"a file that the host has removed is used as long as it is open", test_host_removes},
    {"files are closed without memory", test_clunks_without_memory},
    {"no fid is left behind", test_fids},
    {"a device that fails gives errors", test_device_fails},
    {NULL, NULL},
};

/*
 * The file systems at the start, and the first process's standard streams.
 *
 *     /         tmpfs, unpacked from the initramfs; with root=1 over a folder of the host, which is only read
 *     /proc     procfs
 *     /dev      devfs; /dev/shm: tmpfs
 *     /tmp      tmpfs
 *     /sys/fs/cgroup  cgroupfs
 *     /share    the host's folder over virtio-9p, with share=1
 */
#include <linux/errno.h>

#include "kernel/boot/boot_info.h"
#include "kernel/dev/hostlink.h"
#include "kernel/fs/internal.h"
#include "kernel/fs/tmpfs.h"
#include "kernel/klib.h"

enum { STREAMS = 3, OPTION_BYTES = 64 };

/* ---------------------------------------------------------------- standard streams */

static bool streams_read;
static bool stream_is_tty[STREAMS];

/* stdio=tty,pipe,pipe: what each of the three is. All are terminals when it is not said. */
static void streams_read_option(void)
{
    char option[OPTION_BYTES];
    const char *at = option;

    if (streams_read)
        return;
    streams_read = true;
    if (!boot_option("stdio", option, sizeof option))
        strlcpy(option, "tty,tty,tty", sizeof option);
    for (unsigned i = 0; i < STREAMS; i++) {
        stream_is_tty[i] = strncmp(at, "pipe", 4) != 0;
        at = strchr(at, ',');
        if (at == NULL)
            at = "";
        else
            at++;
    }
}

void stdin_input(const void *bytes, size_t count)
{
    if (stream_is_tty[0])
        tty_input(bytes, count);
    else
        host_stream_input(bytes, count);
}

void stdin_end(void)
{
    if (stream_is_tty[0])
        tty_end();
    else
        host_stream_end();
}

/* Input may come from here on. */
static void streams_start(void)
{
    streams_read_option();
    tty_init();
    if (stream_is_tty[0])
        tty_grant_first();
    else
        tty_end(); /* nobody types there: a read of /dev/tty must not wait for ever */
}

static int stream_open(unsigned number, struct file **out)
{
    if (stream_is_tty[number])
        return vfs_open(vfs_root, "/dev/console", O_RDWR, 0, out);
    *out = file_alloc(&host_stream_file_ops, NULL, number == 0 ? O_RDONLY : O_WRONLY);
    if (*out == NULL)
        return -ENOMEM;
    (*out)->data = (void *)(uintptr_t)number;
    return 0;
}

int stdio_open(struct process *process)
{
    struct file *opened[STREAMS];

    for (unsigned i = 0; i < STREAMS; i++) {
        int error = 0, fd;

        if (i == 2 && stream_is_tty[1] == stream_is_tty[2] && stream_is_tty[2])
            opened[i] = file_ref(opened[1]);
        else
            error = stream_open(i, &opened[i]);
        if (error != 0)
            return error;
        fd = files_install(process->files, opened[i], 0, false);
        if (fd < 0)
            return fd;
        if (stream_is_tty[i])
            tty_adopt(process);
    }
    return 0;
}

/* ---------------------------------------------------------------- mounts */

static int make_folder(const char *path, uint32_t mode)
{
    struct vnode *dir, *made;
    char last[NAME_BYTES];
    int error = path_walk(vfs_root, path, WALK_PARENT, &dir, last);

    if (error != 0)
        return error;
    error = dir->ops->mkdir(dir, last, mode, &made);
    if (error == 0)
        vnode_unref(made);
    vnode_unref(dir);
    return error;
}

/* Makes the directory when it is missing and mounts there. */
static int mount_at(struct vnode *root, const char *path, const char *type, const char *source, uint32_t mode)
{
    int error = make_folder(path, mode);

    if (error != 0 && error != -EEXIST) {
        vnode_unref(root);
        return error;
    }
    return vfs_mount(root, path, type, source);
}

static int mount_tmpfs(const char *path)
{
    struct vnode *root;
    struct vattr attr = {.mode = 01777};
    int error = tmpfs_create(&root);

    if (error == 0)
        error = vnode_setattr(root, &attr, VATTR_MODE);
    if (error != 0)
        return error;
    tmpfs_limit(root);
    return mount_at(root, path, "tmpfs", "tmpfs", 01777);
}

static int mount_new(int (*create)(struct vnode **root), const char *path, const char *type)
{
    struct vnode *root;
    int error = create(&root);

    return error != 0 ? error : mount_at(root, path, type, type, 0755);
}

static int mount_controls(void)
{
    static const char *const above[] = {"/sys", "/sys/fs"};

    for (size_t i = 0; i < sizeof above / sizeof above[0]; i++) {
        int error = make_folder(above[i], 0755);

        if (error != 0 && error != -EEXIST)
            return error;
    }
    return mount_new(cgroupfs_create, "/sys/fs/cgroup", "cgroup2");
}

/* The share is the user's wish: without it the kernel goes on, and the program finds no /share. */
static int mount_share(void)
{
    struct vnode *root;
    int error;

    if (boot_option_number("share", 0) == 0)
        return 0;
    error = p9fs_create("share", &root);
    if (error == 0)
        error = mount_at(root, "/share", "9p", "share", 0755);
    if (error != 0)
        host_log("share: cannot be mounted at /share: error %d", -error);
    return 0;
}

/* `memory`, which is consumed, is the root, or the upper side of it. */
static int mount_root(struct vnode *memory)
{
    struct vnode *lower, *root;
    int error;

    if (boot_option_number("root", 0) == 0)
        return vfs_mount(memory, "/", "tmpfs", "tmpfs");
    error = p9fs_create("root", &lower);
    if (error != 0) {
        host_log("root: the host's folder cannot be reached: error %d", -error);
        vnode_unref(memory);
        return error;
    }
    error = overlay_over(memory, lower, &root);
    return error != 0 ? error : vfs_mount(root, "/", "overlay", "root");
}

int vfs_init(const struct boot_info *info)
{
    struct vnode *memory;
    int error = path_buffers_init();

    if (error == 0)
        error = tmpfs_create(&memory);
    if (error == 0 && info->initramfs_end.v > info->initramfs_start.v)
        error = initramfs_unpack(memory, info->initramfs_start, info->initramfs_end);
    if (error == 0) {
        tmpfs_limit(memory);
        error = mount_root(memory);
    }
    if (error == 0)
        error = mount_new(procfs_create, "/proc", "proc");
    if (error == 0)
        error = mount_new(devfs_create, "/dev", "devtmpfs");
    if (error == 0)
        error = mount_tmpfs("/dev/shm");
    if (error == 0)
        error = mount_tmpfs("/tmp");
    if (error == 0)
        error = mount_controls();
    if (error == 0)
        error = mount_share();
    if (error == 0)
        streams_start();
    return error;
}

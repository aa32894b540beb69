/*
 * procfs: the tree. Vnodes are made when they are looked up and know their entry, process and descriptor.
 * Those about a process are not kept between two looks, and every use asks anew whether it is still there;
 * the others are kept by their folder for good.
 *
 * The text of a file is made when it is read from the beginning, so that a program that keeps the file open
 * and goes back to its start sees the present.
 */
#include <linux/errno.h>
#include <linux/magic.h>

#include "kernel/fs/procfs.h"
#include "kernel/klib.h"
#include "quire/slab.h"

enum {
    COOKIE_NUMBERS = 4096, /* cookies of names that are numbers: this and the number */
    NUMBER_MAX = 0x3fffffff,
    NUMBER_TEXT_BYTES = 12,
    RECLAIM_PAGES = 64,
    SETTING_BYTES = 128, /* the longest text that a setting takes */
};

struct proc_node {
    struct vnode vnode;
    const struct proc_entry *entry;
    int pid, tid;           /* 0: not about a process */
    int fd;                 /* of a link in fd/; -1 */
    struct proc_node *kept; /* of a folder that is not about a process: what was looked up in it */
    struct proc_node *next; /* kept by the same folder */
};

static const struct vnode_ops proc_ops, proc_jump_ops;

static struct proc_node *node_of(struct vnode *vnode)
{
    return container_of(vnode, struct proc_node, vnode);
}

/* ---------------------------------------------------------------- who it is about */

/* False: the process or the thread is gone. Ended by subject_end(). */
static bool subject_begin(const struct proc_node *node, struct proc_subject *subject)
{
    *subject = (struct proc_subject){.fd = node->fd};
    if (node->pid == 0)
        return true;
    subject->process = process_find(node->pid);
    if (subject->process == NULL)
        return false;
    subject->task = node->tid == 0 ? subject->process->leader : task_find(node->tid);
    if (node->tid != 0 && (subject->task == NULL || subject->task->process != subject->process))
        return false;
    subject->space = subject->process->space;
    if (subject->space != NULL)
        space_ref(subject->space);
    return true;
}

static void subject_end(struct proc_subject *subject)
{
    if (subject->space != NULL)
        space_unref(subject->space);
}

/* ---------------------------------------------------------------- entries that are not in tables */

static const struct proc_entry root_entry = {
    .name = "", .mode = S_IFDIR | 0555, .entries = proc_system_entries, .folder = PROC_ROOT};
static const struct proc_entry process_entry = {
    .name = "", .mode = S_IFDIR | 0555, .entries = proc_process_entries};
static const struct proc_entry task_entry = {
    .name = "", .mode = S_IFDIR | 0555, .entries = proc_task_entries};

/* The file behind a link in fd/, with a reference. */
static struct file *fd_file(const struct proc_subject *subject)
{
    struct files *files = subject->process->files;

    return files == NULL ? NULL : files_get(files, subject->fd);
}

static long fd_link(char *to, size_t size, const struct proc_subject *subject)
{
    struct file *file = fd_file(subject);
    long length;

    if (file == NULL)
        return -ENOENT;
    length = (long)file_describe(file, to, size);
    file_unref(file);
    return length;
}

static int fd_jump(struct vnode_jump *to, const struct proc_subject *subject)
{
    struct file *file = fd_file(subject);

    if (file == NULL)
        return -ENOENT;
    *to = (struct vnode_jump){.file = file, .path = file->path};
    if (file->vnode != NULL)
        to->node = vnode_ref(file->vnode);
    return 0;
}

static const struct proc_entry fd_entry = {
    .name = "", .mode = S_IFLNK | 0700, .link = fd_link, .jump = fd_jump};

/* ---------------------------------------------------------------- nodes */

/* In the folder `at`; NULL: the root. */
static int node_create(const struct proc_entry *entry, struct proc_node *at, struct vnode **out)
{
    struct proc_node *node = fs_alloc(sizeof *node);

    if (node == NULL)
        return -ENOMEM;
    vnode_init(&node->vnode, entry->jump != NULL ? &proc_jump_ops : &proc_ops, entry->mode & S_IFMT);
    node->entry = entry;
    node->fd = -1;
    if (at != NULL) {
        node->pid = at->pid;
        node->tid = at->tid;
        node->vnode.mount = at->vnode.mount;
        if (S_ISDIR(entry->mode))
            node->vnode.parent = vnode_ref(&at->vnode);
    }
    *out = &node->vnode;
    return 0;
}

static struct proc_node *kept_node(const struct proc_node *folder, const struct proc_entry *entry)
{
    struct proc_node *node = folder->kept;

    while (node != NULL && node->entry != entry)
        node = node->next;
    return node;
}

/* The same for a folder that is not about a process: one node for good, which it holds. */
static int node_keep(const struct proc_entry *entry, struct proc_node *folder, struct vnode **out)
{
    struct proc_node *node = kept_node(folder, entry);
    struct vnode *made = NULL;

    if (node == NULL) {
        int error = node_create(entry, folder, &made);

        if (error != 0)
            return error;
        node = kept_node(folder, entry); /* it may have waited for memory, and another was quicker */
    }
    if (node == NULL) {
        node = node_of(made);
        node->next = folder->kept;
        folder->kept = node;
    } else {
        vnode_unref(made);
    }
    *out = vnode_ref(&node->vnode);
    return 0;
}

static void proc_release(struct vnode *vnode)
{
    struct proc_node *node = node_of(vnode);

    vnode_clear(vnode);
    slab_free(node);
}

/* A decimal number without leading zeroes; -1 when it is none. */
static int number_of(const char *name)
{
    int number = 0;

    if (name[0] == '\0' || (name[0] == '0' && name[1] != '\0'))
        return -1;
    for (; *name != '\0'; name++) {
        if (*name < '0' || *name > '9' || number > NUMBER_MAX / 10)
            return -1;
        number = number * 10 + (*name - '0');
    }
    return number;
}

static int lookup_number(struct proc_node *dir, int number, struct vnode **out)
{
    struct process *process = process_find(dir->entry->folder == PROC_ROOT ? number : dir->pid);
    struct task *task;
    struct file *file;
    int error;

    if (process == NULL)
        return -ENOENT;
    switch (dir->entry->folder) {
    case PROC_ROOT:
        error = node_create(&process_entry, dir, out);
        if (error == 0)
            node_of(*out)->pid = number;
        return error;
    case PROC_TASKS:
        task = task_find(number);
        if (task == NULL || task->process != process)
            return -ENOENT;
        error = node_create(&task_entry, dir, out);
        if (error == 0)
            node_of(*out)->tid = number;
        return error;
    case PROC_FDS:
        file = process->files == NULL ? NULL : files_get(process->files, number);
        if (file == NULL)
            return -ENOENT;
        file_unref(file);
        error = node_create(&fd_entry, dir, out);
        if (error == 0)
            node_of(*out)->fd = number;
        return error;
    default:
        return -ENOENT;
    }
}

static bool is_named(const struct proc_entry *entry, const char *name)
{
    return entry->name[0] == name[0] && strcmp(entry->name, name) == 0;
}

static int proc_lookup(struct vnode *vnode, const char *name, struct vnode **out)
{
    struct proc_node *dir = node_of(vnode);
    const struct proc_entry *entry = dir->entry->entries;
    int number = dir->entry->folder != PROC_PLAIN ? number_of(name) : -1;

    if (vnode->type != S_IFDIR)
        return -ENOTDIR;
    if (dir->pid != 0 && process_find(dir->pid) == NULL)
        return -ENOENT;
    if (number >= 0)
        return lookup_number(dir, number, out);
    while (entry != NULL && entry->name != NULL && !is_named(entry, name))
        entry++;
    if (entry == NULL || entry->name == NULL)
        return -ENOENT;
    return dir->pid == 0 ? node_keep(entry, dir, out) : node_create(entry, dir, out);
}

/* ---------------------------------------------------------------- /proc/self */

static struct vnode *proc_root;

/* The process's number; every start of a static program comes here, and snprintf() would take five times as
 * long. */
static size_t self_name(char to[NUMBER_TEXT_BYTES])
{
    const struct process *process = process_current();
    char digits[NUMBER_TEXT_BYTES];
    size_t at = sizeof digits;

    digits[--at] = '\0';
    for (int left = process == NULL ? 0 : process->pid; left != 0; left /= 10)
        digits[--at] = (char)('0' + left % 10);
    memcpy(to, digits + at, sizeof digits - at);
    return sizeof digits - at - 1;
}

long proc_self_link(char *to, size_t size, const struct proc_subject *subject)
{
    char name[NUMBER_TEXT_BYTES];
    size_t length = self_name(name);

    memcpy(to, name, length < size ? length : size);
    return length == 0 ? -ENOENT : (long)length;
}

int proc_self_jump(struct vnode_jump *to, const struct proc_subject *subject)
{
    static char path[PATH_BYTES];
    size_t length = strlcpy(path, proc_root->mount->path, PATH_BYTES - NUMBER_TEXT_BYTES - 1);
    const struct process *process = process_current();

    path[length] = '/';
    (void)self_name(path + length + 1);
    to->path = path;
    return process == NULL ? -ENOENT : lookup_number(node_of(proc_root), process->pid, &to->node);
}

/* ---------------------------------------------------------------- reading folders */

static uint64_t ino_of(const struct proc_entry *entry, int pid, int tid, int number)
{
    uint64_t low = number >= 0 ? 0x80000000u + (uint64_t)number : (uint64_t)entry & 0x7fffffff;

    return (uint64_t)(tid != 0 ? tid : pid) << 32 | low;
}

struct number_search {
    int above, found; /* the lowest number > above; found -1: none yet */
};

static void number_offer(struct number_search *search, int number)
{
    if (number > search->above && (search->found < 0 || number < search->found))
        search->found = number;
}

static void number_visit(struct process *process, void *context)
{
    number_offer(context, process->pid);
}

/* The next name of a folder of numbers that is above `above`; -1: there is none. */
static int number_next(const struct proc_node *dir, int above)
{
    struct number_search search = {.above = above, .found = -1};
    struct process *process;

    if (dir->entry->folder == PROC_ROOT) {
        process_for_each(number_visit, &search);
        return search.found;
    }
    process = process_find(dir->pid);
    if (process == NULL)
        return -1;
    if (dir->entry->folder == PROC_FDS)
        return process->files == NULL ? -1 : files_next(process->files, above + 1);
    list_for_each(node, &process->threads)
    {
        number_offer(&search, container_of(node, struct task, thread)->tid);
    }
    return search.found;
}

static int readdir_numbers(const struct proc_node *dir, uint64_t cookie, vdir_emit *emit, void *context)
{
    int above = cookie < COOKIE_NUMBERS ? -1 : (int)(cookie - COOKIE_NUMBERS);
    unsigned dtype = dir->entry->folder == PROC_FDS ? S_IFLNK >> 12 : S_IFDIR >> 12;

    for (int number = number_next(dir, above); number >= 0; number = number_next(dir, number)) {
        char name[NUMBER_TEXT_BYTES];
        int length = snprintf(name, sizeof name, "%d", number);
        uint64_t ino = dir->entry->folder == PROC_ROOT ? ino_of(&process_entry, number, 0, -1)
                                                       : ino_of(NULL, dir->pid, dir->tid, number);

        if (!emit(context, name, (size_t)length, ino, dtype, (uint64_t)COOKIE_NUMBERS + (uint64_t)number))
            break;
    }
    return 0;
}

/* Cookies: 1 and up behind the table's entries, then COOKIE_NUMBERS and up behind the numbers. */
static int proc_readdir(struct vnode *vnode, uint64_t cookie, vdir_emit *emit, void *context)
{
    struct proc_node *dir = node_of(vnode);
    const struct proc_entry *entry = dir->entry->entries;

    if (dir->pid != 0 && process_find(dir->pid) == NULL)
        return -ENOENT;
    for (uint64_t i = 0; entry != NULL && entry->name != NULL; entry++, i++) {
        if (i < cookie)
            continue;
        if (!emit(context, entry->name, strlen(entry->name), ino_of(entry, dir->pid, dir->tid, -1),
                  entry->mode >> 12, i + 1))
            return 0;
    }
    return dir->entry->folder == PROC_PLAIN ? 0 : readdir_numbers(dir, cookie, emit, context);
}

/* ---------------------------------------------------------------- attributes and links */

static int proc_getattr(struct vnode *vnode, struct vattr *out)
{
    struct proc_node *node = node_of(vnode);
    struct process *process = node->pid == 0 ? NULL : process_find(node->pid);

    if (node->pid != 0 && process == NULL)
        return -ENOENT;
    out->mode = node->entry->mode & 07777;
    out->ino = ino_of(node->entry, node->pid, node->tid, node->fd);
    out->nlink = vnode->type == S_IFDIR ? 2 : 1;
    out->atime_ns = out->mtime_ns = out->ctime_ns = fs_now_ns();
    if (process != NULL) {
        out->uid = process->uid[CREDENTIAL_EFFECTIVE];
        out->gid = process->gid[CREDENTIAL_EFFECTIVE];
    }
    return 0;
}

static long proc_readlink(struct vnode *vnode, char *to, size_t size)
{
    struct proc_node *node = node_of(vnode);
    struct proc_subject subject;
    long length = -ENOENT;

    if (node->entry->link == NULL)
        return -EINVAL;
    if (subject_begin(node, &subject)) {
        length = node->entry->link(to, size, &subject);
        subject_end(&subject);
    }
    return length < (long)size ? length : (long)size;
}

static int proc_jump(struct vnode *vnode, struct vnode_jump *out)
{
    struct proc_node *node = node_of(vnode);
    struct proc_subject subject;
    int error = -ENOENT;

    if (subject_begin(node, &subject)) {
        error = node->entry->jump(out, &subject);
        subject_end(&subject);
    }
    return error;
}

/* ---------------------------------------------------------------- texts */

struct proc_file {
    struct text text;
    bool made;
};

/* Without memory it begins anew after reclaiming, because a process may end while we sleep. */
static int proc_make(struct file *file)
{
    struct proc_file *open = file->data;
    struct proc_node *node = node_of(file->vnode);

    do {
        struct proc_subject subject;

        text_free(&open->text);
        if (!subject_begin(node, &subject))
            return -ESRCH;
        node->entry->text(&open->text, &subject);
        subject_end(&subject);
    } while (open->text.failed && reclaim(RECLAIM_PAGES) != 0);
    if (open->text.failed)
        return -ENOMEM;
    open->made = true;
    return 0;
}

static long proc_read_bytes(const struct proc_node *node, struct uio *uio, uint64_t offset)
{
    struct proc_subject subject;
    long result;

    if (!subject_begin(node, &subject))
        return -ESRCH;
    result = node->entry->read(&subject, uio, offset);
    subject_end(&subject);
    return result;
}

static long proc_read(struct file *file, struct uio *uio, uint64_t offset)
{
    struct proc_file *open = file->data;
    size_t rest, put;

    if (node_of(file->vnode)->entry->read != NULL)
        return proc_read_bytes(node_of(file->vnode), uio, offset);
    if (node_of(file->vnode)->entry->text == NULL)
        return -EINVAL;
    if (offset == 0 || !open->made) {
        int error = proc_make(file);

        if (error != 0)
            return error;
    }
    if (offset >= open->text.length)
        return 0;
    rest = open->text.length - offset;
    put = uio_put(uio, open->text.data + offset, rest < uio->left ? rest : uio->left);
    return put == 0 && uio->left != 0 ? -EFAULT : (long)put;
}

long proc_number(const char *text, int64_t least, int64_t most, int64_t *out)
{
    int64_t value = 0;
    bool negative;

    while (*text == ' ' || *text == '\t' || *text == '\n')
        text++;
    negative = *text == '-';
    text += negative;
    if (*text < '0' || *text > '9')
        return -EINVAL;
    for (; *text >= '0' && *text <= '9'; text++)
        if (__builtin_mul_overflow(value, 10, &value) || __builtin_add_overflow(value, *text - '0', &value))
            return -EINVAL;
    while (*text == ' ' || *text == '\t' || *text == '\n')
        text++;
    value = negative ? -value : value;
    if (*text != '\0' || value < least || value > most)
        return -EINVAL;
    *out = value;
    return 0;
}

/* All of a setting comes in one write. */
static long proc_write(struct file *file, struct uio *uio, uint64_t offset)
{
    const struct proc_node *node = node_of(file->vnode);
    struct proc_subject subject;
    char text[SETTING_BYTES];
    size_t bytes = uio->left;
    long error;

    if (node->entry->take == NULL || bytes >= sizeof text)
        return -EINVAL;
    if (uio_get(uio, text, bytes) != bytes)
        return -EFAULT;
    text[bytes] = '\0';
    if (!subject_begin(node, &subject))
        return -ESRCH;
    error = node->entry->take(text, &subject);
    subject_end(&subject);
    return error != 0 ? error : (long)bytes;
}

static void proc_file_release(struct file *file)
{
    struct proc_file *open = file->data;

    text_free(&open->text);
    slab_free(open);
}

static const struct file_ops proc_file_ops = {
    .read = proc_read,
    .write = proc_write,
    .seek = object_file_seek,
    .release = proc_file_release,
};

static int proc_open(struct vnode *vnode, struct file *file)
{
    if (vnode->type != S_IFREG)
        return 0;
    if ((file->flags & O_ACCMODE) != O_RDONLY && node_of(vnode)->entry->take == NULL)
        return -EACCES;
    file->data = fs_alloc(sizeof(struct proc_file));
    if (file->data == NULL)
        return -ENOMEM;
    file->ops = &proc_file_ops;
    return 0;
}

/* A setting may be opened with O_TRUNC, as a shell does. */
static int proc_setattr(struct vnode *vnode, const struct vattr *attr, unsigned which)
{
    return which == VATTR_SIZE && node_of(vnode)->entry->take != NULL ? 0 : -EPERM;
}

static int proc_statfs(struct vnode *vnode, struct statfs64_info *out)
{
    out->type = PROC_SUPER_MAGIC;
    return 0;
}

static const struct vnode_ops proc_ops = {
    .lookup = proc_lookup,
    .readlink = proc_readlink,
    .readdir = proc_readdir,
    .getattr = proc_getattr,
    .setattr = proc_setattr,
    .open = proc_open,
    .statfs = proc_statfs,
    .release = proc_release,
};

/* The same for links to files themselves. */
static const struct vnode_ops proc_jump_ops = {
    .readlink = proc_readlink,
    .getattr = proc_getattr,
    .statfs = proc_statfs,
    .jump = proc_jump,
    .release = proc_release,
};

int procfs_create(struct vnode **root)
{
    int error = node_create(&root_entry, NULL, root);

    if (error == 0)
        proc_root = *root;
    return error;
}

/*
 * What the files of procfs share: a tree of entries, written down as tables.
 *
 * An entry is a folder of further entries, a text that is made anew for each reader, or a link. Below
 * /proc/PID every entry is about a process (and a thread).
 */
#ifndef KERNEL_FS_PROCFS_H
#define KERNEL_FS_PROCFS_H

#include "kernel/fs/internal.h"
#include "kernel/fs/text.h"

/* What an entry is about; both NULL outside of /proc/PID. Good until the caller sleeps, but for `space`,
 * which is held. */
struct proc_subject {
    struct process *process;
    struct task *task;
    struct space *space; /* NULL: none (any more) */
    int fd;              /* of a link in fd/; -1 */
};

/* Folders whose names are made on the fly. */
enum proc_folder { PROC_PLAIN, PROC_ROOT, PROC_FDS, PROC_TASKS };

struct proc_entry {
    const char *name; /* NULL ends a table */
    uint32_t mode;
    void (*text)(struct text *text, const struct proc_subject *subject);
    long (*link)(char *to, size_t size, const struct proc_subject *subject);
    /* Takes what is written to the file at once, NUL-terminated; 0 or -errno. NULL: the file is only read. */
    long (*take)(const char *text, const struct proc_subject *subject);
    /* Instead of a text: bytes from an offset on, as a file's read. */
    long (*read)(const struct proc_subject *subject, struct uio *uio, uint64_t offset);
    int (*jump)(struct vnode_jump *to, const struct proc_subject *subject); /* a link to a file itself */
    const struct proc_entry *entries;
    enum proc_folder folder;
};

#define PROC_TEXT(name_, text_)                                                                              \
    {                                                                                                        \
        .name = (name_), .mode = S_IFREG | 0444, .text = (text_)                                             \
    }
#define PROC_SETTING(name_, text_, take_)                                                                    \
    {                                                                                                        \
        .name = (name_), .mode = S_IFREG | 0644, .text = (text_), .take = (take_)                            \
    }
#define PROC_LINK(name_, link_)                                                                              \
    {                                                                                                        \
        .name = (name_), .mode = S_IFLNK | 0777, .link = (link_)                                             \
    }
#define PROC_JUMP(name_, link_, jump_)                                                                       \
    {                                                                                                        \
        .name = (name_), .mode = S_IFLNK | 0777, .link = (link_), .jump = (jump_)                            \
    }
#define PROC_FOLDER(name_, entries_)                                                                         \
    {                                                                                                        \
        .name = (name_), .mode = S_IFDIR | 0555, .entries = (entries_)                                       \
    }

/* /proc/self (procfs.c) */
long proc_self_link(char *to, size_t size, const struct proc_subject *subject);
int proc_self_jump(struct vnode_jump *to, const struct proc_subject *subject);

extern const struct proc_entry proc_system_entries[];  /* procfs_system.c */
extern const struct proc_entry proc_process_entries[]; /* procfs_process.c */
extern const struct proc_entry proc_task_entries[];    /* the same without task/ */

/* procfs_maps.c */
void proc_maps(struct text *text, const struct proc_subject *subject);
void proc_smaps(struct text *text, const struct proc_subject *subject);
void proc_smaps_rollup(struct text *text, const struct proc_subject *subject);
/* procfs_pages.c */
long proc_pagemap(const struct proc_subject *subject, struct uio *uio, uint64_t offset);
long proc_clear_refs(const char *written, const struct proc_subject *subject);
/* procfs_memory.c */
void proc_meminfo(struct text *text, const struct proc_subject *subject);
void proc_vmstat(struct text *text, const struct proc_subject *subject);
void proc_swaps(struct text *text, const struct proc_subject *subject);
extern const struct proc_entry proc_vm_entries[]; /* /proc/sys/vm */
/* procfs.c: a decimal number, with white space around it, in [least, most]; -EINVAL. */
long proc_number(const char *text, int64_t least, int64_t most, int64_t *out);
/* procfs_system.c */
void proc_mounts(struct text *text, const struct proc_subject *subject);
void proc_mountinfo(struct text *text, const struct proc_subject *subject);

/* Nanoseconds as ticks of 1/100 s, which is what times(2) and /proc count in. */
static inline uint64_t proc_ticks(uint64_t ns)
{
    return ns / 10000000;
}

#endif

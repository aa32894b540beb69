/*
 * System calls on who a process is and what it may: user and group numbers, capabilities.
 *
 * Files ask for user 0 (kernel/fs/permission.c); of the capabilities those count that process_may() is asked
 * for. All is root's unless it says otherwise.
 */
#include "kernel/fs/vfs.h"
#include "kernel/klib.h"
#include "kernel/linux/syscalls.h"
#include "kernel/task/task.h"

static bool is_root(const struct process *process)
{
    return process->uid[CREDENTIAL_EFFECTIVE] == 0;
}

long sys_getuid(void)
{
    return process_current()->uid[CREDENTIAL_REAL];
}

long sys_geteuid(void)
{
    return process_current()->uid[CREDENTIAL_EFFECTIVE];
}

long sys_getgid(void)
{
    return process_current()->gid[CREDENTIAL_REAL];
}

long sys_getegid(void)
{
    return process_current()->gid[CREDENTIAL_EFFECTIVE];
}

static bool any_is_root(const uint32_t uid[CREDENTIALS])
{
    return uid[CREDENTIAL_REAL] == 0 || uid[CREDENTIAL_EFFECTIVE] == 0 || uid[CREDENTIAL_SAVED] == 0;
}

/* Capabilities follow the user numbers (capabilities(7), "Effect of user ID changes on capabilities"). */
static void follow_uid(struct process *process, const uint32_t old[CREDENTIALS])
{
    const uint32_t *uid = process->uid;
    struct capabilities *held = &process->capabilities;

    if (any_is_root(old) && !any_is_root(uid) && !process->keeps_capabilities)
        held->permitted = held->effective = 0;
    if (old[CREDENTIAL_EFFECTIVE] == 0 && uid[CREDENTIAL_EFFECTIVE] != 0)
        held->effective = 0;
    if (old[CREDENTIAL_EFFECTIVE] != 0 && uid[CREDENTIAL_EFFECTIVE] == 0)
        held->effective = held->permitted;
    limits_apply(process, process->space);
}

static bool has_id(const uint32_t *ids, uint32_t id)
{
    return ids[CREDENTIAL_REAL] == id || ids[CREDENTIAL_EFFECTIVE] == id || ids[CREDENTIAL_SAVED] == id;
}

/* setresuid and its like: -1 keeps, others must be one's own unless root asks. */
static long set_ids(uint32_t *ids, const uint32_t wanted[CREDENTIALS])
{
    bool root = is_root(process_current());
    uint32_t old[CREDENTIALS];

    for (unsigned i = 0; i < CREDENTIALS; i++)
        if (wanted[i] != UINT32_MAX && !root && !has_id(ids, wanted[i]))
            return -EPERM;
    memcpy(old, ids, sizeof(old));
    for (unsigned i = 0; i < CREDENTIALS; i++)
        if (wanted[i] != UINT32_MAX)
            ids[i] = wanted[i];
    if (ids == process_current()->uid)
        follow_uid(process_current(), old);
    return 0;
}

/* setuid: root changes all three, others the effective one. */
static long set_id(uint32_t *ids, uint32_t id)
{
    bool root = is_root(process_current());
    const uint32_t all[CREDENTIALS] = {root ? id : UINT32_MAX, id, root ? id : UINT32_MAX};

    return id == UINT32_MAX ? -EINVAL : set_ids(ids, all);
}

/* setreuid: the saved one follows when the real one is set, or the effective one to something else than that.
 */
static long set_real_effective(uint32_t *ids, uint32_t real, uint32_t effective)
{
    uint32_t old_real = ids[CREDENTIAL_REAL];
    const uint32_t wanted[CREDENTIALS] = {real, effective, UINT32_MAX};
    long error = set_ids(ids, wanted);

    if (!error && (real != UINT32_MAX || (effective != UINT32_MAX && effective != old_real)))
        ids[CREDENTIAL_SAVED] = ids[CREDENTIAL_EFFECTIVE];
    return error;
}

static long get_ids(const uint32_t *ids, long real, long effective, long saved)
{
    if (user_write((uint64_t)real, &ids[CREDENTIAL_REAL], sizeof(*ids)) != 0 ||
        user_write((uint64_t)effective, &ids[CREDENTIAL_EFFECTIVE], sizeof(*ids)) != 0 ||
        user_write((uint64_t)saved, &ids[CREDENTIAL_SAVED], sizeof(*ids)) != 0)
        return -EFAULT;
    return 0;
}

long sys_setuid(long uid)
{
    return set_id(process_current()->uid, (uint32_t)uid);
}

long sys_setgid(long gid)
{
    return set_id(process_current()->gid, (uint32_t)gid);
}

long sys_setreuid(long real, long effective)
{
    return set_real_effective(process_current()->uid, (uint32_t)real, (uint32_t)effective);
}

long sys_setregid(long real, long effective)
{
    return set_real_effective(process_current()->gid, (uint32_t)real, (uint32_t)effective);
}

long sys_setresuid(long real, long effective, long saved)
{
    const uint32_t wanted[CREDENTIALS] = {(uint32_t)real, (uint32_t)effective, (uint32_t)saved};

    return set_ids(process_current()->uid, wanted);
}

long sys_setresgid(long real, long effective, long saved)
{
    const uint32_t wanted[CREDENTIALS] = {(uint32_t)real, (uint32_t)effective, (uint32_t)saved};

    return set_ids(process_current()->gid, wanted);
}

long sys_getresuid(long real, long effective, long saved)
{
    return get_ids(process_current()->uid, real, effective, saved);
}

long sys_getresgid(long real, long effective, long saved)
{
    return get_ids(process_current()->gid, real, effective, saved);
}

/* The file-system ids are the effective ones here; the old one is the result, as Linux has it. */
long sys_setfsuid(long uid)
{
    return process_current()->uid[CREDENTIAL_EFFECTIVE];
}

long sys_setfsgid(long gid)
{
    return process_current()->gid[CREDENTIAL_EFFECTIVE];
}

long sys_getgroups(long count, long list)
{
    return (int)count < 0 ? -EINVAL : 0; /* no supplementary groups */
}

long sys_setgroups(long count, long list)
{
    enum { GROUPS_MOST = 65536 };

    if (!is_root(process_current()))
        return -EPERM;
    return count < 0 || count > GROUPS_MOST ? -EINVAL : 0;
}

/* ---------------------------------------------------------------- capabilities */

static long check_capability_header(long at, struct __user_cap_header_struct *header, unsigned *words)
{
    const uint32_t preferred = _LINUX_CAPABILITY_VERSION_3;

    if (user_read(header, (uint64_t)at, sizeof(*header)) != 0)
        return -EFAULT;
    switch (header->version) {
    case _LINUX_CAPABILITY_VERSION_1:
        *words = _LINUX_CAPABILITY_U32S_1;
        break;
    case _LINUX_CAPABILITY_VERSION_2:
    case _LINUX_CAPABILITY_VERSION_3:
        *words = _LINUX_CAPABILITY_U32S_3;
        break;
    default:
        return user_write((uint64_t)at, &preferred, sizeof(preferred)) ? -EFAULT : -EINVAL;
    }
    if (header->pid < 0)
        return -EINVAL;
    return header->pid && !process_find(header->pid) && !task_find(header->pid) ? -ESRCH : 0;
}

/* Of another thread than one's own they can be looked at only. */
static const struct process *process_of_header(const struct __user_cap_header_struct *header)
{
    const struct task *task = header->pid ? task_find(header->pid) : task_current();

    return task ? task->process : process_find(header->pid);
}

long sys_capget(long header, long data)
{
    struct __user_cap_header_struct in;
    struct __user_cap_data_struct out[_LINUX_CAPABILITY_U32S_3];
    const struct capabilities *held;
    unsigned words;
    long error = check_capability_header(header, &in, &words);

    if (error)
        return error == -EINVAL && !data ? 0 : error;
    held = &process_of_header(&in)->capabilities;
    for (unsigned i = 0; i < words; i++)
        out[i] = (struct __user_cap_data_struct){(uint32_t)(held->effective >> 32 * i),
                                                 (uint32_t)(held->permitted >> 32 * i),
                                                 (uint32_t)(held->inheritable >> 32 * i)};
    return user_write((uint64_t)data, out, words * sizeof(out[0])) ? -EFAULT : 0;
}

long sys_capset(long header, long data)
{
    struct __user_cap_header_struct in;
    struct __user_cap_data_struct from[_LINUX_CAPABILITY_U32S_3] = {{0, 0, 0}, {0, 0, 0}};
    struct process *process = process_current();
    struct capabilities wanted = {0, 0, 0}, *held = &process->capabilities;
    unsigned words;
    long error = check_capability_header(header, &in, &words);

    if (error)
        return error;
    if (in.pid && in.pid != task_current()->tid)
        return -EPERM;
    if (user_read(from, (uint64_t)data, words * sizeof(from[0])) != 0)
        return -EFAULT;
    for (unsigned i = 0; i < words; i++) {
        wanted.effective |= (uint64_t)from[i].effective << 32 * i;
        wanted.permitted |= (uint64_t)from[i].permitted << 32 * i;
        wanted.inheritable |= (uint64_t)from[i].inheritable << 32 * i;
    }
    wanted.effective &= CAPABILITIES_ALL;
    wanted.permitted &= CAPABILITIES_ALL;
    wanted.inheritable &= CAPABILITIES_ALL;
    if (wanted.permitted & ~held->permitted || wanted.effective & ~wanted.permitted ||
        wanted.inheritable & ~(held->inheritable | held->permitted))
        return -EPERM;
    *held = wanted;
    limits_apply(process, process->space);
    return 0;
}

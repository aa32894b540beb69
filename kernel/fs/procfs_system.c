/*
 * procfs: what is about the system as a whole. The formats are Linux's (proc(5)), which ps, top and free
 * parse.
 */
#include <cpuid.h>
#include <linux/errno.h>

#include "kernel/fs/procfs.h"
#include "kernel/klib.h"
#include "kernel/linux/names.h"
#include "kernel/linux/segment.h"
#include "kernel/linux/syscalls.h"
#include "kernel/task/pressure.h"
#include "quire/slab.h"

static const uint64_t SECOND_NS = 1000000000;
enum { PID_MAX = 32768, PIPE_MAX_SIZE = 1048576, FILE_MAX = 1048576, UUID_BYTES = 16 };

/* ---------------------------------------------------------------- processor time */

struct totals {
    uint64_t user_ns, system_ns;
    unsigned threads, sleeping;
    int last_pid;
};

/* What ended processes used is counted with whoever waited for them. */
static void totals_visit(struct process *process, void *context)
{
    struct totals *totals = context;
    uint64_t user_ns, system_ns;

    process_times(process, &user_ns, &system_ns);
    totals->user_ns += user_ns + process->children_user_ns;
    totals->system_ns += system_ns + process->children_system_ns;
    totals->threads += process->thread_count;
    totals->sleeping += process_state(process) == 'D';
    if (process->pid > totals->last_pid)
        totals->last_pid = process->pid;
}

static uint64_t idle_ns(const struct totals *totals)
{
    uint64_t now = host_now_ns(), busy = totals->user_ns + totals->system_ns;

    return now > busy ? now - busy : 0;
}

static void stat(struct text *text, const struct proc_subject *subject)
{
    struct totals totals = {.user_ns = 0};
    static const char *const lines[] = {"cpu ", "cpu0"};

    process_for_each(totals_visit, &totals);
    for (int i = 0; i < 2; i++)
        text_printf(text, "%s %lu 0 %lu %lu 0 0 0 0 0 0\n", lines[i], proc_ticks(totals.user_ns),
                    proc_ticks(totals.system_ns), proc_ticks(idle_ns(&totals)));
    text_printf(text, "intr 0\nctxt %lu\n", vm_stats.switches_kept + vm_stats.switches_flushed);
    text_printf(text, "btime %lu\n", time_boot_epoch_ns / SECOND_NS);
    text_printf(text, "processes %d\n", totals.last_pid);
    text_printf(text, "procs_running %u\n", sched_runnable() + 1);
    text_printf(text, "procs_blocked %u\n", totals.sleeping);
}

static void uptime(struct text *text, const struct proc_subject *subject)
{
    struct totals totals = {.user_ns = 0};
    uint64_t up = proc_ticks(host_now_ns()), idle;

    process_for_each(totals_visit, &totals);
    idle = proc_ticks(idle_ns(&totals));
    text_printf(text, "%lu.%02lu %lu.%02lu\n", up / 100, up % 100, idle / 100, idle % 100);
}

static void loadavg(struct text *text, const struct proc_subject *subject)
{
    struct totals totals = {.user_ns = 0};

    process_for_each(totals_visit, &totals);
    text_printf(text, "0.00 0.00 0.00 %u/%u %d\n", sched_runnable() + 1, totals.threads, totals.last_pid);
}

/* ---------------------------------------------------------------- the machine */

static void cpu_name(char name[49])
{
    uint32_t words[12] = {0}, eax, ebx, ecx, edx;

    __cpuid(0x80000000, eax, ebx, ecx, edx);
    for (uint32_t leaf = 0; leaf < 3 && eax >= 0x80000004; leaf++)
        __cpuid(0x80000002 + leaf, words[leaf * 4], words[leaf * 4 + 1], words[leaf * 4 + 2],
                words[leaf * 4 + 3]);
    memcpy(name, words, sizeof words);
    name[sizeof words] = '\0';
}

static void cpuinfo(struct text *text, const struct proc_subject *subject)
{
    uint32_t eax, ebx, ecx, edx, family, model;
    char vendor[13] = "", name[49];
    uint64_t khz = cpu_here()->tsc_hz / 1000;

    __cpuid(0, eax, ebx, ecx, edx);
    memcpy(vendor, &ebx, 4);
    memcpy(vendor + 4, &edx, 4);
    memcpy(vendor + 8, &ecx, 4);
    __cpuid(1, eax, ebx, ecx, edx);
    family = eax >> 8 & 0xf;
    model = (eax >> 4 & 0xf) | (family >= 6 ? eax >> 12 & 0xf0 : 0);
    if (family == 0xf)
        family += eax >> 20 & 0xff;
    cpu_name(name);
    text_printf(text, "processor\t: 0\nvendor_id\t: %s\ncpu family\t: %u\nmodel\t\t: %u\nmodel name\t: %s\n",
                vendor, family, model, name);
    text_printf(text, "stepping\t: %u\ncpu MHz\t\t: %lu.%03lu\n", eax & 0xf, khz / 1000, khz % 1000);
    text_printf(text, "physical id\t: 0\nsiblings\t: 1\ncore id\t\t: 0\ncpu cores\t: 1\nfpu\t\t: yes\n");
    text_printf(
        text, "flags\t\t: fpu pse tsc msr pae cx8 apic pge cmov pat fxsr sse sse2 syscall lm%s%s%s%s%s%s%s\n",
        cpu_features.nx ? " nx" : "", cpu_features.giant_pages ? " pdpe1gb" : "",
        cpu_features.pcid ? " pcid" : "", cpu_features.avx ? " avx" : "", cpu_features.erms ? " erms" : "",
        cpu_features.smep ? " smep" : "", cpu_features.smap ? " smap" : "");
    text_printf(text, "bogomips\t: %lu.%02lu\nclflush size\t: 64\ncache_alignment\t: 64\n", khz / 500,
                khz / 5 % 100);
    text_printf(text, "address sizes\t: %u bits physical, 48 bits virtual\n\n", cpu_features.physical_bits);
}

static void version(struct text *text, const struct proc_subject *subject)
{
    text_printf(text, "%s version %s (quire) (gcc) %s\n", system_names.sysname, system_names.release,
                system_names.version);
}

static void filesystems(struct text *text, const struct proc_subject *subject)
{
    text_printf(text, "nodev\ttmpfs\nnodev\tproc\nnodev\tdevtmpfs\nnodev\t9p\n");
}

static void devices(struct text *text, const struct proc_subject *subject)
{
    text_printf(text, "Character devices:\n  1 mem\n  5 /dev/tty\n  5 /dev/console\n\nBlock devices:\n");
}

static void sysvipc_shm(struct text *text, const struct proc_subject *subject)
{
    text_printf(text,
                "       key      shmid perms                  size  cpid  lpid nattch   uid   gid  cuid  cgid"
                "      atime      dtime      ctime                   rss                  swap\n");
    for (int i = 0; i <= shm_index_highest(); i++) {
        const struct shm_segment *segment = shm_by_index(i);

        if (segment == NULL)
            continue;
        text_printf(text, "%10d %10d  %4o %21lu %5d %5d  %5lu ", segment->key, segment->id, segment->mode,
                    segment->bytes, segment->creator_pid, segment->last_pid, segment->attaches);
        text_printf(text, "%5u %5u %5u %5u %10lu %10lu %10lu ", segment->uid, segment->gid,
                    segment->creator_uid, segment->creator_gid, (uint64_t)segment->attach_ns / SECOND_NS,
                    (uint64_t)segment->detach_ns / SECOND_NS, (uint64_t)segment->change_ns / SECOND_NS);
        text_printf(text, "%21lu %21lu\n", object_resident(segment->object) << PAGE_SHIFT, 0ul);
    }
}

/* ---------------------------------------------------------------- mounts */

static void mounts_visit(struct mount *mount, const char *path, void *context)
{
    text_printf(context, "%s %s %s %s,relatime 0 0\n", mount->source, path, mount->type,
                mount->read_only ? "ro" : "rw");
}

void proc_mounts(struct text *text, const struct proc_subject *subject)
{
    vfs_for_each_mount(mounts_visit, text);
}

static void mountinfo_visit(struct mount *mount, const char *path, void *context)
{
    uint64_t parent = mount->on != NULL ? mount->on->mount->dev : 0;

    text_printf(context, "%lu %lu 0:%lu / %s %s,relatime - %s %s %s\n", mount->dev, parent, mount->dev, path,
                mount->read_only ? "ro" : "rw", mount->type, mount->source, mount->read_only ? "ro" : "rw");
}

void proc_mountinfo(struct text *text, const struct proc_subject *subject)
{
    vfs_for_each_mount(mountinfo_visit, text);
}

/* ---------------------------------------------------------------- links */

static long thread_self_link(char *to, size_t size, const struct proc_subject *subject)
{
    struct process *process = process_current();

    return process == NULL ? -ENOENT : snprintf(to, size, "%d/task/%d", process->pid, task_current()->tid);
}

static long mounts_link(char *to, size_t size, const struct proc_subject *subject)
{
    return (long)strlcpy(to, "self/mounts", size);
}

/* ---------------------------------------------------------------- sys */

static void ostype(struct text *text, const struct proc_subject *subject)
{
    text_printf(text, "%s\n", system_names.sysname);
}

static void osrelease(struct text *text, const struct proc_subject *subject)
{
    text_printf(text, "%s\n", system_names.release);
}

static void osversion(struct text *text, const struct proc_subject *subject)
{
    text_printf(text, "%s\n", system_names.version);
}

static void hostname(struct text *text, const struct proc_subject *subject)
{
    text_printf(text, "%s\n", system_names.nodename);
}

static void domainname(struct text *text, const struct proc_subject *subject)
{
    text_printf(text, "%s\n", system_names.domainname);
}

static void pid_max(struct text *text, const struct proc_subject *subject)
{
    text_printf(text, "%d\n", PID_MAX);
}

static void cap_last_cap(struct text *text, const struct proc_subject *subject)
{
    text_printf(text, "40\n");
}

static void ngroups_max(struct text *text, const struct proc_subject *subject)
{
    text_printf(text, "65536\n");
}

static void randomize_va_space(struct text *text, const struct proc_subject *subject)
{
    struct process *process = process_current();

    text_printf(text, "%d\n", process == NULL || process->aslr ? 2 : 0);
}

/* RFC 4122, version 4. */
static void uuid_print(struct text *text, const uint8_t bytes[UUID_BYTES])
{
    for (int i = 0; i < UUID_BYTES; i++)
        text_printf(text, "%s%02x", i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "",
                    i == 6   ? (bytes[i] & 0x0f) | 0x40
                    : i == 8 ? (bytes[i] & 0x3f) | 0x80
                             : bytes[i]);
    text_printf(text, "\n");
}

static void random_uuid(struct text *text, const struct proc_subject *subject)
{
    uint8_t bytes[UUID_BYTES];

    random_bytes(bytes, sizeof bytes);
    uuid_print(text, bytes);
}

static void boot_id(struct text *text, const struct proc_subject *subject)
{
    static uint8_t bytes[UUID_BYTES];
    static bool made;

    if (!made)
        random_bytes(bytes, sizeof bytes);
    made = true;
    uuid_print(text, bytes);
}

static void entropy_avail(struct text *text, const struct proc_subject *subject)
{
    text_printf(text, "256\n");
}

static void pipe_max_size(struct text *text, const struct proc_subject *subject)
{
    text_printf(text, "%d\n", PIPE_MAX_SIZE);
}

static void file_max(struct text *text, const struct proc_subject *subject)
{
    text_printf(text, "%d\n", FILE_MAX);
}

static void shm_bytes_most(struct text *text, const struct proc_subject *subject)
{
    text_printf(text, "%lu\n", (uint64_t)SHM_BYTES_MOST);
}

static void shm_segments_most(struct text *text, const struct proc_subject *subject)
{
    text_printf(text, "%d\n", SHM_SEGMENTS_MOST);
}

static void zero(struct text *text, const struct proc_subject *subject)
{
    text_printf(text, "0\n");
}

static const struct proc_entry random_entries[] = {
    PROC_TEXT("boot_id", boot_id),
    PROC_TEXT("uuid", random_uuid),
    PROC_TEXT("entropy_avail", entropy_avail),
    PROC_TEXT("poolsize", entropy_avail),
    {.name = NULL},
};

static const struct proc_entry kernel_entries[] = {
    PROC_TEXT("ostype", ostype),
    PROC_TEXT("osrelease", osrelease),
    PROC_TEXT("version", osversion),
    PROC_TEXT("hostname", hostname),
    PROC_TEXT("domainname", domainname),
    PROC_TEXT("pid_max", pid_max),
    PROC_TEXT("threads-max", pid_max),
    PROC_TEXT("cap_last_cap", cap_last_cap),
    PROC_TEXT("ngroups_max", ngroups_max),
    PROC_TEXT("randomize_va_space", randomize_va_space),
    PROC_TEXT("shmmax", shm_bytes_most),
    PROC_TEXT("shmall", shm_bytes_most),
    PROC_TEXT("shmmni", shm_segments_most),
    PROC_TEXT("shm_rmid_forced", zero),
    PROC_FOLDER("random", random_entries),
    {.name = NULL},
};

static const struct proc_entry fs_entries[] = {
    PROC_TEXT("pipe-max-size", pipe_max_size),
    PROC_TEXT("file-max", file_max),
    PROC_TEXT("nr_open", file_max),
    {.name = NULL},
};

static const struct proc_entry sys_entries[] = {
    PROC_FOLDER("kernel", kernel_entries),
    PROC_FOLDER("vm", proc_vm_entries),
    PROC_FOLDER("fs", fs_entries),
    {.name = NULL},
};

static const struct proc_entry sysvipc_entries[] = {PROC_TEXT("shm", sysvipc_shm), {.name = NULL}};

static void memory_pressure(struct text *text, const struct proc_subject *subject)
{
    pressure_show(text, NULL);
}

static const struct proc_entry pressure_entries[] = {PROC_TEXT("memory", memory_pressure), {NULL}};

const struct proc_entry proc_system_entries[] = {
    PROC_TEXT("cpuinfo", cpuinfo),
    PROC_TEXT("devices", devices),
    PROC_TEXT("filesystems", filesystems),
    PROC_TEXT("loadavg", loadavg),
    PROC_TEXT("meminfo", proc_meminfo),
    PROC_LINK("mounts", mounts_link),
    PROC_JUMP("self", proc_self_link, proc_self_jump),
    PROC_TEXT("stat", stat),
    PROC_TEXT("swaps", proc_swaps),
    PROC_FOLDER("pressure", pressure_entries),
    PROC_FOLDER("sys", sys_entries),
    PROC_FOLDER("sysvipc", sysvipc_entries),
    PROC_LINK("thread-self", thread_self_link),
    PROC_TEXT("uptime", uptime),
    PROC_TEXT("version", version),
    PROC_TEXT("vmstat", proc_vmstat),
    {.name = NULL},
};

/*
 * Bad pointers to every system call: NULL, unmapped, kernel, non-canonical, read-only where it is written.
 * What a call answers to nonsense may differ between systems; what must be the same is that a pointer that is
 * used gives EFAULT, and that nobody ever crashes.
 */
#include "guest.h"
#include <sys/time.h>
#include <sys/uio.h>

static const uintptr_t bad[] = {0x8,
                                0x0000700000000000, /* unmapped, with luck: checked below */
                                0x00007ffffffff000,
                                0x0000800000000000,
                                0x7fffffffffffffff,
                                0xffff800000000000,
                                0xffff888000000000,
                                0xffffffff80100000,
                                0xffffffffffffff00,
                                0xffffffffffffffff};
static const char *const bad_names[] = {"8",          "unmapped",   "user end",     "hole",      "middle",
                                        "kernel low", "kernel map", "kernel image", "top - 256", "top"};
enum { BADS = sizeof bad / sizeof bad[0] };

/* Prints one line a call: what it answered to each bad pointer, shortened when they agree. */
#define EACH(what, call)                                                                                     \
    do {                                                                                                     \
        long answers[BADS];                                                                                  \
        bool same = true;                                                                                    \
        for (size_t i = 0; i < BADS; i++) {                                                                  \
            uintptr_t p = bad[i];                                                                            \
            errno = 0;                                                                                       \
            long answer_ = (call);                                                                           \
            answers[i] = answer_ == -1 ? -errno : answer_;                                                   \
            same = same && answers[i] == answers[0];                                                         \
        }                                                                                                    \
        print_answers(what, answers, same);                                                                  \
    } while (0)

static void print_answers(const char *what, const long *answers, bool same)
{
    printf("%s:", what);
    for (size_t i = 0; i < (same ? 1 : BADS); i++) {
        if (!same)
            printf(" [%s]", bad_names[i]);
        if (answers[i] < 0)
            printf(" %s", error_name((int)-answers[i]));
        else
            printf(" %ld", answers[i]);
    }
    printf("\n");
}

static long call(long number, uintptr_t a, uintptr_t b, uintptr_t c, uintptr_t d)
{
    return syscall(number, a, b, c, d, 0L, 0L);
}

static void files(int file, int pipe_read, int pipe_write, int directory)
{
    part("files");
    EACH("read of a file", call(SYS_read, (uintptr_t)file, p, 10, 0));
    EACH("write of a file", call(SYS_write, (uintptr_t)file, p, 10, 0));
    EACH("pread", call(SYS_pread64, (uintptr_t)file, p, 10, 0));
    EACH("pwrite", call(SYS_pwrite64, (uintptr_t)file, p, 10, 0));
    EACH("read of a pipe", call(SYS_read, (uintptr_t)pipe_read, p, 10, 0));
    EACH("write of a pipe", call(SYS_write, (uintptr_t)pipe_write, p, 10, 0));
    EACH("readv, bad vector", call(SYS_readv, (uintptr_t)file, p, 1, 0));
    EACH("writev, bad vector", call(SYS_writev, (uintptr_t)file, p, 1, 0));
    EACH("readv, bad base", ({
             struct iovec one = {(void *)p, 10};
             pwrite(file, "0123456789", 10, 0);
             lseek(file, 0, SEEK_SET);
             call(SYS_readv, (uintptr_t)file, (uintptr_t)&one, 1, 0);
         }));
    EACH("open", call(SYS_open, p, O_RDONLY, 0, 0));
    EACH("openat", call(SYS_openat, (uintptr_t)AT_FDCWD, p, O_RDONLY, 0));
    EACH("stat, path", ({
             struct stat info;
             call(SYS_stat, p, (uintptr_t)&info, 0, 0);
         }));
    EACH("stat, buffer", call(SYS_stat, (uintptr_t) "/", p, 0, 0));
    EACH("fstat", call(SYS_fstat, (uintptr_t)file, p, 0, 0));
    EACH("lstat, buffer", call(SYS_lstat, (uintptr_t) "/", p, 0, 0));
    EACH("newfstatat", call(SYS_newfstatat, (uintptr_t)AT_FDCWD, (uintptr_t) "/", p, 0));
    EACH("statx", syscall(SYS_statx, AT_FDCWD, "/", 0, 0x7ff, p));
    EACH("access", call(SYS_access, p, 0, 0, 0));
    EACH("getdents64", call(SYS_getdents64, (uintptr_t)directory, p, 1024, 0));
    EACH("getcwd", call(SYS_getcwd, p, 100, 0, 0));
    EACH("chdir", call(SYS_chdir, p, 0, 0, 0));
    EACH("mkdir", call(SYS_mkdir, p, 0700, 0, 0));
    EACH("rmdir", call(SYS_rmdir, p, 0, 0, 0));
    EACH("unlink", call(SYS_unlink, p, 0, 0, 0));
    EACH("rename, old", call(SYS_rename, p, (uintptr_t) "/tmp/x", 0, 0));
    EACH("rename, new", call(SYS_rename, (uintptr_t) "/tmp", p, 0, 0));
    EACH("link", call(SYS_link, p, p, 0, 0));
    EACH("symlink", call(SYS_symlink, p, p, 0, 0));
    EACH("readlink, path", ({
             char buffer[10];
             call(SYS_readlink, p, (uintptr_t)buffer, 10, 0);
         }));
    EACH("readlink, buffer", call(SYS_readlink, (uintptr_t) "/proc/self/exe", p, 10, 0));
    EACH("chmod", call(SYS_chmod, p, 0700, 0, 0));
    EACH("chown", call(SYS_chown, p, 0, 0, 0));
    EACH("truncate", call(SYS_truncate, p, 0, 0, 0));
    EACH("pipe2", call(SYS_pipe2, p, 0, 0, 0));
    EACH("ioctl TIOCGWINSZ on a pipe", call(SYS_ioctl, (uintptr_t)pipe_read, 0x5413, p, 0));
    EACH("fcntl F_GETLK", call(SYS_fcntl, (uintptr_t)file, F_GETLK, p, 0));
    EACH("utimensat, times", call(SYS_utimensat, (uintptr_t)file, 0, p, 0));
    EACH("statfs", call(SYS_statfs, (uintptr_t) "/", p, 0, 0));
}

static void waiting(int pipe_read)
{
    part("waiting");
    EACH("poll", call(SYS_poll, p, 1, 0, 0));
    EACH("select, sets", call(SYS_select, 10, p, 0, 0));
    EACH("select, timeout", syscall(SYS_select, 1, NULL, NULL, NULL, p));
    EACH("pselect6, timeout", syscall(SYS_pselect6, 0, NULL, NULL, NULL, p, NULL));
    EACH("nanosleep", call(SYS_nanosleep, p, 0, 0, 0));
    EACH("clock_nanosleep", call(SYS_clock_nanosleep, 1, 0, p, 0));
    EACH("futex wait", call(SYS_futex, p & ~(uintptr_t)3, 0, 0, 0));
    EACH("futex wake", call(SYS_futex, (p & ~(uintptr_t)3) | 0, 1, 1, 0) > 0);
    EACH("wait4, status", ({
             if (fork() == 0)
                 _exit(0);
             long got = call(SYS_wait4, (uintptr_t)-1, p, 0, 0);
             int left, error = errno;
             while (wait(&left) > 0)
                 ;
             errno = error;
             got;
         }));
    EACH("ppoll, timeout", ({
             struct {
                 int file;
                 short events, revents;
             } one = {pipe_read, 1, 0};
             call(SYS_ppoll, (uintptr_t)&one, 1, p, 0);
         }));
}

static void processes(void)
{
    part("processes");
    EACH("execve, path", call(SYS_execve, p, 0, 0, 0));
    EACH("execve, argv", call(SYS_execve, (uintptr_t) "/proc/self/exe", p, 0, 0));
    EACH("execve, argv[0]", ({
             char *words[2] = {(char *)p, NULL};
             call(SYS_execve, (uintptr_t) "/proc/self/exe", (uintptr_t)words, 0, 0);
         }));
    EACH("execve, environment", ({
             char *words[2] = {"x", NULL};
             call(SYS_execve, (uintptr_t) "/proc/self/exe", (uintptr_t)words, p, 0);
         }));
    EACH("rt_sigaction, new", call(SYS_rt_sigaction, SIGUSR1, p, 0, 8));
    EACH("rt_sigaction, old", call(SYS_rt_sigaction, SIGUSR1, 0, p, 8));
    EACH("rt_sigprocmask, new", call(SYS_rt_sigprocmask, 0, p, 0, 8));
    EACH("rt_sigprocmask, old", call(SYS_rt_sigprocmask, 0, 0, p, 8));
    EACH("rt_sigpending", call(SYS_rt_sigpending, p, 8, 0, 0));
    EACH("rt_sigsuspend", call(SYS_rt_sigsuspend, p, 8, 0, 0));
    EACH("rt_sigqueueinfo", call(SYS_rt_sigqueueinfo, (uintptr_t)getpid(), 0, p, 0));
    EACH("sigaltstack, new", call(SYS_sigaltstack, p, 0, 0, 0));
    EACH("sigaltstack, old", call(SYS_sigaltstack, 0, p, 0, 0));
    EACH("uname", call(SYS_uname, p, 0, 0, 0));
    EACH("sysinfo", call(SYS_sysinfo, p, 0, 0, 0));
    EACH("times", call(SYS_times, p, 0, 0, 0));
    EACH("getrusage", call(SYS_getrusage, 0, p, 0, 0));
    EACH("getrlimit", call(SYS_getrlimit, 3, p, 0, 0));
    EACH("setrlimit", call(SYS_setrlimit, 3, p, 0, 0));
    EACH("prlimit64, old", call(SYS_prlimit64, 0, 3, 0, p));
    EACH("clock_gettime", call(SYS_clock_gettime, 1, p, 0, 0));
    EACH("clock_getres", call(SYS_clock_getres, 1, p, 0, 0));
    EACH("gettimeofday", call(SYS_gettimeofday, p, 0, 0, 0));
    EACH("time", call(SYS_time, p, 0, 0, 0));
    EACH("setitimer", call(SYS_setitimer, 0, p, 0, 0));
    EACH("getitimer", call(SYS_getitimer, 0, p, 0, 0));
    EACH("getgroups", call(SYS_getgroups, 0, p, 0, 0) >= 0);
    EACH("getrandom", call(SYS_getrandom, p, 8, 0, 0));
    EACH("arch_prctl, get", call(SYS_arch_prctl, 0x1003, p, 0, 0));
    EACH("prctl PR_GET_NAME", call(SYS_prctl, 16, p, 0, 0));
    EACH("prctl PR_SET_NAME", call(SYS_prctl, 15, p, 0, 0));
}

static void memory(void)
{
    unsigned char resident;

    (void)resident;
    part("memory calls answer with their own errors");
    EACH("munmap", call(SYS_munmap, p & ~(uintptr_t)4095, (uintptr_t)1 << 63, 0, 0));
    EACH("mprotect", call(SYS_mprotect, p & ~(uintptr_t)4095, 4096, 1, 0));
    EACH("madvise", call(SYS_madvise, p & ~(uintptr_t)4095, 4096, 0, 0));
    EACH("msync", call(SYS_msync, p & ~(uintptr_t)4095, 4096, 4, 0));
    EACH("brk", call(SYS_brk, p, 0, 0, 0) == call(SYS_brk, 0, 0, 0, 0));
}

/* Pointers that are good at first and bad at the end, and pages that may not be written. */
static void edges(int file, int pipe_read, int pipe_write)
{
    char *area = map_anon_rw(2 * PAGE);

    part("edges");
    munmap(area + PAGE, PAGE);
    memset(area, 'e', PAGE);
    strcpy(area + PAGE - 6, "/tmp/");
    area[PAGE - 1] = 'x'; /* a path without an end */
    show("open of a path that runs off the page", open(area + PAGE - 6, O_RDONLY));
    strcpy(area + PAGE - 5, "/tmp");
    int directory = open(area + PAGE - 5, O_RDONLY);
    show_yes("open of a path that ends with the page", directory >= 0);
    show("stat, path ends with the page", stat(area + PAGE - 5, (struct stat *)area));
    show("fstat across the end", fstat(file, (struct stat *)(area + PAGE - 8)));
    pwrite(file, "0123456789abcdefghij", 20, 0);
    show("pread across the end", pread(file, area + PAGE - 5, 20, 0));
    show("write to a file across the end", pwrite(file, area + PAGE - 5, 20, 100));
    must(write(pipe_write, "12345678", 8) == 8, "write");
    show("read of a pipe, unmapped", read(pipe_read, area + PAGE, 8));
    char rest[16];
    show("the pipe still has it", read(pipe_read, rest, sizeof rest));

    char *constant = map_anon(PAGE, PROT_READ, MAP_PRIVATE);
    show("pread into read-only memory", pread(file, constant, 10, 0));
    show("fstat into read-only memory", fstat(file, (struct stat *)constant));
    show("read into the program's text", pread(file, (void *)(uintptr_t)edges, 10, 0));
    show("write from read-only memory", pwrite(file, constant, 10, 0));
    char *none = map_anon(PAGE, PROT_NONE, MAP_PRIVATE);
    show("write from memory without rights", pwrite(file, none, 10, 0));
    show("read of 0 bytes to nowhere", read(file, (void *)8, 0));
    show("write of 0 bytes from nowhere", write(file, (void *)8, 0));
    show("read of 0 bytes to the kernel", read(file, (void *)0xffff888000000000, 0));
    show("length reaches into the kernel", pwrite(file, area, (size_t)0x7ffffffff000, 0) > 0);
    show("length is negative", call(SYS_read, (uintptr_t)file, (uintptr_t)area, (uintptr_t)-1, 0));
}

static void nothing(int signal)
{
    (void)signal;
}

/* Every number that exists, with pointers that do not: nothing but survival is checked. */
static void survive(void)
{
    /* These end, stop, block or change the process, as they should. */
    static const short skip[] = {SYS_exit,
                                 SYS_exit_group,
                                 SYS_fork,
                                 SYS_vfork,
                                 SYS_clone,
                                 SYS_clone3,
                                 SYS_pause,
                                 SYS_rt_sigreturn,
                                 SYS_kill,
                                 SYS_tkill,
                                 SYS_tgkill,
                                 SYS_reboot,
                                 SYS_close,
                                 SYS_close_range,
                                 SYS_munmap,
                                 SYS_mremap,
                                 SYS_mprotect,
                                 SYS_mmap,
                                 SYS_brk,
                                 SYS_madvise,
                                 SYS_alarm,
                                 SYS_setitimer,
                                 SYS_dup2,
                                 SYS_dup3,
                                 SYS_arch_prctl,
                                 SYS_setpgid,
                                 SYS_setsid,
                                 SYS_vhangup,
                                 SYS_ptrace,
                                 SYS_setuid,
                                 SYS_setgid,
                                 SYS_setreuid,
                                 SYS_setregid,
                                 SYS_setresuid,
                                 SYS_setresgid,
                                 SYS_setgroups,
                                 SYS_chroot,
                                 SYS_pivot_root,
                                 SYS_personality,
                                 SYS_seccomp,
                                 SYS_prctl,
                                 SYS_umask,
                                 SYS_sync,
                                 SYS_syncfs,
                                 SYS_wait4,
                                 SYS_waitid,
                                 SYS_swapon,
                                 SYS_swapoff,
                                 SYS_sethostname,
                                 SYS_setdomainname,
                                 SYS_mount,
                                 SYS_umount2,
                                 SYS_iopl,
                                 SYS_ioperm,
                                 SYS_unshare,
                                 SYS_setns,
                                 SYS_init_module,
                                 SYS_delete_module,
                                 SYS_finit_module,
                                 SYS_kexec_load,
                                 SYS_kexec_file_load,
                                 SYS_settimeofday,
                                 SYS_clock_settime,
                                 SYS_clock_adjtime,
                                 SYS_adjtimex,
                                 SYS_setfsuid,
                                 SYS_setfsgid,
                                 SYS_acct,
                                 SYS_setpriority,
                                 SYS_sched_setscheduler,
                                 SYS_sched_setparam,
                                 SYS_sched_setattr,
                                 SYS_ioprio_set,
                                 SYS_mlockall,
                                 SYS_capset,
                                 SYS_modify_ldt,
                                 SYS_set_thread_area,
                                 SYS_fanotify_init,
                                 SYS_userfaultfd,
                                 SYS_bpf,
                                 SYS_perf_event_open,
                                 SYS_memfd_secret,
                                 SYS_set_robust_list,
                                 SYS_rseq,
                                 SYS_quotactl,
                                 SYS_syslog,
                                 SYS_lookup_dcookie,
                                 SYS_remap_file_pages,
                                 SYS_set_mempolicy,
                                 SYS_mbind,
                                 SYS_migrate_pages,
                                 SYS_move_pages,
                                 SYS_munlockall,
                                 SYS_fcntl,
                                 SYS_ioctl,
                                 SYS_flock,
                                 SYS_vmsplice,
                                 SYS_tee,
                                 SYS_splice,
                                 SYS_sendfile,
                                 SYS_rt_sigtimedwait,
                                 SYS_set_tid_address,
                                 SYS_keyctl,
                                 SYS_add_key,
                                 SYS_request_key,
                                 SYS_landlock_restrict_self,
                                 SYS_process_madvise,
                                 SYS_process_mrelease,
                                 SYS_msgctl,
                                 SYS_shmctl,
                                 SYS_semctl,
                                 SYS_msgget,
                                 SYS_shmget,
                                 SYS_semget,
                                 SYS_shmat,
                                 SYS_shmdt,
                                 SYS_dup,
                                 SYS_open_by_handle_at};
    unsigned tried = 0;

    part("every other number, nonsense everywhere");
    /* Whatever blocks is interrupted soon. */
    struct sigaction action = {.sa_handler = nothing};
    struct itimerval often = {{0, 10000}, {0, 10000}};
    struct itimerval never = {{0, 0}, {0, 0}};
    sigaction(SIGALRM, &action, NULL);
    setitimer(ITIMER_REAL, &often, NULL);
    for (long number = 0; number < 450; number++) {
        bool skipped = number > 334 && number < 424; /* newer systems give some of the gap a meaning */

        for (size_t i = 0; i < sizeof skip / sizeof skip[0]; i++)
            skipped = skipped || skip[i] == number;
        if (skipped)
            continue;
        for (size_t i = 0; i < BADS; i++)
            for (int where = 0; where < 6; where++) {
                uintptr_t words[6] = {0x7ffffff0, 0, 0, 0, 0, 0}; /* no such descriptor, no such process */

                for (int j = where; j < 6; j++)
                    words[j] = bad[i];
                syscall(number, words[0], words[1], words[2], words[3], words[4], words[5]);
            }
        tried++;
    }
    setitimer(ITIMER_REAL, &never, NULL);
    show_yes("survived", tried > 100);
    static const long beyond[] = {400, 423, 512, 547, 1000, 4096, 0x7fffffff, -1, 0x40000000};
    for (size_t i = 0; i < sizeof beyond / sizeof beyond[0]; i++)
        show("a number that does not exist", syscall(beyond[i], 8, 8, 8));
}

static void survive_in_child(void)
{
    int own =
        scratch_file(PAGE); /* fchmod(NULL, ...) changes descriptor 0: no file of the system may be there */
    int keep = dup(1);

    dup2(own, 0);
    dup2(own, 2);
    survive();
    (void)keep;
}

int main(void)
{
    int file = scratch_file(PAGE);
    int ends[2];
    int directory = open("/", O_RDONLY | O_DIRECTORY);
    /* "unmapped" must be. */
    unsigned char resident;

    must(mincore((void *)bad[1], PAGE, &resident) != 0, "an unmapped address");
    must(pipe(ends) == 0, "pipe");
    must(write(ends[1], "0123456789", 10) == 10, "write");
    files(file, ends[0], ends[1], directory);
    char drain[64];
    must(read(ends[0], drain, sizeof drain) > 0, "read");
    waiting(ends[0]);
    processes();
    memory();
    edges(file, ends[0], ends[1]);
    show_status("child", in_child(survive_in_child));
    return 0;
}

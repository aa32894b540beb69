/*
 * The Linux system calls, one function each, with as many arguments as the call has.
 *
 * entry.S calls syscall_table[number] with the six argument registers moved to where the C convention wants
 * them, so a function sees the user's registers as its arguments; all are long, as Linux passes them. They
 * give a result, or -errno. None trusts a pointer: user memory is reached through user_read() and its like
 * only.
 */
#ifndef KERNEL_LINUX_SYSCALLS_H
#define KERNEL_LINUX_SYSCALLS_H

#include <asm-generic/errno.h>
#include <linux/types.h>

#include "quire/status.h"
#include "quire/types.h"

struct rlimit64;

enum {
    SYSCALL_LIMIT = 512
}; /* entries of the table; entry.S gives -ENOSYS beyond through syscall_unknown() */

typedef void syscall_entry(void); /* any of the functions below */
extern syscall_entry *const syscall_table[SYSCALL_LIMIT];

/* Counts the call and gives -ENOSYS. Its number is in the trap frame. */
long syscall_unknown(void);
/* "read", ...; NULL when there is no such number. */
const char *syscall_name(unsigned number);
/* Calls visit for each system call that was asked for and is not there. */
void syscall_unknown_for_each(void (*visit)(const char *name, unsigned number, uint64_t count, void *context),
                              void *context);

/* errno.c: 0 or -errno of Linux; for calls without particulars of their own. */
long errno_of(enum status status);
/* For what makes files larger: no memory is no space. */
long errno_of_write(enum status status);

/* restart.c: what a call does that gave -EINTR. */
enum restart {
    RESTART_NEVER,         /* -EINTR it is */
    RESTART_NO_HANDLER,    /* begins again unless a handler ran */
    RESTART_SA_RESTART,    /* begins again unless a handler without SA_RESTART ran */
    RESTART_WITH_DEADLINE, /* as RESTART_NO_HANDLER, and task->restart_ns stays set */
};
struct trap_frame;
enum restart restart_of(const struct trap_frame *frame);

/* ---- sys_process.c */
long sys_fork(void);
long sys_vfork(void);
long sys_clone(long flags, long stack, long parent_tid, long child_tid, long tls);
long sys_clone3(long arguments, long bytes);
long sys_execve(long path, long argv, long envp);
long sys_execveat(long fd, long path, long argv, long envp, long flags);
_Noreturn long sys_exit(long code);
_Noreturn long sys_exit_group(long code);
long sys_wait4(long pid, long status, long options, long usage);
long sys_waitid(long which, long id, long info, long options, long usage);
long sys_getpid(void);
long sys_getppid(void);
long sys_gettid(void);
long sys_setpgid(long pid, long pgid);
long sys_getpgid(long pid);
long sys_getpgrp(void);
long sys_setsid(void);
long sys_getsid(long pid);
long sys_set_tid_address(long address);
long sys_pidfd_open(long pid, long flags);
long sys_pidfd_send_signal(long fd, long signo, long info, long flags);
long sys_futex(long address, long operation, long value, long timeout, long address2, long value3);
long sys_set_robust_list(long head, long bytes);
long sys_get_robust_list(long pid, long head, long bytes);

/* ---- sys_signal.c */
long sys_rt_sigaction(long signo, long action, long old, long set_bytes);
long sys_rt_sigprocmask(long how, long set, long old, long set_bytes);
long sys_rt_sigreturn(void);
long sys_rt_sigpending(long set, long set_bytes);
long sys_rt_sigtimedwait(long set, long info, long timeout, long set_bytes);
long sys_rt_sigqueueinfo(long pid, long signo, long info);
long sys_rt_tgsigqueueinfo(long pid, long tid, long signo, long info);
long sys_rt_sigsuspend(long set, long set_bytes);
long sys_sigaltstack(long stack, long old);
long sys_kill(long pid, long signo);
long sys_tkill(long tid, long signo);
long sys_tgkill(long pid, long tid, long signo);
long sys_pause(void);

/* ---- sys_time.c */
long sys_nanosleep(long wanted, long remaining);
long sys_clock_nanosleep(long clock, long flags, long wanted, long remaining);
long sys_clock_gettime(long clock, long out);
long sys_clock_getres(long clock, long out);
long sys_clock_settime(long clock, long in);
long sys_gettimeofday(long out, long zone);
long sys_settimeofday(long in, long zone);
long sys_time(long out);
long sys_alarm(long seconds);
long sys_setitimer(long which, long in, long old);
long sys_getitimer(long which, long out);
long sys_timer_create(long clock, long event, long id);
long sys_timer_settime(long id, long flags, long in, long old);
long sys_timer_gettime(long id, long out);
long sys_timer_getoverrun(long id);
long sys_timer_delete(long id);
long sys_times(long out);
long sys_getrusage(long who, long out);

/* ---- sys_memory.c, sys_madvise.c, sys_mlock.c, sys_mremap.c, sys_process_vm.c, sys_shm.c */
long sys_mmap(long address, long length, long protection, long flags, long fd, long offset);
long sys_munmap(long address, long length);
long sys_mprotect(long address, long length, long protection);
long sys_pkey_mprotect(long address, long length, long protection, long key);
long sys_brk(long wanted);
long sys_madvise(long address, long length, long advice);
long sys_msync(long address, long length, long flags);
long sys_mincore(long address, long length, long vector);
long sys_mremap(long old, long old_length, long new_length, long flags, long wanted);
long sys_mlock(long address, long length);
long sys_mlock2(long address, long length, long flags);
long sys_munlock(long address, long length);
long sys_mlockall(long flags);
long sys_munlockall(void);
long sys_shmget(long key, long bytes, long flags);
long sys_shmat(long id, long address, long flags);
long sys_shmdt(long address);
long sys_shmctl(long id, long command, long argument);
long sys_process_vm_readv(long pid, long here, long here_count, long there, long there_count, long flags);
long sys_process_vm_writev(long pid, long here, long here_count, long there, long there_count, long flags);
long sys_process_madvise(long fd, long pieces, long count, long advice, long flags);
long sys_remap_file_pages(long start, long size, long protection, long page, long flags);
long sys_membarrier(long command, long flags, long cpu);

/* ---- sys_misc.c */
long sys_uname(long out);
long sys_sysinfo(long out);
long sys_sethostname(long name, long bytes);
long sys_setdomainname(long name, long bytes);
long sys_getuid(void);
long sys_geteuid(void);
long sys_getgid(void);
long sys_getegid(void);
long sys_setuid(long uid);
long sys_setgid(long gid);
long sys_setreuid(long real, long effective);
long sys_setregid(long real, long effective);
long sys_setresuid(long real, long effective, long saved);
long sys_setresgid(long real, long effective, long saved);
long sys_getresuid(long real, long effective, long saved);
long sys_getresgid(long real, long effective, long saved);
long sys_setfsuid(long uid);
long sys_setfsgid(long gid);
long sys_getgroups(long count, long list);
long sys_setgroups(long count, long list);
long sys_prctl(long option, long arg2, long arg3, long arg4, long arg5);
long sys_arch_prctl(long option, long address);
long sys_getrandom(long buffer, long bytes, long flags);
long sys_prlimit64(long pid, long resource, long in, long out);
long sys_getrlimit(long resource, long out);
long sys_setrlimit(long resource, long in);
long sys_sched_yield(void);
long sys_sched_getaffinity(long pid, long bytes, long mask);
long sys_sched_setaffinity(long pid, long bytes, long mask);
long sys_sched_getparam(long pid, long parameter);
long sys_sched_setparam(long pid, long parameter);
long sys_sched_getscheduler(long pid);
long sys_sched_setscheduler(long pid, long policy, long parameter);
long sys_sched_get_priority_max(long policy);
long sys_sched_get_priority_min(long policy);
long sys_sched_rr_get_interval(long pid, long out);
long sys_getcpu(long cpu, long node, long unused);
long sys_getpriority(long which, long who);
long sys_setpriority(long which, long who, long nice);
long sys_personality(long persona);
long sys_capget(long header, long data);
long sys_capset(long header, long data);
long sys_reboot(long magic1, long magic2, long command, long argument);
long sys_syslog(long type, long buffer, long bytes);

/* Random bytes for the kernel's own needs (addresses, AT_RANDOM). */
void random_bytes(void *to, size_t bytes);

#endif

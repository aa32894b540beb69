/*
 * Which system calls begin again after a signal (signal(7), "Interruption of system calls").
 *
 * Code that waits gives -EINTR and need not know. A call in no list here keeps its -EINTR.
 */
#include <asm/unistd_64.h>

#include "kernel/linux/syscalls.h"
#include "kernel/x86/x86.h"

enum restart restart_of(const struct trap_frame *frame)
{
    switch (frame->error) {
    case __NR_read:
    case __NR_write:
    case __NR_readv:
    case __NR_writev:
    case __NR_pread64:
    case __NR_pwrite64:
    case __NR_preadv:
    case __NR_pwritev:
    case __NR_preadv2:
    case __NR_pwritev2:
    case __NR_sendfile:
    case __NR_splice:
    case __NR_tee:
    case __NR_vmsplice:
    case __NR_copy_file_range:
    case __NR_open:
    case __NR_openat:
    case __NR_openat2:
    case __NR_creat:
    case __NR_close:
    case __NR_ioctl:
    case __NR_fcntl:
    case __NR_flock:
    case __NR_fsync:
    case __NR_fdatasync:
    case __NR_wait4:
    case __NR_waitid:
    case __NR_getrandom:
    case __NR_execve:
    case __NR_execveat:
    case __NR_accept:
    case __NR_accept4:
    case __NR_connect:
    case __NR_sendto:
    case __NR_recvfrom:
    case __NR_sendmsg:
    case __NR_recvmsg:
        return RESTART_SA_RESTART;
    case __NR_futex: /* with a timeout it would begin that again */
        return frame->r10 ? RESTART_NO_HANDLER : RESTART_SA_RESTART;
    case __NR_pause:
    case __NR_rt_sigsuspend:
    case __NR_poll:
    case __NR_ppoll:
    case __NR_select:
    case __NR_pselect6:
        return RESTART_NO_HANDLER;
    case __NR_nanosleep:
    case __NR_clock_nanosleep:
        return RESTART_WITH_DEADLINE;
    default:
        return RESTART_NEVER;
    }
}

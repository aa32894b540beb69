/*
 * The Linux system calls on files. Each is called with the six argument registers; narrower parameters drop
 * the garbage in the upper halves. They give a result, or -errno; -EINTR when a signal came before anything
 * was done, which restart_of() (syscalls.h) may turn into a repetition.
 */
#ifndef KERNEL_LINUX_SYSCALLS_FILE_H
#define KERNEL_LINUX_SYSCALLS_FILE_H

#include <stddef.h>
#include <stdint.h>

/* sys_file.c: bytes in and out, descriptors */
long sys_read(int fd, uint64_t buffer, size_t count);
long sys_write(int fd, uint64_t buffer, size_t count);
long sys_pread64(int fd, uint64_t buffer, size_t count, int64_t offset);
long sys_pwrite64(int fd, uint64_t buffer, size_t count, int64_t offset);
long sys_readv(int fd, uint64_t pieces, unsigned count);
long sys_writev(int fd, uint64_t pieces, unsigned count);
long sys_preadv(int fd, uint64_t pieces, unsigned count, int64_t offset);
long sys_pwritev(int fd, uint64_t pieces, unsigned count, int64_t offset);
long sys_preadv2(int fd, uint64_t pieces, unsigned count, int64_t offset, int64_t high, int flags);
long sys_pwritev2(int fd, uint64_t pieces, unsigned count, int64_t offset, int64_t high, int flags);
long sys_lseek(int fd, int64_t offset, int whence);
long sys_open(uint64_t path, int flags, unsigned mode);
long sys_openat(int dir, uint64_t path, int flags, unsigned mode);
long sys_openat2(int dir, uint64_t path, uint64_t how, size_t bytes);
long sys_creat(uint64_t path, unsigned mode);
long sys_close(int fd);
long sys_close_range(unsigned first, unsigned last, unsigned flags);
long sys_dup(int fd);
long sys_dup2(int fd, int to);
long sys_dup3(int fd, int to, int flags);
long sys_fcntl(int fd, int command, uint64_t argument);
long sys_flock(int fd, int operation);
long sys_pipe(uint64_t fds);
long sys_pipe2(uint64_t fds, int flags);
long sys_eventfd(unsigned initial);
long sys_eventfd2(unsigned initial, int flags);
long sys_memfd_create(uint64_t name, unsigned flags);
long sys_sendfile(int out, int in, uint64_t offset, size_t count);
long sys_copy_file_range(int in, uint64_t in_offset, int out, uint64_t out_offset, size_t count,
                         unsigned flags);
long sys_splice(int in, uint64_t in_offset, int out, uint64_t out_offset, size_t count, unsigned flags);
long sys_fsync(int fd);
long sys_fdatasync(int fd);
long sys_sync(void);
long sys_syncfs(int fd);
long sys_sync_file_range(int fd, int64_t offset, int64_t count, unsigned flags);
long sys_fadvise64(int fd, int64_t offset, int64_t count, int advice);
long sys_readahead(int fd, int64_t offset, size_t count);
long sys_truncate(uint64_t path, int64_t length);
long sys_ftruncate(int fd, int64_t length);
long sys_fallocate(int fd, int mode, int64_t offset, int64_t length);

/* sys_file_attr.c: attributes */
long sys_stat(uint64_t path, uint64_t out);
long sys_lstat(uint64_t path, uint64_t out);
long sys_fstat(int fd, uint64_t out);
long sys_newfstatat(int dir, uint64_t path, uint64_t out, int flags);
long sys_statx(int dir, uint64_t path, int flags, unsigned mask, uint64_t out);
long sys_access(uint64_t path, int mode);
long sys_faccessat(int dir, uint64_t path, int mode);
long sys_faccessat2(int dir, uint64_t path, int mode, int flags);
long sys_chmod(uint64_t path, unsigned mode);
long sys_fchmod(int fd, unsigned mode);
long sys_fchmodat(int dir, uint64_t path, unsigned mode);
long sys_chown(uint64_t path, unsigned uid, unsigned gid);
long sys_lchown(uint64_t path, unsigned uid, unsigned gid);
long sys_fchown(int fd, unsigned uid, unsigned gid);
long sys_fchownat(int dir, uint64_t path, unsigned uid, unsigned gid, int flags);
long sys_utime(uint64_t path, uint64_t times);
long sys_utimes(uint64_t path, uint64_t times);
long sys_futimesat(int dir, uint64_t path, uint64_t times);
long sys_utimensat(int dir, uint64_t path, uint64_t times, int flags);
long sys_umask(unsigned mask);
long sys_statfs(uint64_t path, uint64_t out);
long sys_fstatfs(int fd, uint64_t out);

/* sys_dir.c: names */
long sys_getdents64(int fd, uint64_t buffer, unsigned count);
long sys_getdents(int fd, uint64_t buffer, unsigned count);
long sys_getcwd(uint64_t buffer, size_t size);
long sys_chdir(uint64_t path);
long sys_fchdir(int fd);
long sys_chroot(uint64_t path);
long sys_mkdir(uint64_t path, unsigned mode);
long sys_mkdirat(int dir, uint64_t path, unsigned mode);
long sys_mknod(uint64_t path, unsigned mode, uint64_t device);
long sys_mknodat(int dir, uint64_t path, unsigned mode, uint64_t device);
long sys_rmdir(uint64_t path);
long sys_unlink(uint64_t path);
long sys_unlinkat(int dir, uint64_t path, int flags);
long sys_rename(uint64_t from, uint64_t to);
long sys_renameat(int from_dir, uint64_t from, int to_dir, uint64_t to);
long sys_renameat2(int from_dir, uint64_t from, int to_dir, uint64_t to, unsigned flags);
long sys_link(uint64_t from, uint64_t to);
long sys_linkat(int from_dir, uint64_t from, int to_dir, uint64_t to, int flags);
long sys_symlink(uint64_t target, uint64_t path);
long sys_symlinkat(uint64_t target, int dir, uint64_t path);
long sys_readlink(uint64_t path, uint64_t buffer, int size);
long sys_readlinkat(int dir, uint64_t path, uint64_t buffer, int size);

/* sys_poll.c */
long sys_poll(uint64_t fds, unsigned count, int timeout_ms);
long sys_ppoll(uint64_t fds, unsigned count, uint64_t timeout, uint64_t mask, size_t mask_bytes);
long sys_select(int count, uint64_t in, uint64_t out, uint64_t except, uint64_t timeout);
long sys_pselect6(int count, uint64_t in, uint64_t out, uint64_t except, uint64_t timeout, uint64_t mask);
long sys_epoll_create(int size);
long sys_epoll_create1(int flags);
long sys_epoll_ctl(int epoll, int operation, int fd, uint64_t event);
long sys_epoll_wait(int epoll, uint64_t events, int count, int timeout_ms);
long sys_epoll_pwait(int epoll, uint64_t events, int count, int timeout_ms, uint64_t mask, size_t mask_bytes);

/* sys_ioctl.c */
long sys_ioctl(int fd, unsigned request, uint64_t argument);

/* sys_absent.c: what is not there, with the right error */
long sys_mount(uint64_t source, uint64_t target, uint64_t type, uint64_t flags, uint64_t data);
long sys_umount2(uint64_t target, int flags);
long sys_swapon(uint64_t path, int flags);
long sys_swapoff(uint64_t path);
long sys_inotify_init(void);
long sys_inotify_init1(int flags);
long sys_socket(int family, int type, int protocol);
long sys_socketpair(int family, int type, int protocol, uint64_t pair);
long sys_on_socket(int fd); /* every call on a socket */
long sys_xattr_of_path(uint64_t path);
long sys_xattr_of_link(uint64_t path);
long sys_xattr_of_file(int fd);

#endif

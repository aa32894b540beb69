/*
 * The link to `quire boot`: frames over a virtio-serial port (include/quire/link.h).
 *
 * Functions give a count or 0, or -errno. All run under the kernel lock. "Does not sleep" says that a
 * function may be called from an interrupt; the others may sleep for a while when the host is slow.
 */
#ifndef KERNEL_HOSTLINK_H
#define KERNEL_HOSTLINK_H

#include "kernel/fs/vfs.h"

/* Is there a host to talk to? Without one output goes to the kernel's log and input is at its end. */
bool hostlink_present(void);

/*
 * Bytes for the host's standard output (1) or error (2). Sleeps while the host has not taken what was sent
 * before, so that a slow host slows the program. Returns the bytes that were taken, at least 1 unless the uio
 * is empty; -EINTR when a signal came before the first, -EFAULT for a bad user pointer, -EPIPE when nobody
 * reads the stream any more, -EIO when the link has broken.
 */
long hostlink_output(unsigned stream, struct uio *uio);
/* The same for kernel memory: all or -errno. Inside of an interrupt (echo of the terminal) it does not sleep
 * and gives the bytes that there was room for, maybe 0. */
long hostlink_write(unsigned stream, const void *bytes, size_t count);
/* Can hostlink_output() take something without sleeping? Else it wakes this queue when it can. */
bool hostlink_writable(void);
struct waitq *hostlink_writable_queue(void);

/*
 * Input arrives by stdin_input() and stdin_end() (kernel/fs/vfs.h), which pass it to the terminal or, when
 * descriptor 0 is no terminal, to host_stream_input() and host_stream_end(). The host sends no more than it
 * was granted: who takes input for good grants as much again. hostlink_grant() does not sleep: what cannot be
 * sent now is sent together later. The terminal makes the first grant when it starts, the stream when it is
 * first read: as much as they have room for, at most LINK_WINDOW.
 */
void hostlink_grant(uint32_t bytes);
/* Standard input when it is no terminal: bytes that the host has sent. 0 is the end. Sleeps until there is
 * one, unless `wait` is false: -EAGAIN. -EINTR, -EFAULT. */
long hostlink_input(struct uio *uio, bool wait);
/* kernel/dev/stream.c: the buffer behind descriptor 0 of host_stream_file_ops. */
void host_stream_input(const void *bytes, size_t count);
void host_stream_end(void);

/* Sends a frame of the protocol from where it lies, header and bytes in one piece of physical memory; returns
 * when the host has it. May sleep. 0 or -errno. */
struct link_header;
int hostlink_send_frame(const struct link_header *frame);

/* One line for the user of `quire boot`: shown with --verbose, and kept. Does not sleep: lost when there is
 * no room. */
void hostlink_log(const char *line);

/* Who writes the paging report: one JSON object of at most `size` bytes to `to`; returns its length. Called
 * with a buffer of LINK_MAX bytes or less; may sleep. */
typedef size_t report_writer(char *to, size_t size);
void hostlink_report_by(report_writer *writer);
/* Sends the report now. */
int hostlink_report(void);

/* The last words: report, exit status, and a bounded wait until the host has them. Then call machine_exit().
 * Works also when nothing else does: it polls. */
void hostlink_exit(int status);

#endif

/*
 * The kernel's interfaces: uffd.h.
 *
 * The kernel may answer EAGAIN to a copy while the address space changes shape (another thread's mmap),
 * having done a part or nothing: the rest is done again.
 */
#include "uffd.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <linux/userfaultfd.h>
#include <stdatomic.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#ifndef UFFD_USER_MODE_ONLY
#define UFFD_USER_MODE_ONLY 1
#endif
#ifndef UFFD_FEATURE_WP_HUGETLBFS_SHMEM
#define UFFD_FEATURE_WP_HUGETLBFS_SHMEM (1 << 12)
#endif
/* Without these there is no way to page: write-protection of memfds, and signals instead of messages or, with
 * handler threads, who made a fault. */
#define NEEDED (UFFD_FEATURE_MISSING_SHMEM | UFFD_FEATURE_WP_HUGETLBFS_SHMEM)

/* /dev/userfaultfd, Linux 6.1: who may open it needs no other privilege. */
#define DEVICE_NEW _IO(0xaa, 0)
/* Linux 6.6. */
struct poison {
    struct uffdio_range range;
    uint64_t mode;
    int64_t updated;
};
#define POISON_REQUEST _IOWR(UFFDIO, 8, struct poison)

/* PAGEMAP_SCAN, Linux 6.7. */
struct scan_range {
    uint64_t start, end, categories;
};
struct scan_argument {
    uint64_t size, flags, start, end, walk_end, vec, vec_len, max_pages;
    uint64_t category_inverted, category_mask, category_anyof_mask, return_mask;
};
#define SCAN_REQUEST _IOWR('f', 16, struct scan_argument)
#define SCAN_PRESENT ((uint64_t)1 << 3)

int descriptor_high(int fd)
{
    int high = fd >= 0 && fd < HIGH_DESCRIPTOR ? fcntl(fd, F_DUPFD_CLOEXEC, HIGH_DESCRIPTOR) : -1;

    if (high < 0)
        return fd;
    close(fd);
    return high;
}

static int device_open(void)
{
    int device = open("/dev/userfaultfd", O_RDWR | O_CLOEXEC), uffd;

    if (device < 0)
        return -1;
    uffd = ioctl(device, DEVICE_NEW, O_CLOEXEC | O_NONBLOCK);
    close(device);
    return uffd;
}

int uffd_open(enum uffd_way way, const char **why)
{
    bool messages = way == UFFD_MESSAGES;
    struct uffdio_api api = {.api = UFFD_API,
                             .features = NEEDED | (messages ? UFFD_FEATURE_THREAD_ID : UFFD_FEATURE_SIGBUS)};
    int uffd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | (messages ? O_NONBLOCK : UFFD_USER_MODE_ONLY));

    if (uffd < 0 && messages)
        uffd = device_open();
    uffd = descriptor_high(uffd);
    if (uffd < 0) {
        *why = errno == EPERM || errno == EACCES ? "userfaultfd is forbidden here"
                                                 : "this kernel has no userfaultfd";
        return -1;
    }
    if (ioctl(uffd, UFFDIO_API, &api) == 0)
        return uffd;
    *why = "this kernel's userfaultfd cannot write-protect shared memory (Linux 5.19 can)";
    close(uffd);
    return -1;
}

bool uffd_next(int uffd, struct uffd_fault *fault)
{
    struct uffd_msg message;

    while (read(uffd, &message, sizeof(message)) == (ssize_t)sizeof(message))
        if (message.event == UFFD_EVENT_PAGEFAULT) {
            *fault = (struct uffd_fault){
                .address = (void *)(uintptr_t)message.arg.pagefault.address,
                .write =
                    (message.arg.pagefault.flags & (UFFD_PAGEFAULT_FLAG_WRITE | UFFD_PAGEFAULT_FLAG_WP)) != 0,
                .thread = message.arg.pagefault.feat.ptid,
            };
            return true;
        }
    return false;
}

void uffd_wake(int uffd, const void *address, uint64_t bytes)
{
    struct uffdio_range range = {(uintptr_t)address, bytes};

    ioctl(uffd, UFFDIO_WAKE, &range);
}

bool uffd_poison(int uffd, const void *address)
{
    struct poison poison = {.range = {(uintptr_t)address, PAGE_SIZE}};

    return ioctl(uffd, POISON_REQUEST, &poison) == 0;
}

enum status uffd_register(int uffd, void *address, uint64_t bytes)
{
    struct uffdio_register range = {.range = {(uintptr_t)address, bytes},
                                    .mode = UFFDIO_REGISTER_MODE_MISSING | UFFDIO_REGISTER_MODE_WP};

    return ioctl(uffd, UFFDIO_REGISTER, &range) == 0 ? ST_OK : ST_UNSUPPORTED;
}

enum status uffd_copy(int uffd, void *to, const void *from, uint64_t bytes, bool write_protected)
{
    uint64_t done = 0;

    while (done < bytes) {
        struct uffdio_copy copy = {.dst = (uintptr_t)to + done,
                                   .src = (uintptr_t)from + done,
                                   .len = bytes - done,
                                   .mode = write_protected ? UFFDIO_COPY_MODE_WP : 0};

        if (ioctl(uffd, UFFDIO_COPY, &copy) == 0)
            return ST_OK;
        if (copy.copy > 0)
            done += (uint64_t)copy.copy;
        else if (copy.copy != -EAGAIN)
            return copy.copy == -ENOMEM ? ST_NO_MEMORY : ST_DIFFERENT;
    }
    return ST_OK;
}

enum status uffd_protect(int uffd, void *address, uint64_t bytes, bool write_protected)
{
    struct uffdio_writeprotect range = {.range = {(uintptr_t)address, bytes},
                                        .mode = write_protected ? UFFDIO_WRITEPROTECT_MODE_WP : 0};
    int failed;

    while ((failed = ioctl(uffd, UFFDIO_WRITEPROTECT, &range)) != 0 && errno == EAGAIN)
        ;
    return failed ? ST_DIFFERENT : ST_OK;
}

static void set_bits(uint64_t *bits, unsigned from, unsigned to)
{
    for (; from < to; from++)
        bits[from / 64] |= (uint64_t)1 << (from % 64);
}

/* Before Linux 6.7: one word a page. */
static bool read_pagemap(int pagemap, const void *address, unsigned pages, uint64_t *mapped)
{
    uint64_t words[WINDOW_PAGES];
    off_t at = (off_t)((uintptr_t)address >> PAGE_SHIFT) * (off_t)sizeof(words[0]);

    if (pread(pagemap, words, pages * sizeof(words[0]), at) != (ssize_t)(pages * sizeof(words[0])))
        return false;
    for (unsigned i = 0; i < pages; i++)
        if (words[i] >> 63)
            set_bits(mapped, i, i + 1);
    return true;
}

bool pagemap_mapped(int pagemap, const void *address, unsigned pages, uint64_t mapped[WINDOW_PAGES / 64])
{
    struct scan_range ranges[WINDOW_PAGES / 2];
    uintptr_t start = (uintptr_t)address;
    struct scan_argument scan = {.size = sizeof(scan),
                                 .start = start,
                                 .end = start + pages * PAGE_SIZE,
                                 .vec = (uintptr_t)ranges,
                                 .vec_len = WINDOW_PAGES / 2,
                                 .category_mask = SCAN_PRESENT,
                                 .return_mask = SCAN_PRESENT};
    int count = ioctl(pagemap, SCAN_REQUEST, &scan);

    for (unsigned i = 0; i < WINDOW_PAGES / 64; i++)
        mapped[i] = 0;
    if (count < 0)
        return read_pagemap(pagemap, address, pages, mapped);
    for (int i = 0; i < count; i++)
        set_bits(mapped, (unsigned)((ranges[i].start - start) >> PAGE_SHIFT),
                 (unsigned)((ranges[i].end - start) >> PAGE_SHIFT));
    return true;
}

void futex_wait(_Atomic uint32_t *word, uint32_t value, uint64_t wait_ns)
{
    struct timespec time = {(time_t)(wait_ns / 1000000000), (long)(wait_ns % 1000000000)};

    syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, &time, NULL, 0);
}

void futex_wake_all(_Atomic uint32_t *word)
{
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, INT32_MAX, NULL, NULL, 0);
}

uint64_t now_ns(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

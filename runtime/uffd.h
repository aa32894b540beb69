/*
 * What of Linux the runtime uses that headers may be too old for: userfaultfd(2), PAGEMAP_SCAN, memfd.
 * Numbers and structures are those of the kernel's interface (Documentation/admin-guide/mm/userfaultfd.rst
 * and pagemap.rst); whether the running kernel has them is asked at run time.
 *
 * All functions are async-signal-safe and allocate nothing.
 */
#ifndef QUIRE_RUNTIME_UFFD_H
#define QUIRE_RUNTIME_UFFD_H

#include "quire/status.h"
#include "quire/types.h"

/* The same open file under a number that shells and programs do not use on their own (or as it was, where
 * there is none). */
enum { HIGH_DESCRIPTOR = 512 };
int descriptor_high(int fd);

enum uffd_way {
    UFFD_SIGNALS, /* a fault is SIGBUS in the thread that makes it; system calls see EFAULT */
    UFFD_MESSAGES /* a fault, of a system call too, is a message; the thread sleeps. Needs a privilege */
};
/* -1, and *why, when there is none. */
int uffd_open(enum uffd_way way, const char **why);

/* UFFD_MESSAGES: */
struct uffd_fault {
    void *address; /* of the page */
    bool write;
    uint32_t thread; /* who sleeps */
};
/* The next message; false: none just now. Any number of threads. */
bool uffd_next(int uffd, struct uffd_fault *fault);
/* Who sleeps in a fault there looks again. */
void uffd_wake(int uffd, const void *address, uint64_t bytes);
/* Accesses of an absent page are SIGBUS from now on, until its window is unmapped. False: not in this kernel.
 */
bool uffd_poison(int uffd, const void *address);

/* Missing pages and write-protection of a range of a memfd that is mapped. */
MUST_USE enum status uffd_register(int uffd, void *address, uint64_t bytes);

/* Pages come there with these contents, all at once or (ST_NO_MEMORY) none. */
MUST_USE enum status uffd_copy(int uffd, void *to, const void *from, uint64_t bytes, bool write_protected);
/* Sets or takes away the write-protection, also of pages of the range that are not mapped just now. */
MUST_USE enum status uffd_protect(int uffd, void *address, uint64_t bytes, bool write_protected);

enum { WINDOW_PAGES = 512 }; /* what one leaf table maps: 2 MiB */

/* Which of up to WINDOW_PAGES pages are mapped: bit i of `mapped` for the i-th. False: cannot be known. */
bool pagemap_mapped(int pagemap, const void *address, unsigned pages, uint64_t mapped[WINDOW_PAGES / 64]);

/* Waits while *word is `value`, for at most `wait_ns`. May return early. */
void futex_wait(_Atomic uint32_t *word, uint32_t value, uint64_t wait_ns);
void futex_wake_all(_Atomic uint32_t *word);

uint64_t now_ns(void);

#endif

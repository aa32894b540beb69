/*
 * libquire: more data than there is memory, in an ordinary Linux process.
 *
 * A *pager* has a budget of memory and a policy. A *region* is a range of addresses whose pages come from a
 * store (quire/store.h) when they are touched, and go back to it, chosen by the policy, when the budget is
 * used up. Any code reads and writes a region through plain pointers. Several *members*, each with regions of
 * its own, may share a pager; scopes and classes say whose pages go. docs/RUNTIME.md explains and has an
 * example.
 *
 * Threads: every function may be called by any thread at any time, but for quire_close() and quire_unmap(),
 * whose pager or region nobody may use any more. None may be called in a signal's handler, but for
 * quire_fault().
 *
 * A page that cannot be brought in ends in SIGBUS at the access: the program's own handler, as it was before
 * the first quire_open(), else the end of the process, with a line on standard error that says why.
 */
#ifndef QUIRE_QUIRE_H
#define QUIRE_QUIRE_H

#include "quire/status.h"
#include "quire/store.h"
#include "quire/types.h"

struct quire_pager;
struct quire_member;

/* Why a call failed, in a sentence for the user. May be NULL wherever it is asked for. */
struct quire_error {
    char text[256];
};

/* What tells us that a page is touched. */
enum quire_way {
    QUIRE_WAY_BEST,        /* the first of these that this kernel has, and that does for the budget */
    QUIRE_WAY_USERFAULTFD, /* Linux 5.19 */
    QUIRE_WAY_PROTECT,     /* mprotect() and SIGSEGV: slower, and the budget is limited by vm.max_map_count */
    QUIRE_WAY_PINS, /* nothing: pages are there from quire_pin() to quire_unpin(); an access to others may be
                       SIGSEGV. No handler of signals is installed. Budgets as before. Never the best */
    QUIRE_WAY_ANONYMOUS /* userfaultfd, and anonymous memory: pages come and go for less, but there are no
                           reference bits. The policy hears only of pages that come and go, and of those it
                           remembers that come again. Not with handler threads, and such a pager cannot be
                           taken into a child of fork(). The best for policies that use no reference bits */
};

struct quire_options {
    uint64_t memory_bytes; /* the budget; at least QUIRE_LEAST_MEMORY */
    const char *policy;    /* as in `quire sim --policy`, with its options; NULL: "car" */
    uint64_t seed;         /* of policies that are random */
    uint64_t deadline_ms;  /* how long an access or a call waits for a store; 0: 30,000 */
    unsigned scan_percent; /* reference bits are as old as this part of the budget's faults; 0: standard */
    unsigned handlers;     /* threads that serve faults, up to 32: system calls then see every page, and the
                              handler of SIGBUS stays the program's. Each fault takes longer. Needs a privilege
                              (ST_UNSUPPORTED). 0: the faulting thread does it */
    enum quire_way way;
    bool publish;       /* `quire top` sees the pager; also when $QUIRE_PUBLISH is 1 */
    const char *record; /* a trace for `quire sim` is written there; NULL: none */
    /* Of several members, as in `quire sim --mix`: whose pages go. */
    const char *scope;      /* "global" (NULL) or "local" */
    const char *allocation; /* local scope: "equal" (NULL), "proportional", "pff:low=N,high=N,window=N", each
                               with "strict" or without */
};
#define QUIRE_LEAST_MEMORY ((uint64_t)256 << 10)

/*
 * ST_INVALID: an option; ST_UNSUPPORTED: this kernel has no userfaultfd in the form that is needed (5.19) and
 * the budget is too large without, or the policy needs the future; ST_NO_MEMORY. Nothing is left then.
 */
MUST_USE enum status quire_open(const struct quire_options *options, struct quire_pager **pager,
                                struct quire_error *error);
/* Unmaps every region as quire_unmap() does, then frees the pager. On an error it stays, with the regions
 * that could not be unmapped. */
MUST_USE enum status quire_close(struct quire_pager *pager);

/*
 * A member: regions that compete for the pager's memory as one. Regions of none belong to a member of the
 * pager's own, "default", an ordinary one. Under global scope a page that the policy chooses goes, whosever
 * it is, unless a class protects it. Under local scope each member has a policy of its own and a target by
 * the allocation rule; frames are lent as long as some are free, and who has most above its target gives
 * then.
 *
 *      class      what of its memory goes for others
 *      vvip:16M   nothing, as long as it has no more than that; pins of others leave it room
 *      vip:16M    nothing, as long as it has no more than that, and others have something that can go
 *      ordinary   anything
 */
struct quire_member_options {
    const char *name;         /* for reports: 1 to 31 ASCII characters without blanks, quotes, backslashes; no
                                 other member's */
    const char *class;        /* as above, as in `quire sim --class NAME=…`; NULL: "ordinary" */
    uint64_t protected_bytes; /* a vvip's: so much is protected as a vip's is; 0: what is guaranteed */
    uint64_t maximum_bytes;   /* a budget of its own within the pager's: at this much it pages itself only. At
                                 least QUIRE_LEAST_MEMORY; 0: none */
};

/*
 * ST_INVALID: the options; ST_LIMIT: 63 members, or what is guaranteed to all of them does not fit into the
 * memory that pages can have (the budget less the 6 % that are kept free); ST_NO_MEMORY. Nothing has changed
 * then.
 */
MUST_USE enum status quire_member_create(struct quire_pager *pager,
                                         const struct quire_member_options *options,
                                         struct quire_member **member, struct quire_error *error);
/* Class, protection and maximum are others from now on (its name stays). A member that is above a smaller
 * maximum gives pages of its own until it is not. ST_INVALID: the options, or a maximum for one that was
 * created without, or none for one that has; ST_LIMIT as above. Nothing has changed then. */
MUST_USE enum status quire_member_change(struct quire_member *member,
                                         const struct quire_member_options *options,
                                         struct quire_error *error);
/* The member has no regions any more (ST_INVALID: it has, and stays), and ends. quire_close() ends all. */
MUST_USE enum status quire_member_end(struct quire_member *member);

struct quire_member_stats {
    const char *name;                                          /* as long as the member lives */
    const char *class;                                         /* "vvip", "vip", "ordinary" */
    uint64_t guaranteed_bytes, protected_bytes, maximum_bytes; /* 0: none */
    uint64_t target_bytes;                                     /* local scope; else 0 */
    uint64_t resident_bytes; /* less than it holds while pages of its are on their way */
    uint64_t regions, mapped_bytes;
    uint64_t faults, read_ahead; /* pages that came: because somebody touched them, and besides */
    uint64_t evictions;          /* pages that went; */
    uint64_t written;            /* of these, that had to be written first */
    uint64_t lost;               /* of these, for another member, */
    uint64_t lost_protected;     /* although its class protected them */
    uint64_t fault_rate; /* page-fault frequency: faults in a second of the process's processor time */
};
void quire_member_stats(struct quire_member *member, struct quire_member_stats *stats);

enum quire_map_flags {
    QUIRE_FRESH = 1,    /* the region begins as zeroes, whatever the store holds (anonymous memory) */
    QUIRE_READ_ONLY = 2 /* writes are SIGSEGV */
};

struct quire_mapping {
    struct store *store;  /* where pages go to; stays the caller's, who closes it after quire_unmap() */
    uint64_t offset;      /* in bytes in the store, a multiple of PAGE_SIZE */
    uint64_t length;      /* in bytes; rounded up to pages */
    unsigned flags;       /* enum quire_map_flags */
    struct store *base;   /* a private copy: pages that were never written come from here and not from
                             `store`; never written to. NULL: none */
    uint64_t base_offset; /* in bytes, as offset */
    void *address; /* where, a multiple of 2 MiB; ST_NO_SPACE when something is there. NULL: anywhere */
    struct quire_member
        *member; /* of the same pager; NULL: the pager's own, or of a snapshot, the region's */
};

/*
 * A region. ST_INVALID: offset, flags, member; ST_BEYOND_END: the store is shorter than that; ST_MAPPED: a
 * region shows a part of that range of the store already; ST_LIMIT: too many regions, or pages for this
 * policy, or members are guaranteed everything; ST_NO_MEMORY, ST_NO_SPACE (of addresses). Nothing is left
 * then.
 */
MUST_USE enum status quire_map(struct quire_pager *pager, const struct quire_mapping *mapping, void **address,
                               struct quire_error *error);
/* Writes what is dirty, flushes the store and ends the region. ST_IO_ERROR, ST_NO_SPACE: the region is still
 * there. ST_INVALID: no region begins there, or pages of it are pinned, or there are snapshots of it. */
MUST_USE enum status quire_unmap(void *address);
/* Ends the region; what is dirty is lost. For a store that fails, and for anonymous memory. */
MUST_USE enum status quire_discard(void *address);

/*
 * A view of the region that begins at `address`, as it is now, while both go on being read and written; what
 * either writes the other does not see. A region itself: its pages count in the budget, those that differ go
 * to mapping->store (offset and flags as for quire_map(); length 0, no base), and it ends by quire_discard()
 * or quire_unmap(). Any number of threads may be writing: the view has what was written before some moment
 * during the call. The region cannot end before its snapshots, which may end in any order. ST_INVALID: not
 * where a region begins, the mapping; ST_UNSUPPORTED: that is a snapshot itself; ST_LIMIT: 16 of one region;
 * as quire_map().
 */
MUST_USE enum status quire_snapshot(void *address, const struct quire_mapping *mapping, void **view,
                                    struct quire_error *error);

/* Pages of a QUIRE_FRESH region are zeroes again, and take no room. ST_INVALID: not such a region, or not
 * whole pages; ST_UNSUPPORTED: there is a snapshot of it; ST_LIMIT: a page is pinned; ST_IO_ERROR: a store
 * did not answer. The pages before are zeroes then. */
MUST_USE enum status quire_clear(void *address, size_t length);

/* Pages that were not written through the region come from the store anew when they are touched next: for one
 * who has changed the store by other ways. Pinned ones stay. Errors as quire_clear(). */
MUST_USE enum status quire_refresh(void *address, size_t length);

/* What was written to these addresses before the call lasts when it returns ST_OK. An error of an earlier
 * write-back in the region is reported here, once. ST_UNSUPPORTED: written, to a store that does not last. */
MUST_USE enum status quire_sync(void *address, size_t length);

enum quire_advice {
    QUIRE_NORMAL,     /* the whole region */
    QUIRE_RANDOM,     /* the whole region: no read-ahead */
    QUIRE_SEQUENTIAL, /* the whole region: read far ahead at once */
    QUIRE_WILL_NEED,  /* bring it in now, as far as there is room */
    QUIRE_DONE_WITH   /* out of memory (written first, if need be); the contents stay */
};
MUST_USE enum status quire_advise(void *address, size_t length, enum quire_advice advice);

/*
 * Brings the pages in and keeps them there until quire_unpin() of the same range: the way for system calls
 * (which see EFAULT where a page is absent) and for hot loops; around each access it is what a buffer
 * manager's fix is, a miss costs no signal, and in anonymous memory the policy learns of the use. Pins count.
 * `access` ACCESS_WRITE: the pages count as written. ST_LIMIT: more than can be pinned within the budget, or
 * the member's maximum; ST_IO_ERROR, ST_NOT_MAPPED, ST_DENIED. Nothing is pinned then.
 */
MUST_USE enum status quire_pin(void *address, size_t length, enum access access);
void quire_unpin(void *address, size_t length);

struct quire_stats {
    const char *way;    /* what serves the faults */
    const char *policy; /* its name */
    uint64_t memory_bytes, resident_bytes, free_bytes, pinned_bytes;
    uint64_t regions, mapped_bytes;
    uint64_t faults;        /* pages that were brought in because somebody touched them */
    uint64_t zero_faults;   /* of those, never written before */
    uint64_t write_faults;  /* first writes to clean pages */
    uint64_t read_ahead;    /* pages brought in besides */
    uint64_t waits;         /* accesses that waited for another thread's work on the page */
    uint64_t reserve_waits; /* faults that found no free frame */
    uint64_t evictions, write_backs, write_errors, read_errors;
    uint64_t given_back; /* victims that were used meanwhile, and stayed */
    uint64_t scans;      /* windows whose reference bits were gathered */
    uint64_t referenced; /* pages found referenced by them */
    /* Where time goes, in nanoseconds, summed up over threads: in faults; of that, waiting for frames; in
     * reads of stores; the policy, scans included; writing back. */
    uint64_t fault_ns, frame_wait_ns, read_ns, policy_ns, write_ns;
    uint64_t not_recorded; /* references that could not be written to the trace */
};
void quire_stats(struct quire_pager *pager, struct quire_stats *stats);
/* Which way is in use; never QUIRE_WAY_BEST. */
enum quire_way quire_way(const struct quire_pager *pager);

/*
 * fork(). Without these calls the child has no regions. Between quire_fork_begin() and quire_fork_end()
 * nothing is written to any region of the pager and nothing leaves memory; the program calls nothing else of
 * the pager, forks, and in the parent waits until the child has what it wants. Errors of begin: ST_IO_ERROR,
 * ST_UNSUPPORTED (QUIRE_WAY_ANONYMOUS); nothing is held then.
 *
 * In the child quire_fork_child() makes a pager of its own with regions at the same addresses (snapshots are
 * not among them). `reopen` gives the store of each that is not a plain view of its store. They are empty
 * until quire_inherit() has copied a range from the parent; ST_UNSUPPORTED: the parent's store cannot be read
 * by a child. quire_inherited() ends that, and only then faults are served: nobody may touch a region before.
 */
/* Before anything else, once: for children with so many handler threads. False: not with this C library. */
MUST_USE bool quire_fork_prepare(unsigned handlers);
MUST_USE enum status quire_fork_begin(struct quire_pager *pager);
void quire_fork_end(struct quire_pager *pager);
MUST_USE enum status quire_fork_child(struct quire_pager *pager, const struct quire_options *options,
                                      struct store *(*reopen)(const struct quire_mapping *mapping,
                                                              void *context),
                                      void *context, struct quire_pager **own, struct quire_error *error);
MUST_USE enum status quire_inherit(void *address, size_t length);
MUST_USE enum status quire_inherited(struct quire_pager *pager, unsigned handlers);

/* NULL, or the first invariant of the pager that does not hold. Nobody may be at work in it. */
MUST_USE const char *quire_check(struct quire_pager *pager);

/* For a program that replaces the handler of SIGBUS after quire_open(): to be called first in its own, with
 * its arguments. True: the access is to be tried again. */
bool quire_fault(int signal, void *info, void *context);

/* For one who stands between a program and the kernel: SIGBUS (SIGSEGV where there is no userfaultfd) stays
 * the library's, and what is not the library's goes to the handler `next` from now on (NULL: to whom it
 * went). *last: to whom it went; may be NULL. One thread at a time. */
struct sigaction;
void quire_chain(int signal, const struct sigaction *next, struct sigaction *last);

/* Stores. */
enum quire_file_mode {
    QUIRE_FILE_OPEN,     /* there must be one; `bytes` 0: as long as it is, else it is made longer */
    QUIRE_FILE_CREATE,   /* there must be none; `bytes` long */
    QUIRE_FILE_READ_ONLY /* there must be one; it is not written to */
};
/*
 * A file. It is locked: by one that writes or by any number of readers; ST_DENIED: somebody else has it.
 * ST_IO_ERROR, ST_INVALID (not a regular file, or empty), ST_NO_SPACE. Reads and writes by O_DIRECT where the
 * file system has it.
 */
MUST_USE enum status quire_file(const char *path, enum quire_file_mode mode, uint64_t bytes,
                                struct store **store, struct quire_error *error);
/* A file without a name in the folder, of which only what is written takes space: for QUIRE_FRESH regions and
 * private copies. */
MUST_USE enum status quire_swap(const char *folder, uint64_t bytes, struct store **store,
                                struct quire_error *error);

/*
 * Any store by its name: file:PATH, swap:FOLDER, lz4:MEMORY, zstd:MEMORY, nbd://…, redis://…, module:PATH:…
 * (docs/RUNTIME.md). `bytes`: how long it must be at least; 0: as long as it is. ST_INVALID: the name, or
 * there must be a length; ST_UNSUPPORTED: there is no module for that kind; ST_DENIED: somebody else has it;
 * ST_BEYOND_END: it is shorter. store_close() closes all of it.
 */
MUST_USE enum status quire_store_open(const char *name, uint64_t bytes, struct store **store,
                                      struct quire_error *error);

/* Compressed pages (lz4) in at most `memory_bytes` besides the budget; what does not fit, or does not become
 * smaller, goes to `behind` (NULL: it stays in the region). For QUIRE_FRESH regions and private copies;
 * quire_sync() of them is ST_UNSUPPORTED. ST_INVALID: no memory, or `behind` is shorter; ST_NO_MEMORY. */
MUST_USE enum status quire_compressed(uint64_t bytes, uint64_t memory_bytes, struct store *behind,
                                      struct store **store, struct quire_error *error);

#endif

/*
 * What the host and the guest of an oracle share: one block in the machine's memory.
 *
 * The machine's memory is a file that the host has mapped, too. The host builds page tables in it with the
 * library, writes down what is to be tried, and gives the turn to the guest. The guest loads the tables into
 * the real (QEMU's) MMU, flushes what the library promised to flush and nothing else, tries, writes down what
 * came of it, and gives the turn back. Neither looks at the scene while the turn is the other's.
 *
 *   MACHINE_BASE + 0         the payload: the guest's program (riscv64)
 *                + 1 MiB     the same (x86-64, where the first MiB is not all memory, and aarch64, where QEMU
 * puts the device tree below)
 *                + 2 MiB     the scene
 *                + 4 MiB     frames for tables
 *                + 32 MiB    frames for pages, to the end of memory
 *
 * The lowest 4 MiB are mapped at their own address, for the supervisor alone, but for the page of the payload
 * that holds what runs in user mode. Only included where uint64_t is known; the guest and the host compile
 * the same text.
 */
#ifndef TESTS_ORACLE_SCENE_H
#define TESTS_ORACLE_SCENE_H

#include <stdint.h>

#define SCENE_OFFSET 0x200000
#define TABLES_OFFSET 0x400000
#define PAGES_OFFSET 0x2000000
#define PAYLOAD_OFFSET 0x100000 /* where it is mapped at its own address */
#define PAYLOAD_BYTES 0x40000   /* the last page is user mode's */

enum { SCENE_PROBES = 2048, SCENE_FLUSHES = 512, SCENE_HAMMERED = 64 };

/* What is tried. The low bits of the address choose what is there: see page_prepare() of the host. */
enum probe_access { PROBE_READ, PROBE_WRITE, PROBE_EXEC };

enum probe_outcome { PROBE_NOT_RUN, PROBE_DONE, PROBE_FAULT };

struct probe {
    uint64_t address;
    uint32_t access; /* enum probe_access */
    uint32_t user;   /* 1: with the rights of user mode */
    uint64_t value;  /* PROBE_WRITE: this is written */

    /* What came of it. */
    uint64_t outcome;
    uint64_t got;     /* PROBE_DONE: what was read, or what the code that ran there says */
    uint64_t cause;   /* PROBE_FAULT: x86 vector; riscv mcause; aarch64 the exception class */
    uint64_t code;    /* PROBE_FAULT: x86 error code; aarch64 the syndrome's ISS */
    uint64_t at;      /* PROBE_FAULT: cr2, mtval, FAR_EL1 */
    uint64_t details; /* aarch64: PAR_EL1 of a read that was done: memory attributes */
};

/* What enum pt_flush_kind says, for the guest, which knows nothing of the library. */
enum scene_flush_kind { SCENE_FLUSH_NEW, SCENE_FLUSH_PAGES, SCENE_FLUSH_TABLES, SCENE_FLUSH_ALL };

struct scene_flush {
    uint64_t start;
    uint64_t pages; /* of 4 KiB */
    uint64_t kind;  /* enum scene_flush_kind */
};

/* More pages than this are flushed all at once, as kernels do. */
enum { SCENE_FLUSH_PAGES_MAX = 32 };

/* Whose turn it is. */
enum scene_turn { TURN_HOST, TURN_GUEST };

/* What the guest does with its turn. */
enum scene_work {
    WORK_PROBE, /* flush, then try every probe */
    WORK_HAMMER /* write to the hammered pages over and over, and flush when asked, until `stop` */
};

struct scene {
    uint64_t turn; /* enum scene_turn; the only word that both may touch at any time, besides the hammer's */
    uint64_t work;
    /* What the MMU is told. x86: CR3, bits of CR4 (before paging is turned on), PKRU. riscv: satp, bits of
     * mstatus. aarch64: TTBR0, TTBR1, TCR, MAIR. */
    uint64_t control[4];
    uint64_t probe_count;
    uint64_t flush_count;
    uint64_t running; /* the probe that is being tried, for who must find out why the guest is gone */
    uint64_t
        panic[4]; /* not 0: the guest met something that it should not have: cause, code, address, where */

    /* WORK_HAMMER: a lone CPU that marks pages accessed and dirty while the host changes their entries. */
    uint64_t hammer_first; /* the address of the first page */
    uint64_t hammer_pages;
    uint64_t hammer_stop;
    uint64_t hammer_rounds; /* counted by the guest */
    uint64_t hammer_faults; /* the same */
    uint64_t flush_wanted;  /* the host counts up to have the one flush of flushes[0] done */
    uint64_t flush_done;    /* the guest follows */

    struct scene_flush flushes[SCENE_FLUSHES];
    struct probe probes[SCENE_PROBES];
};

/* What a page that is tried holds: at 0 the number that a read sees, at 16 code that says the same number and
 * traps, from 64 on room for writes. */
enum { PAGE_READ_AT = 0, PAGE_EXEC_AT = 16, PAGE_WRITE_AT = 64 };

#endif

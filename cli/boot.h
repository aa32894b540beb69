/*
 * What `quire boot` is asked to do, and the steps that do it: find the parts (locate), put the guest's files
 * together (guest_files), start QEMU (qemu), and carry bytes until it ends (session).
 */
#ifndef CLI_BOOT_H
#define CLI_BOOT_H

#include <sys/types.h>

#include "cli/paging_options.h"
#include "cli/swap_file.h"

struct boot_options {
    uint64_t memory_bytes;
    struct swap_options swap;
    struct paging_options paging;
    const char *root;   /* a folder of the host, NULL: none */
    const char *share;  /* a folder of the host, NULL: none */
    int64_t timeout_ms; /* 0: none */
    bool json;          /* the report as JSON */
    const char
        *report; /* where the report goes: NULL: standard error if it is a terminal; "-": standard error */
    const char *events; /* where events go, NULL: nowhere; "-": standard error */
    const char *record; /* where recorded references go, NULL: they are not recorded */
    uint64_t record_window;
    bool no_aslr;
    bool icount;
    const char *demo;
    const char *cpu;
    struct strings environment; /* K=V */
    bool check;                 /* the kernel checks itself at the end */
    bool verbose;
    const char *kernel;
    const char *screenshot;
    const char *append; /* more words for the kernel's command line */
    const char *log;    /* file for the log of the kernel, "-": standard output */
    const char *name;   /* of the machine, for quire dump */
    char **program;     /* with its arguments, NULL-terminated; program[0] == NULL: a shell */
};

/* ------------------------------------------------------------------ locate.c */

/* The path of the kernel image, or NULL when a message has been printed. The caller frees it. */
char *locate_kernel(const char *wanted);
/* The QEMU to run: $QUIRE_QEMU or qemu-system-x86_64 from PATH; NULL as above. */
char *locate_qemu(void);
/* The same for qemu-x86_64, which runs one program, and the recorder that is put into it (quire trace
 * record). */
char *locate_qemu_user(void);
char *locate_recorder(void);
/* What `quire run` puts into a program, and the library that pages for it. NULL: a message has been printed.
 */
char *locate_preload(void);
char *locate_library(void);
/* A program in PATH, NULL: none. The caller frees it. */
char *locate_in_path(const char *name);
/* The loader that a dynamically linked program asks for; NULL: it is static, or no ELF file. */
char *locate_interpreter(const char *program);

/* ------------------------------------------------------------------ guest_files.c */

/* The initramfs: a descriptor that the caller closes, or -1 - EXIT_... when a message has been printed. */
int guest_files_build(const struct boot_options *options, uint64_t *bytes);

/* ------------------------------------------------------------------ qemu.c */

struct qemu {
    pid_t pid;
    int link;   /* sockets, our ends */
    int log;    /* the kernel's log, and an answer to its questions */
    int qmp;    /* -1: no screenshot was asked for */
    int errors; /* what QEMU itself says */
};

/* What QEMU gets to read; descriptors are the caller's. */
struct qemu_files {
    const char *kernel;
    int initramfs;
    int swap; /* the disk of swapped pages, -1: none */
};

/* Starts QEMU; it dies when this process does. False when a message has been printed. */
bool qemu_start(struct qemu *qemu, const struct boot_options *options, const char *program,
                const struct qemu_files *files);
/* Has QEMU write what is on the machine's screen to `file` (PPM). Waits for it, at most a few seconds. */
bool qemu_screenshot(struct qemu *qemu, const char *file);

/* QEMU's status when the kernel ends the machine through isa-debug-exit: twice the value (enum machine_status
 * in kernel/x86/x86.h) plus 1. Every other status is a failure of QEMU itself. */
enum qemu_status { QEMU_DONE = 3, QEMU_FAILED = 5, QEMU_PANIC = 7, QEMU_CANNOT_BOOT = 9 };

/* ------------------------------------------------------------------ session.c */

/* Carries everything until the machine has ended; the exit status of quire. */
int session_run(struct qemu *qemu, const struct boot_options *options);

#endif

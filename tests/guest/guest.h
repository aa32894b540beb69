/*
 * What the guest programs share: printing results so that two systems can be compared line by line, and
 * touching memory that may not be there.
 *
 * Nothing printed depends on addresses, times or process numbers. Errors are printed by name, addresses
 * relative to a base that the test gives.
 */
#ifndef QUIRE_TESTS_GUEST_H
#define QUIRE_TESTS_GUEST_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE ((size_t)4096)
#define KIB ((size_t)1024)
#define MIB ((size_t)1024 * 1024)
#define GIB ((size_t)1024 * 1024 * 1024)

/* "EINVAL" for EINVAL. */
const char *error_name(int error);
const char *signal_name(int signal);
const char *code_name(int signal, int code);

/* Prints "what: value", or the error's name when value is -1. */
void show(const char *what, long value);
/* The same, but any value that is not -1 prints as "ok". */
void show_ok(const char *what, long value);
/* The same for what mmap and mremap return. */
void show_map(const char *what, const void *mapped);
/* Prints "what: yes" or "what: no". */
void show_yes(const char *what, bool yes);
/* Prints a heading. */
void part(const char *name);
/* How a child ended: "exit 3", "SIGSEGV". */
void show_status(const char *what, int status);

/* The access that a try_ function makes; it prints "what: ok <byte>" or "what: SIGSEGV SEGV_MAPERR +0x1000",
 * the address relative to base. Returns whether the access was possible. */
bool try_read(const char *what, const void *at, const void *base);
bool try_write(const char *what, void *at, const void *base);
/* Jumps there: memory that holds a return instruction (0xc3) comes back. */
bool try_call(const char *what, const void *at, const void *base);
/* The same without printing. */
bool can_read(const void *at);
bool can_write(void *at);

/* mmap that must work, for a test's own scenery; ends the program otherwise. */
void *map_anon(size_t bytes, int protection, int flags);
void *map_anon_rw(size_t bytes);
/* An open file of so many bytes, byte i of page p being (p + 1), already without a name; in /tmp. */
int scratch_file(size_t bytes);
/* A new directory below /tmp, current from then on; scratch_leave() removes it and what is directly in it. */
void scratch_enter(void);
void scratch_leave(void);

/* Runs body in a child and returns its status. */
int in_child(void (*body)(void));
/* Ends the program when a thing that must work did not. */
void must(bool worked, const char *what);

#endif

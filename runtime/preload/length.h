/*
 * How long a machine instruction of x86-64 is (64-bit mode; Intel's manual, volume 2, chapter 2 and the
 * opcode maps of appendix A). Enough for what compilers make; not a check that it is valid.
 */
#ifndef QUIRE_PRELOAD_LENGTH_H
#define QUIRE_PRELOAD_LENGTH_H

#include <stddef.h>
#include <stdint.h>

enum { INSTRUCTION_LONGEST = 15 }; /* more, and the processor refuses it */

/* In bytes; 0: none begins there, or it is not over within `most` bytes, which are all that is read. */
unsigned instruction_length(const uint8_t *code, size_t most);

#endif

/*
 * What an ELF file says about how it is to be loaded, checked. Pure functions on bytes: no kernel is needed
 * to test or to fuzz them.
 */
#ifndef KERNEL_ELF_H
#define KERNEL_ELF_H

#include <linux/elf.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum elf_verdict {
    ELF_GOOD,
    ELF_NOT_ELF,       /* no magic number */
    ELF_TRUNCATED,     /* the file ends before what its headers promise */
    ELF_WRONG_MACHINE, /* not 64-bit little-endian x86-64 */
    ELF_BAD_TYPE,      /* neither a program nor position-independent */
    ELF_BAD_HEADER,    /* impossible sizes or numbers */
    ELF_BAD_SEGMENT,   /* larger in the file than in memory, offset and address do not agree, no segment */
    ELF_OVERLAP,       /* segments overlap, or are not in ascending order */
    ELF_OUT_OF_RANGE,  /* a segment wraps, or lies in the kernel's half or in the first pages */
    ELF_VERDICTS
};

/* "not an ELF file", ... */
const char *elf_verdict_name(enum elf_verdict verdict);

enum { ELF_HEADERS_MAX = 512 }; /* program headers; the real ones have about ten */

/* Where addresses of programs may lie. */
struct elf_limits {
    uint64_t start, end;
};

struct elf_image {
    bool moves;          /* position-independent: every address below is relative to where it is put */
    uint64_t start, end; /* of all segments, rounded to pages */
    uint64_t entry;      /* as the header says; not checked to be inside of a segment */
    uint64_t headers;    /* where the program headers lie in memory; 0: in no segment */
    uint64_t alignment;  /* the largest that a segment asks for: a power of two, at least a page */
    uint64_t interpreter_offset, interpreter_bytes; /* of the name in the file, with its NUL; bytes 0: none */
    uint64_t read_only_end; /* up to here data is only read once it is relocated; not checked; 0: not said */
    bool stack_executes;
};

/* The file's header. `file_bytes` is the size of the whole file, of which the first sizeof(*header) are here.
 */
enum elf_verdict elf_check_header(const struct elf64_hdr *header, size_t header_bytes, uint64_t file_bytes);

/* The header->e_phnum program headers. Fills `image` when they are good. */
enum elf_verdict elf_check_segments(const struct elf64_hdr *header, const struct elf64_phdr *headers,
                                    uint64_t file_bytes, const struct elf_limits *limits,
                                    struct elf_image *image);

#endif

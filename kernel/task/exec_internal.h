/*
 * The parts of exec: strings (exec_strings.c), what is loaded (exec_image.c), the order of things (exec.c).
 */
#ifndef KERNEL_EXEC_INTERNAL_H
#define KERNEL_EXEC_INTERNAL_H

#include "kernel/task/elf.h"
#include "kernel/task/task_internal.h"

struct vnode;

/* ---- argument and environment strings, one behind the other in one block of kernel memory */
struct exec_strings {
    char *bytes;
    struct frame *block;
    size_t used, capacity, limit;
    unsigned argc, envc;
    size_t args_bytes; /* of `used`: the arguments; the environment follows */
};
void exec_strings_init(struct exec_strings *strings, size_t limit);
void exec_strings_free(struct exec_strings *strings);
/* 0, -EFAULT, -E2BIG, -ENOMEM */
int exec_strings_read(struct exec_strings *strings, uint64_t argv, uint64_t envp);
int exec_strings_take(struct exec_strings *strings, const struct exec_request *request);
/* Room for so many more bytes at bytes + used. */
int exec_strings_reserve(struct exec_strings *strings, size_t bytes);
/* For a script: argument 0 makes way for these (`argument` may be NULL). */
int exec_strings_insert_script(struct exec_strings *strings, const char *interpreter, const char *argument,
                               const char *path);

/* ---- a file that is loaded */
enum { HEADERS_INLINE = 14 };
struct exec_image {
    struct vnode *node; /* with a reference, or NULL */
    struct elf64_hdr header;
    struct elf64_phdr *headers; /* few_headers, or from the slab */
    struct elf64_phdr few_headers[HEADERS_INLINE];
    struct elf_image elf;
    uint64_t bias; /* added to every address of the file */
};
/* The vnode of a program that may be run; 0, -EACCES, -ENOENT, ... `resolved` as in path_resolve(). */
int exec_open(const struct exec_request *request, const char *path, struct vnode **out, char *resolved);
/* Reads and checks the headers. -ENOEXEC, -EIO, -ENOMEM. `first` are the file's first bytes. */
int exec_image_check(struct exec_image *image, const void *first, size_t first_bytes);
/* Why the last file was refused with -ENOEXEC, in words. */
const char *exec_refusal(void);
void exec_image_free(struct exec_image *image);
/* Maps the segments at image->bias. */
int exec_image_map(const struct exec_image *image, struct space *space);
/* Chooses the bias of an interpreter: a free range of the space. */
int exec_image_place(struct exec_image *image, struct space *space);

/* ---- the first stack */
struct exec_stack {
    uint64_t top; /* chosen */
    uint64_t limit_bytes;
    const char *file_name; /* AT_EXECFN */
    const struct exec_image *program;
    const struct exec_image *interpreter; /* NULL: none */
    uint64_t pointer;                     /* result: rsp */
    uint64_t start, end;                  /* result: what is mapped */
    uint64_t args_at;                     /* result: the strings */
};
int exec_stack_build(struct exec_stack *stack, struct exec_strings *strings, struct space *space);

#endif

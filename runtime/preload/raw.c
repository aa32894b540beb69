/*
 * System calls, not by way of functions of the C library that are changed; and the changing of these.
 *
 * The C library's own callers (malloc(), thread stacks, stdio) reach its mmap() without the dynamic linker,
 * so a symbol of ours would not be seen by them. The function's body, however, is one for all: its first
 * bytes become a jump to ours. Nothing else of the library is touched, and no other system call costs
 * anything more.
 *
 * It is done before main(), in one thread. The pages of code become private copies.
 */
#include "preload.h"

#include <dlfcn.h>
#include <elf.h>
#include <errno.h>
#include <link.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

void *raw_mmap(void *address, size_t length, int protection, int flags, int fd, off_t offset)
{
    return (void *)syscall(SYS_mmap, address, length, protection, flags, fd, offset);
}

int raw_munmap(void *address, size_t length)
{
    return (int)syscall(SYS_munmap, address, length);
}

void *raw_mremap(void *old, size_t old_length, size_t length, int flags, void *address)
{
    return (void *)syscall(SYS_mremap, old, old_length, length, flags, address);
}

int raw_mprotect(void *address, size_t length, int protection)
{
    return (int)syscall(SYS_mprotect, address, length, protection);
}

int raw_madvise(void *address, size_t length, int advice)
{
    return (int)syscall(SYS_madvise, address, length, advice);
}

int raw_msync(void *address, size_t length, int flags)
{
    return (int)syscall(SYS_msync, address, length, flags);
}

/* jmp *0(%rip), and the address. */
struct jump {
    uint8_t code[6];
    uint8_t address[8];
};
_Static_assert(sizeof(struct jump) == 14, "as the processor reads it");

static bool has_room(const void *function)
{
    Dl_info info;
    const ElfW(Sym) *symbol = NULL;

    return dladdr1(function, &info, (void **)&symbol, RTLD_DL_SYMENT) != 0 && symbol &&
           ELF64_ST_TYPE(symbol->st_info) == STT_FUNC && symbol->st_size >= sizeof(struct jump);
}

bool patch_function(const char *name, const void *ours)
{
#ifdef __x86_64__
    struct jump jump = {.code = {0xff, 0x25}};
    void *libc = dlopen("libc.so.6", RTLD_LAZY | RTLD_NOLOAD);
    uint8_t *theirs = libc ? dlsym(libc, name) : NULL;
    uintptr_t first = (uintptr_t)theirs & ~(uintptr_t)PAGE_MASK;
    size_t bytes = ((uintptr_t)theirs + sizeof(jump) + PAGE_MASK - first) & ~(size_t)PAGE_MASK;

    if (!theirs || !has_room(theirs))
        return false;
    memcpy(jump.address, &ours, sizeof(jump.address));
    if (raw_mprotect((void *)first, bytes, PROT_READ | PROT_WRITE | PROT_EXEC) != 0)
        return false;
    memcpy(theirs, &jump, sizeof(jump));
    return raw_mprotect((void *)first, bytes, PROT_READ | PROT_EXEC) == 0;
#else
    return false;
#endif
}

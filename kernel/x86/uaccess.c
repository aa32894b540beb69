/*
 * The one place where the kernel touches user memory: the range is checked here, the copy is made in
 * uaccess.S.
 */
#include <asm-generic/errno.h>

#include "kernel/mm/events.h"
#include "kernel/x86/x86.h"
#include "quire/space.h"

size_t uaccess_copy(void *to, const void *from, size_t bytes);
size_t uaccess_clear(void *to, size_t bytes);
long uaccess_string(char *to, const char *from, size_t size);

/* Bytes from `address` on that lie in the user half, at most `bytes`. */
static inline size_t clip(uint64_t address, size_t bytes)
{
    if (address >= SPACE_END)
        return 0;
    return bytes <= SPACE_END - address ? bytes : SPACE_END - address;
}

/* Whoever records references sees those of the kernel, too. */
static inline void watch(uint64_t address, size_t bytes, enum access access)
{
    if (__builtin_expect(host_watched, 0))
        record_copy(address, bytes, access);
}

size_t user_read_some(void *to, uint64_t user_from, size_t bytes)
{
    size_t inside = clip(user_from, bytes);

    watch(user_from, inside, ACCESS_READ);
    return inside - uaccess_copy(to, (const void *)user_from, inside);
}

size_t user_write_some(uint64_t user_to, const void *from, size_t bytes)
{
    size_t inside = clip(user_to, bytes);

    watch(user_to, inside, ACCESS_WRITE);
    return inside - uaccess_copy((void *)user_to, from, inside);
}

int user_read(void *to, uint64_t user_from, size_t bytes)
{
    if (clip(user_from, bytes) != bytes)
        return -EFAULT;
    watch(user_from, bytes, ACCESS_READ);
    return uaccess_copy(to, (const void *)user_from, bytes) == 0 ? 0 : -EFAULT;
}

int user_write(uint64_t user_to, const void *from, size_t bytes)
{
    if (clip(user_to, bytes) != bytes)
        return -EFAULT;
    watch(user_to, bytes, ACCESS_WRITE);
    return uaccess_copy((void *)user_to, from, bytes) == 0 ? 0 : -EFAULT;
}

int user_clear(uint64_t user_to, size_t bytes)
{
    if (clip(user_to, bytes) != bytes)
        return -EFAULT;
    watch(user_to, bytes, ACCESS_WRITE);
    return uaccess_clear((void *)user_to, bytes) == 0 ? 0 : -EFAULT;
}

long user_read_string(char *to, uint64_t user_from, size_t size)
{
    size_t inside = clip(user_from, size);
    long length;

    watch(user_from, inside != 0, ACCESS_READ);
    length = uaccess_string(to, (const char *)user_from, inside);
    if (length < 0 || ((size_t)length == inside && inside < size))
        return -EFAULT;
    return (size_t)length == size ? -ENAMETOOLONG : length;
}

/*
 * From the core's status to Linux's errno: the one place.
 */
#include "kernel/linux/syscalls.h"

long errno_of(enum status status)
{
    switch (status) {
    case ST_OK:
        return 0;
    case ST_MAPPED:
        return -EEXIST;
    case ST_NO_MEMORY:
    case ST_NOT_MAPPED:
    case ST_NO_SPACE:
    case ST_LIMIT:
        return -ENOMEM;
    case ST_DENIED:
        return -EACCES;
    case ST_BEYOND_END:
        return -EFAULT;
    case ST_IO_ERROR:
        return -EIO;
    case ST_UNSUPPORTED:
        return -EOPNOTSUPP;
    case ST_RETRY:
    case ST_NEEDS_IO:
        return -EAGAIN;
    case ST_INTERRUPTED:
        return -EINTR;
    case ST_HUGE_PAGE:
    case ST_NOT_CANONICAL:
    case ST_NOT_ALIGNED:
    case ST_INVALID:
    case ST_DIFFERENT:
    case ST_COUNT:
        break;
    }
    return -EINVAL;
}

long errno_of_write(enum status status)
{
    return status == ST_NO_MEMORY || status == ST_NO_SPACE ? -ENOSPC : errno_of(status);
}

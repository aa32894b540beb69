/*
 * Where a failed check of the policies ends (base/check.h) when no host is linked: the message, and abort().
 * A host's own takes its place.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"

__attribute__((weak)) void host_panic(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    abort();
}

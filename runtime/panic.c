/*
 * Where a failed check of a policy ends (base/check.h): the message, and abort(). Files are to be found as
 * they were, rather than written by something that has lost count.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"

void host_panic(const char *format, ...)
{
    va_list arguments;

    fputs("quire: ", stderr);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    abort();
}

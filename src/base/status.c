/*
 * Names of the outcomes, for logs and tests.
 */
#include "quire/status.h"

static const char *const names[ST_COUNT] = {
    [ST_OK] = "ok",
    [ST_NO_MEMORY] = "no memory",
    [ST_MAPPED] = "already mapped",
    [ST_NOT_MAPPED] = "not mapped",
    [ST_HUGE_PAGE] = "a larger page is in the way",
    [ST_NOT_CANONICAL] = "address not canonical",
    [ST_NOT_ALIGNED] = "not aligned",
    [ST_INVALID] = "invalid",
    [ST_DENIED] = "access denied",
    [ST_BEYOND_END] = "beyond the end",
    [ST_IO_ERROR] = "input/output error",
    [ST_NO_SPACE] = "no space",
    [ST_LIMIT] = "limit reached",
    [ST_UNSUPPORTED] = "not supported",
    [ST_RETRY] = "try again",
    [ST_NEEDS_IO] = "needs input or output",
    [ST_INTERRUPTED] = "interrupted",
    [ST_DIFFERENT] = "different",
};

const char *status_name(enum status status)
{
    unsigned index = (unsigned)status;

    return index < ST_COUNT && names[index] ? names[index] : "unknown status";
}

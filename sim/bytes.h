/*
 * Little-endian numbers in files, at any alignment.
 */
#ifndef QUIRE_SIM_BYTES_H
#define QUIRE_SIM_BYTES_H

#include <stdint.h>
#include <string.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "numbers are copied as they lie in the file");

static inline uint32_t bytes_get32(const unsigned char *at)
{
    uint32_t value;

    memcpy(&value, at, sizeof(value));
    return value;
}

static inline uint64_t bytes_get64(const unsigned char *at)
{
    uint64_t value;

    memcpy(&value, at, sizeof(value));
    return value;
}

static inline void bytes_put32(unsigned char *at, uint32_t value)
{
    memcpy(at, &value, sizeof(value));
}

static inline void bytes_put64(unsigned char *at, uint64_t value)
{
    memcpy(at, &value, sizeof(value));
}

#endif

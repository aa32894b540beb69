/*
 * Lengths of instructions (runtime/preload/length.h) of any bytes: no byte behind the end is read (each input
 * is at the end of a block, under ASan), an instruction is the same whatever is behind it, and one byte less
 * is none.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "expect.h"
#include "preload/length.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

static unsigned length_of(const unsigned char *data, size_t size, unsigned char behind)
{
    uint8_t *bytes = malloc(size + INSTRUCTION_LONGEST);
    unsigned length;

    EXPECT(bytes != NULL);
    memcpy(bytes, data, size);
    memset(bytes + size, behind, INSTRUCTION_LONGEST);
    length = instruction_length(bytes, size + INSTRUCTION_LONGEST);
    free(bytes);
    return length;
}

/* In a block of exactly that size. */
static unsigned exact_length(const unsigned char *data, size_t size)
{
    uint8_t *bytes = malloc(size ? size : 1);
    unsigned length;

    EXPECT(bytes != NULL);
    memcpy(bytes, data, size);
    length = instruction_length(bytes, size);
    free(bytes);
    return length;
}

static void look_at(const unsigned char *data, size_t size)
{
    unsigned length = exact_length(data, size);

    EXPECT(length <= INSTRUCTION_LONGEST && length <= size);
    if (length == 0)
        return;
    EXPECT(exact_length(data, length) == length);
    EXPECT(exact_length(data, length - 1) == 0);
    EXPECT(length_of(data, length, 0x00) == length && length_of(data, length, 0xff) == length);
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    for (size_t at = 0; at < size; at++)
        look_at(data + at, size - at < 2 * INSTRUCTION_LONGEST ? size - at : 2 * INSTRUCTION_LONGEST);
    return 0;
}

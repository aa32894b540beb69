/*
 * The page-table library against a flat map (tests/unit/pt_model.h), on chosen or random input.
 *
 * With clang -fsanitize=fuzzer and -DQUIRE_LIBFUZZER this is a libFuzzer target. Otherwise it has a main of
 * its own that runs a bounded number of random sequences: fuzz_pt [sequences [seed]]. A sequence that fails
 * is found again by its seed, which is printed first.
 */
#include "pt_model.h"

#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    if (size > 1)
        pt_model_run((enum machine_way)(data[0] % WAY_COUNT), data + 1, size - 1);
    return 0;
}

#ifndef QUIRE_LIBFUZZER
/* xorshift64* (Vigna 2016). */
static uint64_t next_random(uint64_t *state)
{
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return *state * 2685821657736338717u;
}

int main(int argc, char **argv)
{
    unsigned sequences = argc > 1 ? (unsigned)atoi(argv[1]) : 24;
    uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 0) : 1;
    enum { BYTES = 16 * 60 };

    for (unsigned i = 0; i < sequences; i++) {
        uint64_t state = (seed + i) * 0x9e3779b97f4a7c15u | 1;
        unsigned char data[BYTES];

        fprintf(stderr, "\rfuzz_pt: sequence %u of %u, seed %llu", i + 1, sequences,
                (unsigned long long)(seed + i));
        for (unsigned k = 0; k < BYTES; k++)
            data[k] = (unsigned char)(next_random(&state) >> 56);
        data[0] = (unsigned char)i;
        LLVMFuzzerTestOneInput(data, BYTES);
    }
    fprintf(stderr, "\nfuzz_pt: %u sequences, table and model agree\n", sequences);
    return 0;
}
#endif

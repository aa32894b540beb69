/*
 * Fuzzer: any policy against its naive reference, with any options, and any sequence of references, pins,
 * removals, changes of size, ticks and writes (tests/policy/lockstep.h).
 *
 * Runs under libFuzzer (clang -fsanitize=fuzzer, without driver.c) and with tests/fuzz/driver.c. With
 * QUIRE_FUZZ_POLICY in the environment only the policy of that name.
 */
#include <stdlib.h>

#include "policy/lockstep.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

enum { HEAD = 8 + POLICY_OPTIONS, PAGES = 40, FRAMES = 16, MOST = 4096 };

static const struct policy_type *choose(unsigned number)
{
    const char *name = getenv("QUIRE_FUZZ_POLICY");
    unsigned count = 0;

    if (name)
        return policy_find(name, strlen(name));
    while (policy_types[count])
        count++;
    return policy_types[number % count];
}

/* The byte 0 stands for the standard; others for a value near the least, or the most. */
static uint64_t option_value(const struct policy_option *option, unsigned char byte)
{
    uint64_t span = option->most - option->least;

    if (byte == 0)
        return option->standard;
    return byte == 255 ? option->most : option->least + (byte - 1u) % (span + 1 ? span + 1 : UINT64_MAX);
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    static struct op ops[MOST];
    const struct policy_type *type;
    struct policy_config config = {.seed = 1};

    if (size < HEAD)
        return 0;
    type = choose(data[0]);
    if (!type)
        return 0;
    config.pages = 1 + data[1] % PAGES;
    config.most_frames = 1 + data[2] % FRAMES;
    config.frames = 1 + data[3] % config.most_frames;
    for (unsigned i = 0; i < POLICY_OPTIONS && type->options[i].name; i++)
        config.options[i] = option_value(&type->options[i], data[8 + i]);
    size = ops_decode(data + HEAD, size - HEAD, ops, MOST, config.pages, config.most_frames);
    lockstep_run(type, &config, ops, size, data[4] % 2 ? BITS_WHEN_ASKED : BITS_AT_ONCE);
    return 0;
}

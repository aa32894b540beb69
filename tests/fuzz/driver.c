/*
 * The main of a fuzzer when libFuzzer does not drive it: runs random inputs, a bounded time or number.
 *
 *   fuzz-x [--runs N] [--seconds N] [--seed N]    inputs from seed N on, one seed an input
 *   fuzz-x FILE...                                these inputs
 *
 * An input that fails is named by its seed: run it alone with --runs 1 --seed N.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "support.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

enum { INPUT_MAX = 4096 };

static uint64_t running; /* the seed */

static void say_seed(void)
{
    char line[80];
    int length = snprintf(line, sizeof(line), "not ok 1 - seed %llu\n", (unsigned long long)running);

    (void)!write(STDOUT_FILENO, line, (size_t)length);
}

static void on_abort(int number)
{
    say_seed();
    signal(number, SIG_DFL);
    raise(number);
}

/* Called by the sanitizers before they end the process. */
void __sanitizer_set_death_callback(void (*callback)(void)) __attribute__((weak));

static void one_seed(uint64_t seed)
{
    static unsigned char data[INPUT_MAX];
    struct random random = {seed * 0x9e3779b97f4a7c15u + 1};
    size_t size;

    running = seed;
    for (int i = 0; i < 8; i++)
        random_next(&random);
    size = 64 + random_below(&random, INPUT_MAX - 64);
    for (size_t i = 0; i < size; i++)
        data[i] = (unsigned char)(random_next(&random) >> 32);
    LLVMFuzzerTestOneInput(data, size);
}

static int one_file(const char *path)
{
    static unsigned char data[1 << 20];
    FILE *file = fopen(path, "rb");
    size_t size;

    if (file == NULL) {
        perror(path);
        return 2;
    }
    size = fread(data, 1, sizeof(data), file);
    fclose(file);
    LLVMFuzzerTestOneInput(data, size);
    return 0;
}

int main(int argc, char **argv)
{
    uint64_t runs = UINT64_MAX, seconds = UINT64_MAX, seed = 1, done = 0;
    time_t start = time(NULL);

    signal(SIGABRT, on_abort);
    if (__sanitizer_set_death_callback != NULL)
        __sanitizer_set_death_callback(say_seed);
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--runs") == 0 && i + 1 < argc)
            runs = strtoull(argv[++i], NULL, 10);
        else if (strcmp(argv[i], "--seconds") == 0 && i + 1 < argc)
            seconds = strtoull(argv[++i], NULL, 10);
        else if (strcmp(argv[i], "--seed") == 0 && i + 1 < argc)
            seed = strtoull(argv[++i], NULL, 10);
        else
            return one_file(argv[i]);
    }
    printf("1..1\n");
    fflush(stdout);
    while (done < runs && (uint64_t)(time(NULL) - start) < seconds) {
        one_seed(seed++);
        done++;
    }
    printf("ok 1 - %llu inputs\n", (unsigned long long)done);
    return 0;
}

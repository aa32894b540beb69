/*
 * Libraries that are loaded while the program is paged: for `quire run` with a budget far smaller than what
 * this touches. With LIBRARY defined this is the library: it has large data of its own, memory of malloc(),
 * and a constructor and a destructor that use the program's memory. Prints "right" at the end; what is wrong
 * is told with its line, and status 1. Usage: run_library LIBRARY
 */
#include <stdint.h>
#include <stdlib.h>

enum { WORDS = 1 << 20, ROUNDS = 4 };

struct library {
    uint64_t *(*filled)(uint64_t seed); /* memory of the library's malloc() */
    uint64_t (*sum)(const uint64_t *words, size_t count);
    uint64_t *data, *zeroes;
    size_t data_words, zero_words;
};

#ifdef LIBRARY

static uint64_t data[WORDS] = {[0] = 1, [WORDS / 2] = 2, [WORDS - 1] = 3};
static uint64_t zeroes[WORDS];

extern uint64_t *shared_words;
extern unsigned begun, ended;

static uint64_t *filled(uint64_t seed)
{
    uint64_t *words = malloc(WORDS * sizeof(*words));

    for (size_t i = 0; words && i < WORDS; i++)
        words[i] = seed + i;
    return words;
}

static uint64_t sum(const uint64_t *words, size_t count)
{
    uint64_t total = 0;

    for (size_t i = 0; i < count; i++)
        total += words[i];
    return total;
}

static __attribute__((constructor)) void begin(void)
{
    for (size_t i = 0; i < WORDS; i += 512)
        shared_words[i]++;
    begun++;
}

static __attribute__((destructor)) void end(void)
{
    for (size_t i = 0; i < WORDS; i += 512)
        shared_words[i]++;
    ended++;
}

struct library library_of_words = {filled, sum, data, zeroes, WORDS, WORDS};

#else

#include <dlfcn.h>
#include <stdio.h>

uint64_t *shared_words;
unsigned begun, ended;

static void fail(int line, const char *what)
{
    const char *why = dlerror();

    fprintf(stderr, "line %d: %s: %s\n", line, what, why ? why : "wrong");
    exit(1);
}
#define must(what) ((what) ? (void)0 : fail(__LINE__, #what))

static void use(const char *name, uint64_t seed)
{
    void *handle = dlopen(name, RTLD_NOW | RTLD_LOCAL);
    struct library *library;
    uint64_t *words;

    must(handle != NULL);
    library = dlsym(handle, "library_of_words");
    must(library != NULL);
    must(library->sum(library->data, library->data_words) == 6 &&
         library->sum(library->zeroes, library->zero_words) == 0);
    words = library->filled(seed);
    must(words != NULL);
    for (size_t i = 0; i < WORDS; i++) {
        library->data[i] += words[i];
        library->zeroes[i] = words[WORDS - 1 - i];
    }
    must(library->sum(words, WORDS) == library->sum(library->zeroes, WORDS));
    must(library->sum(library->data, WORDS) == library->sum(words, WORDS) + 6);
    free(words);
    must(dlclose(handle) == 0);
}

int main(int count, char **arguments)
{
    uint64_t total = 0;

    shared_words = calloc(WORDS, sizeof(*shared_words));
    must(count == 2 && shared_words != NULL);
    for (unsigned round = 0; round < ROUNDS; round++)
        use(arguments[1], round * 1000003ul);
    for (size_t i = 0; i < WORDS; i++)
        total += shared_words[i];
    must(begun == ROUNDS && ended == ROUNDS && total == 2ul * ROUNDS * (WORDS / 512));
    puts("right");
    return 0;
}

#endif

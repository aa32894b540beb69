/* Maps a file and sums its 64-bit words (the last one filled up with zeroes). */
#include "guest.h"

static uint64_t sum_words(const uint64_t *words, size_t count)
{
    uint64_t a = 0, b = 0, c = 0, d = 0;
    size_t i = 0;

    for (; i + 4 <= count; i += 4) {
        a += words[i];
        b += words[i + 1];
        c += words[i + 2];
        d += words[i + 3];
    }
    for (; i < count; i++)
        a += words[i];
    return a + b + c + d;
}

int main(int count, char **arguments)
{
    bool private_mapping = count > 2 && strcmp(arguments[1], "--private") == 0;
    const char *name = arguments[private_mapping ? 2 : count > 1 ? 1 : 0];
    int passes = count > 2 + private_mapping ? atoi(arguments[2 + private_mapping]) : 1;
    struct stat info;
    uint64_t sum = 0;
    int file;

    if (count < 2 || passes < 1) {
        fprintf(stderr, "usage: mapsum [--private] FILE [PASSES]\n");
        return 2;
    }
    file = open(name, O_RDONLY);
    if (file < 0 || fstat(file, &info) != 0) {
        perror(name);
        return 1;
    }
    if (info.st_size > 0) {
        /* The rest of the last page is zero. */
        size_t bytes = ((size_t)info.st_size + 7) / 8 * 8;
        const uint64_t *words =
            mmap(NULL, bytes, PROT_READ, private_mapping ? MAP_PRIVATE : MAP_SHARED, file, 0);

        if (words == MAP_FAILED) {
            perror("mmap");
            return 1;
        }
        for (int pass = 0; pass < passes; pass++)
            sum = sum_words(words, bytes / 8);
    }
    printf("%lld bytes, sum %016lx\n", (long long)info.st_size, sum);
    return 0;
}

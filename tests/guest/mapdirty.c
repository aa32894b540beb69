/* Fills a file through a shared mapping with words that depend on their place and on a seed. */
#include "guest.h"

int main(int count, char **arguments)
{
    bool sync_it = count > 1 && strcmp(arguments[1], "--sync") == 0;
    char **words_of_line = arguments + sync_it;
    uint64_t sum = 0;
    size_t bytes;
    uint64_t seed;
    uint64_t *words;
    int file;

    if (count - sync_it < 3) {
        fprintf(stderr, "usage: mapdirty [--sync] FILE BYTES [SEED]\n");
        return 2;
    }
    bytes = strtoul(words_of_line[2], NULL, 0) & ~(size_t)7;
    seed = count - sync_it > 3 ? strtoul(words_of_line[3], NULL, 0) : 1;
    file = open(words_of_line[1], O_RDWR | O_CREAT, 0644);
    if (file < 0 || ftruncate(file, (off_t)bytes) != 0) {
        perror(words_of_line[1]);
        return 1;
    }
    words = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (words == MAP_FAILED) {
        perror("mmap");
        return 1;
    }
    for (size_t i = 0; i < bytes / 8; i++) {
        words[i] = (i + seed) * 0x9e3779b97f4a7c15u;
        sum += words[i];
    }
    if (sync_it && msync(words, bytes, MS_SYNC) != 0) {
        perror("msync");
        return 1;
    }
    printf("%zu bytes, sum %016lx\n", bytes, sum);
    return 0;
}

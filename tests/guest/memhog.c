/* Touches so much private memory, and checks that it keeps what was written; with `free` it gives each MiB up
 * when it has written it, and what is left of that must be what was written, or zeroes. */
#include "guest.h"

int main(int count, char **arguments)
{
    size_t bytes = count > 1 ? strtoul(arguments[1], NULL, 0) * MIB : 0;
    bool free_it = count > 2 && strcmp(arguments[2], "free") == 0;
    size_t wrong = 0, gone = 0;
    char *area;

    if (bytes == 0) {
        fprintf(stderr, "usage: memhog MIB [free]\n");
        return 2;
    }
    area = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (area == MAP_FAILED) {
        perror("mmap");
        return 1;
    }
    for (size_t at = 0; at < bytes; at += PAGE) {
        *(size_t *)(area + at) = at + 1;
        if (free_it && (at + PAGE) % MIB == 0)
            must(madvise(area + at + PAGE - MIB, MIB, MADV_FREE) == 0, "MADV_FREE");
    }
    for (size_t at = 0; at < bytes; at += PAGE) {
        size_t word = *(size_t *)(area + at);

        gone += free_it && word == 0;
        wrong += word != at + 1 && !(free_it && word == 0);
    }
    printf("%zu MiB touched, %zu pages wrong\n", bytes / MIB, wrong);
    if (free_it)
        show_yes("some are gone", gone > 0);
    return wrong != 0;
}

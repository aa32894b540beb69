/* Touches so much private memory, and checks that it keeps what was written. */
#include "guest.h"

int main(int count, char **arguments)
{
    size_t bytes = count > 1 ? strtoul(arguments[1], NULL, 0) * MIB : 0;
    size_t wrong = 0;
    char *area;

    if (bytes == 0) {
        fprintf(stderr, "usage: memhog MIB\n");
        return 2;
    }
    area = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (area == MAP_FAILED) {
        perror("mmap");
        return 1;
    }
    for (size_t at = 0; at < bytes; at += PAGE)
        *(size_t *)(area + at) = at;
    for (size_t at = 0; at < bytes; at += PAGE)
        wrong += *(size_t *)(area + at) != at;
    printf("%zu MiB touched, %zu pages wrong\n", bytes / MIB, wrong);
    return wrong != 0;
}

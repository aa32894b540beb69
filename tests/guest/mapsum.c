/*
 * mapsum FILE: maps the file and prints the sum of its 64-bit words, modulo 2^64.
 */
#include "guest.h"

int main(int argc, char **argv)
{
    struct stat info;
    int fd = argc == 2 ? open(argv[1], O_RDONLY) : -1;

    if (fd < 0 || fstat(fd, &info) != 0) {
        fprintf(stderr, "usage: mapsum FILE\n");
        return 2;
    }
    size_t words = (size_t)info.st_size / sizeof(uint64_t);
    const uint64_t *data = mmap(NULL, (size_t)info.st_size, PROT_READ, MAP_SHARED, fd, 0);
    uint64_t sum = 0;

    if (data == MAP_FAILED) {
        perror("mmap");
        return 1;
    }
    for (size_t i = 0; i < words; i++)
        sum += data[i];
    printf("%llu\n", (unsigned long long)sum);
    return 0;
}

/*
 * mapfill FILE: writes its number, from 1, at the start of every page of the file, through a shared mapping.
 */
#include "guest.h"

int main(int argc, char **argv)
{
    struct stat info;
    int fd = argc == 2 ? open(argv[1], O_RDWR) : -1;

    if (fd < 0 || fstat(fd, &info) != 0) {
        fprintf(stderr, "usage: mapfill FILE\n");
        return 2;
    }
    size_t bytes = (size_t)info.st_size;
    unsigned char *data = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

    if (data == MAP_FAILED) {
        perror("mmap");
        return 1;
    }
    for (size_t at = 0; at < bytes; at += PAGE) {
        uint64_t number = at / PAGE + 1;

        memcpy(data + at, &number, sizeof(number));
    }
    return munmap(data, bytes) == 0 ? 0 : 1;
}

/*
 * hog: takes memory and touches it, for ever. The end of memory is the end of it.
 */
#include "guest.h"

int main(void)
{
    for (;;) {
        unsigned char *more = mmap(NULL, MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

        if (more == MAP_FAILED)
            return 3;
        for (size_t at = 0; at < MIB; at += PAGE)
            more[at] = 1;
    }
}

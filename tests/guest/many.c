/* Thousands of small mappings, in and out of order. */
#include "guest.h"

enum { COUNT = 2000, RW = PROT_READ | PROT_WRITE };

static char *maps[COUNT];

static unsigned next_random(void)
{
    static unsigned state = 12345;

    state = state * 1103515245u + 12345u;
    return state >> 8;
}

int main(void)
{
    unsigned wrong = 0;

    part("2000 mappings of one page");
    for (size_t i = 0; i < COUNT; i++) {
        /* Alternating rights keep neighbours apart. */
        maps[i] = map_anon(PAGE, i % 2 ? RW : RW | PROT_EXEC, MAP_PRIVATE);
        *(unsigned *)maps[i] = (unsigned)i;
    }
    for (size_t i = 0; i < COUNT; i++)
        wrong += *(unsigned *)maps[i] != i;
    printf("wrong %u\n", wrong);
    for (size_t i = 0; i < COUNT; i++)
        for (size_t j = 1; j < 4; j++)
            wrong += i + j < COUNT && maps[i] == maps[i + j];
    printf("overlapping %u\n", wrong);

    part("fork with them");
    pid_t child = fork();
    if (child == 0) {
        for (size_t i = 0; i < COUNT; i++)
            wrong += *(unsigned *)maps[i] != i;
        for (size_t i = 0; i < COUNT; i += 7)
            *(unsigned *)maps[i] = 0;
        _exit(wrong != 0);
    }
    int status;
    waitpid(child, &status, 0);
    show_status("child", status);
    for (size_t i = 0; i < COUNT; i++)
        wrong += *(unsigned *)maps[i] != i;
    printf("wrong %u\n", wrong);

    part("unmap every other, then map again");
    for (size_t i = 0; i < COUNT; i += 2)
        wrong += munmap(maps[i], PAGE) != 0;
    for (size_t i = 0; i < COUNT; i++)
        wrong += can_read(maps[i]) != (i % 2 == 1);
    printf("wrong %u\n", wrong);
    for (size_t i = 0; i < COUNT; i += 2) {
        maps[i] = map_anon_rw(PAGE);
        wrong += *maps[i] != 0;
        *(unsigned *)maps[i] = (unsigned)i;
    }
    for (size_t i = 0; i < COUNT; i++)
        wrong += *(unsigned *)maps[i] != i;
    printf("wrong %u\n", wrong);

    part("random sizes, random order");
    static size_t bytes[COUNT];
    for (size_t i = 0; i < COUNT; i++)
        munmap(maps[i], PAGE);
    memset(maps, 0, sizeof maps);
    for (size_t round = 0; round < 6000; round++) {
        size_t i = next_random() % COUNT;

        if (maps[i]) {
            wrong += *(size_t *)(maps[i] + bytes[i] - 8) != i;
            wrong += munmap(maps[i], bytes[i]) != 0;
            maps[i] = NULL;
        } else {
            bytes[i] = (1 + next_random() % 40) * PAGE;
            maps[i] = map_anon_rw(bytes[i]);
            *(size_t *)(maps[i] + bytes[i] - 8) = i;
        }
    }
    for (size_t i = 0; i < COUNT; i++)
        if (maps[i]) {
            wrong += *(size_t *)(maps[i] + bytes[i] - 8) != i;
            wrong += munmap(maps[i], bytes[i]) != 0;
        }
    printf("wrong %u\n", wrong);

    part("one file, mapped 500 times");
    int file = scratch_file(8 * PAGE);
    char *views[500];
    for (size_t i = 0; i < 500; i++) {
        views[i] = mmap(NULL, 8 * PAGE, RW, i % 2 ? MAP_SHARED : MAP_PRIVATE, file, 0);
        must(views[i] != MAP_FAILED, "mmap");
        wrong += views[i][3 * PAGE] != 4;
    }
    views[1][3 * PAGE] = 'n';
    for (size_t i = 0; i < 500; i++)
        wrong += views[i][3 * PAGE] != 'n';
    views[2][3 * PAGE] = 'p';
    for (size_t i = 0; i < 500; i++)
        wrong += views[i][3 * PAGE] != (i == 2 ? 'p' : 'n');
    for (size_t i = 0; i < 500; i++)
        munmap(views[i], 8 * PAGE);
    printf("wrong %u\n", wrong);
    return wrong != 0;
}

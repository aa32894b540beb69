/*
 * A program with a working set: so many MiB of private memory, and so many references to pages of it, in an
 * order that depends on nothing but the seed. It keeps a sum of what it finds, which tells whether all pages
 * came back as they went.
 *
 *     worker MIB REFERENCES [SEED [TURN [FILE]]]
 *
 * prints the sum, in hexadecimal. With TURN it sleeps a millisecond after so many references, as a program
 * that answers requests waits for the next one. With FILE it waits until there is such a file, goes through
 * all of its pages once more, and says how many major faults that was.
 */
#include <sys/resource.h>

#include "guest.h"

static uint64_t next(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u; /* Knuth, MMIX */
    return *state >> 33;
}

static uint64_t *word_of(char *area, size_t page)
{
    uint64_t *word = (uint64_t *)(area + page * PAGE);

    must(word[0] == page, "the page");
    return word;
}

static uint64_t work(char *area, size_t pages, uint64_t references, uint64_t state, uint64_t turn)
{
    uint64_t sum = 0;

    for (uint64_t i = 0; i < references; i++) {
        uint64_t *word = word_of(area, next(&state) % pages);

        sum = sum * 31 + word[0] + word[1]++;
        if (turn > 0 && i % turn == 0)
            usleep(1000);
    }
    return sum;
}

static long majors(void)
{
    struct rusage usage;

    must(getrusage(RUSAGE_SELF, &usage) == 0, "getrusage");
    return usage.ru_majflt;
}

static long look_again(char *area, size_t pages, const char *file)
{
    long before = majors();

    do {
        usleep(1000);
        before = majors();
    } while (access(file, F_OK) != 0);
    for (size_t page = 0; page < pages; page++)
        word_of(area, page);
    return majors() - before;
}

int main(int count, char **arguments)
{
    size_t pages = count > 2 ? strtoul(arguments[1], NULL, 0) * MIB / PAGE : 0;
    uint64_t references = count > 2 ? strtoul(arguments[2], NULL, 0) : 0, sum;
    uint64_t state = count > 3 ? strtoul(arguments[3], NULL, 0) : 1;
    uint64_t turn = count > 4 ? strtoul(arguments[4], NULL, 0) : 0;
    char *area;

    if (pages == 0) {
        fprintf(stderr, "usage: worker MIB REFERENCES [SEED [TURN [FILE]]]\n");
        return 2;
    }
    area = map_anon_rw(pages * PAGE);
    for (size_t page = 0; page < pages; page++)
        *(uint64_t *)(area + page * PAGE) = page;
    sum = work(area, pages, references, state, turn);
    if (count > 5)
        printf("%s: %ld major faults\n", arguments[0], look_again(area, pages, arguments[5]));
    else
        printf("%016lx\n", (unsigned long)sum);
    return 0;
}

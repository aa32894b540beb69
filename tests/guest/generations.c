/* Writes generations into a shared mapping of a file, some pages at a time, and says after msync what must be
 * in the file. */
#include "guest.h"

enum { PAGES = 64, AT_ONCE = 5 };

static uint64_t random_state = 88172645463325252u;

static unsigned next_random(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (unsigned)(random_state >> 20);
}

/* All of the page says the same, so that half a page is seen. */
static void fill(uint64_t *page, uint64_t generation)
{
    for (size_t i = 0; i < PAGE / sizeof *page; i++)
        page[i] = generation;
}

int main(int count, char **words)
{
    uint64_t *area;
    int file;

    must(count == 2, "usage: generations FILE");
    file = open(words[1], O_RDWR | O_CREAT, 0644);
    must(file >= 0 && ftruncate(file, PAGES * PAGE) == 0, "the file");
    area = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    must(area != MAP_FAILED, "mmap");
    for (uint64_t generation = 1;; generation++) {
        unsigned pages[AT_ONCE];
        char line[80];
        int length = snprintf(line, sizeof line, "%llu", (unsigned long long)generation);

        for (unsigned i = 0; i < AT_ONCE; i++) {
            pages[i] = next_random() % PAGES;
            fill(area + pages[i] * (PAGE / sizeof *area), generation);
            length += snprintf(line + length, sizeof line - (size_t)length, " %u", pages[i]);
        }
        must(msync(area, PAGES * PAGE, MS_SYNC) == 0, "msync");
        line[length++] = '\n';
        must(write(STDOUT_FILENO, line, (size_t)length) == length, "write");
    }
}

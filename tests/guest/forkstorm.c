/* Many children, each of which writes memory that it shares with its parent: one after another, then at once.
 */
#include "guest.h"

static unsigned storm(char *area, size_t bytes, int children, bool at_once)
{
    unsigned wrong = 0;
    int status;

    for (int i = 0; i < children; i++) {
        pid_t child = fork();

        if (child < 0) {
            wrong++;
            continue;
        }
        if (child == 0) {
            for (size_t at = (size_t)i % 7 * PAGE; at < bytes; at += 7 * PAGE)
                area[at]++;
            _exit(bytes > 0 && area[(size_t)i % 7 * PAGE] != 2);
        }
        if (!at_once) {
            waitpid(child, &status, 0);
            wrong += status != 0;
        }
    }
    while (at_once && wait(&status) > 0)
        wrong += status != 0;
    for (size_t at = 0; at < bytes; at += PAGE)
        wrong += area[at] != 1;
    return wrong;
}

int main(int count, char **arguments)
{
    int children = count > 1 ? atoi(arguments[1]) : 0;
    size_t bytes = (count > 2 ? strtoul(arguments[2], NULL, 0) : 1) * MIB;
    char *area;
    unsigned wrong;

    if (children <= 0) {
        fprintf(stderr, "usage: forkstorm CHILDREN [MIB]\n");
        return 2;
    }
    area = map_anon_rw(bytes);
    memset(area, 1, bytes);
    wrong = storm(area, bytes, children, false) + storm(area, bytes, children < 50 ? children : 50, true);
    printf("%d children, %u wrong\n", children, wrong);
    return wrong != 0;
}

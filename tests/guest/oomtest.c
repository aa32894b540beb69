/*
 * Out of memory: a child takes all there is, while its parent and a small brother live on.
 *
 * Not for the host: it would take the host's memory.
 */
#include "guest.h"

static void takes_all(void)
{
    for (;;) {
        char *area = mmap(NULL, MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

        if (area == MAP_FAILED)
            _exit(3);
        for (size_t at = 0; at < MIB; at += PAGE)
            area[at] = 1;
    }
}

int main(int count, char **arguments)
{
    int rounds = count > 1 ? atoi(arguments[1]) : 1;
    char *kept = map_anon_rw(MIB);
    int status, lives[2];
    pid_t brother;
    char byte;

    if (count < 2) {
        fprintf(stderr, "usage: oomtest ROUNDS\n");
        return 2;
    }
    memset(kept, 'k', MIB);
    must(pipe(lives) == 0, "pipe");
    brother = fork();
    if (brother == 0) {
        close(lives[1]);
        (void)!read(lives[0], &byte, 1);
        _exit(kept[MIB - 1] == 'k' ? 4 : 5);
    }
    close(lives[0]);
    for (int i = 0; i < rounds; i++)
        show_status("the greedy one", in_child(takes_all));
    show_yes("the parent's memory is right", kept[0] == 'k' && kept[MIB - 1] == 'k');
    close(lives[1]);
    waitpid(brother, &status, 0);
    show_status("the small brother", status);
    return 0;
}

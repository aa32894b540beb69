/* Threads: mutexes, conditions, thread-local data, exits, memory shared and changed while others run. */
#include "guest.h"
#include <linux/futex.h>
#include <pthread.h>
#include <semaphore.h>
#include <time.h>

enum { THREADS = 8, TURNS = 2000 };

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static long counter;
static int stage;
static __thread long own;

static void *counts(void *argument)
{
    for (int i = 0; i < TURNS; i++) {
        pthread_mutex_lock(&mutex);
        counter++;
        pthread_mutex_unlock(&mutex);
        own++;
    }
    return (void *)((uintptr_t)argument * 100 + (uintptr_t)(own == TURNS));
}

static void counting(void)
{
    pthread_t threads[THREADS];
    void *result;
    unsigned long sum = 0;

    part("counting");
    for (uintptr_t i = 0; i < THREADS; i++)
        must(pthread_create(&threads[i], NULL, counts, (void *)i) == 0, "pthread_create");
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], &result);
        sum += (unsigned long)(uintptr_t)result;
    }
    printf("counter %ld, results %lu, own %ld\n", counter, sum, own);
}

static void *takes_turns(void *argument)
{
    int me = (int)(uintptr_t)argument;

    for (int i = 0; i < 100; i++) {
        pthread_mutex_lock(&mutex);
        while (stage % 3 != me)
            pthread_cond_wait(&changed, &mutex);
        stage++;
        pthread_cond_broadcast(&changed);
        pthread_mutex_unlock(&mutex);
    }
    return NULL;
}

static void turns(void)
{
    pthread_t threads[3];

    part("turns");
    for (uintptr_t i = 0; i < 3; i++)
        pthread_create(&threads[i], NULL, takes_turns, (void *)i);
    for (int i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    printf("stage %d\n", stage);
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += 10000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_nsec -= 1000000000;
        until.tv_sec++;
    }
    pthread_mutex_lock(&mutex);
    printf("timed wait: %s\n", error_name(pthread_cond_timedwait(&changed, &mutex, &until)));
    pthread_mutex_unlock(&mutex);
}

static void *maps_and_unmaps(void *argument)
{
    uintptr_t wrong = 0;

    for (unsigned i = 0; i < 100; i++) {
        size_t bytes = (1 + i % 20) * PAGE;
        unsigned char *area = map_anon_rw(bytes);

        for (size_t at = 0; at < bytes; at += PAGE) {
            wrong += area[at] != 0;
            area[at] = (unsigned char)(uintptr_t)argument;
        }
        mprotect(area, PAGE, PROT_READ);
        for (size_t at = 0; at < bytes; at += PAGE)
            wrong += area[at] != (unsigned char)(uintptr_t)argument;
        munmap(area, bytes);
    }
    return (void *)wrong;
}

static void memory(void)
{
    pthread_t threads[THREADS];
    void *wrong;
    uintptr_t sum = 0;

    part("memory calls in parallel");
    for (uintptr_t i = 0; i < THREADS; i++)
        pthread_create(&threads[i], NULL, maps_and_unmaps, (void *)(i + 1));
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], &wrong);
        sum += (uintptr_t)wrong;
    }
    printf("wrong %lu\n", (unsigned long)sum);
}

static sem_t ready;
static volatile int handled_by_other;
static pthread_t main_thread;

static void notes(int signal)
{
    (void)signal;
    handled_by_other = !pthread_equal(pthread_self(), main_thread);
}

static void *waits_for_signal(void *argument)
{
    sigset_t none;

    (void)argument;
    sem_post(&ready);
    sigemptyset(&none);
    pthread_sigmask(SIG_SETMASK, &none, NULL);
    while (!handled_by_other)
        usleep(1000);
    return NULL;
}

static void signals(void)
{
    pthread_t thread;
    struct sigaction action = {.sa_handler = notes};
    sigset_t set;

    part("signals");
    main_thread = pthread_self();
    sem_init(&ready, 0, 0);
    sigaction(SIGUSR1, &action, NULL);
    pthread_create(&thread, NULL, waits_for_signal, NULL);
    sem_wait(&ready);
    pthread_kill(thread, SIGUSR1);
    pthread_join(thread, NULL);
    show("pthread_kill reaches its thread", handled_by_other);
    handled_by_other = 0;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    pthread_create(&thread, NULL, waits_for_signal, NULL);
    sem_wait(&ready);
    kill(getpid(), SIGUSR1);
    pthread_join(thread, NULL);
    show("kill reaches the one that does not block it", handled_by_other);
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}

static void *sleeps(void *argument)
{
    (void)argument;
    for (;;)
        pause();
    return NULL;
}

static void exit_group(void)
{
    pthread_t thread;

    for (int i = 0; i < 3; i++)
        pthread_create(&thread, NULL, sleeps, NULL);
    usleep(5000);
    exit(11);
}

static void *calls_exit(void *argument)
{
    (void)argument;
    exit(12);
}

static void exit_by_thread(void)
{
    pthread_t thread;

    pthread_create(&thread, NULL, calls_exit, NULL);
    for (;;)
        pause();
}

static void *returns_later(void *argument)
{
    (void)argument;
    usleep(10000);
    _exit(13);
}

static void main_ends_first(void)
{
    pthread_t thread;

    pthread_create(&thread, NULL, returns_later, NULL);
    pthread_exit(NULL);
}

static void *breaks(void *argument)
{
    (void)argument;
    *(volatile char *)8 = 1;
    return NULL;
}

static void dies_by_thread(void)
{
    pthread_t thread;

    pthread_create(&thread, NULL, breaks, NULL);
    for (;;)
        pause();
}

static void *forks(void *argument)
{
    int status;
    pid_t child = fork();

    (void)argument;
    if (child == 0)
        _exit(14);
    waitpid(child, &status, 0);
    show_status("fork by a thread", status);
    return NULL;
}

static void *executes(void *argument)
{
    (void)argument;
    execl("/proc/self/exe", "threads", "executed", (char *)NULL);
    _exit(1);
}

static void exec_by_thread(void)
{
    pthread_t thread;

    pthread_create(&thread, NULL, sleeps, NULL);
    pthread_create(&thread, NULL, executes, NULL);
    for (;;)
        pause();
}

static void ends(void)
{
    pthread_t thread;

    part("ends");
    show_status("exit with threads asleep", in_child(exit_group));
    show_status("exit by a thread", in_child(exit_by_thread));
    show_status("the first thread ends first", in_child(main_ends_first));
    show_status("a thread breaks", in_child(dies_by_thread));
    pthread_create(&thread, NULL, forks, NULL);
    pthread_join(thread, NULL);
    show_status("exec by a thread", in_child(exec_by_thread));
    for (int i = 0; i < 200; i++) {
        must(pthread_create(&thread, NULL, counts, NULL) == 0, "pthread_create");
        pthread_join(thread, NULL);
    }
    printf("200 more threads: counter %ld\n", counter);
}

static long futex(volatile int *word, int operation, int value, const struct timespec *time,
                  volatile int *word2, int value3)
{
    return syscall(SYS_futex, word, operation, value, time, word2, value3);
}

static volatile int *shared_word;

static void futexes(void)
{
    static volatile int word = 5, second;
    struct timespec short_time = {0, 10000000};
    int status;

    part("futex");
    show("wait, other value", futex(&word, FUTEX_WAIT, 4, NULL, NULL, 0));
    show("wait, timeout", futex(&word, FUTEX_WAIT, 5, &short_time, NULL, 0));
    show("wait, bad time", futex(&word, FUTEX_WAIT, 5, &(struct timespec){0, -5}, NULL, 0));
    show("wake nobody", futex(&word, FUTEX_WAKE, 1, NULL, NULL, 0));
    show("misaligned", futex((volatile int *)((uintptr_t)&word + 1), FUTEX_WAKE, 1, NULL, NULL, 0));
    show("unknown operation", futex(&word, 99, 1, NULL, NULL, 0));
    show("wait on nothing", futex((volatile int *)8, FUTEX_WAIT, 1, NULL, NULL, 0));
    show("bitset 0", futex(&word, FUTEX_WAIT_BITSET, 5, NULL, NULL, 0));
    show("requeue, value changed", futex(&word, FUTEX_CMP_REQUEUE, 1, (void *)1L, &second, 9));
    shared_word = map_anon(PAGE, PROT_READ | PROT_WRITE, MAP_SHARED);
    pid_t child = fork();
    if (child == 0) {
        while (futex(shared_word, FUTEX_WAIT, 0, NULL, NULL, 0) == -1 && *shared_word == 0)
            ;
        _exit(*shared_word);
    }
    usleep(20000);
    *shared_word = 9;
    futex(shared_word, FUTEX_WAKE, 1, NULL, NULL, 0);
    waitpid(child, &status, 0);
    show_status("between processes", status);
}

int main(int argument_count, char **arguments)
{
    if (argument_count > 1 && strcmp(arguments[1], "executed") == 0)
        return 15;
    counting();
    turns();
    memory();
    signals();
    ends();
    futexes();
    return 0;
}

/* Clocks and timers: they go forwards, sleeps are long enough, errors. */
#include "guest.h"
#include <sys/time.h>
#include <sys/times.h>
#include <time.h>

static volatile int fired;

static void notes(int signal)
{
    (void)signal;
    fired++;
}

static long long nanoseconds(clockid_t clock)
{
    struct timespec now;

    must(clock_gettime(clock, &now) == 0, "clock_gettime");
    return now.tv_sec * 1000000000ll + now.tv_nsec;
}

static void monotony(void)
{
    long long before = nanoseconds(CLOCK_MONOTONIC);
    unsigned wrong = 0;

    part("monotony");
    for (int i = 0; i < 10000; i++) {
        long long now = nanoseconds(CLOCK_MONOTONIC);
        wrong += now < before;
        before = now;
    }
    show("backward steps", wrong);
    struct timespec resolution;
    show("clock_getres", clock_getres(CLOCK_MONOTONIC, &resolution));
    show_yes("1 s or better", resolution.tv_sec == 0 && resolution.tv_nsec > 0);
    show_yes("it is after 2020", time(NULL) > 1577836800);
    struct timeval of_day;
    gettimeofday(&of_day, NULL);
    long long difference = nanoseconds(CLOCK_REALTIME) / 1000000000 - of_day.tv_sec;
    show_yes("gettimeofday agrees with CLOCK_REALTIME", difference >= 0 && difference <= 2);
    difference = nanoseconds(CLOCK_REALTIME) / 1000000000 - time(NULL);
    show_yes("time agrees", difference >= -1 && difference <= 2);
    for (clockid_t clock = 0; clock < 8; clock++) {
        struct timespec now;
        printf("clock %d: %s\n", clock, clock_gettime(clock, &now) == 0 ? "ok" : error_name(errno));
    }
    struct timespec now;
    show("unknown clock", clock_gettime(99, &now));
}

static void sleeping(void)
{
    static const long lengths[] = {0, 1, 1000, 1000000, 20000000};
    bool good = true;

    part("sleeps");
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        struct timespec length = {0, lengths[i]};
        long long start = nanoseconds(CLOCK_MONOTONIC);
        good = good && nanosleep(&length, NULL) == 0;
        good = good && nanoseconds(CLOCK_MONOTONIC) - start >= lengths[i];
    }
    show_yes("none is too short", good);
    long long until = nanoseconds(CLOCK_MONOTONIC) + 15000000;
    struct timespec absolute = {until / 1000000000, until % 1000000000};
    show("absolute", clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &absolute, NULL));
    show_yes("long enough", nanoseconds(CLOCK_MONOTONIC) >= until);
    show("in the past", clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &(struct timespec){0, 5}, NULL));
    show("negative", nanosleep(&(struct timespec){-1, 0}, NULL));
    show("too many nanoseconds", nanosleep(&(struct timespec){0, 1000000000}, NULL));
    printf("unknown clock: %s\n", error_name(clock_nanosleep(99, 0, &(struct timespec){0, 5}, NULL)));
}

static void timers(void)
{
    struct itimerval timer = {{0, 5000}, {0, 5000}}, left;
    struct sigaction action = {.sa_handler = notes};

    part("timers");
    sigaction(SIGALRM, &action, NULL);
    show("setitimer", setitimer(ITIMER_REAL, &timer, NULL));
    while (fired < 5)
        pause();
    show_yes("fired five times", fired >= 5);
    show("getitimer", getitimer(ITIMER_REAL, &left));
    show_yes("the interval", left.it_interval.tv_usec == 5000 && left.it_value.tv_usec <= 5000);
    timer = (struct itimerval){0};
    show("stop", setitimer(ITIMER_REAL, &timer, &left));
    int before = fired;
    usleep(20000);
    show("no more", fired - before);
    show("bad which", setitimer(99, &timer, NULL));
    timer.it_value.tv_usec = 1000000;
    show("bad microseconds", setitimer(ITIMER_REAL, &timer, NULL));
    show("alarm", alarm(100));
    show_yes("alarm tells the rest", ({
                 unsigned rest = alarm(0);
                 rest >= 99 && rest <= 100;
             }));
    show("alarm", alarm(0));
    timer_t id;
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGALRM};
    show("timer_create", timer_create(CLOCK_MONOTONIC, &event, &id));
    struct itimerspec spec = {{0, 0}, {0, 3000000}};
    fired = 0;
    show("timer_settime", timer_settime(id, 0, &spec, NULL));
    while (fired == 0)
        usleep(1000);
    show("fired", fired);
    show("timer_delete", timer_delete(id));
}

static void cpu_time(void)
{
    struct tms times_now;

    part("processor time");
    long long start = nanoseconds(CLOCK_PROCESS_CPUTIME_ID);
    volatile unsigned sum = 0;
    for (unsigned i = 0; i < 3000000; i++)
        sum += i;
    show_yes("grows with work", nanoseconds(CLOCK_PROCESS_CPUTIME_ID) > start);
    show_yes("times", times(&times_now) != (clock_t)-1);
    start = nanoseconds(CLOCK_PROCESS_CPUTIME_ID);
    usleep(50000);
    show_yes("not with sleep", nanoseconds(CLOCK_PROCESS_CPUTIME_ID) - start < 40000000);
}

int main(void)
{
    monotony();
    sleeping();
    timers();
    cpu_time();
    return 0;
}

/*
 * Run-time checks in three tiers.
 *
 *   CHECK_ALWAYS(c)  what would corrupt data or memory if it went on; in every build
 *   CHECK(c)         contracts and invariants that cost a few instructions; debug builds
 *   CHECK_SLOW(c)    whole-structure walks; only with -Dslow_checks=true
 *
 * A failed check ends in host_panic() with the expression and the place. The hosted ports
 * abort, the kernel prints registers and a backtrace.
 */
#ifndef QUIRE_BASE_CHECK_H
#define QUIRE_BASE_CHECK_H

_Noreturn void host_panic(const char *format, ...) __attribute__((format(printf, 1, 2)));

#define CHECK_ALWAYS(condition)                                                                              \
    do {                                                                                                     \
        if (__builtin_expect(!(condition), 0))                                                               \
            host_panic("%s:%d: check failed: %s", __FILE__, __LINE__, #condition);                           \
    } while (0)

#ifdef QUIRE_DEBUG
#define CHECK(condition) CHECK_ALWAYS(condition)
#else
#define CHECK(condition) ((void)sizeof(condition))
#endif

#ifdef QUIRE_SLOW_CHECKS
#define CHECK_SLOW(condition) CHECK_ALWAYS(condition)
#else
#define CHECK_SLOW(condition) ((void)sizeof(condition))
#endif

#endif

/*
 * Inner loops that gain from newer processors are compiled twice, and the right one is taken when the program
 * starts. INLINE functions become part of each.
 */
#ifndef QUIRE_SIM_CLONES_H
#define QUIRE_SIM_CLONES_H

#define INLINE __attribute__((always_inline)) static inline

#if defined(__x86_64__) && !defined(__SANITIZE_THREAD__) && !defined(__SANITIZE_ADDRESS__)
#define CLONES __attribute__((target_clones("avx2", "default")))
#else
#define CLONES
#endif

#endif

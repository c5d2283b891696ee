// What the bodies ask of the compiler rather than of a processor.
#ifndef FACET_COMPILER_H
#define FACET_COMPILER_H

// UNROLL before a loop of constant length: its arrays are to become registers.
#ifdef __clang__
#define UNROLL _Pragma("unroll")
#else
#define UNROLL _Pragma("GCC unroll 32")
#endif

// Four float32 in a register, which GCC and Clang add and index as C does numbers.
typedef float quad __attribute__((vector_size(16)));

// Ask for the line of 64 bytes around p, which may be outside of any array: for now, or for the second-level cache.
#define FETCH(p) __builtin_prefetch(p, 0, 3)
#define FETCH_FAR(p) __builtin_prefetch(p, 0, 2)

#endif

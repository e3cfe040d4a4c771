// What all kernels share: vectors as wide as the processor's, and a loop over the threads of torch's own OpenMP.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstring>

#ifdef _OPENMP
#include <omp.h>
#endif

#ifndef DREAMOPT_LANES
#define DREAMOPT_LANES 4
#endif

namespace dreamopt {

constexpr int LANES = DREAMOPT_LANES;  // floats in a vector
typedef float Vector __attribute__((vector_size(LANES * sizeof(float))));
typedef int32_t Whole __attribute__((vector_size(LANES * sizeof(int32_t))));

inline Vector load(const float* from) {
    Vector v;
    std::memcpy(&v, from, sizeof v);
    return v;
}

inline void store(float* to, Vector v) { std::memcpy(to, &v, sizeof v); }

inline Vector all(float x) { return x - Vector{}; }  // and not 0 + x, which is another number for -0

// Vectors of which only the first `count` floats are there; the others are read as 0, and not written.
inline Vector load_some(const float* from, int count) {
    Vector v{};
    std::memcpy(&v, from, count * sizeof(float));
    return v;
}

inline void store_some(float* to, Vector v, int count) { std::memcpy(to, &v, count * sizeof(float)); }

// The first `count` of LANES floats, or all of them.
inline Vector load_up_to(const float* from, int64_t count) { return count >= LANES ? load(from) : load_some(from, static_cast<int>(count)); }

inline void store_up_to(float* to, Vector v, int64_t count) {
    if (count >= LANES) {
        store(to, v);
    } else {
        store_some(to, v, static_cast<int>(count));
    }
}

inline int64_t up(int64_t a, int64_t b) { return (a + b - 1) / b; }

// Calls body(i) for i in 0 .. count - 1. Each thread takes the next piece when it is done with one, so that a thread which another
// program has driven from its core holds up its own piece only. What body computes must not depend on which thread runs it.
template <class Body>
void parallel(int64_t count, int threads, const Body& body) {
    if (threads <= 1 || count <= 1) {
        for (int64_t i = 0; i < count; ++i) body(i);
        return;
    }
    std::atomic<int64_t> next{0};
#ifdef _OPENMP
#pragma omp parallel num_threads(threads)
#endif
    for (;;) {
        const int64_t i = next.fetch_add(1, std::memory_order_relaxed);
        if (i >= count) break;
        body(i);
    }
}

}  // namespace dreamopt

#define DREAMOPT_EXPORT extern "C" __attribute__((visibility("default")))

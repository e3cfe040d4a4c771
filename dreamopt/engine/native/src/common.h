// What all kernels share: vectors as wide as the processor's, and a loop over the threads of torch's own OpenMP.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstring>
#include <new>

#if defined(__AVX512F__) || defined(__AVX2__)
#include <immintrin.h>
#endif

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
#if DREAMOPT_LANES == 16
inline Vector load_some(const float* from, int count) { return (Vector)_mm512_maskz_loadu_ps(__mmask16((1u << count) - 1), from); }
inline void store_some(float* to, Vector v, int count) { _mm512_mask_storeu_ps(to, __mmask16((1u << count) - 1), (__m512)v); }
#elif DREAMOPT_LANES == 8
inline __m256i first_of(int count) { return _mm256_cmpgt_epi32(_mm256_set1_epi32(count), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7)); }
inline Vector load_some(const float* from, int count) { return (Vector)_mm256_maskload_ps(from, first_of(count)); }
inline void store_some(float* to, Vector v, int count) { _mm256_maskstore_ps(to, first_of(count), (__m256)v); }
#else
inline Vector load_some(const float* from, int count) {
    Vector v{};
    if (count > 0) std::memcpy(&v, from, count * sizeof(float));
    return v;
}
inline void store_some(float* to, Vector v, int count) {
    if (count > 0) std::memcpy(to, &v, count * sizeof(float));
}
#endif

// The first `count` of LANES floats, or all of them.
inline Vector load_up_to(const float* from, int64_t count) {
    return count >= LANES ? load(from) : load_some(from, static_cast<int>(count));
}

inline void store_up_to(float* to, Vector v, int64_t count) {
    if (count >= LANES) {
        store(to, v);
    } else {
        store_some(to, v, static_cast<int>(count));
    }
}

// A structure of arguments, given as an array of its members.
template <class Arguments, class Number>
inline Arguments read_as(const Number* members) {
    Arguments read;
    std::memcpy(&read, members, sizeof read);
    return read;
}

constexpr int64_t up(int64_t a, int64_t b) { return (a + b - 1) / b; }

// Calls body(i) for i in 0 .. count - 1. Each thread takes the next piece when it is done with one, so that a thread which another
// program has driven from its core holds up its own piece only. What body computes must not depend on which thread runs it. Where a piece
// finds no memory, std::bad_alloc comes out of here, on the caller's thread.
template <class Body>
void parallel(int64_t count, int64_t threads, const Body& body) {
    if (threads <= 1 || count <= 1) {
        for (int64_t i = 0; i < count; ++i) body(i);
        return;
    }
    std::atomic<int64_t> next{0};
    std::atomic<bool> failed{false};
#ifdef _OPENMP
#pragma omp parallel num_threads(static_cast<int>(threads))
#endif
    try {
        for (;;) {
            const int64_t i = next.fetch_add(1, std::memory_order_relaxed);
            if (i >= count) break;
            body(i);
        }
    } catch (const std::bad_alloc&) {
        failed = true;
    }
    if (failed) throw std::bad_alloc();
}

constexpr int64_t PIECE = 1 << 14;  // values that a thread takes at a time

// Calls body(first pixel, behind the last) for pieces of the pixels.
template <class Body>
void by_pixels(int64_t pixels, int64_t channels, int64_t threads, const Body& body) {
    const int64_t each = std::max<int64_t>(1, PIECE / std::max<int64_t>(1, channels));
    parallel(up(pixels, each), threads, [&](int64_t piece) { body(piece * each, std::min(pixels, (piece + 1) * each)); });
}

// A kernel as Python calls it: 0, or 1 where the machine gave no memory, which no exception may tell across the border.
template <class Work>
int64_t guarded(const Work& work) {
    try {
        work();
    } catch (const std::bad_alloc&) {
        return 1;
    }
    return 0;
}

}  // namespace dreamopt

#define DREAMOPT_EXPORT extern "C" __attribute__((visibility("default")))

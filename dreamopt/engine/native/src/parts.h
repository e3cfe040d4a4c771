// Vectors of which only the first floats are there, with the processor's own masks, and one float in all of a vector.
#pragma once

#include "common.h"

#if defined(__AVX512F__) || defined(__AVX2__)
#include <immintrin.h>
#endif

namespace dreamopt {

// Unlike `all`, no addition of 0, which the compiler would have to make for the sake of -0.
inline Vector spread(float x) { return x - Vector{}; }

#if defined(__AVX512F__) && DREAMOPT_LANES == 16
inline Vector load_part(const float* from, int count) { return (Vector)_mm512_maskz_loadu_ps(__mmask16((1u << count) - 1), from); }
inline void store_part(float* to, Vector v, int count) { _mm512_mask_storeu_ps(to, __mmask16((1u << count) - 1), (__m512)v); }
#elif defined(__AVX2__) && DREAMOPT_LANES == 8
inline __m256i first_of(int count) {
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(count), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
inline Vector load_part(const float* from, int count) { return (Vector)_mm256_maskload_ps(from, first_of(count)); }
inline void store_part(float* to, Vector v, int count) { _mm256_maskstore_ps(to, first_of(count), (__m256)v); }
#else
inline Vector load_part(const float* from, int count) { return count > 0 ? load_some(from, count) : Vector{}; }
inline void store_part(float* to, Vector v, int count) {
    if (count > 0) store_some(to, v, count);
}
#endif

}  // namespace dreamopt

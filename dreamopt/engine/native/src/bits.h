// Eight or sixteen floats and the bits of them, whole bytes of bits at a time.
#pragma once

#include <type_traits>

#include "common.h"

namespace dreamopt {

constexpr int WIDE = LANES == 16 ? 16 : 8;
typedef float Wide __attribute__((vector_size(WIDE * sizeof(float))));
typedef int32_t WideWhole __attribute__((vector_size(WIDE * sizeof(int32_t))));
using AllOfThem = std::integral_constant<int64_t, WIDE>;  // a count that the compiler knows

inline Wide wide(const float* from, int64_t count) {
    Wide v{};
    std::memcpy(&v, from, count * sizeof(float));
    return v;
}

inline Wide wide(const float* from, AllOfThem) {
    Wide v;
    std::memcpy(&v, from, sizeof v);
    return v;
}

inline void store_wide(float* to, Wide v, int64_t count) { std::memcpy(to, &v, count * sizeof(float)); }
inline void store_wide(float* to, Wide v, AllOfThem) { std::memcpy(to, &v, sizeof v); }

// Writes (count + 7) / 8 bytes: a bit for each number that a comparison is true of.
template <class Count>
inline void store_bits(uint8_t* to, WideWhole which, Count count) {
    uint16_t bits = 0;
#if defined(__AVX512DQ__) && DREAMOPT_LANES == 16
    bits = _mm512_movepi32_mask((__m512i)which);
#elif defined(__AVX2__)
    bits = static_cast<uint16_t>(_mm256_movemask_ps((__m256)which));
#else
    for (int k = 0; k < WIDE; ++k) bits |= static_cast<uint16_t>(which[k] & (1 << k));
#endif
    to[0] = static_cast<uint8_t>(bits);
    if (WIDE == 16 && count > 8) to[1] = static_cast<uint8_t>(bits >> 8);
}

// The numbers of `yes` where the bit is 1, else those of `no`.
template <class Count>
inline Wide choose(const uint8_t* from, Wide yes, Wide no, Count count) {
    int32_t bits = from[0];
    if (WIDE == 16 && count > 8) bits |= int32_t{from[1]} << 8;
#if defined(__AVX512F__) && DREAMOPT_LANES == 16
    return (Wide)_mm512_mask_blend_ps(static_cast<__mmask16>(bits), (__m512)no, (__m512)yes);
#else
    WideWhole powers;
    for (int k = 0; k < WIDE; ++k) powers[k] = 1 << k;
    return (powers & bits) != 0 ? yes : no;
#endif
}

// Calls body(first channel, count) for the channels of a pixel; the last time there may be fewer.
template <class Body>
inline void by_wide(int64_t channels, const Body& body) {
    int64_t c = 0;
    for (; c + WIDE <= channels; c += WIDE) body(c, AllOfThem());
    if (c < channels) body(c, channels - c);
}

}  // namespace dreamopt

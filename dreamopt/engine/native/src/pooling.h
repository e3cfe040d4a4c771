// MAX pooling that remembers, in one byte a value, where in its window each largest value was.
#pragma once

#include <algorithm>
#include <limits>

#include "windows.h"

namespace dreamopt {
namespace pooling {

typedef uint8_t Bytes __attribute__((vector_size(LANES)));
constexpr int NOWHERE = 255;  // no gradient goes back: the largest value was cut off by the ReLU in front

inline void store_bytes(uint8_t* to, Whole places, int64_t count) {
#if DREAMOPT_LANES == 16
    const Bytes bytes = (Bytes)_mm512_maskz_cvtepi32_epi8(0xffff, (__m512i)places);
#else
    const Bytes bytes = __builtin_convertvector(places, Bytes);
#endif
    if (count >= LANES) {
        std::memcpy(to, &bytes, LANES);
    } else {
        std::memcpy(to, &bytes, count);
    }
}

// Adds to `sum` the values whose place is `place`.
inline Vector add_where(Vector sum, const uint8_t* places, int place, const float* values) {
#if DREAMOPT_LANES == 16
    const __mmask16 here =
        _mm_cmpeq_epi8_mask(_mm_loadu_si128(reinterpret_cast<const __m128i*>(places)), _mm_set1_epi8(static_cast<char>(place)));
    return (Vector)_mm512_mask_add_ps((__m512)sum, here, (__m512)sum, _mm512_loadu_ps(values));
#elif DREAMOPT_LANES == 8
    const __m128i equal =
        _mm_cmpeq_epi8(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(places)), _mm_set1_epi8(static_cast<char>(place)));
    return sum + (Vector)_mm256_and_ps(_mm256_castsi256_ps(_mm256_cvtepi8_epi32(equal)), _mm256_loadu_ps(values));
#else
    for (int i = 0; i < LANES; ++i) sum[i] += places[i] == place ? values[i] : 0.0f;
    return sum;
#endif
}

// The same for the first `count` of them.
inline Vector add_some_where(Vector sum, const uint8_t* places, int place, const float* values, int64_t count) {
    uint8_t all_places[LANES] = {};
    float all_values[LANES] = {};
    std::memcpy(all_places, places, count);
    std::memcpy(all_values, values, count * sizeof(float));
    return add_where(sum, all_places, place, all_values);
}

}  // namespace pooling
}  // namespace dreamopt

// Writes y, and the places (contiguous, channels-last) unless that is null; with masked, what is not above 0 is NOWHERE. Ties go to the
// first; what is not a number is the largest.
DREAMOPT_EXPORT int64_t dreamopt_max_pool(const int64_t* sizes, const float* x, float* y, uint8_t* places, int64_t masked,
                                          int64_t threads) {
    return dreamopt::guarded([&] {
        using namespace dreamopt;
        using namespace dreamopt::pooling;
        const auto s = dreamopt::read_as<Pooled>(sizes);
        parallel(s.batch * s.top_height, threads, [&](int64_t line) {
            const int64_t item = line / s.top_height, row = line % s.top_height;
            const Window rows(row, s.kernel_height, s.stride_height, s.pad_top, s.height);
            for (int64_t column = 0; column < s.top_width; ++column) {
                const Window columns(column, s.kernel_width, s.stride_width, s.pad_left, s.width);
                const int64_t inside = columns.first - columns.begin, pixel = line * s.top_width + column;
                for (int64_t c = 0; c < s.channels; c += LANES) {
                    const int64_t count = s.channels - c;
                    Vector best = all(-std::numeric_limits<float>::infinity());
                    Whole place = Whole{} + static_cast<int32_t>((rows.first - rows.begin) * s.kernel_width + inside);
                    for (int64_t i = rows.first; i < rows.last; ++i) {
                        const float* there = x + ((item * s.height + i) * s.width + columns.first) * s.x_pixel + c;
                        int32_t number = static_cast<int32_t>((i - rows.begin) * s.kernel_width + inside);
                        for (int64_t j = columns.first; j < columns.last; ++j, there += s.x_pixel, ++number) {
                            const Vector v = load_up_to(there, count);
                            const Whole larger = (v > best) | (v != v);
                            best = larger ? v : best;
                            place = larger ? Whole{} + number : place;
                        }
                    }
                    store_up_to(y + pixel * s.y_pixel + c, best, count);
                    if (places) {
                        if (masked) place = best <= 0.0f ? Whole{} + NOWHERE : place;
                        store_bytes(places + pixel * s.channels + c, place, count);
                    }
                }
            }
        });
    });
}

// Writes dx: at each place the gradients of the windows whose largest value was there.
DREAMOPT_EXPORT int64_t dreamopt_max_pool_backward(const int64_t* sizes, const float* dy, const uint8_t* places, float* dx,
                                                   int64_t threads) {
    return dreamopt::guarded([&] {
        using namespace dreamopt;
        using namespace dreamopt::pooling;
        const auto s = dreamopt::read_as<Pooled>(sizes);
        parallel(s.batch * s.height, threads, [&](int64_t line) {
            const int64_t item = line / s.height, row = line % s.height, down = row + s.pad_top;
            const Covering rows(down, s.kernel_height, s.stride_height, s.top_height);
            for (int64_t column = 0; column < s.width; ++column) {
                const int64_t across = column + s.pad_left, pixel_at = line * s.width + column;
                const Covering columns(across, s.kernel_width, s.stride_width, s.top_width);
                float* out = dx + pixel_at * s.x_pixel;
                for (int64_t c = 0; c < s.channels; c += LANES) {
                    const int64_t count = s.channels - c;
                    Vector sum = s.add ? load_up_to(out + c, count) : Vector{};
                    for (int64_t i = rows.first; i < rows.last; ++i) {
                        const int64_t pixel = (item * s.top_height + i) * s.top_width + columns.first;
                        const uint8_t* where = places + pixel * s.channels + c;
                        const float* from = dy + pixel * s.y_pixel + c;
                        int place =
                            static_cast<int>((down - i * s.stride_height) * s.kernel_width + across - columns.first * s.stride_width);
                        for (int64_t j = columns.first; j < columns.last;
                             ++j, where += s.channels, from += s.y_pixel, place -= static_cast<int>(s.stride_width)) {
                            sum = count >= LANES ? add_where(sum, where, place, from) : add_some_where(sum, where, place, from, count);
                        }
                    }
                    store_up_to(out + c, sum, count);
                }
            }
        });
    });
}

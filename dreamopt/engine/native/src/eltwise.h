// The sum of two images with the ReLU behind it, and slopes below 0 (leaky ReLU, PReLU); both write the bits of a backward pass in passing.
#pragma once

#include <type_traits>

#include "parts.h"
#include "pointwise.h"

namespace dreamopt {

// Which of eight numbers are above 0, or with `odd` not at or below it, so that what is not a number counts too.
inline uint8_t above(Eight v, bool odd) {
    const EightWhole which = odd ? ~(v <= 0) : v > 0;
#ifdef __AVX2__
    return static_cast<uint8_t>(_mm256_movemask_ps((__m256)which));
#else
    int32_t sum = 0;
    for (int k = 0; k < 8; ++k) sum |= which[k] & (1 << k);
    return static_cast<uint8_t>(sum);
#endif
}

inline Eight eight(const float* from) {
    Eight v;
    std::memcpy(&v, from, sizeof v);
    return v;
}

inline Eight eight(const float* from, int64_t count) {
    Eight v{};
    std::memcpy(&v, from, count * sizeof(float));
    return v;
}

// Calls body(first channel, count) for the channels of a pixel, eight at a time; the last time there may be fewer.
template <class Body>
inline void by_eight(int64_t channels, const Body& body) {
    int64_t c = 0;
    for (; c + 8 <= channels; c += 8) body(c, std::integral_constant<int64_t, 8>());
    if (c < channels) body(c, channels - c);
}

inline Eight eight(const float* from, std::integral_constant<int64_t, 8>) { return eight(from); }
inline void store_eight(float* to, Eight v, std::integral_constant<int64_t, 8>) { std::memcpy(to, &v, sizeof v); }
inline void store_eight(float* to, Eight v, int64_t count) { std::memcpy(to, &v, count * sizeof(float)); }

}  // namespace dreamopt

// y = a + b, with relu cut off below 0; y may be a or b. Bits as dreamopt_pack makes them of y, unless null.
DREAMOPT_EXPORT void dreamopt_sum(const float* a, int64_t a_stride, const float* b, int64_t b_stride, float* y, int64_t y_stride, int relu,
                                  uint8_t* bits, int64_t pixels, int64_t channels, int threads) {
    using namespace dreamopt;
    const int64_t bytes = (channels + 7) / 8;
    by_pixels(pixels, channels, threads, [=](int64_t first, int64_t last) {
        for (int64_t p = first; p < last; ++p) {
            const float *one = a + p * a_stride, *other = b + p * b_stride;
            float* to = y + p * y_stride;
            by_eight(channels, [=](int64_t c, auto count) {
                Eight v = eight(one + c, count) + eight(other + c, count);
                if (relu) v = v < 0 ? Eight{} : v;  // what is not a number stays so
                store_eight(to + c, v, count);
                if (bits) bits[p * bytes + c / 8] = above(v, true);
            });
        }
    });
}

// y = x above 0, else slope x, one slope for each channel; y may be x. Bits: whether x is above 0, unless null.
DREAMOPT_EXPORT void dreamopt_slope(const float* x, int64_t x_stride, const float* slopes, float* y, int64_t y_stride, uint8_t* bits,
                                    int64_t pixels, int64_t channels, int threads) {
    using namespace dreamopt;
    const int64_t bytes = (channels + 7) / 8;
    by_pixels(pixels, channels, threads, [=](int64_t first, int64_t last) {
        for (int64_t p = first; p < last; ++p) {
            const float* from = x + p * x_stride;
            float* to = y + p * y_stride;
            by_eight(channels, [=](int64_t c, auto count) {
                const Eight v = eight(from + c, count);
                if (bits) bits[p * bytes + c / 8] = above(v, false);
                store_eight(to + c, v > 0 ? v : v * eight(slopes + c, count), count);
            });
        }
    });
}

// The gradient where the bit is 1, else slope times it; out may be grad.
DREAMOPT_EXPORT void dreamopt_slope_back(const float* grad, int64_t stride, const uint8_t* bits, const float* slopes, float* out,
                                         int64_t out_stride, int64_t pixels, int64_t channels, int threads) {
    using namespace dreamopt;
    const int64_t bytes = (channels + 7) / 8;
    by_pixels(pixels, channels, threads, [=](int64_t first, int64_t last) {
        const EightWhole powers = {1, 2, 4, 8, 16, 32, 64, 128};
        for (int64_t p = first; p < last; ++p) {
            const float* from = grad + p * stride;
            float* to = out + p * out_stride;
            by_eight(channels, [=](int64_t c, auto count) {
                const Eight g = eight(from + c, count);
                const EightWhole open = (powers & int32_t{bits[p * bytes + c / 8]}) != 0;
                store_eight(to + c, open ? g : g * eight(slopes + c, count), count);
            });
        }
    });
}

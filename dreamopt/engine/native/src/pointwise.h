// What is done to each value by itself: a ReLU's backward pass by one bit a value, and a factor and a shift for each channel with a ReLU.
//
// Images lie channels-last, `stride` values from a pixel to the next. The bits of a pixel begin at a byte.
#pragma once

#include <algorithm>

#include "common.h"

namespace dreamopt {

typedef float Eight __attribute__((vector_size(8 * sizeof(float))));
typedef int32_t EightWhole __attribute__((vector_size(8 * sizeof(int32_t))));

constexpr int64_t PIECE = 1 << 14;  // values that a thread takes at a time

// Calls body(first pixel, last) for pieces of the pixels.
template <class Body>
void by_pixels(int64_t pixels, int64_t channels, int threads, const Body& body) {
    const int64_t step = std::max<int64_t>(1, PIECE / std::max<int64_t>(1, channels));
    const int64_t pieces = (pixels + step - 1) / step;
    parallel(pieces, threads, [&](int64_t i) { body(i * step, std::min(pixels, (i + 1) * step)); });
}

inline uint8_t bits_of(const float* y) {
    Eight v;
    std::memcpy(&v, y, sizeof v);
    const EightWhole powers = {1, 2, 4, 8, 16, 32, 64, 128};
    const EightWhole bits = ~(v <= 0) & powers;  // what is not a number gets through, as in torch
    int32_t sum = 0;
    for (int k = 0; k < 8; ++k) sum |= bits[k];
    return static_cast<uint8_t>(sum);
}

inline void gate_eight(const float* grad, uint8_t bits, float* out) {
    const EightWhole powers = {1, 2, 4, 8, 16, 32, 64, 128};
    EightWhole v;
    std::memcpy(&v, grad, sizeof v);
    v &= ((powers & int32_t{bits}) != 0);
    std::memcpy(out, &v, sizeof v);
}

}  // namespace dreamopt

// One bit for each value, whether it is above 0, or no number; (channels + 7) / 8 bytes for each pixel.
DREAMOPT_EXPORT void dreamopt_pack(const float* y, int64_t pixels, int64_t channels, int64_t stride, uint8_t* bits, int threads) {
    using namespace dreamopt;
    const int64_t bytes = (channels + 7) / 8, whole = channels / 8;
    by_pixels(pixels, channels, threads, [=](int64_t first, int64_t last) {
        for (int64_t p = first; p < last; ++p) {
            const float* from = y + p * stride;
            uint8_t* to = bits + p * bytes;
            for (int64_t k = 0; k < whole; ++k) to[k] = bits_of(from + 8 * k);
            if (whole < bytes) {
                uint8_t rest = 0;
                for (int64_t c = 8 * whole; c < channels; ++c) rest |= !(from[c] <= 0) << (c - 8 * whole);
                to[whole] = rest;
            }
        }
    });
}

// The gradient where the bit is 1, else 0, whatever the gradient is there.
DREAMOPT_EXPORT void dreamopt_gate(const float* grad, int64_t stride, const uint8_t* bits, float* out, int64_t out_stride, int64_t pixels,
                                   int64_t channels, int threads) {
    using namespace dreamopt;
    const int64_t bytes = (channels + 7) / 8, whole = channels / 8;
    by_pixels(pixels, channels, threads, [=](int64_t first, int64_t last) {
        for (int64_t p = first; p < last; ++p) {
            const float* from = grad + p * stride;
            const uint8_t* bit = bits + p * bytes;
            float* to = out + p * out_stride;
            for (int64_t k = 0; k < whole; ++k) gate_eight(from + 8 * k, bit[k], to + 8 * k);
            for (int64_t c = 8 * whole; c < channels; ++c) to[c] = bit[whole] >> (c - 8 * whole) & 1 ? from[c] : 0;
        }
    });
}

// factor * x + shift for each channel; with relu, cut off below 0.
DREAMOPT_EXPORT void dreamopt_affine(const float* x, int64_t stride, const float* factor, const float* shift, int relu, float* y,
                                     int64_t y_stride, int64_t pixels, int64_t channels, int threads) {
    using namespace dreamopt;
    by_pixels(pixels, channels, threads, [=](int64_t first, int64_t last) {
        for (int64_t p = first; p < last; ++p) {
            const float* __restrict from = x + p * stride;
            float* __restrict to = y + p * y_stride;
            if (relu)
                for (int64_t c = 0; c < channels; ++c) {
                    const float v = factor[c] * from[c] + shift[c];
                    to[c] = v < 0 ? 0 : v;  // what is not a number stays so
                }
            else
                for (int64_t c = 0; c < channels; ++c) to[c] = factor[c] * from[c] + shift[c];
        }
    });
}

// Its backward pass from x itself: factor * grad, where the result was above 0 with relu; added to what out holds with add.
DREAMOPT_EXPORT void dreamopt_affine_back(const float* grad, int64_t stride, const float* x, int64_t x_stride, const float* factor,
                                          const float* shift, int relu, float* out, int64_t out_stride, int add, int64_t pixels,
                                          int64_t channels, int threads) {
    using namespace dreamopt;
    by_pixels(pixels, channels, threads, [=](int64_t first, int64_t last) {
        for (int64_t p = first; p < last; ++p) {
            const float* from = grad + p * stride;
            const float* __restrict bottom = relu ? x + p * x_stride : nullptr;
            float* to = out + p * out_stride;
            if (relu && add)
#pragma GCC ivdep
                for (int64_t c = 0; c < channels; ++c) to[c] += factor[c] * bottom[c] + shift[c] <= 0 ? 0 : factor[c] * from[c];
            else if (relu)
#pragma GCC ivdep
                for (int64_t c = 0; c < channels; ++c) to[c] = factor[c] * bottom[c] + shift[c] <= 0 ? 0 : factor[c] * from[c];
            else if (add)
#pragma GCC ivdep
                for (int64_t c = 0; c < channels; ++c) to[c] += factor[c] * from[c];
            else
#pragma GCC ivdep
                for (int64_t c = 0; c < channels; ++c) to[c] = factor[c] * from[c];
        }
    });
}

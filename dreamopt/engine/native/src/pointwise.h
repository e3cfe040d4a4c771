// What is done to each value by itself: a ReLU's backward pass by one bit a value, and a factor and a shift for each channel with a ReLU.
//
// Images lie channels-last, `stride` values from a pixel to the next.
#pragma once

#include "bits.h"

namespace dreamopt {

// Calls body(pixel, first channel, count) for all values, `WIDE` at a time.
template <class Body>
void by_values(int64_t pixels, int64_t channels, int64_t threads, const Body& body) {
    by_pixels(pixels, channels, threads, [&](int64_t first, int64_t last) {
        for (int64_t p = first; p < last; ++p) by_wide(channels, [&](int64_t c, auto count) { body(p, c, count); });
    });
}

inline int64_t bytes_of(int64_t channels) { return up(channels, 8); }

}  // namespace dreamopt

// One bit for each value, whether it is above 0, or no number; the bits of a pixel begin at a byte.
DREAMOPT_EXPORT int64_t dreamopt_pack(const float* y, int64_t stride, uint8_t* bits, int64_t pixels, int64_t channels, int64_t threads) {
    return dreamopt::guarded([&] {
        using namespace dreamopt;
        const int64_t bytes = bytes_of(channels);
        by_values(pixels, channels, threads, [=](int64_t p, int64_t c, auto count) {
            store_bits(bits + p * bytes + c / 8, ~(wide(y + p * stride + c, count) <= 0), count);
        });
    });
}

// The gradient where the bit is 1, else 0, whatever the gradient is there; out may be grad.
DREAMOPT_EXPORT int64_t dreamopt_gate(const float* grad, int64_t stride, const uint8_t* bits, float* out, int64_t out_stride,
                                      int64_t pixels, int64_t channels, int64_t threads) {
    return dreamopt::guarded([&] {
        using namespace dreamopt;
        const int64_t bytes = bytes_of(channels);
        by_values(pixels, channels, threads, [=](int64_t p, int64_t c, auto count) {
            const Wide g = wide(grad + p * stride + c, count);
            store_wide(out + p * out_stride + c, choose(bits + p * bytes + c / 8, g, Wide{}, count), count);
        });
    });
}

// factor * x + shift for each channel; with relu, cut off below 0.
DREAMOPT_EXPORT int64_t dreamopt_affine(const float* x, int64_t stride, const float* factor, const float* shift, int64_t relu, float* y,
                                        int64_t y_stride, int64_t pixels, int64_t channels, int64_t threads) {
    return dreamopt::guarded([&] {
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
    });
}

// Its backward pass from x itself: factor * grad, where the result was above 0 with relu; added to what out holds with add.
DREAMOPT_EXPORT int64_t dreamopt_affine_back(const float* grad, int64_t stride, const float* x, int64_t x_stride, const float* factor,
                                             const float* shift, int64_t relu, float* out, int64_t out_stride, int64_t add, int64_t pixels,
                                             int64_t channels, int64_t threads) {
    return dreamopt::guarded([&] {
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
    });
}

// The sum of two images with the ReLU behind it, and slopes below 0 (leaky ReLU, PReLU); both write the bits of a backward pass in passing.
#pragma once

#include "bits.h"
#include "pointwise.h"

namespace dreamopt {

template <bool relu, bool bitwise>
void sum_of_two(const float* a, int64_t a_stride, const float* b, int64_t b_stride, float* y, int64_t y_stride, uint8_t* bits,
                int64_t pixels, int64_t channels, int threads) {
    const int64_t bytes = (channels + 7) / 8;
    by_pixels(pixels, channels, threads, [=](int64_t first, int64_t last) {
        for (int64_t p = first; p < last; ++p) {
            const float *one = a + p * a_stride, *other = b + p * b_stride;
            float* to = y + p * y_stride;
            uint8_t* marks = bits + p * bytes;
            by_wide(channels, [=](int64_t c, auto count) {
                Wide v = wide(one + c, count) + wide(other + c, count);
                if (relu) v = v < 0 ? Wide{} : v;  // what is not a number stays so
                store_wide(to + c, v, count);
                if (bitwise) store_bits(marks + c / 8, ~(v <= 0), count);
            });
        }
    });
}

}  // namespace dreamopt

// y = a + b, with relu cut off below 0; y may be a or b. Bits as dreamopt_pack makes them of y, unless null.
DREAMOPT_EXPORT void dreamopt_sum(const float* a, int64_t a_stride, const float* b, int64_t b_stride, float* y, int64_t y_stride, int relu,
                                  uint8_t* bits, int64_t pixels, int64_t channels, int threads) {
    using namespace dreamopt;
    const auto run = relu ? (bits ? sum_of_two<true, true> : sum_of_two<true, false>)
                          : (bits ? sum_of_two<false, true> : sum_of_two<false, false>);
    run(a, a_stride, b, b_stride, y, y_stride, bits, pixels, channels, threads);
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
            by_wide(channels, [=](int64_t c, auto count) {
                const Wide v = wide(from + c, count);
                if (bits) store_bits(bits + p * bytes + c / 8, v > 0, count);
                store_wide(to + c, v > 0 ? v : v * wide(slopes + c, count), count);
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
        for (int64_t p = first; p < last; ++p) {
            const float* from = grad + p * stride;
            float* to = out + p * out_stride;
            by_wide(channels, [=](int64_t c, auto count) {
                const Wide g = wide(from + c, count);
                store_wide(to + c, choose(bits + p * bytes + c / 8, g, g * wide(slopes + c, count), count), count);
            });
        }
    });
}

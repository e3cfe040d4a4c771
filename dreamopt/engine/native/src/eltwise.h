// The sum of two images with the ReLU behind it, and slopes below 0 (leaky ReLU, PReLU); both write the bits of a backward pass in passing.
#pragma once

#include "pointwise.h"

namespace dreamopt {

template <bool relu, bool bitwise>
void sum_of_two(const float* a, int64_t a_stride, const float* b, int64_t b_stride, float* y, int64_t y_stride, uint8_t* bits,
                int64_t pixels, int64_t channels, int64_t threads) {
    const int64_t bytes = bytes_of(channels);
    by_values(pixels, channels, threads, [=](int64_t p, int64_t c, auto count) {
        Wide v = wide(a + p * a_stride + c, count) + wide(b + p * b_stride + c, count);
        if (relu) v = v < 0 ? Wide{} : v;  // what is not a number stays so
        store_wide(y + p * y_stride + c, v, count);
        if (bitwise) store_bits(bits + p * bytes + c / 8, ~(v <= 0), count);
    });
}

}  // namespace dreamopt

// y = a + b, with relu cut off below 0; y may be a or b. Bits as dreamopt_pack makes them of y, unless null.
DREAMOPT_EXPORT int64_t dreamopt_sum(const float* a, int64_t a_stride, const float* b, int64_t b_stride, float* y, int64_t y_stride,
                                     int64_t relu, uint8_t* bits, int64_t pixels, int64_t channels, int64_t threads) {
    return dreamopt::guarded([&] {
        using namespace dreamopt;
        const auto run =
            relu ? (bits ? sum_of_two<true, true> : sum_of_two<true, false>) : (bits ? sum_of_two<false, true> : sum_of_two<false, false>);
        run(a, a_stride, b, b_stride, y, y_stride, bits, pixels, channels, threads);
    });
}

// y = x above 0, else slope x, one slope for each channel; y may be x. Bits: whether x is above 0, unless null.
DREAMOPT_EXPORT int64_t dreamopt_slope(const float* x, int64_t x_stride, const float* slopes, float* y, int64_t y_stride, uint8_t* bits,
                                       int64_t pixels, int64_t channels, int64_t threads) {
    return dreamopt::guarded([&] {
        using namespace dreamopt;
        const int64_t bytes = bytes_of(channels);
        by_values(pixels, channels, threads, [=](int64_t p, int64_t c, auto count) {
            const Wide v = wide(x + p * x_stride + c, count);
            if (bits) store_bits(bits + p * bytes + c / 8, v > 0, count);
            store_wide(y + p * y_stride + c, v > 0 ? v : v * wide(slopes + c, count), count);
        });
    });
}

// The gradient where the bit is 1, else slope times it; out may be grad.
DREAMOPT_EXPORT int64_t dreamopt_slope_back(const float* grad, int64_t stride, const uint8_t* bits, const float* slopes, float* out,
                                            int64_t out_stride, int64_t pixels, int64_t channels, int64_t threads) {
    return dreamopt::guarded([&] {
        using namespace dreamopt;
        const int64_t bytes = bytes_of(channels);
        by_values(pixels, channels, threads, [=](int64_t p, int64_t c, auto count) {
            const Wide g = wide(grad + p * stride + c, count);
            store_wide(out + p * out_stride + c, choose(bits + p * bytes + c / 8, g, g * wide(slopes + c, count), count), count);
        });
    });
}

// LRN across channels: y = x s^-beta with s = k + a (the sum of x^2 over `size` channels around each).
#pragma once

#include <cmath>
#include <cstdlib>

#include "common.h"
#include "scratch.h"

namespace dreamopt {
namespace lrn {

struct Settings {
    int64_t pixels, channels, x_pixel, y_pixel, grad_pixel, size;
};

inline Vector root(Vector v) {
    Vector r;
    for (int i = 0; i < LANES; ++i) r[i] = std::sqrt(v[i]);
    return r;
}

// s^-beta. Roots for the exponents that nets have; others one by one.
inline Vector power(Vector s, float beta) {
    if (beta == 0.75f) {
        const Vector r = root(s);
        return 1.0f / (r * root(r));
    }
    if (beta == 0.5f) return 1.0f / root(s);
    if (beta == 1.0f) return 1.0f / s;
    Vector p;
    for (int i = 0; i < LANES; ++i) p[i] = std::pow(s[i], -beta);
    return p;
}

// The sum of `size` neighbours around each of LANES values; `row` has half of `size` zeros at both ends.
inline Vector around(const float* row, int64_t c, int64_t size) {
    Vector sum = load(row + c);
    for (int64_t j = 1; j < size; ++j) sum += load(row + c + j);
    return sum;
}

// The squares of the values of a pixel, in whole vectors.
inline void square(const float* values, int64_t channels, float* squares) {
    for (int64_t c = 0; c < channels; c += LANES) {
        const Vector v = load_up_to(values + c, channels - c);
        store(squares + c, v * v);
    }
}

}  // namespace lrn
}  // namespace dreamopt

// Writes y.
DREAMOPT_EXPORT int64_t dreamopt_lrn(const int64_t* settings, double a_, double beta_, double k_, const float* x, float* y,
                                     int64_t threads) {
    return dreamopt::guarded([&] {
        using namespace dreamopt;
        using namespace dreamopt::lrn;
        const float a = static_cast<float>(a_), beta = static_cast<float>(beta_), k = static_cast<float>(k_);
        const auto s = dreamopt::read_as<Settings>(settings);
        const int64_t half = s.size / 2, length = up(s.channels, LANES) * LANES + 2 * half;
        by_pixels(s.pixels, s.channels, threads, [&](int64_t first, int64_t last) {
            static thread_local Scratch scratch;
            float* squares = scratch.floats(length);
            std::memset(squares, 0, length * sizeof(float));
            for (int64_t p = first; p < last; ++p) {
                const float* in = x + p * s.x_pixel;
                float* out = y + p * s.y_pixel;
                square(in, s.channels, squares + half);
                for (int64_t c = 0; c < s.channels; c += LANES) {
                    const Vector v = load_up_to(in + c, s.channels - c);
                    store_up_to(out + c, v * power(k + a * around(squares, c, s.size), beta), s.channels - c);
                }
            }
        });
    });
}

// Writes dx = dy s^-beta - 2 a beta x (the sum of dy x s^-beta / s around each); dx may be dy itself.
DREAMOPT_EXPORT int64_t dreamopt_lrn_backward(const int64_t* settings, double a_, double beta_, double k_, const float* x, const float* dy,
                                              float* dx, int64_t threads) {
    return dreamopt::guarded([&] {
        using namespace dreamopt;
        using namespace dreamopt::lrn;
        const float a = static_cast<float>(a_), beta = static_cast<float>(beta_), k = static_cast<float>(k_);
        const auto s = dreamopt::read_as<Settings>(settings);
        const int64_t half = s.size / 2, whole = up(s.channels, LANES) * LANES, length = whole + 2 * half;
        const float factor = -2.0f * a * beta;
        by_pixels(s.pixels, s.channels, threads, [&](int64_t first, int64_t last) {
            static thread_local Scratch scratch;
            float* squares = scratch.floats(2 * length + whole);
            float *ratios = squares + length, *direct = ratios + length;
            std::memset(squares, 0, 2 * length * sizeof(float));
            for (int64_t p = first; p < last; ++p) {
                const float *in = x + p * s.x_pixel, *above = dy + p * s.grad_pixel;
                float* out = dx + p * s.y_pixel;
                square(in, s.channels, squares + half);
                for (int64_t c = 0; c < s.channels; c += LANES) {
                    const Vector v = load_up_to(in + c, s.channels - c), sum = k + a * around(squares, c, s.size);
                    const Vector part = load_up_to(above + c, s.channels - c) * power(sum, beta);
                    store(direct + c, part);
                    store_up_to(ratios + half + c, part * v / sum, s.channels - c);  // beyond the last channel there stay zeros
                }
                for (int64_t c = 0; c < s.channels; c += LANES) {
                    const Vector v = load_up_to(in + c, s.channels - c);
                    store_up_to(out + c, load(direct + c) + factor * v * around(ratios, c, s.size), s.channels - c);
                }
            }
        });
    });
}

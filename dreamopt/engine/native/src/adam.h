// A step of Adam in one pass over the parameters.
#pragma once

#include <cmath>

#include "common.h"

// mean + (1 - beta1) (gradient - mean), beta2 square + (1 - beta2) gradient^2, and params + rate mean / (sqrt(square) + epsilon).
DREAMOPT_EXPORT int64_t dreamopt_adam(int64_t count, const float* params, const float* gradient, const float* mean, const float* square,
                                      double beta1, double beta2, double rate, double epsilon, float* moved, float* mean_after,
                                      float* square_after, int64_t threads) {
    return dreamopt::guarded([&] {
        using namespace dreamopt;
        const float part1 = float(1 - beta1), keep2 = float(beta2), part2 = float(1 - beta2), step = float(rate), least = float(epsilon);
        by_pixels(count, 1, threads, [=](int64_t first, int64_t last) {
#pragma GCC ivdep
            for (int64_t i = first; i < last; ++i) {
                const float g = gradient[i], m = mean[i] + part1 * (g - mean[i]), v = keep2 * square[i] + part2 * g * g;
                mean_after[i] = m, square_after[i] = v;
                moved[i] = params[i] + step * (m / (std::sqrt(v) + least));
            }
        });
    });
}

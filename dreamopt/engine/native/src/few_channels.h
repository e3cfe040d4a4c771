// Convolutions of images with few channels, as the first layer's, and their data gradients.
//
// Forward, windows of pixels side by side overlap in a line of memory: the rows of the product are read from a copy of a few lines, a
// pixel's stride apart. Backward, the product of the gradient with all weights is added up where its windows lie.
#pragma once

#include "gemm.h"
#include "scratch.h"

namespace dreamopt {
namespace gemm {

constexpr int64_t LINES = 1 << 13;    // floats of the lines that the windows of a tile take
constexpr int64_t COLUMNS = 1 << 10;  // of the product backward
constexpr int64_t STRIP = 1 << 17;    // floats of an image's gradient that are added up at a time

template <int S>
void convolve_lines(const Job& job) {
    const Source& source = job.source[0];
    const Target& target = job.target[0];
    const int64_t channels = source.channels, length = channels * job.kernel[1], depth = length * job.kernel[0];
    const int64_t tiles = (job.out_width + PIXELS - 1) / PIXELS, each = (job.out_width + tiles - 1) / tiles;
    const int64_t line = ((each - 1) * S + length + LANES - 1) / LANES * LANES + LANES;
    parallel(job.samples * job.out_height, job.threads, [&](int64_t piece) {
        alignas(64) float lines[LINES];
        const int64_t n = piece / job.out_height, i = piece % job.out_height;
        for (int64_t first = 0; first < job.out_width; first += each) {
            const int pixels = int(std::min(each, job.out_width - first));
            const int64_t count = (pixels - 1) * S + length, x0 = first * job.stride[1] - job.pad[1];
            const int64_t low = std::min(std::max<int64_t>(0, -x0 * channels), count);
            const int64_t high = std::max(low, std::min(count, (job.width - x0) * channels));
            for (int64_t ky = 0; ky < job.kernel[0]; ++ky) {
                const int64_t y = i * job.stride[0] - job.pad[0] + ky * job.dilation[0];
                float* to = lines + ky * line;
                if (y < 0 || y >= job.height) {
                    zero(to, count);
                    continue;
                }
                zero(to, low);
                copy(to + low, source.x.at(n, y, x0) + low, nullptr, nullptr, nullptr, high - low, 0);
                zero(to + high, count - high);
            }
            float* to[PIXELS];
            const float* gate[PIXELS];
            for (int64_t channel = 0; channel < target.channels; channel += WIDE) {
                for (int m = 0; m < pixels; ++m) {
                    to[m] = target.y.at(n, i, first + m) + channel;
                    if (target.gate.values) gate[m] = target.gate.at(n, i, first + m) + channel;
                }
                const int64_t left = target.channels - channel;
                const Ends ends{to,
                                target.gate.values ? gate : nullptr,
                                target.bias ? target.bias + channel : nullptr,
                                int(std::min<int64_t>(left, WIDE)),
                                true,
                                true,
                                target.add,
                                target.relu};
                multiply_for<PIXELS, S>(pixels, left > LANES)(lines, job.kernel[0], line, length, target.weights + channel * depth, ends);
            }
        }
    });
}

// Whether the lines of all windows of a tile have room.
inline bool has_lines(const Job& job) {
    const int64_t step = job.source[0].channels * job.stride[1], length = job.source[0].channels * job.kernel[1];
    const bool plain = job.sources == 1 && job.targets == 1 && job.source[0].dense && !job.source[0].gate.values;
    return plain && job.kernel[0] * (PIXELS * step + length + 2 * LANES) <= LINES;
}

// Adds one row of the product to the strip of an image.
inline void add_window(float* to, const float* from, int64_t count) {
    int64_t c = 0;
    for (; c + LANES <= count; c += LANES) store(to + c, load(to + c) + load(from + c));
    if (c < count) store_some(to + c, load_some(to + c, int(count - c)) + load_some(from + c, int(count - c)), int(count - c));
}

// The data gradient: the source is the gradient of the convolution's result, the target that of its bottom.
inline void spread(const Job& job) {
    const Source& source = job.source[0];
    const Target& target = job.target[0];
    const int64_t channels = target.channels, length = channels * job.kernel[1], columns = length * job.kernel[0];
    const int64_t reach = (job.width - 1) * job.stride[1] + job.kernel[1];  // of all windows
    const int64_t line = std::max(reach, job.out_width + job.pad[1]) * channels;
    const int64_t whole = (columns + LANES - 1) / LANES * LANES;
    const int64_t most = std::max<int64_t>(8 * job.kernel[0], STRIP / (job.out_width * channels));
    int64_t strips = std::max((job.out_height + most - 1) / most, std::min<int64_t>((4 + job.samples - 1) / job.samples, job.out_height));
    const int64_t height = (job.out_height + strips - 1) / strips;
    strips = (job.out_height + height - 1) / height;
    const int64_t tiles = (job.width + PIXELS - 1) / PIXELS, each = (job.width + tiles - 1) / tiles;
    parallel(job.samples * strips, job.threads, [&](int64_t piece) {
        static thread_local Scratch memory;
        const int64_t n = piece / strips, top = piece % strips * height, bottom = std::min(job.out_height, top + height);
        const int64_t size = (bottom - top) * line;
        float* const strip = memory.floats(size);
        zero(strip, size);
        alignas(64) float rows[PIXELS * STRIDE + LANES], product[PIXELS * COLUMNS];
        Job one = job;  // whose windows are single pixels
        one.kernel[0] = one.kernel[1] = one.stride[0] = one.stride[1] = 1;
        one.pad[0] = one.pad[1] = 0;
        for (int64_t i = 0; i < job.height; ++i) {
            const int64_t y0 = i * job.stride[0] - job.pad[0];  // where its first line is added
            const int64_t from = std::max<int64_t>(0, top - y0), till = std::min(job.kernel[0], bottom - y0);
            if (from >= till) continue;
            for (int64_t first = 0; first < job.width; first += each) {
                const int pixels = int(std::min(each, job.width - first));
                for (int m = 0; m < pixels; ++m) window(one, 0, n, i, first + m, 0, source.channels, rows + m * STRIDE);
                for (int64_t column = from * length / WIDE * WIDE; column < till * length; column += WIDE) {
                    float* to[PIXELS];
                    for (int m = 0; m < pixels; ++m) to[m] = product + m * COLUMNS + column;
                    const bool wide = columns - column > LANES;
                    const int count = int(std::min<int64_t>(whole - column, WIDE));
                    const Ends ends{to, nullptr, nullptr, count, true, true, false, false};
                    multiply_for<PIXELS>(pixels, wide)(rows, 1, 0, source.channels, target.weights + column * source.channels, ends);
                }
                for (int m = 0; m < pixels; ++m)
                    for (int64_t ky = from; ky < till; ++ky) {
                        float* to = strip + (y0 + ky - top) * line + (first + m) * job.stride[1] * channels;
                        add_window(to, product + m * COLUMNS + ky * length, length);
                    }
            }
        }
        for (int64_t y = top; y < bottom; ++y)
            for (int64_t x = 0; x < job.out_width; ++x) {
                const float* values = strip + (y - top) * line + (x + job.pad[1]) * channels;
                float* to = target.y.at(n, y, x);
                for (int64_t c = 0; c < channels; ++c) to[c] = target.add ? to[c] + values[c] : values[c];
            }
    });
}

}  // namespace gemm
}  // namespace dreamopt

// The data gradient of a convolution of few channels.
DREAMOPT_EXPORT int64_t dreamopt_spread(const int64_t* numbers) {
    return dreamopt::guarded([&] {
        using namespace dreamopt::gemm;
        spread(job_from(numbers));
    });
}

DREAMOPT_EXPORT int64_t dreamopt_convolve(const int64_t* numbers) {
    return dreamopt::guarded([&] {
        using namespace dreamopt::gemm;
        const Job job = job_from(numbers);
        const int64_t step = job.source[0].channels * job.stride[1];
        if (has_lines(job) && step == 3)
            convolve_lines<3>(job);
        else if (has_lines(job) && step == 6)
            convolve_lines<6>(job);
        else if (has_lines(job) && step == 12)
            convolve_lines<12>(job);
        else
            convolve(job);
    });
}

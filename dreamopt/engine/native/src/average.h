// AVE pooling: sums over windows, divided by their areas with the padding, but not what lies beyond that.
#pragma once

#include <algorithm>

#include "windows.h"

namespace dreamopt {
namespace average {

constexpr int64_t CHANNELS = 8 * LANES;  // that a thread takes at least
constexpr int64_t SHARES = 32;           // for the threads: of few rows, as in global pooling, each takes a part of the channels

// How far a window reaches with the padding; 1 at least.
inline int64_t extent(int64_t number, int64_t kernel, int64_t stride, int64_t pad, int64_t size) {
    return std::max<int64_t>(1, std::min(kernel, size + 2 * pad - number * stride));
}

// Calls body(row, first channel, behind the last) for parts of the channels of all rows.
template <class Body>
void by_rows(int64_t rows, int64_t channels, int64_t threads, const Body& body) {
    const int64_t parts = std::max<int64_t>(1, std::min((SHARES + rows - 1) / rows, channels / CHANNELS));
    const int64_t each = ((channels + parts - 1) / parts + LANES - 1) / LANES * LANES;
    parallel(rows * parts, threads, [&](int64_t i) {
        const int64_t c = i % parts * each;
        if (c < channels) body(i / parts, c, std::min(channels, c + each));
    });
}

struct Full {
    operator int64_t() const { return LANES; }
};

inline Vector part(const float* from, Full) { return load(from); }
inline Vector part(const float* from, int64_t count) { return load_some(from, static_cast<int>(count)); }
inline void put(float* to, Vector v, Full) { store(to, v); }
inline void put(float* to, Vector v, int64_t count) { store_some(to, v, static_cast<int>(count)); }

// Calls body(channel, count) for channels begin .. end - 1, a vector at a time.
template <class Body>
inline void by_vector(int64_t begin, int64_t end, const Body& body) {
    int64_t c = begin;
    for (; c + LANES <= end; c += LANES) body(c, Full());
    if (c < end) body(c, end - c);
}

}  // namespace average
}  // namespace dreamopt

// Rows of a window are summed first, and then their sums: of large windows, fewer digits are lost.
DREAMOPT_EXPORT int64_t dreamopt_average(const int64_t* sizes, const float* x, float* y, int64_t threads) {
    return dreamopt::guarded([&] {
        using namespace dreamopt;
        using namespace dreamopt::average;
        const auto s = dreamopt::read_as<Pooled>(sizes);
        by_rows(s.batch * s.top_height, s.channels, threads, [&](int64_t line, int64_t begin, int64_t end) {
            const int64_t item = line / s.top_height, row = line % s.top_height;
            const Window rows(row, s.kernel_height, s.stride_height, s.pad_top, s.height);
            const int64_t high = extent(row, s.kernel_height, s.stride_height, s.pad_top, s.height);
            for (int64_t column = 0; column < s.top_width; ++column) {
                const Window columns(column, s.kernel_width, s.stride_width, s.pad_left, s.width);
                const int64_t area = high * extent(column, s.kernel_width, s.stride_width, s.pad_left, s.width);
                const bool exact = (area & (area - 1)) == 0;  // its reciprocal is, and multiplying by that is faster
                const Vector divisor = all(exact ? 1.0f / static_cast<float>(area) : static_cast<float>(area));
                const float* corner = x + ((item * s.height + rows.first) * s.width + columns.first) * s.x_pixel;
                float* to = y + (line * s.top_width + column) * s.y_pixel;
                by_vector(begin, end, [&](int64_t c, auto count) {
                    Vector sum{};
                    for (int64_t i = rows.first; i < rows.last; ++i) {
                        const float* there = corner + (i - rows.first) * s.width * s.x_pixel + c;
                        Vector across{};
                        for (int64_t j = columns.first; j < columns.last; ++j, there += s.x_pixel) across += part(there, count);
                        sum += across;
                    }
                    put(to + c, exact ? sum * divisor : sum / divisor, count);
                });
            }
        });
    });
}

// At each place the gradients of the windows that it is in, each divided by its area.
DREAMOPT_EXPORT int64_t dreamopt_average_back(const int64_t* sizes, const float* dy, float* dx, int64_t threads) {
    return dreamopt::guarded([&] {
        using namespace dreamopt;
        using namespace dreamopt::average;
        const auto s = dreamopt::read_as<Pooled>(sizes);
        by_rows(s.batch * s.height, s.channels, threads, [&](int64_t line, int64_t begin, int64_t end) {
            const int64_t item = line / s.height, row = line % s.height, down = row + s.pad_top;
            const Covering rows(down, s.kernel_height, s.stride_height, s.top_height);
            for (int64_t column = 0; column < s.width; ++column) {
                const int64_t across = column + s.pad_left, pixel_at = line * s.width + column;
                const Covering columns(across, s.kernel_width, s.stride_width, s.top_width);
                float* out = dx + pixel_at * s.x_pixel;
                bool begun = s.add;
                for (int64_t i = rows.first; i < rows.last; ++i) {
                    const int64_t high = extent(i, s.kernel_height, s.stride_height, s.pad_top, s.height);
                    for (int64_t j = columns.first; j < columns.last; ++j, begun = true) {
                        const int64_t area = high * extent(j, s.kernel_width, s.stride_width, s.pad_left, s.width);
                        const float* from = dy + ((item * s.top_height + i) * s.top_width + j) * s.y_pixel;
                        const Vector factor = all(1.0f / static_cast<float>(area));
                        if (begun) {
                            by_vector(begin, end, [=](int64_t c, auto count) {
                                put(out + c, part(out + c, count) + part(from + c, count) * factor, count);
                            });
                        } else {
                            by_vector(begin, end, [=](int64_t c, auto count) { put(out + c, part(from + c, count) * factor, count); });
                        }
                    }
                }
                if (!begun) std::fill(out + begin, out + end, 0.0f);
            }
        });
    });
}

// An affine map of an image, bilinear, and its adjoint.
#pragma once

#include <algorithm>
#include <cmath>
#include <memory>

#include "common.h"

namespace dreamopt::warp {

typedef float Four __attribute__((vector_size(16)));  // up to four channels of one pixel

constexpr int64_t ROWS = 8;    // rows of a piece of work
constexpr int64_t STRIPS = 2;  // whatever the number of threads is, so that sums are added in one order

struct Sizes {
    int64_t channels, height, width, top_height, top_width;
};

// Where the pixel (y, x) of the top comes from, in rows and columns of the bottom.
struct Map {
    double row, row_y, row_x, column, column_y, column_x;
};

// The place in a bottom with a frame of one pixel before and two behind, where all outside is 0, and the way to the next pixel.
struct Place {
    int64_t pixel;
    float down, right;
};

inline Place place(const Map& m, const Sizes& s, int64_t y, int64_t x) {
    const double row = std::min(std::max(m.row + m.row_y * y + m.row_x * x, -1.0), double(s.height)) + 1;
    const double column = std::min(std::max(m.column + m.column_y * y + m.column_x * x, -1.0), double(s.width)) + 1;
    const int64_t i = int64_t(row), j = int64_t(column);
    return {i * (s.width + 3) + j, float(row - i), float(column - j)};
}

inline Four broadcast(float x) { return Four{x, x, x, x}; }

}  // namespace dreamopt::warp

// y (channels, top_height, top_width) from x (channels, height, width); beyond x there is `outside` (channels).
DREAMOPT_EXPORT int64_t dreamopt_warp(const int64_t* sizes, const double* map, const float* x, const float* outside, float* y,
                                      int64_t threads) {
    return dreamopt::guarded([&] {
        using namespace dreamopt::warp;
        const auto s = dreamopt::read_as<Sizes>(sizes);
        const auto m = dreamopt::read_as<Map>(map);
        const int64_t stride = s.width + 3, plane = s.height * s.width, top = s.top_height * s.top_width;
        std::unique_ptr<Four[]> framed(new Four[(s.height + 3) * stride]);
        for (int64_t first = 0; first < s.channels; first += 4) {
            const int64_t count = std::min<int64_t>(4, s.channels - first);
            dreamopt::parallel((s.height + 3 + ROWS - 1) / ROWS, threads, [&](int64_t piece) {
                for (int64_t i = piece * ROWS; i < std::min(s.height + 3, (piece + 1) * ROWS); ++i) {
                    Four* to = framed.get() + i * stride;
                    if (i == 0 || i > s.height) {
                        std::fill(to, to + stride, Four{});
                        continue;
                    }
                    to[0] = to[s.width + 1] = to[s.width + 2] = Four{};
                    for (int64_t j = 0; j < s.width; ++j) {
                        Four pixel{};
                        for (int64_t c = 0; c < count; ++c) pixel[c] = x[(first + c) * plane + (i - 1) * s.width + j] - outside[first + c];
                        to[j + 1] = pixel;
                    }
                }
            });
            dreamopt::parallel((s.top_height + ROWS - 1) / ROWS, threads, [&](int64_t piece) {
                for (int64_t i = piece * ROWS; i < std::min(s.top_height, (piece + 1) * ROWS); ++i)
                    for (int64_t j = 0; j < s.top_width; ++j) {
                        const Place p = place(m, s, i, j);
                        const Four* from = framed.get() + p.pixel;
                        const Four down = broadcast(p.down), right = broadcast(p.right);
                        const Four above = from[0] + right * (from[1] - from[0]);
                        const Four below = from[stride] + right * (from[stride + 1] - from[stride]);
                        const Four pixel = above + down * (below - above);
                        for (int64_t c = 0; c < count; ++c) y[(first + c) * top + i * s.top_width + j] = pixel[c] + outside[first + c];
                    }
            });
        }
    });
}

// The gradient at x of one at y, gradient (channels, top_height, top_width).
DREAMOPT_EXPORT int64_t dreamopt_warp_back(const int64_t* sizes, const double* map, const float* gradient, float* x_gradient,
                                           int64_t threads) {
    return dreamopt::guarded([&] {
        using namespace dreamopt::warp;
        const auto s = dreamopt::read_as<Sizes>(sizes);
        const auto m = dreamopt::read_as<Map>(map);
        const int64_t stride = s.width + 3, plane = s.height * s.width, top = s.top_height * s.top_width, framed = (s.height + 3) * stride;
        std::unique_ptr<Four[]> sums(new Four[STRIPS * framed]);
        for (int64_t first = 0; first < s.channels; first += 4) {
            const int64_t count = std::min<int64_t>(4, s.channels - first);
            dreamopt::parallel(STRIPS, threads, [&](int64_t strip) {
                Four* sum = sums.get() + strip * framed;
                std::memset(static_cast<void*>(sum), 0, framed * sizeof(Four));
                for (int64_t i = strip * s.top_height / STRIPS; i < (strip + 1) * s.top_height / STRIPS; ++i)
                    for (int64_t j = 0; j < s.top_width; ++j) {
                        const Place p = place(m, s, i, j);
                        Four pixel{};
                        for (int64_t c = 0; c < count; ++c) pixel[c] = gradient[(first + c) * top + i * s.top_width + j];
                        Four* to = sum + p.pixel;
                        const Four below = pixel * broadcast(p.down), above = pixel - below, right = broadcast(p.right);
                        const Four above_right = above * right, below_right = below * right;
                        to[0] += above - above_right;
                        to[1] += above_right;
                        to[stride] += below - below_right;
                        to[stride + 1] += below_right;
                    }
            });
            dreamopt::parallel((s.height + ROWS - 1) / ROWS, threads, [&](int64_t piece) {
                for (int64_t i = piece * ROWS; i < std::min(s.height, (piece + 1) * ROWS); ++i)
                    for (int64_t j = 0; j < s.width; ++j) {
                        const int64_t at = (i + 1) * stride + j + 1;
                        Four pixel = sums[at];
                        for (int64_t strip = 1; strip < STRIPS; ++strip) pixel += sums[strip * framed + at];
                        for (int64_t c = 0; c < count; ++c) x_gradient[(first + c) * plane + i * s.width + j] = pixel[c];
                    }
            });
        }
    });
}

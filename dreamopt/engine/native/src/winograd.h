// Convolutions of 3x3 kernels with stride 1 by Winograd's F(4x4, 3x3) (Lavin and Gray 2015, arXiv 1509.09308): 36 products make 16 values,
// where 144 do otherwise.
//
// The image is cut into tiles of 4x4 results. Of each, 6x6 bottoms are transformed (B' x B) to 36 numbers a channel. Each of the 36 is a
// matrix product of its own over the channels, with the kernels transformed before (G w G'); the results go back by A' m A.
//
// Tiles are worked on in groups whose transformed bottoms stay in the cache: all threads transform, then each takes some tiles times some
// kernels through the products and back. No sum is divided between threads: the bits do not depend on their number.
#pragma once

#include <algorithm>

#include "common.h"
#include "scratch.h"

namespace dreamopt {
namespace winograd {

constexpr int SIDE = 6, POINTS = SIDE * SIDE, STEP = 4, KERNEL = 3;
constexpr int PANEL = 2 * LANES;  // kernels whose products run side by side
constexpr int ROWS = LANES == 4   ? 4
                     : LANES == 8 ? 6
                                  : 14;  // tiles whose products run side by side: with the panel, they fill the registers
constexpr int64_t GROUP = 3 << 18;       // floats of transformed bottoms at a time

// 1-D transforms of one line of vectors, `s` apart. Of equal vectors all but out[1] are exactly 0, so that where a bottom is constant the results
// are equal bit by bit: max pooling then takes the first of them, not the one that rounding made largest.
inline void to_products(const Vector* d, int s, Vector* out, int t) {
    const Vector d0 = d[0], d1 = d[s], d2 = d[2 * s], d3 = d[3 * s], d4 = d[4 * s], d5 = d[5 * s];
    const Vector a = d4 - 4.0f * d2, b = d3 - 4.0f * d1, c = d4 - d2, e = 2.0f * (d3 - d1);
    out[0] = 4.0f * (d0 - d2) + c;
    out[t] = a + b;
    out[2 * t] = a - b;
    out[3 * t] = c + e;
    out[4 * t] = c - e;
    out[5 * t] = 4.0f * (d1 - d3) + (d5 - d3);
}

inline void from_products(const Vector* m, int s, Vector* out, int t) {
    const Vector p = m[s] + m[2 * s], q = m[s] - m[2 * s], u = m[3 * s] + m[4 * s], v = m[3 * s] - m[4 * s];
    out[0] = m[0] + p + u;
    out[t] = q + 2.0f * v;
    out[2 * t] = p + 4.0f * u;
    out[3 * t] = q + 8.0f * v + m[5 * s];
}

// c[rows][columns] = a[rows][depth] b[depth][PANEL], with b packed.
template <int Rows, int Columns>
void product(const float* a, int64_t a_row, const float* b, int depth, float* c, int64_t c_row) {
    Vector sum[Rows][Columns] = {};
    for (int k = 0; k < depth; ++k, b += PANEL) {
        Vector right[Columns];
        for (int j = 0; j < Columns; ++j) right[j] = load(b + j * LANES);
#pragma GCC unroll 16
        for (int i = 0; i < Rows; ++i) {
            const Vector left = all(a[i * a_row + k]);
            for (int j = 0; j < Columns; ++j) sum[i][j] += left * right[j];
        }
    }
    for (int i = 0; i < Rows; ++i)
        for (int j = 0; j < Columns; ++j) store(c + i * c_row + j * LANES, sum[i][j]);
}

typedef void (*Product)(const float*, int64_t, const float*, int, float*, int64_t);

template <int Columns, int Rows>
struct Products {
    static Product of(int rows) { return rows == Rows ? product<Rows, Columns> : Products<Columns, Rows - 1>::of(rows); }
};
template <int Columns>
struct Products<Columns, 0> {
    static Product of(int) { return nullptr; }
};

struct Sizes {
    int64_t batch, height, width, channels, x_pixel;  // the bottom: floats from a pixel to the next
    int64_t top_height, top_width, kernels, y_pixel;  // the top
    int64_t pad_top, pad_left, groups;
    int64_t relu, add;   // cut off below 0; add to what is there
    int64_t mask_pixel;  // of what masks the bottom
};

// Where the 6x6 bottoms of a tile lie, and its 4x4 tops.
struct Tile {
    int64_t item, top, left;  // of the tops
    Tile(const Sizes& s, int64_t across, int64_t each, int64_t number)
        : item(number / each), top(number % each / across * STEP), left(number % each % across * STEP) {}
};

inline void transform(const Sizes& s, const Tile& tile, const float* x, const float* mask, int64_t from, int count, float* v,
                      int64_t v_point) {
    Vector d[POINTS], half[POINTS];
    for (int i = 0; i < SIDE; ++i) {
        const int64_t row = tile.top + i - s.pad_top;
        for (int j = 0; j < SIDE; ++j) {
            const int64_t column = tile.left + j - s.pad_left;
            Vector& value = d[i * SIDE + j];
            if (row < 0 || row >= s.height || column < 0 || column >= s.width) {
                value = Vector{};
                continue;
            }
            const int64_t pixel = (tile.item * s.height + row) * s.width + column;
            const float* there = x + pixel * s.x_pixel + from;
            value = count == LANES ? load(there) : load_some(there, count);
            if (mask) {
                const float* passed = mask + pixel * s.mask_pixel + from;
                const Vector y = count == LANES ? load(passed) : load_some(passed, count);
                value = y <= 0.0f ? Vector{} : value;
            }
        }
    }
    for (int j = 0; j < SIDE; ++j) to_products(d + j, SIDE, half + j, SIDE);
    for (int i = 0; i < SIDE; ++i) to_products(half + i * SIDE, 1, d + i * SIDE, 1);
    for (int point = 0; point < POINTS; ++point) store(v + point * v_point, d[point]);
}

inline void finish(const Sizes& s, const Tile& tile, const float* m, int64_t m_point, const float* bias, int64_t from, int count,
                   float* y) {
    Vector in[POINTS], half[STEP * SIDE], out[STEP * STEP];
    for (int point = 0; point < POINTS; ++point) in[point] = load(m + point * m_point);
    for (int j = 0; j < SIDE; ++j) from_products(in + j, SIDE, half + j, SIDE);
    for (int i = 0; i < STEP; ++i) from_products(half + i * SIDE, 1, out + i * STEP, 1);
    const Vector shift = bias ? load_some(bias + from, count) : Vector{};
    const int64_t rows = std::min<int64_t>(STEP, s.top_height - tile.top), columns = std::min<int64_t>(STEP, s.top_width - tile.left);
    for (int64_t i = 0; i < rows; ++i) {
        for (int64_t j = 0; j < columns; ++j) {
            float* there = y + ((tile.item * s.top_height + tile.top + i) * s.top_width + tile.left + j) * s.y_pixel + from;
            Vector value = out[i * STEP + j] + shift;
            if (s.add) value += count == LANES ? load(there) : load_some(there, count);
            if (s.relu) value = value < 0.0f ? Vector{} : value;  // what is not a number stays so
            if (count == LANES) {
                store(there, value);
            } else {
                store_some(there, value, count);
            }
        }
    }
}

// Floats of transformed kernels.
inline int64_t size_of(int64_t kernels, int64_t channels, int64_t groups) {
    return POINTS * groups * up(kernels / groups, PANEL) * PANEL * (channels / groups);
}

}  // namespace winograd
}  // namespace dreamopt

// How many floats the transformed kernels take.
DREAMOPT_EXPORT int64_t dreamopt_winograd_size(int64_t kernels, int64_t channels, int64_t groups, int64_t* size) {
    *size = dreamopt::winograd::size_of(kernels, channels, groups);
    return 0;
}

// Transforms kernels w (kernels, channels / groups, 3, 3), contiguous, to u[group][panel][point][channel][PANEL].
DREAMOPT_EXPORT int64_t dreamopt_winograd_kernels(const float* w, int64_t kernels, int64_t channels, int64_t groups, float* u) {
    return dreamopt::guarded([&] {
        using namespace dreamopt;
        using namespace dreamopt::winograd;
        static const double G[SIDE][KERNEL] = {{1. / 4, 0, 0},
                                               {-1. / 6, -1. / 6, -1. / 6},
                                               {-1. / 6, 1. / 6, -1. / 6},
                                               {1. / 24, 1. / 12, 1. / 6},
                                               {1. / 24, -1. / 12, 1. / 6},
                                               {0, 0, 1}};
        const int64_t each = kernels / groups, depth = channels / groups, panels = up(each, PANEL);
        std::memset(u, 0, size_of(kernels, channels, groups) * sizeof(float));
        for (int64_t k = 0; k < kernels; ++k) {
            const int64_t group = k / each, in = k % each;
            for (int64_t c = 0; c < depth; ++c) {
                const float* kernel = w + (k * depth + c) * KERNEL * KERNEL;
                double half[SIDE][KERNEL];
                for (int i = 0; i < SIDE; ++i)
                    for (int j = 0; j < KERNEL; ++j)
                        half[i][j] = G[i][0] * kernel[j] + G[i][1] * kernel[KERNEL + j] + G[i][2] * kernel[2 * KERNEL + j];
                for (int i = 0; i < SIDE; ++i) {
                    for (int j = 0; j < SIDE; ++j) {
                        const double value = half[i][0] * G[j][0] + half[i][1] * G[j][1] + half[i][2] * G[j][2];
                        const int64_t panel = group * panels + in / PANEL;
                        u[((panel * POINTS + i * SIDE + j) * depth + c) * PANEL + in % PANEL] = static_cast<float>(value);
                    }
                }
            }
        }
    });
}

// y = the convolution of x, both channels-last, with transformed kernels. `sizes` holds Sizes as whole numbers; bias and mask may be null.
// Where mask is 0 or less, x counts as 0.
DREAMOPT_EXPORT int64_t dreamopt_winograd(const int64_t* sizes, const float* x, const float* mask, const float* u, const float* bias,
                                          float* y, int64_t threads) {
    return dreamopt::guarded([&] {
        using namespace dreamopt;
        using namespace dreamopt::winograd;
        const auto s = dreamopt::read_as<Sizes>(sizes);
        const int64_t across = up(s.top_width, STEP), tiles_each = across * up(s.top_height, STEP), tiles = s.batch * tiles_each;
        const int64_t depth = s.channels / s.groups, each = s.kernels / s.groups, panels = up(each, PANEL);
        const int64_t v_row = up(s.channels, LANES) * LANES;
        // Tiles are taken in rows of nearly the same length; so many rows at a time as stay in the cache.
        int64_t row = up(tiles, up(tiles, ROWS));
        const int64_t rows_at_once = std::max<int64_t>(1, GROUP / (POINTS * v_row * row));
        static thread_local Scratch bottoms;
        const int64_t rows = up(tiles, row), rows_each = up(rows, up(rows, rows_at_once)), group_tiles = rows_each * row;
        float* v = bottoms.floats(POINTS * group_tiles * v_row);
        for (int64_t begin = 0; begin < tiles; begin += group_tiles) {
            const int64_t count = std::min(group_tiles, tiles - begin), v_point = group_tiles * v_row;
            const int64_t vectors = v_row / LANES, piece = std::max<int64_t>(1, 64 / vectors), pieces = up(count, piece);
            parallel(pieces, threads, [&](int64_t p) {
                for (int64_t t = p * piece; t < std::min(count, (p + 1) * piece); ++t) {
                    const Tile tile(s, across, tiles_each, begin + t);
                    for (int64_t c = 0; c < s.channels; c += LANES)
                        transform(s, tile, x, mask, c, static_cast<int>(std::min<int64_t>(LANES, s.channels - c)), v + t * v_row + c,
                                  v_point);
                }
            });
            // Each piece: one or more rows of tiles times one panel of kernels or two.
            const int64_t row_count = up(count, row);
            int64_t panels_at_once = std::min<int64_t>(panels, 2), rows_piece = std::min<int64_t>(row_count, 2);
            while (panels_at_once * rows_piece > 1 && up(row_count, rows_piece) * s.groups * up(panels, panels_at_once) < 3 * threads) {
                if (rows_piece > 1)
                    rows_piece = 1;
                else
                    panels_at_once = 1;
            }
            const int64_t panel_pieces = up(panels, panels_at_once), row_pieces = up(row_count, rows_piece);
            parallel(row_pieces * s.groups * panel_pieces, threads, [&](int64_t p) {
                static thread_local Scratch products;
                const int64_t group = p / row_pieces / panel_pieces, first_panel = p / row_pieces % panel_pieces * panels_at_once;
                const int64_t last_panel = std::min(panels, first_panel + panels_at_once);
                const int64_t first = p % row_pieces * rows_piece * row, last = std::min(count, first + rows_piece * row);
                const int64_t m_row = (last_panel - first_panel) * PANEL, m_point = rows_piece * row * m_row;
                float* m = products.floats(POINTS * m_point);
                for (int64_t panel = first_panel; panel < last_panel; ++panel) {
                    const float* right = u + (group * panels + panel) * POINTS * depth * PANEL;
                    const bool narrow = each - panel * PANEL <= LANES;
                    for (int point = 0; point < POINTS; ++point) {
                        for (int64_t t = first; t < last; t += row) {
                            const int n = static_cast<int>(std::min(row, last - t));
                            const Product run = narrow ? Products<1, ROWS>::of(n) : Products<2, ROWS>::of(n);
                            run(v + point * v_point + t * v_row + group * depth, v_row, right + point * depth * PANEL,
                                static_cast<int>(depth), m + point * m_point + (t - first) * m_row + (panel - first_panel) * PANEL, m_row);
                        }
                    }
                }
                for (int64_t t = first; t < last; ++t) {
                    const Tile tile(s, across, tiles_each, begin + t);
                    for (int64_t k = first_panel * PANEL; k < std::min(each, last_panel * PANEL); k += LANES) {
                        const int n = static_cast<int>(std::min<int64_t>(LANES, each - k));
                        finish(s, tile, m + (t - first) * m_row + k - first_panel * PANEL, m_point, bias, group * each + k, n, y);
                    }
                }
            });
        }
    });
}

// An image that is moved several times in one call: windows of it, affine maps, and noise on top; and the adjoint.
//
// Between two moves the image is kept by pixels, up to four channels of one in a vector, in a frame of the colour that the next move finds
// outside: one pixel before the image and two behind, so that a map interpolates into the frame as it does within.
#pragma once

#include <algorithm>
#include <cmath>
#include <memory>

#include "common.h"

namespace dreamopt::moves {

typedef float Four __attribute__((vector_size(16)));  // up to four channels of one pixel
typedef int32_t Places __attribute__((vector_size(16)));

constexpr int64_t ROWS = 8;    // rows of a piece of work
constexpr int64_t STRIPS = 2;  // whatever the number of threads is, so that sums are added in one order

enum Kind : int64_t { WINDOW = 0, ROLL = 1, MAP = 2 };

// From (height, width) to (top_height, top_width). Of a window and a roll, row and column are where the first pixel comes from; of a map,
// pixel (y, x) of the top comes from row + row_y y + row_x x and column + column_y y + column_x x.
struct Move {
    double kind, height, width, top_height, top_width, row, row_y, row_x, column, column_y, column_x;
    int64_t h() const { return int64_t(height); }
    int64_t w() const { return int64_t(width); }
    int64_t top_h() const { return int64_t(top_height); }
    int64_t top_w() const { return int64_t(top_width); }
    bool is_map() const { return kind == MAP; }
    int64_t framed() const { return (h() + 3) * (w() + 3); }
};

inline Four broadcast(float x) { return Four{x, x, x, x}; }

// The rows of a picture: planes of which up to four are read at once, or pixels in a frame, of which several pictures may be added.
struct Picture {
    float* planes = nullptr;
    int64_t plane = 0, count = 0;  // floats of a plane, planes
    Four* pixels = nullptr;
    int64_t parts = 1, part = 0;  // pictures to add, pixels of one
    int64_t top[STRIPS] = {}, behind[STRIPS] = {};  // of several, the rows of the frame that each has; its others are 0
    int64_t width = 0;

    Four* row(int64_t i) const { return pixels + (i + 1) * (width + 3) + 1; }

    // Copies `n` pixels of row i from column j on.
    void read(int64_t i, int64_t j, int64_t n, Four* to) const {
        if (!planes) {
            const Four* from = row(i) + j;
            if (parts == 1) {
                std::memcpy(static_cast<void*>(to), from, n * sizeof(Four));
                return;
            }
            bool found = false;
            for (int64_t p = 0; p < parts; ++p, from += part) {
                if (i + 1 < top[p] || i + 1 >= behind[p]) continue;
                if (found)
                    for (int64_t k = 0; k < n; ++k) to[k] += from[k];
                else
                    std::memcpy(static_cast<void*>(to), from, n * sizeof(Four));
                found = true;
            }
            if (!found) std::fill(to, to + n, Four{});
            return;
        }
        static const float none[4] = {};
        const float* from[4];
        for (int64_t c = 0; c < 4; ++c) from[c] = c < count ? planes + c * plane + i * width + j : none;
        int64_t k = 0;
        for (; k + 4 <= n; k += 4) {
            Four r[4];
            for (int c = 0; c < 4; ++c) std::memcpy(&r[c], c < count ? from[c] + k : none, sizeof(Four));
            transpose(r);
            for (int m = 0; m < 4; ++m) to[k + m] = r[m];
        }
        for (; k < n; ++k)
            for (int64_t c = 0; c < 4; ++c) to[k][c] = c < count ? from[c][k] : 0.0f;
    }

    // Writes row i of planes, with weighted noise added where there is any.
    void write(int64_t i, const Four* from, const float* noise, float weight) const {
        const int64_t at = i * width;
        int64_t k = 0;
        for (; k + 4 <= width; k += 4) {
            Four r[4] = {from[k], from[k + 1], from[k + 2], from[k + 3]};
            transpose(r);
            for (int64_t c = 0; c < count; ++c) {
                if (noise) {
                    Four n;
                    std::memcpy(&n, noise + c * plane + at + k, sizeof n);
                    r[c] += broadcast(weight) * n;
                }
                std::memcpy(planes + c * plane + at + k, &r[c], sizeof(Four));
            }
        }
        for (; k < width; ++k)
            for (int64_t c = 0; c < count; ++c) {
                const int64_t place = c * plane + at + k;
                planes[place] = noise ? from[k][c] + weight * noise[place] : from[k][c];
            }
    }

    static void transpose(Four* r) {
        const Four a = __builtin_shuffle(r[0], r[1], Places{0, 4, 1, 5}), b = __builtin_shuffle(r[0], r[1], Places{2, 6, 3, 7});
        const Four c = __builtin_shuffle(r[2], r[3], Places{0, 4, 1, 5}), d = __builtin_shuffle(r[2], r[3], Places{2, 6, 3, 7});
        r[0] = __builtin_shuffle(a, c, Places{0, 1, 4, 5}), r[1] = __builtin_shuffle(a, c, Places{2, 3, 6, 7});
        r[2] = __builtin_shuffle(b, d, Places{0, 1, 4, 5}), r[3] = __builtin_shuffle(b, d, Places{2, 3, 6, 7});
    }
};

// The way of one row of a map's top through the bottom, in 2^-32 of a pixel, counted from the frame's first pixel.
struct Way {
    int64_t row, column, row_x, column_x, first, behind;  // the pixels `first` to `behind` - 1 lie in the frame

    Way(const Move& m, int64_t y) {
        constexpr double ONE = 4294967296.0;
        row = std::llround((m.row + m.row_y * y + 1) * ONE), column = std::llround((m.column + m.column_y * y + 1) * ONE);
        row_x = std::llround(m.row_x * ONE), column_x = std::llround(m.column_x * ONE);
        first = 0, behind = m.top_w();
        const int64_t rows = (m.h() + 1) << 32, columns = (m.w() + 1) << 32;
        const auto inside = [&](int64_t x) {
            const int64_t i = row + x * row_x, j = column + x * column_x;
            return i >= 0 && i < rows && j >= 0 && j < columns;
        };
        while (first < behind && !inside(first)) ++first;
        while (behind > first && !inside(behind - 1)) --behind;
    }

    // Calls body(pixel of the top, place in the frame, way down, way to the right).
    template <class Body>
    void each(int64_t stride, const Body& body) const {
        constexpr float PART = 1.0f / 16777216.0f;
        int64_t i = row + first * row_x, j = column + first * column_x;
        for (int64_t x = first; x < behind; ++x, i += row_x, j += column_x)
            body(x, (i >> 32) * stride + (j >> 32), float(int32_t(uint32_t(i) >> 8)) * PART, float(int32_t(uint32_t(j) >> 8)) * PART);
    }
};

// One row of a window's top: what lies inside, and `outside`.
inline void window_row(const Move& m, const Picture& from, int64_t y, Four outside, Four* to) {
    const int64_t h = m.h(), w = m.w(), top_w = m.top_w();
    int64_t i = y + int64_t(m.row), j = int64_t(m.column);
    if (m.kind == ROLL) {
        i = ((i % h) + h) % h, j = ((j % w) + w) % w;
        from.read(i, j, w - j, to);
        from.read(i, 0, j, to + w - j);
        return;
    }
    const int64_t first = std::min(top_w, std::max<int64_t>(0, -j)), behind = std::max(first, std::min(top_w, w - j));
    if (i < 0 || i >= h || first >= behind) {
        std::fill(to, to + top_w, outside);
        return;
    }
    std::fill(to, to + first, outside);
    from.read(i, first + j, behind - first, to + first);
    std::fill(to + behind, to + top_w, outside);
}

inline void map_row(const Move& m, const Picture& from, int64_t y, Four outside, Four* to) {
    const Way way(m, y);
    const int64_t stride = m.w() + 3;
    std::fill(to, to + way.first, outside);
    way.each(stride, [&](int64_t x, int64_t place, float d, float r) {
        const Four* p = from.pixels + place;
        const Four down = broadcast(d), right = broadcast(r);
        const Four above = p[0] + right * (p[1] - p[0]), below = p[stride] + right * (p[stride + 1] - p[stride]);
        to[x] = above + down * (below - above);
    });
    std::fill(to + way.behind, to + m.top_w(), outside);
}

// Calls body(row, room for one) for all rows.
template <class Body>
void by_rows(int64_t rows, int64_t width, int64_t threads, const Body& body) {
    parallel(up(rows, ROWS), threads, [&](int64_t piece) {
        std::unique_ptr<Four[]> room(new Four[width]);
        for (int64_t i = piece * ROWS; i < std::min(rows, (piece + 1) * ROWS); ++i) body(i, room.get());
    });
}

// One move, to planes or to pixels framed in the colour `next`.
inline void forward(const Move& m, const Picture& from, const Picture& to, Four outside, Four next, const float* noise, float weight,
                    int64_t threads) {
    const int64_t h = m.top_h(), w = m.top_w();
    const auto make = [&](int64_t i, Four* line) { m.is_map() ? map_row(m, from, i, outside, line) : window_row(m, from, i, outside, line); };
    if (to.planes) {
        by_rows(h, w, threads, [&](int64_t i, Four* line) {
            make(i, line);
            to.write(i, line, noise, weight);
        });
        return;
    }
    by_rows(h + 3, 1, threads, [&](int64_t k, Four*) {
        Four* line = to.row(k - 1);
        if (k == 0 || k > h) {
            std::fill(line - 1, line + w + 2, next);
            return;
        }
        line[-1] = line[w] = line[w + 1] = next;
        make(k - 1, line);
    });
}

// Adds the gradient at a map's top to sums in the frame of its bottom, one picture of sums for each strip.
inline void map_back(const Move& m, const Picture& gradient, Picture& sums, int64_t threads) {
    const int64_t stride = m.w() + 3, h = m.top_h(), w = m.top_w();
    parallel(STRIPS, threads, [&](int64_t strip) {
        std::unique_ptr<Four[]> line(new Four[w]);
        Four* sum = sums.pixels + strip * sums.part;
        const int64_t begin = strip * h / STRIPS, end = (strip + 1) * h / STRIPS;
        int64_t top = m.h() + 3, behind = 0;
        for (int64_t i = begin; i < end; ++i) {
            const Way way(m, i);
            if (way.first == way.behind) continue;
            const int64_t one = (way.row + way.first * way.row_x) >> 32, other = (way.row + (way.behind - 1) * way.row_x) >> 32;
            top = std::min(top, std::min(one, other)), behind = std::max(behind, std::max(one, other) + 2);
        }
        sums.top[strip] = top, sums.behind[strip] = behind;
        if (top < behind) std::memset(static_cast<void*>(sum + top * stride), 0, (behind - top) * stride * sizeof(Four));
        for (int64_t i = begin; i < end; ++i) {
            gradient.read(i, 0, w, line.get());
            Way(m, i).each(stride, [&](int64_t x, int64_t place, float d, float r) {
                Four* to = sum + place;
                const Four pixel = line[x], below = pixel * broadcast(d), above = pixel - below, right = broadcast(r);
                const Four above_right = above * right, below_right = below * right;
                to[0] += above - above_right;
                to[1] += above_right;
                to[stride] += below - below_right;
                to[stride + 1] += below_right;
            });
        }
    });
}

// The move that takes a gradient at a window's top back to its bottom.
inline Move turned(const Move& m) {
    return {m.kind, m.top_height, m.top_width, m.height, m.width, -m.row, 0, 0, -m.column, 0, 0};
}

}  // namespace dreamopt::moves

// y, the top of the last of `count` moves, plus `weight` times noise (or null), from x, the bottom of the first; planes of `channels` channels.
// `outside` (count, channels) lies beyond each move's bottom.
DREAMOPT_EXPORT int64_t dreamopt_moves(int64_t channels, int64_t count, const double* moves, const float* outside, const float* noise,
                                       double weight, const float* x, float* y, int64_t threads) {
    return dreamopt::guarded([&] {
        using namespace dreamopt::moves;
        const Move* all = reinterpret_cast<const Move*>(moves);
        const int64_t bottom = all[0].h() * all[0].w(), top = all[count - 1].top_h() * all[count - 1].top_w();
        int64_t room = 0;
        for (int64_t k = 0; k < count; ++k) room = std::max(room, all[k].framed());
        std::unique_ptr<Four[]> rooms[2];
        for (auto& one : rooms) one.reset(new Four[room]);
        for (int64_t first = 0; first < channels; first += 4) {
            const int64_t here = std::min<int64_t>(4, channels - first);
            const auto colour = [&](int64_t k) {
                Four one{};
                for (int64_t c = 0; c < here; ++c) one[c] = outside[k * channels + first + c];
                return one;
            };
            Picture from;
            from.planes = const_cast<float*>(x) + first * bottom, from.plane = bottom, from.count = here, from.width = all[0].w();
            if (all[0].is_map()) {
                const Move as_it_is{WINDOW, all[0].height, all[0].width, all[0].height, all[0].width, 0, 0, 0, 0, 0, 0};
                Picture to;
                to.pixels = rooms[1].get(), to.width = from.width;
                forward(as_it_is, from, to, Four{}, colour(0), nullptr, 0, threads);
                from = to;
            }
            for (int64_t k = 0; k < count; ++k) {
                Picture to;
                to.width = all[k].top_w();
                if (k + 1 < count)
                    to.pixels = rooms[k % 2].get();
                else
                    to.planes = y + first * top, to.plane = top, to.count = here;
                forward(all[k], from, to, colour(k), k + 1 < count ? colour(k + 1) : Four{}, noise ? noise + first * top : nullptr,
                        float(weight), threads);
                from = to;
            }
        }
    });
}

// The gradient at x of one at y.
DREAMOPT_EXPORT int64_t dreamopt_moves_back(int64_t channels, int64_t count, const double* moves, const float* gradient, float* x_gradient,
                                            int64_t threads) {
    return dreamopt::guarded([&] {
        using namespace dreamopt::moves;
        const Move* all = reinterpret_cast<const Move*>(moves);
        const int64_t bottom = all[0].h() * all[0].w(), top = all[count - 1].top_h() * all[count - 1].top_w();
        int64_t room = 0;
        for (int64_t k = 0; k < count; ++k) room = std::max(room, all[k].framed());
        std::unique_ptr<Four[]> rooms[2];
        for (auto& one : rooms) one.reset(new Four[STRIPS * room]);
        for (int64_t first = 0; first < channels; first += 4) {
            const int64_t here = std::min<int64_t>(4, channels - first);
            Picture from, end;
            from.planes = const_cast<float*>(gradient) + first * top, from.plane = top, from.count = here, from.width = all[count - 1].top_w();
            end.planes = x_gradient + first * bottom, end.plane = bottom, end.count = here, end.width = all[0].w();
            for (int64_t k = count - 1; k >= 0; --k) {
                const Move& m = all[k];
                Picture to;
                to.width = m.w(), to.pixels = rooms[k % 2].get();
                if (m.is_map()) {
                    to.parts = STRIPS, to.part = m.framed();
                    map_back(m, from, to, threads);
                } else {
                    forward(turned(m), from, k == 0 ? end : to, Four{}, Four{}, nullptr, 0, threads);
                }
                from = to;
            }
            if (all[0].is_map()) {
                const Move as_it_is{WINDOW, all[0].height, all[0].width, all[0].height, all[0].width, 0, 0, 0, 0, 0, 0};
                forward(as_it_is, from, end, Four{}, Four{}, nullptr, 0, threads);
            }
        }
    });
}

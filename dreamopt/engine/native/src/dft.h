// The discrete Fourier transform of real planes and its inverse, by products with matrices of cosines and sines, each of half the length: what is
// even and what is odd about the origin is transformed by itself. For sides with large prime factors that takes a fraction of the time of a
// fast transform.
//
// Between the two axes a row is its real parts and then its imaginary parts, `padded` of each.
#pragma once

#include "gemm.h"
#include "scratch.h"

namespace dreamopt::dft {

using gemm::multiply_for;
using gemm::PIXELS;
using gemm::STRIDE;
using gemm::WIDE;

constexpr int64_t LONGEST = 2 * gemm::DEPTH - 1;  // half of it is one row of a product
constexpr int64_t PANELS = up(gemm::DEPTH, WIDE);  // of the longest side

// `cosines` and `sines` of one side: rows of STRIDE floats for the columns' transform, panels of WIDE for the rows'.
struct Side {
    int64_t length;
    const float *cosines, *sines;
    int64_t half() const { return length / 2 + 1; }       // even parts
    int64_t odd() const { return (length - 1) / 2; }      // odd parts, from place 1 on
    int64_t panels() const { return up(half(), WIDE); }
    int64_t padded() const { return panels() * WIDE; }
};

// Which lanes of two vectors, one behind the other, stand at even and at odd places, and where theirs go when the two alternate.
struct Lanes {
    Whole even, odd, first, second;
    Lanes() {
        for (int j = 0; j < LANES; ++j) {
            even[j] = 2 * j, odd[j] = 2 * j + 1;
            first[j] = j / 2 + j % 2 * LANES, second[j] = first[j] + LANES / 2;
        }
    }
};

// Weighted real and imaginary parts of `count` pairs, up to WIDE; the others are 0.
inline void unpair(const float* pairs, const float* weights, int64_t count, float* real, float* imaginary) {
    if (count == WIDE) {
        const Lanes lanes;
        for (int j = 0; j < WIDE; j += LANES) {
            const Vector a = load(pairs + 2 * j), b = load(pairs + 2 * j + LANES), weight = load(weights + j);
            store(real + j, __builtin_shuffle(a, b, lanes.even) * weight);
            store(imaginary + j, __builtin_shuffle(a, b, lanes.odd) * weight);
        }
        return;
    }
    for (int64_t j = 0; j < count; ++j) real[j] = pairs[2 * j] * weights[j], imaginary[j] = pairs[2 * j + 1] * weights[j];
    for (int64_t j = count; j < WIDE; ++j) real[j] = imaginary[j] = 0;
}

// The way back: pairs of weighted real and imaginary parts.
inline void pair(const float* real, const float* imaginary, const float* weights, int64_t count, float* pairs) {
    if (count == WIDE) {
        const Lanes lanes;
        for (int j = 0; j < WIDE; j += LANES) {
            const Vector weight = load(weights + j), a = load(real + j) * weight, b = load(imaginary + j) * weight;
            store(pairs + 2 * j, __builtin_shuffle(a, b, lanes.first));
            store(pairs + 2 * j + LANES, __builtin_shuffle(a, b, lanes.second));
        }
        return;
    }
    for (int64_t j = 0; j < count; ++j) pairs[2 * j] = real[j] * weights[j], pairs[2 * j + 1] = imaginary[j] * weights[j];
}

inline void product(const float* rows, int64_t count, int64_t depth, const float* panel, float* to, int64_t stride) {
    float* places[PIXELS];
    for (int64_t m = 0; m < count; ++m) places[m] = to + m * stride;
    const gemm::Ends ends{places, nullptr, nullptr, WIDE, true, true, false, false};
    multiply_for<PIXELS>(int(count), true)(rows, 1, 0, depth, panel, ends);
}

// Calls body(first row, how many) for all rows, as many at a time as a product takes.
template <class Body>
void by_rows(int64_t rows, int64_t threads, const Body& body) {
    parallel(up(rows, PIXELS), threads, [&](int64_t piece) { body(piece * PIXELS, std::min<int64_t>(PIXELS, rows - piece * PIXELS)); });
}

// Transforms real rows; between[row] is (real parts, imaginary parts).
inline void rows_forward(const float* planes, int64_t rows, const Side& side, float* between, int64_t threads) {
    const int64_t n = side.length, odd = side.odd(), half = side.half(), padded = side.padded();
    by_rows(rows, threads, [&](int64_t first, int64_t count) {
        alignas(64) float even_part[PIXELS * STRIDE], odd_part[PIXELS * STRIDE];
        for (int64_t m = 0; m < count; ++m) {
            const float* from = planes + (first + m) * n;
            float *e = even_part + m * STRIDE, *o = odd_part + m * STRIDE;
            e[0] = from[0];
            for (int64_t j = 1; j <= odd; ++j) {
                e[j] = from[j] + from[n - j];
                o[j - 1] = from[n - j] - from[j];
            }
            if (n % 2 == 0) e[n / 2] = from[n / 2];
        }
        for (int64_t p = 0; p < side.panels(); ++p) {
            float* to = between + first * 2 * padded + p * WIDE;
            product(even_part, count, half, side.cosines + p * half * WIDE, to, 2 * padded);
            product(odd_part, count, odd, side.sines + p * odd * WIDE, to + padded, 2 * padded);
        }
    });
}

// The inverse, of half the spectrum of real rows.
inline void rows_inverse(const float* between, int64_t rows, const Side& side, float* planes, int64_t threads) {
    const int64_t n = side.length, odd = side.odd(), half = side.half(), padded = side.padded();
    by_rows(rows, threads, [&](int64_t first, int64_t count) {
        alignas(64) float even_part[PIXELS * STRIDE], odd_part[PIXELS * STRIDE];
        alignas(64) float sums[PIXELS * PANELS * WIDE], differences[PIXELS * PANELS * WIDE];
        for (int64_t m = 0; m < count; ++m) {
            const float* from = between + (first + m) * 2 * padded;
            float *e = even_part + m * STRIDE, *o = odd_part + m * STRIDE;
            e[0] = from[0];
            for (int64_t j = 1; j <= odd; ++j) {
                e[j] = 2 * from[j];
                o[j - 1] = 2 * from[padded + j];
            }
            if (n % 2 == 0) e[n / 2] = from[n / 2];
        }
        for (int64_t p = 0; p < side.panels(); ++p) {
            product(even_part, count, half, side.cosines + p * half * WIDE, sums + p * WIDE, padded);
            product(odd_part, count, odd, side.sines + p * odd * WIDE, differences + p * WIDE, padded);
        }
        for (int64_t m = 0; m < count; ++m) {
            const float *sum = sums + m * padded, *difference = differences + m * padded;
            float* to = planes + (first + m) * n;
            to[0] = sum[0];
            for (int64_t j = 1; j <= odd; ++j) {
                to[j] = sum[j] - difference[j];
                to[n - j] = sum[j] + difference[j];
            }
            if (n % 2 == 0) to[n / 2] = sum[n / 2];
        }
    });
}

// Transforms complex columns, WIDE of them at a time. read(row, real, imaginary) fetches a row of them, write(row, real, imaginary) takes a
// row of the result; `sign` is that of the imaginary unit in the exponent.
template <class Read, class Write>
void columns(const Side& side, float sign, float* work, const Read& read, const Write& write) {
    const int64_t n = side.length, odd = side.odd(), half = side.half();
    float *even_real = work, *even_imaginary = even_real + half * WIDE, *odd_real = even_imaginary + half * WIDE;
    float* odd_imaginary = odd_real + odd * WIDE;
    alignas(64) float real[WIDE], imaginary[WIDE], tile[4][PIXELS * WIDE];
    read(0, even_real, even_imaginary);
    if (n % 2 == 0) read(n / 2, even_real + n / 2 * WIDE, even_imaginary + n / 2 * WIDE);
    for (int64_t k = 1; k <= odd; ++k) {
        float *er = even_real + k * WIDE, *ei = even_imaginary + k * WIDE, *dr = odd_real + (k - 1) * WIDE, *di = odd_imaginary + (k - 1) * WIDE;
        read(k, er, ei);
        read(n - k, real, imaginary);
        for (int j = 0; j < WIDE; ++j) {
            dr[j] = er[j] - real[j], er[j] += real[j];
            di[j] = ei[j] - imaginary[j], ei[j] += imaginary[j];
        }
    }
    for (int64_t first = 0; first < half; first += PIXELS) {
        const int64_t count = std::min<int64_t>(PIXELS, half - first);
        product(side.cosines + first * STRIDE, count, half, even_real, tile[0], WIDE);
        product(side.cosines + first * STRIDE, count, half, even_imaginary, tile[1], WIDE);
        product(side.sines + first * STRIDE, count, odd, odd_real, tile[2], WIDE);
        product(side.sines + first * STRIDE, count, odd, odd_imaginary, tile[3], WIDE);
        for (int64_t m = 0; m < count; ++m) {
            const float *ar = tile[0] + m * WIDE, *ai = tile[1] + m * WIDE, *br = tile[2] + m * WIDE, *bi = tile[3] + m * WIDE;
            for (int j = 0; j < WIDE; ++j) {
                real[j] = ar[j] - sign * bi[j];
                imaginary[j] = ai[j] + sign * br[j];
            }
            const int64_t k = first + m;
            write(k, real, imaginary);
            if (k == 0 || 2 * k == n) continue;
            for (int j = 0; j < WIDE; ++j) {
                real[j] = ar[j] + sign * bi[j];
                imaginary[j] = ai[j] - sign * br[j];
            }
            write(n - k, real, imaginary);
        }
    }
}

// Calls body(plane, first column, how many, room to work in) for all columns of half the spectra.
template <class Body>
void by_columns(int64_t planes, const Side& down, const Side& across, int64_t threads, const Body& body) {
    const int64_t panels = across.panels(), room = 2 * WIDE * (down.half() + down.odd());
    parallel(planes * panels, threads, [&](int64_t piece) {
        static thread_local Scratch scratch;
        const int64_t first = piece % panels * WIDE;
        body(piece / panels, first, std::min<int64_t>(WIDE, across.half() - first), scratch.floats(room));
    });
}

}  // namespace dreamopt::dft

// Half the spectra of real planes (planes, height, width), times `weights` (height, width / 2 + 1): pairs of real and imaginary part. The
// tables are divided by the root of their side; `between` has room for planes * height rows.
DREAMOPT_EXPORT int64_t dreamopt_dft(const float* values, int64_t planes, int64_t height, int64_t width, const float* down_cosines,
                                     const float* down_sines, const float* cosines, const float* sines, const float* weights,
                                     float* between, float* pairs, int64_t threads) {
    return dreamopt::guarded([&] {
        using namespace dreamopt::dft;
        const Side down{height, down_cosines, down_sines}, across{width, cosines, sines};
        const int64_t padded = across.padded(), half = across.half();
        rows_forward(values, planes * height, across, between, threads);
        by_columns(planes, down, across, threads, [&](int64_t plane, int64_t first, int64_t count, float* work) {
            const auto read = [&](int64_t k, float* real, float* imaginary) {
                const float* from = between + (plane * height + k) * 2 * padded + first;
                std::memcpy(real, from, WIDE * sizeof(float));
                std::memcpy(imaginary, from + padded, WIDE * sizeof(float));
            };
            const auto write = [&](int64_t k, const float* real, const float* imaginary) {
                pair(real, imaginary, weights + k * half + first, count, pairs + ((plane * height + k) * half + first) * 2);
            };
            columns(down, -1.0f, work, read, write);
        });
    });
}

// The real planes of half the spectra `pairs` times `weights`.
DREAMOPT_EXPORT int64_t dreamopt_dft_inverse(const float* pairs, int64_t planes, int64_t height, int64_t width, const float* down_cosines,
                                             const float* down_sines, const float* cosines, const float* sines, const float* weights,
                                             float* between, float* values, int64_t threads) {
    return dreamopt::guarded([&] {
        using namespace dreamopt::dft;
        const Side down{height, down_cosines, down_sines}, across{width, cosines, sines};
        const int64_t padded = across.padded(), half = across.half();
        by_columns(planes, down, across, threads, [&](int64_t plane, int64_t first, int64_t count, float* work) {
            const auto read = [&](int64_t k, float* real, float* imaginary) {
                unpair(pairs + ((plane * height + k) * half + first) * 2, weights + k * half + first, count, real, imaginary);
            };
            const auto write = [&](int64_t k, const float* real, const float* imaginary) {
                float* to = between + (plane * height + k) * 2 * padded + first;
                std::memcpy(to, real, WIDE * sizeof(float));
                std::memcpy(to + padded, imaginary, WIDE * sizeof(float));
            };
            columns(down, 1.0f, work, read, write);
        });
        rows_inverse(between, planes * height, across, values, threads);
    });
}

// numpy's random numbers from its Philox4x64-10 generator, number for number, on several threads.
//
// Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011; Marsaglia and Tsang, "The ziggurat method", 2000, as numpy
// lays it out: 256 layers, 8 bits for the layer, one for the sign, 52 for the place.
#pragma once

#include <algorithm>
#include <cmath>
#include <memory>
#include <vector>

#include "common.h"

namespace dreamopt::random {

typedef unsigned __int128 Wide;

// The four numbers of the block with this counter.
inline void block(uint64_t counter, uint64_t key0, uint64_t key1, uint64_t* out) {
    uint64_t x0 = counter, x1 = 0, x2 = 0, x3 = 0;
    for (int round = 0; round < 10; ++round) {
        const Wide a = Wide(0xD2E7470EE14C6C93ULL) * x0, b = Wide(0xCA5A826395121157ULL) * x2;
        x0 = uint64_t(b >> 64) ^ x1 ^ key0;
        x1 = uint64_t(b);
        x2 = uint64_t(a >> 64) ^ x3 ^ key1;
        x3 = uint64_t(a);
        key0 += 0x9E3779B97F4A7C15ULL;
        key1 += 0xBB67AE8584CAA73BULL;
    }
    out[0] = x0, out[1] = x1, out[2] = x2, out[3] = x3;
}

// The layers under exp(-x^2 / 2), all of one area; the lowest, number 0, has the tail beyond R.
struct Layers {
    static constexpr double R = 3.6541528853610088, UNIT = 4503599627370496.0;  // 2^52
    double width[256], height[256];
    uint64_t inside[256];

    Layers() {
        // In more digits than are kept: each layer's error goes on into the next.
        typedef long double Long;
        Long outer = R, h = std::exp(Long(-0.5) * R * R);
        const Long area = R * h + std::sqrt(std::acos(Long(-1)) / 2) * std::erfc(R / std::sqrt(Long(2)));
        width[255] = double(R / UNIT), height[255] = double(h), inside[0] = uint64_t(R * h / area * UNIT), inside[1] = 0;
        width[0] = double(area / h / UNIT), height[0] = 1.0;
        for (int i = 254; i >= 1; --i) {
            const Long inner = std::sqrt(-2 * std::log(area / outer + h));
            inside[i + 1] = uint64_t(inner / outer * UNIT);
            outer = inner, h = std::exp(Long(-0.5) * inner * inner);
            width[i] = double(inner / UNIT), height[i] = double(h);
        }
    }
};

inline double part(uint64_t number) { return double(number >> 11) * (1.0 / 9007199254740992.0); }

// A whole number below 2^52 as a double, by its bits: AVX2 has no instruction for it.
inline double exact(uint64_t whole) {
    double number;
    whole |= 0x4330000000000000ULL;  // the digits of 2^52
    std::memcpy(&number, &whole, sizeof number);
    return number - Layers::UNIT;
}

constexpr int64_t BLOCK = 4096;  // numbers that a thread makes at a time

// The generator's numbers one by one: those of one piece, and beyond it what has to be computed.
struct Source {
    const uint64_t* piece;
    int64_t first;
    uint64_t key0, key1;
    uint64_t at(int64_t place) const {
        if (place - first < BLOCK) return piece[place - first];
        uint64_t four[4];
        block(uint64_t(place / 4) + 1, key0, key1, four);
        return four[place % 4];
    }
};

// A value from the numbers at `place` and behind it, the first of which lies outside of its layer; moves `place` behind the last one read.
inline double refused(const Layers& layers, const Source& source, int64_t& place) {
    for (;;) {
        const uint64_t number = source.at(place++);
        const int layer = number & 255;
        const uint64_t where = (number >> 9) & 0x000fffffffffffffULL;
        const bool negative = (number >> 8) & 1;
        const double size = double(where) * layers.width[layer], x = negative ? -size : size;
        if (where < layers.inside[layer]) return x;
        if (layer == 0) {
            for (;;) {
                const double far = -std::log1p(-part(source.at(place++))) * (1.0 / Layers::R);
                const double y = -std::log1p(-part(source.at(place++)));
                if (y + y > far * far) return ((where >> 8) & 1) ? -(Layers::R + far) : Layers::R + far;
            }
        }
        if ((layers.height[layer - 1] - layers.height[layer]) * part(source.at(place++)) + layers.height[layer] < std::exp(-0.5 * x * x))
            return x;
    }
}

// A value that took more than one number: the first of them, the first behind them, and the value.
struct Longer {
    int64_t place, next;
    float value;
};

}  // namespace dreamopt::random

// Fills `values` with `count` normal numbers.
DREAMOPT_EXPORT int64_t dreamopt_normal(uint64_t key0, uint64_t key1, int64_t count, float* values, int64_t threads) {
    return dreamopt::guarded([&] {
        using namespace dreamopt::random;
        static const Layers layers;
        // Each number as if a value began there; about 1.2 % of values take more. Then those are left out that were read as a part of
        // another.
        const int64_t pieces = (count + count / 64 + BLOCK - 1) / BLOCK;
        std::unique_ptr<float[]> singles(new float[pieces * BLOCK]);
        std::vector<std::vector<Longer>> longer(pieces);
        dreamopt::parallel(pieces, threads, [&](int64_t piece) {
            alignas(64) uint64_t numbers[BLOCK];
            alignas(8) uint8_t refuses[BLOCK];
            uint16_t outside[BLOCK];
            const int64_t first = piece * BLOCK;
            float* single = singles.get() + first;
            for (int64_t i = 0; i < BLOCK; i += 4) block(uint64_t(first + i) / 4 + 1, key0, key1, numbers + i);
            for (int64_t i = 0; i < BLOCK; ++i) {
                const uint64_t where = (numbers[i] >> 9) & 0x000fffffffffffffULL;
                const int64_t layer = int64_t(numbers[i] & 255);
                const float size = float(exact(where) * layers.width[layer]);
                uint32_t bits;
                std::memcpy(&bits, &size, sizeof bits);
                bits |= uint32_t(numbers[i] >> 8) << 31;
                std::memcpy(single + i, &bits, sizeof bits);
                refuses[i] = int64_t(where) >= int64_t(layers.inside[layer]);
            }
            int64_t found = 0;
            for (int64_t i = 0; i < BLOCK; i += 8) {  // few are: about one in eighty
                uint64_t eight;
                std::memcpy(&eight, refuses + i, sizeof eight);
                if (eight)
                    for (int64_t k = i; k < i + 8; ++k) outside[found] = uint16_t(k), found += refuses[k];
            }
            const Source source{numbers, first, key0, key1};
            longer[piece].resize(found);
            for (int64_t k = 0; k < found; ++k) {
                int64_t next = first + outside[k];
                const float value = float(refused(layers, source, next));
                longer[piece][k] = {first + outside[k], next, value};
            }
        });
        int64_t place = 0, done = 0;  // the next number to read, the next value to write
        const auto copy = [&](int64_t end) {
            const int64_t run = std::max<int64_t>(0, std::min(end - place, count - done));
            std::memcpy(values + done, singles.get() + place, run * sizeof(float));
            done += run, place += run;
        };
        for (int64_t piece = 0; piece < pieces; ++piece) {
            for (const Longer& one : longer[piece]) {
                if (one.place < place) continue;
                copy(one.place);
                if (done < count) values[done++] = one.value, place = one.next;
            }
            copy((piece + 1) * BLOCK);
        }
        const Source rest{nullptr, -BLOCK, key0, key1};
        while (done < count) values[done++] = float(refused(layers, rest, place));
    });
}

// Fills `values` with `count` numbers: from 0 to below 1 times `length` plus `low`.
DREAMOPT_EXPORT int64_t dreamopt_uniform(uint64_t key0, uint64_t key1, int64_t count, double low, double length, float* values,
                                         int64_t threads) {
    return dreamopt::guarded([&] {
        using namespace dreamopt::random;
        dreamopt::parallel((count + BLOCK - 1) / BLOCK, threads, [&](int64_t piece) {
            uint64_t four[4];
            for (int64_t i = piece * BLOCK; i < std::min(count, (piece + 1) * BLOCK); ++i) {
                if (i % 4 == 0) block(uint64_t(i / 4) + 1, key0, key1, four);
                values[i] = float(low + length * part(four[i % 4]));
            }
        });
    });
}

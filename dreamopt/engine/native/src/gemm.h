// Convolution as a product of matrices, with images channels-last: rows of A are the windows of some pixels, copied side by side as they
// are needed; B are the weights, in panels. Rows come from one or several sources, results go to one or several targets, each with
// strides of its own, so that slices of larger tensors are read and written in place.
#pragma once

#include <algorithm>

#include "common.h"

namespace dreamopt {
namespace gemm {

constexpr int PIXELS = LANES == 16 ? 14 : 6;  // times 2 vectors of sums, which the registers hold: 28 of 32, 12 of 16
constexpr int WIDE = 2 * LANES;               // channels in a panel; the last panel may have LANES
constexpr int DEPTH = 384;                    // floats of a row at a time: PIXELS of them stay in the first cache
constexpr int STRIDE = DEPTH + LANES;         // from row to row: a power of two would put all rows into the same places of the cache
constexpr int TILES = 4;                      // of PIXELS each, that use a panel one after the other
constexpr int AHEAD = 16;                     // weights are asked of the memory so many rows before their turn
constexpr int PIXELS_AHEAD = 6;
constexpr int SOURCES = 8, TARGETS = 8;

struct Place {
    float* values;
    int64_t image, row, pixel;  // strides, in floats
    float* at(int64_t n, int64_t y, int64_t x) const { return values + n * image + y * row + x * pixel; }
};

struct Source {
    Place x, gate;        // where gate is <= 0, x counts as 0
    const float* factor;  // x counts as max(factor x + shift, 0), by channel
    const float* shift;
    int64_t channels;  // of one group
    bool dense;        // a row of a window's taps is one piece of memory
};

struct Target {
    Place y, gate;  // where gate is <= 0, the result is 0
    const float* bias;
    const float* weights;
    int64_t channels;  // of one group
    bool relu, add;
};

struct Job {
    int64_t samples, height, width, out_height, out_width, kernel[2], stride[2], pad[2], dilation[2], groups, threads;
    int sources, targets;
    Source source[SOURCES];
    Target target[TARGETS];
    int64_t depth() const {
        int64_t sum = 0;
        for (int s = 0; s < sources; ++s) sum += source[s].channels;
        return sum * kernel[0] * kernel[1];
    }
};

// What becomes of the sums of one tile and panel.
struct Ends {
    float* const* to;          // by pixel
    const float* const* gate;  // by pixel; or null
    const float* bias;         // or null
    int count;                 // channels
    bool first, last, add, relu;
};

// The product of M rows, S floats apart, in `pieces` pieces of `depth` floats, `line` apart, with the weights of one panel.
template <int M, int NV, int S>
void multiply(const float* a, int64_t pieces, int64_t line, int64_t depth, const float* b, const Ends& ends) {
    Vector sums[M][NV];
    const bool full = ends.count == NV * LANES;
    const auto part = [&](int v) { return std::min(LANES, ends.count - v * LANES); };
    const auto read = [&](const float* from, int v) { return full ? load(from + v * LANES) : load_some(from + v * LANES, part(v)); };
#pragma GCC unroll 16
    for (int m = 0; m < M; ++m)
#pragma GCC unroll 2
        for (int v = 0; v < NV; ++v) {
            sums[m][v] = Vector{};
            __builtin_prefetch(ends.to[m] + v * LANES, 1);
        }
    for (int64_t piece = 0; piece < pieces; ++piece, a += line - depth)
        for (int64_t k = 0; k < depth; ++k) {
            Vector w[NV];
#pragma GCC unroll 2
            for (int v = 0; v < NV; ++v) w[v] = load(b + v * LANES);
#pragma GCC unroll 16
            for (int m = 0; m < M; ++m) {
                const Vector x = all(a[m * S]);
#pragma GCC unroll 2
                for (int v = 0; v < NV; ++v) sums[m][v] += x * w[v];
            }
#pragma GCC unroll 2
            for (int v = 0; v < NV; ++v) __builtin_prefetch(b + (AHEAD * NV + v) * LANES);
            ++a;
            b += NV * LANES;
        }
    const bool adds = ends.add || !ends.first;
    Vector bias[NV];
#pragma GCC unroll 2
    for (int v = 0; v < NV; ++v) bias[v] = ends.bias && ends.last ? read(ends.bias, v) : Vector{};
#pragma GCC unroll 16
    for (int m = 0; m < M; ++m)
#pragma GCC unroll 2
        for (int v = 0; v < NV; ++v) {
            Vector y = sums[m][v];
            if (adds) y += read(ends.to[m], v);
            if (ends.last) {
                y += bias[v];
                if (ends.relu) y = y < Vector{} ? Vector{} : y;  // NaN stays
                if (ends.gate) y = read(ends.gate[m], v) <= Vector{} ? Vector{} : y;
            }
            if (full)
                store(ends.to[m] + v * LANES, y);
            else
                store_some(ends.to[m] + v * LANES, y, part(v));
        }
}

typedef void (*Multiply)(const float*, int64_t, int64_t, int64_t, const float*, const Ends&);

template <int M, int S = STRIDE>
Multiply multiply_for(int pixels, bool wide) {
    if constexpr (M == 0)
        return nullptr;
    else
        return pixels == M ? (wide ? multiply<M, 2, S> : multiply<M, 1, S>) : multiply_for<M - 1, S>(pixels, wide);
}

// Copies `count` floats as the source wants them counted; may write up to LANES - 1 floats more. What lies `ahead` is asked of the memory.
inline void copy(float* to, const float* from, const float* gate, const float* factor, const float* shift, int64_t count, int64_t ahead) {
    if (!gate && !factor) {
        int64_t c = 0;
        for (; c + LANES <= count; c += LANES) {
            __builtin_prefetch(from + c + ahead);
            store(to + c, load(from + c));
        }
        if (c < count) store(to + c, load_some(from + c, int(count - c)));
        return;
    }
    for (int64_t c = 0; c < count; c += LANES) {
        __builtin_prefetch(from + c + ahead);
        const int part = int(std::min<int64_t>(LANES, count - c));
        const auto read = [&](const float* p) { return part == LANES ? load(p + c) : load_some(p + c, part); };
        Vector x = read(from);
        if (factor) {
            x = x * read(factor) + read(shift);
            x = x < Vector{} ? Vector{} : x;
        }
        if (gate) x = read(gate) <= Vector{} ? Vector{} : x;
        store(to + c, x);
    }
}

inline void zero(float* to, int64_t count) { std::memset(to, 0, count * sizeof(float)); }

// Writes the values begin .. end - 1 of one window of a group, in the order source, tap, channel.
inline void window(const Job& job, int64_t group, int64_t n, int64_t i, int64_t j, int64_t begin, int64_t end, float* to) {
    const int64_t y0 = i * job.stride[0] - job.pad[0], x0 = j * job.stride[1] - job.pad[1];
    for (int s = 0; s < job.sources; ++s) {
        const Source& source = job.source[s];
        const int64_t length = source.dense ? source.channels * job.kernel[1] : source.channels;  // of a piece, which lies in one place
        const int64_t across = source.dense ? 1 : job.kernel[1], size = length * across * job.kernel[0];
        int64_t left = std::min(end, size) - begin;
        if (left > 0) {
            const int64_t ahead = PIXELS_AHEAD * job.stride[1] * source.x.pixel;
            int64_t piece = begin / length, from = begin - piece * length;
            int64_t ky = piece / across, kx = piece - ky * across;
            while (left > 0) {
                const int64_t count = std::min(length - from, left), y = y0 + ky * job.dilation[0], x = x0 + kx * job.dilation[1];
                const bool inside = y >= 0 && y < job.height;
                if (source.dense) {
                    const int64_t till = from + count;
                    int64_t low = till, high = till;  // what of the piece lies in the image
                    if (inside) {
                        low = std::min(std::max(from, -x0 * source.channels), till);
                        high = std::max(low, std::min(till, (job.width - x0) * source.channels));
                    }
                    if (low > from) zero(to, low - from);
                    if (high > low) {
                        const float* gate = source.gate.values ? source.gate.at(n, y, x0) + low : nullptr;
                        copy(to + (low - from), source.x.at(n, y, x0) + low, gate, nullptr, nullptr, high - low, ahead);
                    }
                    if (till > high) zero(to + (high - from), till - high);
                } else if (inside && x >= 0 && x < job.width) {
                    const int64_t channel = group * source.channels + from;
                    copy(to, source.x.at(n, y, x) + channel, source.gate.values ? source.gate.at(n, y, x) + channel : nullptr,
                         source.factor ? source.factor + channel : nullptr, source.factor ? source.shift + channel : nullptr, count, ahead);
                } else {
                    zero(to, count);
                }
                to += count, left -= count, from = 0;
                if (++kx == across) kx = 0, ++ky;
            }
        }
        begin = std::max<int64_t>(begin - size, 0), end -= size;
        if (end <= 0) return;
    }
}

struct Panel {
    int target;
    int64_t channel;  // the first, in its group
};

// Some tiles of pixels, by some panels.
inline void block(const Job& job, int64_t group, int64_t first_tile, int64_t tiles, int64_t per_tile, const Panel* panels, int64_t count) {
    alignas(64) float rows[TILES * PIXELS * STRIDE];
    const int64_t pixels = job.samples * job.out_height * job.out_width, depth = job.depth();
    const int64_t steps = (depth + DEPTH - 1) / DEPTH;
    const int64_t step = std::min<int64_t>(DEPTH, ((depth + steps - 1) / steps + LANES - 1) / LANES * LANES);
    for (int64_t begin = 0; begin < depth; begin += step) {
        const int64_t end = std::min(depth, begin + step);
        int64_t places[TILES * PIXELS][3], filled[TILES];
        for (int64_t t = 0; t < tiles; ++t) {
            const int64_t from = (first_tile + t) * per_tile;
            filled[t] = std::min(per_tile, pixels - from);
            int64_t j = from % job.out_width, i = from / job.out_width % job.out_height, n = from / job.out_width / job.out_height;
            for (int64_t m = 0; m < filled[t]; ++m) {
                window(job, group, n, i, j, begin, end, rows + (t * PIXELS + m) * STRIDE);
                int64_t* place = places[t * PIXELS + m];
                place[0] = n, place[1] = i, place[2] = j;
                if (++j == job.out_width) {
                    j = 0;
                    if (++i == job.out_height) i = 0, ++n;
                }
            }
        }
        for (int64_t p = 0; p < count; ++p) {
            const Target& target = job.target[panels[p].target];
            const int64_t left = target.channels - panels[p].channel, channel = group * target.channels + panels[p].channel;
            const bool wide = left > LANES;
            const int64_t whole = (target.channels + LANES - 1) / LANES * LANES;
            const float* weights = target.weights + group * depth * whole + panels[p].channel * depth + begin * (wide ? WIDE : LANES);
            for (int64_t t = 0; t < tiles; ++t) {
                float* to[PIXELS];
                const float* gate[PIXELS];
                for (int64_t m = 0; m < filled[t]; ++m) {
                    const int64_t* place = places[t * PIXELS + m];
                    to[m] = target.y.at(place[0], place[1], place[2]) + channel;
                    if (target.gate.values) gate[m] = target.gate.at(place[0], place[1], place[2]) + channel;
                }
                const Ends ends{to,
                                target.gate.values ? gate : nullptr,
                                target.bias ? target.bias + channel : nullptr,
                                int(std::min<int64_t>(left, WIDE)),
                                begin == 0,
                                end == depth,
                                target.add,
                                target.relu};
                multiply_for<PIXELS>(int(filled[t]), wide)(rows + t * PIXELS * STRIDE, 1, 0, end - begin, weights, ends);
            }
        }
    }
}

inline void convolve(const Job& job) {
    Panel panels[4096];
    int64_t count = 0;
    for (int t = 0; t < job.targets; ++t)
        for (int64_t channel = 0; channel < job.target[t].channels; channel += WIDE)
            if (count < 4096) panels[count++] = {t, channel};
    const int64_t pixels = job.samples * job.out_height * job.out_width;
    if (pixels == 0 || count == 0) return;
    int64_t tiles = (pixels + PIXELS - 1) / PIXELS;
    const int64_t per_tile = (pixels + tiles - 1) / tiles;
    tiles = (pixels + per_tile - 1) / per_tile;
    // Small enough pieces for all threads to end at nearly the same time.
    constexpr int64_t PIECES = 12;
    int64_t together = TILES, columns = 1;
    const auto rows = [&] { return (tiles + together - 1) / together; };
    while (rows() * columns * job.groups < PIECES && (count + columns - 1) / columns > 1) ++columns;
    while (rows() * columns * job.groups < PIECES && together > 1) --together;
    const int64_t each = (count + columns - 1) / columns;
    columns = (count + each - 1) / each;
    parallel(rows() * columns * job.groups, job.threads, [&](int64_t piece) {
        const int64_t column = piece % columns, row = piece / columns % rows(), group = piece / columns / rows();
        const int64_t first = row * together, panel = column * each;
        block(job, group, first, std::min(together, tiles - first), per_tile, panels + panel, std::min(each, count - panel));
    });
}

// The order of numbers that `dreamopt_convolve` takes; dreamopt/engine/native/convolution.py writes them.
struct Reader {
    const int64_t* numbers;
    int64_t next() { return *numbers++; }
    template <class T>
    T* pointer() {
        return reinterpret_cast<T*>(next());
    }
    Place place() {
        Place p;
        p.values = pointer<float>(), p.image = next(), p.row = next(), p.pixel = next();
        return p;
    }
};

inline Job job_from(const int64_t* numbers) {
    Reader in{numbers};
    Job job;
    job.samples = in.next(), job.height = in.next(), job.width = in.next(), job.out_height = in.next(), job.out_width = in.next();
    for (int64_t* pair : {job.kernel, job.stride, job.pad, job.dilation})
        for (int i = 0; i < 2; ++i) pair[i] = in.next();
    job.groups = in.next(), job.threads = in.next(), job.sources = int(in.next()), job.targets = int(in.next());
    for (int s = 0; s < job.sources; ++s) {
        Source& source = job.source[s];
        source.channels = in.next();
        source.x = in.place(), source.gate = in.place();
        source.factor = in.pointer<const float>(), source.shift = in.pointer<const float>();
        const bool gate_dense = !source.gate.values || source.gate.pixel == source.channels;
        source.dense = job.groups == 1 && job.dilation[1] == 1 && !source.factor && source.x.pixel == source.channels && gate_dense;
    }
    for (int t = 0; t < job.targets; ++t) {
        Target& target = job.target[t];
        target.channels = in.next();
        target.y = in.place(), target.gate = in.place();
        target.bias = in.pointer<const float>(), target.weights = in.pointer<const float>();
        target.relu = in.next() != 0, target.add = in.next() != 0;
    }
    return job;
}

}  // namespace gemm
}  // namespace dreamopt

DREAMOPT_EXPORT int dreamopt_lanes() { return dreamopt::LANES; }

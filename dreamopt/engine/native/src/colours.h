// From numbers without bounds to values between black and white and back: colours mixed, a sigmoid, the range's ends.
//
// Images are planar: a channel's pixels side by side. The ends and the middle are one number for each channel, or one for each value.
#pragma once

#include "functions.h"

namespace dreamopt::colours {

struct Sizes {
    int64_t samples, channels, pixels, each;  // each: whether there are ends and a middle for each value
};


constexpr int64_t TOGETHER = 2048;  // pixels that a thread takes at a time

// Calls body(sample, first pixel of a vector, how many); what is mixed is done for all channels at once.
template <class Body>
void by_vectors(const Sizes& s, int64_t threads, const Body& body) {
    const int64_t pieces = up(s.pixels, TOGETHER);
    parallel(s.samples * pieces, threads, [&](int64_t piece) {
        const int64_t sample = piece / pieces, first = piece % pieces * TOGETHER, last = std::min(s.pixels, first + TOGETHER);
        for (int64_t j = first; j < last; j += LANES) body(sample, j, last - j);
    });
}

inline Vector value_of(const float* from, const Sizes& s, int64_t channel, int64_t j, int64_t count) {
    return s.each ? load_up_to(from + channel * s.pixels + j, count) : all(from[channel]);
}

// Calls body(channel, value) for all channels at a place, mixed by a matrix (3, 3), or as they are where there is none.
template <class Read, class Body>
void mixed(const float* mix, int64_t channels, const Read& read, const Body& body) {
    if (!mix) {
        for (int64_t c = 0; c < channels; ++c) body(c, read(c));
        return;
    }
    const Vector a = read(0), b = read(1), d = read(2);
    for (int64_t c = 0; c < 3; ++c) body(c, a * all(mix[3 * c]) + b * all(mix[3 * c + 1]) + d * all(mix[3 * c + 2]));
}

}  // namespace dreamopt::colours

// The images of planes, low + (high - low) part with part = sigmoid(mix plane + middle); `part` may be null.
DREAMOPT_EXPORT int64_t dreamopt_colours(const int64_t* sizes, const float* plane, const float* mix, const float* low, const float* high,
                                         const float* middle, float* part, float* image, int64_t threads) {
    return dreamopt::guarded([&] {
        using namespace dreamopt;
        using namespace dreamopt::colours;
        const auto s = dreamopt::read_as<Sizes>(sizes);
        by_vectors(s, threads, [&](int64_t sample, int64_t j, int64_t count) {
            const auto place = [&](int64_t c) { return (sample * s.channels + c) * s.pixels + j; };
            mixed(mix, s.channels, [&](int64_t c) { return load_up_to(plane + place(c), count); }, [&](int64_t c, Vector t) {
                const Vector one = all(1.0f), w = one / (one + exponential(-(t + value_of(middle, s, c, j, count))));
                const Vector from = value_of(low, s, c, j, count), to = value_of(high, s, c, j, count);
                if (part) store_up_to(part + place(c), w, count);
                // From the nearer end, so that both are met.
                store_up_to(image + place(c), w < all(0.5f) ? from + w * (to - from) : to - (to - from) * (one - w), count);
            });
        });
    });
}

// The gradient at the plane of one at the image; `back` is the matrix's transpose. `part` is the image itself where `of_image`.
DREAMOPT_EXPORT int64_t dreamopt_colours_back(const int64_t* sizes, const float* gradient, const float* part, int64_t of_image,
                                              const float* back, const float* low, const float* high, float* plane_gradient,
                                              int64_t threads) {
    return dreamopt::guarded([&] {
        using namespace dreamopt;
        using namespace dreamopt::colours;
        const auto s = dreamopt::read_as<Sizes>(sizes);
        by_vectors(s, threads, [&](int64_t sample, int64_t j, int64_t count) {
            const auto place = [&](int64_t c) { return (sample * s.channels + c) * s.pixels + j; };
            const auto read = [&](int64_t c) {
                const Vector from = value_of(low, s, c, j, count), range = value_of(high, s, c, j, count) - from;
                Vector w = load_up_to(part + place(c), count);
                if (of_image) w = (w - from) / range;
                return load_up_to(gradient + place(c), count) * range * (all(1.0f) - w) * w;
            };
            mixed(back, s.channels, read, [&](int64_t c, Vector t) { store_up_to(plane_gradient + place(c), t, count); });
        });
    });
}

// The plane of images, values drawn in to `margin` from both ends of the range; `inverse` is the matrix's. The images that are drawn in go
// to `inside`, which may be null.
DREAMOPT_EXPORT int64_t dreamopt_colours_inverse(const int64_t* sizes, const float* image, const float* inverse, const float* low,
                                                 const float* high, const float* middle, double margin, float* plane, float* inside,
                                                 int64_t threads) {
    return dreamopt::guarded([&] {
        using namespace dreamopt;
        using namespace dreamopt::colours;
        const auto s = dreamopt::read_as<Sizes>(sizes);
        const Vector least = all(float(margin)), most = all(float(1 - margin));
        by_vectors(s, threads, [&](int64_t sample, int64_t j, int64_t count) {
            const auto place = [&](int64_t c) { return (sample * s.channels + c) * s.pixels + j; };
            const auto read = [&](int64_t c) {
                const Vector from = value_of(low, s, c, j, count), range = value_of(high, s, c, j, count) - from;
                const Vector value = load_up_to(image + place(c), count), given = (value - from) / range;
                Vector w = given < least ? least : given;
                w = w > most ? most : w;
                if (inside) store_up_to(inside + place(c), w == given ? value : from + w * range, count);
                return logarithm(w / (all(1.0f) - w)) - value_of(middle, s, c, j, count);
            };
            mixed(inverse, s.channels, read, [&](int64_t c, Vector t) { store_up_to(plane + place(c), t, count); });
        });
    });
}

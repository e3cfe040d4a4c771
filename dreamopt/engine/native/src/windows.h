// Windows that move over maps, as both kinds of pooling have them.
#pragma once

#include "common.h"

namespace dreamopt {

struct Pooled {
    int64_t batch, height, width, channels, x_pixel;  // the bottom: floats from a pixel to the next
    int64_t top_height, top_width, y_pixel;
    int64_t kernel_height, kernel_width, stride_height, stride_width, pad_top, pad_left;
    int64_t add;  // of the gradient: whether it is added to what is there
};

// Where a window begins along one axis, maybe in the padding, and its places in the map, first and behind the last.
struct Window {
    int64_t begin, first, last;
    Window(int64_t number, int64_t kernel, int64_t stride, int64_t pad, int64_t side)
        : begin(number * stride - pad), first(std::max<int64_t>(begin, 0)), last(std::min(begin + kernel, side)) {}
};

// The windows, first and behind the last, along one axis in which a place lies.
struct Covering {
    int64_t first, last;
    Covering(int64_t at, int64_t kernel, int64_t stride, int64_t windows)  // `at` counts from where the padding begins
        : first(at < kernel ? 0 : (at - kernel) / stride + 1), last(std::min(at / stride + 1, windows)) {}
};

}  // namespace dreamopt

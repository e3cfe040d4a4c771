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

// The windows, first and behind the last, along one axis in which a place lies.
struct Covering {
    int64_t first, last;
    Covering(int64_t at, int64_t kernel, int64_t stride, int64_t windows)  // `at` counts from where the padding begins
        : first(at < kernel ? 0 : (at - kernel) / stride + 1), last(std::min(at / stride + 1, windows)) {}
};

}  // namespace dreamopt

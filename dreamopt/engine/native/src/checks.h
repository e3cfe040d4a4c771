// What the tests ask of the loop over threads and of its errors.
#pragma once

#include "common.h"

// Adds 1 for each i below `count`.
DREAMOPT_EXPORT int64_t dreamopt_count(int64_t count, int64_t threads, int64_t* total) {
    return dreamopt::guarded([&] {
        std::atomic<int64_t> sum{0};
        dreamopt::parallel(count, threads, [&](int64_t) { sum.fetch_add(1, std::memory_order_relaxed); });
        *total = sum.load();
    });
}

// As many pieces, none of which finds memory.
DREAMOPT_EXPORT int64_t dreamopt_out_of_memory(int64_t count, int64_t threads) {
    return dreamopt::guarded([&] { dreamopt::parallel(count, threads, [](int64_t) { throw std::bad_alloc(); }); });
}

// Which threads run the kernels: a test asks for their numbers.
#pragma once

#include "common.h"

// Adds 1 for each i below `count`, by so many threads at most; returns how many OpenMP would take at most by itself.
DREAMOPT_EXPORT int dreamopt_count(int64_t count, int threads, int64_t* total) {
    std::atomic<int64_t> sum{0};
    dreamopt::parallel(count, threads, [&](int64_t) { sum.fetch_add(1, std::memory_order_relaxed); });
    *total = sum.load();
#ifdef _OPENMP
    return omp_get_max_threads();
#else
    return 1;
#endif
}

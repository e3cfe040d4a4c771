// Memory of a thread that stays for the next call.
#pragma once

#include <cstdlib>
#include <new>

namespace dreamopt {

class Scratch {
 public:
    // Returns room for so many floats, where a line of the cache begins.
    float* floats(size_t count) {
        if (count > count_) {
            std::free(memory_);
            count_ = 0;
            memory_ = static_cast<float*>(std::aligned_alloc(64, (count * sizeof(float) + 63) / 64 * 64));
            if (!memory_) throw std::bad_alloc();
            count_ = count;
        }
        return memory_;
    }
    ~Scratch() { std::free(memory_); }

 private:
    float* memory_ = nullptr;
    size_t count_ = 0;
};

}  // namespace dreamopt

// Memory of a thread that stays for the next call.
#pragma once

#include <cstdlib>

namespace dreamopt {

class Scratch {
   public:
    // Returns room for so many floats, where a line of the cache begins; null where there is no memory.
    float* floats(size_t count) {
        if (count > count_) {
            std::free(memory_);
            memory_ = static_cast<float*>(std::aligned_alloc(64, (count * sizeof(float) + 63) / 64 * 64));
            count_ = memory_ ? count : 0;
        }
        return memory_;
    }
    ~Scratch() { std::free(memory_); }

   private:
    float* memory_ = nullptr;
    size_t count_ = 0;
};

}  // namespace dreamopt

#pragma once

#include <cstddef>
#include <cstdlib>
#include <memory>
#include <new>

namespace coldswap {

// Floats that vectors are loaded from, not initialised, and kept for the next run: clearing fresh pages costs a tenth
// of one.
class FloatBuffer {
   public:
    float* get() const { return memory_.get(); }

    // Makes room for so many; what was in it is lost if it grows. Throws std::bad_alloc.
    void reserve(size_t count) {
        if (count <= count_) return;
        memory_.reset();
        count_ = 0;
        memory_.reset(static_cast<float*>(std::aligned_alloc(64, (count * sizeof(float) + 63) / 64 * 64)));
        if (!memory_) throw std::bad_alloc();
        count_ = count;
    }

   private:
    struct Free {
        void operator()(float* p) const { std::free(p); }
    };
    std::unique_ptr<float, Free> memory_;
    size_t count_ = 0;
};

}  // namespace coldswap

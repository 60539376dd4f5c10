#pragma once

#include <algorithm>
#include <condition_variable>
#include <cstdint>
#include <mutex>

namespace coldswap {

// How much of the weights has arrived, and how much is no longer needed. Any thread may call it.
class WeightStream {
   public:
    explicit WeightStream(const uint8_t* memory) : memory(memory) {}

    const uint8_t* const memory;

    void advance(uint64_t bytes) {
        std::lock_guard<std::mutex> lock(mutex_);
        available_ = std::max(available_, bytes);
        changed_.notify_all();
    }
    void fail() {
        std::lock_guard<std::mutex> lock(mutex_);
        failed_ = true;
        changed_.notify_all();
    }
    void restart() {
        std::lock_guard<std::mutex> lock(mutex_);
        available_ = released_ = 0;
        failed_ = false;
    }
    // Waits for so many bytes; false if they will not come.
    bool wait_until_available(uint64_t bytes) {
        std::unique_lock<std::mutex> lock(mutex_);
        changed_.wait(lock, [&] { return failed_ || available_ >= bytes; });
        return available_ >= bytes;
    }
    void release(uint64_t bytes) {
        std::lock_guard<std::mutex> lock(mutex_);
        released_ = std::max(released_, bytes);
        changed_.notify_all();
    }
    // Waits until more than `bytes` are released, or nothing more will be; how many are.
    uint64_t wait_until_released(uint64_t bytes) {
        std::unique_lock<std::mutex> lock(mutex_);
        changed_.wait(lock, [&] { return released_ > bytes || failed_; });
        return released_;
    }

   private:
    std::mutex mutex_;
    std::condition_variable changed_;
    uint64_t available_ = 0, released_ = 0;
    bool failed_ = false;
};

}  // namespace coldswap

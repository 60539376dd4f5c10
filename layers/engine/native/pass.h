// One run of a network: the threads that go through its layers together, and what they work in.
//
// Every thread calls the same layers in the same order, and takes what is to be done in each from a common counter. A
// thread that needs weights waits until the bytes have been announced; that is all there is to streaming.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <vector>

#include "buffer.h"
#include "engine.h"
#include "kernels.h"
#include "weight_stream.h"

namespace coldswap {

// What a thread works in: weights of one block of channels, what is multiplied with them, a channel's padded rows, and
// where the inputs of a direct convolution lie.
struct ThreadScratch {
    FloatBuffer u, m, scratch;
    std::vector<int32_t> offsets;
    unsigned phase = 0;  // how many parallel_for's it has been through
    int layer = 0;       // how many layers
};

// What a run works in: activations, transformed input, and each thread's own.
struct Workspace {
    FloatBuffer activations[3], v;
    std::vector<ThreadScratch> threads;
};

class Barrier {
   public:
    // How many will wait at it; nobody may before this is known.
    void expect(int count) { count_ = count; }
    void wait();

   private:
    std::mutex mutex_;
    std::condition_variable all_here_;
    int count_ = 0, waiting_ = 0;
    unsigned round_ = 0;
};

// By layer, in order of use: the first byte of the file that it, or any later one, needs; after the last, none.
std::vector<uint64_t> first_needed(const std::vector<coldswap_weights>& weights);

class Pass {
   public:
    // Of `images` at once. `max_groups`: how many groups of tiles may share transformed weights, at the cost of memory.
    Pass(const Kernels& kernels, WeightStream& weights, int threads, int max_groups, Workspace& workspace, int images);

    // Calls `forward` on this thread and others; false if the weights did not come. `needed` is first_needed.
    bool run(const std::vector<uint64_t>& needed, const std::function<void(ThreadScratch&)>& forward);

    // The tasks 0, 1, … by whichever thread is free; all are done when it returns.
    template <class Work>
    void parallel_for(ThreadScratch& thread, int tasks, Work work) {
        const unsigned phase = thread.phase++;
        next_task_[(phase + 1) % 2] = 0;  // the last to use it have all been at a barrier since
        std::atomic<int>& next = next_task_[phase % 2];
        for (int task; !failed_ && (task = next++) < tasks;) work(task);
        barrier_.wait();
    }

    // False if so many bytes of the weights will not come.
    bool wait_for_weights(uint64_t end);
    // The weights of the thread's layer are not needed again.
    void finish_layer(ThreadScratch& thread);
    const uint8_t* weights(uint64_t at) const { return weights_.memory + at; }
    const uint16_t* halves(uint64_t at) const { return reinterpret_cast<const uint16_t*>(weights(at)); }
    // So many weights from a byte of the file on, as floats.
    void read_weights(uint64_t at, bool half, size_t count, float* to) const;

    const Kernels& kernels;
    const int threads, max_groups, images;
    Workspace& workspace;

   private:
    WeightStream& weights_;
    const std::vector<uint64_t>* needed_ = nullptr;
    std::atomic<int> next_task_[2] = {{0}, {0}};  // of the parallel_for that goes on, and of the one after it
    Barrier barrier_;
    std::atomic<bool> failed_{false};
};

}  // namespace coldswap

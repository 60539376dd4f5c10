// One run of faces through the network.
//
// The weights are not transformed once and kept, which would make four times as much memory of them. A block of output
// and input channels is decoded and transformed into the cache just before it is used for a group of 64 tiles (or for
// some groups, one after the other), and forgotten.
//
// Every thread walks through the same layers, and takes what is to be done in each from a common counter. A thread that
// needs weights waits until the bytes have been announced; that is all there is to streaming.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <vector>

#include "buffer.h"
#include "kernels.h"
#include "network.h"
#include "weight_stream.h"

namespace coldswap {

// What a thread works in: weights of one block of channels, what is multiplied with them, a channel's padded rows, and
// where the inputs of a 7 x 7 convolution lie.
struct ThreadScratch {
    FloatBuffer u, m, scratch;
    std::vector<int32_t> offsets;
    int phase = 0;  // how many parallel_for's it has been through
};

// What a run works in: two activations, transformed input, and each thread's own.
struct Workspace {
    FloatBuffer a, b, v;
    std::vector<ThreadScratch> threads;
};

// The styles of the last faces: they often come again.
struct StyleCache {
    std::vector<float> latents;
    std::vector<float> styles;  // [style][image][row]
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

// How the work of a Winograd layer is cut up.
struct Tiling {
    int group_rows;                // of tiles, in a group
    int groups_per_image, groups;  // groups: of all images
    int together;                  // groups that share transformed weights
    int ic_block, ic_blocks, oc_block;
    size_t u_floats, v_floats;  // of one block of channels
};

class ForwardPass {
   public:
    // `max_groups`: how many groups of tiles may share transformed weights, at the cost of memory. Reserves the
    // workspace; throws std::bad_alloc.
    ForwardPass(const Network& network, const Kernels& kernels, WeightStream& weights, int threads, int max_groups,
                Workspace& workspace, StyleCache& cache, int count, const float* crops, const float* latents,
                float* out);

    // Runs on this thread and others; false if the weights did not come.
    bool run();

   private:
    void forward(ThreadScratch& thread);
    void residual_block(ThreadScratch& thread, int number);
    template <class From, class To, class Done>
    void winograd(ThreadScratch& thread, const Convolution& layer, Activation activation, From from, To to, Done done);
    template <class From, class To>
    void direct(ThreadScratch& thread, const Convolution& layer, Activation activation, From from, To to);
    template <class Plane>
    void pack_band(const Convolution& layer, int top, int channel, Plane plane);
    template <class To>
    void multiply_band(ThreadScratch& thread, const Convolution& layer, Activation activation, int top, int out,
                       int outs, int first_row, int rows, To to);
    void style(ThreadScratch& thread, int number);

    template <class Work>
    void parallel_for(ThreadScratch& thread, int tasks, Work work);
    bool wait_for_weights(uint64_t end);
    void finish_step(int step);
    float* style_of(int number, int image) const;
    Tiling tile(const Convolution& layer) const;
    void reserve();

    const Network& network_;
    const Kernels& kernels_;
    WeightStream& weights_;
    const int threads_, max_groups_;
    Workspace& workspace_;
    StyleCache& cache_;
    const int count_;
    const float *const crops_, *const latents_;
    float* const out_;
    bool styles_are_cached_;
    std::vector<std::atomic<int>> next_task_;  // of each parallel_for
    Barrier barrier_;
    std::atomic<bool> failed_{false};
};

}  // namespace coldswap

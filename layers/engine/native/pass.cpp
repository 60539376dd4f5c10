#include "pass.h"

#include <algorithm>
#include <cassert>
#include <cstring>
#include <exception>
#include <future>
#include <thread>

namespace coldswap {

void Barrier::wait() {
    std::unique_lock<std::mutex> lock(mutex_);
    const unsigned round = round_;
    if (++waiting_ == count_) {
        waiting_ = 0;
        round_++;
        all_here_.notify_all();
    } else {
        all_here_.wait(lock, [&] { return round_ != round; });
    }
}

std::vector<uint64_t> first_needed(const std::vector<coldswap_weights>& weights) {
    std::vector<uint64_t> needed(weights.size() + 1, UINT64_MAX);
    for (size_t i = weights.size(); i-- > 0;) needed[i] = std::min(uint64_t(weights[i].offset), needed[i + 1]);
    return needed;
}

Pass::Pass(const Kernels& kernels, WeightStream& weights, int threads, int max_groups, Workspace& workspace, int images)
    : kernels(kernels),
      threads(threads),
      max_groups(max_groups),
      images(images),
      workspace(workspace),
      weights_(weights) {
    assert(images > 0 && threads > 0 && max_groups > 0);
    workspace.threads.resize(threads);
    for (ThreadScratch& thread : workspace.threads) thread.phase = 0, thread.layer = 0;
}

bool Pass::run(const std::vector<uint64_t>& needed, const std::function<void(ThreadScratch&)>& forward) {
    needed_ = &needed;
    std::vector<std::thread> others;
    others.reserve(threads);
    std::promise<void> all_started;
    const std::shared_future<void> start = all_started.get_future().share();
    try {
        for (int i = 1; i < threads; i++)
            others.emplace_back([&forward, start, &thread = workspace.threads[i]] {
                start.wait();
                forward(thread);
            });
    } catch (const std::exception&) {
        // The system has no more threads, or no memory for them: those that there are do the work.
    }
    barrier_.expect(int(others.size()) + 1);
    all_started.set_value();
    forward(workspace.threads[0]);
    for (std::thread& other : others) other.join();
    return !failed_;
}

bool Pass::wait_for_weights(uint64_t end) {
    if (weights_.wait_until_available(end)) return true;
    failed_ = true;
    return false;
}

void Pass::finish_layer(ThreadScratch& thread) {
    assert(size_t(thread.layer) + 1 < needed_->size());
    const uint64_t needed = (*needed_)[++thread.layer];
    if (!failed_) weights_.release(needed);
}

void Pass::read_weights(uint64_t at, bool half, size_t count, float* to) const {
    if (half)
        kernels.half_to_float(halves(at), count, to);
    else
        std::memcpy(to, weights(at), count * sizeof *to);
}

}  // namespace coldswap

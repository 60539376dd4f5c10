// The C interface, and what outlives a run.
#include "engine.h"

#include <cstring>
#include <memory>
#include <new>

#include "embedder.h"
#include "kernels.h"
#include "network.h"
#include "pass.h"
#include "self_test.h"
#include "swapper.h"
#include "weight_stream.h"

namespace coldswap {
namespace {

constexpr int MAX_GROUPS = 4, LEAN_GROUPS = 1;  // of tiles that share transformed weights

// Gives back what a run has worked in, even if there was not enough memory for all of it.
struct Cleanup {
    Workspace* const workspace;  // or null

    ~Cleanup() {
        if (workspace) *workspace = Workspace();
    }
};

struct Engine {
    const Kernels& kernels;
    const int threads;
    const bool lean;
    WeightStream weights;
    std::unique_ptr<Network> network;
    Workspace workspace;

    bool run(int count, const float* crops, const float* latents, float* out) {
        const Cleanup cleanup{lean ? &workspace : nullptr};
        Pass pass(kernels, weights, threads, lean ? LEAN_GROUPS : MAX_GROUPS, workspace, count);
        const bool succeeded = network->run(pass, crops, latents, out);
        weights.release(UINT64_MAX);
        return succeeded;
    }
};

// The kernels for `instructions`, or the best if that is empty; null if the processor lacks them.
const Kernels* choose_kernels(const char* instructions) {
    const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c");
    const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
                        __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq");
    if (avx512 && std::strcmp(instructions, "avx2")) return &avx512_kernels;
    if (avx2 && std::strcmp(instructions, "avx512")) return &avx2_kernels;
    return nullptr;
}

// An engine for the network that `make` makes; null if the processor or the memory does not allow it.
template <class Make>
void* create(const coldswap_options& options, Make make) {
    const Kernels* kernels = choose_kernels(options.instructions);
    try {
        if (!kernels) return nullptr;
        return new Engine{*kernels, options.threads, options.lean != 0, WeightStream(options.weights), make(), {}};
    } catch (const std::bad_alloc&) {
        return nullptr;
    }
}

Engine& as_engine(void* engine) { return *static_cast<Engine*>(engine); }

}  // namespace
}  // namespace coldswap

using namespace coldswap;

int coldswap_check(const char* instructions) {
    const Kernels* kernels = choose_kernels(instructions);
    return !kernels ? 1 : is_correct(*kernels) ? 0 : 2;
}

void* coldswap_create_swapper(const coldswap_options* options, int width, float epsilon, const float* biases) {
    return create(*options, [&] { return std::make_unique<Swapper>(width, epsilon, options->layers, biases); });
}

void* coldswap_create_embedder(const coldswap_options* options, int width, const int* blocks, const float* values) {
    return create(*options, [&] { return std::make_unique<Embedder>(width, blocks, options->layers, values); });
}

void coldswap_destroy(void* engine) { delete static_cast<Engine*>(engine); }

const char* coldswap_instructions(void* engine) { return as_engine(engine).kernels.name; }

void coldswap_advance(void* engine, uint64_t bytes) { as_engine(engine).weights.advance(bytes); }

void coldswap_fail(void* engine) { as_engine(engine).weights.fail(); }

void coldswap_restart(void* engine) { as_engine(engine).weights.restart(); }

uint64_t coldswap_released(void* engine, uint64_t bytes) {
    return as_engine(engine).weights.wait_until_released(bytes);
}

int coldswap_run(void* engine, int count, const float* crops, const float* latents, float* out) {
    try {
        return as_engine(engine).run(count, crops, latents, out) ? 0 : 1;
    } catch (const std::bad_alloc&) {
        return 2;
    }
}

// The C interface, and what outlives a run.
#include "engine.h"

#include <cstring>
#include <new>

#include "forward.h"
#include "kernels.h"
#include "network.h"
#include "self_test.h"
#include "weight_stream.h"

namespace coldswap {
namespace {

constexpr int MAX_GROUPS = 4, LEAN_GROUPS = 1;  // of tiles that share transformed weights

struct Engine {
    Network network;
    const Kernels& kernels;
    const int threads;
    const bool lean;
    WeightStream weights;
    Workspace workspace;
    StyleCache cache;

    bool run(int count, const float* crops, const float* latents, float* out) {
        ForwardPass pass(network, kernels, weights, threads, lean ? LEAN_GROUPS : MAX_GROUPS, workspace, cache, count,
                         crops, latents, out);
        const bool succeeded = pass.run();
        weights.release(UINT64_MAX);
        if (lean) workspace = Workspace();
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

Engine& as_engine(void* engine) { return *static_cast<Engine*>(engine); }

}  // namespace
}  // namespace coldswap

using namespace coldswap;

int coldswap_check(const char* instructions) {
    const Kernels* kernels = choose_kernels(instructions);
    return !kernels ? 1 : is_correct(*kernels) ? 0 : 2;
}

void* coldswap_create(int width, float epsilon, int threads, int lean, const char* instructions, const uint8_t* weights,
                      const coldswap_weights* layers, const float* biases) {
    const Kernels* kernels = choose_kernels(instructions);
    try {
        if (!kernels) return nullptr;
        return new Engine{
            {width, epsilon, layers, biases}, *kernels, threads, lean != 0, WeightStream(weights), {}, {}};
    } catch (const std::bad_alloc&) {
        return nullptr;
    }
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

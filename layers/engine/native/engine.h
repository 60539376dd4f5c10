// The C interface of the engine: a swapper or an embedder, run while its weights are still arriving. Start reading at
// swapper.h and embedder.h, which describe the networks; layers.h says how they compute, and winograd.h why that is
// less work.
#pragma once

#include <cstdint>

extern "C" {
#pragma GCC visibility push(default)

// Where a layer's weights lie in the flat file, bytes from its start; `half` says fp16, otherwise fp32.
struct coldswap_weights {
    int64_t offset;
    int32_t half;
    int32_t reserved;
};

// A network of the inswapper family: 20 convolutions (4 of the encoder, 12 of the blocks, 4 of the decoder), then 12
// styles, in order of use.
enum { COLDSWAP_CONVOLUTIONS = 20, COLDSWAP_STYLES = 12 };

// Parts of an embedder.
enum { COLDSWAP_PARTS = 4 };

// How an engine works, whatever its network. `instructions`: "avx2", "avx512", or "" for the best. `lean` works in less
// memory, a little more slowly, and keeps none of it. `weights` is memory that fills up, and must outlive the engine;
// `layers` says where each layer's are, and is copied. Those of 3 x 3 kernels with more than 3 inputs are halves.
struct coldswap_options {
    int32_t threads;
    int32_t lean;
    const char* instructions;
    const uint8_t* weights;
    const coldswap_weights* layers;
};

// `width`: channels of the first layer, a multiple of 16. `epsilon`: added to a variance before its root. `biases`: of
// all layers in the same order, float32; copied. Returns null if the processor lacks the instructions, or there is no
// memory.
void* coldswap_create_swapper(const coldswap_options* options, int width, float epsilon, const float* biases);

// `width` as above, `blocks`: how many each of the COLDSWAP_PARTS has. Layers in order of use: the stem; of each block
// its two convolutions and, in the first of a part, the shortcut; the dense layer. `values`, float32, copied, in the
// same order: of the stem bias and slopes; of each block scale and shift before the first convolution, its bias and
// slopes, the second's bias, the shortcut's; of each last channel a scale and a shift; of each output of the dense
// layer a scale and a shift. Returns null as above.
void* coldswap_create_embedder(const coldswap_options* options, int width, const int* blocks, const float* values);
void coldswap_destroy(void* engine);

// Whether the arithmetic is right here: 0; 1 if the processor lacks the instructions, 2 if a small layer comes out
// wrong.
int coldswap_check(const char* instructions);

// The instruction set in use.
const char* coldswap_instructions(void* engine);

// So many bytes of the weights may be read. Never less than before, but for coldswap_restart.
void coldswap_advance(void* engine, uint64_t bytes);
// No more will come: a run that waits for them ends.
void coldswap_fail(void* engine);
// The weights are fetched anew: none is there.
void coldswap_restart(void* engine);
// Waits until more than `bytes` are no longer needed by the run that goes on, or it has ended; how many are not.
uint64_t coldswap_released(void* engine, uint64_t bytes);

// A swapper: crops [count][3][128][128] and latents [count][512] into out, shaped like the crops. An embedder: crops
// [count][3][112][112] into out [count][512], without latents. All float32.
// 0; 1 if coldswap_fail was called, or 2 if there was no memory: then `out` is not to be used. One run at a time.
int coldswap_run(void* engine, int count, const float* crops, const float* latents, float* out);
#pragma GCC visibility pop
}

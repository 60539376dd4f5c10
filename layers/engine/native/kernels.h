// The arithmetic of one instruction set. Every array is float32 unless it says half. A plane is one channel of an
// activation, row-major. A tile is 4 x 4 outputs of a 3 x 3 convolution (winograd.h); TILES of them are one group, and
// worked on together. A block is some of a layer's channels.
#pragma once

#include <cstddef>
#include <cstdint>

namespace coldswap {

constexpr int TILES = 64;              // of a group; as many pixels of a 7 x 7 convolution go together
constexpr int VECTOR_CHANNELS = 16;    // channels come in multiples of this
constexpr int LONGEST_ROW = 128 + 16;  // floats of a padded row
constexpr size_t SCRATCH_FLOATS = 65 * 8 * (LONGEST_ROW / 8 + 16);  // for the padded rows of a group

// Floats from one point's matrix of so many floats to the next one's. Their sizes are powers of two, and at such
// distances all points would meet in one set of the first cache.
constexpr size_t padded_stride(size_t floats) { return floats + 16; }

enum class Padding { zero, reflect };
enum class Activation { none, leaky_relu, tanh };

// A channel as a convolution reads it. Upsampled, it is read as twice as high and wide, in between bilinearly, and the
// padding is zero.
struct Plane {
    const float* pixels;
    int height, width;  // as stored
    Padding padding;
    bool upsample;
};

// A 3 x 3 convolution in the Winograd domain: u is the kernels, v the input and m the output there. Each has a matrix
// for each of the points, padded_stride apart; the tiles of v and m lie as the instruction set likes it.
struct WinogradKernels {
    int points;  // of both axes together

    // u [points][outs][ins] of halves [out][in_total][9]. `ins` is a multiple of VECTOR_CHANNELS.
    void (*transform_kernel)(const uint16_t* kernels, int outs, int ins, int in_total, float* u);

    // Channel `in` of a group in v [points][ins][TILES]. The group's first row of tiles is `tile_row`; `scratch` holds
    // SCRATCH_FLOATS.
    void (*transform_input)(const Plane& plane, int tile_row, int in, int ins, float* v, float* scratch);

    // m [points][outs][TILES] = u x v, point by point; added to m unless `first`.
    void (*gemm)(const float* u, const float* v, int outs, int ins, bool first, float* m);

    // Channel `out` of m [points][outs][TILES] back to pixels of the group's rows, in a plane so many pixels wide. No
    // tanh.
    void (*transform_output)(const float* m, int out, int outs, int tile_row, int width, float bias,
                             Activation activation, float* plane);
};

struct Kernels {
    const char* name;
    WinogradKernels winograd[2];  // of stride 1 and 2

    // m [outs][TILES] = w [outs][count] x rows, each of which begins at from[offsets[i]]; added to m unless `first`.
    // The rows of w are `w_stride` apart.
    void (*indirect_gemm)(const float* w, int w_stride, const float* from, const int32_t* offsets, int outs, int count,
                          bool first, float* m);

    void (*half_to_float)(const uint16_t* halves, size_t count, float* out);

    // Instance normalisation with a style: (x - mean) / sqrt(variance + epsilon) * scale + shift, over `count` pixels;
    // then ReLU in place, or added to `sum`.
    void (*adain)(float* plane, int count, float scale, float shift, float epsilon, float* sum);

    // The sum over i of a[i] * b[i].
    float (*dot)(const float* a, const float* b, int count);
};

extern const Kernels avx2_kernels;
extern const Kernels avx512_kernels;

}  // namespace coldswap

// The arithmetic of one instruction set. Every array is float32 unless it says half. A tile is 4 x 4 outputs of a 3 x 3
// convolution (winograd.h); some of them, at most TILES, are one group, and worked on together. A block is some of a
// layer's channels.
#pragma once

#include <cstddef>
#include <cstdint>

namespace coldswap {

constexpr int TILES = 64;              // of a group, at most; as many pixels of a 7 x 7 convolution go together
constexpr int VECTOR_CHANNELS = 16;    // channels come in multiples of this
constexpr int LONGEST_ROW = 128 + 16;  // floats of a padded row
constexpr size_t SCRATCH_FLOATS = 65 * 8 * (LONGEST_ROW / 8 + 16);  // for the padded rows of a group

// Floats from one point's matrix of so many floats to the next one's. Their sizes are powers of two, and at such
// distances all points would meet in one set of the first cache.
constexpr size_t padded_stride(size_t floats) { return floats + 16; }

// How an activation lies in memory, and what the lanes of a vector are.
enum class Layout {
    planes,  // [channel][row][column]; neighbouring tiles are lanes, so groups are full, and sides multiples of tiles
    blocks,  // [channel / 16][row][column][channel % 16]; channels are lanes, so that any side will do
};
enum class Padding { zero, reflect };
enum class Activation { none, leaky_relu, prelu, tanh };

// What a convolution reads: a plane, or a block of 16 channels. Upsampled, it is read as twice as high and wide, in
// between bilinearly, and the padding is zero. With a scale and a shift (of each channel) it is normalised first; the
// padding stays zero. Upsampling and reflection are for planes, normalisation for blocks.
struct Source {
    const float* pixels;
    int side;  // as stored
    Padding padding;
    bool upsample;
    const float *scale, *shift;  // or null
};

// Where a convolution's results go: a plane, or a block of 16 channels. The slopes are PReLU's.
struct Target {
    float* pixels;
    int side;
    const float* bias;
    Activation activation;
    const float* slopes;
    bool add;  // to what is there; for blocks
};

// Tiles of an image, counted row by row.
struct Tiles {
    int first, count;
};

// A 3 x 3 convolution in the Winograd domain: u is the kernels, v the input and m the output there. Each has a matrix
// for each of the points, padded_stride apart, as the layout likes it.
struct WinogradKernels {
    int points;    // of both axes together
    int channels;  // that a Source or a Target has

    // u [points][outs][ins] of halves [out][in_total][9]. `ins` is a multiple of VECTOR_CHANNELS.
    void (*transform_kernel)(const uint16_t* kernels, int outs, int ins, int in_total, float* u);

    // Channels `in` and following of a group in v [points][ins][tiles]. `scratch` holds SCRATCH_FLOATS.
    void (*transform_input)(const Source& source, Tiles tiles, int in, int ins, float* v, float* scratch);

    // m [points][outs][tiles] = u x v, point by point; added to m unless `first`.
    void (*gemm)(const float* u, const float* v, int outs, int ins, int tiles, bool first, float* m);

    // Channels `out` and following of m [points][outs][tiles] back to pixels of the group's tiles. No tanh.
    void (*transform_output)(const float* m, int out, int outs, Tiles tiles, const Target& target);
};

struct Kernels {
    const char* name;
    WinogradKernels winograd[2][2];  // by layout, then of stride 1 and 2

    // m [outs][TILES] = w [outs][count] x rows, each of which begins at from[offsets[i]]; added to m unless `first`.
    // The rows of w are `w_stride` apart.
    void (*indirect_gemm)(const float* w, int w_stride, const float* from, const int32_t* offsets, int outs, int count,
                          bool first, float* m);

    // m [pixels][outs] = the sum over i of from[pixel * step + offsets[i]] x w [count][outs], for write_pixels. `outs`
    // is 16, 32 or a multiple of 64.
    void (*pixel_gemm)(const float* from, int step, const int32_t* offsets, int pixels, const float* w, int count,
                       int outs, float* m);
    // The w of pixel_gemm, of rows [outs][count].
    void (*pack_weights)(const float* rows, int outs, int count, float* w);
    // Channels `out` and following of pixel_gemm's m to the target's pixels from pixel `at` on.
    void (*write_pixels)(const float* m, int out, int outs, int pixels, const Target& target, size_t at);

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

// The arithmetic of one instruction set. Every array is float32 unless it says half; a plane is one channel of an
// activation, row-major; a tile is 4 x 4 outputs of a 3 x 3 convolution, and GROUP tiles are worked on together.
#pragma once

#include <cstddef>
#include <cstdint>

namespace coldswap {

constexpr int GROUP = 64;   // tiles, or pixels of a direct convolution, that one block of the matrix product is wide
constexpr int POINTS = 36;  // of the 6 x 6 transform of a tile

// Floats from one point's matrix of so many floats to the next one's. Their sizes are powers of two, and at such distances
// all points would meet in one set of the first cache.
constexpr size_t apart(size_t floats) { return floats + 16; }

// How a convolution sees what is around, or between, the pixels of its input.
enum class Edge { zero, reflect, upsample };

// What follows a convolution.
enum class After { leaky, tanh };

struct Plane {
    const float* pixels;
    int height, width;  // as stored; an upsampled plane is read as twice as high and wide
};

struct Kernels {
    const char* name;

    // The 3 x 3 kernels of `outs` x `ins` channels, halves as [out][in_total][9], into the Winograd domain:
    // u [36][outs][ins], apart. `ins` is a multiple of 16.
    void (*winograd_weights)(const uint16_t* weights, int outs, int ins, int in_total, float* u);

    // Channel `in` of a group of tiles into the Winograd domain: of v [36][ins][GROUP], apart, the tiles in panels.
    // The group's first tile row is `tile_row`; `scratch` holds at least scratch_floats().
    void (*winograd_input)(Plane plane, Edge edge, int tile_row, int in, int ins, float* v, float* scratch);

    // m [outs][GROUP] (+)= u [outs][ins] x v [ins][GROUP], both in panels, once for each of the 36 points, which are apart.
    void (*winograd_product)(const float* u, const float* v, int outs, int ins, bool first, float* m);

    // Channel `out` of m [36][outs][GROUP], apart, back to pixels of the group's rows, plus the bias; then leaky ReLU if asked.
    void (*winograd_output)(const float* m, int out, int outs, int tile_row, int width, float bias, bool leaky, float* plane);

    // m [outs][columns] (+)= w [outs][count] x rows, each of which begins at from[offsets[i]]. columns: 32 or GROUP.
    void (*direct_product)(const float* w, int stride, const float* from, const int32_t* offsets, int outs, int count,
                           int columns, bool first, float* m);

    void (*to_float)(const uint16_t* halves, size_t count, float* out);

    // Instance normalisation with a style: (x - mean) / sqrt(variance + epsilon) * scale + shift, over `count` pixels;
    // then ReLU in place, or added to `sum`.
    void (*adain)(float* plane, int count, float scale, float shift, float epsilon, float* sum);

    // sum over i of a[i] * b[i].
    float (*dot)(const float* a, const float* b, int count);
};

constexpr int LONGEST_ROW = 128 + 16;  // floats of a padded row

extern const Kernels avx2_kernels;
extern const Kernels avx512_kernels;

}  // namespace coldswap

#include "direct_layer.h"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <cstring>

namespace coldswap {
namespace {

constexpr int OUTS = 64;            // output channels at one time
constexpr int INNER_STEP = 32 * 9;  // products of an output at one time
constexpr int BAND = 16;            // output rows of a 7 x 7 convolution at one time
constexpr int SPLITS = 4;           // few output channels are divided by rows as well

// A 7 x 7 convolution's padded row, and a band of them for BAND rows of output.
int band_stride(const Convolution& layer) { return layer.side + layer.kernel + 1; }
int band_rows(const Convolution& layer) { return BAND + layer.kernel - 1; }
size_t band_floats(const Convolution& layer) { return size_t(band_rows(layer)) * band_stride(layer); }

float activate(float value, Activation activation) {
    switch (activation) {
        case Activation::leaky_relu: return value > 0 ? value : 0.2f * value;
        case Activation::tanh: return (std::tanh(value) + 1) / 2;  // a pixel, 0 to 1
        default: return value;
    }
}

// Rows of one channel, padded on all sides, for a band of output from row `top` on.
void pack_band(const Convolution& layer, int top, const float* plane, float* row) {
    const int pad = layer.kernel / 2, side = layer.side;
    const auto mirror = [&](int at) { return at < 0 ? -at : at >= side ? 2 * (side - 1) - at : at; };
    for (int y = 0; y < band_rows(layer); y++, row += band_stride(layer)) {
        const float* line = plane + size_t(mirror(top + y - pad)) * side;
        for (int x = 0; x < pad; x++) {
            row[x] = line[mirror(x - pad)];
            row[pad + side + x] = line[mirror(side + x)];
        }
        std::memcpy(row + pad, line, side * sizeof *line);
    }
}

// Rows of the band from `first_row` on: of `outs` output channels from `out` on, whose planes `to` begins with.
void multiply_band(const Pass& pass, ThreadScratch& thread, const Convolution& layer, int top, int out, int outs,
                   int first_row, int rows, float* to) {
    const int inner = int(layer.inner()), step = std::min(inner, INNER_STEP);
    float *const u = thread.u.get(), *const m = thread.m.get();
    pass.read_weights(layer.end(out), layer.weights.half, size_t(outs) * inner, u);
    for (int y = first_row; y < first_row + rows; y++)
        for (int column = 0; column < layer.side; column += TILES) {
            const float* corner = pass.workspace.v.get() + size_t(y) * band_stride(layer) + column;
            for (int i = 0; i < inner; i += step)
                pass.kernels.indirect_gemm(u + i, inner, corner, thread.offsets.data() + i, outs,
                                           std::min(step, inner - i), i == 0, m);
            for (int i = 0; i < outs; i++) {
                float* line = to + i * plane_floats(layer.side) + size_t(top + y) * layer.side + column;
                for (int x = 0; x < TILES; x++)
                    line[x] = activate(m[size_t(i) * TILES + x] + layer.bias[out + i], layer.activation);
            }
        }
}

// Where the inputs of a convolution in blocks lie: those of the next pixel are `step` floats on, of the next row `row`.
struct Inputs {
    const float* memory;
    size_t image_floats;
    int step, row;
};

// With a zero around each plane, as a convolution with more than one tap needs it.
size_t padded_floats(const Convolution& layer) { return plane_floats(layer.in_side() + layer.kernel - 1); }

void pad(const Convolution& layer, const float* plane, float* to) {
    const int pad = layer.kernel / 2, side = layer.in_side(), stride = side + 2 * pad;
    std::memset(to, 0, padded_floats(layer) * sizeof *to);
    for (int y = 0; y < side; y++) std::memcpy(to + (y + pad) * stride + pad, plane + y * side, side * sizeof *to);
}

Inputs pad_planes(Pass& pass, ThreadScratch& thread, const Convolution& layer, Tensor from) {
    const int k = layer.kernel, stride = layer.in_side() + k - 1;
    for (int i = 0; i < int(layer.inner()); i++)
        thread.offsets[i] = int32_t(i / (k * k) * padded_floats(layer) + i / k % k * stride + i % k);
    float* const padded = pass.workspace.v.get();
    pass.parallel_for(thread, pass.images * layer.ins, [&](int task) {
        pad(layer, from.of(task / layer.ins, task % layer.ins), padded + task * padded_floats(layer));
    });
    return {padded, layer.ins * padded_floats(layer), layer.stride, layer.stride * stride};
}

Inputs point_at_blocks(ThreadScratch& thread, const Convolution& layer, Tensor from) {
    constexpr int C = VECTOR_CHANNELS;
    for (int i = 0; i < layer.ins; i++) thread.offsets[i] = int32_t(i / C * C * from.channel_floats + i % C);
    return {from.memory, from.image_floats, C * layer.stride, C * layer.stride * layer.in_side()};
}

// Some rows of `outs` output channels from `out` on, of all images.
void multiply_rows(const Pass& pass, ThreadScratch& thread, const Convolution& layer, Inputs inputs, int out, int outs,
                   int first_row, int end_row, Tensor to) {
    const int inner = int(layer.inner());
    float *const rows = thread.u.get(), *const w = rows + size_t(outs) * inner, *const m = thread.m.get();
    pass.read_weights(layer.end(out), layer.weights.half, size_t(outs) * inner, rows);
    pass.kernels.pack_weights(rows, outs, inner, w);
    for (int image = 0; image < pass.images; image++)
        for (int y = first_row; y < end_row; y++) {
            pass.kernels.pixel_gemm(inputs.memory + image * inputs.image_floats + size_t(y) * inputs.row, inputs.step,
                                    thread.offsets.data(), layer.side, w, inner, outs, m);
            for (int i = 0; i < outs; i += VECTOR_CHANNELS) {
                const float* slopes = layer.slopes ? layer.slopes + out + i : nullptr;
                const Target target{to.of(image, out + i), layer.side, layer.bias + out + i,
                                    layer.activation,      slopes,     layer.add};
                pass.kernels.write_pixels(m, i, outs, layer.side, target, size_t(y) * layer.side);
            }
        }
}

}  // namespace

DirectNeeds::DirectNeeds(const Pass& pass, const Convolution& layer)
    : u((layer.layout == Layout::planes ? 1 : 2) * size_t(std::min(layer.outs, OUTS)) * layer.inner()),
      v(layer.layout == Layout::planes ? layer.ins * band_floats(layer)
        : layer.kernel == 1            ? 0
                                       : pass.images * layer.ins * padded_floats(layer)),
      m(size_t(OUTS) * std::max(TILES, layer.side)),
      offsets(layer.inner()) {}

// A 7 x 7 convolution, as a matrix product over rows of the padded input that begin one pixel after another.
void convolve_planes(Pass& pass, ThreadScratch& thread, const Convolution& layer, Tensor from, Tensor to) {
    assert(layer.stride == 1 && layer.padding == Padding::reflect && layer.side % BAND == 0);
    assert(layer.side % TILES == 0 && to.channel_floats == plane_floats(layer.side));
    const int k = layer.kernel, outs = std::min(layer.outs, layer.outs < OUTS * pass.threads ? 16 : OUTS);
    for (int i = 0; i < int(layer.inner()); i++)
        thread.offsets[i] = int32_t(i / (k * k) * band_floats(layer) + i / k % k * band_stride(layer) + i % k);
    const int blocks = (layer.outs + outs - 1) / outs, splits = blocks < 2 * pass.threads ? SPLITS : 1;
    for (int image = 0; image < pass.images; image++)
        for (int top = 0; top < layer.side; top += BAND) {
            pass.parallel_for(thread, layer.ins, [&](int in) {
                pack_band(layer, top, from.of(image, in), pass.workspace.v.get() + in * band_floats(layer));
            });
            pass.parallel_for(thread, blocks * splits, [&](int task) {
                const int out = task / splits * outs, some = std::min(outs, layer.outs - out), rows = BAND / splits;
                if (!pass.wait_for_weights(layer.end(out + some))) return;
                multiply_band(pass, thread, layer, top, out, some, task % splits * rows, rows, to.of(image, out));
            });
        }
}

// A convolution of one tap reads blocks of channels where they are, one of more taps padded planes; the result is in
// blocks.
void convolve_blocks(Pass& pass, ThreadScratch& thread, const Convolution& layer, Tensor from, Tensor to) {
    assert(layer.padding == Padding::zero && !layer.scale && !layer.upsample && layer.outs % VECTOR_CHANNELS == 0);
    assert(layer.kernel > 1 || (layer.ins % VECTOR_CHANNELS == 0 && layer.side * layer.stride == layer.in_side()));
    const Inputs inputs =
        layer.kernel > 1 ? pad_planes(pass, thread, layer, from) : point_at_blocks(thread, layer, from);
    const int outs = layer.outs % OUTS ? VECTOR_CHANNELS : OUTS, blocks = layer.outs / outs;
    const int splits = blocks < 2 * pass.threads ? SPLITS : 1;
    pass.parallel_for(thread, blocks * splits, [&](int task) {
        const int out = task / splits * outs, split = task % splits;
        if (!pass.wait_for_weights(layer.end(out + outs))) return;
        multiply_rows(pass, thread, layer, inputs, out, outs, layer.side * split / splits,
                      layer.side * (split + 1) / splits, to);
    });
}

}  // namespace coldswap

#include "layers.h"

#include <algorithm>
#include <cassert>

#include "direct_layer.h"
#include "winograd_layer.h"

namespace coldswap {

void reserve(const Pass& pass, const std::vector<Convolution>& layers, size_t scratch) {
    size_t u = 0, v = 0, m = 0, offsets = 0;
    for (const Convolution& layer : layers) {
        if (layer.is_winograd()) {
            const Tiling tiling(pass, layer);
            u = std::max(u, tiling.u_floats * (tiling.together > 1 ? tiling.ic_blocks : 1));
            v = std::max(v, tiling.v_floats * tiling.ic_blocks * tiling.together);
            m = std::max(m, tiling.m_floats);
        } else {
            const DirectNeeds needs(pass, layer);
            u = std::max(u, needs.u);
            v = std::max(v, needs.v);
            m = std::max(m, needs.m);
            offsets = std::max(offsets, needs.offsets);
        }
    }
    pass.workspace.v.reserve(v);
    for (ThreadScratch& thread : pass.workspace.threads) {
        thread.u.reserve(u);
        thread.m.reserve(m);
        thread.scratch.reserve(std::max(SCRATCH_FLOATS, scratch));
        thread.offsets.resize(std::max(thread.offsets.size(), offsets));
    }
}

void convolve(Pass& pass, ThreadScratch& thread, const Convolution& layer, Tensor from, Tensor to, const Done& done) {
    if (layer.is_winograd())
        convolve_winograd(pass, thread, layer, from, to, done);
    else if (layer.layout == Layout::planes)
        convolve_planes(pass, thread, layer, from, to);
    else
        convolve_blocks(pass, thread, layer, from, to);
    pass.finish_layer(thread);
}

void multiply(Pass& pass, ThreadScratch& thread, const Dense& layer, const float* x, float* y) {
    constexpr int ROWS = 64, CHUNK = 512;  // of weights: by one thread, in its first cache
    assert(layer.outs % ROWS == 0 && layer.ins % VECTOR_CHANNELS == 0);
    pass.parallel_for(thread, layer.outs / ROWS, [&](int task) {
        if (!pass.wait_for_weights(layer.end((task + 1) * ROWS))) return;
        alignas(64) float row[CHUNK];
        for (int out = task * ROWS; out < (task + 1) * ROWS; out++) {
            for (int in = 0; in < layer.ins; in += CHUNK) {
                const int count = std::min(CHUNK, layer.ins - in), bytes = layer.weights.half ? 2 : 4;
                pass.read_weights(layer.end(out) + uint64_t(in) * bytes, layer.weights.half, count, row);
                for (int image = 0; image < pass.images; image++) {
                    const float sum = pass.kernels.dot(row, x + size_t(image) * layer.ins + in, count);
                    float& to = y[size_t(image) * layer.outs + out];
                    to = in ? to + sum : sum;
                }
            }
            for (int image = 0; image < pass.images; image++) {
                float& to = y[size_t(image) * layer.outs + out];
                to = (layer.scale ? layer.scale[out] * to : to) + layer.shift[out];
            }
        }
    });
}

void flatten(Pass& pass, ThreadScratch& thread, int channels, int side, const float* scale, const float* shift,
             Tensor x, float* y) {
    constexpr int C = VECTOR_CHANNELS;
    const size_t pixels = plane_floats(side);
    pass.parallel_for(thread, pass.images * (channels / C), [&](int task) {
        const int image = task / (channels / C), first = task % (channels / C) * C;
        const float* from = x.of(image, first);
        for (int channel = first; channel < first + C; channel++)
            for (size_t pixel = 0; pixel < pixels; pixel++)
                y[(size_t(image) * channels + channel) * pixels + pixel] =
                    from[pixel * C + channel - first] * scale[channel] + shift[channel];
    });
}

}  // namespace coldswap

#include "winograd_layer.h"

#include <algorithm>
#include <cassert>

#include "winograd.h"

namespace coldswap {
namespace {

constexpr int IC_BLOCK = 32;                       // input channels of a block of weights
constexpr int OC_BLOCK = 64, OC_BLOCK_SMALL = 32;  // output channels of it; small for stride 2, whose blocks are larger
constexpr size_t MAX_V_FLOATS = (size_t(19) << 20) / sizeof(float);  // of transformed input, of all groups together

// A Winograd layer at work on some groups of tiles, from `first` on.
struct Work {
    Pass& pass;
    const Convolution& layer;
    const Tiling& tiling;
    const WinogradKernels& kernels;
    int first, groups;

    float* v_of(int group, int block) const {
        return pass.workspace.v.get() + (size_t(group) * tiling.ic_blocks + block) * tiling.v_floats;
    }
    int image_of(int group) const { return (first + group) / tiling.groups_per_image; }
    Tiles tiles_of(int group) const { return tiling.tiles_of((first + group) % tiling.groups_per_image); }

    void transform_input(ThreadScratch& thread, int group, int block, Tensor from) const {
        for (int i = 0; i < tiling.ic_block; i += kernels.channels) {
            const int in = block * tiling.ic_block + i;
            const auto of_channel = [&](const float* values) { return values ? values + in : nullptr; };
            const Source source{from.of(image_of(group), in), layer.in_side(),        layer.padding, layer.upsample,
                                of_channel(layer.scale),      of_channel(layer.shift)};
            kernels.transform_input(source, tiles_of(group), i, tiling.ic_block, v_of(group, block),
                                    thread.scratch.get());
        }
    }

    void transform_kernels(int out, int block, float* u) const {
        const uint16_t* weights = pass.halves(layer.end(out)) + size_t(block) * tiling.ic_block * 9;
        kernels.transform_kernel(weights, tiling.oc_block, tiling.ic_block, layer.ins, u);
    }

    void transform_output(const float* m, int group, int out, Tensor to, const Done& done) const {
        const int image = image_of(group);
        for (int i = 0; i < tiling.oc_block; i += kernels.channels) {
            const float* slopes = layer.slopes ? layer.slopes + out + i : nullptr;
            const Target target{to.of(image, out + i), layer.side, layer.bias + out + i,
                                layer.activation,      slopes,     layer.add};
            kernels.transform_output(m, i, tiling.oc_block, tiles_of(group), target);
            if (done) done(image, out + i);
        }
    }

    // One group uses each block of weights once, right after it was made; several need all blocks.
    void multiply(ThreadScratch& thread, int out, Tensor to, const Done& done) const {
        float *const u = thread.u.get(), *const m = thread.m.get();
        if (groups > 1)
            for (int block = 0; block < tiling.ic_blocks; block++)
                transform_kernels(out, block, u + block * tiling.u_floats);
        for (int group = 0; group < groups; group++) {
            for (int block = 0; block < tiling.ic_blocks; block++) {
                if (groups == 1) transform_kernels(out, block, u);
                kernels.gemm(groups == 1 ? u : u + block * tiling.u_floats, v_of(group, block), tiling.oc_block,
                             tiling.ic_block, tiles_of(group).count, block == 0, m);
            }
            transform_output(m, group, out, to, done);
        }
    }
};

}  // namespace

Tiling::Tiling(const Pass& pass, const Convolution& layer) {
    const size_t points = pass.kernels.winograd[int(layer.layout)][layer.stride - 1].points;
    const int across = (layer.side + TILE - 1) / TILE, least = layer.stride == 1 ? OC_BLOCK : OC_BLOCK_SMALL;
    tiles = across * across;
    groups_per_image = (tiles + TILES - 1) / TILES;
    groups = groups_per_image * pass.images;
    ic_block = layer.ins % IC_BLOCK ? VECTOR_CHANNELS : IC_BLOCK;
    ic_blocks = layer.ins / ic_block;
    // No thread is to be without a block.
    oc_block = layer.outs % least || layer.outs < least * pass.threads ? VECTOR_CHANNELS : least;
    u_floats = points * padded_stride(size_t(oc_block) * ic_block);
    v_floats = points * padded_stride(size_t(ic_block) * TILES);
    m_floats = points * padded_stride(size_t(oc_block) * TILES);
    together = std::max(1, std::min({groups, pass.max_groups, int(MAX_V_FLOATS / (v_floats * ic_blocks))}));
}

// As many in each group, or almost.
Tiles Tiling::tiles_of(int group) const {
    const int first = tiles * group / groups_per_image;
    return {first, tiles * (group + 1) / groups_per_image - first};
}

void convolve_winograd(Pass& pass, ThreadScratch& thread, const Convolution& layer, Tensor from, Tensor to,
                       const Done& done) {
    const Tiling tiling(pass, layer);
    assert(layer.weights.half && (!done || tiling.groups_per_image == 1));
    for (int first = 0; first < tiling.groups; first += tiling.together) {
        const int groups = std::min(tiling.together, tiling.groups - first);
        const Work work{pass, layer, tiling, pass.kernels.winograd[int(layer.layout)][layer.stride - 1], first, groups};
        pass.parallel_for(thread, groups * tiling.ic_blocks, [&](int task) {
            work.transform_input(thread, task / tiling.ic_blocks, task % tiling.ic_blocks, from);
        });
        pass.parallel_for(thread, layer.outs / tiling.oc_block, [&](int task) {
            const int out = task * tiling.oc_block;
            if (pass.wait_for_weights(layer.end(out + tiling.oc_block))) work.multiply(thread, out, to, done);
        });
    }
}

}  // namespace coldswap

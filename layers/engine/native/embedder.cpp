#include "embedder.h"

#include <algorithm>
#include <cassert>
#include <utility>

namespace coldswap {
namespace {

constexpr int SIDE = 112, EMBEDDING = 512;

Convolution convolution(int ins, int outs, int side, int kernel, int stride, Activation activation) {
    Convolution layer{ins, outs, side, kernel, stride, Layout::blocks};
    layer.activation = activation;
    return layer;
}

}  // namespace

Embedder::Embedder(int width, const int* blocks, const coldswap_weights* weights, const float* values) {
    assert(width > 0 && width % VECTOR_CHANNELS == 0);
    describe(width, blocks);
    take(weights, values);
}

void Embedder::describe(int width, const int* blocks) {
    int ins = width, side = SIDE;
    convolutions_.push_back(convolution(3, width, SIDE, 3, 1, Activation::prelu));
    for (int part = 0; part < COLDSWAP_PARTS; part++)
        for (int block = 0; block < blocks[part]; block++) {
            const int outs = width << part, stride = block ? 1 : 2;
            convolutions_.push_back(convolution(ins, outs, side, 3, 1, Activation::prelu));
            side /= stride;
            convolutions_.push_back(convolution(outs, outs, side, 3, stride, Activation::none));
            convolutions_.back().add = block > 0;
            if (!block) {
                convolutions_.push_back(convolution(ins, outs, side, 1, 2, Activation::none));
                convolutions_.back().add = true;
            }
            ins = outs;
        }
    dense_ = {ins * int(plane_floats(side)), EMBEDDING};
}

// The values as engine.h puts them in order. Only the first of a block's two convolutions has an activation, and only
// that is normalised.
void Embedder::take(const coldswap_weights* weights, const float* values) {
    size_t total = 2 * (size_t(convolutions_.back().outs) + EMBEDDING);
    for (const Convolution& layer : convolutions_) {
        const bool prelu = layer.activation == Activation::prelu;
        total += layer.outs * (prelu ? 2 : 1) + (prelu && layer.is_winograd() ? 2 * layer.ins : 0);
    }
    values_.assign(values, values + total);
    const float* next = values_.data();
    const auto take = [&](int count) { return std::exchange(next, next + count); };
    std::vector<coldswap_weights> order;
    for (Convolution& layer : convolutions_) {
        const bool prelu = layer.activation == Activation::prelu;
        if (prelu && layer.is_winograd()) {
            layer.scale = take(layer.ins);
            layer.shift = take(layer.ins);
        }
        layer.bias = take(layer.outs);
        if (prelu) layer.slopes = take(layer.outs);
        order.push_back(layer.weights = *weights++);
    }
    const int channels = convolutions_.back().outs;
    scale_ = take(channels);
    shift_ = take(channels);
    dense_.scale = take(EMBEDDING);
    dense_.shift = take(EMBEDDING);
    order.push_back(dense_.weights = *weights);
    needed_ = first_needed(order);
}

bool Embedder::run(Pass& pass, const float* crops, const float*, float* out) {
    size_t most = 0;
    for (const Convolution& layer : convolutions_) most = std::max(most, layer.outs * plane_floats(layer.side));
    const size_t images = pass.images;
    for (FloatBuffer& buffer : pass.workspace.activations) buffer.reserve(most * images);
    reserve(pass, convolutions_);
    return pass.run(needed_, [&](ThreadScratch& thread) { forward(pass, thread, crops, out); });
}

// x is in one buffer; what lies between a block's convolutions in another; a part's first block leaves its result in
// the third.
void Embedder::forward(Pass& pass, ThreadScratch& thread, const float* crops, float* out) {
    float* buffers[3];
    for (int i = 0; i < 3; i++) buffers[i] = pass.workspace.activations[i].get();
    const auto tensor = [](float* memory, int channels, int side) {
        return Tensor{memory, channels * plane_floats(side), plane_floats(side)};
    };
    const auto output = [&](float* memory, const Convolution& layer) { return tensor(memory, layer.outs, layer.side); };
    const Convolution* layer = convolutions_.data();
    const Convolution* const end = layer + convolutions_.size();
    Tensor x = output(buffers[0], *layer);
    convolve(pass, thread, *layer++, tensor(const_cast<float*>(crops), 3, SIDE), x);
    while (layer < end) {
        const Tensor between = output(buffers[1], *layer);
        convolve(pass, thread, *layer++, x, between);
        if (layer->stride == 1) {
            convolve(pass, thread, *layer++, between, x);
            continue;
        }
        const Tensor halved = output(buffers[2], *layer);
        convolve(pass, thread, *layer++, between, halved);
        convolve(pass, thread, *layer++, x, halved);
        x = halved;
        std::swap(buffers[0], buffers[2]);
    }
    const Convolution& last = end[-1];
    flatten(pass, thread, last.outs, last.side, scale_, shift_, x, buffers[1]);
    multiply(pass, thread, dense_, buffers[1], out);
    pass.finish_layer(thread);
}

}  // namespace coldswap

#include "swapper.h"

#include <algorithm>
#include <cassert>
#include <functional>
#include <iterator>

namespace coldswap {
namespace {

constexpr int SIDE = 128, LATENT = 512, BLOCKS = 6, ENCODER = 4, DECODER = ENCODER + 2 * BLOCKS;

Convolution convolution(int ins, int outs, int side, int stride, Activation activation = Activation::leaky_relu) {
    Convolution layer{ins, outs, side, 3, stride, Layout::planes};
    layer.activation = activation;
    return layer;
}

Convolution seven_by_seven(int ins, int outs, Activation activation) {
    Convolution layer = convolution(ins, outs, SIDE, 1, activation);
    layer.kernel = 7;
    layer.padding = Padding::reflect;
    return layer;
}

Convolution upsampling(int ins, int outs, int side) {
    Convolution layer = convolution(ins, outs, side, 1);
    layer.upsample = true;
    return layer;
}

Convolution block_layer(int channels) {
    Convolution layer = convolution(channels, channels, SIDE / 4, 1, Activation::none);
    layer.padding = Padding::reflect;
    return layer;
}

}  // namespace

Swapper::Swapper(int width, float epsilon, const coldswap_weights* weights, const float* biases)
    : width_(width), epsilon_(epsilon) {
    assert(width > 0 && width % VECTOR_CHANNELS == 0);
    describe();
    take(weights, biases);
}

void Swapper::describe() {
    const int w = width_;
    convolutions_ = {
        seven_by_seven(3, w, Activation::leaky_relu),
        convolution(w, 2 * w, SIDE, 1),
        convolution(2 * w, 4 * w, SIDE / 2, 2),
        convolution(4 * w, 8 * w, SIDE / 4, 2),
    };
    convolutions_.insert(convolutions_.end(), 2 * BLOCKS, block_layer(8 * w));
    const Convolution decoder[] = {
        upsampling(8 * w, 4 * w, SIDE / 2),
        upsampling(4 * w, 2 * w, SIDE),
        convolution(2 * w, w, SIDE, 1),
        seven_by_seven(w, 3, Activation::tanh),
    };
    convolutions_.insert(convolutions_.end(), std::begin(decoder), std::end(decoder));
    styles_.assign(COLDSWAP_STYLES, Dense{LATENT, 16 * w});
    assert(convolutions_.size() == COLDSWAP_CONVOLUTIONS);
}

void Swapper::take(const coldswap_weights* weights, const float* biases) {
    size_t total = size_t(COLDSWAP_STYLES) * styles_[0].outs;
    for (const Convolution& layer : convolutions_) total += layer.outs;
    biases_.assign(biases, biases + total);
    const float* bias = biases_.data();
    for (Convolution& layer : convolutions_) {
        layer.weights = *weights++;
        layer.bias = bias;
        bias += layer.outs;
    }
    for (Dense& layer : styles_) {
        layer.weights = *weights++;
        layer.shift = bias;
        bias += layer.outs;
    }
    std::vector<coldswap_weights> order;
    for (int i = 0; i < COLDSWAP_CONVOLUTIONS; i++) {
        if (i >= ENCODER && i < DECODER) order.push_back(styles_[i - ENCODER].weights);
        order.push_back(convolutions_[i].weights);
    }
    needed_ = first_needed(order);
}

bool Swapper::run(Pass& pass, const float* crops, const float* latents, float* out) {
    const size_t widest = width_ * plane_floats(SIDE), count = pass.images;
    pass.workspace.activations[0].reserve(widest * count);
    pass.workspace.activations[1].reserve(2 * widest * count);
    reserve(pass, convolutions_, plane_floats(SIDE / 4));
    styles_are_cached_ =
        cached_latents_.size() == count * LATENT && std::equal(cached_latents_.begin(), cached_latents_.end(), latents);
    if (!styles_are_cached_) {
        cached_latents_.clear();  // until this run has succeeded
        cached_styles_.resize(COLDSWAP_STYLES * count * styles_[0].outs);
    }
    const bool succeeded =
        pass.run(needed_, [&](ThreadScratch& thread) { forward(pass, thread, crops, latents, out); });
    if (succeeded)
        cached_latents_.assign(latents, latents + count * LATENT);
    else
        cached_latents_.clear();
    return succeeded;
}

void Swapper::forward(Pass& pass, ThreadScratch& thread, const float* crops, const float* latents, float* out) {
    const size_t widest = width_ * plane_floats(SIDE), picture = 3 * plane_floats(SIDE);
    const auto in_a = [&](int side) { return Tensor{pass.workspace.activations[0].get(), widest, plane_floats(side)}; };
    const auto in_b = [&](int side) {
        return Tensor{pass.workspace.activations[1].get(), 2 * widest, plane_floats(side)};
    };
    const Tensor input{const_cast<float*>(crops), picture, plane_floats(SIDE)},
        output{out, picture, plane_floats(SIDE)};
    const Convolution *down = convolutions_.data(), *up = down + DECODER;

    convolve(pass, thread, down[0], input, in_a(SIDE));
    convolve(pass, thread, down[1], in_a(SIDE), in_b(SIDE));
    convolve(pass, thread, down[2], in_b(SIDE), in_a(SIDE / 2));
    convolve(pass, thread, down[3], in_a(SIDE / 2), in_b(SIDE / 4));
    for (int number = 0; number < BLOCKS; number++) residual_block(pass, thread, number, latents);
    convolve(pass, thread, up[0], in_b(SIDE / 4), in_a(SIDE / 2));
    convolve(pass, thread, up[1], in_a(SIDE / 2), in_b(SIDE));
    convolve(pass, thread, up[2], in_b(SIDE), in_a(SIDE));
    convolve(pass, thread, up[3], in_a(SIDE), output);
}

// x + AdaIN(conv(ReLU(AdaIN(conv(x))))): x is in b, what lies between in a. The second normalisation needs its plane
// but for a moment, so each is made in the thread's own memory.
void Swapper::residual_block(Pass& pass, ThreadScratch& thread, int number, const float* latents) {
    const size_t pixels = plane_floats(SIDE / 4), widest = width_ * plane_floats(SIDE);
    const int channels = 8 * width_, first = 2 * number, second = first + 1;
    const Tensor between{pass.workspace.activations[0].get(), widest, pixels};
    const Tensor x{pass.workspace.activations[1].get(), 2 * widest, pixels};
    const Tensor own{thread.scratch.get(), 0, 0};
    const auto normalise = [&](int number, int image, int channel, float* plane, float* sum) {
        const float* scales = style_of(pass, number, image);
        pass.kernels.adain(plane, int(pixels), scales[channel], scales[channels + channel], epsilon_, sum);
    };
    const auto first_done = [&](int image, int channel) {
        normalise(first, image, channel, between.of(image, channel), nullptr);
    };
    const auto second_done = [&](int image, int channel) {
        normalise(second, image, channel, own.of(image, channel), x.of(image, channel));
    };
    style(pass, thread, first, latents);
    convolve(pass, thread, convolutions_[ENCODER + first], x, between, std::cref(first_done));
    style(pass, thread, second, latents);
    convolve(pass, thread, convolutions_[ENCODER + second], between, own, std::cref(second_done));
}

void Swapper::style(Pass& pass, ThreadScratch& thread, int number, const float* latents) {
    if (!styles_are_cached_) multiply(pass, thread, styles_[number], latents, style_of(pass, number, 0));
    pass.finish_layer(thread);
}

float* Swapper::style_of(const Pass& pass, int number, int image) {
    return cached_styles_.data() + (size_t(number) * pass.images + image) * styles_[number].outs;
}

}  // namespace coldswap

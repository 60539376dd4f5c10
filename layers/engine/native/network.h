// A network of the inswapper_128 family: four convolutions down, six residual blocks whose normalisation is given the
// face (AdaIN), four convolutions up.
#pragma once

#include <cstdint>
#include <vector>

#include "engine.h"
#include "kernels.h"

namespace coldswap {

constexpr int SIDE = 128, LATENT = 512, BLOCKS = 6;

struct Convolution {
    int ins, outs, side;  // channels; height and width of the output
    int kernel, stride;   // kernel: 3, or 7 of stride 1
    Padding padding;
    bool upsample;
    coldswap_weights weights;
    const float* bias;

    int in_side() const { return upsample ? side / 2 : side * stride; }  // as stored
    bool is_winograd() const { return kernel == 3; }
    // Where the weights of the first `out` output channels end in the file.
    uint64_t end(int out) const {
        return weights.offset + uint64_t(out) * ins * kernel * kernel * (weights.half ? 2 : 4);
    }
};

// A dense layer from the latent to scales and shifts of a normalisation.
struct Style {
    int rows;
    coldswap_weights weights;
    const float* bias;

    uint64_t end(int row) const { return weights.offset + uint64_t(row) * LATENT * (weights.half ? 2 : 4); }
};

struct Network {
    // `width`: channels of the first layer. `weights` and `biases` as for coldswap_create.
    Network(int width, float epsilon, const coldswap_weights* weights, const float* biases);
    Network(const Network&) = delete;  // its layers point into it

    const int width;
    const float epsilon;
    Convolution convolutions[COLDSWAP_CONVOLUTIONS];
    Style styles[COLDSWAP_STYLES];
    // By step (a convolution or a style, in order of use): the first byte of the file that it, or any later one, uses.
    std::vector<uint64_t> needed_from;

   private:
    std::vector<float> biases_;
};

}  // namespace coldswap

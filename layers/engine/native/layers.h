// The layers that networks are made of. Each is called by all threads of a pass, and done when it returns.
//
// The weights are not transformed once and kept, which would make four times as much memory of them. A block of output
// and input channels is decoded and transformed into the cache just before it is used for a group of tiles (or for some
// groups, one after the other), and forgotten.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "engine.h"
#include "kernels.h"
#include "pass.h"

namespace coldswap {

inline size_t plane_floats(int side) { return size_t(side) * side; }

// Activations of all images: where those of an image begin, and a channel's, or those of the 16 from it on.
struct Tensor {
    float* memory;
    size_t image_floats, channel_floats;

    float* of(int image, int channel) const { return memory + image * image_floats + channel * channel_floats; }
};

// 3 x 3, of any number of input channels that is a multiple of 16: by Winograd's transforms. Direct: in planes 7 x 7,
// of stride 1 with reflection; in blocks anything with few weights, without normalisation.
struct Convolution {
    int ins, outs, side;  // channels; height and width of the output
    int kernel, stride;
    Layout layout;
    Padding padding = Padding::zero;
    bool upsample = false;
    Activation activation = Activation::none;
    bool add = false;  // to what is in the output already
    coldswap_weights weights = {};
    const float *bias = nullptr, *slopes = nullptr;  // of each output channel
    const float *scale = nullptr, *shift = nullptr;  // of each input channel, before the convolution; or null

    int in_side() const { return upsample ? side / 2 : side * stride; }  // as stored
    bool is_winograd() const { return kernel == 3 && ins % VECTOR_CHANNELS == 0; }
    size_t inner() const { return size_t(ins) * kernel * kernel; }
    // Where the weights of the first `out` output channels end in the file.
    uint64_t end(int out) const { return weights.offset + out * inner() * (weights.half ? 2 : 4); }
};

// scale * (weights x) + shift; without a scale it is 1.
struct Dense {
    int ins, outs;
    coldswap_weights weights = {};
    const float *scale = nullptr, *shift = nullptr;

    uint64_t end(int out) const { return weights.offset + uint64_t(out) * ins * (weights.half ? 2 : 4); }
};

// Makes room in the workspace for any of these convolutions, and for a plane of so many floats in each thread's
// scratch. Throws std::bad_alloc.
void reserve(const Pass& pass, const std::vector<Convolution>& layers, size_t scratch = 0);

// Called with an image and an output channel as soon as that plane is whole; only where a plane is one group of tiles.
// Made of a std::cref, it allocates nothing: a thread could not say that it had no memory.
using Done = std::function<void(int, int)>;

// A convolution, by the way that it says.
void convolve(Pass& pass, ThreadScratch& thread, const Convolution& layer, Tensor from, Tensor to,
              const Done& done = nullptr);

// x [images][ins] to y [images][outs].
void multiply(Pass& pass, ThreadScratch& thread, const Dense& layer, const float* x, float* y);

// x in blocks to y [images][channel][row][column], normalised: x * scale + shift, by channel.
void flatten(Pass& pass, ThreadScratch& thread, int channels, int side, const float* scale, const float* shift,
             Tensor x, float* y);

}  // namespace coldswap

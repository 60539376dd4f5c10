#pragma once

#include "layers.h"

namespace coldswap {

// How much of the workspace a direct convolution needs, in floats.
struct DirectNeeds {
    size_t u, v, m, offsets;

    DirectNeeds(const Pass& pass, const Convolution& layer);
};

void convolve_planes(Pass& pass, ThreadScratch& thread, const Convolution& layer, Tensor from, Tensor to);
void convolve_blocks(Pass& pass, ThreadScratch& thread, const Convolution& layer, Tensor from, Tensor to);

}  // namespace coldswap

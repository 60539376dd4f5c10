#pragma once

#include "layers.h"

namespace coldswap {

// How the work of a Winograd layer is cut up.
struct Tiling {
    int tiles;                     // of an image
    int groups_per_image, groups;  // groups: of all images
    int together;                  // groups that share transformed weights
    int ic_block, ic_blocks, oc_block;
    size_t u_floats, v_floats, m_floats;  // of one block of channels

    Tiling(const Pass& pass, const Convolution& layer);
    Tiles tiles_of(int group) const;
};

void convolve_winograd(Pass& pass, ThreadScratch& thread, const Convolution& layer, Tensor from, Tensor to,
                       const Done& done);

}  // namespace coldswap

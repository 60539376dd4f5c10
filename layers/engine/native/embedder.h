// ArcFace's embedder, an IResNet (arcface_torch): a stem, four parts of residual blocks, each part on half the side
// with twice the channels, and a dense layer. A block is x + conv(PReLU(conv(norm(x)))), where the second convolution
// of a part's first block has stride 2, and its x goes through one of 1 x 1. Batch norms behind a convolution are
// folded into it.
#pragma once

#include <cstdint>
#include <vector>

#include "layers.h"
#include "network.h"

namespace coldswap {

class Embedder : public Network {
   public:
    // As coldswap_create_embedder.
    Embedder(int width, const int* blocks, const coldswap_weights* weights, const float* values);

    bool run(Pass& pass, const float* crops, const float*, float* out) override;

   private:
    void describe(int width, const int* blocks);
    void take(const coldswap_weights* weights, const float* values);
    void forward(Pass& pass, ThreadScratch& thread, const float* crops, float* out);

    std::vector<float> values_;
    std::vector<Convolution> convolutions_;            // in order of use
    const float *scale_ = nullptr, *shift_ = nullptr;  // before the dense layer, by channel
    Dense dense_;
    std::vector<uint64_t> needed_;  // first_needed
};

}  // namespace coldswap

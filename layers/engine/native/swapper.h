// A network of the inswapper_128 family: four convolutions down, six residual blocks whose normalisation is given the
// face (AdaIN), four convolutions up.
#pragma once

#include <cstdint>
#include <vector>

#include "layers.h"
#include "network.h"

namespace coldswap {

class Swapper : public Network {
   public:
    // As coldswap_create_swapper.
    Swapper(int width, float epsilon, const coldswap_weights* weights, const float* biases);

    bool run(Pass& pass, const float* crops, const float* latents, float* out) override;

   private:
    void describe();
    void take(const coldswap_weights* weights, const float* biases);
    void forward(Pass& pass, ThreadScratch& thread, const float* crops, const float* latents, float* out);
    void residual_block(Pass& pass, ThreadScratch& thread, int number, const float* latents);
    void style(Pass& pass, ThreadScratch& thread, int number, const float* latents);
    float* style_of(const Pass& pass, int number, int image);

    const int width_;
    const float epsilon_;
    std::vector<float> biases_;
    std::vector<Convolution> convolutions_;  // of the encoder, the blocks and the decoder
    std::vector<Dense> styles_;
    std::vector<uint64_t> needed_;  // first_needed
    // The styles of the last faces: they often come again.
    std::vector<float> cached_latents_, cached_styles_;  // styles: [style][image][row]
    bool styles_are_cached_ = false;
};

}  // namespace coldswap

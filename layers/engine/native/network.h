#pragma once

#include "pass.h"

namespace coldswap {

// A network that an engine runs. What it reads of the weights is laid down when it is made.
class Network {
   public:
    virtual ~Network() = default;

    // The pass's images through the network; false if the weights did not come. Throws std::bad_alloc. `latents` are of
    // the swapper's faces.
    virtual bool run(Pass& pass, const float* images, const float* latents, float* out) = 0;
};

}  // namespace coldswap

#include "network.h"

#include <algorithm>
#include <cassert>

namespace coldswap {

Network::Network(int width, float epsilon, const coldswap_weights* weights, const float* biases)
    : width(width), epsilon(epsilon) {
    assert(width > 0 && width % VECTOR_CHANNELS == 0);
    const int w = width;
    const Padding zero = Padding::zero, reflect = Padding::reflect;
    Convolution* next = convolutions;
    const auto add = [&](int ins, int outs, int side, int kernel, int stride, Padding padding, bool upsample = false) {
        *next++ = {ins, outs, side, kernel, stride, padding, upsample, {}, nullptr};
    };
    add(3, w, SIDE, 7, 1, reflect);
    add(w, 2 * w, SIDE, 3, 1, zero);
    add(2 * w, 4 * w, SIDE / 2, 3, 2, zero);
    add(4 * w, 8 * w, SIDE / 4, 3, 2, zero);
    for (int i = 0; i < 2 * BLOCKS; i++) add(8 * w, 8 * w, SIDE / 4, 3, 1, reflect);
    add(8 * w, 4 * w, SIDE / 2, 3, 1, zero, true);
    add(4 * w, 2 * w, SIDE, 3, 1, zero, true);
    add(2 * w, w, SIDE, 3, 1, zero);
    add(w, 3, SIDE, 7, 1, reflect);

    size_t total = 0;
    for (const Convolution& layer : convolutions) total += layer.outs;
    biases_.assign(biases, biases + total + size_t(COLDSWAP_STYLES) * 16 * w);
    const float* bias = biases_.data();
    for (Convolution& layer : convolutions) {
        layer.weights = *weights++;
        layer.bias = bias;
        bias += layer.outs;
        assert(!layer.is_winograd() || layer.weights.half);
    }
    for (Style& style : styles) {
        style = {16 * w, *weights++, bias};
        bias += style.rows;
    }

    for (int i = 0; i < 4; i++) needed_from.push_back(convolutions[i].weights.offset);
    for (int i = 0; i < 2 * BLOCKS; i++) {
        needed_from.push_back(styles[i].weights.offset);
        needed_from.push_back(convolutions[4 + i].weights.offset);
    }
    for (int i = 4 + 2 * BLOCKS; i < COLDSWAP_CONVOLUTIONS; i++) needed_from.push_back(convolutions[i].weights.offset);
    needed_from.push_back(UINT64_MAX);
    for (size_t i = needed_from.size() - 1; i-- > 0;) needed_from[i] = std::min(needed_from[i], needed_from[i + 1]);
}

}  // namespace coldswap

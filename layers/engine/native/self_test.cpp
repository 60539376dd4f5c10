#include "self_test.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "buffer.h"

namespace coldswap {
namespace {

constexpr int TEST_SIDE = 32, TEST_OUTS = 16, TEST_INS = 32;  // of the output; channels

bool is_near(float actual, double expected) { return std::fabs(actual - expected) < 1e-3; }

// What a 3 x 3 convolution reads at a place that may lie one outside.
double padded_pixel(const Source& plane, int y, int x) {
    const int side = plane.side * (plane.upsample ? 2 : 1);
    const auto is_outside = [&](int at) { return at < 0 || at >= side; };
    const auto mirror = [&](int at) { return at < 0 ? -at : at >= side ? 2 * (side - 1) - at : at; };
    if (plane.padding == Padding::reflect) return plane.pixels[mirror(y) * side + mirror(x)];
    if (is_outside(y) || is_outside(x)) return 0;
    if (!plane.upsample) return plane.pixels[y * side + x];
    double sum = 0;
    for (int i = 0; i < 4; i++) {  // bilinear, between pixel centres
        const int dy = i / 2, dx = i % 2;
        const auto neighbour = [&](int at, int far) {
            return std::clamp(far ? at / 2 + (at % 2 ? 1 : -1) : at / 2, 0, plane.side - 1);
        };
        sum +=
            (dy ? 0.25 : 0.75) * (dx ? 0.25 : 0.75) * plane.pixels[neighbour(y, dy) * plane.side + neighbour(x, dx)];
    }
    return sum;
}

bool is_winograd_correct(const Kernels& all, const std::vector<float>& pixels, int stride, Padding padding,
                         bool upsample) {
    const WinogradKernels& kernels = all.winograd[0][stride - 1];
    std::vector<uint16_t> halves(size_t(TEST_OUTS) * TEST_INS * 9);
    // Halves of a few binary digits between 1/8 and 2, of both signs.
    for (size_t i = 0; i < halves.size(); i++)
        halves[i] = uint16_t((i * 7 % 5 + 12) << 10 | (i * 37 % 16) << 6 | (i * 11 % 3 == 0) << 15);
    std::vector<float> weights(halves.size());
    all.half_to_float(halves.data(), halves.size(), weights.data());

    FloatBuffer u, v, m, scratch, output;
    u.reserve(kernels.points * padded_stride(TEST_OUTS * TEST_INS));
    v.reserve(kernels.points * padded_stride(TEST_INS * TILES));
    m.reserve(kernels.points * padded_stride(TEST_OUTS * TILES));
    scratch.reserve(SCRATCH_FLOATS);
    output.reserve(TEST_SIDE * TEST_SIDE);
    const int side = upsample ? TEST_SIDE / 2 : TEST_SIDE * stride;
    const auto input = [&](int in) { return Source{pixels.data() + in * side * side, side, padding, upsample, nullptr, nullptr}; };
    kernels.transform_kernel(halves.data(), TEST_OUTS, TEST_INS, TEST_INS, u.get());
    for (int in = 0; in < TEST_INS; in++) kernels.transform_input(input(in), {0, TILES}, in, TEST_INS, v.get(), scratch.get());
    kernels.gemm(u.get(), v.get(), TEST_OUTS, TEST_INS, TILES, true, m.get());
    for (int out = 0; out < TEST_OUTS; out++) {
        const bool leaky = out % 2;
        const float bias = 0.5f;
        const Activation activation = leaky ? Activation::leaky_relu : Activation::none;
        kernels.transform_output(m.get(), out, TEST_OUTS, {0, TILES},
                                 {output.get(), TEST_SIDE, &bias, activation, nullptr, false});
        for (int at = out % 17; at < TEST_SIDE * TEST_SIDE; at += 17) {  // every 17th pixel, and others of each channel
            double sum = 0.5;
            for (int in = 0; in < TEST_INS; in++)
                for (int tap = 0; tap < 9; tap++)
                    sum += weights[(size_t(out) * TEST_INS + in) * 9 + tap] *
                           padded_pixel(input(in), at / TEST_SIDE * stride + tap / 3 - 1,
                                        at % TEST_SIDE * stride + tap % 3 - 1);
            if (!is_near(output.get()[at], leaky && sum < 0 ? 0.2 * sum : sum)) return false;
        }
    }
    return true;
}

bool is_indirect_gemm_correct(const Kernels& kernels, const std::vector<float>& pixels) {
    constexpr int COUNT = 45, OUTS = 11;  // 11: a block of six and what is left over
    int32_t offsets[COUNT];
    for (int i = 0; i < COUNT; i++) offsets[i] = i * 67 % 200;
    std::vector<float> m(OUTS * TILES);
    const float *weights = pixels.data() + 500, *from = pixels.data() + 2000;
    for (int half = 0; half < 2; half++)  // in two steps, the second of which adds
        kernels.indirect_gemm(weights + half * 20, COUNT, from, offsets + half * 20, OUTS, half ? COUNT - 20 : 20,
                              half == 0, m.data());
    for (int out = 0; out < OUTS; out++)
        for (int x = 0; x < TILES; x++) {
            double sum = 0;
            for (int i = 0; i < COUNT; i++) sum += double(weights[out * COUNT + i]) * from[offsets[i] + x];
            if (!is_near(m[out * TILES + x], sum)) return false;
        }
    return true;
}

bool is_style_correct(const Kernels& kernels, const std::vector<float>& pixels) {
    constexpr int COUNT = 256;
    double sum = 0, squares = 0, product = 0;
    for (int i = 0; i < COUNT; i++) {
        sum += pixels[i];
        squares += double(pixels[i]) * pixels[i];
        product += double(pixels[i]) * pixels[i + 1000];
    }
    if (!is_near(kernels.dot(pixels.data(), pixels.data() + 1000, COUNT), product)) return false;
    const double mean = sum / COUNT, deviation = std::sqrt(squares / COUNT - mean * mean + 1e-5);
    std::vector<float> plane(pixels.begin(), pixels.begin() + COUNT), residual(COUNT, 2.0f);
    kernels.adain(plane.data(), COUNT, 1.5f, -0.25f, 1e-5f, residual.data());
    kernels.adain(plane.data(), COUNT, 1.5f, -0.25f, 1e-5f, nullptr);
    for (int i = 0; i < COUNT; i++) {
        const double expected = (pixels[i] - mean) / deviation * 1.5 - 0.25;
        if (!is_near(residual[i], 2 + expected) || !is_near(plane[i], std::max(expected, 0.0))) return false;
    }
    return true;
}

}  // namespace

bool is_correct(const Kernels& kernels) {
    std::vector<float> pixels(size_t(TEST_INS) * 4 * TEST_SIDE * TEST_SIDE);
    for (size_t i = 0; i < pixels.size(); i++) pixels[i] = float(i * 29 % 101) / 101 - 0.4f;
    return is_winograd_correct(kernels, pixels, 1, Padding::reflect, false) &&
           is_winograd_correct(kernels, pixels, 1, Padding::zero, false) &&
           is_winograd_correct(kernels, pixels, 1, Padding::zero, true) &&
           is_winograd_correct(kernels, pixels, 2, Padding::zero, false) && is_indirect_gemm_correct(kernels, pixels) &&
           is_style_correct(kernels, pixels);
}

}  // namespace coldswap

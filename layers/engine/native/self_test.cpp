#include "self_test.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "buffer.h"

namespace coldswap {
namespace {

constexpr int INS = 32, MOST = 64;  // input channels, and channels

bool is_near(float actual, double expected) { return std::fabs(actual - expected) < 1e-3; }

// A small 3 x 3 convolution. In blocks it is normalised before, and PReLU, or added to ones, behind.
struct Case {
    Layout layout;
    int stride, side, outs;  // side: of the output
    Padding padding;
    bool upsample;

    int in_side() const { return upsample ? side / 2 : side * stride; }
    bool in_blocks() const { return layout == Layout::blocks; }
    static double scale(int in) { return 1 + in % 5 * 0.1; }
    static double shift(int in) { return in % 3 * 0.2 - 0.1; }
    static double slope(int out) { return 0.1 + out % 5 * 0.1; }
    static double bias(int out) { return 0.5 - out % 7 * 0.1; }
    bool has_activation(int out) const { return in_blocks() ? !adds(out) : out % 2; }
    bool adds(int out) const { return in_blocks() && out % 32 >= VECTOR_CHANNELS; }

    // Where a pixel is of an activation with so many pixels a side.
    size_t at(int channel, int y, int x, int side) const {
        const int together = in_blocks() ? VECTOR_CHANNELS : 1;
        return (size_t(channel / together) * side * side + y * side + x) * together + channel % together;
    }
};

// The value of each of the first channels.
std::vector<float> list(double (*value)(int)) {
    std::vector<float> values(MOST);
    for (int channel = 0; channel < MOST; channel++) values[channel] = float(value(channel));
    return values;
}

// What the convolution reads at a place that may lie one outside.
double padded_pixel(const Case& layer, const float* pixels, int in, int y, int x) {
    const int stored = layer.in_side(), side = stored * (layer.upsample ? 2 : 1);
    const auto is_outside = [&](int at) { return at < 0 || at >= side; };
    const auto mirror = [&](int at) { return at < 0 ? -at : at >= side ? 2 * (side - 1) - at : at; };
    const auto pixel = [&](int y, int x) { return pixels[layer.at(in, y, x, stored)]; };
    if (layer.padding == Padding::reflect) return pixel(mirror(y), mirror(x));
    if (is_outside(y) || is_outside(x)) return 0;
    if (layer.in_blocks()) return pixel(y, x) * Case::scale(in) + Case::shift(in);
    if (!layer.upsample) return pixel(y, x);
    double sum = 0;
    for (int i = 0; i < 4; i++) {  // bilinear, between pixel centres
        const int dy = i / 2, dx = i % 2;
        const auto neighbour = [&](int at, int far) {
            return std::clamp(far ? at / 2 + (at % 2 ? 1 : -1) : at / 2, 0, stored - 1);
        };
        sum += (dy ? 0.25 : 0.75) * (dx ? 0.25 : 0.75) * pixel(neighbour(y, dy), neighbour(x, dx));
    }
    return sum;
}

double convolved_pixel(const Case& layer, const float* pixels, const float* weights, int out, int y, int x) {
    double sum = Case::bias(out);
    for (int in = 0; in < INS; in++)
        for (int tap = 0; tap < 9; tap++)
            sum += weights[(size_t(out) * INS + in) * 9 + tap] *
                   padded_pixel(layer, pixels, in, y * layer.stride + tap / 3 - 1, x * layer.stride + tap % 3 - 1);
    if (layer.adds(out)) return 1 + sum;
    if (!layer.has_activation(out) || sum > 0) return sum;
    return sum * (layer.in_blocks() ? Case::slope(out) : 0.2);
}

// Halves of a few binary digits between 1/8 and 2, of both signs.
std::vector<uint16_t> make_halves(size_t count) {
    std::vector<uint16_t> halves(count);
    for (size_t i = 0; i < count; i++)
        halves[i] = uint16_t((i * 7 % 5 + 12) << 10 | (i * 37 % 16) << 6 | (i * 11 % 3 == 0) << 15);
    return halves;
}

// The kernels' result, in groups of so many tiles.
std::vector<float> convolve(const WinogradKernels& kernels, const Case& layer, const float* pixels,
                            const uint16_t* halves, const std::vector<Tiles>& groups) {
    std::vector<float> output(size_t(layer.outs) * layer.side * layer.side, 1);
    const std::vector<float> scales = list(Case::scale), shifts = list(Case::shift), slopes = list(Case::slope),
                             biases = list(Case::bias);
    FloatBuffer u, v, m, scratch;
    u.reserve(kernels.points * padded_stride(layer.outs * INS));
    v.reserve(kernels.points * padded_stride(INS * TILES));
    m.reserve(kernels.points * padded_stride(layer.outs * TILES));
    scratch.reserve(SCRATCH_FLOATS);
    kernels.transform_kernel(halves, layer.outs, INS, INS, u.get());
    for (const Tiles& tiles : groups) {
        for (int in = 0; in < INS; in += kernels.channels) {
            const bool norm = layer.in_blocks();
            const Source source{pixels + layer.at(in, 0, 0, layer.in_side()),
                                layer.in_side(),
                                layer.padding,
                                layer.upsample,
                                norm ? scales.data() + in : nullptr,
                                norm ? shifts.data() + in : nullptr};
            kernels.transform_input(source, tiles, in, INS, v.get(), scratch.get());
        }
        kernels.gemm(u.get(), v.get(), layer.outs, INS, tiles.count, true, m.get());
        for (int out = 0; out < layer.outs; out += kernels.channels) {
            const Activation some = layer.in_blocks() ? Activation::prelu : Activation::leaky_relu;
            kernels.transform_output(
                m.get(), out, layer.outs, tiles,
                {output.data() + layer.at(out, 0, 0, layer.side), layer.side, biases.data() + out,
                 layer.has_activation(out) ? some : Activation::none, slopes.data() + out, layer.adds(out)});
        }
    }
    return output;
}

bool is_winograd_correct(const Kernels& all, const std::vector<float>& pixels, const Case& layer) {
    const std::vector<uint16_t> halves = make_halves(size_t(layer.outs) * INS * 9);
    std::vector<float> weights(halves.size());
    all.half_to_float(halves.data(), halves.size(), weights.data());
    const int across = (layer.side + 3) / 4, tiles = across * across, some = tiles / 3;
    const std::vector<Tiles> groups =
        layer.in_blocks() ? std::vector<Tiles>{{0, some}, {some, tiles - some}} : std::vector<Tiles>{{0, TILES}};
    const std::vector<float> output =
        convolve(all.winograd[int(layer.layout)][layer.stride - 1], layer, pixels.data(), halves.data(), groups);
    const int step = layer.in_blocks() ? 13 : 17;  // not every pixel, and others of each channel
    for (int out = 0; out < layer.outs; out++)
        for (int at = out % step; at < layer.side * layer.side; at += step) {
            const int y = at / layer.side, x = at % layer.side;
            if (!is_near(output[layer.at(out, y, x, layer.side)],
                         convolved_pixel(layer, pixels.data(), weights.data(), out, y, x)))
                return false;
        }
    return true;
}

// A convolution of one tap and stride 2 at a side of 7, whose second half of channels is added to ones.
bool is_pixel_gemm_correct(const Kernels& kernels, const std::vector<float>& pixels) {
    constexpr int C = VECTOR_CHANNELS, SIDE = 14, OUTS = 2 * C, COUNT = 7;
    const float *weights = pixels.data() + 500, *row = pixels.data() + 2000;
    int32_t offsets[INS];
    for (int i = 0; i < INS; i++) offsets[i] = i / C * C * SIDE * SIDE + i % C;
    FloatBuffer w, m;
    w.reserve(INS * OUTS);
    m.reserve(COUNT * OUTS);
    std::vector<float> output(COUNT * OUTS, 1);
    const std::vector<float> biases = list(Case::bias), slopes = list(Case::slope);
    kernels.pack_weights(weights, OUTS, INS, w.get());
    kernels.pixel_gemm(row, 2 * C, offsets, COUNT, w.get(), INS, OUTS, m.get());
    for (int half = 0; half < 2; half++)
        kernels.write_pixels(m.get(), half * C, OUTS, COUNT,
                             {output.data() + half * COUNT * C, SIDE, biases.data() + half * C,
                              half ? Activation::none : Activation::prelu, slopes.data() + half * C, half == 1},
                             0);
    for (int out = 0; out < OUTS; out++)
        for (int pixel = 0; pixel < COUNT; pixel++) {
            double sum = Case::bias(out);
            for (int i = 0; i < INS; i++) sum += double(weights[out * INS + i]) * row[pixel * 2 * C + offsets[i]];
            const double expected = out >= C ? 1 + sum : sum > 0 ? sum : Case::slope(out) * sum;
            if (!is_near(output[(out / C * COUNT + pixel) * C + out % C], expected)) return false;
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
    constexpr Layout planes = Layout::planes, blocks = Layout::blocks;
    constexpr Padding zero = Padding::zero;
    const Case cases[] = {
        {planes, 1, 32, 16, Padding::reflect, false},
        {planes, 1, 32, 16, zero, false},
        {planes, 1, 32, 16, zero, true},
        {planes, 2, 32, 16, zero, false},
        {blocks, 1, 14, 64, zero, false},
        {blocks, 1, 7, 32, zero, false},
        {blocks, 2, 14, 16, zero, false},
        {blocks, 2, 7, 32, zero, false},
    };
    std::vector<float> pixels(size_t(INS) * 64 * 64);
    for (size_t i = 0; i < pixels.size(); i++) pixels[i] = float(i * 29 % 101) / 101 - 0.4f;
    for (const Case& layer : cases)
        if (!is_winograd_correct(kernels, pixels, layer)) return false;
    return is_indirect_gemm_correct(kernels, pixels) && is_pixel_gemm_correct(kernels, pixels) &&
           is_style_correct(kernels, pixels);
}

}  // namespace coldswap

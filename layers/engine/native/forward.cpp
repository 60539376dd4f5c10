#include "forward.h"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <cstring>
#include <exception>
#include <future>
#include <thread>

#include "winograd.h"

namespace coldswap {
namespace {

constexpr int IC_BLOCK = 32;                       // input channels of a block of weights
constexpr int OC_BLOCK = 64, OC_BLOCK_SMALL = 32;  // output channels of it; small for stride 2, whose blocks are larger
constexpr int BAND = 16;                           // output rows of a 7 x 7 convolution at one time
constexpr size_t MAX_V_FLOATS = (size_t(19) << 20) / sizeof(float);  // of transformed input, of all groups together

size_t plane_floats(int side) { return size_t(side) * side; }

const uint16_t* as_halves(const uint8_t* bytes) { return reinterpret_cast<const uint16_t*>(bytes); }

// A 7 x 7 convolution's padded row, and a band of them for BAND rows of output.
int band_stride(const Convolution& layer) { return layer.side + layer.kernel + 1; }
int band_rows(const Convolution& layer) { return BAND + layer.kernel - 1; }
size_t band_floats(const Convolution& layer) { return size_t(band_rows(layer)) * band_stride(layer); }

float activate(float value, Activation activation) {
    switch (activation) {
        case Activation::leaky_relu: return value > 0 ? value : 0.2f * value;
        case Activation::tanh: return (std::tanh(value) + 1) / 2;  // a pixel, 0 to 1
        default: return value;
    }
}

}  // namespace

void Barrier::wait() {
    std::unique_lock<std::mutex> lock(mutex_);
    const unsigned round = round_;
    if (++waiting_ == count_) {
        waiting_ = 0;
        round_++;
        all_here_.notify_all();
    } else {
        all_here_.wait(lock, [&] { return round_ != round; });
    }
}

ForwardPass::ForwardPass(const Network& network, const Kernels& kernels, WeightStream& weights, int threads,
                         int max_groups, Workspace& workspace, StyleCache& cache, int count, const float* crops,
                         const float* latents, float* out)
    : network_(network),
      kernels_(kernels),
      weights_(weights),
      threads_(threads),
      max_groups_(max_groups),
      workspace_(workspace),
      cache_(cache),
      count_(count),
      crops_(crops),
      latents_(latents),
      out_(out),
      next_task_(4096 + 512 * size_t(count)) {
    assert(count > 0 && threads > 0 && max_groups > 0);
    const std::vector<float>& cached = cache.latents;
    styles_are_cached_ = cached.size() == size_t(count) * LATENT && std::equal(cached.begin(), cached.end(), latents);
    if (!styles_are_cached_) cache.styles.resize(size_t(COLDSWAP_STYLES) * count * 16 * network.width);
    reserve();
}

void ForwardPass::reserve() {
    const size_t widest = network_.width * plane_floats(SIDE);
    workspace_.a.reserve(widest * count_);
    workspace_.b.reserve(2 * widest * count_);
    size_t u = 0, v = 0, m = 0, offsets = 0;
    for (const Convolution& layer : network_.convolutions) {
        if (layer.is_winograd()) {
            const Tiling tiling = tile(layer);
            u = std::max(u, tiling.u_floats * (tiling.together > 1 ? tiling.ic_blocks : 1));
            v = std::max(v, tiling.v_floats * tiling.ic_blocks * tiling.together);
            m = std::max(m, kernels_.winograd[layer.stride - 1].points * padded_stride(tiling.oc_block * TILES));
        } else {
            const int inner = layer.ins * layer.kernel * layer.kernel;
            u = std::max(u, size_t(std::min(layer.outs, OC_BLOCK)) * inner);
            v = std::max(v, layer.ins * band_floats(layer));
            m = std::max(m, size_t(OC_BLOCK) * TILES);
            offsets = std::max(offsets, size_t(inner));
        }
    }
    workspace_.v.reserve(v);
    workspace_.threads.resize(threads_);
    for (ThreadScratch& thread : workspace_.threads) {
        thread.u.reserve(u);
        thread.m.reserve(m);
        thread.scratch.reserve(std::max(SCRATCH_FLOATS, plane_floats(SIDE / 4)));
        thread.offsets.resize(std::max(thread.offsets.size(), offsets));
        thread.phase = 0;
    }
}

bool ForwardPass::run() {
    std::vector<std::thread> others;
    others.reserve(threads_);
    std::promise<void> all_started;
    const std::shared_future<void> start = all_started.get_future().share();
    try {
        for (int i = 1; i < threads_; i++)
            others.emplace_back([this, start, &thread = workspace_.threads[i]] {
                start.wait();
                forward(thread);
            });
    } catch (const std::exception&) {
        // The system has no more threads, or no memory for them: those that there are do the work.
    }
    barrier_.expect(int(others.size()) + 1);
    all_started.set_value();
    forward(workspace_.threads[0]);
    for (std::thread& other : others) other.join();
    if (failed_)
        cache_.latents.clear();
    else
        cache_.latents.assign(latents_, latents_ + size_t(count_) * LATENT);
    return !failed_;
}

// The tasks 0, 1, … by whichever thread is free; all are done when it returns.
template <class Work>
void ForwardPass::parallel_for(ThreadScratch& thread, int tasks, Work work) {
    assert(size_t(thread.phase) < next_task_.size());
    std::atomic<int>& next = next_task_[thread.phase++];
    for (int task; !failed_ && (task = next++) < tasks;) work(task);
    barrier_.wait();
}

bool ForwardPass::wait_for_weights(uint64_t end) {
    if (weights_.wait_until_available(end)) return true;
    failed_ = true;
    return false;
}

float* ForwardPass::style_of(int number, int image) const {
    return cache_.styles.data() + (size_t(number) * count_ + image) * network_.styles[number].rows;
}

void ForwardPass::style(ThreadScratch& thread, int number) {
    if (styles_are_cached_) return;
    const Style& style = network_.styles[number];
    constexpr int ROWS = 64;
    parallel_for(thread, style.rows / ROWS, [&](int task) {
        if (!wait_for_weights(style.end((task + 1) * ROWS))) return;
        alignas(64) float row[LATENT];
        for (int r = task * ROWS; r < (task + 1) * ROWS; r++) {
            const uint8_t* from = weights_.memory + style.end(r);
            if (style.weights.half)
                kernels_.half_to_float(as_halves(from), LATENT, row);
            else
                std::memcpy(row, from, sizeof row);
            for (int image = 0; image < count_; image++)
                style_of(number, image)[r] =
                    kernels_.dot(row, latents_ + size_t(image) * LATENT, LATENT) + style.bias[r];
        }
    });
}

Tiling ForwardPass::tile(const Convolution& layer) const {
    const size_t points = kernels_.winograd[layer.stride - 1].points;
    const int oc_block = layer.stride == 1 ? OC_BLOCK : OC_BLOCK_SMALL, across = layer.side / TILE;
    Tiling t;
    t.group_rows = TILES / across;
    t.groups_per_image = across / t.group_rows;
    t.groups = t.groups_per_image * count_;
    t.ic_block = layer.ins % IC_BLOCK ? VECTOR_CHANNELS : IC_BLOCK;
    t.ic_blocks = layer.ins / t.ic_block;
    // No thread is to be without a block.
    t.oc_block = layer.outs % oc_block || layer.outs < oc_block * threads_ ? VECTOR_CHANNELS : oc_block;
    t.u_floats = points * padded_stride(size_t(t.oc_block) * t.ic_block);
    t.v_floats = points * padded_stride(size_t(t.ic_block) * TILES);
    t.together = std::max(1, std::min({t.groups, max_groups_, int(MAX_V_FLOATS / (t.v_floats * t.ic_blocks))}));
    return t;
}

// `from(image)` is the first plane of an image's input, `to(image, channel)` a plane of its output; `done(image,
// channel)` is called when that is whole, of layers whose planes are one group.
template <class From, class To, class Done>
void ForwardPass::winograd(ThreadScratch& thread, const Convolution& layer, Activation activation, From from, To to,
                           Done done) {
    const WinogradKernels& kernels = kernels_.winograd[layer.stride - 1];
    const Tiling t = tile(layer);
    const int side = layer.in_side();
    float *const u = thread.u.get(), *const m = thread.m.get();
    const auto v_of = [&](int group, int block) {
        return workspace_.v.get() + (size_t(group) * t.ic_blocks + block) * t.v_floats;
    };

    for (int first = 0; first < t.groups; first += t.together) {
        const int groups = std::min(t.together, t.groups - first);
        const auto image_of = [&](int group) { return (first + group) / t.groups_per_image; };
        const auto tile_row_of = [&](int group) { return (first + group) % t.groups_per_image * t.group_rows; };

        parallel_for(thread, groups * t.ic_blocks, [&](int task) {
            const int group = task / t.ic_blocks, block = task % t.ic_blocks;
            for (int in = 0; in < t.ic_block; in++) {
                const float* pixels = from(image_of(group)) + (size_t(block) * t.ic_block + in) * plane_floats(side);
                kernels.transform_input({pixels, side, side, layer.padding, layer.upsample}, tile_row_of(group), in,
                                        t.ic_block, v_of(group, block), thread.scratch.get());
            }
        });
        parallel_for(thread, layer.outs / t.oc_block, [&](int task) {
            const int out = task * t.oc_block;
            if (!wait_for_weights(layer.end(out + t.oc_block))) return;
            const auto transform_kernels = [&](int block, float* to) {
                const uint16_t* weights = as_halves(weights_.memory + layer.end(out)) + size_t(block) * t.ic_block * 9;
                kernels.transform_kernel(weights, t.oc_block, t.ic_block, layer.ins, to);
            };
            // One group uses each block once, right after it was made; several need all blocks.
            if (groups > 1)
                for (int block = 0; block < t.ic_blocks; block++) transform_kernels(block, u + block * t.u_floats);
            for (int group = 0; group < groups; group++) {
                for (int block = 0; block < t.ic_blocks; block++) {
                    if (groups == 1) transform_kernels(block, u);
                    kernels.gemm(groups == 1 ? u : u + block * t.u_floats, v_of(group, block), t.oc_block, t.ic_block,
                                 block == 0, m);
                }
                const int image = image_of(group);
                for (int i = 0; i < t.oc_block; i++) {
                    kernels.transform_output(m, i, t.oc_block, tile_row_of(group), layer.side, layer.bias[out + i],
                                             activation, to(image, out + i));
                    done(image, out + i);
                }
            }
        });
    }
}

// A 7 x 7 convolution, as a matrix product over rows of the padded input that begin one pixel after another.
template <class From, class To>
void ForwardPass::direct(ThreadScratch& thread, const Convolution& layer, Activation activation, From from, To to) {
    assert(layer.stride == 1 && layer.padding == Padding::reflect && layer.side % BAND == 0);
    const int k = layer.kernel, oc_block = std::min(layer.outs, layer.outs < OC_BLOCK * threads_ ? 16 : OC_BLOCK);
    for (int i = 0; i < layer.ins * k * k; i++)
        thread.offsets[i] = int32_t(i / (k * k) * band_floats(layer) + i / k % k * band_stride(layer) + i % k);
    const int blocks = (layer.outs + oc_block - 1) / oc_block;
    const int splits = blocks < 2 * threads_ ? 4 : 1;  // few output channels are divided by rows as well
    for (int image = 0; image < count_; image++)
        for (int top = 0; top < layer.side; top += BAND) {
            parallel_for(thread, layer.ins, [&](int channel) {
                pack_band(layer, top, channel, from(image) + channel * plane_floats(layer.side));
            });
            parallel_for(thread, blocks * splits, [&](int task) {
                const int out = task / splits * oc_block, outs = std::min(oc_block, layer.outs - out);
                if (!wait_for_weights(layer.end(out + outs))) return;
                multiply_band(thread, layer, activation, top, out, outs, task % splits * (BAND / splits), BAND / splits,
                              [&](int channel) { return to(image, channel); });
            });
        }
}

// Rows of one channel, padded on all sides, for BAND rows of output from `top` on.
template <class Plane>
void ForwardPass::pack_band(const Convolution& layer, int top, int channel, Plane plane) {
    const int pad = layer.kernel / 2, side = layer.side;
    const auto mirror = [&](int at) { return at < 0 ? -at : at >= side ? 2 * (side - 1) - at : at; };
    float* row = workspace_.v.get() + channel * band_floats(layer);
    for (int y = 0; y < band_rows(layer); y++, row += band_stride(layer)) {
        const float* line = plane + size_t(mirror(top + y - pad)) * side;
        for (int x = 0; x < pad; x++) {
            row[x] = line[mirror(x - pad)];
            row[pad + side + x] = line[mirror(side + x)];
        }
        std::memcpy(row + pad, line, side * sizeof *line);
    }
}

template <class To>
void ForwardPass::multiply_band(ThreadScratch& thread, const Convolution& layer, Activation activation, int top,
                                int out, int outs, int first_row, int rows, To to) {
    const int inner = layer.ins * layer.kernel * layer.kernel, step = std::min(inner, IC_BLOCK * 9);
    float *const u = thread.u.get(), *const m = thread.m.get();
    const uint8_t* from = weights_.memory + layer.end(out);
    if (layer.weights.half)
        kernels_.half_to_float(as_halves(from), size_t(outs) * inner, u);
    else
        std::memcpy(u, from, size_t(outs) * inner * sizeof(float));
    for (int y = first_row; y < first_row + rows; y++)
        for (int column = 0; column < layer.side; column += TILES) {
            const float* corner = workspace_.v.get() + size_t(y) * band_stride(layer) + column;
            for (int i = 0; i < inner; i += step)
                kernels_.indirect_gemm(u + i, inner, corner, thread.offsets.data() + i, outs, std::min(step, inner - i),
                                       i == 0, m);
            for (int i = 0; i < outs; i++) {
                float* line = to(out + i) + size_t(top + y) * layer.side + column;
                for (int x = 0; x < TILES; x++)
                    line[x] = activate(m[size_t(i) * TILES + x] + layer.bias[out + i], activation);
            }
        }
}

// x + AdaIN(conv(ReLU(AdaIN(conv(x))))): x is in b, what lies between in a. The second normalisation needs its plane
// but for a moment, so each is made in the thread's own memory.
void ForwardPass::residual_block(ThreadScratch& thread, int number) {
    constexpr int PIXELS = SIDE / 4 * (SIDE / 4);
    const int channels = 8 * network_.width, first = 2 * number, second = first + 1;
    const size_t widest = network_.width * plane_floats(SIDE);
    const auto between = [&](int image) { return workspace_.a.get() + image * widest; };
    const auto x = [&](int image) { return workspace_.b.get() + image * 2 * widest; };
    const auto normalise = [&](int style, int image, int channel, float* plane, float* sum) {
        const float* scales = style_of(style, image);
        kernels_.adain(plane, PIXELS, scales[channel], scales[channels + channel], network_.epsilon, sum);
    };
    const auto between_plane = [&](int image, int channel) { return between(image) + size_t(channel) * PIXELS; };
    const auto own_plane = [&](int, int) { return thread.scratch.get(); };

    const int step = 4 + 4 * number;
    style(thread, first);
    finish_step(step);
    winograd(thread, network_.convolutions[4 + first], Activation::none, x, between_plane,
             [&](int image, int channel) { normalise(first, image, channel, between_plane(image, channel), nullptr); });
    finish_step(step + 1);
    style(thread, second);
    finish_step(step + 2);
    winograd(thread, network_.convolutions[4 + second], Activation::none, between, own_plane,
             [&](int image, int channel) {
                 normalise(second, image, channel, own_plane(image, channel), x(image) + size_t(channel) * PIXELS);
             });
    finish_step(step + 3);
}

void ForwardPass::finish_step(int step) {
    if (!failed_) weights_.release(network_.needed_from[step + 1]);
}

void ForwardPass::forward(ThreadScratch& thread) {
    const size_t widest = network_.width * plane_floats(SIDE), picture = 3 * plane_floats(SIDE);
    const auto crop = [&](int image) { return crops_ + image * picture; };
    const auto result = [&](int image) { return out_ + image * picture; };
    const auto a = [&](int image) { return workspace_.a.get() + image * widest; };
    const auto b = [&](int image) { return workspace_.b.get() + image * 2 * widest; };
    const auto planes = [](auto of, int side) {
        return [=](int image, int channel) { return of(image) + channel * plane_floats(side); };
    };
    const auto nothing = [](int, int) {};
    constexpr Activation LEAKY = Activation::leaky_relu;
    const Convolution *encoder = network_.convolutions, *decoder = encoder + 4 + 2 * BLOCKS;

    direct(thread, encoder[0], LEAKY, crop, planes(a, SIDE));
    finish_step(0);
    winograd(thread, encoder[1], LEAKY, a, planes(b, SIDE), nothing);
    finish_step(1);
    winograd(thread, encoder[2], LEAKY, b, planes(a, SIDE / 2), nothing);
    finish_step(2);
    winograd(thread, encoder[3], LEAKY, a, planes(b, SIDE / 4), nothing);
    finish_step(3);
    for (int number = 0; number < BLOCKS; number++) residual_block(thread, number);
    int step = 4 + 4 * BLOCKS;
    winograd(thread, decoder[0], LEAKY, b, planes(a, SIDE / 2), nothing);
    finish_step(step++);
    winograd(thread, decoder[1], LEAKY, a, planes(b, SIDE), nothing);
    finish_step(step++);
    winograd(thread, decoder[2], LEAKY, b, planes(a, SIDE), nothing);
    finish_step(step++);
    direct(thread, decoder[3], Activation::tanh, a, planes(result, SIDE));
}

}  // namespace coldswap

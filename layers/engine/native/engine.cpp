// A network of the inswapper_128 family: four convolutions down, six residual blocks whose normalisation is told the
// face (AdaIN), four convolutions up. Fp32 arithmetic on weights that stay fp16 in the memory they arrived in.
//
// Nearly all of the arithmetic is in 3 x 3 convolutions of stride 1. They are done as F(4 x 4, 3 x 3) of Winograd's
// (A. Lavin, S. Gray: Fast Algorithms for Convolutional Neural Networks, 2015): 6 x 6 pixels of input and the kernel are
// transformed to 36 points, multiplied point by point, and transformed back to 4 x 4 pixels of output. 36 products
// instead of 144; and over all channels, each point is a matrix product.
//
// The weights are not transformed once and kept, which would make four times as much memory of them. A block of 64 output
// and 32 input channels is decoded and transformed into the cache just before it is used for a group of 64 tiles (or for
// some groups, one after the other), and forgotten.
//
// Every thread walks through the same layers, and takes what is to be done in each from a common counter. A thread that
// needs weights waits until the bytes have been announced; that is all there is to streaming.

#include "engine.h"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstdlib>
#include <cmath>
#include <cstring>
#include <exception>
#include <future>
#include <memory>
#include <mutex>
#include <new>
#include <thread>
#include <vector>

#include "kernels.h"

namespace coldswap {
namespace {

constexpr int SIDE = 128, LATENT = 512, BLOCKS = 6;
constexpr int OUTS = 64, INS = 32;                     // channels of a block of weights
constexpr int BAND = 16;                               // output rows of a direct convolution at one time
constexpr size_t INPUT_BYTES = size_t(19) << 20;       // of transformed input: what its groups may take together
constexpr int MOST_GROUPS = 4;
constexpr size_t SCRATCH = size_t(40) * 4 * (LONGEST_ROW / 4 + 16);  // floats for the rows of a group of tiles

// Memory that vectors are loaded from, set to nothing, and kept for the next run: clearing fresh pages costs a tenth of one.
class Floats {
   public:
    float* get() const { return memory_.get(); }
    void have(size_t count) {
        if (count <= count_) return;
        free();
        memory_.reset(static_cast<float*>(std::aligned_alloc(64, (count * sizeof(float) + 63) / 64 * 64)));
        if (!memory_) throw std::bad_alloc();
        count_ = count;
    }
    void free() {
        memory_.reset();
        count_ = 0;
    }

   private:
    struct Free {
        void operator()(float* p) const { std::free(p); }
    };
    std::unique_ptr<float, Free> memory_;
    size_t count_ = 0;
};

// What a thread works in: weights of one block of channels, what is multiplied with them, a channel's rows, and where
// the inputs of a direct convolution lie.
struct Own {
    Floats u, m, scratch;
    std::vector<int32_t> offsets;
    int phase = 0;
};

// What a run works in: two activations, transformed input, and each thread's own.
struct Workspace {
    Floats a, b, input;
    std::vector<Own> own;
};

struct Layer {
    int ins, outs, side;  // channels; height and width of the output
    int kernel, stride;
    Edge edge;
    coldswap_weights at;
    const float* bias;
    size_t bytes() const { return size_t(outs) * ins * kernel * kernel * (at.half ? 2 : 4); }
    uint64_t end(int out) const { return at.offset + bytes() / outs * out; }  // of the first `out` output channels
    bool direct() const { return kernel == 7 || stride == 2; }  // others go through Winograd's transform
};

struct Style {
    int rows;
    coldswap_weights at;
    const float* bias;
    uint64_t end(int row) const { return at.offset + uint64_t(row) * LATENT * (at.half ? 2 : 4); }
};

class Barrier {
   public:
    // How many will wait at it; nobody may before this is known.
    void expect(int count) { count_ = count; }
    void wait() {
        std::unique_lock<std::mutex> lock(mutex_);
        const unsigned round = round_;
        if (++here_ == count_) {
            here_ = 0;
            round_++;
            all_.notify_all();
        } else {
            all_.wait(lock, [&] { return round_ != round; });
        }
    }

   private:
    std::mutex mutex_;
    std::condition_variable all_;
    int count_ = 0;
    int here_ = 0;
    unsigned round_ = 0;
};

struct Run;

class Engine {
   public:
    Engine(int width, float epsilon, int threads, bool lean, const Kernels& kernels, const uint8_t* weights, const coldswap_weights* at,
           const float* biases);
    const char* instructions() const { return kernels_.name; }
    void advance(uint64_t bytes);
    void fail();
    void restart();
    uint64_t released(uint64_t bytes);
    bool run(int count, const float* crops, const float* latents, float* out);
    void trim() { workspace_ = Workspace(); }

   private:
    friend struct Run;
    bool wait(uint64_t bytes);
    void release(uint64_t bytes);

    const int width_;
    const float epsilon_;
    const int threads_, most_groups_;
    const Kernels& kernels_;
    const uint8_t* const weights_;
    std::vector<float> biases_;
    Layer convolutions_[COLDSWAP_CONVOLUTIONS];
    Style styles_[COLDSWAP_STYLES];
    std::vector<uint64_t> needed_from_;  // the first byte of the file that a step, or any after it, uses

    std::mutex mutex_;
    std::condition_variable changed_;
    uint64_t available_ = 0, released_ = 0;
    bool failed_ = false;

    std::vector<float> known_latents_, known_styles_;  // of the last faces: they often come again
    Workspace workspace_;
};

// What the threads of one run share, and the walk through the network that each of them takes.
struct Run {
    Run(Engine& engine, int count, const float* crops, const float* latents, float* out);
    size_t u_floats() const;
    void walk(Own& own);

    Engine& engine;
    const Kernels& kernels;
    const int count;
    const float *crops, *latents;
    float* const out;
    bool styled;  // the styles are known already
    Floats &a, &b, &input;
    const size_t a_each, b_each;
    std::vector<std::atomic<int>> taken;
    Barrier barrier;
    std::atomic<bool> broken{false};

    template <class Work>
    void share(Own& own, int tasks, Work work);
    bool wait(uint64_t bytes);
    void style(Own& own, int number);
    void finished(int step);
    template <class From, class To, class Done>
    void winograd(Own& own, const Layer& layer, bool leaky, From from, To to, Done done);
    template <class From, class To>
    void direct(Own& own, const Layer& layer, After after, From from, To to);
    float* styles(int number, int image) const;
};

Engine::Engine(int width, float epsilon, int threads, bool lean, const Kernels& kernels, const uint8_t* weights, const coldswap_weights* at,
               const float* biases)
    : width_(width), epsilon_(epsilon), threads_(threads), most_groups_(lean ? 1 : MOST_GROUPS), kernels_(kernels), weights_(weights) {
    const int w = width;
    Layer* next = convolutions_;
    auto add = [&](int ins, int outs, int side, int kernel, int stride, Edge edge) {
        *next++ = Layer{ins, outs, side, kernel, stride, edge, {}, nullptr};
    };
    add(3, w, SIDE, 7, 1, Edge::reflect);
    add(w, 2 * w, SIDE, 3, 1, Edge::zero);
    add(2 * w, 4 * w, SIDE / 2, 3, 2, Edge::zero);
    add(4 * w, 8 * w, SIDE / 4, 3, 2, Edge::zero);
    for (int i = 0; i < 2 * BLOCKS; i++) add(8 * w, 8 * w, SIDE / 4, 3, 1, Edge::reflect);
    add(8 * w, 4 * w, SIDE / 2, 3, 1, Edge::upsample);
    add(4 * w, 2 * w, SIDE, 3, 1, Edge::upsample);
    add(2 * w, w, SIDE, 3, 1, Edge::zero);
    add(w, 3, SIDE, 7, 1, Edge::reflect);

    size_t total = 0;
    for (const Layer& layer : convolutions_) total += layer.outs;
    biases_.assign(biases, biases + total + size_t(COLDSWAP_STYLES) * 16 * w);
    const float* bias = biases_.data();
    for (Layer& layer : convolutions_) {
        layer.at = *at++;
        layer.bias = bias;
        bias += layer.outs;
    }
    for (Style& style : styles_) {
        style = Style{16 * w, *at++, bias};
        bias += style.rows;
    }

    std::vector<uint64_t>& used = needed_from_;
    for (int i = 0; i < 4; i++) used.push_back(convolutions_[i].at.offset);
    for (int i = 0; i < 2 * BLOCKS; i++) {
        used.push_back(styles_[i].at.offset);
        used.push_back(convolutions_[4 + i].at.offset);
    }
    for (int i = 4 + 2 * BLOCKS; i < COLDSWAP_CONVOLUTIONS; i++) used.push_back(convolutions_[i].at.offset);
    used.push_back(UINT64_MAX);
    for (size_t i = used.size() - 1; i-- > 0;) used[i] = std::min(used[i], used[i + 1]);
}

void Engine::advance(uint64_t bytes) {
    std::lock_guard<std::mutex> lock(mutex_);
    available_ = std::max(available_, bytes);
    changed_.notify_all();
}

void Engine::fail() {
    std::lock_guard<std::mutex> lock(mutex_);
    failed_ = true;
    changed_.notify_all();
}

void Engine::restart() {
    std::lock_guard<std::mutex> lock(mutex_);
    available_ = released_ = 0;
    failed_ = false;
}

bool Engine::wait(uint64_t bytes) {
    std::unique_lock<std::mutex> lock(mutex_);
    changed_.wait(lock, [&] { return failed_ || available_ >= bytes; });
    return available_ >= bytes;
}

void Engine::release(uint64_t bytes) {
    std::lock_guard<std::mutex> lock(mutex_);
    released_ = std::max(released_, bytes);
    changed_.notify_all();
}

uint64_t Engine::released(uint64_t bytes) {
    std::unique_lock<std::mutex> lock(mutex_);
    changed_.wait(lock, [&] { return released_ > bytes || failed_; });
    return released_;
}

bool Engine::run(int count, const float* crops, const float* latents, float* out) {
    Run run(*this, count, crops, latents, out);
    std::vector<std::thread> others;
    others.reserve(threads_);
    std::promise<void> counted;
    const std::shared_future<void> start = counted.get_future().share();
    try {
        for (int i = 1; i < threads_; i++)
            others.emplace_back([&run, start, &own = workspace_.own[i]] {
                start.wait();
                run.walk(own);
            });
    } catch (const std::exception&) {
        // The system has no more threads, or no memory for them: those that there are do the work.
    }
    run.barrier.expect(int(others.size()) + 1);
    counted.set_value();
    run.walk(workspace_.own[0]);
    for (std::thread& other : others) other.join();
    release(UINT64_MAX);
    if (most_groups_ == 1) trim();
    if (run.broken) {
        known_latents_.clear();
        return false;
    }
    known_latents_.assign(latents, latents + size_t(count) * LATENT);
    return true;
}

Run::Run(Engine& engine, int count, const float* crops, const float* latents, float* out)
    : engine(engine),
      kernels(engine.kernels_),
      count(count),
      crops(crops),
      latents(latents),
      out(out),
      a(engine.workspace_.a),
      b(engine.workspace_.b),
      input(engine.workspace_.input),
      a_each(size_t(engine.width_) * SIDE * SIDE),
      b_each(2 * a_each),
      taken(4096 + 512 * size_t(count)) {
    a.have(a_each * count);
    b.have(b_each * count);
    // One group of the widest layer, or as many as go together; or a band of the widest direct one.
    const size_t group = size_t(8) * engine.width_ / 16 * POINTS * apart(16 * GROUP), band = size_t(4) * engine.width_ * 34 * 2 * 80;
    input.have(std::max({group, band, std::min(group * engine.most_groups_, INPUT_BYTES / sizeof(float))}));
    engine.workspace_.own.resize(engine.threads_);
    for (Own& own : engine.workspace_.own) {
        own.u.have(u_floats());
        own.m.have(POINTS * apart(OUTS * GROUP));
        own.scratch.have(SCRATCH);
        for (const Layer& layer : engine.convolutions_)
            if (layer.direct()) own.offsets.resize(std::max(own.offsets.size(), size_t(layer.ins) * layer.kernel * layer.kernel));
        own.phase = 0;
    }
    const std::vector<float>& known = engine.known_latents_;
    styled = known.size() == size_t(count) * LATENT && std::equal(known.begin(), known.end(), latents);
    if (!styled) engine.known_styles_.resize(size_t(COLDSWAP_STYLES) * count * 16 * engine.width_);
}

// The tasks 0, 1, … of this phase, each by one thread; all are done when it returns.
template <class Work>
void Run::share(Own& own, int tasks, Work work) {
    std::atomic<int>& next = taken[own.phase++];
    for (int task; !broken && (task = next++) < tasks;) work(task);
    barrier.wait();
}

bool Run::wait(uint64_t bytes) {
    if (engine.wait(bytes)) return true;
    broken = true;
    return false;
}

void Run::finished(int step) {
    if (!broken) engine.release(engine.needed_from_[step + 1]);
}

float* Run::styles(int number, int image) const {
    return engine.known_styles_.data() + (size_t(number) * count + image) * engine.styles_[number].rows;
}

void Run::style(Own& own, int number) {
    if (styled) return;
    const Style& style = engine.styles_[number];
    constexpr int ROWS = 64;
    share(own, style.rows / ROWS, [&](int task) {
        if (!wait(style.end((task + 1) * ROWS))) return;
        alignas(64) float row[LATENT];
        for (int r = task * ROWS; r < (task + 1) * ROWS; r++) {
            const uint8_t* from = engine.weights_ + style.end(r);
            if (style.at.half)
                kernels.to_float(reinterpret_cast<const uint16_t*>(from), LATENT, row);
            else
                std::memcpy(row, from, sizeof row);
            for (int image = 0; image < count; image++)
                styles(number, image)[r] =
                    kernels.dot(row, latents + size_t(image) * LATENT, LATENT) + style.bias[r];
        }
    });
}

// `from(image)` is the first plane of an image's input, `to(image, channel)` a plane of its output; `done(image, channel)`
// is called when that is whole, of layers whose planes are one group.
template <class From, class To, class Done>
void Run::winograd(Own& own, const Layer& layer, bool leaky, From from, To to, Done done) {
    const int across = layer.side / 4, rows = GROUP / across, each = layer.side * layer.side / (16 * GROUP);
    const int ins = layer.ins % INS ? 16 : INS, blocks = layer.ins / ins;
    const int outs = layer.outs % OUTS || layer.outs < OUTS * engine.threads_ ? 16 : OUTS;
    const size_t block_floats = POINTS * apart(size_t(ins) * GROUP), group_floats = blocks * block_floats;
    const size_t u_floats = POINTS * apart(size_t(outs) * ins);
    const int in_side = layer.edge == Edge::upsample ? layer.side / 2 : layer.side;
    const size_t in_plane = size_t(in_side) * in_side;
    const int all = each * count;
    const int together = std::max(1, std::min({all, engine.most_groups_, int(INPUT_BYTES / (group_floats * sizeof(float)))}));
    const uint16_t* weights = reinterpret_cast<const uint16_t*>(engine.weights_ + layer.at.offset);

    for (int first = 0; first < all; first += together) {
        const int groups = std::min(together, all - first);
        share(own, groups * blocks, [&](int task) {
            const int group = first + task / blocks, block = task % blocks, image = group / each;
            float* v = input.get() + (task / blocks) * group_floats + block * block_floats;
            for (int i = 0; i < ins; i++) {
                const float* plane = from(image) + (size_t(block) * ins + i) * in_plane;
                kernels.winograd_input({plane, in_side, in_side}, layer.edge, group % each * rows, i, ins, v,
                                       own.scratch.get());
            }
        });
        share(own, layer.outs / outs, [&](int task) {
            const int out = task * outs;
            if (!wait(layer.end(out + outs))) return;
            const uint16_t* kernel = weights + size_t(out) * layer.ins * 9;
            if (groups > 1)
                for (int block = 0; block < blocks; block++)
                    kernels.winograd_weights(kernel + size_t(block) * ins * 9, outs, ins, layer.ins,
                                             own.u.get() + block * u_floats);
            for (int g = 0; g < groups; g++) {
                const int group = first + g, image = group / each;
                for (int block = 0; block < blocks; block++) {
                    float* u = own.u.get() + (groups > 1 ? block * u_floats : 0);
                    if (groups == 1)
                        kernels.winograd_weights(kernel + size_t(block) * ins * 9, outs, ins, layer.ins, u);
                    kernels.winograd_product(u, input.get() + g * group_floats + block * block_floats, outs, ins,
                                             block == 0, own.m.get());
                }
                for (int i = 0; i < outs; i++) {
                    kernels.winograd_output(own.m.get(), i, outs, group % each * rows, layer.side,
                                            layer.bias[out + i], leaky, to(image, out + i));
                    done(image, out + i);
                }
            }
        });
    }
}

template <class From, class To>
void Run::direct(Own& own, const Layer& layer, After after, From from, To to) {
    const int k = layer.kernel, pad = k / 2, stride = layer.stride, in_side = layer.side * stride;
    // A padded row, its columns apart by parity where every second one is skipped.
    const int parity = (in_side + 2 * pad + 1) / stride + 8, row_floats = parity * stride;
    const int band_rows = (BAND - 1) * stride + k, bands = layer.side / BAND;
    const size_t plane_floats = size_t(band_rows) * row_floats, in_plane = size_t(in_side) * in_side;
    const int outs = std::min(layer.outs, layer.outs < OUTS * engine.threads_ ? 16 : OUTS);
    const int columns = std::min(layer.side, GROUP), inner = layer.ins * k * k, some = std::min(inner, INS * 9);

    int32_t* const offsets = own.offsets.data();
    for (int i = 0; i < layer.ins; i++)
        for (int y = 0; y < k; y++)
            for (int x = 0; x < k; x++)
                offsets[(i * k + y) * k + x] = int32_t(i * plane_floats + y * row_floats + x % stride * parity + x / stride);

    for (int part = 0; part < bands * count; part++) {
        const int image = part / bands, top = part % bands * BAND;
        share(own, layer.ins, [&](int channel) {
            const float* plane = from(image) + channel * in_plane;
            float* rows = input.get() + channel * plane_floats;
            for (int y = 0; y < band_rows; y++, rows += row_floats) {
                int source = top * stride + y - pad;
                const bool outside = source < 0 || source >= in_side;
                if (outside && layer.edge == Edge::reflect) source = source < 0 ? -source : 2 * (in_side - 1) - source;
                std::fill(rows, rows + row_floats, 0.0f);
                if (outside && layer.edge == Edge::zero) continue;
                const float* line = plane + size_t(source) * in_side;
                for (int x = -pad; x < in_side + pad; x++) {
                    int column = x;
                    if (x < 0 || x >= in_side) {
                        if (layer.edge == Edge::zero) continue;
                        column = x < 0 ? -x : 2 * (in_side - 1) - x;
                    }
                    rows[(x + pad) % stride * parity + (x + pad) / stride] = line[column];
                }
            }
        });
        // Few output channels are shared by rows as well.
        const int blocks = (layer.outs + outs - 1) / outs, splits = blocks < 2 * engine.threads_ ? 4 : 1;
        share(own, blocks * splits, [&](int task) {
            const int out = task / splits * outs, here = std::min(outs, layer.outs - out);
            if (!wait(layer.end(out + here))) return;
            const size_t weights = size_t(here) * inner;
            const uint8_t* at = engine.weights_ + layer.end(out);
            if (layer.at.half)
                kernels.to_float(reinterpret_cast<const uint16_t*>(at), weights, own.u.get());
            else
                std::memcpy(own.u.get(), at, weights * sizeof(float));
            for (int y = task % splits * (BAND / splits); y < (task % splits + 1) * (BAND / splits); y++) {
                for (int column = 0; column < layer.side; column += columns) {
                    const float* corner = input.get() + size_t(y) * stride * row_floats + column;
                    for (int done = 0; done < inner; done += some)
                        kernels.direct_product(own.u.get() + done, inner, corner, offsets + done, here,
                                               std::min(some, inner - done), columns, done == 0, own.m.get());
                    for (int i = 0; i < here; i++) {
                        const float bias = layer.bias[out + i];
                        const float* m = own.m.get() + size_t(i) * columns;
                        float* line = to(image, out + i) + size_t(top + y) * layer.side + column;
                        for (int x = 0; x < columns; x++) {
                            const float value = m[x] + bias;
                            line[x] = after == After::leaky ? (value > 0 ? value : 0.2f * value)
                                                            : (std::tanh(value) + 1) / 2;
                        }
                    }
                }
            }
        });
    }
}

// What a thread needs for the weights of one block of output channels: transformed for all inputs where groups share
// them, or decoded.
size_t Run::u_floats() const {
    size_t most = POINTS * apart(OUTS * INS);
    for (const Layer& layer : engine.convolutions_) {
        const size_t outs = std::min(layer.outs, OUTS);
        if (layer.direct())
            most = std::max(most, outs * layer.ins * layer.kernel * layer.kernel);
        else if (engine.most_groups_ > 1 && (count > 1 || layer.side * layer.side > 16 * GROUP))
            most = std::max(most, layer.ins / 16 * POINTS * apart(outs * 16));
    }
    return most;
}

void Run::walk(Own& own) {
    constexpr int PIXELS = SIDE / 4 * (SIDE / 4);  // of a plane between the blocks
    const int w = engine.width_;
    const auto crop = [&](int image) { return crops + size_t(image) * 3 * SIDE * SIDE; };
    const auto in_a = [&](int image) { return a.get() + image * a_each; };
    const auto in_b = [&](int image) { return b.get() + image * b_each; };
    const auto planes = [](auto of, int side) {
        return [=](int image, int channel) { return of(image) + size_t(channel) * side * side; };
    };
    const auto nothing = [](int, int) {};
    const Layer* layer = engine.convolutions_;
    int step = 0;

    direct(own, *layer++, After::leaky, crop, planes(in_a, SIDE));
    finished(step++);
    winograd(own, *layer++, true, in_a, planes(in_b, SIDE), nothing);
    finished(step++);
    direct(own, *layer++, After::leaky, in_b, planes(in_a, SIDE / 2));
    finished(step++);
    direct(own, *layer++, After::leaky, in_a, planes(in_b, SIDE / 4));
    finished(step++);
    for (int i = 0; i < 2 * BLOCKS; i += 2) {
        // x + AdaIN(conv(ReLU(AdaIN(conv(x))))): x is in b, what lies between in a. The second normalisation needs its
        // plane but for a moment, so each is made in the thread's own memory.
        const auto normalise = [&](int number, int image, int channel, float* plane, float* sum) {
            const float* style = styles(number, image);
            kernels.adain(plane, PIXELS, style[channel], style[8 * w + channel], engine.epsilon_, sum);
        };
        const auto between = planes(in_a, SIDE / 4);
        const auto x = planes(in_b, SIDE / 4);
        style(own, i);
        finished(step++);
        winograd(own, *layer++, false, in_b, between, [&](int image, int channel) {
            normalise(i, image, channel, between(image, channel), nullptr);
        });
        finished(step++);
        style(own, i + 1);
        finished(step++);
        winograd(
            own, *layer++, false, in_a, [&](int, int) { return own.scratch.get(); },
            [&](int image, int channel) { normalise(i + 1, image, channel, own.scratch.get(), x(image, channel)); });
        finished(step++);
    }
    winograd(own, *layer++, true, in_b, planes(in_a, SIDE / 2), nothing);
    finished(step++);
    winograd(own, *layer++, true, in_a, planes(in_b, SIDE), nothing);
    finished(step++);
    winograd(own, *layer++, true, in_b, planes(in_a, SIDE), nothing);
    finished(step++);
    const auto result = [&](int image) { return out + size_t(image) * 3 * SIDE * SIDE; };
    direct(own, *layer++, After::tanh, in_a, planes(result, SIDE));
}

const Kernels* best(const char* wanted) {
    const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c");
    const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
                        __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq");
    if (avx512 && std::strcmp(wanted, "avx2")) return &avx512_kernels;
    if (avx2 && std::strcmp(wanted, "avx512")) return &avx2_kernels;
    return nullptr;
}

// ---- the self-test: each kernel against plain arithmetic in double, on numbers that are all different ----------------

constexpr int TRIED = 32, FEW = 16;  // the side of a plane; output channels

bool near(float made, double expected) { return std::fabs(made - expected) < 1e-3; }

// A pixel of a plane as a convolution sees it, which may lie one outside.
double pixel(const float* plane, Edge edge, int y, int x) {
    const auto mirrored = [](int at) { return at < 0 ? -at : at >= TRIED ? 2 * (TRIED - 1) - at : at; };
    const auto outside = [](int at) { return at < 0 || at >= TRIED; };
    if (edge == Edge::reflect) return plane[mirrored(y) * TRIED + mirrored(x)];
    if (outside(y) || outside(x)) return 0;
    if (edge == Edge::zero) return plane[y * TRIED + x];
    constexpr int SMALL = TRIED / 2;
    double sum = 0;
    for (int i = 0; i < 4; i++) {  // bilinear, between pixel centres
        const int dy = i / 2, dx = i % 2;
        const auto place = [](int at, int far) {
            return std::clamp(far ? at / 2 + (at % 2 ? 1 : -1) : at / 2, 0, SMALL - 1);
        };
        sum += (dy ? 0.25 : 0.75) * (dx ? 0.25 : 0.75) * plane[place(y, dy) * SMALL + place(x, dx)];
    }
    return sum;
}

bool winograd_is_right(const Kernels& kernels, const std::vector<float>& pixels, Edge edge) {
    std::vector<uint16_t> weights(size_t(FEW) * INS * 9);
    // Halves of a few binary digits between 1/8 and 2, of both signs.
    for (size_t i = 0; i < weights.size(); i++)
        weights[i] = uint16_t((i * 7 % 5 + 12) << 10 | (i * 37 % 16) << 6 | (i * 11 % 3 == 0) << 15);
    std::vector<float> plain(weights.size());
    kernels.to_float(weights.data(), weights.size(), plain.data());

    Floats u, v, m, scratch, plane;
    u.have(POINTS * apart(FEW * INS));
    v.have(POINTS * apart(INS * GROUP));
    m.have(POINTS * apart(FEW * GROUP));
    scratch.have(SCRATCH);
    plane.have(TRIED * TRIED);
    const int stored = edge == Edge::upsample ? TRIED / 2 : TRIED;
    const auto input = [&](int channel) { return pixels.data() + channel * stored * stored; };
    kernels.winograd_weights(weights.data(), FEW, INS, INS, u.get());
    for (int i = 0; i < INS; i++)
        kernels.winograd_input({input(i), stored, stored}, edge, 0, i, INS, v.get(), scratch.get());
    kernels.winograd_product(u.get(), v.get(), FEW, INS, true, m.get());
    for (int out = 0; out < FEW; out++) {
        const bool leaky = out % 2;
        kernels.winograd_output(m.get(), out, FEW, 0, TRIED, 0.5f, leaky, plane.get());
        for (int at = out % 17; at < TRIED * TRIED; at += 17) {  // every 17th pixel, and others of each channel
            double sum = 0.5;
            for (int i = 0; i < INS; i++)
                for (int k = 0; k < 9; k++)
                    sum += plain[(size_t(out) * INS + i) * 9 + k] *
                           pixel(input(i), edge, at / TRIED + k / 3 - 1, at % TRIED + k % 3 - 1);
            if (!near(plane.get()[at], leaky && sum < 0 ? 0.2 * sum : sum)) return false;
        }
    }
    return true;
}

bool direct_is_right(const Kernels& kernels, const std::vector<float>& pixels, int columns) {
    constexpr int COUNT = 45, OUTS_LEFT_OVER = 11;
    int32_t offsets[COUNT];
    for (int i = 0; i < COUNT; i++) offsets[i] = i * 67 % 200;
    std::vector<float> made(OUTS_LEFT_OVER * GROUP);
    const float *weights = pixels.data() + 500, *from = pixels.data() + 2000;
    for (int half = 0; half < 2; half++)  // in two steps, the second of which adds
        kernels.direct_product(weights + half * 20, COUNT, from, offsets + half * 20, OUTS_LEFT_OVER, half ? COUNT - 20 : 20,
                               columns, half == 0, made.data());
    for (int out = 0; out < OUTS_LEFT_OVER; out++)
        for (int x = 0; x < columns; x++) {
            double sum = 0;
            for (int i = 0; i < COUNT; i++) sum += double(weights[out * COUNT + i]) * from[offsets[i] + x];
            if (!near(made[out * columns + x], sum)) return false;
        }
    return true;
}

bool style_is_right(const Kernels& kernels, const std::vector<float>& pixels) {
    constexpr int COUNT = 256;
    double sum = 0, squares = 0, product = 0;
    for (int i = 0; i < COUNT; i++) {
        sum += pixels[i];
        squares += double(pixels[i]) * pixels[i];
        product += double(pixels[i]) * pixels[i + 1000];
    }
    if (!near(kernels.dot(pixels.data(), pixels.data() + 1000, COUNT), product)) return false;
    const double mean = sum / COUNT, root = std::sqrt(squares / COUNT - mean * mean + 1e-5);
    std::vector<float> plane(pixels.begin(), pixels.begin() + COUNT), added(COUNT, 2.0f);
    kernels.adain(plane.data(), COUNT, 1.5f, -0.25f, 1e-5f, added.data());
    kernels.adain(plane.data(), COUNT, 1.5f, -0.25f, 1e-5f, nullptr);
    for (int i = 0; i < COUNT; i++) {
        const double expected = (pixels[i] - mean) / root * 1.5 - 0.25;
        if (!near(added[i], 2 + expected) || !near(plane[i], std::max(expected, 0.0))) return false;
    }
    return true;
}

bool correct(const Kernels& kernels) {
    std::vector<float> pixels(size_t(INS) * TRIED * TRIED);
    for (size_t i = 0; i < pixels.size(); i++) pixels[i] = float(i * 29 % 101) / 101 - 0.4f;
    for (Edge edge : {Edge::reflect, Edge::zero, Edge::upsample})
        if (!winograd_is_right(kernels, pixels, edge)) return false;
    return direct_is_right(kernels, pixels, GROUP) && direct_is_right(kernels, pixels, GROUP / 2) &&
           style_is_right(kernels, pixels);
}

}  // namespace
}  // namespace coldswap

using coldswap::Engine;

int coldswap_check(const char* instructions) {
    const coldswap::Kernels* kernels = coldswap::best(instructions);
    return !kernels ? 1 : coldswap::correct(*kernels) ? 0 : 2;
}

void* coldswap_create(int width, float epsilon, int threads, int lean, const char* instructions, const uint8_t* weights,
                      const coldswap_weights* layers, const float* biases) {
    const coldswap::Kernels* kernels = coldswap::best(instructions);
    try {
        return kernels ? new Engine(width, epsilon, threads, lean, *kernels, weights, layers, biases) : nullptr;
    } catch (const std::bad_alloc&) {
        return nullptr;
    }
}

void coldswap_destroy(void* engine) { delete static_cast<Engine*>(engine); }

const char* coldswap_instructions(void* engine) { return static_cast<Engine*>(engine)->instructions(); }

void coldswap_advance(void* engine, uint64_t bytes) { static_cast<Engine*>(engine)->advance(bytes); }

void coldswap_fail(void* engine) { static_cast<Engine*>(engine)->fail(); }

void coldswap_restart(void* engine) { static_cast<Engine*>(engine)->restart(); }

uint64_t coldswap_released(void* engine, uint64_t bytes) { return static_cast<Engine*>(engine)->released(bytes); }

void coldswap_trim(void* engine) { static_cast<Engine*>(engine)->trim(); }

int coldswap_run(void* engine, int count, const float* crops, const float* latents, float* out) {
    try {
        return static_cast<Engine*>(engine)->run(count, crops, latents, out) ? 0 : 1;
    } catch (const std::bad_alloc&) {
        return 2;
    }
}

// Runs the engine as the bindings do, for sanitizers: faces of every count, weights that arrive while it runs, that do
// not arrive, a second run; both networks, each with every instruction set that the processor has.

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

#include "engine.h"

namespace {

constexpr int LATENT = 512;

// A network's weights and values, small and random.
struct Network {
    std::vector<uint8_t> weights;
    std::vector<coldswap_weights> layers;
    std::vector<float> values;
    unsigned seed = 1;

    unsigned random() { return seed = seed * 1664525 + 1013904223, seed >> 16; }

    void add_layer(int outs, int inner, bool half) {
        layers.push_back({int64_t(weights.size()), half, 0});
        for (int i = 0; i < outs * inner; i++) {
            const float value = (int(random() % 2001) - 1000) / 1000.0f / std::sqrt(float(inner));
            uint32_t bits;
            std::memcpy(&bits, &value, 4);
            const int exponent = int(bits >> 23 & 255) - 112;
            const uint16_t as_half =
                uint16_t(exponent <= 0 ? 0 : (bits >> 16 & 0x8000) | exponent << 10 | (bits >> 13 & 1023));
            const uint8_t* from =
                half ? reinterpret_cast<const uint8_t*>(&as_half) : reinterpret_cast<const uint8_t*>(&value);
            weights.insert(weights.end(), from, from + (half ? 2 : 4));
        }
        weights.resize((weights.size() + 63) / 64 * 64);
    }
    void add_values(int count) {
        for (int i = 0; i < count; i++) values.push_back((int(random() % 201) - 100) / 1000.0f);
    }
};

// Layer by layer in order of use; those with 7 x 7 kernels as floats, to try both.
Network make_swapper(int w) {
    Network network;
    const auto layer = [&](int outs, int inner, bool half) {
        network.add_layer(outs, inner, half);
        network.add_values(outs);
    };
    layer(w, 3 * 49, false);
    layer(2 * w, w * 9, true);
    layer(4 * w, 2 * w * 9, true);
    layer(8 * w, 4 * w * 9, true);
    for (int i = 0; i < 12; i++) layer(8 * w, 8 * w * 9, true);
    layer(4 * w, 8 * w * 9, true);
    layer(2 * w, 4 * w * 9, true);
    layer(w, 2 * w * 9, true);
    layer(3, w * 49, false);
    for (int i = 0; i < 12; i++) layer(16 * w, LATENT, true);
    return network;
}

constexpr int BLOCKS[COLDSWAP_PARTS] = {1, 1, 2, 1};

Network make_embedder(int w) {
    Network network;
    network.add_layer(w, 3 * 9, false);
    network.add_values(2 * w);
    int ins = w;
    for (int part = 0; part < COLDSWAP_PARTS; part++)
        for (int block = 0; block < BLOCKS[part]; block++) {
            const int outs = w << part;
            network.add_layer(outs, ins * 9, true);
            network.add_layer(outs, outs * 9, true);
            if (!block) network.add_layer(outs, ins, true);
            network.add_values(2 * ins + (block ? 3 : 4) * outs);
            ins = outs;
        }
    network.add_layer(LATENT, ins * 49, true);
    network.add_values(2 * ins + 2 * LATENT);
    return network;
}

void check(bool right, const char* what) {
    if (right) return;
    std::fprintf(stderr, "%s\n", what);
    std::exit(1);
}

// `weights` is what the engine reads, `image` and `output` the floats of one.
void drive(void* engine, const Network& network, std::vector<uint8_t>& weights, size_t image, size_t output) {
    check(engine, "no engine");
    const size_t size = weights.size();
    for (int count : {2, 1}) {
        std::vector<float> images(count * image), latents(size_t(count) * LATENT, 0.044f);
        std::vector<float> first(count * output), second(count * output);
        for (size_t i = 0; i < images.size(); i++) images[i] = float(i * 31 % 97) / 97;
        latents[count] = 0.5f * count;
        const auto run = [&](std::vector<float>& out) {
            return coldswap_run(engine, count, images.data(), latents.data(), out.data());
        };

        // Cut off in the middle, with somebody waiting for what is released.
        coldswap_restart(engine);
        std::thread waiting([&] { coldswap_released(engine, 0); });
        std::thread breaking([&] {
            std::memcpy(weights.data(), network.weights.data(), size / 2);
            coldswap_advance(engine, size / 2);
            coldswap_fail(engine);
        });
        check(run(first) == 1, "a broken run succeeded");
        breaking.join();
        waiting.join();

        coldswap_restart(engine);
        std::thread feeding([&] {
            for (size_t at = 0; at < size; at += 100003) {
                const size_t upto = std::min(at + 100003, size);
                std::memcpy(weights.data() + at, network.weights.data() + at, upto - at);
                coldswap_advance(engine, upto);
            }
        });
        check(run(first) == 0, "a run failed");
        feeding.join();
        for (float value : first)
            check(std::isfinite(value) && (output != image || (value >= 0 && value <= 1)), "not a picture or a number");

        coldswap_restart(engine);
        coldswap_advance(engine, size);
        check(run(second) == 0, "a second run failed");
        check(first == second, "the second run gave something else");
    }
    coldswap_destroy(engine);
}

void drive_both(int width, int threads, int lean, const char* instructions) {
    const Network swapper = make_swapper(width), embedder = make_embedder(width);
    std::vector<uint8_t> weights(swapper.weights.size(), 0x7f);
    const coldswap_options options{threads, lean, instructions, weights.data(), swapper.layers.data()};
    drive(coldswap_create_swapper(&options, width, 1e-8f, swapper.values.data()), swapper, weights, 3 * 128 * 128,
          3 * 128 * 128);

    std::vector<uint8_t> others(embedder.weights.size(), 0x7f);
    const coldswap_options other_options{threads, lean, instructions, others.data(), embedder.layers.data()};
    drive(coldswap_create_embedder(&other_options, width, BLOCKS, embedder.values.data()), embedder, others,
          3 * 112 * 112, LATENT);
}

}  // namespace

int main() {
    for (const char* instructions : {"avx2", "avx512"}) {
        const int verdict = coldswap_check(instructions);
        if (verdict == 1) continue;
        check(verdict == 0, "it miscalculates");
        drive_both(16, 3, 0, instructions);
        drive_both(16, 2, 1, instructions);
        std::printf("%s\n", instructions);
    }
}

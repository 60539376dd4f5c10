// Runs the engine as the binding does, for sanitizers: faces of every count, weights that arrive while it runs, that do
// not arrive, a second run; each with every instruction set that the processor has.

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

constexpr int PIXELS = 3 * 128 * 128, LATENT = 512;

struct Network {
    std::vector<uint8_t> weights;
    std::vector<coldswap_weights> layers;
    std::vector<float> biases;
};

// Small random halves, layer by layer in order of use; those with 7 x 7 kernels as floats, to try both.
Network network(int w) {
    Network made;
    unsigned seed = 1;
    const auto random = [&] { return seed = seed * 1664525 + 1013904223, seed >> 16; };
    const auto layer = [&](int outs, int inner, bool half) {
        made.layers.push_back({int64_t(made.weights.size()), half, 0});
        for (int i = 0; i < outs * inner; i++) {
            const float value = (int(random() % 2001) - 1000) / 1000.0f / std::sqrt(float(inner));
            uint32_t bits;
            std::memcpy(&bits, &value, 4);
            const int exponent = int(bits >> 23 & 255) - 112;
            const uint16_t as_half =
                uint16_t(exponent <= 0 ? 0 : (bits >> 16 & 0x8000) | exponent << 10 | (bits >> 13 & 1023));
            const uint8_t* from =
                half ? reinterpret_cast<const uint8_t*>(&as_half) : reinterpret_cast<const uint8_t*>(&value);
            made.weights.insert(made.weights.end(), from, from + (half ? 2 : 4));
        }
        made.weights.resize((made.weights.size() + 63) / 64 * 64);
        for (int i = 0; i < outs; i++) made.biases.push_back((int(random() % 201) - 100) / 1000.0f);
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
    return made;
}

void check(bool right, const char* what) {
    if (right) return;
    std::fprintf(stderr, "%s\n", what);
    std::exit(1);
}

void drive(int width, int threads, int lean, const char* instructions) {
    const Network it = network(width);
    std::vector<uint8_t> arriving(it.weights.size(), 0x7f);
    const coldswap_options options{threads, lean, instructions, arriving.data(), it.layers.data()};
    void* engine = coldswap_create_swapper(&options, width, 1e-8f, it.biases.data());
    check(engine, "no engine");
    const size_t size = it.weights.size();

    for (int count : {2, 1}) {
        std::vector<float> crops(size_t(count) * PIXELS, 0.5f), latents(size_t(count) * LATENT, 0.044f);
        std::vector<float> first(crops.size()), second(crops.size());
        for (size_t i = 0; i < crops.size(); i++) crops[i] = float(i * 31 % 97) / 97;
        latents[count] = 0.5f * count;

        // Cut off in the middle, with somebody waiting for what is released.
        coldswap_restart(engine);
        std::thread waiting([&] { coldswap_released(engine, 0); });
        std::thread breaking([&] {
            std::memcpy(arriving.data(), it.weights.data(), size / 2);
            coldswap_advance(engine, size / 2);
            coldswap_fail(engine);
        });
        check(coldswap_run(engine, count, crops.data(), latents.data(), first.data()) == 1, "a broken run succeeded");
        breaking.join();
        waiting.join();

        coldswap_restart(engine);
        std::thread feeding([&] {
            for (size_t at = 0; at < size; at += 100003) {
                const size_t upto = std::min(at + 100003, size);
                std::memcpy(arriving.data() + at, it.weights.data() + at, upto - at);
                coldswap_advance(engine, upto);
            }
        });
        check(coldswap_run(engine, count, crops.data(), latents.data(), first.data()) == 0, "a run failed");
        feeding.join();
        for (float value : first) check(value >= 0 && value <= 1, "not a picture");

        coldswap_restart(engine);
        coldswap_advance(engine, size);
        check(coldswap_run(engine, count, crops.data(), latents.data(), second.data()) == 0, "a second run failed");
        check(first == second, "the second run gave something else");
    }
    coldswap_destroy(engine);
}

}  // namespace

int main() {
    for (const char* instructions : {"avx2", "avx512"}) {
        const int verdict = coldswap_check(instructions);
        if (verdict == 1) continue;
        check(verdict == 0, "it miscalculates");
        drive(16, 3, 0, instructions);
        drive(16, 2, 1, instructions);
        std::printf("%s\n", instructions);
    }
}

// What one thread of this machine can do at most: multiplications and additions of fp32 in registers, and bytes read
// from memory. Prints two numbers: GFLOP/s and GB/s. Compiled for each instruction set by tests/bench/roofline.py.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>

typedef float Vector __attribute__((vector_size(4 * LANES)));

// Seconds of this thread alone: others may be at work on the machine.
static double now() {
    timespec at;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &at);
    return at.tv_sec + at.tv_nsec * 1e-9;
}

constexpr int ROWS = 6, COLUMNS = LANES == 16 ? 4 : 2;  // as many sums as the engine's matrix product keeps

// A function of its own, or the sums would live in memory.
__attribute__((noinline)) static void multiply(long times) {
    Vector sums[ROWS][COLUMNS], x = Vector{} + 1.0f, w = Vector{} + 1e-9f;
#pragma GCC unroll 8
    for (int r = 0; r < ROWS; r++)
#pragma GCC unroll 8
        for (int c = 0; c < COLUMNS; c++) {
            sums[r][c] = Vector{};
            asm volatile("" : "+v"(sums[r][c]));  // else all would be known to be the same
        }
    for (long i = 0; i < times; i++) {
        asm volatile("" : "+v"(x), "+v"(w));  // else the product would be worked out once
#pragma GCC unroll 8
        for (int r = 0; r < ROWS; r++)
#pragma GCC unroll 8
            for (int c = 0; c < COLUMNS; c++) sums[r][c] += x * w;
    }
    Vector total = Vector{};
#pragma GCC unroll 8
    for (int r = 0; r < ROWS; r++)
#pragma GCC unroll 8
        for (int c = 0; c < COLUMNS; c++) total += sums[r][c];
    asm volatile("" : : "v"(total));
}

int main() {
    double best = 0;
    for (int round = 0; round < 20; round++) {
        constexpr long TIMES = 1000000;
        const double began = now();
        multiply(TIMES);
        const double rate = 2.0 * LANES * ROWS * COLUMNS * TIMES / (now() - began) / 1e9;
        best = rate > best ? rate : best;
    }

    constexpr size_t BYTES = size_t(512) << 20;  // far more than any cache
    char* memory = static_cast<char*>(std::aligned_alloc(64, BYTES));
    std::memset(memory, 1, BYTES);
    double fastest = 0;
    for (int round = 0; round < 4; round++) {
        Vector total[4] = {};
        const double began = now();
        for (size_t at = 0; at < BYTES; at += 4 * sizeof(Vector))
            for (int k = 0; k < 4; k++) {
                Vector v;
                std::memcpy(&v, memory + at + k * sizeof v, sizeof v);
                total[k] += v;
            }
        for (Vector& each : total) asm volatile("" : "+v"(each));
        const double rate = BYTES / (now() - began) / 1e9;
        fastest = rate > fastest ? rate : fastest;
    }
    std::free(memory);
    std::printf("%.1f %.1f\n", best, fastest);
}

// The matrices of Winograd's convolution: y = A' [(G g G') * (B' d B)] A, where d is a patch of the input, g a 3 x 3
// kernel, y a tile of 4 x 4 outputs, * a product point by point, and ' a transposition.
//
// Stride 1 is F(4 x 4, 3 x 3) at the points 0, 1, -1, 2, -2 and infinity (A. Lavin, S. Gray: Fast Algorithms for
// Convolutional Neural Networks, 2015): 36 products instead of 144. Stride 2 has no such form of its own, but along
// each axis it is the sum of two convolutions of stride 1: the odd rows of the patch meet the middle tap, the even rows
// the first and the last. The latter are F(4, 2) at 0, 1, -1, 2 and infinity; with one tap nothing is left at infinity.
// That makes 9 points an axis, and 81 products instead of 144.
#pragma once

namespace coldswap {

constexpr int TILE = 4;  // outputs along a side of a tile

template <int STRIDE>
struct Winograd;

template <>
struct Winograd<1> {
    static constexpr int POINTS = 6;  // of an axis; a patch has as many inputs
    static constexpr float INPUT[6][6] = {
        {4, 0, -5, 0, 1, 0},   // 0
        {0, -4, -4, 1, 1, 0},  // 1
        {0, 4, -4, -1, 1, 0},  // -1
        {0, -2, -1, 2, 1, 0},  // 2
        {0, 2, -1, -2, 1, 0},  // -2
        {0, 4, 0, -5, 0, 1},   // infinity
    };
    static constexpr float KERNEL[6][3] = {
        {1.0f / 4, 0, 0},
        {-1.0f / 6, -1.0f / 6, -1.0f / 6},
        {-1.0f / 6, 1.0f / 6, -1.0f / 6},
        {1.0f / 24, 1.0f / 12, 1.0f / 6},
        {1.0f / 24, -1.0f / 12, 1.0f / 6},
        {0, 0, 1},
    };
    static constexpr float OUTPUT[TILE][6] = {
        {1, 1, 1, 1, 1, 0},
        {0, 1, -1, 2, -2, 0},
        {0, 1, 1, 4, 4, 0},
        {0, 1, -1, 8, -8, 1},
    };
};

template <>
struct Winograd<2> {
    static constexpr int POINTS = 9;
    static constexpr float INPUT[9][9] = {
        {2, 0, -1, 0, -2, 0, 1, 0, 0},  // 0, of the even rows
        {0, 0, -2, 0, -1, 0, 1, 0, 0},  // 1
        {0, 0, 2, 0, -3, 0, 1, 0, 0},   // -1
        {0, 0, -1, 0, 0, 0, 1, 0, 0},   // 2
        {0, 0, 2, 0, -1, 0, -2, 0, 1},  // infinity
        {0, 2, 0, -1, 0, -2, 0, 1, 0},  // 0, of the odd rows
        {0, 0, 0, -2, 0, -1, 0, 1, 0},  // 1
        {0, 0, 0, 2, 0, -3, 0, 1, 0},   // -1
        {0, 0, 0, -1, 0, 0, 0, 1, 0},   // 2
    };
    static constexpr float KERNEL[9][3] = {
        {1.0f / 2, 0, 0},           // 0, of the even rows
        {-1.0f / 2, 0, -1.0f / 2},  // 1
        {-1.0f / 6, 0, 1.0f / 6},   // -1
        {1.0f / 6, 0, 1.0f / 3},    // 2
        {0, 0, 1},                  // infinity
        {0, 1.0f / 2, 0},           // 0, of the odd rows
        {0, -1.0f / 2, 0},          // 1
        {0, -1.0f / 6, 0},          // -1
        {0, 1.0f / 6, 0},           // 2
    };
    static constexpr float OUTPUT[TILE][9] = {
        {1, 1, 1, 1, 0, 1, 1, 1, 1},
        {0, 1, -1, 2, 0, 0, 1, -1, 2},
        {0, 1, 1, 4, 0, 0, 1, 1, 4},
        {0, 1, -1, 8, 1, 0, 1, -1, 8},
    };
};

}  // namespace coldswap

#pragma once

#include "kernels.h"

namespace coldswap {

// Whether each kernel gives what plain arithmetic in double gives, on numbers that are all different: a compiler once
// made one of them return zeros. Takes milliseconds.
bool is_correct(const Kernels& kernels);

}  // namespace coldswap

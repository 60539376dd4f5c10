#define LANES 8
#define NAME "avx2"
#define KERNELS avx2_kernels
#include "kernels.inc"

#define LANES 16
#define NAME "avx512"
#define KERNELS avx512_kernels
#include "kernels.inc"

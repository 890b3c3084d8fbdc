// Every kernel, as one translation unit: nvcc makes one PTX module of it, and the emulator one object file.

#include "prelude.cuh"

#include "cast.cu"
#include "dropout.cu"

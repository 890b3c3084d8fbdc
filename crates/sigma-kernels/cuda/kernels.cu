// Every kernel, as one translation unit: nvcc makes one PTX module of it, and the emulator one object file.

#include "prelude.cuh"

#include "dropout.cu"

#include "adamw.cu"
#include "attention.cu"
#include "bias.cu"
#include "cached_attention.cu"
#include "cast.cu"
#include "column_sums.cu"
#include "cross_entropy.cu"
#include "embedding.cu"
#include "layer_norm.cu"
#include "norm.cu"
#include "nucleus.cu"
#include "plan_update.cu"
#include "pooling.cu"
#include "residual.cu"
#include "residual_norm.cu"
#include "short_attention.cu"
#include "short_attention_half.cu"

#include "full_attention.cu"

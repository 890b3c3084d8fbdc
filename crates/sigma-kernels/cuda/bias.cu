// What follows a product in place: the bias, and after the first feed-forward product ReLU, whose gradient at 0 is 0.

template <typename T>
__device__ void add_bias(T* y, const float* bias, unsigned n, unsigned d) {
    const unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) y[i] = from_float<T>(to_float(y[i]) + bias[i % d]);
}
#define ADD_BIAS(T) (T* y, const float* bias, unsigned n, unsigned d)
KERNEL_TYPES(bias, add_bias, ADD_BIAS, (y, bias, n, d))

// NaN stays NaN.
template <typename T>
__device__ void add_bias_relu(T* y, const float* bias, unsigned n, unsigned d) {
    const unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= n) return;
    const float x = to_float(y[i]) + bias[i % d];
    y[i] = from_float<T>(x < 0.0f ? 0.0f : x);
}
KERNEL_TYPES(bias_relu, add_bias_relu, ADD_BIAS, (y, bias, n, d))

// Turns the gradient of the result y of ReLU into that of its input, in place.
template <typename T>
__device__ void relu_gradient(T* dy, const T* y, unsigned n) {
    const unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n && !(to_float(y[i]) > 0.0f)) dy[i] = from_float<T>(0.0f);
}
#define RELU_GRADIENT(T) (T* dy, const T* y, unsigned n)
KERNEL_TYPES(relu_backward, relu_gradient, RELU_GRADIENT, (dy, y, n))

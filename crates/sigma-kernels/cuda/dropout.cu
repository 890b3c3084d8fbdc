// Inverted dropout by the mask of src/dropout.rs, bit for bit: a pure function of a key and the element's index, so that it is
// never stored. Two neighbours share the 64 bits of one draw.

// SplitMix64's output function: 64 well-mixed bits for each counter.
__device__ __forceinline__ unsigned long long mix(unsigned long long counter) {
    unsigned long long z = counter * 0x9E3779B97F4A7C15ull;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ull;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBull;
    return z ^ (z >> 31);
}

// What elements 2 pair and 2 pair + 1 are multiplied with: 0, or 1 / (1 - p).
struct DropoutPair {
    float first, second;
};

// Without a key (null) nothing is dropped.
__device__ __forceinline__ DropoutPair dropout_pair(const unsigned long long* key, double p, unsigned pair) {
    if (!key) return {1.0f, 1.0f};
    const float scale = (float)(1.0 / (1.0 - p));
    const unsigned long long threshold = (unsigned long long)(p * 4294967296.0), bits = mix(*key + pair);
    return {(bits & 0xFFFFFFFFull) >= threshold ? scale : 0.0f, (bits >> 32) >= threshold ? scale : 0.0f};
}

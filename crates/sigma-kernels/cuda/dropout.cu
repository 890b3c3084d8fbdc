// Inverted dropout by the mask of src/dropout.rs, bit for bit: a pure function of a key and the element's index, so that it is
// never stored. Two neighbours share the 64 bits of one draw.

// SplitMix64's output function: 64 well-mixed bits for each counter.
__device__ __forceinline__ unsigned long long mix(unsigned long long counter) {
    unsigned long long z = counter * 0x9E3779B97F4A7C15ull;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ull;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBull;
    return z ^ (z >> 31);
}

// What an element is multiplied with: 0 where 32 bits of its draw are below `threshold`, and `scale` elsewhere. Without a key (null)
// nothing is dropped.
__device__ __forceinline__ float dropout_factor(const unsigned long long* key, unsigned long long threshold, float scale,
                                                size_t element) {
    if (!key) return 1.0f;
    const unsigned long long bits = mix(*key + element / 2);
    return (element % 2 == 0 ? bits & 0xFFFFFFFFull : bits >> 32) >= threshold ? scale : 0.0f;
}

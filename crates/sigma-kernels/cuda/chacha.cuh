// The random streams of sigma-data on the device: ChaCha8 with a 64-bit block counter, as rand_chacha's ChaCha8Rng read 64 bits at
// a time. The n-th number of a stream is a pure function of its key and n.
#pragma once

static __device__ unsigned chacha_rotate(unsigned x, unsigned by) { return (x << by) | (x >> (32 - by)); }

static __device__ void chacha_quarter(unsigned* s, int a, int b, int c, int d) {
    s[a] += s[b]; s[d] = chacha_rotate(s[d] ^ s[a], 16);
    s[c] += s[d]; s[b] = chacha_rotate(s[b] ^ s[c], 12);
    s[a] += s[b]; s[d] = chacha_rotate(s[d] ^ s[a], 8);
    s[c] += s[d]; s[b] = chacha_rotate(s[b] ^ s[c], 7);
}

// Number `index` (from 0) of the stream with the 256-bit `key`.
static __device__ unsigned long long chacha_number(const unsigned* key, unsigned long long index) {
    unsigned start[16] = {0x61707865u, 0x3320646eu, 0x79622d32u, 0x6b206574u};
    for (int i = 0; i < 8; ++i) start[4 + i] = key[i];
    const unsigned long long block = index / 8;
    start[12] = (unsigned)block;
    start[13] = (unsigned)(block >> 32);
    start[14] = start[15] = 0;
    unsigned s[16];
    for (int i = 0; i < 16; ++i) s[i] = start[i];
    for (int round = 0; round < 8; round += 2) {
        chacha_quarter(s, 0, 4, 8, 12);
        chacha_quarter(s, 1, 5, 9, 13);
        chacha_quarter(s, 2, 6, 10, 14);
        chacha_quarter(s, 3, 7, 11, 15);
        chacha_quarter(s, 0, 5, 10, 15);
        chacha_quarter(s, 1, 6, 11, 12);
        chacha_quarter(s, 2, 7, 8, 13);
        chacha_quarter(s, 3, 4, 9, 14);
    }
    const unsigned word = 2 * (unsigned)(index % 8);
    return (unsigned long long)(s[word] + start[word]) | ((unsigned long long)(s[word + 1] + start[word + 1]) << 32);
}

// Uniform in [0, 1) on the grid of 2^-53.
static __device__ double chacha_uniform(const unsigned* key, unsigned long long index) {
    return (double)(chacha_number(key, index) >> 11) * (1.0 / 9007199254740992.0);
}

// One draw per row from the nucleus of its logits, without sorting, and what follows for the row: the method and its proof are in
// sigma-generate's nucleus.rs. One block per row.

#include "chacha.cuh"
#include "rows.cuh"

// A token ranks above (weight, id) if its weight is larger, or equal with a smaller id.
static __device__ bool ranks_above(float weight, unsigned id, float bound, unsigned bound_id) {
    return weight > bound || (weight == bound && id < bound_id);
}

// A range of tokens, cut into one piece per warp. In every loop below the block's warps take their pieces, a lane every 32nd token: the
// constant stride lets the compiler have several reads under way.
struct Pieces {
    unsigned first, last, each;
};

static __device__ Pieces cut(unsigned first, unsigned last) {
    const unsigned warps = blockDim.x / WARP;
    return {first, last, ((last - first + warps - 1) / warps + WARP - 1) / WARP * WARP};
}

// Calls f for each token of the calling thread.
template <typename F> static __device__ __forceinline__ void each_token(Pieces range, const F& f) {
    const unsigned first = range.first + threadIdx.x / WARP * range.each;
    const unsigned last = first + range.each < range.last ? first + range.each : range.last;
#pragma unroll 8
    for (unsigned i = first + threadIdx.x % WARP; i < last; i += WARP) f(i);
}

// Leaves in sums[w] the mass of the tokens of piece w; returns that of all, known to every thread.
template <typename Mass> static __device__ double masses(double* sums, Pieces range, const Mass& mass) {
    double sum = 0.0;
    each_token(range, [&](unsigned i) { sum += mass(i); });
    sum = warp_sum(sum);
    __syncthreads();
    if (threadIdx.x % WARP == 0) sums[threadIdx.x / WARP] = sum;
    __syncthreads();
    double total = 0.0;
    for (unsigned w = 0; w < blockDim.x / WARP; ++w) total += sums[w];
    return total;
}

// The token at which the mass, added in order of id, exceeds `target`; `none` if no token has mass. `sums` is what `masses` left for
// the same range and masses. The piece where it happens is cut again, until it is no wider than a warp. Known to every thread.
template <typename Mass>
static __device__ unsigned locate(double* sums, Pieces range, unsigned none, double target, const Mass& mass) {
    double before = 0.0;
    while (true) {
        // rounding can leave the target just beyond the sum: then it is the last piece, and below the last token, with any mass
        unsigned piece = WARP;
        double sum = before;
        for (unsigned w = 0; w < blockDim.x / WARP; ++w) {
            if (sums[w] > 0.0) {
                piece = w;
                before = sum;
            }
            sum += sums[w];
            if (sum > target) break;
        }
        if (piece == WARP) return none;
        const unsigned first = range.first + piece * range.each;
        range = cut(first, first + range.each < range.last ? first + range.each : range.last);
        if (range.last - first <= WARP) break;
        masses(sums, range, mass);
    }
    // every warp does the same
    const unsigned lane = threadIdx.x % WARP, i = range.first + lane;
    const double own = i < range.last ? mass(i) : 0.0;
    double running = own;
    for (unsigned by = 1; by < WARP; by *= 2) {
        const double other = __shfl_up_sync(ALL_LANES, running, by);
        if (lane >= by) running += other;
    }
    const unsigned reached = __ballot_sync(ALL_LANES, own > 0.0 && before + running > target);
    const unsigned live = __ballot_sync(ALL_LANES, own > 0.0);
    if (reached) return range.first + (unsigned)__ffs((int)reached) - 1;
    return live ? range.first + 31 - (unsigned)__clz((int)live) : none;
}

// Copies a row of logits, of which many reads are under way.
static __device__ __forceinline__ void hold(float* to, const float* from, unsigned n) {
    const unsigned fours = is_wide(from) ? n / 4 : 0;
#pragma unroll 8
    for (unsigned i = threadIdx.x; i < fours; i += blockDim.x) wide_at(to + 4 * i) = wide(from + 4 * i);
    for (unsigned i = 4 * fours + threadIdx.x; i < n; i += blockDim.x) to[i] = from[i];
    __syncthreads();
}

// A draw from the nucleus of a row's first `drawable` logits, known to every thread: the token, or `drawable` where none has mass. `drawn` counts
// the numbers that the stream of `key` has given. HELD: `row` lies in shared memory and becomes the tokens' weights; otherwise a weight is
// made anew wherever it is needed. SCALED: the temperature is not 1; if it is, nothing need pass through f64, which is slow.
template <bool HELD, bool SCALED>
static __device__ unsigned draw(float* row, unsigned long long* drawn, const unsigned* key, unsigned drawable, unsigned suppressed,
                                double temperature, double top_p) {
    SHARED(double, sums, [32]);
    SHARED(float, shared, [32]);
    const Pieces all = cut(0, drawable);
    // here and below no read depends on a branch, so that several can be under way
    const auto logit = [&](unsigned i) {
        const float x = row[i];
        return i == suppressed ? -INFINITY : x;
    };
    float top = -INFINITY, broken = 0.0f;
    each_token(all, [&](unsigned i) {
        const float x = logit(i);
        if (isnan(x)) broken = 1.0f;
        top = fmaxf(top, x);
    });
    top = block_max(top, shared);
    broken = block_max(broken, shared);
    if (broken != 0.0f || !isfinite(top)) return drawable;
    const bool greedy = temperature == 0.0;
    const double scale = greedy ? 0.0 : 1.0 / temperature;
    // greedy is the first token at the top
    const auto weigh = [&](unsigned i) -> float {
        const float x = logit(i), below = x - top;
        const float drawn_by = expf(SCALED ? (float)((double)below * scale) : below);
        return greedy ? (x == top ? 1.0f : 0.0f) : drawn_by;
    };
    const auto weight = [&](unsigned i) { return HELD ? row[i] : weigh(i); };
    const double total = masses(sums, all, [&](unsigned i) {
        const float w = weigh(i);
        if (HELD) row[i] = w;
        return (double)w;
    });
    float bound = -1.0f;
    unsigned bound_id = 0, token;
    const auto mass = [&](unsigned i) {
        const float w = weight(i);
        return ranks_above(w, i, bound, bound_id) ? (double)w : 0.0;
    };
    double allowed = total;
    unsigned long long draws = *drawn;
    while (true) {
        const double target = greedy ? 0.0 : chacha_uniform(key, draws++) * allowed;
        token = locate(sums, all, drawable, target, mass);
        if (token == drawable || top_p >= 1.0 || greedy) break;
        bound = weight(token);
        bound_id = token;
        allowed = masses(sums, all, mass);
        if (allowed < top_p * total) break;
    }
    __syncthreads();
    if (threadIdx.x == 0) *drawn = draws;
    return token;
}

// Draws the token that follows the lens[row] + 1 tokens of each running row, appends it to tokens[row, :] at counts[row], and counts one
// token more in lens, or sets the row's state when it ends. `eos` is the vocabulary's size where a row never stops and eos is never
// drawn: then `suppressed` is eos. Rows of the model from `drawable` on, which no token of the tokenizer has, are not drawn. Temperature 0 is greedy. With `held` the dynamic shared memory has room for a row of logits.
#define NUCLEUS                                                                                                                   \
    (float* logits, unsigned* tokens, unsigned* counts, unsigned* states, unsigned* next, unsigned long long* drawn,              \
     const unsigned* keys, unsigned* lens, unsigned vocabulary, unsigned drawable, unsigned room, unsigned eos,                   \
     unsigned suppressed, double temperature, double top_p, unsigned held)
static __device__ __forceinline__ void draw_next NUCLEUS {
    DYNAMIC_SHARED(float, memory);
    const unsigned row = blockIdx.x;
    if (states[row] != ROW_RUNNING) return;
    logits += (size_t)row * vocabulary;
    const unsigned* key = keys + 8 * (size_t)row;
    unsigned token;
    if (held != 0) hold(memory, logits, vocabulary);
    if (held != 0 && temperature == 1.0) {
        token = draw<true, false>(memory, drawn + row, key, drawable, suppressed, temperature, top_p);
    } else if (held != 0) {
        token = draw<true, true>(memory, drawn + row, key, drawable, suppressed, temperature, top_p);
    } else if (temperature == 1.0) {
        token = draw<false, false>(logits, drawn + row, key, drawable, suppressed, temperature, top_p);
    } else {
        token = draw<false, true>(logits, drawn + row, key, drawable, suppressed, temperature, top_p);
    }
    if (threadIdx.x != 0) return;
    if (token == drawable) {
        states[row] = ROW_WITHOUT_DISTRIBUTION;
    } else if (token == eos) {
        states[row] = ROW_AT_EOS;
    } else {
        tokens[(size_t)row * room + counts[row]] = token;
        counts[row] += 1;
        next[row] = token;
        if (counts[row] == room) {
            states[row] = ROW_FULL;
        } else {
            lens[row] += 1;
        }
    }
}
KERNEL(nucleus, NUCLEUS,
       (logits, tokens, counts, states, next, drawn, keys, lens, vocabulary, drawable, room, eos, suppressed, temperature, top_p, held)) {
    draw_next(logits, tokens, counts, states, next, drawn, keys, lens, vocabulary, drawable, room, eos, suppressed, temperature, top_p, held);
}

// One draw per row from the nucleus of its logits, without sorting, and what follows for the row: the method and its proof are in
// sigma-generate's nucleus.rs. One block per row.

#include "chacha.cuh"

// States of a row.
#define ROW_RUNNING 0u
#define ROW_AT_EOS 1u
#define ROW_FULL 2u
#define ROW_WITHOUT_DISTRIBUTION 3u
#define ROW_IDLE 4u

// A token ranks above (weight, id) if its weight is larger, or equal with a smaller id.
static __device__ bool ranks_above(float weight, unsigned id, float bound, unsigned bound_id) {
    return weight > bound || (weight == bound && id < bound_id);
}

// The tokens of a row are cut into one piece per warp. Leaves in pieces[w] the mass of the tokens of piece w that rank above the
// bound; returns the mass of all, known to every thread.
static __device__ double mass_above(double* pieces, const float* weights, unsigned vocabulary, unsigned per_piece, float bound,
                                    unsigned bound_id) {
    const unsigned warp = threadIdx.x / 32, lane = threadIdx.x % 32, warps = blockDim.x / 32;
    const unsigned first = warp * per_piece;
    const unsigned last = first + per_piece < vocabulary ? first + per_piece : vocabulary;
    double sum = 0.0;
    for (unsigned i = first + lane; i < last; i += 32) {
        const float weight = weights[i];
        if (ranks_above(weight, i, bound, bound_id)) sum += (double)weight;
    }
    sum = warp_sum(sum);
    __syncthreads();
    if (lane == 0) pieces[warp] = sum;
    __syncthreads();
    double total = 0.0;
    for (unsigned w = 0; w < warps; ++w) total += pieces[w];
    return total;
}

// The token at which the mass of tokens above the bound, added in order of id, exceeds `target`; `vocabulary` if none has mass.
// `pieces` is what mass_above left for the same bound. Known to every thread.
static __device__ unsigned locate(const double* pieces, unsigned* found, const float* weights, unsigned vocabulary,
                                  unsigned per_piece, float bound, unsigned bound_id, double target) {
    const unsigned lane = threadIdx.x % 32, warps = blockDim.x / 32;
    if (threadIdx.x < 32) {
        // rounding can leave the target just beyond the sum: then it is the last piece, and the last token, with any mass
        unsigned piece = warps;
        double before = 0.0, sum = 0.0;
        for (unsigned w = 0; w < warps; ++w) {
            if (pieces[w] > 0.0) {
                piece = w;
                before = sum;
            }
            sum += pieces[w];
            if (sum > target) break;
        }
        unsigned token = vocabulary;
        if (piece < warps) {
            const unsigned first = piece * per_piece;
            const unsigned last = first + per_piece < vocabulary ? first + per_piece : vocabulary;
            for (unsigned at = first; at < last; at += 32) {
                const unsigned i = at + lane;
                const float weight = i < last ? weights[i] : 0.0f;
                const bool counts = weight > 0.0f && ranks_above(weight, i, bound, bound_id);
                double sums = counts ? (double)weight : 0.0;
                for (unsigned by = 1; by < 32; by *= 2) {
                    const double other = __shfl_up_sync(0xffffffffu, sums, by);
                    if (lane >= by) sums += other;
                }
                const unsigned reached = __ballot_sync(0xffffffffu, counts && before + sums > target);
                const unsigned live = __ballot_sync(0xffffffffu, counts);
                if (reached) {
                    token = at + (unsigned)__ffs((int)reached) - 1;
                    break;
                }
                if (live) token = at + 31 - (unsigned)__clz((int)live);
                before += __shfl_sync(0xffffffffu, sums, 31);
            }
        }
        if (lane == 0) *found = token;
    }
    __syncthreads();
    const unsigned token = *found;
    __syncthreads();
    return token;
}

// Draws the token that follows the lens[row] + 1 tokens of each running row, appends it to tokens[row, :] at counts[row], and counts one
// token more in lens, or sets the row's state when it ends. `logits` is overwritten. `eos` is the vocabulary's size where a row never
// stops and eos is never drawn: then `suppressed` is eos. Temperature 0 is greedy.
KERNEL(nucleus, (float* logits, unsigned* tokens, unsigned* counts, unsigned* states, unsigned* next,
                 unsigned long long* drawn, const unsigned* keys, unsigned* lens, unsigned vocabulary, unsigned room,
                 unsigned eos, unsigned suppressed, double temperature, double top_p),
       (logits, tokens, counts, states, next, drawn, keys, lens, vocabulary, room, eos, suppressed, temperature, top_p)) {
    SHARED(double, pieces, [32]);
    SHARED(float, shared, [32]);
    SHARED(unsigned, found, [1]);
    const unsigned row = blockIdx.x;
    if (states[row] != ROW_RUNNING) return;
    float* weights = logits + (size_t)row * vocabulary;
    float top = -INFINITY;
    float broken = 0.0f;
    for (unsigned i = threadIdx.x; i < vocabulary; i += blockDim.x) {
        if (i == suppressed) weights[i] = -INFINITY;
        const float x = weights[i];
        if (isnan(x)) broken = 1.0f;
        top = fmaxf(top, x);
    }
    top = block_max(top, shared);
    broken = block_max(broken, shared);
    unsigned token = vocabulary;
    if (broken == 0.0f && isfinite(top)) {
        const unsigned warps = blockDim.x / 32;
        const unsigned per_piece = ((vocabulary + warps - 1) / warps + 31) / 32 * 32;
        if (temperature == 0.0) {
            // the first token at the top: weights are 1 there and 0 elsewhere
            for (unsigned i = threadIdx.x; i < vocabulary; i += blockDim.x) weights[i] = weights[i] == top ? 1.0f : 0.0f;
        } else {
            const double scale = 1.0 / temperature;
            for (unsigned i = threadIdx.x; i < vocabulary; i += blockDim.x) {
                weights[i] = expf((float)((double)(weights[i] - top) * scale));
            }
        }
        __syncthreads();
        float bound = -1.0f;
        unsigned bound_id = 0;
        const double total = mass_above(pieces, weights, vocabulary, per_piece, bound, bound_id);
        double allowed = total;
        unsigned long long draws = drawn[row];
        while (true) {
            const double target = temperature == 0.0 ? 0.0 : chacha_uniform(keys + 8 * (size_t)row, draws++) * allowed;
            token = locate(pieces, found, weights, vocabulary, per_piece, bound, bound_id, target);
            if (token == vocabulary || top_p >= 1.0 || temperature == 0.0) break;
            const float weight = weights[token];
            const double above = mass_above(pieces, weights, vocabulary, per_piece, weight, token);
            if (above < top_p * total) break;
            bound = weight;
            bound_id = token;
            allowed = above;
        }
        __syncthreads();
        if (threadIdx.x == 0) drawn[row] = draws;
    }
    if (threadIdx.x != 0) return;
    if (token == vocabulary) {
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

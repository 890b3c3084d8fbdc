// One block of threads on one thread of the operating system. Threads run one after another until each ends or waits for
// others, and go on when those have come: so a kernel without barriers is a plain loop, and the order is always the same.
// In every other block the last thread starts first, so that a missing barrier shows whichever thread depends on which.
// A wait that cannot end is an error that says who waits where.

#pragma once

#include <cstdarg>
#include <cstdio>
#include <deque>
#include <vector>

#include "fiber.h"

struct uint3 {
    unsigned x, y, z;
};

struct dim3 {
    unsigned x, y, z;
};

static thread_local uint3 threadIdx = {0, 0, 0};
static thread_local uint3 blockIdx = {0, 0, 0};
static thread_local dim3 blockDim = {1, 1, 1};
static thread_local dim3 gridDim = {1, 1, 1};

namespace emulator {

// As MAX_BLOCK in prelude.cuh.
constexpr unsigned MOST_THREADS = 512;
constexpr unsigned LANES = 32;
// In place of a lane to read from: one bit for each lane, whether its value is not 0.
constexpr unsigned BALLOT = LANES;
// A NaN in every floating point type: what memory holds that nobody has written.
constexpr unsigned char UNWRITTEN = 0xFF;
constexpr unsigned char GUARD = 0xFD;
constexpr size_t GUARD_BYTES = 64;

// Where a thread waits.
struct Place {
    const char* what;
    const char* file;
    int line;

    bool operator==(const Place& other) const { return line == other.line && what == other.what && file == other.file; }
};

struct Warp {
    uint32_t live, waiting;
    uint32_t mask[LANES];
    unsigned source[LANES];
    uint64_t value[LANES], result[LANES];
};

// Memory of one SHARED declaration, for blocks on one thread of the operating system.
struct Shared {
    unsigned char* bytes;
    size_t size;
    uint64_t block;
    Shared* next;
    const char* name;
};

enum class State : unsigned char { RUNS, AT_BARRIER, IN_WARP };

struct Block {
    void (*kernel)(const void* const*);
    const void* const* arguments;
    unsigned threads, started, ended, at_barrier;
    bool backwards;  // the last thread starts first
    State state[MOST_THREADS];
    Place place[MOST_THREADS];
    Warp warps[MOST_THREADS / LANES];

    std::deque<Fiber> fibers;
    std::vector<unsigned char*> stacks;
    std::vector<unsigned> idle;
    unsigned fiber_of[MOST_THREADS];
    unsigned running;  // a fiber
    Fiber home;

    unsigned ready[MOST_THREADS];
    unsigned ready_first, ready_count;

    unsigned char* dynamic;
    size_t dynamic_bytes;
    Shared* touched;
    uint64_t number;
    bool failed;
    char message[400];
};

static thread_local Block* block = nullptr;

// Ends the launch with an error; what the threads have on their stacks is left behind.
[[noreturn]] inline void fail(const char* format, ...) {
    va_list values;
    va_start(values, format);
    vsnprintf(block->message, sizeof block->message, format, values);
    va_end(values);
    block->failed = true;
    Fiber abandoned;
    switch_fiber(abandoned, block->home);
    std::abort();
}

inline const char* file_name(const Place& place) {
    const char* slash = strrchr(place.file, '/');
    return slash == nullptr ? place.file : slash + 1;
}

// No thread can go on.
[[noreturn]] inline void fail_stuck() {
    char waits[320] = "";
    size_t used = 0;
    std::vector<bool> told(block->threads, false);
    for (unsigned first = 0; first < block->threads; first++) {
        if (block->state[first] == State::RUNS || told[first]) continue;
        unsigned count = 0;
        for (unsigned other = first; other < block->threads; other++) {
            if (block->state[other] != State::RUNS && block->place[other] == block->place[first]) {
                told[other] = true;
                count++;
            }
        }
        const Place& place = block->place[first];
        used += size_t(snprintf(waits + used, sizeof waits - used, ", %u from thread %u on in %s (%s:%d)", count, first,
                                place.what, file_name(place), place.line));
        if (used >= sizeof waits) break;
    }
    fail("threads wait for each other and never go on: of %u, %u have ended%s", block->threads, block->ended, waits);
}

inline void make_ready(unsigned thread) {
    block->state[thread] = State::RUNS;
    block->ready[(block->ready_first + block->ready_count++) % MOST_THREADS] = thread;
}

inline void run_threads();

// An idle fiber, at the start of its loop in `run_threads`.
inline unsigned idle_fiber() {
    if (block->idle.empty()) {
        const unsigned fiber = unsigned(block->fibers.size());
        block->fibers.emplace_back();
        if (fiber == block->stacks.size()) block->stacks.push_back(new_stack());
        // stacks that begin at the same place of a page would share a few lines of the cache
        start_fiber(block->fibers[fiber], block->stacks[fiber], STACK_BYTES - fiber % 64 * 128, run_threads);
        return fiber;
    }
    const unsigned fiber = block->idle.back();
    block->idle.pop_back();
    return fiber;
}

inline void switch_to(unsigned fiber) {
    const unsigned from = block->running;
    block->running = fiber;
    switch_fiber(block->fibers[from], block->fibers[fiber]);
}

inline unsigned next_ready() {
    const unsigned thread = block->ready[block->ready_first];
    block->ready_first = (block->ready_first + 1) % MOST_THREADS;
    block->ready_count--;
    return thread;
}

// The calling thread waits; returns when it was made ready and its turn has come.
inline void wait(State state, const Place& place) {
    const unsigned thread = threadIdx.x;
    block->state[thread] = state;
    block->place[thread] = place;
    block->fiber_of[thread] = block->running;
    if (block->ready_count > 0) {
        switch_to(block->fiber_of[next_ready()]);
    } else if (block->started < block->threads) {
        switch_to(idle_fiber());
    } else {
        fail_stuck();
    }
    threadIdx.x = thread;
}

// Lets the waiting threads pass if every thread that has not ended is there.
inline bool barrier_opens() {
    if (block->at_barrier == 0 || block->at_barrier < block->threads - block->ended) return false;
    block->at_barrier = 0;
    for (unsigned thread = 0; thread < block->threads; thread++) {
        if (block->state[thread] == State::AT_BARRIER) make_ready(thread);
    }
    return true;
}

inline void barrier(const Place& place) {
    if (block->at_barrier > 0) {
        unsigned other = 0;
        while (block->state[other] != State::AT_BARRIER) other++;
        const Place& there = block->place[other];
        if (!(there == place)) {
            fail("threads meet at different barriers: thread %u in %s (%s:%d), thread %u in %s (%s:%d)", other, there.what,
                 file_name(there), there.line, threadIdx.x, place.what, file_name(place), place.line);
        }
    }
    block->at_barrier++;
    if (!barrier_opens()) wait(State::AT_BARRIER, place);
}

// Carries out the operation of these lanes if all that have not ended are there; `caller` is a lane that runs, or LANES.
inline bool warp_meets(unsigned number, uint32_t mask, unsigned caller) {
    Warp& warp = block->warps[number];
    const uint32_t members = mask & warp.live;
    if ((warp.waiting & members) != members) return false;
    const unsigned first = unsigned(__builtin_ctz(members)), base = number * LANES;
    uint64_t ballot = 0;
    for (unsigned lane = first; lane < LANES; lane++) {
        if (!(members >> lane & 1)) continue;
        const Place &a = block->place[base + first], &b = block->place[base + lane];
        if (warp.mask[lane] != mask || !(a == b)) {
            fail("lanes of a warp meet in different operations: thread %u in %s (%s:%d) with mask %x, thread %u in %s (%s:%d) "
                 "with mask %x", base + first, a.what, file_name(a), a.line, warp.mask[first], base + lane, b.what,
                 file_name(b), b.line, warp.mask[lane]);
        }
        ballot |= uint64_t(warp.value[lane] != 0) << lane;
    }
    for (unsigned lane = first; lane < LANES; lane++) {
        if (!(members >> lane & 1)) continue;
        const unsigned source = warp.source[lane];
        if (source != BALLOT && !(members >> source & 1)) {
            const Place& place = block->place[base + lane];
            fail("thread %u reads in %s (%s:%d) from thread %u, which is not in the mask %x or has ended", base + lane,
                 place.what, file_name(place), place.line, base + source, mask);
        }
        warp.result[lane] = source == BALLOT ? ballot : warp.value[source];
        if (lane != caller) make_ready(base + lane);
    }
    warp.waiting &= ~members;
    return true;
}

// What lane `source` of the calling lane's warp has given as `value`, when all lanes of `mask` have called.
inline uint64_t exchange(uint32_t mask, uint64_t value, unsigned source, const Place& place) {
    const unsigned number = threadIdx.x / LANES, lane = threadIdx.x % LANES;
    Warp& warp = block->warps[number];
    if (!(mask >> lane & 1)) {
        fail("thread %u calls %s (%s:%d) with a mask %x that leaves it out", threadIdx.x, place.what, file_name(place),
             place.line, mask);
    }
    warp.mask[lane] = mask;
    warp.value[lane] = value;
    warp.source[lane] = source;
    warp.waiting |= 1u << lane;
    block->place[threadIdx.x] = place;
    if (!warp_meets(number, mask, lane)) wait(State::IN_WARP, place);
    return warp.result[lane];
}

// Those that wait may have waited for this thread only.
inline void end_thread(unsigned thread) {
    const unsigned number = thread / LANES;
    Warp& warp = block->warps[number];
    block->ended++;
    warp.live &= ~(1u << thread % LANES);
    barrier_opens();
    for (unsigned lane = 0; lane < LANES; lane++) {
        if (warp.waiting >> lane & 1) warp_meets(number, warp.mask[lane], LANES);
    }
}

// What a fiber does: start threads and run each to its end, as long as none is ready to go on.
inline void run_threads() {
    for (;;) {
        if (block->ready_count > 0) {
            block->idle.push_back(block->running);
            switch_to(block->fiber_of[next_ready()]);
        } else if (block->started < block->threads) {
            const unsigned place = block->started++, thread = block->backwards ? block->threads - 1 - place : place;
            threadIdx.x = thread;
            block->kernel(block->arguments);
            end_thread(thread);
        } else if (block->ended == block->threads) {
            block->idle.push_back(block->running);
            switch_fiber(block->fibers[block->running], block->home);
        } else {
            fail_stuck();
        }
    }
}

inline bool guard_is_whole(const unsigned char* guard) {
    for (size_t i = 0; i < GUARD_BYTES; i++) {
        if (guard[i] != GUARD) return false;
    }
    return true;
}

// The memory of a SHARED declaration, unwritten when a block first asks for it.
inline void* shared_memory(Shared& shared, size_t size) {
    if (shared.block != block->number) {
        if (shared.bytes == nullptr) {
            shared.bytes = static_cast<unsigned char*>(std::aligned_alloc(64, (size + GUARD_BYTES + 63) / 64 * 64));
            if (shared.bytes == nullptr) std::abort();
            shared.size = size;
        }
        memset(shared.bytes, UNWRITTEN, size);
        memset(shared.bytes + size, GUARD, GUARD_BYTES);
        shared.block = block->number;
        shared.next = block->touched;
        block->touched = &shared;
    }
    return shared.bytes;
}

// Runs the block that blockIdx names; false if it failed, with a message in `block`.
inline bool run_block() {
    Block& b = *block;
    b.started = b.ended = b.at_barrier = b.ready_first = b.ready_count = 0;
    b.backwards = (blockIdx.x + blockIdx.y) % 2 == 1;
    b.touched = nullptr;
    b.number++;
    b.failed = false;
    for (unsigned thread = 0; thread < b.threads; thread++) b.state[thread] = State::RUNS;
    for (unsigned first = 0; first < b.threads; first += LANES) {
        const unsigned lanes = b.threads - first;
        b.warps[first / LANES].live = lanes >= LANES ? 0xFFFFFFFFu : (1u << lanes) - 1;
        b.warps[first / LANES].waiting = 0;
    }
    memset(b.dynamic, UNWRITTEN, b.dynamic_bytes);
    memset(b.dynamic + b.dynamic_bytes, GUARD, GUARD_BYTES);
    b.running = idle_fiber();
    switch_fiber(b.home, b.fibers[b.running]);
    if (b.failed) {
        b.fibers.clear();
        b.idle.clear();
        return false;
    }
    if (!guard_is_whole(b.dynamic + b.dynamic_bytes)) {
        snprintf(b.message, sizeof b.message, "writes past the end of its %zu bytes of dynamic shared memory", b.dynamic_bytes);
        return false;
    }
    for (const Shared* shared = b.touched; shared != nullptr; shared = shared->next) {
        if (!guard_is_whole(shared->bytes + shared->size)) {
            snprintf(b.message, sizeof b.message, "writes past the end of its shared array `%s`", shared->name);
            return false;
        }
    }
    return true;
}

}  // namespace emulator

// A fiber: a stack of its own, and the switch from one to another within one thread of the operating system.

#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <sys/mman.h>
#include <unistd.h>

#if !defined(__x86_64__)
#include <ucontext.h>
#endif

namespace emulator {

constexpr size_t STACK_BYTES = 128 * 1024;

#if defined(__x86_64__)

// Saves the registers that a call must preserve on the current stack and its address in *from, and takes those of `to`.
extern "C" void sigma_emulator_switch(void** from, void* to) __asm__("sigma_emulator_switch");
__asm__(
    ".text\n"
    ".p2align 4\n"
    "sigma_emulator_switch:\n"
    "    pushq %rbp\n"
    "    pushq %rbx\n"
    "    pushq %r12\n"
    "    pushq %r13\n"
    "    pushq %r14\n"
    "    pushq %r15\n"
    "    movq %rsp, (%rdi)\n"
    "    movq %rsi, %rsp\n"
    "    popq %r15\n"
    "    popq %r14\n"
    "    popq %r13\n"
    "    popq %r12\n"
    "    popq %rbx\n"
    "    popq %rbp\n"
    "    ret\n");

struct Fiber {
    void* saved = nullptr;
};

inline void switch_fiber(Fiber& from, Fiber& to) { sigma_emulator_switch(&from.saved, to.saved); }

// Makes `fiber` begin with `entry`, which must not return, at the next switch to it.
inline void start_fiber(Fiber& fiber, unsigned char* stack, size_t bytes, void (*entry)()) {
    void** top = reinterpret_cast<void**>(stack + bytes);
    *--top = nullptr;  // where `entry` would return to; leaves the stack as a call leaves it
    *--top = reinterpret_cast<void*>(entry);
    for (int i = 0; i < 6; i++) *--top = nullptr;
    fiber.saved = top;
}

#else

struct Fiber {
    ucontext_t context;
};

inline void switch_fiber(Fiber& from, Fiber& to) { swapcontext(&from.context, &to.context); }

inline void start_fiber(Fiber& fiber, unsigned char* stack, size_t bytes, void (*entry)()) {
    getcontext(&fiber.context);
    fiber.context.uc_stack.ss_sp = stack;
    fiber.context.uc_stack.ss_size = bytes;
    fiber.context.uc_link = nullptr;
    makecontext(&fiber.context, entry, 0);
}

#endif

// A stack above a page that must not be touched, for as long as the process runs: running out of it is a fault, not
// silent damage.
inline unsigned char* new_stack() {
    const size_t page = size_t(sysconf(_SC_PAGESIZE));
    void* pages = mmap(nullptr, page + STACK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (pages == MAP_FAILED || mprotect(pages, page, PROT_NONE) != 0) std::abort();
    return static_cast<unsigned char*>(pages) + page;
}

}  // namespace emulator

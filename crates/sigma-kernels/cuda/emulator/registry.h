// The kernels by name, each with the types of its parameters and a way to call it with values behind pointers.

#pragma once

#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "half.h"

namespace emulator {

struct Kernel {
    const char* name;
    std::string parameters;  // "*f32 u32 ": a `*` for a pointer, then what it points to
    void (*call)(const void* const*);
};

inline std::vector<Kernel>& kernels() {
    static std::vector<Kernel> all;
    return all;
}

template <typename T> inline const char* type_name() {
    if constexpr (std::is_same_v<T, float>) return "f32";
    if constexpr (std::is_same_v<T, double>) return "f64";
    if constexpr (std::is_same_v<T, __half>) return "f16";
    if constexpr (std::is_same_v<T, __nv_bfloat16>) return "bf16";
    if constexpr (std::is_integral_v<T> && std::is_unsigned_v<T> && sizeof(T) == 4) return "u32";
    if constexpr (std::is_integral_v<T> && std::is_unsigned_v<T> && sizeof(T) == 8) return "u64";
    if constexpr (std::is_pointer_v<T>) return "u64";
    return "any";
}

template <typename P> inline std::string parameter_name() {
    if constexpr (std::is_pointer_v<P>) return std::string("*") + type_name<std::remove_cv_t<std::remove_pointer_t<P>>>();
    static_assert(std::is_pointer_v<P> || std::is_same_v<P, float> || std::is_same_v<P, double> ||
                  (std::is_integral_v<P> && std::is_unsigned_v<P> && sizeof(P) >= 4),
                  "a kernel's parameter is a pointer, unsigned, unsigned long long, float or double");
    return type_name<P>();
}

template <auto kernel> struct Call;

template <typename... P, void (*kernel)(P...)> struct Call<kernel> {
    static void call(const void* const* values) { call_with(values, std::index_sequence_for<P...>()); }

    template <size_t... i> static void call_with(const void* const* values, std::index_sequence<i...>) {
        (void)values;
        kernel(*static_cast<const P*>(values[i])...);
    }

    static std::string parameters() { return ((parameter_name<P>() + " ") + ... + std::string()); }
};

template <auto kernel> inline bool add_kernel(const char* name) {
    kernels().push_back({name, Call<kernel>::parameters(), Call<kernel>::call});
    return true;
}

}  // namespace emulator

// Keywords of CUDA C, the position of a thread, and barriers.
#pragma once
#include "machine.h"

// Set by the driver when it loads the module.
extern "C" {
__attribute__((visibility("default"))) standin::Machine* standin_machine;
}

#define TT_STANDIN 1
#define __CUDACC__ 1
#define __CUDACC_RTC__ 1
#ifndef __CUDA_ARCH__
#define __CUDA_ARCH__ 900
#endif

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline __attribute__((always_inline))
#define __noinline__ __attribute__((noinline))
#define __restrict__ __restrict
#define __align__(n) __attribute__((aligned(n)))
#define __launch_bounds__(...)
#define __grid_constant__
// One section for all of a module, so that the driver can give each block fresh content.
#define __shared__ static __attribute__((section("standin_shared")))
#define __constant__ static

// A generator that must name its kernels, and dynamic shared memory, says so with these; elsewhere they
// are what the generator makes of them.
#define TT_KERNEL(name)
#define TT_DYN_SMEM(type, name) type* name = static_cast<type*>(standin_machine->dynamic_shared)

#define threadIdx (standin_machine->thread)
#define blockIdx (standin_machine->block)
#define blockDim (standin_machine->block_dim)
#define gridDim (standin_machine->grid_dim)
constexpr int warpSize = 32;

#define __syncthreads() ((void)standin_machine->barrier(standin::BarrierKind::Plain, 0, __LINE__))
#define __syncthreads_count(p) (standin_machine->barrier(standin::BarrierKind::Count, (p) != 0, __LINE__))
#define __syncthreads_and(p) (standin_machine->barrier(standin::BarrierKind::And, (p) != 0, __LINE__))
#define __syncthreads_or(p) (standin_machine->barrier(standin::BarrierKind::Or, (p) != 0, __LINE__))

static inline void __threadfence() { __asm__ volatile("" ::: "memory"); }
static inline void __threadfence_block() { __asm__ volatile("" ::: "memory"); }
static inline void __threadfence_system() { __asm__ volatile("" ::: "memory"); }
static inline void __nanosleep(unsigned) { standin_machine->yield(); }
[[noreturn]] static inline void standin_trap(unsigned line) {
    standin_machine->violation(standin::Violation::Trap, "__trap()", "kernel", line);
}
#define __trap() standin_trap(__LINE__)
#undef assert
#define assert(condition) \
    ((condition) ? (void)0 \
                 : standin_machine->violation(standin::Violation::Assertion, #condition, "kernel", __LINE__))

// Exports: the entry of a kernel, which unpacks parameters as the driver has them.
namespace standin {
template <class T> struct Bare { using type = T; };
template <class T> struct Bare<const T> { using type = T; };
template <class T> struct IsPointer { static constexpr bool value = false; };
template <class T> struct IsPointer<T*> { static constexpr bool value = true; };

template <unsigned... I> struct Indices {};
template <unsigned N, unsigned... I> struct MakeIndices : MakeIndices<N - 1, N - 1, I...> {};
template <unsigned... I> struct MakeIndices<0, I...> { using type = Indices<I...>; };

template <class... A> struct Parameters {
    static constexpr uint32_t sizes[sizeof...(A) + 1] = {uint32_t(sizeof(A))..., 0};
    static constexpr bool pointers[sizeof...(A) + 1] = {IsPointer<typename Bare<A>::type>::value..., false};

    template <unsigned... I> static void call(void (*f)(A...), void** p, Indices<I...>) {
        f(*static_cast<typename Bare<A>::type*>(p[I])...);
    }
    static void call(void (*f)(A...), void** p) { call(f, p, typename MakeIndices<sizeof...(A)>::type{}); }
};

template <class... A> Parameters<A...> parameters_of(void (*)(A...));
}  // namespace standin

#define STANDIN_EXPORT(kernel, max_threads) \
    extern "C" __attribute__((visibility("default"))) const standin::KernelInfo standin_kernel_##kernel = { \
        #kernel, [](void** p) { decltype(standin::parameters_of(kernel))::call(kernel, p); }, \
        sizeof(decltype(standin::parameters_of(kernel))::sizes) / sizeof(uint32_t) - 1, \
        decltype(standin::parameters_of(kernel))::sizes, decltype(standin::parameters_of(kernel))::pointers, \
        max_threads};

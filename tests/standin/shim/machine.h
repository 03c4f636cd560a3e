// What a kernel running on the stand-in sees of it: the position of the thread, and calls into the
// scheduler of the grid. Shared by kernels (compiled against this header) and the driver.
#pragma once
#include <stddef.h>
#include <stdint.h>

namespace standin {

struct Index3 {
    unsigned x, y, z;
};

// Bytes that a lane can hand to the others of its warp in one operation.
constexpr size_t kSlotBytes = 64;

// The values that the lanes of a warp handed in, as of the moment when the last of them arrived.
struct Exchange {
    // Lanes that took part.
    unsigned lanes;
    unsigned char slot[32][kSlotBytes];
};

// Why a kernel is stopped.
enum class Violation {
    OutOfBounds,   // an index outside an array whose size is known
    Misaligned,    // an address that is no multiple of the type's alignment
    Divergence,    // threads that had to meet did not
    Assertion,     // assert()
    Trap,          // __trap()
    Arithmetic,    // a shift or division without a result
};

enum class BarrierKind { Plain, Count, And, Or };

class Machine {
  public:
    Index3 thread, block, block_dim, grid_dim;
    unsigned lane;
    // Dynamic shared memory of the block.
    void* dynamic_shared;

    // Waits for every thread of the block; `line` is the source line, which must be the same for all.
    // The sum, conjunction or disjunction of the predicates, as `kind` says.
    virtual int barrier(BarrierKind kind, int predicate, unsigned line) = 0;
    // Waits for the lanes in `mask` that have not ended, and gives what each of them handed in.
    virtual const Exchange& warp(unsigned mask, const void* value, size_t size, unsigned line) = 0;
    // Lanes of the warp that have not ended.
    virtual unsigned live_lanes() = 0;
    // Lets other threads of the block go on.
    virtual void yield() = 0;
    // Ends the launch with an error; does not return.
    [[noreturn]] virtual void violation(Violation what, const char* detail, const char* file, unsigned line) = 0;
};

// What a module says of a kernel in it.
struct KernelInfo {
    const char* name;
    // Calls the kernel with parameters found at these addresses.
    void (*enter)(void** parameters);
    unsigned count;
    const uint32_t* sizes;
    const bool* pointers;
    // From __launch_bounds__; 0 when there is none.
    unsigned max_threads;
};

}  // namespace standin

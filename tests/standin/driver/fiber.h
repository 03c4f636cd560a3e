// Stacks to switch between: a thread of a grid is one.
#pragma once
#include <cstddef>
#include <vector>

// A place to go on from.
struct Fiber {
    void* stack_pointer = nullptr;
};

// Saves where the caller is in `from` and goes on at `to`.
void switch_fiber(Fiber& from, Fiber& to);

// Stacks, each with a guard below it that a large frame does not jump over, kept from launch to launch.
class Stacks {
  public:
    static constexpr size_t kBytes = 128 << 10;

    // Makes sure that there are so many.
    void reserve(size_t count);
    // A fiber that will run `entry` on stack `index`; `entry` must not return.
    Fiber start(size_t index, void (*entry)());
    // Whether an address is in a guard.
    bool is_guard(const void* address) const;

  private:
    std::vector<char*> stacks_;
};

// Runs the blocks of a grid, each as one fiber a thread.
#pragma once
#include "../shim/machine.h"
#include "common.h"
#include "fiber.h"
#include "memory.h"
#include <csetjmp>
#include <ctime>
#include <vector>

struct Launch {
    const standin::KernelInfo* kernel = nullptr;
    standin::Index3 grid{}, block{};
    // Bytes of dynamic shared memory of a block.
    size_t dynamic_shared = 0;
    // The module's variables in shared memory, refilled for each block.
    char* static_shared = nullptr;
    size_t static_shared_bytes = 0;
};

// A stopped launch: the result and the position at which it stopped.
struct Stop {
    Result result = SUCCESS;
    std::string detail;
};

class Grid final : public standin::Machine {
  public:
    // Runs a launch whose parameters are at these addresses. Blocks, and the threads of a block between
    // barriers, run in an order that `seed` draws (0: in order), or in its reverse.
    Result run(const Launch& launch, void** parameters, uint64_t seed, bool reverse = false);

    int barrier(standin::BarrierKind kind, int predicate, unsigned line) override;
    const standin::Exchange& warp(unsigned mask, const void* value, size_t size, unsigned line) override;
    unsigned live_lanes() override;
    void yield() override;
    [[noreturn]] void violation(standin::Violation what, const char* detail, const char* file,
                                unsigned line) override;

    // Whether a launch is running on this thread of the host.
    bool running() const { return running_; }
    // Ends the running launch, from a signal handler or a fiber.
    [[noreturn]] void stop(Result result, const std::string& detail);
    // What an address is that is not in a device's memory: a stack's end, or shared memory's. Empty: unknown.
    std::string describe(const void* address) const;

  private:
    enum class State : unsigned char { Ready, Yielded, AtBarrier, AtWarp, Done };
    struct Thread {
        Fiber fiber;
        State state;
        unsigned mask, line;
        standin::BarrierKind kind;
        int predicate;
        size_t size;
        const standin::Exchange* received;
        unsigned char value[standin::kSlotBytes];
    };
    // The last few exchanges of a warp; a lane reads one before it takes part in another.
    struct Warp {
        static constexpr unsigned kKept = 4;
        standin::Exchange exchanges[kKept];
        unsigned next = 0;
        unsigned live = 0;
    };

    static void enter();
    void run_block();
    void run_warp(unsigned w);
    bool wake_yielded();
    bool release_warp(unsigned w);
    bool release_barrier();
    void report_divergence();
    void leave();
    void select(unsigned i);
    uint64_t random();
    void shuffle(std::vector<unsigned>& order);
    std::string where() const;

    Stacks stacks_;
    const GuardedBlock* shared_ = nullptr;
    std::vector<Thread> threads_;
    std::vector<Warp> warps_;
    std::vector<unsigned> warp_order_, lane_order_;
    unsigned count_ = 0, live_ = 0, current_ = 0;
    int total_ = 0;
    Launch launch_;
    void** parameters_ = nullptr;
    uint64_t state_ = 0;
    bool reverse_ = false;
    Fiber scheduler_;
    sigjmp_buf escape_;
    bool running_ = false;
    Stop stop_;
};

// The grid that the current thread of the host runs, if any.
Grid*& running_grid();

// Ends the launch of this thread of the host when it has run for so long.
class Watchdog {
  public:
    explicit Watchdog(int seconds);
    ~Watchdog();

  private:
    timer_t timer_{};
    bool armed_ = false;
};

// Makes faults of running kernels end their launch; done once.
void install_fault_handler();

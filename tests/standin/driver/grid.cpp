#include "grid.h"
#include <algorithm>
#include <cstdio>
#include <cstring>

using namespace standin;

Grid*& running_grid() {
    static thread_local Grid* grid = nullptr;
    return grid;
}

void Grid::enter() {
    Grid& g = *running_grid();
    g.launch_.kernel->enter(g.parameters_);
    g.threads_[g.current_].state = State::Done;
    g.live_--;
    g.warps_[g.current_ / 32].live &= ~(1u << g.current_ % 32);
    g.leave();
    __builtin_unreachable();
}

Result Grid::run(const Launch& launch, void** parameters, uint64_t seed, bool reverse) {
    launch_ = launch;
    parameters_ = parameters;
    state_ = seed;
    reverse_ = reverse;
    stop_ = {};
    block_dim = launch.block;
    grid_dim = launch.grid;
    count_ = launch.block.x * launch.block.y * launch.block.z;
    stacks_.reserve(count_);
    threads_.resize(count_);
    warps_.resize((count_ + 31) / 32);

    GuardedBlock shared(launch.dynamic_shared, 16);
    dynamic_shared = shared.start();
    shared_ = &shared;

    std::vector<unsigned> blocks(size_t(launch.grid.x) * launch.grid.y * launch.grid.z);
    shuffle(blocks);

    Grid* outer = running_grid();
    running_grid() = this;
    running_ = true;
    // A fault comes back here, on the scheduler's stack; the fibers are then simply not resumed.
    if (sigsetjmp(escape_, 1) == 0) {
        for (unsigned b : blocks) {
            block = {b % grid_dim.x, b / grid_dim.x % grid_dim.y, b / grid_dim.x / grid_dim.y};
            poison(dynamic_shared, launch.dynamic_shared);
            poison(launch.static_shared, launch.static_shared_bytes);
            run_block();
        }
    }
    running_ = false;
    running_grid() = outer;
    shared_ = nullptr;
    if (stop_.result != SUCCESS) return fail(stop_.result, "%s", stop_.detail.c_str());
    if (!shared.take_edges_intact())
        return fail(ILLEGAL_ADDRESS, "kernel %s wrote just outside its %zu bytes of dynamic shared memory",
                    launch.kernel->name, launch.dynamic_shared);
    return SUCCESS;
}

void Grid::run_block() {
    live_ = count_;
    for (unsigned w = 0; w < warps_.size(); w++) {
        unsigned lanes = count_ - w * 32;
        warps_[w].live = lanes >= 32 ? ~0u : (1u << lanes) - 1;
    }
    for (unsigned i = 0; i < count_; i++) {
        threads_[i].fiber = stacks_.start(i, &Grid::enter);
        threads_[i].state = State::Ready;
    }
    warp_order_.resize(warps_.size());
    while (live_ > 0) {
        shuffle(warp_order_);
        for (unsigned w : warp_order_) run_warp(w);
        if (live_ > 0 && !wake_yielded() && !release_barrier()) report_divergence();
    }
}

// Runs a warp until all its lanes wait for other warps or have ended: as far ahead of the others as a device
// could ever let it come, so that a missing barrier shows.
void Grid::run_warp(unsigned w) {
    lane_order_.resize(std::min(32u, count_ - w * 32));
    do {
        shuffle(lane_order_);
        for (unsigned lane : lane_order_) {
            unsigned i = w * 32 + lane;
            if (threads_[i].state != State::Ready) continue;
            select(i);
            switch_fiber(scheduler_, threads_[i].fiber);
        }
    } while (release_warp(w));
}

// Threads that let others go first go on; whether there were any.
bool Grid::wake_yielded() {
    bool any = false;
    for (unsigned i = 0; i < count_; i++) {
        if (threads_[i].state != State::Yielded) continue;
        threads_[i].state = State::Ready;
        any = true;
    }
    return any;
}

// Lets the lanes of a warp go on whose operation is complete; whether there were any.
bool Grid::release_warp(unsigned w) {
    Warp& warp = warps_[w];
    Thread* lanes = &threads_[w * 32];
    unsigned open = warp.live;
    bool any = false;
    while (open) {
        unsigned first = unsigned(__builtin_ctz(open));
        open &= open - 1;
        if (lanes[first].state != State::AtWarp) continue;
        unsigned mask = lanes[first].mask & warp.live;
        bool complete = true;
        for (unsigned m = mask; m; m &= m - 1) {
            const Thread& lane = lanes[__builtin_ctz(m)];
            complete &= lane.state == State::AtWarp && lane.mask == lanes[first].mask && lane.line == lanes[first].line;
        }
        if (!complete) continue;
        Exchange& e = warp.exchanges[warp.next++ % Warp::kKept];
        e.lanes = mask;
        for (unsigned m = mask; m; m &= m - 1) {
            unsigned i = unsigned(__builtin_ctz(m));
            memcpy(e.slot[i], lanes[i].value, lanes[i].size);
            lanes[i].received = &e;
            lanes[i].state = State::Ready;
        }
        open &= ~mask;
        any = true;
    }
    return any;
}

// Lets all threads go on when each of them waits at the same barrier; whether they do.
bool Grid::release_barrier() {
    if (live_ != count_) return false;
    int sum = 0;
    for (const Thread& t : threads_) {
        if (t.state != State::AtBarrier || t.line != threads_[0].line || t.kind != threads_[0].kind) return false;
        sum += t.predicate;
    }
    switch (threads_[0].kind) {
        case BarrierKind::Plain: total_ = 0; break;
        case BarrierKind::Count: total_ = sum; break;
        case BarrierKind::And: total_ = sum == int(count_); break;
        case BarrierKind::Or: total_ = sum > 0; break;
    }
    for (Thread& t : threads_) t.state = State::Ready;
    return true;
}

// Nobody can go on: tells who waits where.
void Grid::report_divergence() {
    unsigned ended = count_ - live_, shown = 0;
    std::string text = "threads that must meet do not: " + std::to_string(ended) + " of " +
                       std::to_string(count_) + " have ended";
    struct Group {
        State state;
        unsigned line, mask, count, first;
    };
    std::vector<Group> groups;
    for (unsigned i = 0; i < count_; i++) {
        const Thread& t = threads_[i];
        if (t.state == State::Done) continue;
        unsigned mask = t.state == State::AtWarp ? t.mask : 0;
        Group* found = nullptr;
        for (Group& g : groups)
            if (g.state == t.state && g.line == t.line && g.mask == mask) found = &g;
        if (found) found->count++;
        else groups.push_back({t.state, t.line, mask, 1, i});
    }
    for (const Group& g : groups) {
        if (shown++ == 4) break;
        char line[160];
        snprintf(line, sizeof line, "; %u (thread %u first) wait at %s of line %u", g.count, g.first,
                 g.state == State::AtBarrier ? "the barrier" : "the warp operation", g.line);
        text += line;
        if (g.state == State::AtWarp) {
            snprintf(line, sizeof line, " with mask %#x", g.mask);
            text += line;
        }
    }
    for (unsigned i = 0; i < count_; i++)
        if (threads_[i].state != State::Done) {
            select(i);
            break;
        }
    stop(LAUNCH_FAILED, text);
}

int Grid::barrier(BarrierKind kind, int predicate, unsigned line) {
    Thread& t = threads_[current_];
    t.state = State::AtBarrier;
    t.kind = kind;
    t.predicate = predicate;
    t.line = line;
    leave();
    return total_;
}

const Exchange& Grid::warp(unsigned mask, const void* value, size_t size, unsigned line) {
    if (!(mask >> lane & 1))
        violation(Violation::Divergence, "a lane is not in the mask of its own warp operation", "kernel", line);
    Thread& t = threads_[current_];
    t.state = State::AtWarp;
    t.mask = mask;
    t.line = line;
    t.size = size;
    if (size) memcpy(t.value, value, size);
    leave();
    return *t.received;
}

unsigned Grid::live_lanes() { return warps_[current_ / 32].live; }

void Grid::yield() {
    threads_[current_].state = State::Yielded;
    leave();
}

void Grid::leave() {
    // The compiler may not keep `current_` in a register over the switch.
    Thread& me = threads_[current_];
    switch_fiber(me.fiber, scheduler_);
}

void Grid::select(unsigned i) {
    current_ = i;
    thread = {i % block_dim.x, i / block_dim.x % block_dim.y, i / block_dim.x / block_dim.y};
    lane = i % 32;
}

void Grid::violation(Violation what, const char* detail, const char* file, unsigned line) {
    Result result = LAUNCH_FAILED;
    const char* name = "";
    switch (what) {
        case Violation::OutOfBounds: result = ILLEGAL_ADDRESS; name = "out of bounds"; break;
        case Violation::Misaligned: result = MISALIGNED_ADDRESS; name = "misaligned"; break;
        case Violation::Divergence: result = LAUNCH_FAILED; name = "divergence"; break;
        case Violation::Assertion: result = ASSERT; name = "assertion failed"; break;
        case Violation::Trap: result = ILLEGAL_INSTRUCTION; name = "trap"; break;
        case Violation::Arithmetic: result = LAUNCH_FAILED; name = "arithmetic"; break;
    }
    stop(result, std::string(name) + ": " + detail + " (" + file + ":" + std::to_string(line) + ")");
}

void Grid::stop(Result result, const std::string& detail) {
    stop_ = {result, where() + ": " + detail};
    siglongjmp(escape_, 1);
}

std::string Grid::where() const {
    char text[256];
    snprintf(text, sizeof text, "kernel %s, block (%u,%u,%u), thread (%u,%u,%u)", launch_.kernel->name, block.x,
             block.y, block.z, thread.x, thread.y, thread.z);
    return text;
}

std::string Grid::describe(const void* address) const {
    if (stacks_.is_guard(address)) return "the stack of a thread overflows";
    auto* at = static_cast<const char*>(address);
    if (!shared_ || at < shared_->region() || at >= shared_->region() + shared_->region_bytes()) return "";
    return "byte " + std::to_string(at - shared_->start()) + " of " + std::to_string(shared_->bytes()) +
           " bytes of dynamic shared memory";
}

// A step of SplitMix64.
uint64_t Grid::random() {
    uint64_t z = state_ += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

void Grid::shuffle(std::vector<unsigned>& order) {
    // Drawn anew each time from the natural order, so that reversing the result reverses every pair.
    for (unsigned i = 0; i < order.size(); i++) order[i] = i;
    if (state_ != 0)
        for (size_t i = order.size(); i > 1; i--) std::swap(order[i - 1], order[random() % i]);
    if (reverse_) std::reverse(order.begin(), order.end());
}

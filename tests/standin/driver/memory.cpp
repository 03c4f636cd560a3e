#include "memory.h"
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <sys/mman.h>

static constexpr size_t kPage = 4096;
// Freed blocks that are remembered; each takes address space and an entry in the system's table.
static constexpr size_t kQuarantine = 8192;

static size_t round_up(size_t n, size_t to) { return (n + to - 1) / to * to; }

GuardedBlock::GuardedBlock(size_t bytes, size_t alignment) : bytes_(bytes) {
    size_t aligned = round_up(bytes, alignment), inner = round_up(aligned, kPage);
    region_bytes_ = inner + 2 * kPage;
    void* p = mmap(nullptr, region_bytes_, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED || mprotect(static_cast<char*>(p) + kPage, inner, PROT_READ | PROT_WRITE) != 0) {
        perror("standin: memory");
        abort();
    }
    region_ = static_cast<char*>(p);
    start_ = region_ + kPage + inner - aligned;
    poison(region_ + kPage, inner);
}

GuardedBlock::GuardedBlock(GuardedBlock&& o) noexcept
    : region_(o.region_), start_(o.start_), region_bytes_(o.region_bytes_), bytes_(o.bytes_) {
    o.region_ = nullptr;
}

GuardedBlock::~GuardedBlock() {
    if (region_) munmap(region_, region_bytes_);
}

bool GuardedBlock::take_edges_intact() {
    const char *first = region_ + kPage, *last = region_ + region_bytes_ - kPage;
    auto intact = [&](const char* p) {
        return static_cast<unsigned char>(*p) == ((p - first) % 2 ? kPoison16 >> 8 : kPoison16 & 0xff);
    };
    bool all = true;
    for (const char* p = first; p < start_; p++) all &= intact(p);
    for (const char* p = start_ + bytes_; p < last; p++) all &= intact(p);
    if (!all) {
        // Said once.
        std::string own(start_, bytes_);
        poison(region_ + kPage, size_t(last - first));
        memcpy(start_, own.data(), bytes_);
    }
    return all;
}

void GuardedBlock::forbid() {
    mmap(region_, region_bytes_, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
}

void GuardedBlock::protect(bool usable) {
    mprotect(region_ + kPage, region_bytes_ - 2 * kPage, usable ? PROT_READ | PROT_WRITE : PROT_NONE);
}

Memory& memory() {
    // Never destroyed: other threads may still run when the process ends.
    static Memory* m = new Memory;
    return *m;
}

DevicePointer Memory::allocate(int device, size_t bytes) {
    size_t limit = options().memory;
    if (bytes > limit || used_[device] > limit - bytes) return 0;
    GuardedBlock block(bytes, options().alignment);
    auto at = reinterpret_cast<DevicePointer>(block.start());
    // The system may give an address again that an old freed block had.
    blocks_.erase(at);
    blocks_.emplace(at, Allocation{std::move(block), device, next_number_++});
    used_[device] += bytes;
    return at;
}

Result Memory::begin_release(DevicePointer at) {
    auto found = blocks_.find(at);
    if (found == blocks_.end() || found->second.freed || found->second.freeing)
        return fail(INVALID_VALUE, "free of %#llx, which is %s", at, describe(reinterpret_cast<void*>(at)).c_str());
    found->second.freeing = true;
    used_[found->second.device] -= found->second.block.bytes();
    return SUCCESS;
}

Result Memory::release(DevicePointer at) {
    auto found = blocks_.find(at);
    if (found == blocks_.end() || found->second.freed)
        return fail(INVALID_VALUE, "free of %#llx, which is %s", at, describe(reinterpret_cast<void*>(at)).c_str());
    Allocation& a = found->second;
    bool intact = a.block.take_edges_intact();
    if (!a.freeing) used_[a.device] -= a.block.bytes();
    a.freed = true;
    a.block.forbid();
    quarantine_.push_back(at);
    trim_quarantine();
    if (!intact)
        return fail(ILLEGAL_ADDRESS, "something was written just outside allocation %u of %zu bytes", a.number,
                    a.block.bytes());
    return SUCCESS;
}

void Memory::trim_quarantine() {
    if (quarantine_.size() <= kQuarantine) return;
    size_t half = quarantine_.size() / 2;
    for (size_t i = 0; i < half; i++) {
        auto found = blocks_.find(quarantine_[i]);
        if (found != blocks_.end() && found->second.freed) blocks_.erase(found);
    }
    quarantine_.erase(quarantine_.begin(), quarantine_.begin() + long(half));
}

Allocation* Memory::find(DevicePointer at, size_t bytes) {
    auto next = blocks_.upper_bound(at);
    if (next == blocks_.begin()) return nullptr;
    Allocation& a = std::prev(next)->second;
    size_t offset = at - reinterpret_cast<DevicePointer>(a.block.start());
    if (a.freed || offset > a.block.bytes() || bytes > a.block.bytes() - offset) return nullptr;
    return &a;
}

std::string Memory::describe(const void* address) {
    auto* at = static_cast<const char*>(address);
    char text[200];
    for (auto& [_, a] : blocks_) {
        if (at < a.block.region() || at >= a.block.region() + a.block.region_bytes()) continue;
        long from_start = at - a.block.start(), past_end = from_start - long(a.block.bytes());
        const char* state = a.freed ? "freed allocation" : "allocation";
        if (past_end >= 0)
            snprintf(text, sizeof text, "%ld bytes past the end of %s %u of %zu bytes on device %d", past_end, state,
                     a.number, a.block.bytes(), a.device);
        else if (from_start < 0)
            snprintf(text, sizeof text, "%ld bytes before %s %u of %zu bytes on device %d", -from_start, state,
                     a.number, a.block.bytes(), a.device);
        else
            snprintf(text, sizeof text, "byte %ld of %s %u of %zu bytes on device %d", from_start, state, a.number,
                     a.block.bytes(), a.device);
        return text;
    }
    return "not memory of a device";
}

std::vector<Allocation*> Memory::of(int device) {
    std::vector<Allocation*> found;
    for (auto& [_, a] : blocks_)
        if (!a.freed && a.device == device) found.push_back(&a);
    return found;
}

void Memory::isolate(const std::vector<bool>& reachable, bool on) {
    for (auto& [_, a] : blocks_)
        if (!a.freed && !reachable[size_t(a.device)]) a.block.protect(!on);
}

size_t Memory::used(int device) const {
    auto found = used_.find(device);
    return found == used_.end() ? 0 : found->second;
}

size_t Memory::live_count() const {
    size_t n = 0;
    for (auto& [_, a] : blocks_) n += !a.freed && !a.freeing;
    return n;
}

void* Memory::pin(size_t bytes) {
    GuardedBlock block(bytes, 64);
    char* at = block.start();
    pinned_.emplace(at, std::move(block));
    return at;
}

Result Memory::unpin(void* at) {
    if (pinned_.erase(static_cast<char*>(at)) == 0) return fail(INVALID_VALUE, "free of %p, which is not pinned", at);
    return SUCCESS;
}

bool Memory::is_pinned(const void* at, size_t bytes) const {
    auto* p = const_cast<char*>(static_cast<const char*>(at));
    auto next = pinned_.upper_bound(p);
    if (next == pinned_.begin()) return false;
    const GuardedBlock& b = std::prev(next)->second;
    return p + bytes <= b.start() + b.bytes();
}

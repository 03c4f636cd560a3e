// Memory of devices, and pinned memory of the host.
#pragma once
#include "common.h"
#include <map>
#include <vector>

// Bytes between two pages that nobody may touch, ending at the second as closely as alignment allows. They
// are poison at first, as is what lies between them and those pages.
class GuardedBlock {
  public:
    GuardedBlock(size_t bytes, size_t alignment);
    ~GuardedBlock();
    GuardedBlock(const GuardedBlock&) = delete;
    GuardedBlock(GuardedBlock&& other) noexcept;

    char* start() const { return start_; }
    size_t bytes() const { return bytes_; }
    const char* region() const { return region_; }
    size_t region_bytes() const { return region_bytes_; }
    // Whether the bytes between the block and its guard pages are as they were; makes them so again.
    bool take_edges_intact();
    // Makes any use of it a fault, and gives its pages back to the system.
    void forbid();
    void protect(bool usable);

  private:
    char* region_ = nullptr;
    char* start_ = nullptr;
    size_t region_bytes_ = 0, bytes_ = 0;
};

struct Allocation {
    GuardedBlock block;
    int device;
    // Counts allocations, for messages.
    unsigned number;
    // Freed, and kept so that a use is told apart from a wild address.
    bool freed = false;
    // Freed on a stream that has not come to it yet.
    bool freeing = false;
};

class Memory {
  public:
    // Memory of a device, filled with poison. 0 when the device has not so much left.
    DevicePointer allocate(int device, size_t bytes);
    Result release(DevicePointer at);
    // Marks memory that a stream will free when it comes to it; it counts as free from now on.
    Result begin_release(DevicePointer at);

    // The live allocation that holds all of `[at, at + bytes)`; null if there is none.
    Allocation* find(DevicePointer at, size_t bytes);
    // Whatever is known of an address, in words.
    std::string describe(const void* address);
    // A device's live allocations.
    std::vector<Allocation*> of(int device);
    // Makes memory of devices other than these unusable while a launch runs.
    void isolate(const std::vector<bool>& reachable, bool on);

    size_t used(int device) const;
    size_t live_count() const;

    void* pin(size_t bytes);
    Result unpin(void* at);
    bool is_pinned(const void* at, size_t bytes) const;
    size_t pinned_count() const { return pinned_.size(); }

  private:
    void trim_quarantine();
    std::map<DevicePointer, Allocation> blocks_;
    std::vector<DevicePointer> quarantine_;
    std::map<char*, GuardedBlock> pinned_;
    std::map<int, size_t> used_;
    unsigned next_number_ = 0;
};

Memory& memory();

// What all of the driver's parts share: results, the one lock, options, and how a failure is told.
#pragma once
#include <cstddef>
#include <cstdint>
#include <functional>
#include <mutex>
#include <string>

#define API extern "C" __attribute__((visibility("default")))

// Results of the driver's functions, by the numbers that the driver's interface fixes.
enum Result : int {
    SUCCESS = 0,
    INVALID_VALUE = 1,
    OUT_OF_MEMORY = 2,
    NOT_INITIALIZED = 3,
    DEINITIALIZED = 4,
    NO_DEVICE = 100,
    INVALID_DEVICE = 101,
    INVALID_IMAGE = 200,
    INVALID_CONTEXT = 201,
    NO_BINARY_FOR_GPU = 209,
    PEER_ACCESS_UNSUPPORTED = 217,
    INVALID_PTX = 218,
    INVALID_HANDLE = 400,
    ILLEGAL_STATE = 401,
    NOT_FOUND = 500,
    NOT_READY = 600,
    ILLEGAL_ADDRESS = 700,
    LAUNCH_OUT_OF_RESOURCES = 701,
    LAUNCH_TIMEOUT = 702,
    PEER_ACCESS_ALREADY_ENABLED = 704,
    PEER_ACCESS_NOT_ENABLED = 705,
    ASSERT = 710,
    ILLEGAL_INSTRUCTION = 715,
    MISALIGNED_ADDRESS = 716,
    LAUNCH_FAILED = 719,
    NOT_SUPPORTED = 801,
    STREAM_CAPTURE_UNSUPPORTED = 900,
    STREAM_CAPTURE_INVALIDATED = 901,
    STREAM_CAPTURE_IMPLICIT = 906,
    UNKNOWN = 999,
};

using DevicePointer = unsigned long long;

// What can be set from outside, by environment variables (STANDIN_ and the name in capitals) when the
// library is first called, or by standin_configure later.
struct Options {
    // Devices that there are.
    int devices = 1;
    // Bytes of memory of each.
    size_t memory = size_t(1) << 30;
    // Compute capability, major * 10 + minor.
    int capability = 90;
    // Bytes that the start of every allocation is a multiple of; its end is that close to a guard page.
    size_t alignment = 16;
    // Seeds the order in which blocks, and threads between barriers, run; 0: in order.
    uint64_t seed = 1;
    // Whether each launch runs twice, in different orders, and its results are compared.
    bool twice = false;
    // Whether copying memory that nothing wrote to the host is an error.
    bool unwritten = true;
    // Whether work waits in its stream until something asks for it.
    bool lazy = true;
    // Whether an error of a kernel stays with its device for ever, as it does on a real one.
    bool sticky = false;
    // Seconds that a launch may take.
    int timeout = 60;
};

Options& options();

// One lock around every function of the interface.
std::recursive_mutex& big_lock();
struct Locked {
    std::lock_guard<std::recursive_mutex> guard{big_lock()};
};

// Says on stderr why a call fails (and keeps it for standin_last_message); gives back `result`.
Result fail(Result result, const char* format, ...) __attribute__((format(printf, 2, 3)));
const std::string& last_message();

// The 16-bit pattern of memory that nothing wrote: a NaN as f16, bf16, f32 and f64.
constexpr uint16_t kPoison16 = 0xffed;
constexpr uint32_t kPoison32 = 0xffedffed;
void poison(void* at, size_t bytes);

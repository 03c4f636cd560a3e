// Devices, their attributes, and contexts.
#include "handles.h"
#include "memory.h"
#include "grid.h"
#include <cstdio>
#include <cstring>

Handles& handles() {
    static Handles* h = new Handles;
    return *h;
}

Context*& current_context() {
    static thread_local Context* context = nullptr;
    return context;
}

static bool initialized = false;

static Context* primary(int device) {
    for (Context* c : handles().contexts.all())
        if (c->device == device) return c;
    return handles().contexts.make(Context{device});
}

static bool is_device(int device) { return initialized && device >= 0 && device < options().devices; }

API int cuInit(unsigned) {
    Locked locked;
    if (options().devices == 0) return NO_DEVICE;
    initialized = true;
    return SUCCESS;
}

API int cuDriverGetVersion(int* version) {
    *version = 13000;
    return SUCCESS;
}

// Asked by NVIDIA's own libraries for interfaces that nobody else knows.
API int cuGetExportTable(const void** table, const void*) {
    *table = nullptr;
    return NOT_FOUND;
}

API int cuDeviceGetCount(int* count) {
    Locked locked;
    if (!initialized) return NOT_INITIALIZED;
    *count = options().devices;
    return SUCCESS;
}

API int cuDeviceGet(int* device, int ordinal) {
    Locked locked;
    if (!initialized) return NOT_INITIALIZED;
    if (!is_device(ordinal)) return INVALID_DEVICE;
    *device = ordinal;
    return SUCCESS;
}

API int cuDeviceGetName(char* name, int length, int device) {
    Locked locked;
    if (!is_device(device)) return INVALID_DEVICE;
    snprintf(name, size_t(length), "Stand-in %d", device);
    return SUCCESS;
}

API int cuDeviceGetUuid_v2(char* uuid, int device) {
    Locked locked;
    if (!is_device(device)) return INVALID_DEVICE;
    memset(uuid, 0x5a, 16);
    uuid[15] = char(device);
    return SUCCESS;
}
API int cuDeviceGetUuid(char* uuid, int device) { return cuDeviceGetUuid_v2(uuid, device); }

API int cuDeviceTotalMem_v2(size_t* bytes, int device) {
    Locked locked;
    if (!is_device(device)) return INVALID_DEVICE;
    *bytes = options().memory;
    return SUCCESS;
}

// Those of an H100, as far as they are asked for.
static int attribute(int number) {
    switch (number) {
        case 1: return 1024;                            // threads of a block
        case 2: case 3: return 1024;                    // block x, y
        case 4: return 64;                              // block z
        case 5: return 0x7fffffff;                      // grid x
        case 6: case 7: return 65535;                   // grid y, z
        case 8: return 48 << 10;                        // shared memory of a block
        case 9: return 64 << 10;                        // constant memory
        case 10: return 32;                             // warp
        case 12: return 65536;                          // registers of a block
        case 13: return 1980000;                        // clock, kHz
        case 14: return 512;                            // texture alignment
        case 16: return 132;                            // multiprocessors
        case 18: return 0;                              // integrated
        case 19: return 1;                              // can map host memory
        case 31: return 1;                              // concurrent kernels
        case 36: return 2619000;                        // memory clock, kHz
        case 37: return 5120;                           // memory bus, bits
        case 38: return 50 << 20;                       // L2, bytes
        case 39: return 2048;                           // threads of a multiprocessor
        case 40: return 3;                              // copy engines
        case 41: return 1;                              // unified addressing
        case 75: return options().capability / 10;
        case 76: return options().capability % 10;
        case 81: return 228 << 10;                      // shared memory of a multiprocessor
        case 82: return 65536;                          // registers of a multiprocessor
        case 97: return 227 << 10;                      // shared memory of a block, opted in
        case 115: return 1;                             // memory pools
        default: return 0;
    }
}

API int cuDeviceGetAttribute(int* value, int number, int device) {
    Locked locked;
    if (!is_device(device)) return INVALID_DEVICE;
    *value = attribute(number);
    return SUCCESS;
}

API int cuDevicePrimaryCtxRetain(void** context, int device) {
    Locked locked;
    if (!is_device(device)) return INVALID_DEVICE;
    install_fault_handler();
    Context* c = primary(device);
    c->retained++;
    *context = c;
    return SUCCESS;
}

API int cuDevicePrimaryCtxRelease_v2(int device) {
    Locked locked;
    if (!is_device(device)) return INVALID_DEVICE;
    Context* c = primary(device);
    if (c->retained == 0) return fail(INVALID_CONTEXT, "the context of device %d is released too often", device);
    c->retained--;
    return SUCCESS;
}

API int cuCtxSetCurrent(void* context) {
    Locked locked;
    if (context && !handles().contexts.has(context)) return INVALID_CONTEXT;
    current_context() = static_cast<Context*>(context);
    return SUCCESS;
}

API int cuCtxGetCurrent(void** context) {
    *context = current_context();
    return SUCCESS;
}

API int cuCtxGetDevice(int* device) {
    NEEDS_CONTEXT(context);
    *device = context->device;
    return SUCCESS;
}

API int cuCtxSynchronize() {
    NEEDS_CONTEXT(context);
    if (int refused = refuse_in_capture(__func__)) return refused;
    drain_device(context->device);
    return take_error(context);
}

API int cuDeviceCanAccessPeer(int* can, int device, int peer) {
    Locked locked;
    if (!is_device(device) || !is_device(peer)) return INVALID_DEVICE;
    *can = device != peer;
    return SUCCESS;
}

API int cuCtxEnablePeerAccess(void* peer, unsigned) {
    NEEDS_CONTEXT(context);
    if (!handles().contexts.has(peer)) return INVALID_CONTEXT;
    int device = static_cast<Context*>(peer)->device;
    if (device == context->device) return INVALID_DEVICE;
    return context->peers.insert(device).second ? SUCCESS : PEER_ACCESS_ALREADY_ENABLED;
}

API int cuCtxDisablePeerAccess(void* peer) {
    NEEDS_CONTEXT(context);
    if (!handles().contexts.has(peer)) return INVALID_CONTEXT;
    return context->peers.erase(static_cast<Context*>(peer)->device) ? SUCCESS : PEER_ACCESS_NOT_ENABLED;
}

// Names of results that the interface can give back, for its error functions.
struct Name {
    int result;
    const char *name, *text;
};
static const Name kNames[] = {
    {SUCCESS, "CUDA_SUCCESS", "no error"},
    {INVALID_VALUE, "CUDA_ERROR_INVALID_VALUE", "invalid argument"},
    {OUT_OF_MEMORY, "CUDA_ERROR_OUT_OF_MEMORY", "out of memory"},
    {NOT_INITIALIZED, "CUDA_ERROR_NOT_INITIALIZED", "initialization error"},
    {NO_DEVICE, "CUDA_ERROR_NO_DEVICE", "no CUDA-capable device is detected"},
    {INVALID_DEVICE, "CUDA_ERROR_INVALID_DEVICE", "invalid device ordinal"},
    {INVALID_IMAGE, "CUDA_ERROR_INVALID_IMAGE", "device kernel image is invalid"},
    {INVALID_CONTEXT, "CUDA_ERROR_INVALID_CONTEXT", "invalid device context"},
    {NO_BINARY_FOR_GPU, "CUDA_ERROR_NO_BINARY_FOR_GPU", "no kernel image is available for execution on the device"},
    {PEER_ACCESS_UNSUPPORTED, "CUDA_ERROR_PEER_ACCESS_UNSUPPORTED", "peer access is not supported between these two devices"},
    {INVALID_PTX, "CUDA_ERROR_INVALID_PTX", "a PTX JIT compilation failed"},
    {INVALID_HANDLE, "CUDA_ERROR_INVALID_HANDLE", "invalid resource handle"},
    {NOT_FOUND, "CUDA_ERROR_NOT_FOUND", "named symbol not found"},
    {NOT_READY, "CUDA_ERROR_NOT_READY", "device not ready"},
    {ILLEGAL_ADDRESS, "CUDA_ERROR_ILLEGAL_ADDRESS", "an illegal memory access was encountered"},
    {LAUNCH_OUT_OF_RESOURCES, "CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES", "too many resources requested for launch"},
    {LAUNCH_TIMEOUT, "CUDA_ERROR_LAUNCH_TIMEOUT", "the launch timed out and was terminated"},
    {PEER_ACCESS_ALREADY_ENABLED, "CUDA_ERROR_PEER_ACCESS_ALREADY_ENABLED", "peer access is already enabled"},
    {PEER_ACCESS_NOT_ENABLED, "CUDA_ERROR_PEER_ACCESS_NOT_ENABLED", "peer access has not been enabled"},
    {ASSERT, "CUDA_ERROR_ASSERT", "device-side assert triggered"},
    {ILLEGAL_INSTRUCTION, "CUDA_ERROR_ILLEGAL_INSTRUCTION", "an illegal instruction was encountered"},
    {MISALIGNED_ADDRESS, "CUDA_ERROR_MISALIGNED_ADDRESS", "misaligned address"},
    {LAUNCH_FAILED, "CUDA_ERROR_LAUNCH_FAILED", "unspecified launch failure"},
    {NOT_SUPPORTED, "CUDA_ERROR_NOT_SUPPORTED", "operation not supported"},
    {STREAM_CAPTURE_UNSUPPORTED, "CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED", "operation not permitted when stream is capturing"},
    {STREAM_CAPTURE_INVALIDATED, "CUDA_ERROR_STREAM_CAPTURE_INVALIDATED", "operation failed due to a previous error during capture"},
    {UNKNOWN, "CUDA_ERROR_UNKNOWN", "unknown error"},
};

static const Name* name_of(int result) {
    for (const Name& n : kNames)
        if (n.result == result) return &n;
    return nullptr;
}

API int cuGetErrorName(int result, const char** text) {
    const Name* n = name_of(result);
    *text = n ? n->name : nullptr;
    return n ? SUCCESS : INVALID_VALUE;
}

API int cuGetErrorString(int result, const char** text) {
    const Name* n = name_of(result);
    *text = n ? n->text : nullptr;
    return n ? SUCCESS : INVALID_VALUE;
}

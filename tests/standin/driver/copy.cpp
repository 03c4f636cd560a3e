// Allocation, copies and fills.
#include "handles.h"
#include "memory.h"
#include <cstring>

// Allocation

static Result allocate(DevicePointer* at, size_t bytes, Context* context) {
    if (bytes == 0) return INVALID_VALUE;
    *at = memory().allocate(context->device, bytes);
    if (*at == 0) {
        // What streams are going to free may be enough.
        drain_device(context->device);
        *at = memory().allocate(context->device, bytes);
    }
    return *at ? SUCCESS : OUT_OF_MEMORY;
}

API int cuMemAlloc_v2(DevicePointer* at, size_t bytes) {
    NEEDS_CONTEXT(context);
    if (int refused = refuse_in_capture(__func__)) return refused;
    return allocate(at, bytes, context);
}

API int cuMemAllocAsync(DevicePointer* at, size_t bytes, void* handle) {
    NEEDS_CONTEXT(context);
    Stream* stream = stream_of(handle);
    if (!stream) return INVALID_HANDLE;
    if (stream->capture) return fail(STREAM_CAPTURE_UNSUPPORTED, "allocation in a capture is not modelled");
    return allocate(at, bytes, stream->context);
}

API int cuMemFree_v2(DevicePointer at) {
    NEEDS_CONTEXT(context);
    if (at == 0) return SUCCESS;
    if (int refused = refuse_in_capture(__func__)) return refused;
    drain_device(context->device);
    return memory().release(at);
}

API int cuMemFreeAsync(DevicePointer at, void* handle) {
    NEEDS_CONTEXT(context);
    Stream* stream = stream_of(handle);
    if (!stream) return INVALID_HANDLE;
    if (at == 0) return SUCCESS;
    if (stream->capture) return fail(STREAM_CAPTURE_UNSUPPORTED, "a free in a capture is not modelled");
    if (Result bad = memory().begin_release(at)) return bad;
    return enqueue(stream, [=] { return memory().release(at); });
}

API int cuMemGetInfo_v2(size_t* free, size_t* total) {
    NEEDS_CONTEXT(context);
    *total = options().memory;
    *free = options().memory - memory().used(context->device);
    return SUCCESS;
}

static int pinned(void** at, size_t bytes) {
    NEEDS_CONTEXT(context);
    (void)context;
    if (bytes == 0) return INVALID_VALUE;
    *at = memory().pin(bytes);
    return SUCCESS;
}
API int cuMemHostAlloc(void** at, size_t bytes, unsigned) { return pinned(at, bytes); }
API int cuMemAllocHost_v2(void** at, size_t bytes) { return pinned(at, bytes); }

API int cuMemFreeHost(void* at) {
    NEEDS_CONTEXT(context);
    drain_device(context->device);
    return memory().unpin(at);
}

// A pool of a device: this driver keeps nothing, so that there is only one, with nothing to set.

API int cuDeviceGetDefaultMemPool(void** pool, int device) {
    Locked locked;
    *pool = reinterpret_cast<void*>(uintptr_t(device) + 16);
    return SUCCESS;
}
API int cuDeviceGetMemPool(void** pool, int device) { return cuDeviceGetDefaultMemPool(pool, device); }
API int cuMemPoolSetAttribute(void*, int, void*) { return SUCCESS; }
API int cuMemPoolGetAttribute(void* pool, int, void* value) {
    Locked locked;
    *static_cast<uint64_t*>(value) = memory().used(int(reinterpret_cast<uintptr_t>(pool) - 16));
    return SUCCESS;
}
API int cuMemPoolTrimTo(void*, size_t) { return SUCCESS; }

// Copies

// A range of a device's memory that a copy takes part with.
static Result check(const char* what, DevicePointer at, size_t bytes) {
    if (bytes == 0 || memory().find(at, bytes)) return SUCCESS;
    return fail(INVALID_VALUE, "%s: %zu bytes at %#llx are not within one allocation; that is %s", what, bytes, at,
                memory().describe(reinterpret_cast<void*>(at)).c_str());
}

// Whether a word of what is copied to the host was never written.
static Result check_written(const void* from, size_t bytes) {
    if (!options().unwritten) return SUCCESS;
    auto* p = static_cast<const char*>(from);
    size_t words = 0, first = 0;
    for (size_t i = 0; i + 4 <= bytes; i += 4) {
        uint32_t word;
        memcpy(&word, p + i, 4);
        if (word == kPoison32 && words++ == 0) first = i;
    }
    if (words == 0) return SUCCESS;
    return fail(UNKNOWN, "a copy to the host reads memory that nothing wrote: %zu of %zu words, the first at %s",
                words, bytes / 4, memory().describe(p + first).c_str());
}

API int cuMemcpyHtoDAsync_v2(DevicePointer to, const void* from, size_t bytes, void* handle) {
    NEEDS_CONTEXT(context);
    Stream* stream = stream_of(handle);
    if (!stream) return INVALID_HANDLE;
    if (Result bad = check("copy to the device", to, bytes)) return bad;
    auto put = [=](const void* source) {
        if (Result bad = check("copy to the device", to, bytes)) return bad;
        memcpy(reinterpret_cast<void*>(to), source, bytes);
        return SUCCESS;
    };
    if (memory().is_pinned(from, bytes)) {
        // Read when the stream comes to it: the host must leave it alone until then.
        return enqueue(stream, [=] {
            if (!memory().is_pinned(from, bytes))
                return fail(ILLEGAL_ADDRESS, "a copy to the device reads pinned memory that was freed meanwhile");
            return put(from);
        });
    }
    if (stream->capture) return fail(STREAM_CAPTURE_UNSUPPORTED, "a copy from pageable memory in a capture");
    auto staged = std::make_shared<std::string>(static_cast<const char*>(from), bytes);
    return enqueue(stream, [=] { return put(staged->data()); });
}

API int cuMemcpyHtoD_v2(DevicePointer to, const void* from, size_t bytes) {
    int result = cuMemcpyHtoDAsync_v2(to, from, bytes, nullptr);
    Locked locked;
    if (result == SUCCESS) drain(stream_of(nullptr));
    return result;
}

API int cuMemcpyDtoHAsync_v2(void* to, DevicePointer from, size_t bytes, void* handle) {
    NEEDS_CONTEXT(context);
    Stream* stream = stream_of(handle);
    if (!stream) return INVALID_HANDLE;
    if (Result bad = check("copy to the host", from, bytes)) return bad;
    bool later = memory().is_pinned(to, bytes);
    if (!later && stream->capture) return fail(STREAM_CAPTURE_UNSUPPORTED, "a copy to pageable memory in a capture");
    int result = enqueue(stream, [=] {
        if (Result bad = check("copy to the host", from, bytes)) return bad;
        if (later && !memory().is_pinned(to, bytes))
            return fail(ILLEGAL_ADDRESS, "a copy to the host writes pinned memory that was freed meanwhile");
        if (Result bad = check_written(reinterpret_cast<void*>(from), bytes)) return bad;
        memcpy(to, reinterpret_cast<void*>(from), bytes);
        return SUCCESS;
    });
    if (later || result != SUCCESS) return result;
    drain(stream);
    return take_error(stream->context);
}

API int cuMemcpyDtoH_v2(void* to, DevicePointer from, size_t bytes) {
    int result = cuMemcpyDtoHAsync_v2(to, from, bytes, nullptr);
    if (result != SUCCESS) return result;
    NEEDS_CONTEXT(context);
    drain(stream_of(nullptr));
    return take_error(context);
}

static int copy_on_device(DevicePointer to, DevicePointer from, size_t bytes, Stream* stream) {
    if (Result bad = check("copy on the device, source", from, bytes)) return bad;
    if (Result bad = check("copy on the device, destination", to, bytes)) return bad;
    return enqueue(stream, [=] {
        if (Result bad = check("copy on the device, source", from, bytes)) return bad;
        if (Result bad = check("copy on the device, destination", to, bytes)) return bad;
        memmove(reinterpret_cast<void*>(to), reinterpret_cast<void*>(from), bytes);
        return SUCCESS;
    });
}

API int cuMemcpyDtoDAsync_v2(DevicePointer to, DevicePointer from, size_t bytes, void* handle) {
    NEEDS_CONTEXT(context);
    Stream* stream = stream_of(handle);
    if (!stream) return INVALID_HANDLE;
    return copy_on_device(to, from, bytes, stream);
}

API int cuMemcpyPeerAsync(DevicePointer to, void* to_context, DevicePointer from, void* from_context, size_t bytes,
                          void* handle) {
    NEEDS_CONTEXT(context);
    Stream* stream = stream_of(handle);
    if (!stream) return INVALID_HANDLE;
    if (!handles().contexts.has(to_context) || !handles().contexts.has(from_context)) return INVALID_CONTEXT;
    Allocation *a = memory().find(from, bytes), *b = memory().find(to, bytes);
    if (a && a->device != static_cast<Context*>(from_context)->device)
        return fail(INVALID_VALUE, "peer copy: the source is memory of device %d", a->device);
    if (b && b->device != static_cast<Context*>(to_context)->device)
        return fail(INVALID_VALUE, "peer copy: the destination is memory of device %d", b->device);
    return copy_on_device(to, from, bytes, stream);
}

template <class T> static int fill(DevicePointer at, T value, size_t count, void* handle) {
    NEEDS_CONTEXT(context);
    Stream* stream = stream_of(handle);
    if (!stream) return INVALID_HANDLE;
    if (at % sizeof(T) != 0) return INVALID_VALUE;
    if (Result bad = check("fill", at, count * sizeof(T))) return bad;
    return enqueue(stream, [=] {
        if (Result bad = check("fill", at, count * sizeof(T))) return bad;
        auto* p = reinterpret_cast<T*>(at);
        for (size_t i = 0; i < count; i++) p[i] = value;
        return SUCCESS;
    });
}
API int cuMemsetD8Async(DevicePointer at, unsigned char v, size_t n, void* stream) { return fill(at, v, n, stream); }
API int cuMemsetD16Async(DevicePointer at, unsigned short v, size_t n, void* stream) { return fill(at, v, n, stream); }
API int cuMemsetD32Async(DevicePointer at, unsigned v, size_t n, void* stream) { return fill(at, v, n, stream); }
API int cuMemsetD8_v2(DevicePointer at, unsigned char v, size_t n) {
    int result = fill(at, v, n, nullptr);
    Locked locked;
    if (result == SUCCESS) drain(stream_of(nullptr));
    return result;
}

// For the libraries that stand beside the driver.
#include "extension.h"
#include "handles.h"
#include "memory.h"
#include <map>

std::map<std::string, long>& library_objects() {
    static auto* counts = new std::map<std::string, long>;
    return *counts;
}

API int standin_enqueue(void* handle, const std::function<int()>& work) {
    NEEDS_CONTEXT(context);
    Stream* stream = stream_of(handle);
    if (!stream) return fail(INVALID_HANDLE, "a library is given what is no stream");
    if (stream->context != context) return fail(INVALID_CONTEXT, "a library is given another device's stream");
    return enqueue(stream, [=] { return Result(work()); });
}

API int standin_device_of(void* handle) {
    Locked locked;
    Stream* stream = stream_of(handle);
    return stream ? stream->context->device : -1;
}

API int standin_current_device() {
    Locked locked;
    return current_context() ? current_context()->device : -1;
}

API bool standin_is_memory(int device, unsigned long long at, size_t bytes, const char* what) {
    Locked locked;
    Allocation* a = memory().find(at, bytes);
    if (a && a->device == device) return true;
    fail(INVALID_VALUE, "%s: %zu bytes at %#llx are not within one allocation of device %d; that is %s", what, bytes, at,
         device, memory().describe(reinterpret_cast<void*>(at)).c_str());
    return false;
}

API void standin_say(const char* text) {
    Locked locked;
    fail(UNKNOWN, "%s", text);
}

API void standin_count(const char* kind, long more) {
    Locked locked;
    library_objects()[kind] += more;
}

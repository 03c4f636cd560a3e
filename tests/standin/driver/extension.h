// What the stand-ins for NVIDIA's libraries use of this driver, beside its interface.
#pragma once
#include <cstddef>
#include <functional>

extern "C" {
// Puts work in a stream, or in the graph that is captured from it: `work` runs when the stream comes to it, and gives 0
// or the driver's error. Not 0: there is no such stream.
int standin_enqueue(void* stream, const std::function<int()>& work);
// The device of a stream, -1 for what is no stream; and of the calling thread's context, -1 without one.
int standin_device_of(void* stream);
int standin_current_device();
// Whether all of `bytes` at an address lies in one live allocation of a device; if not, says that with `what`.
bool standin_is_memory(int device, unsigned long long at, size_t bytes, const char* what);
// Says why a call fails.
void standin_say(const char* text);
// Counts objects that are alive, for `standin_report`.
void standin_count(const char* kind, long more);
}

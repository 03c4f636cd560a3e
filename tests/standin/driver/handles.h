// Objects behind the handles that the interface gives out; a handle that is none of them is refused.
#pragma once
#include "common.h"
#include <deque>
#include <map>
#include <memory>
#include <set>
#include <thread>
#include <vector>

template <class T> class Registry {
  public:
    template <class... A> T* make(A&&... arguments) {
        T* object = new T{std::forward<A>(arguments)...};
        live_.insert(object);
        return object;
    }
    bool has(const void* handle) const { return live_.count(static_cast<T*>(const_cast<void*>(handle))) > 0; }
    bool destroy(T* object) {
        if (live_.erase(object) == 0) return false;
        delete object;
        return true;
    }
    size_t size() const { return live_.size(); }
    const std::set<T*>& all() const { return live_; }

  private:
    std::set<T*> live_;
};

// The primary context of a device.
struct Context {
    int device;
    int retained = 0;
    // Devices whose memory this one may reach.
    std::set<int> peers{};
    // The first error of work that ran later than its call.
    Result error = SUCCESS;
};

// Work in a stream.
using Work = std::function<Result()>;

struct Graph {
    std::vector<Work> nodes;
};

struct GraphExec {
    std::vector<Work> nodes;
};

struct Stream {
    Context* context;
    // Whether it ignores the default stream.
    bool non_blocking;
    std::deque<Work> queue{};
    uint64_t queued = 0, done = 0;
    // What a capture has recorded so far.
    std::unique_ptr<Graph> capture{};
    bool capture_broken = false;
    // Which threads must not make unsafe calls meanwhile: 0 all, 1 the one that captures, 2 none.
    int capture_mode = 0;
    std::thread::id capturing_thread{};
};

struct Event {
    Context* context;
    bool timed;
    // The point in a stream that it marks; no stream: nothing recorded.
    Stream* stream = nullptr;
    uint64_t position = 0;
    double seconds = 0;
};

struct Handles {
    Registry<Context> contexts;
    Registry<Stream> streams;
    Registry<Event> events;
    Registry<Graph> graphs;
    Registry<GraphExec> executables;
};

Handles& handles();

// How many objects of each kind the libraries beside the driver have.
std::map<std::string, long>& library_objects();

// The calling thread's context; null without one.
Context*& current_context();
// The context, or a failure, of a call that needs one.
#define NEEDS_CONTEXT(context) \
    Locked locked; \
    Context* context = current_context(); \
    if (!context) return fail(INVALID_CONTEXT, "%s: no context is current", __func__); \
    if (context->error != SUCCESS && options().sticky) return context->error;

// The stream of a handle: null and 1 and 2 are the default one. Null for what is no stream.
Stream* stream_of(void* handle);
// Puts work in a stream, or in the graph that is captured from it.
Result enqueue(Stream* stream, Work work);
// Runs a stream's work up to a position; the first error goes to its context.
void drain(Stream* stream, uint64_t position = UINT64_MAX);
void drain_device(int device);
// Tells the error of work that ran late, once.
Result take_error(Context* context);
// Refuses a call that must not happen while some stream is captured.
Result refuse_in_capture(const char* call);

// Streams, events, and graphs.
//
// Work waits in its stream until something asks for its effects, so that a program which forgets to ask
// sees none of them.
#include "handles.h"
#include "memory.h"
#include <ctime>

static double now() {
    timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return double(t.tv_sec) + 1e-9 * double(t.tv_nsec);
}

static std::vector<Stream*>& default_streams() {
    static auto* streams = new std::vector<Stream*>;
    return *streams;
}

// The default stream of a context.
static Stream* default_stream(Context* context) {
    for (Stream* s : default_streams())
        if (s->context == context) return s;
    default_streams().push_back(new Stream{context, false});
    return default_streams().back();
}

static bool is_default(const Stream* stream) {
    for (const Stream* s : default_streams())
        if (s == stream) return true;
    return false;
}

Stream* stream_of(void* handle) {
    if (handle <= reinterpret_cast<void*>(2)) return current_context() ? default_stream(current_context()) : nullptr;
    return handles().streams.has(handle) ? static_cast<Stream*>(handle) : nullptr;
}

static void record_error(Context* context, Result result) {
    if (result != SUCCESS && context->error == SUCCESS) context->error = result;
}

void drain(Stream* stream, uint64_t position) {
    while (!stream->queue.empty() && stream->done < position) {
        Work work = std::move(stream->queue.front());
        stream->queue.pop_front();
        // A device that has failed runs nothing more.
        if (stream->context->error == SUCCESS) record_error(stream->context, work());
        stream->done++;
    }
}

void drain_device(int device) {
    for (Context* c : handles().contexts.all())
        if (c->device == device) drain(default_stream(c));
    for (Stream* s : handles().streams.all())
        if (s->context->device == device) drain(s);
}

Result take_error(Context* context) {
    Result result = context->error;
    if (!options().sticky) context->error = SUCCESS;
    return result;
}

Result refuse_in_capture(const char* call) {
    for (Stream* s : handles().streams.all())
        if (s->capture && s->capture_mode < 2 &&
            (s->capture_mode == 0 || s->capturing_thread == std::this_thread::get_id())) {
            s->capture_broken = true;
            return fail(STREAM_CAPTURE_UNSUPPORTED, "%s while a stream is captured", call);
        }
    return SUCCESS;
}

Result enqueue(Stream* stream, Work work) {
    if (stream->capture) {
        stream->capture->nodes.push_back(std::move(work));
        return SUCCESS;
    }
    // Work of the default stream and of those that heed it keeps the order of the calls.
    if (is_default(stream)) {
        for (Stream* s : handles().streams.all())
            if (s->context == stream->context && !s->non_blocking) drain(s);
    } else if (!stream->non_blocking) {
        drain(default_stream(stream->context));
    }
    stream->queue.push_back(std::move(work));
    stream->queued++;
    if (!options().lazy) drain(stream);
    return SUCCESS;
}

API int cuStreamCreate(void** stream, unsigned flags) {
    NEEDS_CONTEXT(context);
    *stream = handles().streams.make(Stream{context, (flags & 1) != 0});
    return SUCCESS;
}

API int cuStreamCreateWithPriority(void** stream, unsigned flags, int) { return cuStreamCreate(stream, flags); }

API int cuStreamDestroy_v2(void* handle) {
    Locked locked;
    if (!handles().streams.has(handle)) return fail(INVALID_HANDLE, "destroys what is no stream");
    auto* stream = static_cast<Stream*>(handle);
    drain(stream);
    for (Event* e : handles().events.all())
        if (e->stream == stream) e->stream = nullptr;
    handles().streams.destroy(stream);
    return SUCCESS;
}

#define NEEDS_STREAM(stream, handle) \
    NEEDS_CONTEXT(context); \
    Stream* stream = stream_of(handle); \
    if (!stream) return fail(INVALID_HANDLE, "%s: no such stream", __func__);

API int cuStreamSynchronize(void* handle) {
    NEEDS_STREAM(stream, handle);
    if (stream->capture) {
        stream->capture_broken = true;
        return fail(STREAM_CAPTURE_UNSUPPORTED, "waits for a stream that is captured");
    }
    drain(stream);
    return take_error(stream->context);
}

API int cuStreamQuery(void* handle) {
    NEEDS_STREAM(stream, handle);
    // Asking again and again comes to an end.
    drain(stream, stream->done + 1);
    if (!stream->queue.empty()) return NOT_READY;
    return take_error(stream->context);
}

API int cuStreamGetCtx(void* handle, void** out) {
    NEEDS_STREAM(stream, handle);
    *out = stream->context;
    return SUCCESS;
}

API int cuStreamWaitEvent(void* handle, void* event, unsigned) {
    NEEDS_STREAM(stream, handle);
    if (!handles().events.has(event)) return fail(INVALID_HANDLE, "waits for what is no event");
    auto* e = static_cast<Event*>(event);
    if (!e->stream) return SUCCESS;
    Stream* other = e->stream;
    uint64_t position = e->position;
    return enqueue(stream, [=] {
        if (handles().streams.has(other) || is_default(other)) drain(other, position);
        return SUCCESS;
    });
}

API int cuLaunchHostFunc(void* handle, void (*function)(void*), void* data) {
    NEEDS_STREAM(stream, handle);
    return enqueue(stream, [=] {
        function(data);
        return SUCCESS;
    });
}

// Events

API int cuEventCreate(void** event, unsigned flags) {
    NEEDS_CONTEXT(context);
    *event = handles().events.make(Event{context, (flags & 2) == 0});
    return SUCCESS;
}

API int cuEventDestroy_v2(void* event) {
    Locked locked;
    if (!handles().events.has(event)) return fail(INVALID_HANDLE, "destroys what is no event");
    handles().events.destroy(static_cast<Event*>(event));
    return SUCCESS;
}

API int cuEventRecord(void* event, void* handle) {
    NEEDS_STREAM(stream, handle);
    if (!handles().events.has(event)) return fail(INVALID_HANDLE, "records what is no event");
    auto* e = static_cast<Event*>(event);
    if (e->context != stream->context) return fail(INVALID_HANDLE, "an event is recorded on another device's stream");
    int result = enqueue(stream, [=] {
        if (handles().events.has(e)) e->seconds = now();
        return SUCCESS;
    });
    if (!stream->capture) {
        e->stream = stream;
        e->position = stream->queued;
    }
    return result;
}

static bool complete(const Event* e) { return !e->stream || e->stream->done >= e->position; }

API int cuEventQuery(void* event) {
    NEEDS_CONTEXT(context);
    if (!handles().events.has(event)) return INVALID_HANDLE;
    auto* e = static_cast<Event*>(event);
    if (e->stream) drain(e->stream, std::min(e->position, e->stream->done + 1));
    if (!complete(e)) return NOT_READY;
    return take_error(e->context);
}

API int cuEventSynchronize(void* event) {
    NEEDS_CONTEXT(context);
    if (!handles().events.has(event)) return INVALID_HANDLE;
    auto* e = static_cast<Event*>(event);
    if (e->stream) drain(e->stream, e->position);
    return take_error(e->context);
}

API int cuEventElapsedTime_v2(float* milliseconds, void* from, void* to) {
    NEEDS_CONTEXT(context);
    if (!handles().events.has(from) || !handles().events.has(to)) return INVALID_HANDLE;
    auto *a = static_cast<Event*>(from), *b = static_cast<Event*>(to);
    if (!a->timed || !b->timed || !a->stream || !b->stream) return INVALID_HANDLE;
    if (!complete(a) || !complete(b)) return NOT_READY;
    *milliseconds = float((b->seconds - a->seconds) * 1e3);
    return SUCCESS;
}
API int cuEventElapsedTime(float* milliseconds, void* from, void* to) {
    return cuEventElapsedTime_v2(milliseconds, from, to);
}

// Graphs: what a stream was asked to do, as a list.

API int cuStreamBeginCapture_v2(void* handle, int mode) {
    NEEDS_STREAM(stream, handle);
    if (is_default(stream)) return fail(STREAM_CAPTURE_IMPLICIT, "the default stream cannot be captured");
    if (stream->capture) return fail(ILLEGAL_STATE, "the stream is captured already");
    stream->capture = std::make_unique<Graph>();
    stream->capture_broken = false;
    stream->capture_mode = mode;
    stream->capturing_thread = std::this_thread::get_id();
    return SUCCESS;
}

API int cuStreamIsCapturing(void* handle, int* status) {
    NEEDS_STREAM(stream, handle);
    *status = !stream->capture ? 0 : stream->capture_broken ? 2 : 1;
    return SUCCESS;
}

API int cuStreamEndCapture(void* handle, void** graph) {
    NEEDS_STREAM(stream, handle);
    *graph = nullptr;
    if (!stream->capture) return fail(ILLEGAL_STATE, "the stream is not captured");
    auto recorded = std::move(stream->capture);
    if (stream->capture_broken) return STREAM_CAPTURE_INVALIDATED;
    *graph = handles().graphs.make(Graph{std::move(recorded->nodes)});
    return SUCCESS;
}

API int cuGraphInstantiateWithFlags(void** executable, void* graph, unsigned long long) {
    NEEDS_CONTEXT(context);
    if (!handles().graphs.has(graph)) return INVALID_HANDLE;
    *executable = handles().executables.make(GraphExec{static_cast<Graph*>(graph)->nodes});
    return SUCCESS;
}

API int cuGraphDestroy(void* graph) {
    Locked locked;
    return handles().graphs.has(graph) && handles().graphs.destroy(static_cast<Graph*>(graph)) ? SUCCESS : INVALID_HANDLE;
}

API int cuGraphExecDestroy(void* executable) {
    Locked locked;
    if (!handles().executables.has(executable)) return INVALID_HANDLE;
    handles().executables.destroy(static_cast<GraphExec*>(executable));
    return SUCCESS;
}

API int cuGraphUpload(void* executable, void* handle) {
    NEEDS_STREAM(stream, handle);
    return handles().executables.has(executable) ? SUCCESS : INVALID_HANDLE;
}

API int cuGraphLaunch(void* executable, void* handle) {
    NEEDS_STREAM(stream, handle);
    if (!handles().executables.has(executable)) return INVALID_HANDLE;
    for (const Work& node : static_cast<GraphExec*>(executable)->nodes)
        if (int result = enqueue(stream, node)) return result;
    return SUCCESS;
}

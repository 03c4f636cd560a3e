// Modules, functions, launches, and the report of what is alive.
#include "handles.h"
#include "grid.h"
#include "memory.h"
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <dlfcn.h>
#include <fstream>
#include <unistd.h>

using standin::KernelInfo;

struct Module {
    Context* context;
    void* library;
    char* shared = nullptr;
    size_t shared_bytes = 0;
};

struct Function {
    Module* module;
    const KernelInfo* info;
    int dynamic_limit = 48 << 10;
};

static Registry<Module>& modules() {
    static auto* r = new Registry<Module>;
    return *r;
}
static Registry<Function>& functions() {
    static auto* r = new Registry<Function>;
    return *r;
}

// One grid runs at a time, for the interface has one lock.
static Grid& grid() {
    static auto* g = new Grid;
    return *g;
}

// An image is this line, then a path of a shared library and a line end; or the second line, the number of
// bytes in decimal, a line end, and the library itself.
static constexpr char kByPath[] = "//STANDIN-PATH ";
static constexpr char kInline[] = "//STANDIN-CODE ";

// The library as a file of its own, for each loaded module has its own variables.
static bool unpack(const char* image, std::string& path) {
    std::string bytes;
    if (strncmp(image, kByPath, sizeof kByPath - 1) == 0) {
        const char* start = image + sizeof kByPath - 1;
        const char* end = strchr(start, '\n');
        if (!end) return false;
        std::ifstream file(std::string(start, end), std::ios::binary);
        bytes.assign(std::istreambuf_iterator<char>(file), {});
    } else if (strncmp(image, kInline, sizeof kInline - 1) == 0) {
        char* end;
        size_t n = strtoull(image + sizeof kInline - 1, &end, 10);
        if (*end != '\n') return false;
        bytes.assign(end + 1, n);
    }
    if (bytes.empty()) return false;
    char name[] = "/tmp/standin-module-XXXXXX";
    int file = mkstemp(name);
    if (file < 0) return false;
    bool written = write(file, bytes.data(), bytes.size()) == ssize_t(bytes.size());
    close(file);
    path = name;
    return written;
}

API int cuModuleLoadData(void** module, const void* image) {
    NEEDS_CONTEXT(context);
    std::string path;
    if (!unpack(static_cast<const char*>(image), path)) return fail(INVALID_IMAGE, "not an image of the stand-in's compiler");
    void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
    unlink(path.c_str());
    if (!library) return fail(INVALID_IMAGE, "%s", dlerror());
    auto** machine = static_cast<standin::Machine**>(dlsym(library, "standin_machine"));
    if (!machine) return fail(INVALID_IMAGE, "the image does not use the stand-in's shim");
    *machine = &grid();
    Module m{context, library};
    auto** start = static_cast<char**>(dlsym(library, "standin_shared_start"));
    auto** end = static_cast<char**>(dlsym(library, "standin_shared_end"));
    if (start && end && *start) {
        m.shared = *start;
        m.shared_bytes = size_t(*end - *start);
    }
    *module = modules().make(m);
    return SUCCESS;
}
API int cuModuleLoadDataEx(void** module, const void* image, unsigned, int*, void**) {
    return cuModuleLoadData(module, image);
}

API int cuModuleUnload(void* handle) {
    NEEDS_CONTEXT(context);
    if (!modules().has(handle)) return INVALID_HANDLE;
    auto* module = static_cast<Module*>(handle);
    drain_device(module->context->device);
    std::vector<Function*> gone;
    for (Function* f : functions().all())
        if (f->module == module) gone.push_back(f);
    for (Function* f : gone) functions().destroy(f);
    dlclose(module->library);
    modules().destroy(module);
    (void)context;
    return SUCCESS;
}

API int cuModuleGetFunction(void** function, void* handle, const char* name) {
    NEEDS_CONTEXT(context);
    (void)context;
    if (!modules().has(handle)) return INVALID_HANDLE;
    auto* module = static_cast<Module*>(handle);
    auto* info = static_cast<const KernelInfo*>(dlsym(module->library, (std::string("standin_kernel_") + name).c_str()));
    if (!info) return fail(NOT_FOUND, "the module has no kernel %s", name);
    for (Function* f : functions().all())
        if (f->info == info) {
            *function = f;
            return SUCCESS;
        }
    *function = functions().make(Function{module, info});
    return SUCCESS;
}

API int cuFuncSetAttribute(void* handle, int attribute, int value) {
    NEEDS_CONTEXT(context);
    (void)context;
    if (!functions().has(handle)) return INVALID_HANDLE;
    // The most dynamic shared memory that may be asked for.
    if (attribute == 8) {
        if (value < 0 || value > 227 << 10) return INVALID_VALUE;
        static_cast<Function*>(handle)->dynamic_limit = value;
    }
    return SUCCESS;
}

API int cuFuncGetAttribute(int* value, int attribute, void* handle) {
    NEEDS_CONTEXT(context);
    (void)context;
    if (!functions().has(handle)) return INVALID_HANDLE;
    auto* f = static_cast<Function*>(handle);
    switch (attribute) {
        case 0: *value = f->info->max_threads ? int(f->info->max_threads) : 1024; break;
        case 8: *value = f->dynamic_limit; break;
        default: *value = 0;
    }
    return SUCCESS;
}

API int cuOccupancyMaxActiveBlocksPerMultiprocessor(int* blocks, void*, int block, size_t) {
    *blocks = block > 0 ? 2048 / block : 0;
    return SUCCESS;
}

// Launches

// What a real device refuses at the call.
static Result check_limits(const Launch& l, const Function& f) {
    const char* name = f.info->name;
    auto in = [](standin::Index3 v, unsigned x, unsigned y, unsigned z) {
        return v.x >= 1 && v.y >= 1 && v.z >= 1 && v.x <= x && v.y <= y && v.z <= z;
    };
    if (!in(l.block, 1024, 1024, 64) || uint64_t(l.block.x) * l.block.y * l.block.z > 1024)
        return fail(INVALID_VALUE, "kernel %s: a block of %u x %u x %u threads", name, l.block.x, l.block.y, l.block.z);
    if (!in(l.grid, 0x7fffffff, 65535, 65535))
        return fail(INVALID_VALUE, "kernel %s: a grid of %u x %u x %u blocks", name, l.grid.x, l.grid.y, l.grid.z);
    unsigned threads = l.block.x * l.block.y * l.block.z;
    if (f.info->max_threads && threads > f.info->max_threads)
        return fail(LAUNCH_OUT_OF_RESOURCES, "kernel %s: %u threads where its launch bounds say %u", name, threads,
                    f.info->max_threads);
    if (l.dynamic_shared > size_t(f.dynamic_limit))
        return fail(INVALID_VALUE, "kernel %s: %zu bytes of dynamic shared memory; %d were opted in for", name,
                    l.dynamic_shared, f.dynamic_limit);
    return SUCCESS;
}

// The parameters, which the driver reads at the call.
struct Arguments {
    std::vector<std::vector<char>> values;
    std::vector<void*> addresses() {
        std::vector<void*> a;
        for (auto& v : values) a.push_back(v.data());
        return a;
    }
};

static Result check_pointers(const KernelInfo& info, const Arguments& arguments, const Context& context) {
    for (unsigned i = 0; i < info.count; i++) {
        if (!info.pointers[i]) continue;
        DevicePointer at;
        memcpy(&at, arguments.values[i].data(), sizeof at);
        if (at == 0) continue;
        Allocation* a = memory().find(at, 0);
        if (!a)
            return fail(ILLEGAL_ADDRESS, "kernel %s: parameter %u is %s", info.name, i,
                        memory().describe(reinterpret_cast<void*>(at)).c_str());
        if (a->device != context.device && !context.peers.count(a->device))
            return fail(ILLEGAL_ADDRESS, "kernel %s runs on device %d, but parameter %u is memory of device %d", info.name,
                        context.device, i, a->device);
    }
    return SUCCESS;
}

using Snapshot = std::vector<std::string>;
static Snapshot take(const std::vector<Allocation*>& blocks) {
    Snapshot s;
    for (Allocation* a : blocks) s.emplace_back(a->block.start(), a->block.bytes());
    return s;
}

// Runs the launch again in another order, from the same memory, and compares.
static Result run_twice(Grid& on, const Launch& launch, void** parameters, int device) {
    auto blocks = memory().of(device);
    Snapshot before = take(blocks);
    if (Result bad = on.run(launch, parameters, options().seed)) return bad;
    Snapshot first = take(blocks);
    for (size_t i = 0; i < blocks.size(); i++) memcpy(blocks[i]->block.start(), before[i].data(), before[i].size());
    if (Result bad = on.run(launch, parameters, options().seed, true)) return bad;
    for (size_t i = 0; i < blocks.size(); i++) {
        const char* now = blocks[i]->block.start();
        if (memcmp(now, first[i].data(), first[i].size()) == 0) continue;
        size_t at = 0;
        while (now[at] == first[i][at]) at++;
        return fail(LAUNCH_FAILED, "kernel %s: the result depends on the order of threads, at byte %zu of allocation %u of %zu bytes",
                    launch.kernel->name, at, blocks[i]->number, blocks[i]->block.bytes());
    }
    return SUCCESS;
}

static Result run(const Launch& launch, Arguments& arguments, const Context& context) {
    if (Result bad = check_pointers(*launch.kernel, arguments, context)) return bad;
    install_fault_handler();
    std::vector<bool> reachable;
    for (int d = 0; d < options().devices; d++) reachable.push_back(d == context.device || context.peers.count(d));
    auto addresses = arguments.addresses();
    bool several = options().devices > 1;
    if (several) memory().isolate(reachable, true);
    Result result;
    {
        Watchdog watchdog(options().timeout);
        result = options().twice ? run_twice(grid(), launch, addresses.data(), context.device)
                                 : grid().run(launch, addresses.data(), options().seed);
    }
    if (several) memory().isolate(reachable, false);
    if (result != SUCCESS) return result;
    for (Allocation* a : memory().of(context.device))
        if (!a->block.take_edges_intact())
            return fail(ILLEGAL_ADDRESS, "kernel %s wrote just outside allocation %u of %zu bytes", launch.kernel->name,
                        a->number, a->block.bytes());
    return SUCCESS;
}

API int cuLaunchKernel(void* handle, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz,
                       unsigned shared, void* stream_handle, void** parameters, void**) {
    NEEDS_CONTEXT(context);
    Stream* stream = stream_of(stream_handle);
    if (!stream || !functions().has(handle)) return INVALID_HANDLE;
    auto* f = static_cast<Function*>(handle);
    if (f->module->context != stream->context)
        return fail(INVALID_HANDLE, "kernel %s is loaded on device %d and launched on device %d", f->info->name,
                    f->module->context->device, stream->context->device);
    Launch launch{f->info, {gx, gy, gz}, {bx, by, bz}, shared, f->module->shared, f->module->shared_bytes};
    if (Result bad = check_limits(launch, *f)) return bad;
    auto arguments = std::make_shared<Arguments>();
    for (unsigned i = 0; i < f->info->count; i++) {
        auto* p = static_cast<char*>(parameters[i]);
        arguments->values.emplace_back(p, p + f->info->sizes[i]);
    }
    Context* on = stream->context;
    return enqueue(stream, [=] {
        auto mine = *arguments;
        return run(launch, mine, *on);
    });
}

// What is alive, one line a kind: a program that has let go of everything gets an empty text. Copies it
// into `out`, ended by a zero; its full length.
API size_t standin_report(char* out, size_t size) {
    Locked locked;
    for (int d = 0; d < options().devices; d++) drain_device(d);
    std::string text;
    auto line = [&](const char* what, size_t n) {
        if (n) text += std::string(what) + ": " + std::to_string(n) + "\n";
    };
    line("memory of devices", memory().live_count());
    line("pinned memory", memory().pinned_count());
    line("streams", handles().streams.size());
    line("events", handles().events.size());
    line("graphs", handles().graphs.size());
    line("executable graphs", handles().executables.size());
    line("modules", modules().size());
    size_t retained = 0;
    for (Context* c : handles().contexts.all()) retained += size_t(c->retained);
    line("retained contexts", retained);
    for (auto& [kind, count] : library_objects()) line(kind.c_str(), size_t(count));
    if (size) snprintf(out, size, "%s", text.c_str());
    return text.size();
}

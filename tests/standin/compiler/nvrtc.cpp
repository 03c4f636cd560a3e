// NVRTC's interface over the machine's C++ compiler: a module becomes a shared library whose kernels the
// driver's grid calls.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <dlfcn.h>
#include <fstream>
#include <map>
#include <mutex>
#include <regex>
#include <set>
#include <string>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>

#define API extern "C" __attribute__((visibility("default")))

namespace {

// The interface's numbers.
enum Result { SUCCESS = 0, INVALID_INPUT = 3, INVALID_PROGRAM = 4, INVALID_OPTION = 5, COMPILATION = 6, INTERNAL = 11 };

struct Program {
    std::string source, name, log;
    // Of the shared library, once compiled.
    std::string path;
    bool real_architecture = false;
};

std::mutex lock;
std::set<Program*>& programs() {
    static auto* p = new std::set<Program*>;
    return *p;
}

std::string slurp(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
}

bool exists(const std::string& path) { return access(path.c_str(), R_OK) == 0; }

// Where compiled modules are kept: STANDIN_CACHE, or a directory of this user.
std::string cache_directory() {
    const char* set = getenv("STANDIN_CACHE");
    std::string path = set ? set : "/tmp/standin-cache-" + std::to_string(getuid());
    mkdir(path.c_str(), 0700);
    return path;
}

struct Kernel {
    std::string name, max_threads;
};

// Kernels are found by their looks: `__global__`, qualifiers, `void`, a name and a parenthesis.
std::vector<Kernel> kernels_of(const std::string& source) {
    static const std::regex pattern(
        R"(__global__\s+(?:void\s+)?(?:__launch_bounds__\s*\(\s*([^,()]+)[^()]*\)\s*)?(?:void\s+)?([A-Za-z_]\w*)\s*\()");
    std::vector<Kernel> found;
    std::set<std::string> seen;
    for (std::sregex_iterator it(source.begin(), source.end(), pattern), end; it != end; ++it) {
        std::string name = (*it)[2];
        if (name == "void" || name == "__launch_bounds__" || !seen.insert(name).second) continue;
        found.push_back({name, (*it)[1].matched ? (*it)[1].str() : "0"});
    }
    return found;
}

// Dynamic shared memory is declared, with no size, as an external array; here it is a pointer.
std::string with_dynamic_shared(const std::string& source) {
    static const std::regex pattern(
        R"(extern\s+__shared__\s+(?:__align__\s*\(\s*\d+\s*\)\s*|alignas\s*\(\s*\d+\s*\)\s*)?([A-Za-z_][\w ]*?)\s+(?:__align__\s*\(\s*\d+\s*\)\s*)?([A-Za-z_]\w*)\s*\[\s*\]\s*;)");
    return std::regex_replace(source, pattern, "TT_DYN_SMEM($1, $2);");
}

std::string whole(const Program& p) {
    std::string text = "#include \"standin.h\"\n#line 1 \"" + p.name + "\"\n" + with_dynamic_shared(p.source) +
                       "\n#line 1 \"exports\"\n";
    for (const Kernel& k : kernels_of(p.source)) text += "STANDIN_EXPORT(" + k.name + ", " + k.max_threads + ")\n";
    // The section of shared variables, if there are any; its bounds are made by the linker.
    text += "extern \"C\" { extern char __start_standin_shared[] __attribute__((weak, visibility(\"hidden\")));"
            " extern char __stop_standin_shared[] __attribute__((weak, visibility(\"hidden\")));"
            " __attribute__((visibility(\"default\"))) char* standin_shared_start = __start_standin_shared;"
            " __attribute__((visibility(\"default\"))) char* standin_shared_end = __stop_standin_shared; }\n";
    return text;
}

std::string hash(const std::string& text) {
    // FNV-1a, twice with different starts.
    uint64_t a = 0xcbf29ce484222325u, b = 0x9ae16a3b2f90404fu;
    for (unsigned char c : text) {
        a = (a ^ c) * 0x100000001b3u;
        b = (b ^ c) * 0x100000001b3u + (b >> 29);
    }
    char out[40];
    snprintf(out, sizeof out, "%016llx%016llx", (unsigned long long)a, (unsigned long long)b);
    return out;
}

bool has_fma() {
#if defined(__x86_64__)
    return __builtin_cpu_supports("fma");
#else
    return true;
#endif
}

// The directory of the shim: beside this library.
std::string shim_directory() {
    Dl_info info{};
    dladdr(reinterpret_cast<void*>(&shim_directory), &info);
    std::string path = info.dli_fname ? info.dli_fname : "";
    return path.substr(0, path.rfind('/') + 1) + "shim";
}

// A word of a shell command.
std::string quoted(const std::string& word) {
    std::string out = "'";
    for (char c : word) out += c == '\'' ? "'\\''" : std::string(1, c);
    return out + "'";
}

// Shared memory that a kernel declares with a size may take so much, on every device.
constexpr size_t kStaticShared = 48 << 10;

// What the assembler would say of kernels that declare more; empty when there are none. Variables of a
// function carry its name in theirs.
std::string excess_of_shared(const std::string& library, const std::vector<Kernel>& kernels) {
    std::string said;
    FILE* symbols = popen(("nm -S " + quoted(library)).c_str(), "r");
    if (!symbols) return said;
    std::map<std::string, size_t> total;
    char address[64], size[64], kind[8], name[1024];
    while (fscanf(symbols, "%63s", address) == 1) {
        char rest[1200];
        if (!fgets(rest, sizeof rest, symbols)) break;
        if (sscanf(rest, "%63s %7s %1023s", size, kind, name) != 3) continue;
        for (const Kernel& k : kernels) {
            std::string prefix = "_ZZ" + std::to_string(k.name.size()) + k.name + "E";
            if (strncmp(name, prefix.c_str(), prefix.size()) == 0) total[k.name] += strtoull(size, nullptr, 16);
        }
    }
    pclose(symbols);
    for (auto& [kernel, bytes] : total)
        if (bytes > kStaticShared)
            said += "error: entry function '" + kernel + "' uses too much shared data (" + std::to_string(bytes) +
                    " bytes, " + std::to_string(kStaticShared) + " max)\n";
    return said;
}

Result compile(Program& p, const std::vector<std::string>& options) {
    std::string flags = "-std=c++20 -O1 -w -fPIC -nostdinc++ -fvisibility=hidden -fno-exceptions -fno-rtti"
                        " -fno-threadsafe-statics -fno-strict-aliasing -fwrapv"
                        " -fsanitize=bounds,alignment,integer-divide-by-zero -fno-sanitize-recover=all";
    bool contract = true;
    for (size_t i = 0; i < options.size(); i++) {
        const std::string& o = options[i];
        if (o == "--fmad=false" || o == "-fmad=false") contract = false;
        else if (o.rfind("-D", 0) == 0) flags += " " + quoted(o.size() == 2 && i + 1 < options.size() ? "-D" + options[++i] : o);
        else if (o.rfind("--define-macro=", 0) == 0) flags += " " + quoted("-D" + o.substr(15));
        else if (o.find("gpu-architecture=") != std::string::npos || o.rfind("-arch=", 0) == 0)
            p.real_architecture = o.find("=sm_") != std::string::npos;
        else if (o.rfind("-", 0) != 0) {
            p.log = "nvrtc: error: invalid option '" + o + "'\n";
            return INVALID_OPTION;
        }
    }
    flags += contract ? " -ffp-contract=fast" : " -ffp-contract=off";
#if defined(__x86_64__)
    if (has_fma()) flags += " -mfma";
#endif
    std::string text = whole(p), directory = cache_directory();
    std::string base = directory + "/" + hash(flags + text + STANDIN_SHIM_STAMP);
    p.path = base + ".so";
    if (exists(p.path)) return SUCCESS;

    std::string own = base + "." + std::to_string(getpid());
    std::ofstream(own + ".cpp") << text;
    // Linked apart: the compiler driver would bring a library for the checks, which the shim replaces.
    std::string command = std::string(STANDIN_CXX) + " " + flags + " -I" + quoted(shim_directory()) + " -c -o " +
                          quoted(own + ".o") + " " + quoted(own + ".cpp") + " 2>" + quoted(own + ".log") + " && " +
                          STANDIN_CXX + " -shared -nostdlib -o " + quoted(own + ".so") + " " + quoted(own + ".o") +
                          " -lm -lc 2>>" + quoted(own + ".log");
    int status = system(command.c_str());
    p.log = slurp(own + ".log");
    for (const char* end : {".o", ".log"}) unlink((own + end).c_str());
    if (status == 0) {
        std::string excess = excess_of_shared(own + ".so", kernels_of(p.source));
        p.log += excess;
        if (!excess.empty()) {
            unlink((own + ".so").c_str());
            status = 1;
        }
    }
    if (status != 0 || rename((own + ".so").c_str(), p.path.c_str()) != 0) {
        unlink((own + ".cpp").c_str());
        p.path.clear();
        return COMPILATION;
    }
    rename((own + ".cpp").c_str(), (base + ".cpp").c_str());
    return SUCCESS;
}

std::string by_path(const Program& p) { return "//STANDIN-PATH " + p.path + "\n"; }

std::string with_code(const Program& p) {
    std::string code = slurp(p.path);
    return "//STANDIN-CODE " + std::to_string(code.size()) + "\n" + code;
}

}  // namespace

#define NEEDS_PROGRAM(p, handle) \
    std::lock_guard<std::mutex> guard(lock); \
    auto* p = static_cast<Program*>(handle); \
    if (!programs().count(p)) return INVALID_PROGRAM;

API int nvrtcVersion(int* major, int* minor) {
    *major = 13;
    *minor = 0;
    return SUCCESS;
}

API int nvrtcGetNumSupportedArchs(int* count) {
    *count = 3;
    return SUCCESS;
}

API int nvrtcGetSupportedArchs(int* archs) {
    archs[0] = 80;
    archs[1] = 90;
    archs[2] = 100;
    return SUCCESS;
}

API int nvrtcCreateProgram(void** program, const char* source, const char* name, int headers, const char* const*,
                           const char* const*) {
    std::lock_guard<std::mutex> guard(lock);
    if (!source || headers != 0) return INVALID_INPUT;
    auto* p = new Program{source, name ? name : "default_program", "", "", false};
    programs().insert(p);
    *program = p;
    return SUCCESS;
}

API int nvrtcDestroyProgram(void** program) {
    NEEDS_PROGRAM(p, *program);
    programs().erase(p);
    delete p;
    *program = nullptr;
    return SUCCESS;
}

API int nvrtcCompileProgram(void* program, int count, const char* const* options) {
    NEEDS_PROGRAM(p, program);
    return compile(*p, std::vector<std::string>(options, options + count));
}

static int give(const std::string& text, char* out) {
    memcpy(out, text.data(), text.size());
    return SUCCESS;
}

API int nvrtcGetPTXSize(void* program, size_t* size) {
    NEEDS_PROGRAM(p, program);
    if (p->path.empty()) return INVALID_PROGRAM;
    *size = by_path(*p).size() + 1;
    return SUCCESS;
}

API int nvrtcGetPTX(void* program, char* out) {
    NEEDS_PROGRAM(p, program);
    std::string text = by_path(*p);
    out[text.size()] = 0;
    return give(text, out);
}

API int nvrtcGetCUBINSize(void* program, size_t* size) {
    NEEDS_PROGRAM(p, program);
    if (p->path.empty()) return INVALID_PROGRAM;
    // As the real one: machine code is made for a real architecture only.
    *size = p->real_architecture ? with_code(*p).size() : 0;
    return SUCCESS;
}

API int nvrtcGetCUBIN(void* program, char* out) {
    NEEDS_PROGRAM(p, program);
    if (!p->real_architecture) return INVALID_PROGRAM;
    return give(with_code(*p), out);
}

API int nvrtcGetProgramLogSize(void* program, size_t* size) {
    NEEDS_PROGRAM(p, program);
    *size = p->log.size() + 1;
    return SUCCESS;
}

API int nvrtcGetProgramLog(void* program, char* out) {
    NEEDS_PROGRAM(p, program);
    out[p->log.size()] = 0;
    return give(p->log, out);
}

API const char* nvrtcGetErrorString(int result) {
    switch (result) {
        case SUCCESS: return "NVRTC_SUCCESS";
        case INVALID_INPUT: return "NVRTC_ERROR_INVALID_INPUT";
        case INVALID_PROGRAM: return "NVRTC_ERROR_INVALID_PROGRAM";
        case INVALID_OPTION: return "NVRTC_ERROR_INVALID_OPTION";
        case COMPILATION: return "NVRTC_ERROR_COMPILATION";
        default: return "NVRTC_ERROR_INTERNAL_ERROR";
    }
}

// Options, the lock, and messages.
#include "common.h"
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace {

bool set(Options& o, const std::string& key, const char* value) {
    unsigned long long number = strtoull(value, nullptr, 0);
    if (key == "devices") o.devices = int(number);
    else if (key == "memory") o.memory = number;
    else if (key == "capability") o.capability = int(number);
    else if (key == "alignment") o.alignment = number;
    else if (key == "seed") o.seed = number;
    else if (key == "twice") o.twice = number != 0;
    else if (key == "unwritten") o.unwritten = number != 0;
    else if (key == "lazy") o.lazy = number != 0;
    else if (key == "sticky") o.sticky = number != 0;
    else if (key == "timeout") o.timeout = int(number);
    else return false;
    return true;
}

Options from_environment() {
    Options o;
    for (const char* key : {"devices", "memory", "capability", "alignment", "seed", "twice", "unwritten", "lazy",
                            "sticky", "timeout"}) {
        std::string name = "STANDIN_";
        for (const char* c = key; *c; c++) name += char(toupper(*c));
        if (const char* value = getenv(name.c_str())) set(o, key, value);
    }
    return o;
}

std::string message;

}  // namespace

Options& options() {
    static Options o = from_environment();
    return o;
}

std::recursive_mutex& big_lock() {
    static std::recursive_mutex lock;
    return lock;
}

Result fail(Result result, const char* format, ...) {
    char text[2048];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    message = text;
    fprintf(stderr, "standin: %s\n", text);
    return result;
}

const std::string& last_message() { return message; }

void poison(void* at, size_t bytes) {
    auto* p = static_cast<unsigned char*>(at);
    for (size_t i = 0; i < bytes && i < 4096; i++) p[i] = (unsigned char)(i % 2 ? kPoison16 >> 8 : kPoison16 & 0xff);
    for (size_t done = 4096; done < bytes; done += 4096) memcpy(p + done, p, bytes - done < 4096 ? bytes - done : 4096);
}

// Sets an option; 0 when there is one of that name.
API int standin_configure(const char* key, const char* value) {
    Locked locked;
    return set(options(), key, value) ? 0 : 1;
}

// Copies the last message into `out`, ended by a zero; its full length.
API size_t standin_last_message(char* out, size_t size) {
    Locked locked;
    if (size) snprintf(out, size, "%s", message.c_str());
    return message.size();
}

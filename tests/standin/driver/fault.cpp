// Turns a fault of a running kernel into an error of its launch.
#include "grid.h"
#include "memory.h"
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <sys/syscall.h>
#include <unistd.h>

namespace {

struct sigaction previous[NSIG];

// What a fault means. Allocates, which a signal handler may not in general: the signal is raised by the
// kernel's own code and not inside an allocator.
std::string explain(int signal, const void* address) {
    if (signal == SIGFPE) return "an integer division has no result";
    if (signal == SIGILL) return "an instruction that is not one";
    // The processor does not say which, when the upper bits are not a repeated sign.
    if (!address) return "access to address 0, or to one that cannot be";
    char text[64];
    snprintf(text, sizeof text, "access to %p, ", address);
    std::string known = running_grid()->describe(address);
    return text + (known.empty() ? memory().describe(address) : known);
}

void on_fault(int signal, siginfo_t* info, void* context) {
    Grid* grid = running_grid();
    if (grid && grid->running()) {
        Result result = signal == SIGFPE || signal == SIGILL ? LAUNCH_FAILED : ILLEGAL_ADDRESS;
        grid->stop(result, explain(signal, info->si_addr));
    }
    // Not ours: as it would have gone without this handler.
    const struct sigaction& p = previous[signal];
    if (p.sa_flags & SA_SIGINFO) {
        p.sa_sigaction(signal, info, context);
    } else if (p.sa_handler != SIG_DFL && p.sa_handler != SIG_IGN) {
        p.sa_handler(signal);
    } else {
        sigaction(signal, &p, nullptr);
    }
}

int timeout_signal() { return SIGRTMIN + 5; }

void on_timeout(int, siginfo_t*, void*) {
    Grid* grid = running_grid();
    if (grid && grid->running()) grid->stop(LAUNCH_TIMEOUT, "the launch takes too long");
}

// Handlers run on a stack of their own, for a kernel may have used up its own.
void give_signal_stack() {
    stack_t now{};
    if (sigaltstack(nullptr, &now) == 0 && !(now.ss_flags & SS_DISABLE) && now.ss_size >= (32 << 10)) return;
    static thread_local char* stack = static_cast<char*>(malloc(64 << 10));
    stack_t mine{};
    mine.ss_sp = stack;
    mine.ss_size = 64 << 10;
    sigaltstack(&mine, nullptr);
}

}  // namespace

void install_fault_handler() {
    give_signal_stack();
    static bool installed = false;
    if (installed) return;
    installed = true;
    struct sigaction action {};
    sigemptyset(&action.sa_mask);
    action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;
    action.sa_sigaction = on_fault;
    for (int s : {SIGSEGV, SIGBUS, SIGFPE, SIGILL}) sigaction(s, &action, &previous[s]);
    action.sa_sigaction = on_timeout;
    sigaction(timeout_signal(), &action, nullptr);
}

Watchdog::Watchdog(int seconds) {
    sigevent event{};
    event.sigev_notify = SIGEV_THREAD_ID;
    event.sigev_signo = timeout_signal();
#ifndef sigev_notify_thread_id
#define sigev_notify_thread_id _sigev_un._tid
#endif
    event.sigev_notify_thread_id = pid_t(syscall(SYS_gettid));
    itimerspec when{};
    when.it_value.tv_sec = seconds;
    armed_ = seconds > 0 && timer_create(CLOCK_MONOTONIC, &event, &timer_) == 0;
    if (armed_) timer_settime(timer_, 0, &when, nullptr);
}

Watchdog::~Watchdog() {
    if (armed_) timer_delete(timer_);
}

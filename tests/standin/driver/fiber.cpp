// The switch itself, in assembly: it saves what a called function must preserve and exchanges stacks.
#include "fiber.h"
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <sys/mman.h>

static constexpr size_t kGuard = 64 << 10;

extern "C" void standin_switch(void** from, void* to);

#if defined(__x86_64__)
static constexpr size_t kSaved = 6;
asm(R"(
.text
.hidden standin_switch
.globl standin_switch
.type standin_switch, @function
standin_switch:
    push %rbp
    push %rbx
    push %r12
    push %r13
    push %r14
    push %r15
    mov %rsp, (%rdi)
    mov %rsi, %rsp
    pop %r15
    pop %r14
    pop %r13
    pop %r12
    pop %rbx
    pop %rbp
    ret
.size standin_switch, . - standin_switch
)");
#elif defined(__aarch64__)
static constexpr size_t kSaved = 20;
asm(R"(
.text
.hidden standin_switch
.globl standin_switch
.type standin_switch, %function
standin_switch:
    sub sp, sp, #160
    stp x29, x30, [sp]
    stp x19, x20, [sp, #16]
    stp x21, x22, [sp, #32]
    stp x23, x24, [sp, #48]
    stp x25, x26, [sp, #64]
    stp x27, x28, [sp, #80]
    stp d8, d9, [sp, #96]
    stp d10, d11, [sp, #112]
    stp d12, d13, [sp, #128]
    stp d14, d15, [sp, #144]
    mov x9, sp
    str x9, [x0]
    mov sp, x1
    ldp x29, x30, [sp]
    ldp x19, x20, [sp, #16]
    ldp x21, x22, [sp, #32]
    ldp x23, x24, [sp, #48]
    ldp x25, x26, [sp, #64]
    ldp x27, x28, [sp, #80]
    ldp d8, d9, [sp, #96]
    ldp d10, d11, [sp, #112]
    ldp d12, d13, [sp, #128]
    ldp d14, d15, [sp, #144]
    add sp, sp, #160
    ret
.size standin_switch, . - standin_switch
)");
#else
#error "no fiber switch for this processor"
#endif

void switch_fiber(Fiber& from, Fiber& to) { standin_switch(&from.stack_pointer, to.stack_pointer); }

void Stacks::reserve(size_t count) {
    while (stacks_.size() < count) {
        void* p = mmap(nullptr, kBytes + kGuard, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (p == MAP_FAILED || mprotect(p, kGuard, PROT_NONE) != 0) {
            perror("standin: the stack of a thread");
            abort();
        }
        stacks_.push_back(static_cast<char*>(p));
    }
}

Fiber Stacks::start(size_t index, void (*entry)()) {
    auto* top = reinterpret_cast<void**>(stacks_[index] + kGuard + kBytes);
#if defined(__x86_64__)
    // The entry finds its stack as after a call: a multiple of 16, less the (absent) return address.
    top -= 3;
    *top = nullptr;
    *--top = reinterpret_cast<void*>(entry);
    top -= kSaved;
    memset(top, 0, kSaved * sizeof(void*));
#else
    top -= kSaved;
    memset(top, 0, kSaved * sizeof(void*));
    top[1] = reinterpret_cast<void*>(entry);
#endif
    return {top};
}

bool Stacks::is_guard(const void* address) const {
    auto* a = static_cast<const char*>(address);
    for (const char* s : stacks_)
        if (a >= s && a < s + kGuard) return true;
    return false;
}

// Where the compiler's own checks report: arrays of known size indexed outside, and addresses that are no
// multiple of their type's alignment. The layouts are those of the compiler's undefined-behaviour checks.
#pragma once
#include "qualifiers.h"
#include <stdio.h>

namespace standin {

struct SourceLocation {
    const char* file;
    uint32_t line, column;
};

struct TypeDescriptor {
    uint16_t kind, info;
    char name[1];
};

struct OutOfBoundsData {
    SourceLocation at;
    TypeDescriptor* array;
    TypeDescriptor* index;
};

struct TypeMismatchData {
    SourceLocation at;
    TypeDescriptor* type;
    unsigned char log_alignment, access;
};

struct DivisionData {
    SourceLocation at;
    TypeDescriptor* type;
};

}  // namespace standin

extern "C" {
__attribute__((noreturn, visibility("hidden"), used)) void __ubsan_handle_out_of_bounds_abort(
    standin::OutOfBoundsData* data, uintptr_t index) {
    char text[160];
    snprintf(text, sizeof text, "index %lld into %s", (long long)index, data->array->name);
    standin_machine->violation(standin::Violation::OutOfBounds, text, data->at.file, data->at.line);
}

__attribute__((noreturn, visibility("hidden"), used)) void __ubsan_handle_type_mismatch_v1_abort(
    standin::TypeMismatchData* data, uintptr_t address) {
    char text[160];
    snprintf(text, sizeof text, "address %#llx for type %s, which needs a multiple of %u", (unsigned long long)address,
             data->type->name, 1u << data->log_alignment);
    standin_machine->violation(standin::Violation::Misaligned, text, data->at.file, data->at.line);
}

__attribute__((noreturn, visibility("hidden"), used)) void __ubsan_handle_divrem_overflow_abort(
    standin::DivisionData* data, uintptr_t, uintptr_t) {
    standin_machine->violation(standin::Violation::Arithmetic, "an integer division has no result", data->at.file,
                               data->at.line);
}
}

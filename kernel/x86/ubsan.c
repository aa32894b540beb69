/*
 * What -fsanitize=undefined calls (build option kernel_ubsan): each kind of undefined behaviour is a panic
 * that names the place. The layouts are those of GCC's and Clang's runtime interface, of which only the place
 * and the type's name are used.
 */
#include "host/host.h"

struct place {
    const char *file;
    uint32_t line;
    uint32_t column;
};

/* Every kind of data begins with the place; those of type_mismatch go on with the type. */
struct data {
    struct place place;
    const struct type {
        uint16_t kind, info;
        char name[];
    } * type;
};

static _Noreturn void report(const struct data *data, const char *what)
{
    host_panic("%s:%u:%u: undefined behaviour: %s", data->place.file, data->place.line, data->place.column,
               what);
}

/* Declared here only: nobody but the compiler calls them. */
#define HANDLER(name, what)                                                                                  \
    void __ubsan_handle_##name(const struct data *data);                                                     \
    void __ubsan_handle_##name(const struct data *data)                                                      \
    {                                                                                                        \
        report(data, what);                                                                                  \
    }

HANDLER(add_overflow, "an addition overflows")
HANDLER(sub_overflow, "a subtraction overflows")
HANDLER(mul_overflow, "a multiplication overflows")
HANDLER(negate_overflow, "a negation overflows")
HANDLER(divrem_overflow, "a division overflows or is by zero")
HANDLER(shift_out_of_bounds, "a shift is too far, or of a negative number")
HANDLER(out_of_bounds, "an index is out of bounds")
HANDLER(vla_bound_not_positive, "an array's length is not positive")
HANDLER(load_invalid_value, "a value is none of its type's")
HANDLER(pointer_overflow, "pointer arithmetic overflows")
HANDLER(builtin_unreachable, "code that cannot be reached was reached")
HANDLER(missing_return, "a function ends without a value")
HANDLER(nonnull_arg, "an argument is NULL that may not be")
HANDLER(nonnull_return_v1, "a result is NULL that may not be")
HANDLER(float_cast_overflow, "a conversion overflows")
HANDLER(invalid_builtin, "a builtin has a wrong argument")

void __ubsan_handle_type_mismatch_v1(const struct data *data, uint64_t pointer);
void __ubsan_handle_type_mismatch_v1(const struct data *data, uint64_t pointer)
{
    host_panic("%s:%u:%u: undefined behaviour: access to a %s at %#lx: NULL, not aligned, or too small",
               data->place.file, data->place.line, data->place.column, data->type->name, pointer);
}

/*
 * The page-table library against a flat map (tests/unit/pt_model.h). The first byte chooses the way in which
 * tables are reached, the rest is the sequence of operations. Driven by libFuzzer or by driver.c.
 */
#include "pt_model.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    if (size > 1)
        pt_model_run((enum machine_way)(data[0] % WAY_COUNT), data + 1, size - 1);
    return 0;
}

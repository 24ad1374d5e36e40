/* libFuzzer's way into the engine: starts Python once, then calls the compiled function alone. */
#include <Python.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

static void (*fuzz_one)(const uint8_t *, size_t);

int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
    PyObject *module, *address;

    (void) argc;
    (void) argv;
    Py_Initialize();
    module = PyImport_ImportModule("ctoffload_dpdk.conntrack._fuzz");
    address = module ? PyObject_CallMethod(module, "prepare", NULL) : NULL;
    if (!address) {
        PyErr_Print();
        exit(1); /* what this function returns is not looked at */
    }
    fuzz_one = (void (*)(const uint8_t *, size_t)) PyLong_AsVoidPtr(address);
    return 0;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_one(data, size);
    return 0;
}

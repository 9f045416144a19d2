/* What must hold in a fuzz target: else the fuzzer sees a crash, and keeps the input. */
#ifndef TESTS_FUZZ_PROMISE_H
#define TESTS_FUZZ_PROMISE_H

#include <stdlib.h>

#define PROMISE(condition) ((condition) ? (void)0 : abort())

#endif

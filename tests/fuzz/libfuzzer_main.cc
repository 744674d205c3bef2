// libFuzzer's entry; -DFUZZ=name chooses what it feeds. What must hold and does not is an exception that nobody
// catches.
#include "lib/base/log.h"
#include "tests/fuzz/fuzz.h"

// libconfig 1.5's scanner forgets its buffer when a text is not ended.
extern "C" const char* __lsan_default_suppressions() {
    return "leak:libconfig";
}

extern "C" int LLVMFuzzerInitialize(int*, char***) {
    drivebay::log::set_level(drivebay::log::Level::error);
    return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    drivebay::fuzz::FUZZ({data, size});
    return 0;
}

#include "lib/base/result.h"

#include <system_error>

namespace drivebay {

Error system_error(int code, std::string_view what) {
    return Error{code, std::string(what) + ": " + std::generic_category().message(code)};
}

}  // namespace drivebay

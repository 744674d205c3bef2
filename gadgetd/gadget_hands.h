// What is done to configfs to make or remove the gadget, a step at a time, so that the same code either does it or says
// it
// (`--plan`).
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "lib/base/result.h"

namespace drivebay::gadgetd {

struct GadgetStep {
    enum class Kind {
        make_folder,  // not asked for where it is there
        remove_folder,
        write,  // `value` into the attribute `path`
        link,   // `path` leads to `value`
        unlink,
        bind,  // `value`, a controller, into the gadget's UDC, which is `path`
        unbind,
        expect_folder,  // configfs makes it with its parent. Made where a plain folder stands for configfs, never told
    };
    Kind kind = Kind::write;
    std::string path;
    std::string value;
    bool operator==(const GadgetStep&) const = default;
};

// "mkdir", "rmdir", "write", "symlink", "unlink", "bind", "unbind".
const char* to_string(GadgetStep::Kind kind);
// One line, as an operator would say it: "write 0x1d6b to /sys/…/idVendor".
std::string describe(const GadgetStep& step);

using GadgetHands = std::function<Status(const GadgetStep&)>;

// Does it. Blocking.
Status carry_out(const GadgetStep& step);
// Hands that do nothing but note in `steps` what they were asked to do. `steps` must outlive them.
GadgetHands noting(std::vector<GadgetStep>& steps);

}  // namespace drivebay::gadgetd

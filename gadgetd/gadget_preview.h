// What the next start (or --remove) would do to configfs, without doing it.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "gadgetd/gadget_hands.h"
#include "gadgetd/gadget_tree.h"
#include "lib/base/result.h"

namespace drivebay::gadgetd {

struct GadgetPreview {
    std::string folder;
    std::string udc;                   // the controller that it is bound to, or would be; empty: none, or it is removed
    bool adopted = false;              // it is bound now and would be left as it is
    std::vector<GadgetStep> steps;     // in their order
    std::vector<std::string> notices;  // what is not as configured and stays so
    std::optional<Error> refusal;      // why it would end without a gadget
};

GadgetPreview preview_gadget(const GadgetShape& shape, bool removing);
// As a table of lines, or as one JSON object; with its last newline.
std::string to_text(const GadgetPreview& preview, bool json);

}  // namespace drivebay::gadgetd

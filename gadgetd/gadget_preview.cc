#include "gadgetd/gadget_preview.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

namespace drivebay::gadgetd {

namespace {

using nlohmann::json;

json encode(const GadgetPreview& preview) {
    json steps = json::array();
    for (const GadgetStep& step : preview.steps) {
        steps.push_back({{"action", to_string(step.kind)}, {"path", step.path}, {"value", step.value}});
    }
    return {{"gadget", preview.folder},   {"udc", preview.udc},
            {"adopted", preview.adopted}, {"actions", steps},
            {"notices", preview.notices}, {"refused", preview.refusal ? preview.refusal->message : ""}};
}

}  // namespace

GadgetPreview preview_gadget(const GadgetShape& shape, bool removing) {
    GadgetPreview preview;
    preview.folder = shape.root + "/" + shape.name;
    const GadgetHands hands = noting(preview.steps);
    if (removing) {
        if (Status removed = remove_gadget(shape, hands); !removed) {
            preview.refusal = removed.error();
        }
        return preview;
    }
    Result<GadgetTree> tree = raise_gadget(shape, hands);
    if (!tree) {
        preview.refusal = tree.error();
        return preview;
    }
    preview.udc = tree->udc;
    preview.adopted = tree->adopted;
    preview.notices = tree->notices;
    if (!tree->adopted && shape.interfaces == Interfaces::automatic) {
        preview.notices.push_back("should the device chip refuse so many interfaces, it is offered one less each time");
    }
    return preview;
}

std::string to_text(const GadgetPreview& preview, bool as_json) {
    if (as_json) {
        return encode(preview).dump(2) + "\n";
    }
    std::string text;
    for (const GadgetStep& step : preview.steps) {
        text += describe(step) + "\n";
    }
    for (const std::string& notice : preview.notices) {
        text += fmt::format("note    {}\n", notice);
    }
    if (preview.refusal) {
        text += fmt::format("refuse  {}\n", preview.refusal->message);
    } else if (preview.steps.empty()) {
        text += preview.adopted
                    ? fmt::format("nothing to do: {} is bound to {} and stays as it is\n", preview.folder, preview.udc)
                    : fmt::format("nothing to do: there is no {}\n", preview.folder);
    }
    return text;
}

}  // namespace drivebay::gadgetd

#include "gadgetd/gadget_hands.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "gadgetd/attribute.h"

namespace drivebay::gadgetd {

namespace {

using Kind = GadgetStep::Kind;

Status outcome(int result, const char* what, const std::string& path) {
    return result == 0 ? success() : Status(system_error(errno, fmt::format("cannot {} {}", what, path)));
}

}  // namespace

const char* to_string(GadgetStep::Kind kind) {
    switch (kind) {
        case Kind::make_folder: return "mkdir";
        case Kind::remove_folder: return "rmdir";
        case Kind::write: return "write";
        case Kind::link: return "symlink";
        case Kind::unlink: return "unlink";
        case Kind::bind: return "bind";
        case Kind::unbind: return "unbind";
        case Kind::expect_folder: break;
    }
    return "expect";
}

std::string describe(const GadgetStep& step) {
    switch (step.kind) {
        case Kind::write:
        case Kind::bind: return fmt::format("{:<8}{} to {}", to_string(step.kind), step.value, step.path);
        case Kind::link: return fmt::format("{:<8}{} as {}", to_string(step.kind), step.value, step.path);
        default: return fmt::format("{:<8}{}", to_string(step.kind), step.path);
    }
}

Status carry_out(const GadgetStep& step) {
    const std::string& path = step.path;
    switch (step.kind) {
        case Kind::make_folder:
        case Kind::expect_folder:
            return mkdir(path.c_str(), 0755) != 0 && errno != EEXIST ? outcome(-1, "make", path) : success();
        case Kind::remove_folder: return outcome(rmdir(path.c_str()), "remove", path);
        case Kind::write:
        case Kind::bind: return write_attribute(path, step.value);
        case Kind::unbind: return write_attribute(path, "");
        case Kind::link: return outcome(symlink(step.value.c_str(), path.c_str()), "link", step.value);
        case Kind::unlink: return outcome(unlink(path.c_str()), "remove the link", path);
    }
    return success();
}

GadgetHands noting(std::vector<GadgetStep>& steps) {
    return [&steps](const GadgetStep& step) {
        if (step.kind != Kind::expect_folder) {
            steps.push_back(step);
        }
        return success();
    };
}

}  // namespace drivebay::gadgetd

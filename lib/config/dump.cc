#include <fmt/format.h>

#include <map>

#include "lib/config/schema.h"
#include "lib/config/written.h"

namespace drivebay::config {
namespace {

std::string quoted(const std::string& text) {
    std::string out = "\"";
    for (const char c : text) {
        if (c == '"' || c == '\\') {
            out += '\\';
        }
        out += c;
    }
    return out + '"';
}

struct Written {
    std::string operator()(const std::string& value) const { return quoted(value); }
    std::string operator()(std::int64_t value) const {
        // libconfig reads a number beyond 32 bits only with an L behind it.
        return fmt::format("{}{}", value, value > INT32_MAX || value < INT32_MIN ? "L" : "");
    }
    std::string operator()(bool value) const { return value ? "true" : "false"; }
    std::string operator()(const std::vector<std::string>& values) const {
        std::string out = "(";
        for (const std::string& value : values) {
            out += (out.size() > 1 ? ", " : " ") + quoted(value);
        }
        return out + " )";
    }
};

// Keys of one group, in the order they were registered; sub-groups by name.
struct Group {
    std::vector<const Schema::Key*> keys;
    std::map<std::string, Group> groups;
};

void write(const Group& group, const std::string& indent, std::string& out) {
    for (const Schema::Key* key : group.keys) {
        const std::string unit = key->unit.empty() ? "" : " (" + key->unit + ")";
        const std::string leaf = key->path.substr(key->path.rfind('.') + 1);
        out += fmt::format("{0}# {1}{2}\n{0}{3} = {4};\n", indent, key->doc, unit, leaf,
                           std::visit([](const auto* target) { return Written{}(*target); }, key->target));
    }
    for (const auto& [name, inner] : group.groups) {
        out += fmt::format("{}{} = {{\n", indent, name);
        write(inner, indent + "    ", out);
        out += indent + "};\n";
    }
}

}  // namespace

std::string written(const Schema::Value& value) { return std::visit(Written{}, value); }

std::string Schema::dump() const {
    Group root;
    for (const Key& key : keys_) {
        Group* group = &root;
        std::size_t begin = 0;
        for (std::size_t dot; (dot = key.path.find('.', begin)) != std::string::npos; begin = dot + 1) {
            group = &group->groups[key.path.substr(begin, dot - begin)];
        }
        group->keys.push_back(&key);
    }
    std::string out = fmt::format("# The effective configuration of {}.\n", program_);
    write(root, "", out);
    return out;
}

}  // namespace drivebay::config

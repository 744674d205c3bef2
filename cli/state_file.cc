#include "cli/state_file.h"

#include <fmt/format.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <libconfig.h++>
#include <memory>

#include "cli/arbiter.h"
#include "lib/base/log.h"

namespace drivebay::cli {
namespace {

using libconfig::Setting;
using nlohmann::json;

// A key of an entry; one with a default may be left out.
struct Key {
    const char* name;
    json::value_t kind;
    json otherwise;
};

const std::vector<Key> drive_keys{{"name", json::value_t::string, nullptr},
                                  {"source", json::value_t::string, nullptr},
                                  {"kind", json::value_t::string, "auto"},
                                  {"read_only", json::value_t::boolean, false}};
const std::vector<Key> presentation_keys{{"drive", json::value_t::string, nullptr},
                                         {"blade", json::value_t::string, nullptr},
                                         {"access", json::value_t::string, "read"},
                                         {"slot", json::value_t::number_integer, nullptr}};

json entry_of(const json& object, const std::vector<Key>& keys) {
    json entry;
    for (const Key& key : keys) {
        entry[key.name] = object.value(key.name, json());
    }
    return entry;
}

void write_entry(Setting& list, const json& entry, const std::vector<Key>& keys) {
    Setting& group = list.add(Setting::TypeGroup);
    for (const Key& key : keys) {
        const json& value = entry.at(key.name);
        if (value.is_string()) {
            group.add(key.name, Setting::TypeString) = value.get<std::string>();
        } else if (value.is_boolean()) {
            group.add(key.name, Setting::TypeBoolean) = value.get<bool>();
        } else if (value.is_number()) {
            group.add(key.name, Setting::TypeInt) = value.get<int>();
        }
    }
}

json value_of(const Setting& setting) {
    switch (setting.getType()) {
        case Setting::TypeString: return setting.c_str();
        case Setting::TypeBoolean: return static_cast<bool>(setting);
        case Setting::TypeInt: return static_cast<int>(setting);
        default: return nullptr;
    }
}

Error mistake(const std::string& file, const Setting& setting, const std::string& sentence) {
    return failure(refused, fmt::format("{}:{}: {}", file, setting.getSourceLine(), sentence));
}

Result<json> read_entry(const std::string& file, const Setting& group, const std::vector<Key>& keys) {
    if (!group.isGroup()) {
        return mistake(file, group, "an entry stands in braces: { … }");
    }
    for (const Setting& setting : group) {
        const std::string name = setting.getName();
        if (std::none_of(keys.begin(), keys.end(), [&](const Key& key) { return key.name == name; })) {
            return mistake(file, setting, fmt::format("unknown key `{}`", name));
        }
    }
    json entry;
    for (const Key& key : keys) {
        const bool optional = !key.otherwise.is_null() || key.kind == json::value_t::number_integer;
        if (!group.exists(key.name)) {
            if (!optional) {
                return mistake(file, group, fmt::format("this entry has no `{}`", key.name));
            }
            entry[key.name] = key.otherwise;
            continue;
        }
        const json value = value_of(group[key.name]);
        if (value.type() != key.kind) {
            return mistake(file, group[key.name], fmt::format("`{}` must be a {}", key.name, json(key.kind == json::value_t::string ? "text in double quotes" : key.kind == json::value_t::boolean ? "true or false" : "whole number").get<std::string>()));
        }
        entry[key.name] = value;
    }
    return entry;
}

Result<json> read_list(const std::string& file, const Setting& root, const char* name, const std::vector<Key>& keys) {
    json entries = json::array();
    if (!root.exists(name)) {
        return entries;
    }
    const Setting& list = root[name];
    if (!list.isList() && !(list.isArray() && keys.empty())) {
        return mistake(file, list, fmt::format("`{}` is a list: ( … )", name));
    }
    for (const Setting& setting : list) {
        Result<json> entry = keys.empty() ? Result<json>(value_of(setting)) : read_entry(file, setting, keys);
        if (!entry) {
            return entry;
        }
        if (keys.empty() && !entry->is_string()) {
            return mistake(file, setting, fmt::format("`{}` has names in double quotes", name));
        }
        entries.push_back(*entry);
    }
    return entries;
}

}  // namespace

json operators_state(const json& status) {
    json state{{"drives", json::array()}, {"blades", json::array()}, {"presentations", json::array()}};
    for (const json& drive : status.value("drives", json::array())) {
        state["drives"].push_back(entry_of(drive, drive_keys));
    }
    for (const json& blade : status.value("blades", json::array())) {
        state["blades"].push_back(blade.value("name", ""));
    }
    for (const json& presentation : status.value("presentations", json::array())) {
        state["presentations"].push_back(entry_of(presentation, presentation_keys));
    }
    return state;
}

Result<std::string> state_text(const json& state) {
    libconfig::Config file;
    Setting& root = file.getRoot();
    Setting& drives = root.add("drives", Setting::TypeList);
    for (const json& drive : state.at("drives")) {
        write_entry(drives, drive, drive_keys);
    }
    Setting& blades = root.add("blades", Setting::TypeList);
    for (const json& blade : state.at("blades")) {
        blades.add(Setting::TypeString) = blade.get<std::string>();
    }
    Setting& presentations = root.add("presentations", Setting::TypeList);
    for (const json& presentation : state.at("presentations")) {
        write_entry(presentations, presentation, presentation_keys);
    }
    char* text = nullptr;
    std::size_t size = 0;
    std::FILE* const stream = open_memstream(&text, &size);
    if (stream == nullptr) {
        return system_error(errno, "cannot write the configuration");
    }
    file.write(stream);
    std::fclose(stream);
    const std::unique_ptr<char, decltype(&std::free)> owned(text, &std::free);
    return std::string(text, size);
}

Result<json> read_state(const std::string& file) {
    libconfig::Config config;
    try {
        config.readFile(file.c_str());
    } catch (const libconfig::FileIOException&) {
        return failure(refused, fmt::format("{} cannot be read; is the path right and the file readable?", file));
    } catch (const libconfig::ParseException& e) {
        return failure(refused, fmt::format("{}:{}: {}", file, e.getLine(), e.getError()));
    }
    const Setting& root = config.getRoot();
    for (const Setting& setting : root) {
        const std::string name = setting.getName();
        if (name != "drives" && name != "blades" && name != "presentations") {
            return mistake(file, setting,
                           fmt::format("unknown key `{}`; there are drives, blades and presentations, as drivebay "
                                       "export-config writes them",
                                       name));
        }
    }
    json state;
    const std::pair<const char*, std::vector<Key>> lists[] = {
        {"drives", drive_keys}, {"blades", {}}, {"presentations", presentation_keys}};
    for (const auto& [name, keys] : lists) {
        Result<json> list = read_list(file, root, name, keys);
        if (!list) {
            return list;
        }
        state[name] = *list;
    }
    return state;
}

}  // namespace drivebay::cli

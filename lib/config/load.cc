#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <filesystem>
#include <libconfig.h++>
#include <list>
#include <numeric>

#include "lib/base/log.h"
#include "lib/config/schema.h"

namespace drivebay::config {
namespace {

std::size_t edit_distance(std::string_view a, std::string_view b) {
    std::vector<std::size_t> row(b.size() + 1);
    std::iota(row.begin(), row.end(), 0);
    for (std::size_t i = 0; i < a.size(); ++i) {
        std::size_t diagonal = row[0]++;
        for (std::size_t j = 0; j < b.size(); ++j) {
            const std::size_t substituted = diagonal + (a[i] == b[j] ? 0 : 1);
            diagonal = row[j + 1];
            row[j + 1] = std::min({row[j] + 1, row[j + 1] + 1, substituted});
        }
    }
    return row.back();
}

// One reading of one file: collects what is wrong and what is to be set.
class Loader {
public:
    Loader(const std::vector<Schema::Key>& keys, const std::string& path) : keys_(keys), path_(path) {}

    std::vector<std::string> load() {
        libconfig::Config file;
        try {
            file.readFile(path_.c_str());
        } catch (const libconfig::FileIOException&) {
            return {fmt::format("{}: cannot be read; is the path right and the file readable?", path_)};
        } catch (const libconfig::ParseException& e) {
            return {fmt::format("{}:{}: {}", e.getFile() != nullptr ? e.getFile() : path_.c_str(), e.getLine(),
                                e.getError())};
        }
        visit(file.getRoot(), "");
        return std::move(mistakes_);
    }

    // To be called once nothing is wrong anywhere.
    void apply() {
        for (const auto& set : settings_) {
            set();
        }
    }

private:
    void visit(const libconfig::Setting& group, const std::string& prefix) {
        for (const libconfig::Setting& setting : group) {
            const std::string key = prefix + setting.getName();
            const auto known =
                std::find_if(keys_.begin(), keys_.end(), [&](const Schema::Key& k) { return k.path == key; });
            if (known != keys_.end()) {
                std::visit([&](auto* target) { read(setting, *known, target); }, known->target);
            } else if (setting.isGroup() && is_group(key)) {
                visit(setting, key + ".");
            } else {
                unknown(setting, key);
            }
        }
    }

    bool is_group(const std::string& key) const {
        return std::any_of(keys_.begin(), keys_.end(),
                           [&](const Schema::Key& k) { return k.path.compare(0, key.size() + 1, key + ".") == 0; });
    }

    void unknown(const libconfig::Setting& setting, const std::string& key) {
        const Schema::Key* nearest = nullptr;
        std::size_t nearest_distance = 1 + std::max<std::size_t>(2, key.size() / 3);
        for (const Schema::Key& candidate : keys_) {
            const std::size_t distance = edit_distance(key, candidate.path);
            if (distance < nearest_distance) {
                nearest = &candidate;
                nearest_distance = distance;
            }
        }
        mistake(setting, nearest != nullptr
                             ? fmt::format("unknown key `{}`, did you mean `{}`?", key, nearest->path)
                             : fmt::format("unknown key `{}`; --dump-config lists the known ones", key));
    }

    void read(const libconfig::Setting& setting, const Schema::Key& key, std::string* target) {
        if (setting.getType() != libconfig::Setting::TypeString) {
            mistake(setting, fmt::format("`{}` must be a text in double quotes", key.path));
            return;
        }
        const std::string value = setting.c_str();
        if (!key.allowed.empty() && std::find(key.allowed.begin(), key.allowed.end(), value) == key.allowed.end()) {
            mistake(setting, fmt::format("`{}` is {}, but must be one of: {}", key.path, log::quoted(value),
                                         fmt::join(key.allowed, ", ")));
            return;
        }
        if (accepted(setting, key, value)) {
            settings_.push_back([target, value] { *target = value; });
        }
    }

    void read(const libconfig::Setting& setting, const Schema::Key& key, std::int64_t* target) {
        if (!setting.isNumber() || setting.getType() == libconfig::Setting::TypeFloat) {
            mistake(setting, fmt::format("`{}` must be a whole number{}", key.path, in_unit(key)));
            return;
        }
        const std::int64_t value = setting.getType() == libconfig::Setting::TypeInt64
                                       ? static_cast<std::int64_t>(static_cast<long long>(setting))
                                       : static_cast<std::int64_t>(static_cast<int>(setting));
        if (value < key.range.lowest || value > key.range.highest) {
            mistake(setting, fmt::format("`{}` is {}, but must be from {} to {}{}", key.path, value, key.range.lowest,
                                         key.range.highest, in_unit(key)));
            return;
        }
        settings_.push_back([target, value] { *target = value; });
    }

    void read(const libconfig::Setting& setting, const Schema::Key& key, bool* target) {
        if (setting.getType() != libconfig::Setting::TypeBoolean) {
            mistake(setting, fmt::format("`{}` must be true or false", key.path));
            return;
        }
        const bool value = setting;
        settings_.push_back([target, value] { *target = value; });
    }

    void read(const libconfig::Setting& setting, const Schema::Key& key, std::vector<std::string>* target) {
        std::vector<std::string> values;
        bool all_texts = setting.isArray() || setting.isList();
        for (int i = 0; all_texts && i < setting.getLength(); ++i) {
            all_texts = setting[i].getType() == libconfig::Setting::TypeString;
            if (all_texts) {
                values.emplace_back(setting[i].c_str());
            }
        }
        if (!all_texts) {
            mistake(setting, fmt::format("`{}` must be a list of texts: {} = ( \"…\", \"…\" );", key.path, key.path));
            return;
        }
        for (const std::string& value : values) {
            if (!accepted(setting, key, value)) {
                return;
            }
        }
        settings_.push_back([target, values] { *target = values; });
    }

    bool accepted(const libconfig::Setting& setting, const Schema::Key& key, const std::string& value) {
        if (!key.check) {
            return true;
        }
        const Status verdict = key.check(value);
        if (!verdict) {
            mistake(setting, fmt::format("`{}`: {}", key.path, verdict.error().message));
        }
        return verdict.ok();
    }

    static std::string in_unit(const Schema::Key& key) { return key.unit.empty() ? "" : " (" + key.unit + ")"; }

    void mistake(const libconfig::Setting& setting, const std::string& sentence) {
        mistakes_.push_back(fmt::format("{}:{}: {}", path_, setting.getSourceLine(), sentence));
    }

    const std::vector<Schema::Key>& keys_;
    const std::string& path_;
    std::vector<std::string> mistakes_;
    std::vector<std::function<void()>> settings_;
};

std::vector<std::string> drop_ins(const std::string& path) {
    const std::filesystem::path file(path);
    const std::string begin = file.stem().string() + "-";
    std::vector<std::string> found;
    std::error_code error;
    for (std::filesystem::directory_iterator entry(file.parent_path() / "conf.d", error), end; entry != end && !error;
         entry.increment(error)) {
        const std::string name = entry->path().filename().string();
        if (name.starts_with(begin) && name.ends_with(".cfg")) {
            found.push_back(entry->path().string());
        }
    }
    std::sort(found.begin(), found.end());
    return found;
}

}  // namespace

std::vector<std::string> Schema::load(const std::string& path) {
    Loader loader(keys_, path);
    std::vector<std::string> mistakes = loader.load();
    if (mistakes.empty()) {
        loader.apply();
    }
    return mistakes;
}

std::vector<std::string> Schema::load_all(const std::string& path) {
    std::vector<std::string> files;
    std::error_code error;
    if (std::filesystem::exists(path, error)) {
        files.push_back(path);
    }
    const std::vector<std::string> more = drop_ins(path);
    files.insert(files.end(), more.begin(), more.end());
    std::list<Loader> loaders;  // which refer to their paths
    std::vector<std::string> mistakes;
    for (const std::string& file : files) {
        const std::vector<std::string> found = loaders.emplace_back(keys_, file).load();
        mistakes.insert(mistakes.end(), found.begin(), found.end());
    }
    if (mistakes.empty()) {
        for (Loader& loader : loaders) {
            loader.apply();
        }
    }
    return mistakes;
}

}  // namespace drivebay::config

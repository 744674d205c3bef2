// A libconfig file held against what a program understands: every key with its type, bounds, default and sentence.
// Keys are paths with dots ("lease.ttl_ms"). Each registered variable holds its default until a file sets it.
#pragma once

#include <cstdint>
#include <functional>
#include <initializer_list>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "lib/base/result.h"

namespace drivebay::config {

struct Range {
    std::int64_t lowest = 0;
    std::int64_t highest = INT64_MAX;
};

class Schema {
public:
    // `program` heads the dump.
    explicit Schema(std::string program) : program_(std::move(program)) {}

    // The variables must outlive the schema. `doc` is one line for --dump-config. `unit` may be empty.
    // `check` may refuse a text with a sentence.
    using Check = std::function<Status(const std::string&)>;
    void text(std::string key, std::string* value, std::string doc, Check check = {});
    void choice(std::string key, std::string* value, std::vector<std::string> allowed, std::string doc);
    void integer(std::string key, std::int64_t* value, Range range, std::string unit, std::string doc);
    void boolean(std::string key, bool* value, std::string doc);
    void texts(std::string key, std::vector<std::string>* value, std::string doc, Check check = {});

    // Reads `path` and returns its mistakes, each one sentence "path:line: …", unknown keys with the nearest known one.
    // With any mistake no variable is changed.
    std::vector<std::string> load(const std::string& path);

    // `path`, if it is there, and then its drop-ins in the order of their names: conf.d/NAME-*.cfg beside NAME.cfg. What a
    // later one says goes before what an earlier one has said. Mistakes as load()'s, of all files; with any nothing changes.
    std::vector<std::string> load_all(const std::string& path);

    // Keys that may change while the program runs; all others need a restart.
    void may_change(std::initializer_list<std::string_view> keys);

    struct Change {
        std::string key;
        std::string before;
        std::string after;
        bool in_force = false;  // else it is what the files say, and needs a restart
    };
    struct Reloaded {
        std::vector<std::string> mistakes;
        std::vector<Change> changes;
    };
    // load_all() again: a key that no file names any more is its default. `check` judges all together. With a mistake no
    // variable is changed; without one those that may change are.
    Reloaded reload(const std::string& path, const std::function<Status()>& check);

    // The effective configuration as a libconfig file with its comments.
    std::string dump() const;

    using Value = std::variant<std::string, std::int64_t, bool, std::vector<std::string>>;
    struct Key {
        using Target = std::variant<std::string*, std::int64_t*, bool*, std::vector<std::string>*>;
        std::string path;
        Target target;
        std::string doc;
        std::string unit;
        Range range;
        std::vector<std::string> allowed;
        Check check;
        Value standard;  // the default
        bool may_change = false;
    };
    const std::vector<Key>& keys() const { return keys_; }

private:
    void add(Key key);

    std::string program_;
    std::vector<Key> keys_;
};

}  // namespace drivebay::config

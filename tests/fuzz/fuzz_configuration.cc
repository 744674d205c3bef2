#include <sys/mman.h>
#include <unistd.h>

#include "arbiter/settings.h"
#include "cli/state_file.h"
#include "fusefs/settings.h"
#include "gadgetd/settings.h"
#include "lib/base/fd.h"
#include "tests/fuzz/fuzz.h"

namespace drivebay::fuzz {

namespace {

class File {
public:
    explicit File(const std::string& text) : file_(memfd_create("configuration", MFD_CLOEXEC)) {
        require(file_ && write(file_.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size()), "no memory");
    }
    std::string path() const { return "/proc/self/fd/" + std::to_string(file_.get()); }

private:
    UniqueFd file_;
};

config::Schema schema_of(arbiter::Settings& settings) { return settings.schema(); }
config::Schema schema_of(FusefsSettings& settings) { return settings.schema(); }
config::Schema schema_of(gadgetd::Settings& settings) {
    config::Schema schema("drivebay-gadgetd");
    settings.describe(schema);
    return schema;
}

Status judge(arbiter::Settings&) { return success(); }
Status judge(FusefsSettings& settings) { return settings.check(); }
Status judge(gadgetd::Settings& settings) { return settings.complete(); }

template <class Settings>
void check_settings(const std::string& text) {
    Settings untouched;
    const std::string before = schema_of(untouched).dump();
    Settings settings;
    config::Schema schema = schema_of(settings);
    const std::vector<std::string> mistakes = schema.load(File(text).path());
    for (const std::string& mistake : mistakes) {
        require(!mistake.empty(), "a file is refused without a sentence");
    }
    const std::string dump = schema.dump();
    require(mistakes.empty() || dump == before, "a file with a mistake changes something");
    Settings again;
    config::Schema other = schema_of(again);
    require(other.load(File(dump).path()).empty(), "what is in force is refused when it is written down");
    require(other.dump() == dump, "what is in force is not what it was when it is written down");
    const Status judged = judge(settings);
    require(judged.ok() || !judged.error().message.empty(), "settings are refused without a sentence");
}

void check_state(const std::string& text) {
    const auto state = cli::read_state(File(text).path());
    if (!state) {
        require(!state.error().message.empty(), "a file is refused without a sentence");
        return;
    }
    const auto written = cli::state_text(*state);
    require(written.ok(), "what was read cannot be written");
    const auto again = cli::read_state(File(*written).path());
    require(again.ok() && *again == *state, "a state is not what it was when it is written down");
}

}  // namespace

void configuration(Bytes input) {
    Reader reader(input);
    const auto what = reader.number<std::uint8_t>() % 4;
    const std::string text = reader.rest();
    if (text.find("include") != std::string::npos) {
        return;  // reads other files
    }
    switch (what) {
        case 0: return check_settings<arbiter::Settings>(text);
        case 1: return check_settings<FusefsSettings>(text);
        case 2: return check_settings<gadgetd::Settings>(text);
        default: return check_state(text);
    }
}

}  // namespace drivebay::fuzz

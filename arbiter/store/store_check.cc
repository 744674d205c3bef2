#include "arbiter/store/store_check.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <cerrno>
#include <filesystem>

#include "arbiter/store/schema.h"
#include "arbiter/store/stored_rows.h"
#include "arbiter/store/stored_state_check.h"
#include "lib/base/fd.h"

namespace drivebay::arbiter {
namespace {

namespace fs = std::filesystem;

class PrivateFolder {
public:
    static Result<PrivateFolder> make() {
        std::error_code error;
        PrivateFolder folder;
        folder.path_ = (fs::temp_directory_path(error) / "drivebay-check-XXXXXX").string();
        if (error || ::mkdtemp(folder.path_.data()) == nullptr) {
            const int code = error ? error.value() : errno;
            folder.path_.clear();
            return system_error(code, "cannot make a folder for a copy of the store (TMPDIR names another place)");
        }
        return folder;
    }
    PrivateFolder(PrivateFolder&& other) noexcept : path_(std::exchange(other.path_, {})) {}
    PrivateFolder& operator=(PrivateFolder&&) = delete;
    ~PrivateFolder() {
        std::error_code ignored;
        if (!path_.empty()) {
            fs::remove_all(path_, ignored);
        }
    }
    const std::string& path() const { return path_; }

private:
    PrivateFolder() = default;
    std::string path_;
};

// SQLite's lock bytes of a reader (os.h, SHARED_FIRST and SHARED_SIZE): an arbiter that uses the file holds them all
// for writing, and one that starts in the meantime waits until we are done.
Status lock_as_reader(int file, const std::string& path) {
    struct flock range {};
    range.l_type = F_RDLCK;
    range.l_whence = SEEK_SET;
    range.l_start = 0x40000002;
    range.l_len = 510;
    if (::fcntl(file, F_OFD_SETLK, &range) == 0) {
        return success();
    }
    if (errno == EAGAIN || errno == EACCES) {
        return Error{EBUSY,
                     fmt::format("the store {} is in use by a running arbiter; check a copy of it: drivebay backup "
                                 "FILE, then drivebay-arbiterd --check-store FILE",
                                 path)};
    }
    return system_error(errno, "cannot lock the store " + path);
}

// The file and what SQLite needs beside it to read it, as they are at one moment.
Status copy_store(const std::string& path, const std::string& copy) {
    const UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
    struct stat status {};
    if (!file || ::fstat(file.get(), &status) != 0) {
        return system_error(errno, "cannot read the store " + path);
    }
    if (!S_ISREG(status.st_mode)) {
        return Error{EINVAL, fmt::format("{} is no file, so it is no store; name one as the last argument", path)};
    }
    if (Status locked = lock_as_reader(file.get(), path); !locked) {
        return locked;
    }
    for (const char* const suffix : {"", "-wal", "-journal"}) {
        std::error_code error;
        if (!fs::exists(path + suffix, error)) {
            continue;
        }
        fs::copy_file(path + suffix, copy + suffix, error);
        if (error) {
            return system_error(error.value(), fmt::format("cannot copy {}{} to {}", path, suffix, copy));
        }
        fs::permissions(copy + suffix, fs::perms::owner_read | fs::perms::owner_write, error);
    }
    return success();
}

std::string with_path(std::string sentence, const std::string& copy, const std::string& path) {
    for (std::size_t at = sentence.find(copy); at != std::string::npos; at = sentence.find(copy, at + path.size())) {
        sentence.replace(at, copy.size(), path);
    }
    return sentence;
}

Result<StoreJudgement> judge(const std::string& copy) {
    StoreJudgement judgement;
    std::error_code ignored;
    if (fs::file_size(copy, ignored) == 0) {
        judgement.findings.push_back("it is empty: no arbiter ever committed anything to it, or it was cut off");
        return judgement;
    }
    auto integrity = store::Database::integrity_findings(copy);
    if (!integrity) {
        return integrity.error();
    }
    if (!integrity->empty()) {
        judgement.findings = std::move(*integrity);
        return judgement;
    }
    std::int64_t schema = 0;
    State state;
    const auto look = [&](store::Database& database) -> Status {
        const auto version = database.schema_version();
        schema = version ? *version : 0;
        const auto read = [&]() -> Status {
            auto rows = read_rows(database);
            if (rows) {
                state = std::move(*rows);
            }
            return rows ? success() : Status(rows.error());
        };
        return bring_up_to_date(database, {nullptr, read});
    };
    const auto database = store::Database::open(copy, look);
    if (!database) {
        return database.error();
    }
    judgement.findings = check_stored_state(state);
    judgement.contents = fmt::format("schema {}, term {}, {} drives, {} blades, {} leases", schema, state.term,
                                     state.drives.size(), state.blades.size(), state.leases.size());
    return judgement;
}

}  // namespace

Result<StoreJudgement> check_store(const std::string& path) {
    const auto folder = PrivateFolder::make();
    if (!folder) {
        return folder.error();
    }
    const std::string copy = folder->path() + "/arbiter.db";
    if (Status copied = copy_store(path, copy); !copied) {
        return copied.error();
    }
    auto judgement = judge(copy);
    if (judgement) {
        return judgement;
    }
    const std::string sentence = with_path(judgement.error().message, copy, path);
    if (judgement.error().code == EBADMSG) {
        return StoreJudgement{{sentence}, ""};
    }
    return Error{judgement.error().code, sentence};
}

int report_store_check(const std::string& path) {
    const auto judgement = check_store(path);
    if (!judgement) {
        fmt::print(stderr, "drivebay-arbiterd: {}\n", judgement.error().message);
        return 2;
    }
    for (const std::string& finding : judgement->findings) {
        fmt::print("{}: {}\n", path, finding);
    }
    if (judgement->findings.empty()) {
        fmt::print("{}: good ({})\n", path, judgement->contents);
    }
    return judgement->findings.empty() ? 0 : 1;
}

}  // namespace drivebay::arbiter

#include "arbiter/store/sqlite_store_copy.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <optional>

#include "lib/base/fd.h"
#include "lib/store/online_copy.h"

namespace drivebay::arbiter {
namespace {

constexpr int pages_a_step = 64;              // 256 KiB
constexpr std::size_t bytes_a_step = 196608;  // a multiple of 3

std::string file_of_copy(const std::string& path) {
    return path + ".backup";
}

class SqliteStoreCopy : public StoreCopy {
public:
    SqliteStoreCopy(store::OnlineCopy copy, std::string path) : copy_(std::move(copy)), path_(std::move(path)) {}
    ~SqliteStoreCopy() override { ::unlink(path_.c_str()); }

    Result<Piece> step() override {
        if (copy_) {
            const auto whole = copy_->step(pages_a_step);
            if (!whole) {
                return whole.error();
            }
            if (!*whole) {
                return Piece{};
            }
            copy_.reset();
            file_.reset(::open(path_.c_str(), O_RDONLY | O_CLOEXEC));
        }
        return read();
    }

private:
    Result<Piece> read() {
        Piece piece;
        piece.bytes.resize(bytes_a_step);
        std::size_t filled = 0;
        while (filled < bytes_a_step) {
            const ssize_t got = ::read(file_.get(), piece.bytes.data() + filled, bytes_a_step - filled);
            if (got < 0 && errno == EINTR) {
                continue;
            }
            if (got < 0) {
                return system_error(errno, "cannot read the copy " + path_);
            }
            if (got == 0) {
                break;
            }
            filled += static_cast<std::size_t>(got);
        }
        piece.bytes.resize(filled);
        piece.is_last = filled < bytes_a_step;
        return piece;
    }

    std::optional<store::OnlineCopy> copy_;
    std::string path_;
    UniqueFd file_;
};

}  // namespace

Result<std::unique_ptr<StoreCopy>> begin_copy(store::Database& database) {
    const std::string file = file_of_copy(database.path());
    auto copy = store::OnlineCopy::begin(database, file);
    if (!copy) {
        return copy.error();
    }
    return std::unique_ptr<StoreCopy>(std::make_unique<SqliteStoreCopy>(std::move(*copy), file));
}

void remove_unfinished_copy(const std::string& path) {
    ::unlink(file_of_copy(path).c_str());
}

}  // namespace drivebay::arbiter

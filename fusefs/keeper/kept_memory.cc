#include "fusefs/keeper/kept_memory.h"

#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

namespace drivebay {

KeptMemory::KeptMemory(KeptMemory&& other) noexcept
    : fd_(std::move(other.fd_)), layout_(std::exchange(other.layout_, nullptr)) {}

KeptMemory& KeptMemory::operator=(KeptMemory&& other) noexcept {
    std::swap(fd_, other.fd_);
    std::swap(layout_, other.layout_);
    return *this;
}

KeptMemory::~KeptMemory() {
    if (layout_ != nullptr) {
        munmap(layout_, sizeof *layout_);
    }
}

Result<KeptMemory> KeptMemory::map(UniqueFd memory) {
    void* const mapped = mmap(nullptr, sizeof(KeptLayout), PROT_READ | PROT_WRITE, MAP_SHARED, memory.get(), 0);
    if (mapped == MAP_FAILED) {
        return system_error(errno, "cannot map the memory that outlives the program");
    }
    // Not let in (RLIMIT_MEMLOCK): then it may be swapped out, as any program's memory may.
    (void)mlock2(mapped, sizeof(KeptLayout), MLOCK_ONFAULT);
    KeptMemory kept;
    kept.fd_ = std::move(memory);
    kept.layout_ = static_cast<KeptLayout*>(mapped);
    return kept;
}

Result<KeptMemory> KeptMemory::create() {
    UniqueFd memory(memfd_create("drivebayfs", MFD_CLOEXEC));
    if (!memory || ftruncate(memory.get(), sizeof(KeptLayout)) != 0) {
        return system_error(errno, "cannot make the memory that outlives the program");
    }
    Result<KeptMemory> kept = map(std::move(memory));
    if (kept) {
        kept->layout().header.magic = KeptLayout::magic;
        kept->layout().header.version = KeptLayout::version;
    }
    return kept;
}

Result<KeptMemory> KeptMemory::adopt(UniqueFd memory) {
    struct stat facts {};
    if (fstat(memory.get(), &facts) != 0) {
        return system_error(errno, "the memory that the keeper hands over");
    }
    KeptLayout::Header header{};
    if (pread(memory.get(), &header, sizeof header, 0) != sizeof header || header.magic != KeptLayout::magic) {
        return Error{EPROTO, "what the keeper hands over is no memory of a drivebayfs"};
    }
    if (header.version != KeptLayout::version || facts.st_size != sizeof(KeptLayout)) {
        return Error{EPROTO, fmt::format("the filesystem that is mounted was begun by another version of drivebayfs "
                                         "(layout {} of its memory, this program's is {}): unmount it and mount it again",
                                         header.version, KeptLayout::version)};
    }
    return map(std::move(memory));
}

void set_name(KeptName& name, std::string_view text) {
    name.length = static_cast<std::uint8_t>(std::min(text.size(), sizeof name.text));
    std::memcpy(name.text, text.data(), name.length);
}

std::string_view name_of(const KeptName& name) { return {name.text, std::min<std::size_t>(name.length, sizeof name.text)}; }

}  // namespace drivebay

// How much of what a host has written may be answered before it is on the drive: so many bytes, and no more than the
// link, as it lately was (LinkRate), moves in three seconds, so that whoever waits for it (a flush, an eject) does not
// wait longer.
#pragma once

#include <cstdint>
#include <functional>
#include <utility>

namespace drivebay {

class WriteBehind {
public:
    static constexpr std::uint64_t most = std::uint64_t{8} << 20;    // bytes
    static constexpr std::uint64_t least = std::uint64_t{64} << 10;  // however slow the link is

    // `rate`: bytes a second.
    explicit WriteBehind(std::function<std::uint64_t()> rate) : rate_(std::move(rate)) {}

    // Room for so many bytes more? Then they are held.
    bool take(std::uint32_t bytes);
    // Held, room or not: a server before this one has answered them.
    void take_anyway(std::uint32_t bytes) { held_ += bytes; }
    // They are on the drive, or given up.
    void done(std::uint32_t bytes) { held_ -= bytes; }

    std::uint64_t held() const { return held_; }
    std::uint64_t limit() const;

private:
    const std::function<std::uint64_t()> rate_;
    std::uint64_t held_ = 0;
};

}  // namespace drivebay

// Those who have connected and not yet proved who they are. Whoever has a right proves it within milliseconds, so of too many the
// one that has been silent for longest goes. One thread's.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>

#include "lib/base/seldom.h"

namespace drivebay {

class Strangers {
public:
    // The higher, the later.
    using Id = std::uint64_t;

    // `whom` is for the log: whose they are.
    Strangers(std::string whom, std::size_t most, std::size_t most_of_one_address)
        : whom_(std::move(whom)), most_(most), most_of_one_(most_of_one_address) {}

    // `address` is HOST:PORT. Returns who is to be hung up on for it; that one is no longer among them.
    std::optional<Id> add(Id id, const std::string& address);
    void remove(Id id);

private:
    void complain(const std::string& host, std::size_t here);

    const std::string whom_;
    const std::size_t most_;
    const std::size_t most_of_one_;
    std::map<Id, std::string> all_;  // their hosts
    std::map<std::string, std::set<Id>> by_host_;
    Seldom complaint_;
};

}  // namespace drivebay

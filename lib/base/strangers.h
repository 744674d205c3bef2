// Those who have connected and not yet proved who they are. Whoever has a right proves it within milliseconds, so of too many the
// one that has been silent for longest goes. One thread's.
//
// What a stranger costs is bounded: once all places are taken, only so many a second are given to others, and whoever comes
// beside them is hung up on; and of handshakes, which cost a server far more than a stranger, only so many a second may come to
// nothing. One that ends with a proof counts for none: ten thousand blades that come back together wait for nobody. And whoever
// proved himself has an allowance of his own for that address, which a flood from elsewhere does not use up.
#pragma once

#include <cstddef>
#include <cstdint>
#include <list>
#include <map>
#include <optional>
#include <set>
#include <string>

#include "lib/base/clock.h"
#include "lib/base/fd.h"
#include "lib/base/seldom.h"
#include "lib/base/token_bucket.h"

namespace drivebay {

class Strangers {
public:
    // The higher, the later.
    using Id = std::uint64_t;

    // `whom` is for the log: whose they are.
    Strangers(std::string whom, std::size_t most, std::size_t most_of_one_address)
        : whom_(std::move(whom)), most_(most), most_of_one_(most_of_one_address), anybodys_{{most_of_one_address, 500}, {most, 40}} {}

    struct Place {
        bool given = true;           // else the one that came is to be hung up on, and is none of them
        std::optional<Id> of = {};   // who is to be hung up on for it, and is no longer among them
    };
    // `address` is HOST:PORT.
    Place add(Id id, const std::string& address, Instant now);
    // It has gone.
    void remove(Id id);
    // It has proved who it is, and is a stranger no more.
    void proved(Id id);

    // Whether it may begin its handshake now. If not, it waits until next() names it or it is removed.
    bool may_begin(Id id, Instant now);
    // Whose turn to begin has come. To be asked each `turn` while anybody waits, until it names nobody.
    std::optional<Id> next(Instant now);
    bool anybody_waits() const { return !waiting_.empty(); }
    static constexpr Duration turn = std::chrono::milliseconds(20);

private:
    // At once, and a second: for anybody some 4 % of a processor (a place 30 µs, half a handshake 800).
    struct Allowance {
        TokenBucket others_places;
        TokenBucket handshakes;
    };
    // An address from which somebody has proved himself. The latest proofs are remembered.
    static constexpr std::size_t most_known = 16384;
    struct Known {
        std::string host;
        Allowance allowance{{64, 8}, {16, 1}};
    };
    enum class Paid { nothing, as_known, as_anybody };
    struct Stranger {
        std::string host;
        Paid paid = Paid::nothing;  // for its handshake
    };

    void complain(const std::string& host, std::size_t here);
    // Of somebody's own allowance first, and then of anybody's.
    Paid pay(const std::string& host, TokenBucket Allowance::*for_what, Instant now);
    void remember(const std::string& host);

    const std::string whom_;
    const std::size_t most_;
    const std::size_t most_of_one_;
    std::map<Id, Stranger> all_;
    std::map<std::string, std::set<Id>> by_host_;
    std::set<Id> waiting_;  // for their handshakes
    Allowance anybodys_;
    std::list<Known> known_;  // the latest proof last
    std::map<std::string, std::list<Known>::iterator> known_by_host_;
    Seldom complaint_;
};

// Hangs up on one that has no place, so that nothing of it is left to the kernel either.
void turn_away(UniqueFd socket);

}  // namespace drivebay

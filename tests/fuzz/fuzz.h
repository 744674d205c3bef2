// What the fuzzers call: each takes any bytes and throws std::logic_error if what has to hold does not. The same
// functions are fed the corpus by the unit tests (tests/unit/fuzz_corpus_test.cc), so that what a fuzzer once found
// stays found.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <stdexcept>
#include <string>

namespace drivebay::fuzz {

using Bytes = std::span<const std::uint8_t>;

void handshake(Bytes input);     // the server's half of the NBD negotiation, whole and in pieces
void transmission(Bytes input);  // a listener with one client that asks for anything and goes at any time
void names(Bytes input);         // file names, export names, addresses; the arithmetic of file offsets
void control(Bytes input);        // messages and requests of the control plane, descriptions of exports
void requests(Bytes input);       // HTTP and WebSocket frames to a whole arbiter
void rows(Bytes input);           // rows of the arbiter's store, and what the lease core does with those that are let pass
void reports(Bytes input);        // what blades tell, and what the lease core makes of it
void configuration(Bytes input);  // every program's configuration file, an operators' state file
void enrolment(Bytes input);      // identities, tokens, certificates, and what a stranger may ask

inline void require(bool holds, const char* what) {
    if (!holds) {
        throw std::logic_error(what);
    }
}

// Takes numbers from the front of the input; zeroes when it is used up.
class Reader {
public:
    explicit Reader(Bytes input) : left_(input) {}
    bool empty() const { return left_.empty(); }
    template <class T>
    T number() {
        T value = 0;
        for (std::size_t i = 0; i < sizeof(T); ++i) {
            value = static_cast<T>(value << 8 | (i < left_.size() ? left_[i] : 0));
        }
        left_ = left_.subspan(std::min(sizeof(T), left_.size()));
        return value;
    }
    std::string text(std::size_t most) {
        const std::size_t size = std::min(most, left_.size());
        std::string out(reinterpret_cast<const char*>(left_.data()), size);
        left_ = left_.subspan(size);
        return out;
    }
    std::string rest() { return text(left_.size()); }

private:
    Bytes left_;
};

}  // namespace drivebay::fuzz

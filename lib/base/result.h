// Errors as values: a Result is either a T or an Error, and the caller looks before it takes.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <variant>

namespace drivebay {

// What went wrong: an errno for the FUSE and NBD edges, and a sentence for people that says what,
// why, and where it helps, what to type.
struct Error {
    int code = 0;
    std::string message;
};

// An Error whose sentence ends in the system's own words for `code`.
Error system_error(int code, std::string_view what);

// Success without a value.
struct Done {};

template <class T>
class [[nodiscard]] Result {
public:
    Result(T value) : outcome_(std::move(value)) {}
    Result(Error error) : outcome_(std::move(error)) {}

    bool ok() const { return outcome_.index() == 0; }
    explicit operator bool() const { return ok(); }

    // Only after ok() was seen to be true.
    T& value() & { return std::get<0>(outcome_); }
    const T& value() const& { return std::get<0>(outcome_); }
    T&& value() && { return std::get<0>(std::move(outcome_)); }
    T* operator->() { return &std::get<0>(outcome_); }
    const T* operator->() const { return &std::get<0>(outcome_); }
    T& operator*() & { return std::get<0>(outcome_); }
    const T& operator*() const& { return std::get<0>(outcome_); }
    T&& operator*() && { return std::get<0>(std::move(outcome_)); }

    // Only after ok() was seen to be false.
    const Error& error() const { return std::get<1>(outcome_); }

private:
    std::variant<T, Error> outcome_;
};

using Status = Result<Done>;

inline Status success() { return Done{}; }

}  // namespace drivebay

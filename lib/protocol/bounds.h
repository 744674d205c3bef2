// How much a blade may tell of itself: it stays in the arbiter's memory, its store and its log. A message with more is
// refused (decode() of messages.h).
#pragma once

#include <cstddef>

namespace drivebay::protocol {

inline constexpr int most_slots = 16;                  // numbered from 0
inline constexpr std::size_t longest_word = 256;       // an id, a name of the kernel's
inline constexpr std::size_t longest_sentence = 1024;  // for people; who has a longer one sends it shortened()

}  // namespace drivebay::protocol

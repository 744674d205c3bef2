// How the data of the drives are handled on this machine, as configured; the rest is judged drive by drive.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "lib/base/result.h"
#include "lib/config/presentation_rule.h"

namespace drivebay {

// Where a local drive's data go. By itself: what nobody writes (read-only files, optical drives) through the page cache,
// because many blades read it; everything else past it, because what is answered is then the drive's own business.
enum class CachePolicy { automatic, direct, page_cache };

struct RateLimit {
    config::PresentationRule rule;
    std::uint64_t bytes_per_second = 0;
};

// "BLADE/DRIVE NUMBER[K|M|G]": bytes a second, in powers of 1024. EINVAL with a sentence.
Result<RateLimit> parse_rate_limit(const std::string& text);

struct DrivePolicies {
    std::map<std::string, CachePolicy> cache;  // by drive
    std::size_t queue_depth = 128;             // requests at one drive at a time
    std::vector<RateLimit> limits;
    std::vector<std::string> roots;            // folders that files must be below; empty: they may be anywhere

    CachePolicy cache_of(const std::string& drive) const;
    // The first limit that names both; 0: without.
    std::uint64_t rate_of(const std::string& blade, const std::string& drive) const;
};

}  // namespace drivebay

// What a FuseChannel keeps of a request that it serves itself; for its own files.
#pragma once

#include "fusefs/fuse_front/fuse_channel.h"

namespace drivebay {

// Kept for the next one.
struct FuseChannel::Io {
    FuseChannel* channel = nullptr;
    KeptRequest* kept = nullptr;
    FuseHandle* handle = nullptr;
    AlignedBuffer buffer;  // of a read
    IoRequest request;
    std::uint64_t zeroes_left = 0;  // fallocate: of what is still to be sent
    Io* next_free = nullptr;
};

}  // namespace drivebay

// libnbd's client, owned.
#pragma once

#include <libnbd.h>

#include <memory>

namespace drivebay {

struct NbdCloser {
    void operator()(nbd_handle* handle) const { nbd_close(handle); }
};
using Client = std::unique_ptr<nbd_handle, NbdCloser>;

}  // namespace drivebay

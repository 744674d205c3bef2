// Notices that the host has reset the USB device, by the controller's `state` in sysfs, which the kernel announces at
// each change (usb_gadget_set_state(), drivers/usb/gadget/udc/core.c). Announcements that come close together are one,
// so the states between may never be seen: an announcement after which a configured device is configured still is a
// reset as well.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "lib/rpc/reactor.h"

namespace drivebay::gadgetd {

// The states as they are announced, one after the other; the first is how it stands.
class HostStates {
public:
    // True: the host that used the device has begun anew with it. Suspending and waking it is none; nor is the first
    // configuration after it was attached.
    bool is_reset(const std::string& state);

private:
    bool used_ = false;
    bool suspended_ = false;
};

// A thread of its own waits for announcements; `on_reset` runs on the reactor's. `in_use`: the gadget was bound before,
// so the file says how it stands; of one that was bound just now it may still tell what was before (dummy_hcd says
// "configured"). A file that cannot be opened or watched is logged, and no reset is ever noticed.
class HostWatch {
public:
    HostWatch(rpc::Reactor& reactor, const std::string& state_file, bool in_use, std::function<void()> on_reset);
    ~HostWatch();
    HostWatch(const HostWatch&) = delete;
    HostWatch& operator=(const HostWatch&) = delete;

private:
    struct Shared;
    std::shared_ptr<Shared> shared_;
};

}  // namespace drivebay::gadgetd

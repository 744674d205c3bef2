// The drivebayfs of a simulated blade: a client for each (drive, epoch) that was opened or asked about.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "gadgetd/gadget_events.h"
#include "tests/sim/blade_client.h"

namespace drivebay::sim {

class BladeFs : public Process {
public:
    BladeFs(Scheduler& scheduler, Weather& weather, Ledger& ledger, std::string blade, BladeClient::Network network)
        : Process(scheduler),
          weather_(weather),
          ledger_(ledger),
          blade_(std::move(blade)),
          network_(std::move(network)) {}

    // The client of (drive, epoch), made if need be. Alive only.
    std::shared_ptr<BladeClient> client(const std::string& drive, Epoch epoch);
    void hears(std::uint64_t connection, const NbdAnswer& answer);
    void server_died();
    gadgetd::SourceStates sources() const;

protected:
    void started() override {}
    void killed() override;

private:
    Weather& weather_;
    Ledger& ledger_;
    const std::string blade_;
    BladeClient::Network network_;
    std::map<std::pair<std::string, Epoch>, std::shared_ptr<BladeClient>> clients_;
};

}  // namespace drivebay::sim

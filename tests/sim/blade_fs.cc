#include "tests/sim/blade_fs.h"

#include <utility>

namespace drivebay::sim {

std::shared_ptr<BladeClient> BladeFs::client(const std::string& drive, Epoch epoch) {
    auto& client = clients_[{drive, epoch}];
    if (!client) {
        client = std::make_shared<BladeClient>(*this, scheduler(), weather_, ledger_, network_,
                                               Holding{blade_, drive, epoch});
    }
    return client;
}

void BladeFs::hears(std::uint64_t connection, const NbdAnswer& answer) {
    for (const auto& [key, client] : clients_) {
        if (client->connection() == connection) {
            const auto kept = client;
            return kept->hears(connection, answer);
        }
    }
}

void BladeFs::server_died() {
    for (const auto& [key, client] : std::map(clients_)) {
        client->reset(client->connection());
    }
}

gadgetd::SourceStates BladeFs::sources() const {
    gadgetd::SourceStates states;
    for (const auto& [key, client] : clients_) {
        states[key] = client->source();
    }
    return states;
}

void BladeFs::killed() {
    weather_.trace("{}: drivebayfs dies", blade_);
    ledger_.blade_forgets(blade_);
    for (const auto& [key, client] : std::exchange(clients_, {})) {
        client->die();
    }
}

}  // namespace drivebay::sim

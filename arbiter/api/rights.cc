#include "arbiter/api/rights.h"

namespace drivebay::arbiter {

bool may(const rpc::Peer& peer, Verb verb) {
    switch (verb) {
        case Verb::look:
        case Verb::operate:
        case Verb::be_a_blade: return true;
        case Verb::be_the_data_path: break;
    }
    return peer.local;
}

}  // namespace drivebay::arbiter

#include "arbiter/links/blade_links.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/random.h>

#include <nlohmann/json.hpp>

#include "arbiter/api/rights.h"
#include "arbiter/core/desired_state.h"
#include "lib/base/log.h"
#include "lib/base/names.h"

namespace drivebay::arbiter {
namespace {

std::string fresh_session() {
    unsigned char bytes[16] = {};
    // Up to 256 bytes are never interrupted nor cut short once the pool is ready (getrandom(2)).
    (void)!::getrandom(bytes, sizeof bytes, 0);
    std::string id;
    for (const unsigned char byte : bytes) {
        id += fmt::format("{:02x}", byte);
    }
    return id;
}

}  // namespace

BladeLinks::~BladeLinks() {
    for (auto& [channel, link] : links_) {
        channel->on_message = nullptr;
        channel->on_close = nullptr;
    }
}

void BladeLinks::accept(std::shared_ptr<rpc::Channel> channel) {
    auto link = std::make_shared<Link>();
    link->channel = channel;
    links_[channel.get()] = link;
    const std::weak_ptr<Link> weak = link;
    channel->on_message = [this, weak](const nlohmann::json& json) {
        if (const auto alive = weak.lock()) {
            receive(alive, json);
        }
    };
    channel->on_close = [this, weak](const std::string& reason) {
        if (const auto alive = weak.lock()) {
            left(alive, reason);
        }
    };
}

void BladeLinks::receive(const std::shared_ptr<Link>& link, const nlohmann::json& json) {
    auto message = protocol::decode(json, protocol::Side::blade);
    if (!message) {
        deny(*link, "a message on a blade's link", message.error().message);
        if (link->blade.empty()) {
            refuse(link, message.error().message);
        } else {
            link->channel->close(message.error().message);
        }
        return;
    }
    if (const auto* hello = std::get_if<protocol::BladeHello>(&*message)) {
        say_hello(link, *hello);
        return;
    }
    const auto current = by_blade_.find(link->blade);
    if (link->blade.empty() || current == by_blade_.end() || current->second != link) {
        link->channel->close("a link begins with hello");
        return;
    }
    const auto greeting = greeting_.find(link->blade);
    if (greeting != greeting_.end() && greeting->second.back() != link) {
        // What it says now would be taken after the newer link's hello, and is older.
        link->channel->close("a newer link of this blade has taken its place");
        return;
    }
    if (const auto* observed = std::get_if<protocol::BladeObserved>(&*message)) {
        arbiter_.apply(BladeReported{link->blade, *observed});
    } else if (const auto* renew = std::get_if<protocol::Renew>(&*message)) {
        link->renewals.received(renew->seq, BootClock::now());
        const auto ttl = std::chrono::duration_cast<std::chrono::milliseconds>(arbiter_.state().timing.ttl);
        link->channel->send(protocol::encode(protocol::Renewed{renew->seq, ttl.count()}));
    } else if (const auto* heard = std::get_if<protocol::Heard>(&*message)) {
        if (const std::optional<Instant> since = link->renewals.heard(heard->seq)) {
            arbiter_.apply(BladeRenewed{link->blade, *since});
        }
    } else {
        link->channel->close("that message does not belong on a blade's link");
    }
}

void BladeLinks::say_hello(const std::shared_ptr<Link>& link, const protocol::BladeHello& hello) {
    if (hello.protocol != 1) {
        refuse(link, fmt::format("protocol {} is not understood here, only 1; install the same drivebay on both sides",
                                 hello.protocol));
        return;
    }
    if (const Status named = check_name("blade", hello.blade); !named) {
        deny(*link, "the session of a blade", named.error().message);
        refuse(link, named.error().message);
        return;
    }
    if (const auto denied = denial_to_be(link->channel->peer(), hello.blade)) {
        deny(*link, "the session of blade " + hello.blade, denied->reason);
        refuse(link, denied->reason);
        return;
    }
    greeting_[hello.blade].push_back(link);
    arbiter_.apply(BladeArrived{hello, fresh_session()},
                   [this, link, blade = hello.blade](const Actions& actions) { greeted(link, blade, actions); });
}

void BladeLinks::greeted(const std::shared_ptr<Link>& link, const std::string& blade, const Actions& actions) {
    const auto greeting = greeting_.find(blade);
    std::erase(greeting->second, link);
    if (greeting->second.empty()) {
        greeting_.erase(greeting);
    }
    if (actions.refusal) {
        log::notice("a blade was refused",
                    {{"blade", blade}, {"peer", link->channel->peer().address}, {"reason", actions.refusal->message}});
        if (actions.refusal->status == 403) {
            deny(*link, "the session of blade " + blade, actions.refusal->message);
        }
        refuse(link, actions.refusal->message);
    } else if (!arbiter_.state().blades.contains(blade)) {
        refuse(link, fmt::format("blade {} was removed", blade));
    } else if (!link->ended) {
        welcome(link, blade, *actions.welcome);
    }
    look_after(blade);
}

void BladeLinks::welcome(const std::shared_ptr<Link>& link, const std::string& blade,
                         const protocol::Welcome& welcome) {
    const auto former = by_blade_.find(blade);
    const std::shared_ptr<Link> replaced =
        former != by_blade_.end() && former->second != link ? former->second : nullptr;
    link->blade = blade;
    by_blade_[blade] = link;
    if (replaced) {
        replaced->channel->close("a newer link of this blade has taken its place");
    }
    log::info("blade connected", {{"blade", blade}, {"peer", link->channel->peer().address}});
    link->channel->send(protocol::encode(welcome));
    // The audience was told before the blade had this link. While the core lets no blade be told anything, it has none.
    if (arbiter_.state().data_path_obeys) {
        send_desired(link, blade);
    }
}

void BladeLinks::look_after(const std::string& blade) {
    const auto found = arbiter_.state().blades.find(blade);
    if (!by_blade_.contains(blade) && !greeting_.contains(blade) && found != arbiter_.state().blades.end() &&
        found->second.connected) {
        arbiter_.apply(BladeLeft{blade});
    }
}

void BladeLinks::send_desired(const std::shared_ptr<Link>& link, const std::string& blade) {
    link->channel->send(protocol::encode(desired_state(arbiter_.state(), blade)));
}

void BladeLinks::refuse(const std::shared_ptr<Link>& link, const std::string& reason) {
    link->channel->send(protocol::encode(protocol::Refused{reason}));
    link->channel->close(reason);
}

void BladeLinks::deny(const Link& link, const std::string& asked, const std::string& reason) {
    const rpc::Peer& peer = link.channel->peer();
    denials_.note({peer.address, peer.identity, asked, reason});
}

void BladeLinks::told(const Actions& actions) {
    for (const std::string& blade : actions.desired) {
        const auto link = by_blade_.find(blade);
        if (link != by_blade_.end() && arbiter_.state().blades.contains(blade)) {
            send_desired(link->second, blade);
        }
    }
    for (const std::string& blade : actions.dropped_blades) {
        if (const auto link = by_blade_.find(blade); link != by_blade_.end()) {
            const auto dropped = link->second;
            by_blade_.erase(link);
            refuse(dropped, fmt::format("blade {} was removed", blade));
        }
    }
}

void BladeLinks::left(const std::shared_ptr<Link>& link, const std::string& reason) {
    links_.erase(link->channel.get());
    link->ended = true;
    const auto current = by_blade_.find(link->blade);
    if (current != by_blade_.end() && current->second == link) {
        log::info("blade disconnected", {{"blade", link->blade}, {"reason", reason}});
        by_blade_.erase(current);
        look_after(link->blade);
    }
}

}  // namespace drivebay::arbiter

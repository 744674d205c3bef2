// The WebSockets of the blades (/v1/link/blade): desired states out, observed states in.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <string>

#include "arbiter/arbiter.h"
#include "arbiter/links/renewals.h"
#include "lib/base/denials.h"
#include "lib/rpc/channel.h"

namespace drivebay::arbiter {

class BladeLinks : public Audience {
public:
    BladeLinks(Arbiter& arbiter, Denials& denials) : arbiter_(arbiter), denials_(denials) {}
    ~BladeLinks() override;

    // A new link; who is behind it is known from its hello.
    void accept(std::shared_ptr<rpc::Channel> channel);
    void told(const Actions& actions) override;

private:
    struct Link {
        std::shared_ptr<rpc::Channel> channel;
        std::string blade;  // empty until its hello was accepted
        bool ended = false;
        Renewals renewals;
    };
    void receive(const std::shared_ptr<Link>& link, const nlohmann::json& json);
    void say_hello(const std::shared_ptr<Link>& link, const protocol::BladeHello& hello);
    // What came of a hello; its link may have ended meanwhile.
    void greeted(const std::shared_ptr<Link>& link, const std::string& blade, const Actions& actions);
    void welcome(const std::shared_ptr<Link>& link, const std::string& blade, const protocol::Welcome& welcome);
    // A blade without a link, and without a hello on its way, is told to the core as gone.
    void look_after(const std::string& blade);
    void send_desired(const std::shared_ptr<Link>& link, const std::string& blade);
    void deny(const Link& link, const std::string& asked, const std::string& reason);
    void refuse(const std::shared_ptr<Link>& link, const std::string& reason);
    void left(const std::shared_ptr<Link>& link, const std::string& reason);

    Arbiter& arbiter_;
    Denials& denials_;
    std::map<rpc::Channel*, std::shared_ptr<Link>> links_;
    std::map<std::string, std::shared_ptr<Link>> by_blade_;
    // Whose hellos wait for their commit, oldest first. The newest is the blade's only voice from then on.
    std::map<std::string, std::deque<std::shared_ptr<Link>>> greeting_;
};

}  // namespace drivebay::arbiter

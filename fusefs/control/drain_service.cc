#include "fusefs/control/drain_service.h"

#include <map>
#include <nlohmann/json.hpp>
#include <utility>

#include "lib/base/clock.h"
#include "lib/base/json_text.h"
#include "lib/rpc/server.h"

namespace drivebay {

using nlohmann::json;

namespace {

std::string_view to_text(ViewStatus::State state) {
    switch (state) {
        case ViewStatus::State::online: return "online";
        case ViewStatus::State::offline: return "offline";
        case ViewStatus::State::ended: return "ended";
    }
    return "";
}

json to_json(const ServiceStatus& status) {
    json drives = json::array();
    for (const DriveStatus& drive : status.drives) {
        drives.push_back({{"name", drive.name},
                          {"source", drive.source},
                          {"state", drive.state},
                          {"size", drive.size},
                          {"error", drive.error}});
    }
    json views = json::array();
    for (const ViewStatus& view : status.views) {
        views.push_back({{"drive", view.admission.drive},
                         {"blade", view.admission.blade},
                         {"mode", to_string(view.admission.mode)},
                         {"epoch", view.admission.epoch},
                         {"state", to_text(view.state)},
                         {"in_flight", view.in_flight},
                         {"handles", view.handles},
                         {"reads", view.counters.reads},
                         {"read_bytes", view.counters.read_bytes},
                         {"writes", view.counters.writes},
                         {"written_bytes", view.counters.written_bytes},
                         {"errors", view.counters.errors}});
    }
    return {{"boot_id", kernel_boot_id()}, {"role", status.role}, {"drives", drives}, {"views", views}};
}

// A path from a file system need not be UTF-8; what is not is replaced.
std::string dumped(const json& object) { return object.dump(-1, ' ', false, json::error_handler_t::replace); }

rpc::Response refusal(int status, const std::string& sentence) { return {status, dumped({{"error", sentence}})}; }

struct DrainWish {
    std::string drive;
    std::string blade;
    Epoch epoch = 0;
};

Result<DrainWish> parse_drain(const std::string& body) {
    const json object = parse_json(body);
    if (!object.is_object()) {
        return Error{EINVAL, "the body is no JSON object"};
    }
    for (const char* key : {"drive", "blade"}) {
        if (!object.contains(key) || !object[key].is_string()) {
            return Error{EINVAL, "\"" + std::string(key) + "\" is missing or no text"};
        }
    }
    if (!object.contains("epoch") || !object["epoch"].is_number_unsigned()) {
        return Error{EINVAL, "\"epoch\" is missing or no positive number"};
    }
    return DrainWish{object["drive"], object["blade"], object["epoch"]};
}

// A request that the loop's side works on. Stays on the reactor's thread, where its reply and timer belong: only its
// number travels.
struct Pending {
    rpc::Reply reply;
    std::unique_ptr<rpc::Timer> limit;
};

}  // namespace

// Reached from the loop's side through shared_ptr: an answer may come when the service has gone.
struct DrainService::Impl : std::enable_shared_from_this<DrainService::Impl> {
    Impl(rpc::Reactor& the_reactor, EventLoop& the_loop, DrainSource& the_source, Duration the_limit)
        : reactor(the_reactor), loop(the_loop), source(the_source), limit(the_limit) {}

    rpc::Reactor& reactor;
    EventLoop& loop;
    DrainSource& source;
    const Duration limit;
    std::unique_ptr<rpc::Server> server;
    std::map<std::uint64_t, Pending> pending;
    std::uint64_t last_id = 0;

    // Any thread.
    void answer_soon(std::uint64_t id, std::string body) {
        reactor.post([self = shared_from_this(), id, body = std::move(body)] { self->answer(id, body); });
    }

    void answer(std::uint64_t id, const std::string& body) {
        if (const auto found = pending.extract(id)) {
            found.mapped().reply({200, body});
        }
    }

    void request(const rpc::Request& request, rpc::Reply reply) {
        if (request.path == "/v1/status" && request.method == "GET") {
            const std::uint64_t id = ++last_id;
            pending.emplace(id, Pending{std::move(reply), nullptr});
            loop.post([self = shared_from_this(), id] { self->answer_soon(id, dumped(to_json(self->source.status()))); });
        } else if (request.path == "/v1/drain" && request.method == "POST") {
            drain(request.body, std::move(reply));
        } else if (request.path == "/v1/status" || request.path == "/v1/drain") {
            reply(refusal(405, request.method + " does not go with " + request.path));
        } else {
            reply(refusal(404, "there is no " + request.path + " here; there are GET /v1/status and POST /v1/drain"));
        }
    }

    void drain(const std::string& body, rpc::Reply reply) {
        const Result<DrainWish> wish = parse_drain(body);
        if (!wish) {
            return reply(refusal(400, wish.error().message));
        }
        const std::uint64_t id = ++last_id;
        auto timer = std::make_unique<rpc::Timer>(reactor);
        const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(limit).count();
        timer->set(limit, [this, id, seconds] {
            answer(id, drained({protocol::Outcome::unknown, "it was not drained within " + std::to_string(seconds) + " s"}));
        });
        pending.emplace(id, Pending{std::move(reply), std::move(timer)});
        loop.post([self = shared_from_this(), wish = *wish, id] {
            self->source.drain(wish.drive, wish.blade, wish.epoch,
                               [self, id](const DrainAnswer& given) { self->answer_soon(id, drained(given)); });
        });
    }

    static std::string drained(const DrainAnswer& given) {
        return dumped({{"outcome", protocol::to_string(given.outcome)}, {"error", given.error}, {"opened", given.opened}});
    }
};

DrainService::DrainService(rpc::Reactor& reactor, EventLoop& loop, DrainSource& source, Duration limit)
    : impl_(std::make_shared<Impl>(reactor, loop, source, limit)) {
    rpc::Handlers handlers;
    handlers.on_request = [impl = std::weak_ptr(impl_)](const rpc::Request& request, rpc::Reply reply) {
        if (const auto alive = impl.lock()) {
            alive->request(request, std::move(reply));
        }
    };
    handlers.on_channel = [](const std::string&, const std::shared_ptr<rpc::Channel>& channel) {
        channel->close("no WebSocket is served here");
    };
    impl_->server = std::make_unique<rpc::Server>(reactor, std::move(handlers));
}

DrainService::~DrainService() {
    impl_->server.reset();
    impl_->pending.clear();
}

Status DrainService::listen(const rpc::Endpoint& endpoint) { return impl_->server->listen(endpoint); }

}  // namespace drivebay

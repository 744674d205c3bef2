#include "arbiter/api/api.h"
#include "arbiter/api/respond.h"
#include "arbiter/api/status_report.h"
#include "arbiter/core/refusals.h"

namespace drivebay::arbiter {

void Api::blades(const rpc::Request& request, const Parts& parts, const rpc::Reply& reply) {
    const State& state = arbiter_.state();
    if (parts.size() == 1 && request.method == "GET") {
        nlohmann::ordered_json list = nlohmann::ordered_json::array();
        for (const auto& [name, blade] : state.blades) {
            list.push_back(report_blade(state, blade));
        }
        reply(shown(arbiter_, {{"blades", std::move(list)}}));
        return;
    }
    if (parts.size() == 1 && request.method == "POST") {
        auto body = RequestBody::parse(request.body);
        const std::string name = body ? body->text("name") : std::string();
        if (!body || body->error()) {
            reply(refused({400, body ? body->error()->message : body.error().message}));
            return;
        }
        apply(request.peer, AddBlade{name}, reply, [&state, name](const Actions&) {
            const auto added = state.blades.find(name);
            return added == state.blades.end() ? nlohmann::ordered_json{{"name", name}}
                                               : report_blade(state, added->second);
        });
        return;
    }
    if (parts.size() != 2) {
        reply(no_such_method(request));
        return;
    }
    const std::string& name = parts[1];
    const auto found = state.blades.find(name);
    // As it was when it went, for a DELETE.
    auto before = found == state.blades.end() ? nlohmann::ordered_json() : report_blade(state, found->second);
    const auto kept = enrolment_.refusal_to_forget(name);
    if (request.method == "DELETE" && found != state.blades.end() && kept) {
        reply(refused(*kept));
    } else if (request.method == "DELETE") {
        apply(request.peer, RemoveBlade{name}, reply, [before = std::move(before)](const Actions&) { return before; });
    } else if (found == state.blades.end()) {
        reply(refused(no_such_blade(state, name)));
    } else if (request.method == "GET") {
        reply(shown(arbiter_, std::move(before)));
    } else {
        reply(no_such_method(request));
    }
}

}  // namespace drivebay::arbiter

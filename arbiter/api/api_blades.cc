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
        reply(answered({{"blades", std::move(list)}}));
        return;
    }
    if (parts.size() == 1 && request.method == "POST") {
        auto body = RequestBody::parse(request.body);
        const std::string name = body ? body->text("name") : std::string();
        if (!body || body->error()) {
            reply(refused({400, body ? body->error()->message : body.error().message}));
            return;
        }
        const Actions actions = arbiter_.apply(AddBlade{name});
        reply(actions.refusal ? refused(*actions.refusal) : answered(report_blade(state, state.blades.at(name))));
        return;
    }
    if (parts.size() != 2) {
        reply(no_such_method(request));
        return;
    }
    const std::string& name = parts[1];
    const auto found = state.blades.find(name);
    if (found == state.blades.end()) {
        reply(refused(no_such_blade(state, name)));
        return;
    }
    const auto before = report_blade(state, found->second);
    if (request.method == "GET") {
        reply(answered(before));
    } else if (request.method == "DELETE") {
        const Actions actions = arbiter_.apply(RemoveBlade{name});
        reply(actions.refusal ? refused(*actions.refusal) : answered(before));
    } else {
        reply(no_such_method(request));
    }
}

}  // namespace drivebay::arbiter

#include <cerrno>

#include "arbiter/api/api.h"
#include "arbiter/api/respond.h"
#include "arbiter/api/status_report.h"
#include "arbiter/core/refusals.h"

namespace drivebay::arbiter {

void Api::drives(const rpc::Request& request, const Parts& parts, const rpc::Reply& reply) {
    const State& state = arbiter_.state();
    if (parts.size() == 1) {
        if (request.method == "GET") {
            nlohmann::ordered_json list = nlohmann::ordered_json::array();
            for (const auto& [name, drive] : state.drives) {
                list.push_back(report_drive(state, drive));
            }
            reply(shown(arbiter_, {{"drives", std::move(list)}}));
        } else if (request.method == "POST") {
            auto body = RequestBody::parse(request.body);
            if (!body) {
                reply(refused({400, body.error().message}));
            } else {
                add_drive(request.peer, *body, reply);
            }
        } else {
            reply(no_such_method(request));
        }
        return;
    }
    const std::string& name = parts[1];
    const auto found = state.drives.find(name);
    // As it was when it went, for a DELETE.
    auto before = found == state.drives.end() ? nlohmann::ordered_json() : report_drive(state, found->second);
    if (parts.size() == 2 && request.method == "DELETE") {
        apply(request.peer, RemoveDrive{name}, reply, [before = std::move(before)](const Actions&) { return before; });
    } else if (parts.size() == 3 && parts[2] == "refresh" && request.method == "POST") {
        apply(request.peer, RefreshDrive{name}, reply, [this, name](const Actions&) { return report_known_drive(name); });
    } else if (found == state.drives.end()) {
        reply(refused(no_such_drive(state, name)));
    } else if (parts.size() == 2 && request.method == "GET") {
        reply(shown(arbiter_, std::move(before)));
    } else {
        reply(no_such_method(request));
    }
}

nlohmann::ordered_json Api::report_known_drive(const std::string& name) const {
    const auto found = arbiter_.state().drives.find(name);
    return found == arbiter_.state().drives.end() ? nlohmann::ordered_json{{"name", name}}
                                                  : report_drive(arbiter_.state(), found->second);
}

void Api::add_drive(const rpc::Peer& peer, RequestBody& body, const rpc::Reply& reply) {
    protocol::Probe probe;
    probe.name = body.text("name");
    probe.source = body.text("source");
    probe.kind = body.text_or("kind", "auto");
    probe.read_only = body.flag_or("read_only", false);
    if (body.error()) {
        reply(refused({400, body.error()->message}));
        return;
    }
    if (probe.kind != "auto" && !parse_drive_kind(probe.kind)) {
        reply(refused({400, "the kind of a drive is auto, disk or cdrom"}));
        return;
    }
    if (probe.source.empty() || probe.source.find('\0') != std::string::npos) {
        reply(refused({400, "the source of a drive is a path or a URI, and this one is empty or has a zero byte"}));
        return;
    }
    arbiter_.read([this, peer, probe, reply] {
        if (const auto refusal = check_new_drive(arbiter_.state(), probe.name)) {
            reply(refused(*refusal));
        } else {
            probe_drive(peer, probe, reply);
        }
    });
}

void Api::probe_drive(const rpc::Peer& peer, const protocol::Probe& probe, const rpc::Reply& reply) {
    data_path_.probe(probe, [this, peer, probe, reply](const Result<protocol::Probed>& probed) {
        if (!probed) {
            reply(refused({503, probed.error().message}));
            return;
        }
        if (!probed->ok) {
            reply(refused({409, probed->error}));
            return;
        }
        Drive drive;
        drive.name = probe.name;
        drive.source = probe.source;
        drive.kind = probed->kind;
        drive.read_only = probed->read_only || probe.read_only || probed->kind == DriveKind::cdrom;
        drive.size = probed->size;
        apply(peer, AddDrive{drive}, reply, [this, name = drive.name, notice = probed->notice](const Actions&) {
            auto answer = report_known_drive(name);
            answer["notice"] = notice;
            return answer;
        });
    });
}

}  // namespace drivebay::arbiter

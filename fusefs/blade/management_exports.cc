#include "fusefs/blade/management_exports.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <thread>
#include <utility>

#include "fusefs/blade/blade_view.h"
#include "fusefs/nbd_client/nbd_negotiation.h"

namespace drivebay {

namespace {

std::string reference_text(const DriveReference& name) {
    return name.epoch == 0 ? name.drive : fmt::format("{}@{}", name.drive, name.epoch);
}

std::string export_uri(const rpc::Endpoint& management, const std::string& certificates, const std::string& export_name) {
    const std::string path = uri_escape(export_name);
    const std::string tls = certificates.empty() ? "" : "tls-certificates=" + uri_escape(certificates);
    if (management.is_unix()) {
        return fmt::format("nbd{}+unix:///{}?socket={}{}{}", tls.empty() ? "" : "s", path, uri_escape(management.path),
                           tls.empty() ? "" : "&", tls);
    }
    const bool v6 = management.host.find(':') != std::string::npos;
    return fmt::format("nbd{}://{}{}{}:{}/{}{}{}", tls.empty() ? "" : "s", v6 ? "[" : "", management.host, v6 ? "]" : "",
                       management.port, path, tls.empty() ? "" : "?", tls);
}

// What the caller of a file operation can understand of why the management module was not reached.
Error unreachable(const Error& error) {
    return error.code == ENOENT ? error : Error{EHOSTUNREACH, error.message};
}

Result<ViewInfo> ask(NbdNegotiation& negotiation, const std::string& blade, const DriveReference& name) {
    const Result<NbdExport> found = negotiation.info(fmt::format("{}/{}", blade, reference_text(name)));
    if (!found) {
        return unreachable(found.error());
    }
    return blade_view_info(blade, name.drive, *found);
}

Result<std::vector<ViewInfo>> ask_all(NbdNegotiation& negotiation, const std::string& blade) {
    const Result<std::vector<std::string>> names = negotiation.list();
    if (!names) {
        return unreachable(names.error());
    }
    std::vector<ViewInfo> views;
    const std::string prefix = blade + "/";
    for (const std::string& name : *names) {
        const auto reference =
            name.starts_with(prefix) ? parse_drive_reference(name.substr(prefix.size())) : std::nullopt;
        if (!reference || reference->epoch != 0) {
            continue;
        }
        Result<ViewInfo> view = ask(negotiation, blade, *reference);
        if (view) {
            views.push_back(std::move(*view));
        } else if (view.error().code != ENOENT) {  // ENOENT: it ended between the two questions
            return view.error();
        }
    }
    return views;
}

// Runs `question` over a connection of its own.
template <class Question>
auto with_connection(const std::string& uri, const NbdPatience& patience, Question question)
    -> decltype(question(std::declval<NbdNegotiation&>())) {
    const Instant patient_until = std::min(BootClock::now() + restart_limit, patience.connect_until);
    Result<NbdNegotiation> negotiation = NbdNegotiation::begin(uri, patience);
    while (!negotiation && is_restarting(negotiation.error().code) && BootClock::now() < patient_until &&
           !*patience.cancelled) {
        std::this_thread::sleep_for(std::chrono::milliseconds(25));
        negotiation = NbdNegotiation::begin(uri, patience);
    }
    if (!negotiation) {
        return unreachable(negotiation.error());
    }
    auto answer = question(*negotiation);
    if (answer) {
        negotiation->end();
    }
    return answer;
}

}  // namespace

ManagementExports::ManagementExports(EventLoop& loop, rpc::Endpoint management, std::string certificates,
                                     std::string blade, Duration limit)
    : management_(std::move(management)), certificates_(std::move(certificates)), blade_(std::move(blade)), limit_(limit), workers_(loop, "nbd-directory", 8) {}

ManagementExports::~ManagementExports() {
    *cancelled_ = true;
}

std::string ManagementExports::uri(const DriveReference& name) const {
    return export_uri(management_, certificates_, fmt::format("{}/{}", blade_, reference_text(name)));
}

void ManagementExports::list(std::function<void(Result<std::vector<ViewInfo>>)> callback) {
    const Instant until = BootClock::now() + limit_;
    const NbdPatience patience{until, until, cancelled_};
    workers_.compute(
        [patience, uri = export_uri(management_, certificates_, ""), blade = blade_] {
            return with_connection(uri, patience,
                                   [&](NbdNegotiation& negotiation) { return ask_all(negotiation, blade); });
        },
        std::move(callback));
}

void ManagementExports::look_up(const DriveReference& name, std::function<void(Result<ViewInfo>)> callback) {
    const Instant until = BootClock::now() + limit_;
    const NbdPatience patience{until, until, cancelled_};
    workers_.compute(
        [patience, uri = export_uri(management_, certificates_, ""), blade = blade_, name] {
            return with_connection(uri, patience,
                                   [&](NbdNegotiation& negotiation) { return ask(negotiation, blade, name); });
        },
        std::move(callback));
}

}  // namespace drivebay

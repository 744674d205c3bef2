// What a management module exports to one blade, asked anew each time: nothing is remembered, so nothing is stale. Each
// question is a connection of its own on a worker, with a limit.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "fusefs/engine/view.h"
#include "fusefs/loop/event_loop.h"
#include "fusefs/loop/worker_pool.h"
#include "lib/rpc/endpoint.h"

namespace drivebay {

class ManagementExports {
public:
    // Loop thread, as everything here.
    // `certificates`: as BladeSettings'.
    ManagementExports(EventLoop& loop, rpc::Endpoint management, std::string certificates, std::string blade, Duration limit);
    // Ends what is under way; its callbacks never come.
    ~ManagementExports();

    // The URI of this blade's export of that name.
    std::string uri(const DriveReference& name) const;

    // EHOSTUNREACH: no answer, with the reason in the sentence. Callbacks never come from inside the call.
    void list(std::function<void(Result<std::vector<ViewInfo>>)> callback);
    // ENOENT: the management module has no such export now.
    void look_up(const DriveReference& name, std::function<void(Result<ViewInfo>)> callback);

private:
    const rpc::Endpoint management_;
    const std::string certificates_;
    const std::string blade_;
    const Duration limit_;
    std::shared_ptr<std::atomic<bool>> cancelled_ = std::make_shared<std::atomic<bool>>(false);
    WorkerPool workers_;
};

}  // namespace drivebay

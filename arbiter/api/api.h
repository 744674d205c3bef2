// The operator's HTTP requests (doc/PROTOCOL.md): found by path, one file a topic.
#pragma once

#include <string>
#include <vector>

#include "arbiter/api/long_poll.h"
#include "arbiter/api/request_body.h"
#include "arbiter/arbiter.h"
#include "arbiter/links/data_path_link.h"
#include "lib/rpc/server.h"

namespace drivebay::arbiter {

class Api {
public:
    Api(Arbiter& arbiter, DataPathLink& data_path, LongPoll& long_poll)
        : arbiter_(arbiter), data_path_(data_path), long_poll_(long_poll) {}

    void handle(const rpc::Request& request, const rpc::Reply& reply);

private:
    using Parts = std::vector<std::string>;  // of the path behind /v1

    // api_drives.cc
    void drives(const rpc::Request& request, const Parts& parts, const rpc::Reply& reply);
    void add_drive(RequestBody& body, const rpc::Reply& reply);
    // api_blades.cc
    void blades(const rpc::Request& request, const Parts& parts, const rpc::Reply& reply);
    // api_leases.cc
    void leases(const rpc::Request& request, const Parts& parts, const rpc::Reply& reply);
    void present(RequestBody& body, const rpc::Reply& reply);
    void withdraw(RequestBody& body, const rpc::Reply& reply);
    void answer_leases(const char* key, const Actions& actions, const rpc::Reply& reply);

    Arbiter& arbiter_;
    DataPathLink& data_path_;
    LongPoll& long_poll_;
};

rpc::Response no_such_method(const rpc::Request& request);

// A whole number of a query, `otherwise` where it is absent; nothing where it is no number.
std::optional<std::uint64_t> query_number(const rpc::Request& request, const std::string& key, std::uint64_t otherwise);

// How long a request may wait: wait_ms, at most an hour.
std::optional<Duration> query_wait(const rpc::Request& request);

}  // namespace drivebay::arbiter

// What is behind a Reactor, for lib/rpc alone.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>
#include <functional>

#include "lib/rpc/reactor.h"

namespace drivebay::rpc {

struct Reactor::Impl {
    boost::asio::io_context io{1};
    boost::asio::signal_set stop_signals{io};
    boost::asio::signal_set reload_signals{io};
    std::function<void(int)> on_stop;
    std::function<void()> on_reload;

    void wait_for_reload();
};

}  // namespace drivebay::rpc

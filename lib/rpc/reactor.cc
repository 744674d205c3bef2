#include "lib/rpc/reactor.h"

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <csignal>
#include <utility>

#include "lib/rpc/reactor_impl.h"

namespace drivebay::rpc {

Reactor::Reactor() : impl_(std::make_unique<Impl>()) {}
Reactor::~Reactor() = default;

void Reactor::run() {
    {
        // Without it an idle loop would end; that its end stops the loop is why it ends before restart().
        const auto stay = boost::asio::make_work_guard(impl_->io);
        impl_->io.run();
    }
    impl_->io.restart();
}

void Reactor::stop() { impl_->io.stop(); }

void Reactor::post(std::function<void()> work) { boost::asio::post(impl_->io, std::move(work)); }

void Reactor::on_signals(std::function<void(int signal)> handler, std::function<void()> reload) {
    impl_->on_stop = std::move(handler);
    impl_->on_reload = std::move(reload);
    impl_->stop_signals.add(SIGINT);
    impl_->stop_signals.add(SIGTERM);
    impl_->stop_signals.async_wait([this](const boost::system::error_code& error, int signal) {
        if (!error) {
            impl_->on_stop(signal);
        }
    });
    impl_->reload_signals.add(SIGHUP);
    impl_->wait_for_reload();
}

void Reactor::Impl::wait_for_reload() {
    reload_signals.async_wait([this](const boost::system::error_code& error, int) {
        if (!error) {
            on_reload();
            wait_for_reload();
        }
    });
}

struct Timer::State {
    explicit State(Reactor& reactor) : timer(reactor.impl().io) {}
    boost::asio::steady_timer timer;
    std::uint64_t round = 0;  // what was set before the last set() or cancel() is void
};

Timer::Timer(Reactor& reactor) : state_(std::make_shared<State>(reactor)) {}

Timer::~Timer() { cancel(); }

void Timer::set(Duration delay, std::function<void()> callback) {
    cancel();
    state_->timer.expires_after(std::chrono::duration_cast<std::chrono::steady_clock::duration>(delay));
    state_->timer.async_wait([weak = std::weak_ptr(state_), round = state_->round, callback = std::move(callback)](
                                 const boost::system::error_code& error) {
        const std::shared_ptr<State> state = weak.lock();
        if (!error && state && state->round == round) {
            callback();
        }
    });
}

void Timer::cancel() {
    ++state_->round;
    state_->timer.cancel();
}

}  // namespace drivebay::rpc

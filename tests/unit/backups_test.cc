// Backups of a running arbiter's store as several operators ask for them.
#define BOOST_TEST_DYN_LINK
#include <atomic>
#include <boost/test/unit_test.hpp>
#include <cerrno>
#include <future>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "arbiter/api/backups.h"
#include "lib/base/base64.h"

using namespace drivebay;
using namespace drivebay::arbiter;

namespace {

// Each copy is three pieces of the number of commits that there were when its first bytes came.
struct CountingStore : Store {
    struct Copy : StoreCopy {
        explicit Copy(CountingStore& counted) : store(counted) {}
        ~Copy() override {
            store.torn_away = store.torn_away || stepping;
            --store.under_way;
        }
        Result<Piece> step() override {
            stepping = true;
            store.in_step();
            stepping = false;
            if (store.fails) {
                return Error{EIO, "the disk is gone"};
            }
            if (++steps == 1) {
                return Piece{};
            }
            if (steps == 2) {
                seen = std::string(3, static_cast<char>('0' + store.commits));
            }
            if (steps == 3) {
                store.after_bytes();
            }
            return Piece{steps == 4, seen};
        }
        CountingStore& store;
        int steps = 0;
        std::atomic<bool> stepping = false;
        std::string seen;
    };

    Result<State> load() override { return State{}; }
    Status commit(const State&, const Changes&) override { return success(); }
    Result<std::unique_ptr<StoreCopy>> copy() override {
        BOOST_TEST(under_way++ == 0, "two copies at once");
        return std::unique_ptr<StoreCopy>(std::make_unique<Copy>(*this));
    }
    std::string place() const override { return "/a \"store\""; }

    int commits = 1;
    int under_way = 0;
    bool fails = false;
    std::atomic<bool> torn_away = false;
    std::function<void()> in_step = [] {};
    std::function<void()> after_bytes = [] {};
};

struct Asked {
    void ask() {
        answers.emplace_back();
        backups->take([this, i = answers.size() - 1](const rpc::Response& response) {
            answers[i] = response;
            if (store.fails && i == 1) {
                store.fails = false;
                ask();
            }
            if (++answered == answers.size()) {
                reactor.stop();
            }
        });
    }
    std::string copy(std::size_t i) const {
        const auto json = nlohmann::json::parse(answers[i].body);
        BOOST_TEST(json["place"] == store.place());
        return from_base64(json["base64"].get<std::string>()).value();
    }

    CountingStore store;
    rpc::Reactor reactor;
    std::optional<DiskThread> disk{std::in_place, reactor};
    std::optional<Backups> backups{std::in_place, store, *disk};
    std::vector<rpc::Response> answers;
    std::size_t answered = 0;
};

}  // namespace

BOOST_AUTO_TEST_SUITE(backups)

BOOST_FIXTURE_TEST_CASE(who_asks_late_gets_a_copy_from_before, Asked) {
    ask();
    ask();
    store.after_bytes = [this] {
        if (std::exchange(store.commits, 2) == 1) {
            reactor.post([this] { ask(); });
        }
    };
    reactor.run();
    BOOST_TEST(copy(0) == "111111111");
    BOOST_TEST(copy(1) == "111111111");
    BOOST_TEST(copy(2) == "222222222");
}

BOOST_FIXTURE_TEST_CASE(a_copy_that_fails_is_never_answered, Asked) {
    store.fails = true;
    ask();
    ask();
    reactor.run();
    BOOST_TEST(answers[0].status == 503);
    BOOST_TEST(answers[1].body.find("the disk is gone") != std::string::npos);
    BOOST_TEST(copy(2) == "111111111");
}

BOOST_FIXTURE_TEST_CASE(an_arbiter_that_ends_tears_a_copy_from_the_disks_thread, Asked) {
    std::promise<void> ended;
    store.in_step = [&, first = true]() mutable {
        if (std::exchange(first, false)) {
            reactor.stop();
            ended.get_future().wait();
        }
    };
    ask();
    reactor.run();
    backups.reset();
    BOOST_TEST(store.under_way == 1);
    ended.set_value();
    disk.reset();
    BOOST_TEST(!store.torn_away);
    BOOST_TEST(store.under_way == 0);
}

BOOST_AUTO_TEST_SUITE_END()

#define BOOST_TEST_DYN_LINK
#include <boost/test/unit_test.hpp>
#include <set>

#include "arbiter/api/rights.h"

namespace drivebay::arbiter {
namespace {

rpc::Peer by_tls(const std::string& identity) { return {false, 0, "10.0.0.7:1", true, identity, "01"}; }

rpc::Request request(const std::string& method, const std::string& path, const std::string& body = "") {
    rpc::Request made;
    made.method = method;
    made.path = path;
    made.body = body;
    return made;
}

struct Row {
    rpc::Request request;
    std::set<std::string> may;  // of the peers below
};

}  // namespace

BOOST_AUTO_TEST_SUITE(rights)

// Everybody against everything; who is not named may not.
BOOST_AUTO_TEST_CASE(somebody_may_what_is_not_his) {
    const std::map<std::string, rpc::Peer> peers = {
        {"socket", {true, 0, "unix uid=0", false, "", ""}},
        {"laboratory", {false, 0, "10.0.0.7:1", false, "", ""}},
        {"stranger", by_tls("")},
        {"blade", by_tls("drivebay:blade/blade01")},
        {"view", by_tls("drivebay:operator/ann?role=view")},
        {"operate", by_tls("drivebay:operator/bob?role=operate")},
        {"admin", by_tls("drivebay:operator/eve?role=admin")},
        {"module", by_tls("drivebay:module/mm")},
        {"odd", by_tls("drivebay:operator/eve?role=admin\n")},
    };
    const std::set<std::string> admins = {"socket", "laboratory", "admin"};
    const std::set<std::string> operators = {"socket", "laboratory", "admin", "operate"};
    const std::set<std::string> viewers = {"socket", "laboratory", "admin", "operate", "view"};
    const std::set<std::string> viewers_and_blade = {"socket", "laboratory", "admin", "operate", "view", "blade"};
    std::set<std::string> all = viewers_and_blade;
    all.insert({"stranger", "module", "odd"});
    const std::vector<Row> rows = {
        {request("GET", "/v1/status"), viewers},
        {request("GET", "/v1/events"), viewers},
        {request("GET", "/v1/drives"), viewers},
        {request("GET", "/v1/leases"), viewers_and_blade},
        {request("GET", "/v1/leases/1"), viewers},
        {request("GET", "/v1/blades"), viewers},
        {request("GET", "/v1/blades/blade01"), viewers_and_blade},
        {request("GET", "/v1/blades/blade02"), viewers},
        {request("GET", "/v1/pki"), admins},
        {request("POST", "/v1/presentations", R"({"drive":"d","policy":"take"})"), operators},
        {request("POST", "/v1/presentations", R"({"drive":"d","policy":"force"})"), admins},
        {request("POST", "/v1/withdrawals", R"({"drive":"d"})"), operators},
        {request("POST", "/v1/withdrawals", R"({"drive":"d","force":true})"), admins},
        {request("POST", "/v1/revocations", R"({"lease":1})"), admins},
        {request("DELETE", "/v1/leases/1"), operators},
        {request("POST", "/v1/drives/d/refresh"), operators},
        {request("POST", "/v1/drives"), admins},
        {request("DELETE", "/v1/drives/d"), admins},
        {request("POST", "/v1/blades"), admins},
        {request("POST", "/v1/backup"), admins},
        {request("POST", "/v1/pki"), admins},
        {request("POST", "/v1/enrolments"), admins},
        {request("DELETE", "/v1/enrolments/blade01"), admins},
        {request("POST", "/v1/operators"), admins},
        {request("PUT", "/v1/anything"), admins},
        {request("POST", "/v1/renew"), viewers_and_blade},
        {request("POST", "/v1/enroll"), all},
    };
    for (const Row& row : rows) {
        for (const auto& [name, peer] : peers) {
            const bool allowed = !denial(peer, demand_of(row.request));
            BOOST_TEST(allowed == row.may.contains(name),
                       row.request.method << " " << row.request.path << " " << row.request.body << " by " << name);
        }
    }
}

BOOST_AUTO_TEST_CASE(a_certificate_is_used_for_another_blade) {
    BOOST_TEST(!denial_to_be(by_tls("drivebay:blade/blade01"), "blade01").has_value());
    for (const char* other : {"drivebay:blade/blade02", "drivebay:blade/blade011", "drivebay:blade/blade0", "",
                              "drivebay:operator/blade01?role=admin", "drivebay:module/blade01"}) {
        BOOST_TEST(denial_to_be(by_tls(other), "blade01").has_value(), other);
    }
}

BOOST_AUTO_TEST_CASE(somebody_is_told_of_by_another_name) {
    BOOST_TEST(name_of({true, 0, "unix uid=0", false, "", ""}) == "root");
    BOOST_TEST(name_of({true, 1000, "unix uid=1000", false, "", ""}) == "uid 1000");
    BOOST_TEST(name_of({false, 0, "10.0.0.7:1", false, "", ""}) == "10.0.0.7:1");
    BOOST_TEST(name_of(by_tls("drivebay:operator/ann?role=view")) == "drivebay:operator/ann?role=view");
    BOOST_TEST(denial_to_be(by_tls("drivebay:blade/a"), "b\nc").value().reason == R"(drivebay:blade/a is not blade "b\x0ac")");
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace drivebay::arbiter

// The control side of the data path: keeps the durable table, takes the arbiter's tables into it, and tells the arbiter
// what is. Everything is committed before it is acted upon or told. Reactor thread only, but for the constructor.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "fusefs/control/arbiter_link.h"
#include "fusefs/engine/admission_table.h"
#include "fusefs/engine/served_drives.h"
#include "lib/rpc/endpoint.h"
#include "lib/rpc/reactor.h"

namespace drivebay {

class TableKeeper {
public:
    struct Callbacks {
        // The table as committed: to be brought about.
        std::function<void(TableState)> apply;
        // To be answered by probed().
        std::function<void(protocol::Probe)> probe;
    };
    TableKeeper(rpc::Reactor& reactor, rpc::Endpoint arbiter, AdmissionTable table, std::string boot_id,
                Callbacks callbacks);
    ~TableKeeper();
    TableKeeper(const TableKeeper&) = delete;
    TableKeeper& operator=(const TableKeeper&) = delete;

    // Begins to look for the arbiter.
    void start();

    // From the loop's side.
    void report(ServedReport report);
    void fenced(const protocol::Fenced& fenced);
    // The answer, on the reactor's thread: whether it is durable.
    bool mark_writes(const std::string& drive, std::uint64_t generation, bool set);
    void probed(const protocol::Probed& probed);
    void denied(const protocol::Denied& denied);
    void acquire_local(const std::string& drive, Mode mode, std::function<void(Result<Epoch>)> callback);
    void release_local(const std::string& drive, Epoch epoch, std::function<void()> released);

private:
    using Admitted = std::pair<std::string, Epoch>;

    protocol::DataPathHello hello() const;
    Status take(const protocol::Table& table);
    Result<Epoch> take_local(const Admission& admission);
    Status commit(TableState next);
    void try_again(std::function<void()> attempt);
    void observe();

    rpc::Reactor& reactor_;
    const rpc::Endpoint arbiter_;
    AdmissionTable table_;
    const std::string boot_id_;
    Callbacks callbacks_;
    ServedReport report_;
    // Admissions that are or were open, those of the last run included: the others are not told as admitted yet.
    std::set<Admitted> announced_;
    std::set<std::pair<Admission, std::string>> told_refusals_;
    std::map<Admitted, std::function<void()>> releasing_;
    std::vector<std::function<void()>> attempts_;  // when the table could not be written
    rpc::Timer again_;
    std::uint64_t version_ = 0;
    std::unique_ptr<ArbiterLink> link_;
};

}  // namespace drivebay

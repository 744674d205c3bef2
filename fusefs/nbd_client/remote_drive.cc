#include "fusefs/nbd_client/remote_drive.h"

#include <utility>

#include "fusefs/nbd_client/nbd_drive.h"

namespace drivebay {

void open_remote_drive(EventLoop& loop, RemoteDriveWish wish,
                       std::function<void(Result<std::unique_ptr<Drive>>)> callback) {
    NbdDriveSettings settings;
    settings.uri = std::move(wish.uri);
    settings.read_only = wish.read_only;
    settings.trust_reconnect = wish.trust_reconnect;
    WriteIntent::Mark mark = wish.read_only || wish.trust_reconnect ? nullptr : std::move(wish.mark_writes);
    NbdDrive::open(loop, std::move(settings),
                   [&loop, mark = std::move(mark),
                    callback = std::move(callback)](Result<std::unique_ptr<NbdDrive>> opened) mutable {
                       if (!opened) {
                           return callback(opened.error());
                       }
                       std::unique_ptr<NbdDrive> drive = std::move(*opened);
                       if (!mark) {
                           return callback(std::unique_ptr<Drive>(std::move(drive)));
                       }
                       auto unflushed = [remote = drive.get()] { return remote->unflushed(); };
                       callback(std::unique_ptr<Drive>(std::make_unique<WriteIntent>(
                           loop, std::move(drive), std::move(unflushed), std::move(mark))));
                   });
}

}  // namespace drivebay

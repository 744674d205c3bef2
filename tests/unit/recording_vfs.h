// SQLite's default file access with a record of everything that changes a database, its log or its journal: what a
// power cut can interfere with. While one lives it is the default of new connections. No file is really synced: what a
// sync promises is for tests/unit/lossy_disk.h to keep or to break.
#pragma once

#include <sqlite3.h>

#include <cstring>
#include <map>
#include <string>
#include <vector>

namespace drivebay {

struct DiskOp {
    enum Kind { create, write, truncate, sync, remove } kind;
    std::string suffix;  // of the file's name behind the database's: "", "-wal", "-journal"
    std::size_t at = 0;  // of write; the size of truncate
    std::string bytes = {};
    bool durable = false;  // of remove: the folder was synced too
};

class RecordingVfs {
public:
    // Records what happens to `database` while `ops` is not null.
    RecordingVfs(std::string database, std::vector<DiskOp>* ops) : database_(std::move(database)), ops_(ops) {
        real_ = sqlite3_vfs_find(nullptr);
        vfs_ = *real_;
        vfs_.pNext = nullptr;
        vfs_.zName = "recording";
        vfs_.szOsFile = static_cast<int>(sizeof(File)) + real_->szOsFile;
        vfs_.pAppData = this;
        vfs_.xOpen = open;
        vfs_.xDelete = remove;
        sqlite3_vfs_register(&vfs_, 1);
    }
    ~RecordingVfs() {
        sqlite3_vfs_unregister(&vfs_);
        sqlite3_vfs_register(real_, 1);
    }
    RecordingVfs(const RecordingVfs&) = delete;
    RecordingVfs& operator=(const RecordingVfs&) = delete;

private:
    // The real file follows it in memory.
    struct File {
        sqlite3_file base;
        RecordingVfs* vfs;
        const char* suffix;  // nullptr: of no interest
        sqlite3_file* real() { return reinterpret_cast<sqlite3_file*>(this + 1); }
    };
    static File& file_of(sqlite3_file* file) { return *reinterpret_cast<File*>(file); }
    static sqlite3_file* real(sqlite3_file* file) { return file_of(file).real(); }

    const char* suffix_of(const char* name) const {
        const std::string path = name == nullptr ? "" : name;
        for (const char* const suffix : {"", "-wal", "-journal"}) {
            if (path == database_ + suffix) {
                return suffix;
            }
        }
        return nullptr;
    }

    static void record(sqlite3_file* file, DiskOp op) {
        if (file_of(file).suffix != nullptr && file_of(file).vfs->ops_ != nullptr) {
            op.suffix = file_of(file).suffix;
            file_of(file).vfs->ops_->push_back(std::move(op));
        }
    }

    static int open(sqlite3_vfs* vfs, const char* name, sqlite3_file* file, int flags, int* flags_out) {
        auto& self = *static_cast<RecordingVfs*>(vfs->pAppData);
        File& mine = file_of(file);
        mine.base.pMethods = nullptr;
        mine.vfs = &self;
        mine.suffix = self.suffix_of(name);
        int was_there = 1;
        if (name != nullptr) {
            self.real_->xAccess(self.real_, name, SQLITE_ACCESS_EXISTS, &was_there);
            // xAccess takes an empty file for none.
            was_there = was_there || self.made_.contains(name);
        }
        const int code = self.real_->xOpen(self.real_, name, mine.real(), flags, flags_out);
        if (code == SQLITE_OK) {
            mine.base.pMethods = &methods();
            if (!was_there) {
                self.made_[name] = true;
                record(file, {DiskOp::create, ""});
            }
        }
        return code;
    }

    static int remove(sqlite3_vfs* vfs, const char* name, int sync_folder) {
        auto& self = *static_cast<RecordingVfs*>(vfs->pAppData);
        const int code = self.real_->xDelete(self.real_, name, 0);
        const char* const suffix = self.suffix_of(name);
        self.made_.erase(name);
        if (code == SQLITE_OK && suffix != nullptr && self.ops_ != nullptr) {
            self.ops_->push_back({DiskOp::remove, suffix, 0, "", sync_folder != 0});
        }
        return code;
    }

    static int write(sqlite3_file* file, const void* bytes, int size, sqlite3_int64 at) {
        record(file, {DiskOp::write, "", static_cast<std::size_t>(at),
                      std::string(static_cast<const char*>(bytes), static_cast<std::size_t>(size))});
        return real(file)->pMethods->xWrite(real(file), bytes, size, at);
    }

    static int truncate(sqlite3_file* file, sqlite3_int64 size) {
        record(file, {DiskOp::truncate, "", static_cast<std::size_t>(size)});
        return real(file)->pMethods->xTruncate(real(file), size);
    }

    static int sync(sqlite3_file* file, int) {
        record(file, {DiskOp::sync, ""});
        return SQLITE_OK;
    }

    // Version 1 has no shared memory: the store's connection is exclusive and keeps the log's index to itself.
    static const sqlite3_io_methods& methods() {
        static const sqlite3_io_methods all = {
            1,
            [](sqlite3_file* f) { return real(f)->pMethods->xClose(real(f)); },
            [](sqlite3_file* f, void* to, int n, sqlite3_int64 at) {
                return real(f)->pMethods->xRead(real(f), to, n, at);
            },
            write,
            truncate,
            sync,
            [](sqlite3_file* f, sqlite3_int64* size) { return real(f)->pMethods->xFileSize(real(f), size); },
            [](sqlite3_file* f, int level) { return real(f)->pMethods->xLock(real(f), level); },
            [](sqlite3_file* f, int level) { return real(f)->pMethods->xUnlock(real(f), level); },
            [](sqlite3_file* f, int* out) { return real(f)->pMethods->xCheckReservedLock(real(f), out); },
            [](sqlite3_file* f, int op, void* arg) {
                // Size hints would change the file behind the record's back.
                return op == SQLITE_FCNTL_SIZE_HINT ? SQLITE_OK : real(f)->pMethods->xFileControl(real(f), op, arg);
            },
            [](sqlite3_file* f) { return real(f)->pMethods->xSectorSize(real(f)); },
            [](sqlite3_file* f) { return real(f)->pMethods->xDeviceCharacteristics(real(f)); },
            nullptr,
            nullptr,
            nullptr,
            nullptr,
            nullptr,
            nullptr,
        };
        return all;
    }

    std::string database_;
    std::vector<DiskOp>* ops_;
    std::map<std::string, bool> made_;
    sqlite3_vfs* real_ = nullptr;
    sqlite3_vfs vfs_{};
};

}  // namespace drivebay

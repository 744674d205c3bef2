// What stands in files, to be compared and put elsewhere.
#pragma once

#include <filesystem>
#include <fstream>
#include <map>
#include <string>

namespace drivebay {

inline std::string bytes_of(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
}

inline void write_bytes(const std::string& path, const std::string& bytes) {
    std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
}

// Every file of a folder as it was when this was made; folders in it do not count.
class FolderBytes {
public:
    explicit FolderBytes(std::string folder) : folder_(std::move(folder)), files_(read()) {}

    // What is no longer as it was, empty where all is.
    std::string difference() const {
        const auto now = read();
        std::string names;
        for (const auto& [name, bytes] : files_) {
            if (!now.contains(name)) {
                names += " -" + name;
            } else if (now.at(name) != bytes) {
                names += " " + name;
            }
        }
        for (const auto& [name, bytes] : now) {
            names += files_.contains(name) ? "" : " +" + name;
        }
        return names;
    }

    void write_to(const std::string& folder) const {
        std::filesystem::create_directories(folder);
        for (const auto& [name, bytes] : files_) {
            write_bytes(folder + "/" + name, bytes);
        }
    }

private:
    std::map<std::string, std::string> read() const {
        std::map<std::string, std::string> files;
        for (const auto& entry : std::filesystem::directory_iterator(folder_)) {
            if (entry.is_regular_file()) {
                files[entry.path().filename()] = bytes_of(entry.path());
            }
        }
        return files;
    }

    std::string folder_;
    std::map<std::string, std::string> files_;
};

}  // namespace drivebay

#define BOOST_TEST_DYN_LINK
#include <sys/sysmacros.h>
#include <unistd.h>

#include <boost/test/unit_test.hpp>
#include <filesystem>
#include <fstream>

#include "fusefs/engine/medium_identity.h"
#include "tests/unit/temporary_folder.h"

namespace drivebay {
namespace {

MediumPart disk(unsigned minor_number, std::uint64_t begin = 0, std::uint64_t end = UINT64_MAX, bool backing = false) {
    MediumPart part;
    part.kind = MediumPart::Kind::disk;
    part.device = makedev(8, minor_number);
    part.begin = begin;
    part.end = end;
    part.backing = backing;
    return part;
}

MediumPart file(ino_t inode, unsigned device = 1, std::uint64_t begin = 0, std::uint64_t end = UINT64_MAX) {
    MediumPart part;
    part.begin = begin;
    part.end = end;
    part.device = makedev(0, device);
    part.inode = inode;
    return part;
}

struct Row {
    const char* what;
    MediumIdentity one;
    MediumIdentity other;
    bool overlap;
};

const std::vector<Row> rows = {
    {"one file", {{file(5)}}, {{file(5)}}, true},
    {"two files", {{file(5)}}, {{file(6)}}, false},
    {"the same inode number of another file system", {{file(5, 1)}}, {{file(5, 2)}}, false},
    {"one disk", {{disk(0)}}, {{disk(0)}}, true},
    {"two disks", {{disk(0)}}, {{disk(16)}}, false},
    {"a disk and its partition", {{disk(0)}}, {{disk(0, 2048, 4096)}}, true},
    {"two partitions of a disk", {{disk(0, 2048, 4096)}}, {{disk(0, 4096, 8192)}}, false},
    {"an extended partition and a logical one in it", {{disk(0, 2048, 9000)}}, {{disk(0, 4096, 8192)}}, true},
    {"a volume and the partition that it lies on", {{disk(250), disk(0, 2048, 4096, true)}}, {{disk(0, 2048, 4096)}}, true},
    {"a volume and the disk that it lies on", {{disk(250), disk(0, 2048, 4096, true)}}, {{disk(0)}}, true},
    {"two volumes on one disk", {{disk(250), disk(0, 0, 99, true)}}, {{disk(251), disk(0, 0, 99, true)}}, false},
    {"a loop device and its file", {{disk(7), file(5)}}, {{file(5)}}, true},
    {"two loop devices on one file", {{disk(7), file(5)}}, {{disk(8), file(5)}}, true},
    {"two partitions of a loop device", {{disk(7, 1, 5), file(5, 1, 1, 5)}}, {{disk(7, 5, 9), file(5, 1, 5, 9)}}, false},
    {"a partition of a loop device and its file", {{disk(7, 1, 5), file(5, 1, 1, 5)}}, {{file(5)}}, true},
    {"a file and a disk", {{file(5)}}, {{disk(5)}}, false},
};

std::string normal(const std::string& uri) {
    const Result<std::string> result = normalised_uri(uri);
    return result ? *result : "error: " + result.error().message;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(medium_identity)

BOOST_AUTO_TEST_CASE(one_medium_passes_for_two_or_two_for_one) {
    for (const Row& row : rows) {
        BOOST_TEST_CONTEXT(row.what) {
            BOOST_TEST(overlaps(row.one, row.other) == row.overlap);
            BOOST_TEST(overlaps(row.other, row.one) == row.overlap);
        }
    }
}

BOOST_AUTO_TEST_CASE(another_spelling_of_a_uri_is_another_medium) {
    const std::vector<std::vector<std::string>> same = {
        {"nbd://nas/export", "nbd://NAS:10809/export", "NBD://nas:/export", "nbds://user:secret@nas/export#part",
         "nbd://nas/e%78port", "nbds://nas/export?tls-verify-peer=true"},
        {"nbd://[fe80::1]/x", "nbd://[FE80::1]:10809/x"},
        {"nbd+unix:///x?socket=/run/a.sock", "nbd+unix://ignored/x?socket=%2Frun%2Fa.sock"},
        {"nbd://nas/x?a=1&b=2", "nbd://nas/x?b=2&a=1", "nbd://nas/x?b=2;a=1"},
        {"nbd://nas", "nbd://nas/"},
    };
    for (std::size_t group = 0; group < same.size(); ++group) {
        for (const std::string& uri : same[group]) {
            BOOST_TEST(normal(uri) == normal(same[group].front()), uri);
        }
        for (std::size_t other = 0; other < group; ++other) {
            BOOST_TEST(normal(same[group].front()) != normal(same[other].front()));
        }
    }
    BOOST_TEST(normal("nbd://nas/export") != normal("nbd://nas/Export"));
    BOOST_TEST(normal("nbd://nas:10810/export") != normal("nbd://nas/export"));
}

BOOST_AUTO_TEST_CASE(a_uri_that_nobody_can_open_is_taken) {
    for (const char* uri : {"http://nas/x.iso", "nbd:///x", "nbd://:10809/x", "smb://nas/x"}) {
        BOOST_TEST(!normalised_uri(uri).ok(), uri);
    }
    BOOST_TEST(is_uri("nbd://x"));
    BOOST_TEST(!is_uri("/images/nbd://x"));
    BOOST_TEST(!is_uri("://x"));
}

BOOST_AUTO_TEST_CASE(a_link_to_a_file_is_another_medium) {
    const TemporaryFolder folder;
    const std::string image = folder.path() + "/a (1) é.img";
    std::ofstream(image) << "x";
    std::filesystem::create_hard_link(image, folder.path() + "/hard");
    std::filesystem::create_symlink(image, folder.path() + "/soft");
    std::filesystem::copy_file(image, folder.path() + "/copy");
    const auto identity = identify_medium(image);
    BOOST_REQUIRE(identity.ok());
    for (const auto& [name, same] : {std::pair("/hard", true), std::pair("/soft", true), std::pair("/copy", false)}) {
        const auto other = identify_medium(folder.path() + name);
        BOOST_REQUIRE(other.ok());
        BOOST_TEST(overlaps(*identity, *other) == same, name);
    }
    BOOST_TEST(!identify_medium(folder.path() + "/missing").ok());
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace drivebay

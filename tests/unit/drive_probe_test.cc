#define BOOST_TEST_DYN_LINK
#include <boost/test/unit_test.hpp>

#include "fusefs/engine/drive_probe.h"

namespace drivebay {

BOOST_AUTO_TEST_SUITE(drive_probe)

BOOST_AUTO_TEST_CASE(an_image_is_shown_as_what_it_cannot_be) {
    constexpr std::uint64_t fits = 300 * cdrom_block_size;
    struct Row {
        const char* what;
        std::uint64_t size;
        bool iso9660;
        std::optional<DriveKind> asked;
        bool read_only;
        bool taken;
        DriveKind kind;
        bool shown_read_only;
        bool notice;
    };
    const Row rows[] = {
        {"a disk", 1 << 20, false, {}, false, true, DriveKind::disk, false, false},
        {"a protected disk", 1 << 20, false, {}, true, true, DriveKind::disk, true, false},
        {"an ISO", 1 << 20, true, {}, false, true, DriveKind::cdrom, true, false},
        {"the smallest ISO", fits, true, {}, false, true, DriveKind::cdrom, true, false},
        {"an ISO below the smallest", fits - 2048, true, {}, false, true, DriveKind::disk, true, true},
        {"the largest ISO", largest_cdrom, true, {}, false, true, DriveKind::cdrom, true, false},
        {"an ISO that f_mass_storage would cut", largest_cdrom + 2048, true, {}, false, true, DriveKind::disk, true, true},
        {"an ISO of 3 GiB", std::uint64_t{3} << 30, true, {}, false, true, DriveKind::disk, true, true},
        {"an ISO with half a block", fits + 512, true, {}, false, true, DriveKind::disk, true, true},
        {"an ISO asked for as a disk", 1 << 20, true, DriveKind::disk, false, true, DriveKind::disk, false, false},
        {"anything asked for as a CD-ROM", 1 << 20, false, DriveKind::cdrom, false, true, DriveKind::cdrom, true, false},
        {"too much asked for as a CD-ROM", largest_cdrom + 2048, false, DriveKind::cdrom, false, true, DriveKind::disk, true, true},
        {"too little asked for as a CD-ROM", fits - 2048, false, DriveKind::cdrom, false, false, {}, {}, {}},
        {"an odd size asked for as a CD-ROM", fits + 512, true, DriveKind::cdrom, false, false, {}, {}, {}},
    };
    for (const Row& row : rows) {
        BOOST_TEST_CONTEXT(row.what) {
            const Result<KindVerdict> verdict = judge_kind(row.size, row.iso9660, row.asked, row.read_only);
            BOOST_REQUIRE(verdict.ok() == row.taken);
            if (row.taken) {
                BOOST_TEST((verdict->kind == row.kind));
                BOOST_TEST(verdict->read_only == row.shown_read_only);
                BOOST_TEST(verdict->notice.empty() != row.notice);
            }
        }
    }
}

BOOST_AUTO_TEST_CASE(a_table_that_hosts_misread_is_not_noticed) {
    std::string disk(36864, '\0');
    BOOST_TEST(table_notice(disk).empty());
    disk.replace(4096, 8, "EFI PART");
    BOOST_TEST(table_notice(disk).find("4096") != std::string::npos);
    BOOST_TEST(!table_notice(std::string_view(disk).substr(0, 4104)).empty());
    BOOST_TEST(table_notice(std::string_view(disk).substr(0, 4103)).empty());
    // Hybrid images have both.
    disk.replace(512, 8, "EFI PART");
    BOOST_TEST(table_notice(disk).empty());
    BOOST_TEST(table_notice("").empty());
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace drivebay

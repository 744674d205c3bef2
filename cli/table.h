// Tables for people: aligned columns, colour where it helps and is wanted.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace drivebay::cli {

// Columns that `text` takes on a terminal: wide characters count two, combining ones none, and a byte that is no
// UTF-8 one.
std::size_t display_width(std::string_view text);

// `text` with control characters as \xNN: nothing that is shown can move the cursor or forge a line.
std::string printable(std::string_view text);

// 1048576 → "1 MiB", 2359293952 → "2.2 GiB"; below 1024 "512 B".
// "350 ms", "4.2 s", "3 min", "5 h", "12 d"
std::string human_duration(std::uint64_t milliseconds);
std::string human_size(std::uint64_t bytes);

enum class Colour { none, good, waiting, bad };

// The colour of a state's name as in the status' JSON.
Colour colour_of_state(std::string_view state);

// True where stdout is a terminal that can show colours and NO_COLOR (no-color.org) is not set.
bool colours_wanted();

struct Cell {
    Cell(std::string shown, Colour its_colour = Colour::none) : text(std::move(shown)), colour(its_colour) {}
    Cell(const char* shown) : text(shown) {}
    std::string text;
    Colour colour = Colour::none;
};

class Table {
public:
    explicit Table(std::vector<std::string> heads) : heads_(std::move(heads)) {}

    // Missing cells are empty; there are never more than heads.
    void add(std::vector<Cell> row) { rows_.push_back(std::move(row)); }
    bool empty() const { return rows_.empty(); }

    // Lines with a newline each and no blanks at their ends; an empty cell is a "-".
    std::string format(bool colours) const;

private:
    std::vector<std::string> heads_;
    std::vector<std::vector<Cell>> rows_;
};

}  // namespace drivebay::cli

// What operators set at run time, as a libconfig file:
//
//   drives = ( { name = "install"; source = "/srv/debian.iso"; kind = "cdrom"; read_only = false; } );
//   blades = ( "blade01" );
//   presentations = ( { drive = "install"; blade = "blade01"; access = "read"; slot = 0; } );
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "lib/base/result.h"

namespace drivebay::cli {

// Of the arbiter's status: {"drives":[{"name","source","kind","read_only"}],"blades":["…"],"presentations":[{"drive","blade",
// "access","slot"}]}, in the order in which they have to be entered.
nlohmann::json operators_state(const nlohmann::json& status);

// That, as the text of such a file.
Result<std::string> state_text(const nlohmann::json& state);

// The same from such a file; each key is there and of its kind, or the sentence names file and line. What is left out of a
// drive or a presentation is as without that option of `drive add` and `present`.
Result<nlohmann::json> read_state(const std::string& file);

}  // namespace drivebay::cli

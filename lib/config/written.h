// A value as a libconfig file has it.
#pragma once

#include <string>

#include "lib/config/schema.h"

namespace drivebay::config {

std::string written(const Schema::Value& value);

}  // namespace drivebay::config

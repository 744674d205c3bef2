// libfuse's low-level API at the version that all of this is written for (Debian 12: 3.14).
#pragma once

#define FUSE_USE_VERSION 314
#include <fuse_lowlevel.h>

// Where the log goes. At first to standard error; see lib/base/log.h.
#pragma once

namespace drivebay::log {

// For a program in the background, once it is ready. A standard error that is a terminal, a pipe or a socket belongs to
// whoever started the program, who would wait for its end (`mount … | cat`, ssh): it is given up, and the log goes to
// syslog(3) from now on. A file that it was sent to, and journald, stay. One thread, before others log.
void outlive_starter();

}  // namespace drivebay::log

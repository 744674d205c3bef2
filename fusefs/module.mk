fusefs_SOURCES := \
	fusefs/loop/event_loop.cc \
	fusefs/loop/worker_pool.cc

drivebayfs_MAIN := fusefs/drivebayfs.cc

fusefs_TESTS :=

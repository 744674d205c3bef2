fusefs_SOURCES := \
	fusefs/loop/event_loop.cc \
	fusefs/loop/worker_pool.cc

drivebayfs_MAIN := fusefs/drivebayfs.cc

fusefs_TESTS :=

fusefs_SOURCES += \
	fusefs/blade/blade_catalogue.cc \
	fusefs/blade/blade_view.cc \
	fusefs/blade/management_exports.cc \
	fusefs/fuse_front/fuse_attributes.cc \
	fusefs/fuse_front/fuse_call.cc \
	fusefs/fuse_front/fuse_directory.cc \
	fusefs/fuse_front/fuse_lookup.cc \
	fusefs/fuse_front/fuse_mount.cc \
	fusefs/fuse_front/fuse_open.cc \
	fusefs/fuse_front/fuse_read_write.cc \
	fusefs/fuse_front/fuse_session.cc \
	fusefs/fuse_front/fuse_tree.cc \
	fusefs/fuse_front/fuse_xattr.cc \
	fusefs/nbd_client/nbd_drive.cc \
	fusefs/nbd_client/nbd_negotiation.cc \
	fusefs/nbd_client/nbd_pieces.cc \
	fusefs/nbd_client/nbd_wire.cc \
	fusefs/nbd_client/pause_limit.cc \
	fusefs/nbd_client/unanswered_requests.cc \
	fusefs/settings.cc

fusefs_SOURCES := \
	fusefs/control/arbiter_link.cc \
	fusefs/control/data_path.cc \
	fusefs/control/drain_service.cc \
	fusefs/control/table_keeper.cc \
	fusefs/engine/admission_plan.cc \
	fusefs/engine/admission_table.cc \
	fusefs/engine/admitted_view.cc \
	fusefs/engine/aio_drive.cc \
	fusefs/engine/aio_queue.cc \
	fusefs/engine/aligned_buffer.cc \
	fusefs/engine/blocking_io.cc \
	fusefs/engine/cached_drive.cc \
	fusefs/engine/drive_policies.cc \
	fusefs/engine/drive_probe.cc \
	fusefs/engine/drive_scheduler.cc \
	fusefs/engine/fair_queue.cc \
	fusefs/engine/local_drive.cc \
	fusefs/engine/management_catalogue.cc \
	fusefs/engine/medium_identity.cc \
	fusefs/engine/open_drive.cc \
	fusefs/engine/range_lock.cc \
	fusefs/engine/served_drive.cc \
	fusefs/engine/served_drives.cc \
	fusefs/engine/source_roots.cc \
	fusefs/engine/write_intent.cc \
	fusefs/loop/event_loop.cc \
	fusefs/loop/worker_pool.cc \
	fusefs/nbd_server/instance_barrier.cc \
	fusefs/nbd_server/loop_turns.cc \
	fusefs/nbd_server/memory_budget.cc \
	fusefs/nbd_server/nbd_connection.cc \
	fusefs/nbd_server/nbd_exports.cc \
	fusefs/nbd_server/nbd_handshake.cc \
	fusefs/nbd_server/nbd_listener.cc \
	fusefs/nbd_server/nbd_reply.cc \
	fusefs/nbd_server/nbd_request.cc \
	fusefs/nbd_server/nbd_stream.cc \
	fusefs/nbd_server/nbd_transmission.cc

drivebayfs_MAIN := fusefs/drivebayfs.cc

fusefs_TESTS := \
	tests/unit/admission_plan_test.cc \
	tests/unit/aio_drive_test.cc \
	tests/unit/aligned_buffer_test.cc \
	tests/unit/data_path_test.cc \
	tests/unit/drive_probe_test.cc \
	tests/unit/event_loop_test.cc \
	tests/unit/fair_queue_test.cc \
	tests/unit/gate_test.cc \
	tests/unit/instance_barrier_test.cc \
	tests/unit/medium_identity_test.cc \
	tests/unit/nbd_block_status_test.cc \
	tests/unit/nbd_handshake_test.cc \
	tests/unit/nbd_identity_test.cc \
	tests/unit/nbd_past_holes_test.cc \
	tests/unit/nbd_reply_test.cc \
	tests/unit/nbd_request_test.cc \
	tests/unit/nbd_server_test.cc \
	tests/unit/nbd_turns_test.cc \
	tests/unit/range_lock_test.cc

fusefs_SOURCES += \
	fusefs/blade/blade_catalogue.cc \
	fusefs/blade/blade_view.cc \
	fusefs/blade/read_ahead.cc \
	fusefs/blade/write_behind.cc \
	fusefs/blade/write_coalescing.cc \
	fusefs/blade/management_exports.cc \
	fusefs/fuse_front/fuse_attributes.cc \
	fusefs/fuse_front/fuse_call.cc \
	fusefs/fuse_front/fuse_channel.cc \
	fusefs/fuse_front/fuse_directory.cc \
	fusefs/fuse_front/fuse_lookup.cc \
	fusefs/fuse_front/fuse_open.cc \
	fusefs/fuse_front/fuse_range.cc \
	fusefs/fuse_front/fuse_read_write.cc \
	fusefs/fuse_front/fuse_seek.cc \
	fusefs/fuse_front/fuse_session.cc \
	fusefs/fuse_front/fuse_tree.cc \
	fusefs/fuse_front/fuse_xattr.cc \
	fusefs/fuse_front/restored_view.cc \
	fusefs/keeper/fuse_mount.cc \
	fusefs/keeper/keeper.cc \
	fusefs/keeper/kept_memory.cc \
	fusefs/keeper/kept_epochs.cc \
	fusefs/keeper/kept_requests.cc \
	fusefs/keeper/kept_session.cc \
	fusefs/nbd_client/link_rate.cc \
	fusefs/nbd_client/nbd_connect.cc \
	fusefs/nbd_client/nbd_drive.cc \
	fusefs/nbd_client/nbd_negotiation.cc \
	fusefs/nbd_client/nbd_pieces.cc \
	fusefs/nbd_client/nbd_wire.cc \
	fusefs/nbd_client/pause_limit.cc \
	fusefs/nbd_client/remote_drive.cc \
	fusefs/nbd_client/unanswered_requests.cc \
	fusefs/settings.cc

fusefs_TESTS += \
	tests/unit/blade_view_test.cc \
	tests/unit/fuse_channel_test.cc \
	tests/unit/fuse_front_test.cc \
	tests/unit/fuse_range_test.cc \
	tests/unit/fuse_tree_test.cc \
	tests/unit/kept_requests_test.cc \
	tests/unit/link_rate_test.cc \
	tests/unit/read_ahead_test.cc \
	tests/unit/restored_view_test.cc \
	tests/unit/write_behind_test.cc \
	tests/unit/write_coalescing_test.cc \
	tests/unit/fusefs_settings_test.cc \
	tests/unit/nbd_pieces_test.cc \
	tests/unit/pause_limit_test.cc \
	tests/unit/unanswered_requests_test.cc \
	tests/unit/write_intent_test.cc
fusefs_TESTS += tests/unit/nbd_drive_test.cc

arbiter_SOURCES := \
	arbiter/api/allowances.cc \
	arbiter/api/api.cc \
	arbiter/api/api_backup.cc \
	arbiter/api/api_blades.cc \
	arbiter/api/api_drives.cc \
	arbiter/api/api_leases.cc \
	arbiter/api/enrolment.cc \
	arbiter/api/lease_report.cc \
	arbiter/api/long_poll.cc \
	arbiter/api/request_body.cc \
	arbiter/api/rights.cc \
	arbiter/api/status_report.cc \
	arbiter/arbiter.cc \
	arbiter/core/blade_sessions.cc \
	arbiter/core/data_path_reports.cc \
	arbiter/core/desired_state.cc \
	arbiter/core/inventory.cc \
	arbiter/core/lease_endings.cc \
	arbiter/core/lease_queue.cc \
	arbiter/core/lease_table.cc \
	arbiter/core/local_leases.cc \
	arbiter/core/name_hints.cc \
	arbiter/core/presenting.cc \
	arbiter/core/refusals.cc \
	arbiter/core/slot_choice.cc \
	arbiter/core/step.cc \
	arbiter/disk_thread.cc \
	arbiter/event_log.cc \
	arbiter/links/blade_links.cc \
	arbiter/links/data_path_link.cc \
	arbiter/pki/registry.cc \
	arbiter/service.cc \
	arbiter/settings.cc \
	arbiter/store/schema.cc \
	arbiter/store/sqlite_store.cc \
	arbiter/store/sqlite_store_copy.cc \
	arbiter/store/store_check.cc \
	arbiter/store/stored_rows.cc \
	arbiter/store/stored_state_check.cc

drivebay-arbiterd_MAIN := arbiter/arbiterd.cc

arbiter_TESTS := \
	tests/unit/allowances_test.cc \
	tests/unit/arbiter_commit_test.cc \
	tests/unit/arbiter_service_test.cc \
	tests/unit/backups_test.cc \
	tests/unit/event_log_test.cc \
	tests/unit/lease_endings_test.cc \
	tests/unit/lease_queue_test.cc \
	tests/unit/lease_random_test.cc \
	tests/unit/lease_requests_test.cc \
	tests/unit/lease_sessions_test.cc \
	tests/unit/registry_test.cc \
	tests/unit/rights_test.cc \
	tests/unit/sqlite_store_test.cc \
	tests/unit/store_damage_test.cc \
	tests/unit/store_power_cut_test.cc \
	tests/unit/store_schema_test.cc

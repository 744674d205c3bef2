cli_SOURCES := \
	cli/arbiter.cc \
	cli/arguments.cc \
	cli/command_backup.cc \
	cli/command_blade.cc \
	cli/command_check_config.cc \
	cli/command_drive.cc \
	cli/command_enroll.cc \
	cli/command_events.cc \
	cli/command_leases.cc \
	cli/command_present.cc \
	cli/command_state.cc \
	cli/command_status.cc \
	cli/command_withdraw.cc \
	cli/daemon_check.cc \
	cli/invocation.cc \
	cli/lease_wait.cc \
	cli/report.cc \
	cli/state_file.cc \
	cli/table.cc

drivebay_MAIN := cli/drivebay.cc

cli_TESTS := \
	tests/unit/cli_arguments_test.cc \
	tests/unit/cli_daemon_check_test.cc \
	tests/unit/cli_lease_wait_test.cc \
	tests/unit/cli_state_file_test.cc \
	tests/unit/cli_table_test.cc

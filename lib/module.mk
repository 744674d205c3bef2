lib_SOURCES := \
	lib/base/base64.cc \
	lib/base/clock.cc \
	lib/base/denials.cc \
	lib/base/durable_file.cc \
	lib/base/fd.cc \
	lib/base/json_text.cc \
	lib/base/log.cc \
	lib/base/names.cc \
	lib/base/result.cc \
	lib/base/shortened.cc \
	lib/base/strangers.cc \
	lib/config/dump.cc \
	lib/config/load.cc \
	lib/config/presentation_rule.cc \
	lib/config/reload.cc \
	lib/config/schema.cc \
	lib/program/daemon.cc \
	lib/program/readiness.cc \
	lib/program/systemd.cc \
	lib/protocol/messages.cc \
	lib/protocol/types.cc \
	lib/rpc/channel_stream.cc \
	lib/rpc/client_call.cc \
	lib/rpc/endpoint.cc \
	lib/rpc/http_connection.cc \
	lib/rpc/identity_renewal.cc \
	lib/rpc/link.cc \
	lib/rpc/reactor.cc \
	lib/rpc/server.cc \
	lib/store/online_copy.cc \
	lib/store/sqlite.cc \
	lib/tls/authority.cc \
	lib/tls/certificates.cc \
	lib/tls/context.cc \
	lib/tls/folder.cc \
	lib/tls/identity.cc \
	lib/tls/token.cc

lib_TESTS := \
	tests/unit/base64_test.cc \
	tests/unit/config_test.cc \
	tests/unit/denials_test.cc \
	tests/unit/json_text_test.cc \
	tests/unit/messages_test.cc \
	tests/unit/names_test.cc \
	tests/unit/rpc_test.cc \
	tests/unit/rpc_tls_test.cc \
	tests/unit/sqlite_test.cc \
	tests/unit/strangers_test.cc \
	tests/unit/systemd_test.cc \
	tests/unit/tls_test.cc

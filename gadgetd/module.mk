gadgetd_SOURCES := \
	gadgetd/arbiter_session.cc \
	gadgetd/attribute.cc \
	gadgetd/controllers.cc \
	gadgetd/drain_client.cc \
	gadgetd/enrolment.cc \
	gadgetd/gadget_hands.cc \
	gadgetd/gadget_keeper.cc \
	gadgetd/gadget_layout.cc \
	gadgetd/gadget_planner.cc \
	gadgetd/gadget_preview.cc \
	gadgetd/gadget_report.cc \
	gadgetd/gadget_tree.cc \
	gadgetd/host_watch.cc \
	gadgetd/lun.cc \
	gadgetd/planner_events.cc \
	gadgetd/settings.cc \
	gadgetd/slot_journal.cc \
	gadgetd/slot_worker.cc

drivebay-gadgetd_MAIN := gadgetd/gadgetd.cc

gadgetd_TESTS := \
	tests/unit/arbiter_session_test.cc \
	tests/unit/drain_client_test.cc \
	tests/unit/gadget_planner_test.cc \
	tests/unit/gadget_preview_test.cc \
	tests/unit/gadget_tree_test.cc \
	tests/unit/gadgetd_settings_test.cc \
	tests/unit/host_watch_test.cc \
	tests/unit/lun_test.cc \
	tests/unit/slot_journal_test.cc \
	tests/unit/slot_worker_test.cc

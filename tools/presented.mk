# The node's end of GRANT and HELD, without a ledger, a channel or roles.
WRAP_test_presented = -Wl,--wrap=ledger_promise -Wl,--wrap=ledger_adopt -Wl,--wrap=control_server_reply \
	-Wl,--wrap=relay_payer_changed -Wl,--wrap=clock_ms

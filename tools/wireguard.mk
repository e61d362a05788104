# The embeddable WireGuard library (LGPL-2.1+) is compiled from where its package puts it.
$(B)/tunnel.a: $(B)/tunnel/wireguard.o
$(B)/tunnel/wireguard.o: $(WG_EMBED)/wireguard.c
	@mkdir -p $(@D)
	@echo "  CC    $<"
	@$(CC) -std=gnu17 $(OPT) $(HARDEN) -ffile-prefix-map=$(WG_EMBED)=tunnel -c -o $@ $<

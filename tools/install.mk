# make install [PREFIX=/usr/local] [DESTDIR=]: programs, man pages, units, the service's user.
SYSTEMD_DIR  ?= $(if $(filter /usr/local,$(PREFIX)),/etc/systemd/system,/usr/lib/systemd/system)
SYSUSERS_DIR ?= /usr/lib/sysusers.d

install: all
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(SYSTEMD_DIR) $(DESTDIR)$(SYSUSERS_DIR) $(DESTDIR)/etc/culvert
	install -m 0755 $(BINS) $(DESTDIR)$(PREFIX)/bin
	for unit in systemd/*.service systemd/*.timer; do \
		sed 's|/usr/local/bin|$(PREFIX)/bin|g' $$unit >$(B)/$$(basename $$unit) && \
		install -m 0644 $(B)/$$(basename $$unit) $(DESTDIR)$(SYSTEMD_DIR); done
	install -m 0644 systemd/culvert.sysusers $(DESTDIR)$(SYSUSERS_DIR)/culvert.conf
	for page in docs/man/*.[158]; do \
		install -D -m 0644 $$page $(DESTDIR)$(PREFIX)/share/man/man$${page##*.}/$$(basename $$page); done

# tests/unit/epochs_world.h: the moments between which a batch is made, and disks that fail.
WRAP_test_epochs = -Wl,--wrap=clock_ms,--wrap=fsync,--wrap=fdatasync,--wrap=rename,--wrap=pwrite \
                   -Wl,--wrap=fstatvfs,--wrap=db_commit,--wrap=db_step
WRAP_test_epochs_crash = $(WRAP_test_epochs)
WRAP_test_retention = $(WRAP_test_epochs)

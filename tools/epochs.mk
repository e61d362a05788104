# test_epochs: the moments between which a batch is made, and disks that fail.
WRAP_test_epochs = -Wl,--wrap=clock_ms,--wrap=fsync,--wrap=fdatasync,--wrap=rename,--wrap=pwrite \
                   -Wl,--wrap=fstatvfs,--wrap=db_commit

/*
 * What fault.so, preloaded into a program, and the test that runs it have in common: a page both
 * map, and the trace that the one writes and the other reads. Named by the environment:
 * CULVERT_FAULT (the page's file), CULVERT_FAULT_DIR (only files below it are looked at).
 */
#ifndef TESTS_FAULT_FAULT_H
#define TESTS_FAULT_FAULT_H

#include <stdatomic.h>
#include <stdint.h>
#include <sys/types.h>

enum fault_class {
	FAULT_MALLOC,   /* malloc, calloc, realloc */
	FAULT_WRITE,    /* write, pwrite */
	FAULT_FSYNC,    /* fsync, fdatasync */
	FAULT_TRUNCATE, /* ftruncate */
	FAULT_OPEN,
	FAULT_READ, /* read, pread */
	FAULT_NAME, /* rename, unlink */
	FAULT_STEP, /* sqlite3_step */
	FAULT_MMAP,
	FAULT_CLASSES,
};

struct fault_page {
	_Atomic uint32_t classes; /* bits of those that count */
	_Atomic int32_t error;    /* errno to fail with; for sqlite3_step its result */
	_Atomic uint32_t sticky;  /* fail all from there on, not that one alone */
	_Atomic uint64_t at;      /* which call fails, from 1; 0: none */
	_Atomic uint64_t kill_at; /* which call is the process's last; 0: none */
	_Atomic uint64_t count;   /* calls so far */
	_Atomic uint64_t failed;  /* of them, failed */
	_Atomic uint64_t files;   /* of those failed, on a database or its WAL */
	_Atomic int32_t exempt;   /* a process that is left alone: the test itself */
	_Atomic uint32_t no_sync; /* fsync does nothing and says that it did */
	char trace[512];          /* file that every operation is appended to; empty: none */
};

/* From now on this page for this process and its children, a mapping they share. Found by dlsym:
 * the library is preloaded, not linked. */
void fault_use(struct fault_page *other);

enum trace_kind {
	TRACE_OPEN = 1, /* data: path; offset: 1 if this call made the file */
	TRACE_WRITE,
	TRACE_TRUNCATE, /* to offset */
	TRACE_SYNC,     /* a file, or a directory: its file number */
	TRACE_RENAME,   /* data: old and new path, each with its 0 */
	TRACE_UNLINK,   /* data: path */
	TRACE_RECV,     /* what the process was asked, */
	TRACE_SEND,     /* and what it answered */
};

/* One of these, then length bytes of data. */
struct trace_record {
	uint32_t kind, length;
	uint64_t file; /* inode number */
	uint64_t offset;
};

#endif

#include "base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *log_name = "culvert";
static enum log_level log_max = LOG_LEVEL_INFO;
static bool log_journal;

void log_init(const char *name, enum log_level level)
{
	log_name = name;
	log_max = level;
	log_journal = getenv("JOURNAL_STREAM") != NULL;
}

void log_set_level(enum log_level level)
{
	log_max = level;
}

/* syslog(3) priorities, as journald reads them from the start of a line. */
static const char *const journal_prefix[] = {"<3>", "<4>", "<6>", "<7>"};

static void PRINTF(3, 0) log_line(enum log_level level, int err, const char *fmt, va_list args)
{
	char line[600];
	int n, room = (int)sizeof(line) - 1;
	ssize_t written;

	if (level > log_max)
		return;
	n = snprintf(line, (size_t)room, "%s%s: ", log_journal ? journal_prefix[level] : "",
		     log_name);
	n += vsnprintf(line + n, (size_t)(room - n), fmt, args);
	if (n < room && err)
		n += snprintf(line + n, (size_t)(room - n), ": %s", strerror(err));
	if (n >= room)
		n = room - 1;
	line[n++] = '\n';
	written = write(STDERR_FILENO, line, (size_t)n);
	(void)written; /* there is nowhere left to say it */
}

#define LOG_BODY(level, err)                     \
	do {                                     \
		va_list args;                    \
		va_start(args, fmt);             \
		log_line(level, err, fmt, args); \
		va_end(args);                    \
	} while (0)

void log_warn(const char *fmt, ...)
{
	LOG_BODY(LOG_LEVEL_WARN, errno);
}

void log_warnx(const char *fmt, ...)
{
	LOG_BODY(LOG_LEVEL_WARN, 0);
}

void log_info(const char *fmt, ...)
{
	LOG_BODY(LOG_LEVEL_INFO, 0);
}

void log_debug(const char *fmt, ...)
{
	LOG_BODY(LOG_LEVEL_DEBUG, 0);
}

void fatal(const char *fmt, ...)
{
	LOG_BODY(LOG_LEVEL_ERROR, errno);
	exit(1);
}

void fatalx(const char *fmt, ...)
{
	LOG_BODY(LOG_LEVEL_ERROR, 0);
	exit(1);
}

void *xcalloc(size_t count, size_t size)
{
	void *p = calloc(count ? count : 1, size ? size : 1);

	if (!p)
		fatalx("out of memory (%zu x %zu bytes)", count, size);
	return p;
}

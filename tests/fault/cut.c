#include "base/base.h"

#include "tests/fault/cut.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"

enum {
	FILES = 4096, /* made in one trace */
	NAMES = 1024,
	SECTOR = 512,
	SHM = 32768,
	NONE = -1,
};

/* How much of what was not synced is there. */
enum keep {
	KEEP_NONE,
	KEEP_ALL,     /* as after kill -9 */
	KEEP_FIRST,   /* the last of it torn */
	KEEP_SOME,    /* any sectors */
	KEEP_LENGTHS, /* any sectors, and all lengths: what was to be filled in is anything */
	KEEPS,
};

struct bytes {
	uint8_t *at;
	size_t len, room;
};

struct file {
	uint64_t number; /* inode; 0: it belongs to a later file */
	struct bytes synced;
	size_t *pending; /* records */
	size_t count, room;
};

struct name {
	char path[SCENARIO_PATH];
	int synced, now; /* file, or NONE */
};

/* A change of names that no fsync of the directory has followed yet. */
struct change {
	int from, to; /* names; from NONE: file `file` gets the name; to NONE: it goes */
	int file;
};

struct cut {
	uint8_t *trace;
	size_t count, *record; /* offsets */
	char dir[SCENARIO_PATH], before[SCENARIO_PATH];
	struct file file[FILES];
	struct name name[NAMES];
	struct change change[NAMES];
	int files, names, changes;
	uint64_t random;
};

/* ---- the trace ---- */

const struct trace_record *cut_record(const struct cut *c, size_t i, const void **data)
{
	const struct trace_record *r = (const void *)(c->trace + c->record[i]);

	if (data)
		*data = r + 1;
	return r;
}

size_t cut_count(const struct cut *c)
{
	return c->count;
}

static void read_file(const char *path, struct bytes *out)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		fatal("%s", path);
	out->len = out->room = (size_t)st.st_size;
	out->at = xcalloc(1, out->room + 1);
	if (read(fd, out->at, out->len) != (ssize_t)out->len)
		fatal("%s", path);
	close(fd);
}

/* Records are kept at aligned offsets of their own. */
struct cut *cut_load(const char *trace, const char *dir, const char *before)
{
	struct cut *c = xcalloc(1, sizeof(*c));
	struct bytes raw;
	size_t n = 0, at = 0, to = 0;

	read_file(trace, &raw);
	snprintf(c->dir, sizeof(c->dir), "%s", dir);
	snprintf(c->before, sizeof(c->before), "%s", before);
	for (at = 0; at < raw.len; n++) {
		struct trace_record r;

		memcpy(&r, raw.at + at, sizeof(r));
		at += sizeof(r) + r.length;
	}
	c->trace = xcalloc(1, raw.len + n * 8);
	c->record = xcalloc(n, sizeof(*c->record));
	for (at = 0; c->count < n; c->count++) {
		struct trace_record r;

		memcpy(&r, raw.at + at, sizeof(r));
		memcpy(c->trace + to, raw.at + at, sizeof(r) + r.length);
		c->record[c->count] = to;
		at += sizeof(r) + r.length;
		to = (to + sizeof(r) + r.length + 7) & ~(size_t)7;
	}
	free(raw.at);
	return c;
}

/* ---- files and names ---- */

static uint64_t random_next(struct cut *c)
{
	uint64_t z = c->random += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

static void reset(struct cut *c)
{
	for (int i = 0; i < c->files; i++) {
		free(c->file[i].synced.at);
		free(c->file[i].pending);
	}
	memset(c->file, 0, (size_t)c->files * sizeof(c->file[0]));
	c->files = c->names = c->changes = 0;
}

void cut_free(struct cut *c)
{
	reset(c);
	free(c->trace);
	free(c->record);
	free(c);
}

static int name_of(struct cut *c, const char *path)
{
	int i = 0;

	while (i < c->names && strcmp(c->name[i].path, path) != 0)
		i++;
	if (i == c->names) {
		if (c->names++ == NAMES)
			fatalx("too many names in a trace");
		snprintf(c->name[i].path, sizeof(c->name[i].path), "%s", path);
		c->name[i].synced = c->name[i].now = NONE;
	}
	return i;
}

static int file_new(struct cut *c, uint64_t number)
{
	if (c->files == FILES)
		fatalx("too many files in a trace");
	for (int i = 0; i < c->files; i++)
		if (c->file[i].number == number)
			c->file[i].number = 0;
	c->file[c->files].number = number;
	return c->files++;
}

static struct file *file_of(struct cut *c, uint64_t number)
{
	for (int i = c->files - 1; i >= 0; i--)
		if (c->file[i].number == number)
			return &c->file[i];
	return NULL;
}

static void change(struct cut *c, int from, int to, int file)
{
	if (c->changes == NAMES)
		fatalx("too many names in a trace");
	c->change[c->changes++] = (struct change){from, to, file};
}

static void load_before(struct cut *c, const char *sub)
{
	char place[SCENARIO_PATH], path[SCENARIO_PATH + 256];
	struct dirent *e;
	DIR *d;

	snprintf(place, sizeof(place), "%s%s", c->before, sub);
	d = opendir(place);
	while (d && (e = readdir(d))) {
		struct stat st;
		int file, name;

		snprintf(path, sizeof(path), "%s/%s", place, e->d_name);
		if (lstat(path, &st) < 0 || !S_ISREG(st.st_mode))
			continue;
		file = file_new(c, UINT64_MAX - (uint64_t)c->files);
		read_file(path, &c->file[file].synced);
		snprintf(path, sizeof(path), "%s%s/%s", c->dir, sub, e->d_name);
		name = name_of(c, path);
		c->name[name].synced = c->name[name].now = file;
	}
	if (d)
		closedir(d);
}

/* ---- what an operation does to a file's bytes ---- */

static void bytes_resize(struct bytes *b, size_t len)
{
	if (len > b->room) {
		size_t room = len * 2;
		uint8_t *more = xcalloc(1, room);

		if (b->len)
			memcpy(more, b->at, b->len);
		free(b->at);
		b->at = more;
		b->room = room;
	}
	if (len > b->len)
		memset(b->at + b->len, 0, len - b->len);
	b->len = len;
}

static void bytes_put(struct bytes *b, uint64_t offset, const void *data, size_t len)
{
	if (offset + len > b->len)
		bytes_resize(b, offset + len);
	memcpy(b->at + offset, data, len);
}

static void apply(struct bytes *b, const struct trace_record *r)
{
	if (r->kind == TRACE_TRUNCATE)
		bytes_resize(b, r->offset);
	else
		bytes_put(b, r->offset, r + 1, r->length);
}

/* Sector by sector of the file, each there or not. */
static void apply_some(struct cut *c, struct bytes *b, const struct trace_record *r, unsigned of8)
{
	const uint8_t *data = (const void *)(r + 1);

	if (r->kind == TRACE_TRUNCATE) {
		if (random_next(c) % 8 < of8)
			bytes_resize(b, r->offset);
		return;
	}
	for (size_t at = 0; at < r->length;) {
		size_t end = ((r->offset + at) / SECTOR + 1) * SECTOR - r->offset;
		size_t n = end < r->length ? end - at : r->length - at;

		if (random_next(c) % 8 < of8)
			bytes_put(b, r->offset + at, data + at, n);
		at += n;
	}
}

/* Lengths are there before what they are for: whatever was on those sectors earlier. */
static void apply_lengths(struct cut *c, struct bytes *b, const struct file *f)
{
	for (size_t i = 0; i < f->count; i++) {
		const struct trace_record *r = cut_record(c, f->pending[i], NULL);
		size_t old = b->len, len = r->offset + r->length;

		if (r->kind == TRACE_TRUNCATE || len <= old)
			continue;
		bytes_resize(b, len);
		for (size_t at = old; at < len; at++)
			b->at[at] = (uint8_t)random_next(c);
	}
}

static void tear(struct cut *c, const struct file *f, struct bytes *b)
{
	enum keep keep = (enum keep)(random_next(c) % KEEPS);
	unsigned of8 = (unsigned[]){1, 4, 7}[random_next(c) % 3];
	size_t first = f->count ? random_next(c) % f->count : 0;

	if (keep == KEEP_LENGTHS)
		apply_lengths(c, b, f);
	for (size_t i = 0; i < f->count; i++) {
		const struct trace_record *r = cut_record(c, f->pending[i], NULL);

		if (keep == KEEP_ALL || (keep == KEEP_FIRST && i < first))
			apply(b, r);
		else if (keep == KEEP_SOME || keep == KEEP_LENGTHS)
			apply_some(c, b, r, of8);
		else if (keep == KEEP_FIRST && i == first)
			apply_some(c, b, r, 4);
	}
}

/* ---- playing a trace ---- */

static void sync_file(struct cut *c, struct file *f)
{
	for (size_t i = 0; i < f->count; i++)
		apply(&f->synced, cut_record(c, f->pending[i], NULL));
	f->count = 0;
}

static void apply_change(struct cut *c, const struct change *x)
{
	int file = x->file;

	if (x->from != NONE) {
		file = c->name[x->from].synced;
		if (file == NONE)
			return; /* that name never came to be */
		c->name[x->from].synced = NONE;
	}
	if (x->to != NONE)
		c->name[x->to].synced = file;
}

static bool is_in(const struct cut *c, const struct change *x, const char *dir)
{
	const char *path = c->name[x->to != NONE ? x->to : x->from].path;
	size_t n = strlen(dir);

	return strncmp(path, dir, n) == 0 && path[n] == '/' && !strchr(path + n + 1, '/');
}

static void sync_directory(struct cut *c, const char *dir)
{
	int kept = 0;

	for (int i = 0; i < c->changes; i++) {
		if (is_in(c, &c->change[i], dir))
			apply_change(c, &c->change[i]);
		else
			c->change[kept++] = c->change[i];
	}
	c->changes = kept;
}

/* Directories are remembered as names that start with '/' and have no file. */
static void play_open(struct cut *c, const struct trace_record *r, const char *path)
{
	int name = name_of(c, path);

	if (r->offset) {
		int file = file_new(c, r->file);

		c->name[name].now = file;
		change(c, NONE, name, file);
	} else if (c->name[name].now != NONE) {
		c->file[c->name[name].now].number = r->file;
	}
}

static void play_sync(struct cut *c, size_t i, const struct trace_record *r)
{
	struct file *f = file_of(c, r->file);

	if (f) {
		sync_file(c, f);
		return;
	}
	/* A directory: it was opened just before. */
	while (i-- > 0) {
		const void *path;
		const struct trace_record *o = cut_record(c, i, &path);

		if (o->kind == TRACE_OPEN && o->file == r->file) {
			sync_directory(c, path);
			return;
		}
	}
}

static void play_change(struct cut *c, const char *old, const char *new)
{
	int from = name_of(c, old), to = new ? name_of(c, new) : NONE;

	if (new)
		c->name[to].now = c->name[from].now;
	c->name[from].now = NONE;
	change(c, from, to, NONE);
}

static void play_data(struct cut *c, size_t i, const struct trace_record *r)
{
	struct file *f = file_of(c, r->file);

	if (!f)
		return;
	if (f->count == f->room) {
		size_t *more = xcalloc(f->room * 2 + 64, sizeof(*more));

		if (f->count)
			memcpy(more, f->pending, f->count * sizeof(*more));
		free(f->pending);
		f->pending = more;
		f->room = f->room * 2 + 64;
	}
	f->pending[f->count++] = i;
}

static void play(struct cut *c, size_t count)
{
	reset(c);
	load_before(c, "");
	load_before(c, "/settlement");
	for (size_t i = 0; i < count; i++) {
		const void *data;
		const struct trace_record *r = cut_record(c, i, &data);
		const char *path = data;

		if (r->kind == TRACE_OPEN)
			play_open(c, r, path);
		else if (r->kind == TRACE_SYNC)
			play_sync(c, i, r);
		else if (r->kind == TRACE_RENAME)
			play_change(c, path, path + strlen(path) + 1);
		else if (r->kind == TRACE_UNLINK)
			play_change(c, path, NULL);
		else if (r->kind == TRACE_WRITE || r->kind == TRACE_TRUNCATE)
			play_data(c, i, r);
	}
}

/* ---- the disk afterwards ---- */

static void tear_names(struct cut *c)
{
	unsigned of8 = (unsigned[]){0, 4, 8}[random_next(c) % 3];
	int until = c->changes ? (int)(random_next(c) % (uint64_t)(c->changes + 1)) : 0;
	bool in_order = random_next(c) % 2;

	for (int i = 0; i < c->changes; i++)
		if (in_order ? i < until : random_next(c) % 8 < of8)
			apply_change(c, &c->change[i]);
}

static bool ends_in(const char *path, const char *end)
{
	size_t n = strlen(path), m = strlen(end);

	return n >= m && strcmp(path + n - m, end) == 0;
}

static void write_out(const char *path, const struct bytes *b)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	if (fd < 0 || write(fd, b->at, b->len) != (ssize_t)b->len)
		fatal("%s", path);
	close(fd);
}

static void write_name(struct cut *c, const struct name *n, const char *to)
{
	const struct file *f = &c->file[n->synced];
	struct bytes b = {0};
	char path[2 * SCENARIO_PATH];

	snprintf(path, sizeof(path), "%s%s", to, n->path + strlen(c->dir));
	if (ends_in(path, "-shm")) {
		/* Written through a mapping, synced by nobody: anything. */
		bytes_resize(&b, SHM);
		for (size_t i = 0; i + 8 <= SHM; i += 8)
			memcpy(b.at + i, &(uint64_t){random_next(c)}, 8);
	} else {
		if (f->synced.len)
			bytes_put(&b, 0, f->synced.at, f->synced.len);
		tear(c, f, &b);
	}
	write_out(path, &b);
	free(b.at);
}

void cut_make(struct cut *c, size_t count, uint64_t seed, const char *to)
{
	char sub[SCENARIO_PATH + 16];

	play(c, count);
	c->random = seed;
	tear_names(c);
	snprintf(sub, sizeof(sub), "%s/settlement", to);
	if (mkdir(to, 0700) < 0 || mkdir(sub, 0700) < 0)
		fatal("%s", to);
	for (int i = 0; i < c->names; i++)
		if (c->name[i].synced != NONE)
			write_name(c, &c->name[i], to);
}

bool cut_touches(const struct cut *c, size_t i, const char *name)
{
	const struct trace_record *r = cut_record(c, i, NULL), *o;

	if (r->kind != TRACE_WRITE && r->kind != TRACE_TRUNCATE)
		return false;
	while (i-- > 0) {
		const void *path;

		o = cut_record(c, i, &path);
		if (o->kind == TRACE_OPEN && o->file == r->file)
			return ends_in(path, name);
	}
	return false;
}

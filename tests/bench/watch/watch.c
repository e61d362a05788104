/* The functions that gcc's -fsanitize=thread calls, and wrapped calls of libc and libevent; this
 * file itself is compiled without. */
#include "tests/bench/watch/watch.h"

#include <event2/event.h>
#include <inttypes.h>
#include <malloc.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/log.h"

enum {
	LINE = 64,
	LINES = 1 << 17,
	BLOCKS = 1 << 16,
	DEPTH = 64,
	NO_LOOP = UINT8_MAX,
};

struct line {
	_Atomic uintptr_t number; /* address / LINE; 0: free */
	atomic_flag busy;
	bool dirty;      /* written since the beginning: by owner */
	uint8_t owner;   /* the last to write */
	uint8_t holders; /* who has it as it is now */
	uint32_t transfers, between_workers;
	uint64_t wrote[WATCH_THREADS], touched[WATCH_THREADS]; /* which of its bytes */
	uintptr_t wrote_at[WATCH_THREADS];                     /* the last place that did */
	uintptr_t took_at[WATCH_THREADS];                      /* took part in a transfer there */
};

struct block {
	uintptr_t start;
	size_t size;
	uintptr_t made_at, called_from;
	uint8_t loop; /* whose loop's, or NO_LOOP */
	bool gone;
};

/* What ld's --wrap and the compiler call has names of their choosing. */
#pragma GCC diagnostic ignored "-Wmissing-prototypes"

extern const char __executable_start[];

static struct line lines[LINES];
static struct block blocks[BLOCKS];
static unsigned block_count;
static pthread_mutex_t blocks_lock = PTHREAD_MUTEX_INITIALIZER;
static atomic_bool watching, planted;
static _Atomic uint64_t planted_counter, wakes;
static _Atomic uint8_t threads = 1;
static _Thread_local uint8_t self;
static _Thread_local uintptr_t stack[DEPTH];
static _Thread_local unsigned depth;
static _Thread_local uint8_t loop = NO_LOOP; /* whose blocks are being made */
static struct event_base *loops[WATCH_THREADS];
static uint8_t loop_count = 1;

/* ---- lines --------------------------------------------------------------------------------------
 */

static struct line *line_of(uintptr_t number)
{
	size_t at = (size_t)(number * UINT64_C(0x9e3779b97f4a7c15) >> 40) % LINES;

	for (size_t tries = 0; tries < LINES; tries++, at = (at + 1) % LINES) {
		uintptr_t there = atomic_load_explicit(&lines[at].number, memory_order_acquire);

		if (!there && atomic_compare_exchange_strong(&lines[at].number, &there, number))
			return &lines[at];
		if (there == number)
			return &lines[at];
	}
	fatalx("more lines than there is room for");
}

static void transfer(struct line *l, uint8_t others, uintptr_t at)
{
	l->transfers++;
	l->between_workers += self != 0 && (others & ~1U) != 0;
	l->took_at[self] = at;
	for (unsigned i = 0; i < WATCH_THREADS; i++)
		if (others & 1U << i && l->wrote_at[i])
			l->took_at[i] = l->wrote_at[i];
}

static void touch(uintptr_t number, uint64_t bytes, bool write, uintptr_t at)
{
	const uint8_t me = (uint8_t)(1U << self);
	struct line *l = line_of(number);

	while (atomic_flag_test_and_set_explicit(&l->busy, memory_order_acquire))
		continue;
	l->touched[self] |= bytes;
	if (write) {
		if (l->holders & ~me)
			transfer(l, (uint8_t)(l->holders & ~me), at);
		l->wrote[self] |= bytes;
		l->wrote_at[self] = at;
		l->owner = self;
		l->dirty = true;
		l->holders = me;
	} else {
		if (l->dirty && !(l->holders & me))
			transfer(l, (uint8_t)(1U << l->owner), at);
		if (!l->took_at[self])
			l->took_at[self] = at;
		l->holders |= me;
	}
	atomic_flag_clear_explicit(&l->busy, memory_order_release);
}

static void see(const volatile void *p, size_t size, bool write, uintptr_t at)
{
	uintptr_t start = (uintptr_t)p, end = start + size;

	if (!atomic_load_explicit(&watching, memory_order_relaxed))
		return;
	while (start < end) {
		size_t first = start % LINE, n = LINE - first;

		if (n > end - start)
			n = end - start;
		touch(start / LINE, (n == LINE ? UINT64_MAX : ((UINT64_C(1) << n) - 1)) << first,
		      write, at);
		start += n;
	}
}

#define HERE ((uintptr_t)__builtin_return_address(0))

/* ---- what the compiler calls --------------------------------------------------------------------
 */

void __tsan_init(void)
{
}

void __tsan_func_entry(void *caller)
{
	if (depth < DEPTH)
		stack[depth] = (uintptr_t)caller;
	depth++;
}

void __tsan_func_exit(void)
{
	depth--;
}

#define PLAIN(n)                                \
	void __tsan_read##n(void *p)            \
	{                                       \
		see(p, n, false, HERE);         \
	}                                       \
	void __tsan_write##n(void *p)           \
	{                                       \
		see(p, n, true, HERE);          \
	}                                       \
	void __tsan_unaligned_read##n(void *p)  \
	{                                       \
		see(p, n, false, HERE);         \
	}                                       \
	void __tsan_unaligned_write##n(void *p) \
	{                                       \
		see(p, n, true, HERE);          \
	}
PLAIN(1)
PLAIN(2)
PLAIN(4)
PLAIN(8)
PLAIN(16)

void __tsan_read_range(void *p, size_t size)
{
	see(p, size, false, HERE);
}

void __tsan_write_range(void *p, size_t size)
{
	see(p, size, true, HERE);
}

void __tsan_atomic_thread_fence(int order)
{
	(void)order;
	atomic_thread_fence(memory_order_seq_cst);
}

/* The strongest order does for all. A failed exchange is counted as a write, as a processor would
 * take the line. */
#define RMW(bits, type, name, call)                                            \
	type __tsan_atomic##bits##_##name(volatile type *p, type v, int order) \
	{                                                                      \
		(void)order;                                                   \
		see(p, sizeof(type), true, HERE);                              \
		return call(p, v, __ATOMIC_SEQ_CST);                           \
	}
#define EXCHANGE(bits, type, name)                                                          \
	int __tsan_atomic##bits##_compare_exchange_##name(volatile type *p, type *expected, \
							  type v, int order, int fail)      \
	{                                                                                   \
		(void)order, (void)fail;                                                    \
		see(p, sizeof(type), true, HERE);                                           \
		return __atomic_compare_exchange_n(p, expected, v, false, __ATOMIC_SEQ_CST, \
						   __ATOMIC_SEQ_CST);                       \
	}
#define ATOMIC(bits, type)                                                    \
	type __tsan_atomic##bits##_load(const volatile type *p, int order)    \
	{                                                                     \
		(void)order;                                                  \
		see(p, sizeof(type), false, HERE);                            \
		return __atomic_load_n(p, __ATOMIC_SEQ_CST);                  \
	}                                                                     \
	void __tsan_atomic##bits##_store(volatile type *p, type v, int order) \
	{                                                                     \
		(void)order;                                                  \
		see(p, sizeof(type), true, HERE);                             \
		__atomic_store_n(p, v, __ATOMIC_SEQ_CST);                     \
	}                                                                     \
	RMW(bits, type, exchange, __atomic_exchange_n)                        \
	RMW(bits, type, fetch_add, __atomic_fetch_add)                        \
	RMW(bits, type, fetch_sub, __atomic_fetch_sub)                        \
	RMW(bits, type, fetch_and, __atomic_fetch_and)                        \
	RMW(bits, type, fetch_or, __atomic_fetch_or)                          \
	RMW(bits, type, fetch_xor, __atomic_fetch_xor)                        \
	EXCHANGE(bits, type, strong)                                          \
	EXCHANGE(bits, type, weak)
ATOMIC(8, uint8_t)
ATOMIC(16, uint16_t)
ATOMIC(32, uint32_t)
ATOMIC(64, uint64_t)

/* ---- libc ---------------------------------------------------------------------------------------
 */

void *__real_memmove(void *to, const void *from, size_t n);
void *__wrap_memcpy(void *to, const void *from, size_t n)
{
	see(from, n, false, HERE);
	see(to, n, true, HERE);
	return __real_memmove(to, from, n);
}

void *__wrap_memmove(void *to, const void *from, size_t n)
{
	return __wrap_memcpy(to, from, n);
}

void *__real_memset(void *p, int c, size_t n);
void *__wrap_memset(void *p, int c, size_t n)
{
	see(p, n, true, HERE);
	return __real_memset(p, c, n);
}

int __real_memcmp(const void *a, const void *b, size_t n);
int __wrap_memcmp(const void *a, const void *b, size_t n)
{
	see(a, n, false, HERE);
	see(b, n, false, HERE);
	return __real_memcmp(a, b, n);
}

static void add_block(void *p, size_t size, uintptr_t made_at)
{
	struct block *b;

	if (!p)
		return;
	pthread_mutex_lock(&blocks_lock);
	if (block_count == BLOCKS)
		fatalx("more blocks than there is room for");
	b = &blocks[block_count++];
	*b = (struct block){(uintptr_t)p, size,
			    made_at,      depth && depth <= DEPTH ? stack[depth - 1] : 0,
			    loop,         false};
	pthread_mutex_unlock(&blocks_lock);
}

void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size)
{
	void *p = __real_malloc(size);

	add_block(p, size, HERE);
	return p;
}

void *__real_calloc(size_t count, size_t size);
void *__wrap_calloc(size_t count, size_t size)
{
	void *p = __real_calloc(count, size);

	add_block(p, count * size, HERE);
	return p;
}

void *__real_aligned_alloc(size_t alignment, size_t size);
void *__wrap_aligned_alloc(size_t alignment, size_t size)
{
	void *p = __real_aligned_alloc(alignment, size);

	add_block(p, size, HERE);
	return p;
}

struct birth {
	void *(*run)(void *);
	void *arg;
	uint8_t number;
};

static void *born(void *arg)
{
	struct birth b = *(struct birth *)arg;

	free(arg);
	self = b.number;
	return b.run(b.arg);
}

int __real_pthread_create(pthread_t *t, const pthread_attr_t *attr, void *(*run)(void *), void *);
int __wrap_pthread_create(pthread_t *t, const pthread_attr_t *attr, void *(*run)(void *), void *arg)
{
	struct birth *b = __real_malloc(sizeof(*b));

	if (!b || threads == WATCH_THREADS)
		fatalx("more threads than there is room for");
	*b = (struct birth){run, arg, threads++};
	return __real_pthread_create(t, attr, born, b);
}

/* ---- the kernel, in the caller's name -----------------------------------------------------------
 */

static void see_message(const struct msghdr *m, size_t len, bool in, uintptr_t at)
{
	see(m, sizeof(*m), false, at);
	see(m->msg_iov, m->msg_iovlen * sizeof(*m->msg_iov), false, at);
	if (m->msg_name)
		see(m->msg_name, m->msg_namelen, in, at);
	if (m->msg_control)
		see(m->msg_control, m->msg_controllen, in, at);
	for (size_t i = 0; i < m->msg_iovlen && len; i++) {
		size_t n = m->msg_iov[i].iov_len < len ? m->msg_iov[i].iov_len : len;

		see(m->msg_iov[i].iov_base, n, in, at);
		len -= n;
	}
}

int __real_recvmmsg(int fd, struct mmsghdr *m, unsigned n, int flags, struct timespec *timeout);
int __wrap_recvmmsg(int fd, struct mmsghdr *m, unsigned n, int flags, struct timespec *timeout)
{
	int got = __real_recvmmsg(fd, m, n, flags, timeout);

	for (int i = 0; i < got; i++) {
		see(&m[i], sizeof(m[i]), true, HERE);
		see_message(&m[i].msg_hdr, m[i].msg_len, true, HERE);
	}
	return got;
}

int __real_sendmmsg(int fd, struct mmsghdr *m, unsigned n, int flags);
int __wrap_sendmmsg(int fd, struct mmsghdr *m, unsigned n, int flags)
{
	for (unsigned i = 0; i < n; i++) {
		see_message(&m[i].msg_hdr, SIZE_MAX, false, HERE);
		see(&m[i].msg_len, sizeof(m[i].msg_len), true, HERE);
	}
	if (atomic_load_explicit(&planted, memory_order_relaxed)) {
		see(&planted_counter, sizeof(planted_counter), true, HERE);
		atomic_fetch_add(&planted_counter, 1);
	}
	return __real_sendmmsg(fd, m, n, flags);
}

ssize_t __real_write(int fd, const void *data, size_t n);
ssize_t __wrap_write(int fd, const void *data, size_t n)
{
	if (atomic_load_explicit(&watching, memory_order_relaxed) && self)
		atomic_fetch_add_explicit(&wakes, 1, memory_order_relaxed);
	return __real_write(fd, data, n);
}

/* ---- libevent: whose blocks are whose -----------------------------------------------------------
 */

static void *event_malloc(size_t size)
{
	void *p = __real_malloc(size);

	add_block(p, size, HERE);
	return p;
}

static void event_free_block(void *p)
{
	pthread_mutex_lock(&blocks_lock);
	for (unsigned i = 0; i < block_count; i++)
		if (blocks[i].start == (uintptr_t)p)
			blocks[i].gone = true;
	pthread_mutex_unlock(&blocks_lock);
	free(p);
}

static void *event_realloc(void *old, size_t size)
{
	void *p = event_malloc(size);
	size_t had = old ? malloc_usable_size(old) : 0;

	if (p && old) {
		__real_memmove(p, old, had < size ? had : size);
		event_free_block(old);
	}
	return p;
}

struct event_base *__real_event_base_new_with_config(const struct event_config *c);
struct event_base *__wrap_event_base_new_with_config(const struct event_config *c)
{
	struct event_base *base;

	if (loop_count == WATCH_THREADS)
		fatalx("more loops than there is room for");
	loop = loop_count;
	base = __real_event_base_new_with_config(c);
	loops[loop_count++] = base;
	loop = NO_LOOP;
	return base;
}

static uint8_t loop_of(const struct event_base *base)
{
	for (uint8_t i = 1; i < loop_count; i++)
		if (loops[i] == base)
			return i;
	return 0;
}

struct event *__real_event_new(struct event_base *b, evutil_socket_t fd, short what,
			       event_callback_fn fn, void *arg);
struct event *__wrap_event_new(struct event_base *b, evutil_socket_t fd, short what,
			       event_callback_fn fn, void *arg)
{
	struct event *ev;

	loop = loop_of(b);
	ev = __real_event_new(b, fd, what, fn, arg);
	loop = NO_LOOP;
	return ev;
}

int __real_event_add(struct event *ev, const struct timeval *timeout);
int __wrap_event_add(struct event *ev, const struct timeval *timeout)
{
	int err;

	loop = loop_of(event_get_base(ev));
	err = __real_event_add(ev, timeout);
	loop = NO_LOOP;
	return err;
}

/* ---- begin, end, report -------------------------------------------------------------------------
 */

void watch_init(void)
{
	event_set_mem_functions(event_malloc, event_realloc, event_free_block);
}

void watch_plant(bool on)
{
	atomic_store(&planted, on);
}

void watch_begin(void)
{
	__real_memset(lines, 0, sizeof(lines));
	atomic_store(&wakes, 0);
	atomic_store(&watching, true);
}

void watch_end(void)
{
	atomic_store(&watching, false);
}

static uintptr_t place(uintptr_t at)
{
	return at ? at - (uintptr_t)__executable_start : 0;
}

/* The block a byte is in: the newest, for memory is used again. */
static void print_where(uintptr_t address)
{
	for (unsigned i = block_count; i-- > 0;) {
		const struct block *b = &blocks[i];

		if (!b->gone && address >= b->start && address < b->start + b->size) {
			printf("\"size\":%zu,\"offset\":%" PRIdPTR ",\"made_at\":%" PRIuPTR
			       ",\"called_from\":%" PRIuPTR ",",
			       b->size, (intptr_t)(address - b->start), place(b->made_at),
			       place(b->called_from));
			return;
		}
	}
	printf("\"symbol\":%" PRIuPTR ",", place(address));
}

/* Two threads at different bytes of one line do not know of each other. */
static bool same_bytes(const struct line *l)
{
	for (unsigned i = 0; i < WATCH_THREADS; i++)
		for (unsigned j = 0; j < WATCH_THREADS; j++)
			if (i != j && l->wrote[i] & l->touched[j])
				return true;
	return false;
}

static void print_line(const struct line *l, bool first)
{
	uint64_t bytes = UINT64_C(1) << 63;
	bool more = false;

	printf("%s{", first ? "" : ",");
	for (unsigned i = 0; i < WATCH_THREADS; i++)
		bytes |= l->wrote[i];
	print_where(l->number * LINE + (unsigned)__builtin_ctzll(bytes));
	printf("\"transfers\":%" PRIu32 ",\"between_workers\":%" PRIu32
	       ",\"same_bytes\":%s,\"threads\":[",
	       l->transfers, l->between_workers, same_bytes(l) ? "true" : "false");
	for (unsigned i = 0; i < WATCH_THREADS; i++) {
		if (!l->touched[i])
			continue;
		printf("%s{\"thread\":%u,\"wrote\":%d,\"bytes\":%" PRIu64 ",\"at\":%" PRIuPTR "}",
		       more ? "," : "", i, __builtin_popcountll(l->wrote[i]), l->touched[i],
		       place(l->took_at[i]));
		more = true;
	}
	printf("]}");
}

/* Lines that hold parts of two threads' loops, or of one's loop and what another touches. */
static void print_loops(void)
{
	bool first = true;

	printf("\"loops\":[");
	for (unsigned i = 0; i < block_count; i++) {
		const struct block *b = &blocks[i];

		if (b->gone || b->loop == NO_LOOP)
			continue;
		for (uintptr_t n = b->start / LINE; n <= (b->start + b->size - 1) / LINE; n++) {
			unsigned others = 0;

			for (unsigned j = 0; j < block_count; j++) {
				const struct block *c = &blocks[j];

				if (!c->gone && c->loop != NO_LOOP && c->loop != b->loop &&
				    c->start / LINE <= n && (c->start + c->size - 1) / LINE >= n)
					others |= 1U << c->loop;
			}
			for (size_t k = 0; k < LINES; k++)
				for (unsigned t = 0; lines[k].number == n && t < WATCH_THREADS; t++)
					if (lines[k].touched[t] && t != b->loop)
						others |= 1U << t;
			if (!others)
				continue;
			printf("%s{\"loop\":%u,\"others\":%u,\"size\":%zu,\"made_at\":%" PRIuPTR
			       ",\"called_from\":%" PRIuPTR "}",
			       first ? "" : ",", b->loop, others, b->size, place(b->made_at),
			       place(b->called_from));
			first = false;
		}
	}
	printf("]");
}

void watch_print(void)
{
	uint64_t touched = 0, transfers = 0, between = 0, shared = 0;
	bool first = true;

	printf("\"lines\":[");
	for (size_t i = 0; i < LINES; i++) {
		const struct line *l = &lines[i];

		touched += l->number != 0;
		if (!l->transfers)
			continue;
		print_line(l, first);
		first = false;
		transfers += l->transfers;
		between += l->between_workers;
		shared++;
	}
	printf("],\"touched\":%" PRIu64 ",\"shared\":%" PRIu64 ",\"transfers\":%" PRIu64
	       ",\"between_workers\":%" PRIu64 ",\"wakes\":%" PRIu64 ",",
	       touched, shared, transfers, between, atomic_load(&wakes));
	print_loops();
}

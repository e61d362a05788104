#include "config/config.h"

#include <errno.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/file.h"
#include "base/text.h"
#include "config/keyfile.h"
#include "config/options.h"
#include "config/parse.h"
#include "proto/descriptor.h"

/* What a payer may have on its way at any moment: a few dozen full datagrams. */
#define LOSS_IN_FLIGHT (UINT64_C(64) << 10)
/* Less is slower than any tunnel can use. */
#define MONTHLY_MIN (UINT64_C(1) << 30)

/* A file being read: where errors say they are. */
struct source {
	const char *path;
	struct option_lines lines;
	char *error;
};

static const char *open_reason(ssize_t err)
{
	switch (-err) {
	case ENOENT:
		return "no such file; make one with culvert init, or give its path with --config";
	case ELOOP:
		return "is a symbolic link; name the file itself";
	case EACCES:
		return "may not be read by this user; run as root or change its mode";
	case EFBIG:
		return "is larger than 256 KiB; is this a configuration?";
	case EINVAL:
		return "is no regular file; give the right path with --config";
	default:
		return strerror((int)-err);
	}
}

/* The whole file in allocated memory, or NULL with error set. */
static char *load(const char *path, size_t *len, char error[static CONFIG_ERROR_MAX])
{
	char *text = xcalloc(1, PARSE_FILE_MAX + 1);
	ssize_t n = file_read(path, text, PARSE_FILE_MAX);

	if (n >= 0) {
		*len = (size_t)n;
		return text;
	}
	snprintf(error, CONFIG_ERROR_MAX, "%.*s: %s", CONFIG_PATH_MAX, path, open_reason(n));
	free(text);
	return NULL;
}

static bool refuse(const struct source *s, unsigned line, const char *why)
{
	if (line)
		snprintf(s->error, CONFIG_ERROR_MAX, "%.*s:%u: %.250s", 200, s->path, line, why);
	else
		snprintf(s->error, CONFIG_ERROR_MAX, "%.*s: %.250s", 200, s->path, why);
	return false;
}

/* "Key: what", at the line that set it. */
static bool refuse_key(const struct source *s, const char *section, const char *key, size_t nth,
		       const char *what)
{
	char why[CONFIG_ERROR_MAX];

	snprintf(why, sizeof(why), "%s: %.300s", key, what);
	return refuse(s, option_line(&s->lines, section, key, nth), why);
}

static bool parse_into(struct source *s, const struct option_table *table, void *out)
{
	char why[CONFIG_ERROR_MAX], copy[PATH_MAX];
	unsigned line = 0;
	size_t len;
	char *text = load(s->path, &len, s->error);
	bool ok;

	if (!text)
		return false;
	snprintf(copy, sizeof(copy), "%s", s->path);
	ok = options_parse(table, out, text, len, dirname(copy), &s->lines, &line, why);
	free(text);
	return ok || refuse(s, line, why);
}

static bool wild(const struct net_addr *a)
{
	static const struct net_addr any6, any4 = {.ip = {[10] = 0xff, [11] = 0xff}};

	return memcmp(a->ip, any6.ip, 16) == 0 || memcmp(a->ip, any4.ip, 16) == 0;
}

static bool check_announce(const struct source *s, const struct config_node *c)
{
	if (!c->announce4.port && !c->announce6.port)
		return refuse_key(s, "Node", "Announce", 0,
				  "missing; write the public address and port, e.g. Announce = "
				  "203.0.113.5:51820 under [Node]");
	if ((c->announce4.port && wild(&c->announce4)) ||
	    (c->announce6.port && wild(&c->announce6)))
		return refuse_key(
			s, "Node", "Announce", 0,
			"nobody can send to the unspecified address; write the public one");
	/* A descriptor holds one port for both families. */
	if (c->announce4.port && c->announce6.port && c->announce4.port != c->announce6.port)
		return refuse_key(
			s, "Node", "Announce", 1,
			"another port than for the other family; both must have the same");
	return true;
}

static bool check_price(const struct source *s, const struct config_node *c)
{
	if (c->window_start > c->window_cap)
		return refuse_key(s, "Price", "WindowStart", 0,
				  "more than WindowCap; lower it or raise WindowCap");
	return true;
}

static bool check_credits(const struct source *s, const struct config_node *c)
{
	static const uint8_t none[KEY_LEN];

	if (c->fee_ppm && memcmp(c->fee_account, none, KEY_LEN) == 0)
		return refuse_key(s, "Credits", "FeePpm", 0,
				  "a fee nobody gets; write FeeAccount too, or take it out");
	return true;
}

/* Addresses of a pool of bits, less network and broadcast, the exit's own; at most 2^31. */
static uint64_t pool_size(const struct config_prefix *p, unsigned width)
{
	unsigned host = width - p->bits;

	return host > 31 ? UINT64_C(1) << 31 : (UINT64_C(1) << host) - (host > 1 ? 3 : host + 1);
}

static bool check_pools(const struct source *s, const struct config_node *c)
{
	if (c->pool4.bits == 0 || c->pool6.bits == 0)
		return refuse_key(s, "Exit", "AddressPool", 0,
				  "needs an IPv4 and an IPv6 network; write e.g. 10.64.0.0/16, "
				  "fd64:7664:706e::/64");
	if (pool_size(&c->pool4, 32) < c->max_peers || pool_size(&c->pool6, 128) < c->max_peers)
		return refuse_key(
			s, "Exit", "AddressPool", 0,
			"has fewer addresses than MaxPeers; give a larger network or lower "
			"MaxPeers");
	return true;
}

static bool check_exit_role(const struct source *s, const struct config_node *c)
{
	if (!(c->roles & ROLE_EXIT))
		return true;
	if (c->wg_port == c->listen.port)
		return refuse_key(s, "Exit", "WireGuardPort", 0,
				  "the same as the port of Listen; choose another");
	return check_pools(s, c);
}

static bool check_exit_address(const struct source *s, const struct config_node *c, size_t i,
			       const struct descriptor *d)
{
	char what[CONFIG_ERROR_MAX];
	struct net_addr addr;

	for (unsigned way = 0; way < 4; way++) {
		const char *range;

		if (!descriptor_endpoint(d, way & 1, way & 2, &addr))
			continue;
		range = ranges_special(&addr, &c->allow);
		if (!range)
			continue;
		snprintf(
			what, sizeof(what),
			"its %s address is in a special range (%s) and is not sent to; %s",
			way & 1 ? "IPv6" : "IPv4", range,
			ranges_embeds(&addr)
				? "its operator is to announce the plain IPv4 address that is in it"
				: "AllowRange under [Node] lifts this for a network of your own");
		return refuse_key(s, "Relay", "Exit", i, what);
	}
	return true;
}

/* Reads a descriptor and checks it has the role; expiry is not looked at. */
static bool check_descriptor(const struct source *s, const char *section, const char *key,
			     size_t nth, const char *path, uint64_t network, enum role role,
			     struct descriptor *d)
{
	char why[CONFIG_ERROR_MAX];

	if (!descriptor_file_read(d, path, network, 0, why))
		return refuse_key(s, section, key, nth, why);
	if (!(d->body.roles & role))
		return refuse_key(s, section, key, nth,
				  role == ROLE_EXIT
					  ? "this descriptor is no exit's; give an exit's"
					  : "this descriptor is no relay's; give a relay's");
	return true;
}

static bool check_relay_role(const struct source *s, const struct config_node *c)
{
	struct descriptor d;

	if (!(c->roles & ROLE_RELAY))
		return true;
	if (c->monthly_cap && c->monthly_cap < MONTHLY_MIN)
		return refuse_key(s, "Relay", "MonthlyCap", 0,
				  "less than 1 GiB; give at least that, or take it out for none");
	if (c->sessions_per_payer > c->max_sessions)
		return refuse_key(s, "Relay", "SessionsPerPayer", 0,
				  "more than MaxSessions; lower it");
	for (size_t i = 0; i < c->exit_count; i++)
		if (!check_descriptor(s, "Relay", "Exit", i, c->exits[i], c->network, ROLE_EXIT,
				      &d) ||
		    !check_exit_address(s, c, i, &d))
			return false;
	return true;
}

/* sun_path has room for 107 characters. */
static bool check_socket(const struct source *s, const char *socket)
{
	if (strlen(socket) <= 107)
		return true;
	return refuse_key(s, "Api", "Socket", 0,
			  "longer than the 107 bytes a socket's path may have; shorten it");
}

bool config_read_node(struct config_node *out, const char *path,
		      char error[static CONFIG_ERROR_MAX])
{
	struct source s = {.path = path, .error = error};

	return parse_into(&s, &options_node, out) && check_announce(&s, out) &&
	       check_price(&s, out) && check_credits(&s, out) && check_exit_role(&s, out) &&
	       check_relay_role(&s, out) && check_socket(&s, out->socket);
}

static bool check_named(const struct source *s, const char *key, const char *path)
{
	return path[0] ||
	       refuse_key(s, "Client", key, 0,
			  "missing; write the path of its descriptor file under [Client]");
}

bool config_read_client(struct config_client *out, const char *path,
			char error[static CONFIG_ERROR_MAX])
{
	struct source s = {.path = path, .error = error};
	struct descriptor d;

	return parse_into(&s, &options_client, out) && check_named(&s, "Relay", out->relay) &&
	       check_named(&s, "Exit", out->exit) && check_socket(&s, out->socket) &&
	       check_descriptor(&s, "Client", "Relay", 0, out->relay, out->network, ROLE_RELAY,
				&d) &&
	       check_descriptor(&s, "Client", "Exit", 0, out->exit, out->network, ROLE_EXIT, &d);
}

static bool note_section(void *arg, const char *section, char why[static CONFIG_ERROR_MAX])
{
	bool *client = arg;

	(void)why;
	if (strcasecmp(section, "Client") == 0)
		*client = true;
	return true;
}

static bool skip_pair(void *arg, unsigned line, const char *section, const char *key,
		      const char *value, char why[static CONFIG_ERROR_MAX])
{
	(void)arg, (void)line, (void)section, (void)key, (void)value, (void)why;
	return true;
}

bool config_is_client(bool *client, const char *path, char error[static CONFIG_ERROR_MAX])
{
	static const struct parse_handler handler = {.section = note_section, .pair = skip_pair};
	struct source s = {.path = path, .error = error};
	char why[CONFIG_ERROR_MAX];
	unsigned line;
	size_t len;
	char *text = load(path, &len, error);
	bool ok;

	*client = false;
	if (!text)
		return false;
	ok = parse_text(text, len, &handler, client, &line, why);
	free(text);
	return ok || refuse(&s, line, why);
}

bool config_read_socket(char out[static CONFIG_PATH_MAX], const char *path,
			char error[static CONFIG_ERROR_MAX])
{
	struct source s = {.path = path, .error = error};
	union {
		struct config_node node;
		struct config_client client;
	} * c;
	bool client, ok;

	if (!config_is_client(&client, path, error))
		return false;
	c = xcalloc(1, sizeof(*c));
	ok = parse_into(&s, client ? &options_client : &options_node, c) &&
	     check_socket(&s, client ? c->client.socket : c->node.socket);
	if (ok)
		memcpy(out, client ? c->client.socket : c->node.socket, CONFIG_PATH_MAX);
	free(c);
	return ok;
}

static void warn_announce(const struct config_node *c, const struct net_addr *a, const char *path,
			  config_warning warn, void *arg)
{
	const char *range = a->port ? ranges_special(a, &c->allow) : NULL;
	char text[CONFIG_ERROR_MAX];

	if (!range)
		return;
	snprintf(text, sizeof(text),
		 "%.200s: Announce: in a special range (%s), so nobody outside reaches it; write "
		 "the public address",
		 path, range);
	warn(arg, text);
}

static void warn_loss(const struct config_node *c, const char *path, config_warning warn, void *arg)
{
	char text[CONFIG_ERROR_MAX];

	if (c->loss_bytes >= LOSS_IN_FLIGHT)
		return;
	snprintf(text, sizeof(text),
		 "%.200s: LossConstant: below 64 KiB, so packets in flight look like overcharging "
		 "and clients dispute honest receipts; raise it",
		 path);
	warn(arg, text);
}

void config_warn_node(const struct config_node *c, const char *path, uint64_t now_s,
		      config_warning warn, void *arg)
{
	char text[CONFIG_ERROR_MAX], why[CONFIG_ERROR_MAX];
	struct descriptor d;

	warn_announce(c, &c->announce4, path, warn, arg);
	warn_announce(c, &c->announce6, path, warn, arg);
	warn_loss(c, path, warn, arg);
	if (!(c->roles & ROLE_RELAY))
		return;
	if (c->exit_count == 0) {
		snprintf(text, sizeof(text),
			 "%.200s: Exit: none given, so this relay forwards to nobody; write Exit = "
			 "FILE under [Relay]",
			 path);
		warn(arg, text);
	}
	for (size_t i = 0; i < c->exit_count; i++)
		if (!descriptor_file_read(&d, c->exits[i], c->network, now_s, why)) {
			snprintf(text, sizeof(text), "%.150s: Exit: %.300s", path, why);
			warn(arg, text);
		}
}

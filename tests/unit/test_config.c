/* Whole configuration files: what is refused, where, and in what words; what is read. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "accounting/ledger_message.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/spawn.h"
#include "config/config.h"
#include "config/keyfile.h"
#include "config/parse.h"

static char dir[64];

static const char *in_dir(const char *name)
{
	static char path[2][128];
	static unsigned turn;

	turn ^= 1;
	snprintf(path[turn], sizeof(path[turn]), "%s/%s", dir, name);
	return path[turn];
}

static void put(const char *name, const char *text, size_t len)
{
	assert_int_equal(file_replace(in_dir(name), text, len, 0644), 0);
}

/* A valid descriptor file of a node of these roles at this address, issued at now. */
static void put_descriptor(const char *name, uint8_t roles, const char *addr, uint64_t now)
{
	struct ledger_config c = {.network = 1,
				  .roles = roles,
				  .name = "test",
				  .wg_port = 51821,
				  .window_start = 1 << 20,
				  .window_cap = 1 << 26,
				  .receipt_seconds = 30,
				  .terms_days = 30};
	uint8_t seed[KEY_LEN] = {1}, key[KEY_LEN] = {9};
	char text[DESCRIPTOR_TEXT_MAX];
	struct ledger_identity out;
	struct identity by;
	struct net_addr a;

	assert_true(net_addr_parse(&a, addr));
	*(net_addr_is_v4(&a) ? &c.announce4 : &c.announce6) = a;
	x25519_public(c.control_key, key);
	x25519_public(c.wg_key, key);
	identity_from_seed(&by, seed);
	ledger_describe(&out, &c, &by, now);
	descriptor_to_text(text, sizeof(text), &out.descriptor);
	put(name, text, strlen(text));
}

#define NODE   "[Node]\nAnnounce = 203.0.113.5:51820\n" /* two lines */
#define CLIENT "[Client]\nRelay = relay.node\nExit = exit.node\n"
#define X10    "xxxxxxxxxx"
#define X50    X10 X10 X10 X10 X10
#define X250   X50 X50 X50 X50 X50
#define SECRET "yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk="

struct bad {
	const char *text;
	unsigned line; /* 0: the file as a whole */
	const char *part;
};

static const struct bad bad_node[] = {
	/* shape */
	{"Name = a\n", 1, "Name: stands before any section; write [Node]"},
	{"Colour = a\n", 1, "Colour: stands before any section"},
	{NODE "[Nodes]\n", 3, "no section [Nodes]; did you mean [Node]?"},
	{NODE "[Exti]\n", 3, "did you mean [Exit]?"},
	{NODE "[prise]\n", 3, "did you mean [Price]?"},
	{NODE "[Interface]\n", 3, "no section [Interface]; see culvert.conf(5)"},
	{NODE "[]\n", 3, "no section []"},
	{NODE "[Relay\n", 3, "a heading is one word in brackets"},
	{NODE "[Relay] Exit = x\n", 3, "a heading is one word in brackets"},
	{NODE "[Relay]]\n", 3, "a heading is one word in brackets"},
	{NODE "[" X50 X50 "]\n", 3, "too long for any section"},
	{NODE "[Client]\n", 3, "belongs into the configuration of culvert up"},
	{NODE "Nam = a\n", 3, "Nam: is no key of [Node]; did you mean Name?"},
	{NODE "roels = relay\n", 3, "did you mean Roles?"},
	{NODE "Anounce = x\n", 3, "did you mean Announce?"},
	{NODE "Workers = 2\n", 3, "Workers: is no key of [Node]; it belongs under [Relay]"},
	{NODE "Socket = x\n", 3, "it belongs under [Api]"},
	{NODE "[Relay]\nName = a\n", 4, "it belongs under [Node]"},
	{NODE "[Exit]\nAnnounce = 203.0.113.5:51820\n", 4, "it belongs under [Node]"},
	{NODE "Flavour = sweet\n", 3, "Flavour: is no key of [Node]; see culvert.conf(5)"},
	{NODE "PrivateKey = " SECRET "\n", 3, "PrivateKey: is no key of [Node]"},
	{NODE SECRET "\n", 3, "...: is no key of [Node]"},
	{NODE "Name\n", 3, "neither a [Section] nor a pair"},
	{NODE "Name: kestrel\n", 3, "neither a [Section] nor a pair"},
	{NODE "= kestrel\n", 3, "neither a [Section] nor a pair"},
	{NODE "Name # x = y\n", 3, "is no key"},
	{NODE "Name ; x = y\n", 3, "is no key"},
	{NODE X50 X50 " = y\n", 3, "is no key"},
	{NODE "Name = " X250 X250 X250 X250 "\n", 3, "longer than 1000 bytes"},
	{NODE "# " X250 X250 X250 X250 "\n", 3, "longer than 1000 bytes"},
	{NODE "Name = a\vb\n", 3, "NUL or control character"},
	{NODE "Name = a\x7f\n", 3, "NUL or control character"},
	{NODE "Name = \033[31mred\n", 3, "NUL or control character"},
	{NODE "Name = a\rb\n", 3, "NUL or control character"},
	{NODE "Name = a\nName = b\n", 4, "Name: already set in line 3"},
	{NODE "Name = a\nNAME = a\n", 4, "Name: already set in line 3"},
	{NODE "Name = a\n[Relay]\n[Node]\nName = a\n", 6, "Name: already set in line 3"},
	{NODE "[Price]\nExitPerGiB = 1\nExitPerGiB = 2\n", 5, "already set in line 4"},
	/* [Node] */
	{NODE "Name =\n", 3, "Name: wants 1 to 31"},
	{NODE "Name = Kestrel\n", 3, "Name: wants 1 to 31"},
	{NODE "Name = a_b\n", 3, "Name: wants"},
	{NODE "Name = a b\n", 3, "Name: wants"},
	{NODE "Name = " X10 X10 X10 "xx\n", 3, "Name: wants"},
	{NODE "Name = h\xc3\xa9ron\n", 3, "Name: wants"},
	{NODE "Roles =\n", 3, "Roles: wants relay, exit, or both"},
	{NODE "Roles = relays\n", 3, "Roles: wants"},
	{NODE "Roles = relay exit\n", 3, "Roles: wants"},
	{NODE "Roles = relay,\n", 3, "Roles: wants"},
	{NODE "Roles = relay, relay\n", 3, "Roles: wants"},
	{NODE "Roles = client\n", 3, "Roles: wants"},
	{NODE "Identity =\n", 3, "Identity: wants a path"},
	{NODE "Identity = /" X250 X10 "\n", 3, "Identity: wants a path of at most 255"},
	{NODE "ControlKey =\n", 3, "ControlKey: wants a path"},
	{NODE "DataDir =\n", 3, "DataDir: wants a path"},
	{NODE "Network = 0\n", 3, "Network: wants a whole number from 1"},
	{NODE "Network = -1\n", 3, "Network: wants"},
	{NODE "Network = one\n", 3, "Network: wants"},
	{NODE "Network = 18446744073709551616\n", 3, "Network: wants"},
	{NODE "Network = 0x\n", 3, "Network: wants"},
	{NODE "Network = 1.5\n", 3, "Network: wants"},
	{NODE "Listen =\n", 3, "Listen: wants ADDRESS:PORT"},
	{NODE "Listen = 51820\n", 3, "Listen: wants ADDRESS:PORT"},
	{NODE "Listen = 0.0.0.0\n", 3, "Listen: wants ADDRESS:PORT"},
	{NODE "Listen = 0.0.0.0:0\n", 3, "Listen: wants"},
	{NODE "Listen = 0.0.0.0:65536\n", 3, "Listen: wants"},
	{NODE "Listen = 0.0.0.0:-1\n", 3, "Listen: wants"},
	{NODE "Listen = ::51820\n", 3, "Listen: wants"},
	{NODE "Listen = [::]\n", 3, "Listen: wants"},
	{NODE "Listen = [::1:51820\n", 3, "Listen: wants"},
	{NODE "Listen = [127.0.0.1]:51820\n", 3, "Listen: wants"},
	{NODE "Listen = localhost:51820\n", 3, "Listen: wants"},
	{NODE "Listen = 256.0.0.1:51820\n", 3, "Listen: wants"},
	{NODE "Listen = [::]:51820\nListen = 0.0.0.0:51820\n", 4, "Listen: already set"},
	{NODE "Announce = example.net:51820\n", 3, "Announce: wants ADDRESS:PORT"},
	{NODE "Announce = 203.0.113.6:51820\n", 3, "Announce: one too many"},
	{NODE "Announce = [2001:db8::1]:51821\n", 3, "Announce: another port"},
	{NODE "Announce = [2001:db8::1]:51820, [2001:db8::2]:51820\n", 3, "Announce: one too many"},
	{NODE "Announce = [2001:db8::1]:51820,\n", 3, "Announce: wants"},
	{NODE "Announce =\n", 3, "Announce: wants"},
	{"[Node]\nName = a\n", 0, "Announce: missing"},
	{"", 0, "Announce: missing"},
	{"[Node]\nAnnounce = 0.0.0.0:51820\n", 2, "unspecified address"},
	{"[Node]\n\nAnnounce = [::]:51820\n", 3, "unspecified address"},
	{NODE "AllowRange = all\n", 3, "AllowRange: wants ADDRESS/LENGTH"},
	{NODE "AllowRange = 10.0.0.0/33\n", 3, "AllowRange: wants"},
	{NODE "AllowRange = fd00::/129\n", 3, "AllowRange: wants"},
	{NODE "AllowRange = 10.0.0.0/-8\n", 3, "AllowRange: wants"},
	{NODE "AllowRange = \n", 3, "AllowRange: wants"},
	{NODE "AllowRange = 10.0.0.0/8,,127.0.0.0/8\n", 3, "AllowRange: wants"},
	{NODE "AllowRange=1.0.0.0/8,2.0.0.0/8,3.0.0.0/8,4.0.0.0/8,5.0.0.0/8,6.0.0.0/8,7.0.0.0/8\n"
	      "AllowRange=11.0.0.0/8,12.0.0.0/8,13.0.0.0/8,14.0.0.0/8,15.0.0.0/8,16.0.0.0/8\n"
	      "AllowRange=21.0.0.0/8,22.0.0.0/8,23.0.0.0/8,24.0.0.0/8\n",
	 5, "at most 16"},
	/* [Relay] */
	{NODE "[Relay]\nExit =\n", 4, "Exit: wants a path"},
	{NODE "[Relay]\nExit = nowhere.node\n", 4, "nowhere.node: no such file"},
	{NODE "[Relay]\nExit = exit.node\nExit = nowhere.node\n", 5, "nowhere.node: no such file"},
	{NODE "[Relay]\nExit = relay.node\n", 4, "is no exit's"},
	{NODE "[Relay]\nExit = link.node\n", 4, "symbolic link"},
	{NODE "[Relay]\nExit = forged.node\n", 4, "forged.node: "},
	{NODE "[Relay]\nExit = text.node\n", 4, "is no node descriptor"},
	{NODE "[Relay]\nExit = big.node\n", 4, "is too long"},
	{NODE "[Relay]\nExit = .\n", 4, "no regular file"},
	{NODE "[Relay]\nExit = private.node\n", 4, "special range (private)"},
	{NODE "[Relay]\nExit = loopback.node\n", 4, "special range (loopback)"},
	{NODE "[Relay]\nExit = mapped.node\n", 4, "special range"},
	{NODE "[Relay]\nExit = nat64.node\n", 4,
	 "(NAT64) and is not sent to; its operator is to announce"},
	{NODE "[Relay]\nExit = exit.node\n\nExit = private.node\n", 6, "special range (private)"},
	{NODE "Network = 2\n[Relay]\nExit = exit.node\n", 5, "exit.node: "},
	{NODE "[Relay]\nWorkers = 65\n", 4, "Workers: wants a whole number from 0 to 64 threads"},
	{NODE "[Relay]\nWorkers = -1\n", 4, "Workers: wants"},
	{NODE "[Relay]\nWorkers = two\n", 4, "Workers: wants"},
	{NODE "[Relay]\nMaxSessions = 0\n", 4, "MaxSessions: wants"},
	{NODE "[Relay]\nMaxSessions = 1000001\n", 4, "MaxSessions: wants"},
	{NODE "[Relay]\nMaxSessions = 4294967296\n", 4, "MaxSessions: wants"},
	{NODE "[Relay]\nMaxSessions = 4294967297\n", 4, "MaxSessions: wants"},
	{NODE "[Relay]\nSessionsPerPayer = 0\n", 4, "SessionsPerPayer: wants"},
	{NODE "[Relay]\nMaxSessions = 4\nSessionsPerPayer = 5\n", 5, "more than MaxSessions"},
	{NODE "[Relay]\nMonthlyCap = 2 TB\n", 4, "MonthlyCap: wants"},
	{NODE "[Relay]\nMonthlyCap = none\n", 4, "MonthlyCap: wants"},
	{NODE "[Relay]\nMonthlyCap = 1048577 TiB\n", 4, "MonthlyCap: wants"},
	{NODE "[Relay]\nMonthlyCap = 1023 MiB\n", 4, "MonthlyCap: less than 1 GiB"},
	{NODE "[Relay]\nIdle = 9\n", 4, "Idle: wants a time"},
	{NODE "[Relay]\nRate = 50\n", 4,
	 "Rate: wants a rate with its unit, such as 50 Mbit/s, 800 kbit/s or 1 Gbit/s"},
	{NODE "[Relay]\nRate = 50 Mbit\n", 4, "Rate: wants a rate with its unit"},
	{NODE "[Relay]\nRate = 5 MiB\n", 4, "Rate: wants a rate with its unit"},
	{NODE "[Relay]\nRate = 63 kbit/s\n", 4, "from 64 kbit/s to 100 Gbit/s"},
	{NODE "[Relay]\nPeerRate = 101 Gbit/s\n", 4, "PeerRate: wants a rate"},
	{NODE "[Relay]\nIdle = 2 d\n", 4, "Idle: wants"},
	{NODE "[Relay]\nIdle = 5 minutes\n", 4, "Idle: wants"},
	{NODE "[Relay]\nIdle = s\n", 4, "Idle: wants"},
	{NODE "[Relay]\nIdle = 1e3\n", 4, "Idle: wants"},
	{NODE "[Relay]\nIdle = 4294967295 d\n", 4, "Idle: wants"},
	/* [Exit] */
	{NODE "[Exit]\nInterface =\n", 4, "Interface: wants an interface name"},
	{NODE "[Exit]\nInterface = averylonginterfacename\n", 4, "Interface: wants"},
	{NODE "[Exit]\nInterface = a/b\n", 4, "Interface: wants"},
	{NODE "[Exit]\nInterface = ..\n", 4, "Interface: wants"},
	{NODE "[Exit]\nInterface = -x\n", 4, "Interface: wants"},
	{NODE "[Exit]\nInterface = a\"b\n", 4, "Interface: wants"},
	{NODE "[Exit]\nInterface = wg 0\n", 4, "Interface: wants"},
	{NODE "[Exit]\nWireGuardKey =\n", 4, "WireGuardKey: wants a path"},
	{NODE "[Exit]\nWireGuardPort = 0\n", 4,
	 "WireGuardPort: wants a whole number from 1 to 65535"},
	{NODE "[Exit]\nWireGuardPort = 65536\n", 4, "WireGuardPort: wants"},
	{NODE "[Exit]\nWireGuardPort = 117357\n", 4, "WireGuardPort: wants"},
	{NODE "[Exit]\nWireGuardPort = -1\n", 4, "WireGuardPort: wants"},
	{NODE "[Exit]\nWireGuardPort = 51820 udp\n", 4, "WireGuardPort: wants"},
	{NODE "Roles = exit\n[Exit]\nWireGuardPort = 51820\n", 5, "the same as the port of Listen"},
	{NODE "Roles = exit\nListen = [::]:51821\n", 0, "the same as the port of Listen"},
	{NODE "[Exit]\nBackend = wireguard-go\n", 4, "Backend: wants auto, kernel or userspace"},
	{NODE "[Exit]\nBackend =\n", 4, "Backend: wants"},
	{NODE "[Exit]\nBackend = fake\n", 4, "Backend: wants"},
	{NODE "[Exit]\nAddressPool = 10.64.0.0/33\n", 4, "AddressPool: wants"},
	{NODE "[Exit]\nAddressPool = 10.64.0.1/16\n", 4, "AddressPool: wants"},
	{NODE "[Exit]\nAddressPool = fd64::1/64\n", 4, "AddressPool: wants"},
	{NODE "[Exit]\nAddressPool = 10.64.0.0/16, 10.65.0.0/16\n", 4, "AddressPool: one too many"},
	{NODE "[Exit]\nAddressPool = ::ffff:10.64.0.0/112\n", 4, "AddressPool: wants"},
	{NODE "Roles = exit\n[Exit]\nAddressPool = 10.64.0.0/16\n", 5, "an IPv4 and an IPv6"},
	{NODE "Roles = exit\n[Exit]\nAddressPool = fd64::/64\n", 5, "an IPv4 and an IPv6"},
	{NODE "Roles = exit\n[Exit]\nAddressPool = 10.64.0.0/24, fd64::/64\n", 5,
	 "fewer addresses"},
	{NODE "Roles = exit\n[Exit]\nAddressPool = 10.64.0.0/16, fd64::/126\n", 5,
	 "fewer addresses"},
	{NODE "Roles = exit\n[Exit]\nAddressPool = 10.64.0.0/32, fd64::/64\nMaxPeers = 1\n", 5,
	 "fewer addresses"},
	{NODE "[Exit]\nDNS = 9.9.9.9:53\n", 4, "DNS: wants an address without a port"},
	{NODE "[Exit]\nDNS = dns.example\n", 4, "DNS: wants"},
	{NODE "[Exit]\nDNS = 9.9.9.9/32\n", 4, "DNS: wants"},
	{NODE "[Exit]\nDNS = 9.9.9.9, 1.1.1.1\n", 4, "DNS: one too many"},
	{NODE "[Exit]\nDNS = 9.9.9.9\nDNS = 1.1.1.1\n", 5, "DNS: one too many"},
	{NODE "[Exit]\nAllowSmtp = maybe\n", 4, "AllowSmtp: wants yes or no"},
	{NODE "[Exit]\nAllowSmtp = 1\n", 4, "AllowSmtp: wants yes or no"},
	{NODE "[Exit]\nMaxPeers = 0\n", 4, "MaxPeers: wants a whole number from 1 to 65000 peers"},
	{NODE "[Exit]\nMaxPeers = 65001\n", 4, "MaxPeers: wants"},
	{NODE "[Exit]\nUplink = eth0 eth1\n", 4, "Uplink: wants"},
	{NODE "[Exit]\nUplink =\n", 4, "Uplink: wants"},
	/* [Price] */
	{NODE "[Price]\nRelayPerGiB = 0.002\n", 4, "RelayPerGiB: wants a whole number"},
	{NODE "[Price]\nRelayPerGiB = -5\n", 4, "micro-credits per GiB"},
	/* ten million of these would be more than the books can promise */
	{NODE "[Price]\nFreeAllowance = 1000000000001\n", 4, "FreeAllowance"},
	{NODE "[Price]\nExitPerGiB = 1000000000000001\n", 4, "ExitPerGiB: wants"},
	{NODE "[Price]\nExitPerGiB = 5 credits\n", 4, "ExitPerGiB: wants"},
	{NODE "[Price]\nFreeAllowance = none\n", 4, "FreeAllowance: wants"},
	{NODE "[Price]\nFreeAllowance = 1 GiB\n", 4, "FreeAllowance: wants"},
	{NODE "[Price]\nWindowStart = 0\n", 4, "WindowStart: wants a number of bytes"},
	{NODE "[Price]\nWindowStart = 1 MB\n", 4, "WindowStart: wants"},
	{NODE "[Price]\nWindowStart = 1.5 MiB\n", 4, "WindowStart: wants"},
	{NODE "[Price]\nWindowStart = 1023\n", 4, "from 1.0 KiB to 1.0 TiB"},
	{NODE "[Price]\nWindowCap = 2 TiB\n", 4, "WindowCap: wants"},
	{NODE "[Price]\nWindowCap = 99999999 TiB\n", 4, "WindowCap: wants"},
	{NODE "[Price]\nWindowCap = 512 KiB\n", 0, "WindowStart: more than WindowCap"},
	{NODE "[Price]\nWindowStart = 65 MiB\n", 4, "WindowStart: more than WindowCap"},
	{NODE "[Price]\nReceiptEvery = 0\n", 4, "ReceiptEvery: wants a time"},
	{NODE "[Price]\nReceiptEvery = 30 KiB\n", 4, "ReceiptEvery: wants"},
	{NODE "[Price]\nLossShare = 1\n", 4, "LossShare: wants a share"},
	{NODE "[Price]\nLossShare = 51 %\n", 4, "LossShare: wants"},
	{NODE "[Price]\nLossShare = -1 %\n", 4, "LossShare: wants"},
	{NODE "[Price]\nLossShare = 0.00001 %\n", 4, "LossShare: wants"},
	{NODE "[Price]\nLossShare = 1. %\n", 4, "LossShare: wants"},
	{NODE "[Price]\nLossShare = 1..2 %\n", 4, "LossShare: wants"},
	{NODE "[Price]\nLossShare = 500001 ppm\n", 4, "LossShare: wants"},
	{NODE "[Price]\nLossConstant = lots\n", 4, "LossConstant: wants"},
	{NODE "[Price]\nTermsDays = 0\n", 4, "TermsDays: wants a whole number from 1 to 366 days"},
	{NODE "[Price]\nTermsDays = 367\n", 4, "TermsDays: wants"},
	/* [Credits] */
	{NODE "[Credits]\nFeePpm = 1000001\n", 4, "from 0 to 1000000 ppm"},
	{NODE "[Credits]\nFeePpm = 5 %\n", 4, "FeePpm: wants a whole number"},
	{NODE "[Credits]\nFeePpm = 1\n", 4, "FeePpm: a fee nobody gets"},
	{NODE "[Credits]\nFeeAccount = me\n", 4, "FeeAccount: wants a key of 44 characters"},
	/* [Api] [Log] */
	{NODE "[Api]\nSocket =\n", 4, "Socket: wants a path"},
	{NODE "[Api]\nSocket = /" X50 X50 X10 "\n", 4, "longer than the 107 bytes"},
	{NODE "[Api]\nHttp = off\n", 4, "Http: is no key of [Api]"},
	{NODE "[Log]\nLevel = loud\n", 4, "Level: wants error, warn, info or debug"},
	{NODE "[Log]\nLevel =\n", 4, "Level: wants"},
};

static const struct bad bad_client[] = {
	{NODE, 1, "belongs into the configuration of culvertd"},
	{"[Relay]\n", 1, "belongs into the configuration of culvertd"},
	{"", 0, "Relay: missing"},
	{"[Client]\nExit = exit.node\n", 0, "Relay: missing"},
	{"[Client]\nRelay = relay.node\n", 0, "Exit: missing"},
	{"[Client]\nRelay = nowhere\nExit = exit.node\n", 2, "nowhere: no such file"},
	{"[Client]\nRelay = relay.node\nExit = nowhere\n", 3, "nowhere: no such file"},
	{"[Client]\nRelay = exit.node\nExit = exit.node\n", 2, "is no relay's"},
	{"[Client]\nRelay = relay.node\nExit = relay.node\n", 3, "is no exit's"},
	{"[Client]\nRelay = forged.node\nExit = exit.node\n", 2, "forged.node: "},
	{CLIENT "Network = 7\n", 2, "relay.node: "},
	{CLIENT "Exits = x\n", 4, "did you mean Exit?"},
	{CLIENT "Relay = x\n", 4, "Relay: already set in line 2"},
	{CLIENT "AllowedIPs = 0.0.0.0\n[Clinet]\n", 5, "did you mean [Client]?"},
	{CLIENT "AllowedIPs = default\n", 4, "AllowedIPs: wants ADDRESS/LENGTH"},
	{CLIENT "AllowedIPs = 10.0.0.1/8\n", 4, "AllowedIPs: wants"},
	{CLIENT "AllowedIPs = 0.0.0.0/0, ::/0,\n", 4, "AllowedIPs: wants"},
	{CLIENT "AllowedIPs =\n", 4, "AllowedIPs: wants"},
	{CLIENT "FwMark = 0\n", 4, "FwMark: wants a whole number from 256"},
	{CLIENT "FwMark = 254\n", 4, "FwMark: wants a whole number from 256"}, /* main */
	{CLIENT "FwMark = 0x100000000\n", 4, "FwMark: wants"},
	{CLIENT "FwMark = 0xg\n", 4, "FwMark: wants"},
	{CLIENT "FwMark = off\n", 4, "FwMark: wants"},
	{CLIENT "MTU = 1279\n", 4, "MTU: wants a whole number from 1280 to 9000 bytes"},
	{CLIENT "MTU = 65536\n", 4, "MTU: wants"},
	{CLIENT "MTU = auto\n", 4, "MTU: wants"},
	{CLIENT "MaxPrice = 1,5\n", 4, "MaxPrice: wants"},
	{CLIENT "Interface = culvert-interface\n", 4, "Interface: wants"},
	{CLIENT "Backend = go\n", 4, "Backend: wants"},
	{CLIENT "WireGuardKey = " SECRET "\nWireGuardKey = " SECRET "\n", 5, "already set"},
	{CLIENT "[Api]\nSocket = " X250 "\n", 5, "Socket: "},
};

static int set_up(void **state)
{
	static char big[DESCRIPTOR_TEXT_MAX + 2];
	uint64_t now = clock_wall();
	char text[DESCRIPTOR_TEXT_MAX + 1];
	ssize_t n;

	(void)state;
	crypto_start();
	snprintf(dir, sizeof(dir), "/tmp/culvert-config.XXXXXX");
	if (!mkdtemp(dir))
		return -1;
	put_descriptor("exit.node", ROLE_EXIT, "9.9.9.9:51820", now);
	put_descriptor("relay.node", ROLE_RELAY, "9.9.9.9:51820", now);
	put_descriptor("old.node", ROLE_EXIT, "9.9.9.9:51820", now - 40 * 86400);
	put_descriptor("private.node", ROLE_EXIT, "10.1.2.3:51820", now);
	put_descriptor("loopback.node", ROLE_EXIT, "127.0.0.1:51820", now);
	put_descriptor("nat64.node", ROLE_EXIT, "[64:ff9b::7f00:1]:51820", now);
	put_descriptor("mapped.node", ROLE_EXIT, "[::10.0.0.1]:51820", now);
	put("text.node", "hello\n", 6);
	memset(big, 'a', sizeof(big));
	put("big.node", big, sizeof(big));
	n = file_read(in_dir("exit.node"), text, DESCRIPTOR_TEXT_MAX);
	if (n < 0)
		return -1;
	/* One character of the signature. */
	text[n - 20] = text[n - 20] == 'A' ? 'B' : 'A';
	put("forged.node", text, (size_t)n);
	return symlink("exit.node", in_dir("link.node"));
}

static int tear_down(void **state)
{
	char out[256];
	const char *const argv[] = {"rm", "-r", "--", dir, NULL};

	(void)state;
	return spawn_run(argv, NULL, out, sizeof(out));
}

static void expect_bad(const struct bad *b, const char *error, bool ok)
{
	char where[160];

	if (b->line)
		snprintf(where, sizeof(where), "%s:%u: ", in_dir("conf"), b->line);
	else
		snprintf(where, sizeof(where), "%s: ", in_dir("conf"));
	if (ok || strncmp(error, where, strlen(where)) != 0 || !strstr(error, b->part) ||
	    strchr(error, '\n') || strstr(error, SECRET) || strstr(error, "yAnz5"))
		fail_msg("---\n%s---\nwanted %s...%s\n   got %s", b->text, where, b->part,
			 ok ? "no error" : error);
}

static void test_bad_node(void **state)
{
	static struct config_node c;
	char error[CONFIG_ERROR_MAX];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad_node); i++) {
		put("conf", bad_node[i].text, strlen(bad_node[i].text));
		expect_bad(&bad_node[i], error, config_read_node(&c, in_dir("conf"), error));
	}
	print_message("%zu node files refused\n", ARRAY_SIZE(bad_node));
}

static void test_bad_client(void **state)
{
	static struct config_client c;
	char error[CONFIG_ERROR_MAX];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad_client); i++) {
		put("conf", bad_client[i].text, strlen(bad_client[i].text));
		expect_bad(&bad_client[i], error, config_read_client(&c, in_dir("conf"), error));
	}
	print_message("%zu client files refused\n", ARRAY_SIZE(bad_client));
}

static void test_bad_bytes(void **state)
{
	static const char nul[] = NODE "Name = a\0b\n", header[] = NODE "[Re\0lay]\n";
	static char big[PARSE_FILE_MAX + 1];
	const struct bad in_value = {"NUL in a value\n", 3, "NUL or control character"};
	const struct bad in_header = {"NUL in a heading\n", 3, "NUL or control character"};
	const struct bad too_big = {"big file\n", 0, "larger than 256 KiB"};
	static struct config_node c;
	char error[CONFIG_ERROR_MAX];

	(void)state;
	put("conf", nul, sizeof(nul) - 1);
	expect_bad(&in_value, error, config_read_node(&c, in_dir("conf"), error));
	put("conf", header, sizeof(header) - 1);
	expect_bad(&in_header, error, config_read_node(&c, in_dir("conf"), error));
	memset(big, '\n', sizeof(big));
	put("conf", big, sizeof(big));
	expect_bad(&too_big, error, config_read_node(&c, in_dir("conf"), error));
	assert_false(config_read_node(&c, in_dir("absent"), error));
	assert_non_null(strstr(error, "no such file"));
	assert_false(config_read_node(&c, dir, error));
	assert_non_null(strstr(error, "no regular file"));
	assert_int_equal(symlink("conf", in_dir("conf.link")), 0);
	assert_false(config_read_node(&c, in_dir("conf.link"), error));
	assert_non_null(strstr(error, "symbolic link"));
}

static const char full_node[] =
	"\xef\xbb\xbf# everything set\r\n"
	"[node]\r\n"
	"  NAME = heron  # inline\n"
	"\troles=Exit ,relay ; inline\n"
	"Identity = keys/id.key\n"
	"ControlKey = /abs/control.key\n"
	"DataDir = data\n"
	"Network = 0x2a\n"
	"Listen = 0.0.0.0:4000\n"
	"Announce = 203.0.113.5:4000\n"
	"[Relay]\n"
	"Workers = 3\nMaxSessions = 10\nSessionsPerPayer = 2\nSessionsPerAddress = 3\nIdle = 2 "
	"min\nRate = 50 Mbit/s\nPeerRate = 800kbit/s\nMonthlyCap = 2 TiB\n"
	"[Exit]\n"
	"Interface = wg-x\nWireGuardKey = w.key\nWireGuardPort = 4001\nBackend = KERNEL\n"
	"AddressPool = fd01::/64\nAddressPool = 10.9.0.0/20\nDNS = 9.9.9.9, 2620:fe::fe\n"
	"AllowSmtp = yes\nMaxPeers = 12\nUplink = eth0\n"
	"[Node]\n"
	"Announce = [2001:db8::5]:4000\n"
	"AllowRange = 10.0.0.0/8, fd00::/8\nAllowRange = 127.0.0.0/8\n"
	"[Price]\n"
	"RelayPerGiB = 7\nExitPerGiB = 8\nFreeAllowance = 0\nWindowStart = 2048\nWindowCap = 1 "
	"GiB\n"
	"ReceiptEvery = 1 min\nLossShare = 0.25 %\nLossConstant = 0\nTermsDays = 9\n"
	"[Credits]\nFeePpm = 25000\nFeeAccount = AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA=\n"
	"[Api]\nSocket = api.sock\n[Log]\nLevel = debug";

static void test_full_node(void **state)
{
	static struct config_node c;
	char error[CONFIG_ERROR_MAX] = "", text[NET_ADDR_TEXT];

	(void)state;
	put("conf", full_node, strlen(full_node));
	if (!config_read_node(&c, in_dir("conf"), error))
		fail_msg("%s", error);
	assert_string_equal(c.name, "heron");
	assert_int_equal(c.roles, ROLE_RELAY | ROLE_EXIT);
	assert_string_equal(c.identity, in_dir("keys/id.key"));
	assert_string_equal(c.control_key, "/abs/control.key");
	assert_string_equal(c.data_dir, in_dir("data"));
	assert_int_equal(c.network, 42);
	assert_string_equal(net_addr_text(text, &c.listen), "0.0.0.0:4000");
	assert_string_equal(net_addr_text(text, &c.announce4), "203.0.113.5:4000");
	assert_string_equal(net_addr_text(text, &c.announce6), "[2001:db8::5]:4000");
	assert_int_equal(c.allow.count, 3);
	assert_int_equal(c.workers, 3);
	assert_int_equal(c.max_sessions, 10);
	assert_int_equal(c.sessions_per_payer, 2);
	assert_int_equal(c.sessions_per_address, 3);
	assert_int_equal(c.idle_seconds, 120);
	assert_int_equal(c.rate, 6250000);
	assert_int_equal(c.peer_rate, 100000);
	assert_int_equal(c.monthly_cap, UINT64_C(1) << 41);
	assert_int_equal(c.exit_count, 0);
	assert_string_equal(c.interface, "wg-x");
	assert_string_equal(c.wg_key, in_dir("w.key"));
	assert_int_equal(c.wg_port, 4001);
	assert_string_equal(c.backend, "kernel");
	assert_int_equal(c.pool4.bits, 20);
	assert_int_equal(c.pool6.bits, 64);
	assert_string_equal(net_ip_text(text, &c.pool4.net), "10.9.0.0");
	assert_string_equal(net_ip_text(text, &c.pool6.net), "fd01::");
	assert_string_equal(net_ip_text(text, &c.dns4), "9.9.9.9");
	assert_string_equal(net_ip_text(text, &c.dns6), "2620:fe::fe");
	assert_true(c.allow_smtp);
	assert_int_equal(c.max_peers, 12);
	assert_string_equal(c.uplink, "eth0");
	assert_int_equal(c.relay_price, 7);
	assert_int_equal(c.exit_price, 8);
	assert_int_equal(c.free_allowance, 0);
	assert_int_equal(c.window_start, 2048);
	assert_int_equal(c.window_cap, 1 << 30);
	assert_int_equal(c.receipt_seconds, 60);
	assert_int_equal(c.loss_ppm, 2500);
	assert_int_equal(c.loss_bytes, 0);
	assert_int_equal(c.terms_days, 9);
	assert_int_equal(c.fee_ppm, 25000);
	assert_int_equal(c.fee_account[0], 1);
	assert_int_equal(c.fee_account[31], 32);
	assert_string_equal(c.socket, in_dir("api.sock"));
	assert_int_equal(c.log_level, LOG_LEVEL_DEBUG);
}

static void test_client(void **state)
{
	static const char text[] =
		CLIENT "AllowedIPs = 10.0.0.0/8, fd00::/8\nAllowedIPs = 1.1.1.1/32\n"
		       "FwMark = 0xca6c\nMaxPrice = 5\n";
	static struct config_client c;
	char error[CONFIG_ERROR_MAX] = "", path[CONFIG_PATH_MAX];
	bool client;

	(void)state;
	put("conf", text, strlen(text));
	if (!config_read_client(&c, in_dir("conf"), error))
		fail_msg("%s", error);
	assert_string_equal(c.relay, in_dir("relay.node"));
	assert_int_equal(c.allowed_count, 3);
	assert_int_equal(c.allowed_ips[1].bits, 8);
	assert_int_equal(c.fwmark, 51820);
	assert_int_equal(c.mtu, 1420);
	assert_int_equal(c.max_price, 5);
	assert_int_equal(c.network, 1);
	assert_string_equal(c.interface, "culvert1");
	assert_true(config_is_client(&client, in_dir("conf"), error));
	assert_true(client);
	assert_true(config_read_socket(path, in_dir("conf"), error));
	assert_string_equal(path, CONFIG_CLIENT_SOCKET);
}

/* AllowRange lifts a range for exits; an expired descriptor is a warning, not an error. */
static void count_warning(void *arg, const char *text)
{
	char *seen = arg;

	snprintf(seen + strlen(seen), 2000 - strlen(seen), "%s\n", text);
}

static void test_exits(void **state)
{
	static const char text[] = NODE "AllowRange = 10.1.0.0/16\n[Relay]\nExit = private.node\n"
					"Exit = old.node\n";
	static const char none[] = "[Node]\nAnnounce = 127.0.0.1:51820\n";
	static struct config_node c;
	char error[CONFIG_ERROR_MAX] = "", seen[2000] = "";

	(void)state;
	put("conf", text, strlen(text));
	if (!config_read_node(&c, in_dir("conf"), error))
		fail_msg("%s", error);
	assert_int_equal(c.exit_count, 2);
	config_warn_node(&c, in_dir("conf"), clock_wall(), count_warning, seen);
	assert_non_null(strstr(seen, "old.node: "));
	assert_null(strstr(seen, "private.node"));
	put("conf", none, strlen(none));
	assert_true(config_read_node(&c, in_dir("conf"), error));
	seen[0] = '\0';
	config_warn_node(&c, in_dir("conf"), clock_wall(), count_warning, seen);
	assert_non_null(strstr(seen, "special range (loopback)"));
	assert_non_null(strstr(seen, "forwards to nobody"));
}

/* Less than what is in flight at any moment is never enough. */
static void test_loss_in_flight(void **state)
{
	static const struct {
		const char *text;
		bool warned;
	} cases[] = {
		{NODE "[Price]\nLossShare = 0 %\nLossConstant = 0\n", true},
		{NODE "[Price]\nLossConstant = 65535\n", true},
		{NODE "[Price]\nLossShare = 0 %\nLossConstant = 64 KiB\n", false},
		{NODE, false},
	};
	static struct config_node c;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char error[CONFIG_ERROR_MAX] = "", seen[2000] = "";

		put("conf", cases[i].text, strlen(cases[i].text));
		if (!config_read_node(&c, in_dir("conf"), error))
			fail_msg("%s", error);
		config_warn_node(&c, in_dir("conf"), clock_wall(), count_warning, seen);
		assert_int_equal(strstr(seen, "LossConstant") != NULL, cases[i].warned);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bad_node),       cmocka_unit_test(test_bad_client),
		cmocka_unit_test(test_bad_bytes),      cmocka_unit_test(test_full_node),
		cmocka_unit_test(test_client),         cmocka_unit_test(test_exits),
		cmocka_unit_test(test_loss_in_flight),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}

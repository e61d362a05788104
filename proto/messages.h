/*
 * Every byte Culvert puts on the wire or under a signature. Little-endian, fixed layouts, no
 * padding: the structs are made of byte arrays, so sizeof is the length. docs/protocol.md shows the
 * same as tables; a test holds the two together, and golden vectors hold the bytes.
 */
#ifndef PROTO_MESSAGES_H
#define PROTO_MESSAGES_H

#include <assert.h>

#include "base/base.h"
#include "base/le.h"

#define LENGTH(type, bytes) \
	static_assert(sizeof(struct type) == (bytes), #type " has another length")

enum {
	KEY_LEN = 32,       /* Ed25519 and X25519 public keys, hashes, symmetric keys */
	SIGNATURE_LEN = 64, /* Ed25519 */
	MAC_LEN = 16,       /* keyed BLAKE2b-128 (ours), keyed BLAKE2s-128 (WireGuard's) */
	TAG_LEN = 16,       /* Poly1305 */
	SESSION_ID_LEN = 16,
	NONCE_LEN = 16,
};

/* The first byte of every datagram; three zero bytes follow. 1..4 are WireGuard's own. */
enum message_type {
	MESSAGE_WG_INITIATION = 1,
	MESSAGE_WG_RESPONSE = 2,
	MESSAGE_WG_COOKIE = 3,
	MESSAGE_WG_TRANSPORT = 4,
	MESSAGE_INITIATION = 0x11, /* control channel: same shapes and defences as WireGuard's */
	MESSAGE_RESPONSE = 0x12,
	MESSAGE_COOKIE = 0x13,
	MESSAGE_TRANSPORT = 0x14,
	MESSAGE_BIND = 0x15, /* client -> relay: move my data path to the address this comes from */
	MESSAGE_CHALLENGE = 0x16, /* relay -> that address */
	MESSAGE_ANSWER = 0x17,
	MESSAGE_BOUND = 0x18,
};

/* ---- handshakes: WireGuard's public header and, with our types, the control channel -------------
 */

struct message_initiation {
	le32 type;
	le32 sender;
	uint8_t ephemeral[KEY_LEN];
	uint8_t static_key[KEY_LEN + TAG_LEN]; /* sealed */
	uint8_t timestamp[12 + TAG_LEN];       /* sealed TAI64N */
	uint8_t mac1[MAC_LEN];                 /* keyed by the recipient's public key */
	uint8_t mac2[MAC_LEN];                 /* keyed by a cookie, under load */
};
LENGTH(message_initiation, 148);

struct message_response {
	le32 type;
	le32 sender;
	le32 receiver;
	uint8_t ephemeral[KEY_LEN];
	uint8_t empty[TAG_LEN]; /* sealed nothing */
	uint8_t mac1[MAC_LEN];
	uint8_t mac2[MAC_LEN];
};
LENGTH(message_response, 92);

struct message_cookie {
	le32 type;
	le32 receiver;
	uint8_t nonce[24];
	uint8_t cookie[MAC_LEN + TAG_LEN]; /* XChaCha20-Poly1305 */
};
LENGTH(message_cookie, 64);

struct message_transport {
	le32 type;
	le32 receiver;
	le64 counter;
	/* sealed body and tag follow */
};
LENGTH(message_transport, 16);

enum {
	WG_TRANSPORT_MIN = sizeof(struct message_transport) + TAG_LEN, /* a keepalive */
	CONTROL_DATAGRAM_MAX = 1200,
	CONTROL_BODY_MAX = CONTROL_DATAGRAM_MAX - (int)sizeof(struct message_transport) - TAG_LEN,
};

/* ---- BIND: prove an address, then move a session's data path there ------------------------------
 */

/* BIND, CHALLENGE, ANSWER and BOUND share one shape, so no reply is longer than its request. */
struct message_bind {
	le32 type;
	uint8_t session[SESSION_ID_LEN];
	le64 counter;             /* strictly increasing per session; the same in all four */
	uint8_t token[NONCE_LEN]; /* zero in BIND and BOUND; the relay's, bound to the address, else
				   */
	uint8_t zero[4];
	uint8_t mac[MAC_LEN]; /* BLAKE2b-128 keyed by the bind key over all bytes before it */
};
LENGTH(message_bind, 64);

/* ---- bodies of control messages -----------------------------------------------------------------
 */

enum verb {
	VERB_DESCRIBE = 1, /* -> DESCRIPTOR */
	VERB_DESCRIPTOR,
	VERB_OPEN, /* client -> relay: -> GRANTED */
	VERB_GRANTED,
	VERB_ADD_PEER, /* client -> exit: -> PEER */
	VERB_PEER,
	VERB_RECEIPT, /* provider -> client: -> COSIGN or DISPUTE */
	VERB_COSIGN,  /* client -> provider: -> WINDOW */
	VERB_WINDOW,
	VERB_DISPUTE,   /* client -> provider: I do not sign this; -> CLOSED */
	VERB_CLOSE,     /* client -> provider: -> CLOSED */
	VERB_CLOSED,    /* also sent unasked when the provider ends a session */
	VERB_KEEPALIVE, /* -> ALIVE */
	VERB_ALIVE,
	VERB_PASS,    /* client -> relay: carry this control datagram to my session's exit */
	VERB_PASSED,  /* relay -> client: a control datagram from that exit */
	VERB_REFUSED, /* answers any request */
	VERB_GRANT,   /* client -> node: an issuer's promise of credit there; -> CREDIT */
	VERB_CREDIT,
	VERB_HELD, /* client -> node: the newest receipt it signed of a session; -> HEAD */
	VERB_HEAD,
	VERB_COUNT,
};

enum refusal {
	REFUSED_UNKNOWN_EXIT = 1,
	REFUSED_EXIT_ADDRESS, /* its endpoint lies in a special range, or is this relay */
	REFUSED_TERMS,        /* not the terms on offer, or expired: DESCRIBE again */
	REFUSED_SIGNATURE,
	REFUSED_FULL,
	REFUSED_UNKNOWN_SESSION, /* or not yours: the two are not told apart */
	REFUSED_CREDIT,
	REFUSED_UNPAID, /* earlier receipts wait for a signature; they follow */
	REFUSED_FROZEN, /* after a dispute */
	REFUSED_BUSY,
	REFUSED_ROLE, /* not a relay, or not an exit */
	REFUSED_NETWORK,
	REFUSED_GRANT, /* not valid here: issuer, node, network, expiry, signature, or serial used
			*/
};

struct body_header {
	uint8_t verb;
	uint8_t zero;
	le16 length; /* of what follows this header */
	le32 id;     /* chosen by whoever asks, repeated in the answer; 0 where none is expected */
};
LENGTH(body_header, 8);

struct body_open {
	uint8_t exit[KEY_LEN];            /* node id */
	uint8_t terms[KEY_LEN];           /* hash of the accepted terms */
	uint8_t payer[KEY_LEN];           /* Ed25519 */
	uint8_t nonce[NONCE_LEN];         /* the same OPEN again gives the same session */
	uint8_t signature[SIGNATURE_LEN]; /* payer's, over struct open_statement */
};
LENGTH(body_open, 176);

struct body_granted {
	uint8_t session[SESSION_ID_LEN];
	uint8_t bind_key[KEY_LEN];
	le64 window; /* bytes that may be carried unsigned */
	le64 credit; /* micro-credits the payer has here */
};
LENGTH(body_granted, 64);

struct body_add_peer {
	uint8_t wg_key[KEY_LEN];
	uint8_t terms[KEY_LEN];
	uint8_t payer[KEY_LEN];
	uint8_t nonce[NONCE_LEN];
	uint8_t signature[SIGNATURE_LEN];
};
LENGTH(body_add_peer, 176);

struct body_peer {
	uint8_t session[SESSION_ID_LEN];
	uint8_t wg_key[KEY_LEN]; /* the exit's */
	uint8_t address4[4];
	uint8_t address6[16];
	uint8_t dns4[4]; /* zero: none */
	uint8_t dns6[16];
	le64 window;
	le64 credit;
};
LENGTH(body_peer, 104);

struct body_cosign {
	uint8_t session[SESSION_ID_LEN];
	le64 seq;
	uint8_t signature[SIGNATURE_LEN]; /* payer's, over receipt body and provider signature */
};
LENGTH(body_cosign, 88);

struct body_window {
	uint8_t session[SESSION_ID_LEN];
	le64 seq;    /* the receipt now durable */
	le64 window; /* bytes that may be carried beyond it */
	le64 credit;
};
LENGTH(body_window, 40);

struct body_dispute {
	uint8_t session[SESSION_ID_LEN];
	le64 seq;
	le64 bytes_up; /* what the client counted */
	le64 bytes_down;
};
LENGTH(body_dispute, 40);

enum close_reason {
	CLOSE_ASKED = 1,
	CLOSE_IDLE,
	CLOSE_DISPUTE,
	CLOSE_EXPIRED, /* the terms ran out */
	CLOSE_EXIT_GONE,
	CLOSE_STOPPING,
};

struct body_close { /* CLOSE and CLOSED */
	uint8_t session[SESSION_ID_LEN];
	le64 bytes_up; /* final, in CLOSED; zero in CLOSE */
	le64 bytes_down;
	le32 reason;
	le32 zero;
};
LENGTH(body_close, 40);

struct body_session { /* KEEPALIVE, ALIVE, and the start of PASS and PASSED */
	uint8_t session[SESSION_ID_LEN];
};
LENGTH(body_session, 16);

struct body_refused {
	le32 code;
	le32 zero;
};
LENGTH(body_refused, 8);

enum credit_status {
	CREDIT_TAKEN = 1, /* booked just now */
	CREDIT_KNOWN,     /* booked before: nothing moved */
};

struct body_credit {
	le64 credit; /* micro-credits the grant's payer has here now */
	le32 status; /* enum credit_status */
	le32 zero;
};
LENGTH(body_credit, 16);

struct body_head {
	uint8_t session[SESSION_ID_LEN];
	le64 seq;  /* of the newest receipt the node has by now */
	le32 news; /* 1: it did not have the one it was shown; 0: it did */
	le32 zero;
};
LENGTH(body_head, 32);

enum {
	PASS_MIN = sizeof(struct body_session) + 32,
	PASS_MAX = 1100,
};

/* ---- what is signed -----------------------------------------------------------------------------
 */

enum role {
	ROLE_RELAY = 1,
	ROLE_EXIT = 2, /* as bits in descriptors */
};

/* The first 16 bytes of everything signed say what it is: no signature means two things. */
#define DOMAIN_TERMS      "culvert terms 1\0"
#define DOMAIN_RECEIPT    "culvert receipt1"
#define DOMAIN_DESCRIPTOR "culvert node   1"
#define DOMAIN_OPEN       "culvert open   1"
#define DOMAIN_BATCH      "culvert batch  1"
#define DOMAIN_SETTLED    "culvert settled1"
#define DOMAIN_ACCOUNT    "culvert account1"
#define DOMAIN_GRANT      "culvert grant  1"
enum {
	DOMAIN_LEN = 16
};

struct terms_body {
	uint8_t domain[DOMAIN_LEN];
	uint8_t version; /* 1 */
	uint8_t role;
	uint8_t zero[6];
	le64 network;
	uint8_t provider[KEY_LEN];
	le64 price;        /* micro-credits per GiB (2^30 bytes), up and down alike */
	le64 window_start; /* bytes */
	le64 window_cap;
	le32 receipt_seconds; /* a receipt at least this often while bytes flow */
	le32 loss_ppm;        /* the payer bears down-loss behind the meter up to this share ... */
	le64 loss_bytes;      /* ... and this constant */
	le64 expires;         /* seconds since 1970 */
};
LENGTH(terms_body, 112);

struct terms {
	struct terms_body body;
	uint8_t signature[SIGNATURE_LEN]; /* provider's, over body */
};
LENGTH(terms, 176);

struct receipt_body {
	uint8_t domain[DOMAIN_LEN];
	uint8_t version; /* 1 */
	uint8_t role;
	uint8_t zero[6];
	le64 network;
	uint8_t session[SESSION_ID_LEN];
	uint8_t provider[KEY_LEN];
	uint8_t payer[KEY_LEN];
	uint8_t terms[KEY_LEN]; /* BLAKE2b-256 of struct terms */
	le64 seq;               /* from 1 */
	le64 bytes_up;          /* cumulative */
	le64 bytes_down;
	le64 amount;               /* cumulative: ceil((up + down) * price / 2^30) micro-credits */
	le64 hour;                 /* hours since 1970 when issued */
	uint8_t previous[KEY_LEN]; /* BLAKE2b-256 of body and provider signature of seq - 1; zero at
				      1 */
};
LENGTH(receipt_body, 216);

struct receipt_offer { /* VERB_RECEIPT */
	struct receipt_body body;
	uint8_t provider_signature[SIGNATURE_LEN]; /* over body */
};
LENGTH(receipt_offer, 280);

struct receipt {
	struct receipt_offer offer;
	uint8_t payer_signature[SIGNATURE_LEN]; /* over offer */
};
LENGTH(receipt, 344);

struct body_held {          /* HELD */
	struct terms terms; /* that the receipt names */
	struct receipt receipt;
};
LENGTH(body_held, 520);

struct descriptor_body {
	uint8_t domain[DOMAIN_LEN];
	uint8_t version; /* 1 */
	uint8_t roles;   /* bits of enum role */
	uint8_t zero[6];
	le64 network;
	uint8_t node[KEY_LEN];    /* Ed25519: the node id */
	uint8_t control[KEY_LEN]; /* X25519 */
	uint8_t wg_key[KEY_LEN];  /* X25519; zero unless an exit */
	uint8_t ip4[4];           /* zero: none */
	uint8_t ip6[16];          /* zero: none */
	le16 port;                /* data and control */
	le16 wg_port;             /* zero unless an exit */
	uint8_t name[32];         /* [a-z0-9-], zero-padded */
	le64 issued;
	le64 expires;
	struct terms relay_terms; /* all zero without the role */
	struct terms exit_terms;
};
LENGTH(descriptor_body, 552);

struct descriptor { /* VERB_DESCRIPTOR; DESCRIBE is as many zero bytes */
	struct descriptor_body body;
	uint8_t signature[SIGNATURE_LEN];
};
LENGTH(descriptor, 616);

/* What a payer signs in OPEN and ADD_PEER: this control key may open a session that I pay for. */
struct open_statement {
	uint8_t domain[DOMAIN_LEN];
	le64 network;
	uint8_t provider[KEY_LEN];
	uint8_t client_control[KEY_LEN]; /* the caller's X25519 static key */
	uint8_t subject[KEY_LEN];        /* OPEN: exit node id; ADD_PEER: WireGuard key */
	uint8_t terms[KEY_LEN];
	uint8_t payer[KEY_LEN];
	uint8_t nonce[NONCE_LEN];
};
LENGTH(open_statement, 200);

/* An issuer's promise: it stands in for what this payer spends at this node, up to a limit. */
struct grant_body {
	uint8_t domain[DOMAIN_LEN];
	uint8_t version; /* 1 */
	uint8_t zero[7];
	le64 network;
	uint8_t issuer[KEY_LEN];   /* Ed25519 */
	uint8_t payer[KEY_LEN];    /* who may spend it, and nobody else */
	uint8_t relay[KEY_LEN];    /* node id of the one node, of whatever role, it is good at */
	le64 limit;                /* micro-credits, 1 to 2^63 - 1 */
	le64 expires;              /* seconds since 1970; 0: never */
	uint8_t serial[NONCE_LEN]; /* of the issuer's choice; works once */
};
LENGTH(grant_body, 160);

struct grant { /* VERB_GRANT */
	struct grant_body body;
	uint8_t signature[SIGNATURE_LEN]; /* issuer's, over body */
};
LENGTH(grant, 224);

/* ---- settlement batches -------------------------------------------------------------------------
 */

/* What a node signs about one epoch and, by its tree, about all before it. */
struct batch_head_body {
	uint8_t domain[DOMAIN_LEN];
	uint8_t version; /* 1 */
	uint8_t zero[7];
	le64 network;
	uint8_t node[KEY_LEN]; /* node id: the provider of every receipt here */
	le64 epoch;            /* from 1 */
	le64 hour;             /* hours since 1970 when it was closed */
	le64 previous_size;    /* leaves of the tree before this epoch */
	uint8_t previous_root[KEY_LEN];
	le64 size; /* previous_size and all records of this epoch */
	uint8_t root[KEY_LEN];
	le32 terms; /* how many records of each kind follow */
	le32 sessions;
	le32 receipts;
	le32 accounts;
	le64 earned; /* sums over all accounts; always equal */
	le64 spent;
};
LENGTH(batch_head_body, 192);

struct batch_head {
	struct batch_head_body body;
	uint8_t signature[SIGNATURE_LEN]; /* the node's, over body */
};
LENGTH(batch_head, 256);

/* A session with receipts in this epoch. */
struct batch_session {
	uint8_t domain[DOMAIN_LEN];
	uint8_t session[SESSION_ID_LEN];
	le64 seq;     /* of its last receipt here */
	le64 paid;    /* cumulative micro-credits that were paid, not given */
	le64 before;  /* paid as of the last epoch the session was in; 0 if none */
	le32 fee_ppm; /* at most 1000000 */
	uint8_t zero[4];
	uint8_t fee_account[KEY_LEN]; /* zero if and only if fee_ppm is 0 */
};
LENGTH(batch_session, 96);

/* An identity's totals over all epochs; one whose totals are both 0 has no record. */
struct batch_account {
	uint8_t domain[DOMAIN_LEN];
	uint8_t key[KEY_LEN];
	le64 earned;
	le64 spent;
};
LENGTH(batch_account, 64);

#undef LENGTH

#endif

#include "proto/lengths.h"

#include "node/node.h"

static void refuse(struct node *n, const struct control_caller *to, uint32_t id, enum refusal code)
{
	struct body_refused body = {.code = le32_of(code)};

	control_server_reply(n->control, to, VERB_REFUSED, id, &body, sizeof(body));
}

/* Nobody took it: a role this node has not, or a session that is not the caller's. */
static enum refusal why_not(uint8_t verb)
{
	return verb == VERB_OPEN || verb == VERB_ADD_PEER ? REFUSED_ROLE : REFUSED_UNKNOWN_SESSION;
}

void verbs_handle(void *arg, const struct control_caller *caller, uint8_t verb, uint32_t id,
		  const uint8_t *body, size_t len)
{
	struct node *n = arg;

	if (verb == VERB_DESCRIBE) {
		control_server_reply(n->control, caller, VERB_DESCRIPTOR, id,
				     &n->identity.descriptor, sizeof(n->identity.descriptor));
		return;
	}
	if (verb == VERB_GRANT || verb == VERB_HELD) {
		presented_handle(n, caller, verb, id, body);
		return;
	}
	if ((verb == VERB_OPEN || verb == VERB_ADD_PEER) &&
	    !control_server_afford(n->control, caller))
		return;
	if (n->relay && relay_handle(n->relay, caller, verb, id, body, len))
		return;
	if (n->exit && exit_handle(n->exit, caller, verb, id, body, len))
		return;
	/* What expects no answer gets none, and what nobody may ask is met with silence. */
	if (verb_answer(verb))
		refuse(n, caller, id, why_not(verb));
}

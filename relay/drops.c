#include "relay/drops.h"

const char *const relay_drop_names[DROP_COUNT] = {
#define X(name, text) [DROP_##name] = #name,
	RELAY_DROPS(X)
#undef X
};

const char *const relay_drop_texts[DROP_COUNT] = {
#define X(name, text) [DROP_##name] = text,
	RELAY_DROPS(X)
#undef X
};

/* For processes that hold keys. */
#ifndef BASE_UNDUMPABLE_H
#define BASE_UNDUMPABLE_H

#include "base/base.h"

/* No core file of this process (and its children to come), and no other process of its user may
 * look into it. 0, or -errno with either not so. At the start, before the first key is read. */
MUST_CHECK int undumpable(void);

#endif

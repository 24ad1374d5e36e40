/* connectx-hws */
#include "nicsim.h"
#include "profile.h"
const struct nicsim_profile nicsim_hws = {.has_flow = true};

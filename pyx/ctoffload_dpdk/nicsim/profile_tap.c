#include "nicsim.h"
#include "profile.h"
const struct nicsim_profile nicsim_tap = {.has_flow = true};
const struct nicsim_profile nicsim_queue_only = {.has_flow = true};
